"""Which job imports a module first, while several share a process.

A job's result is not stored where it has imported first-party code that its fingerprint does not hold. What another
job has imported in its time must not count against it.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Sequence
from types import ModuleType
from typing import Any, Final

from parcache.run.lanes import Patch, current_lane

_IMPORTED: Final = "imported"
_names: set[str] = set()


def patches() -> list[Patch]:
    """Return what takes note of imports."""
    return [_Finder()]


def of_others() -> Container[str]:
    """Return the names of modules that other jobs were the first to import."""
    lane = current_lane()
    if lane is None or not _names:
        return ()
    return _names.difference(lane.attributes.get(_IMPORTED, ()))


class _Finder:
    """Stands before Python's own finders: asked for each module that is not loaded yet, in the thread that imports."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """Leave the module to others."""
        lane = current_lane()
        if lane is not None:
            lane.attributes.setdefault(_IMPORTED, {})[name] = True
            _names.add(name)

    def apply(self) -> None:
        finders: list[Any] = sys.meta_path
        finders.insert(0, self)

    def undo(self) -> None:
        finders: list[Any] = sys.meta_path
        if self in finders:
            finders.remove(self)
        _names.clear()
