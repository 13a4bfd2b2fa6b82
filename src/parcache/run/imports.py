"""Which job imports a module first, while several share a process.

A job's result is not stored where it has imported first-party code that its fingerprint does not hold. What another
job has imported in its time must not count against it.

Python looks for each module that is not loaded yet by one function, in the thread that imports and with the module
locked. A finder in ``sys.meta_path`` would not do: import hooks of typecheckers stand in front of it and find modules
themselves. Nor would the audit event ``import``: ``importlib.import_module`` raises none.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Container
from typing import Any, Final

from parcache.run.lanes import Attribute, Patch, current_lane

_IMPORTED: Final = "imported"
_FIND: Final = "_find_spec"
_names: set[str] = set()


def patches() -> list[Patch]:
    """Return what takes note of imports."""
    machinery = sys.modules["_frozen_importlib"]
    return [_Finding(machinery, _FIND, _noting)] if hasattr(machinery, _FIND) else []


def of_others() -> Container[str]:
    """Return the names of modules that other jobs were the first to import."""
    lane = current_lane()
    if lane is None or not _names:
        return ()
    return _names.difference(lane.attributes.get(_IMPORTED, ()))


def _noting(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def find(name: str, *where: Any, **options: Any) -> Any:
        lane = current_lane()
        if lane is not None:
            lane.attributes.setdefault(_IMPORTED, {})[name] = True
            _names.add(name)
        return original(name, *where, **options)

    return find


class _Finding(Attribute):
    """Stands before Python's search for modules, and forgets what it has noted when it goes."""

    def undo(self) -> None:
        super().undo()
        _names.clear()
