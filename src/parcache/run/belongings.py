"""What belongs to the process and cannot be each job's own: the working directory and the environment.

While several jobs may be in flight, a job that changes the working directory would make the others read other files:
it gets an error instead. One that changes the environment changes what the others may see; they are told so, for
results that count a variable are not stored where it has changed meanwhile.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from typing import Any, Final

from parcache.errors import WorkingDirectoryError
from parcache.run.lanes import SHARING, Attribute, Patch, current_lane, current_strand

_CHANGED: Final = "environment"
_SET: Final = "environment set"


def patches() -> list[Patch]:
    """Return what watches over the working directory and the environment."""
    return [
        *(Attribute(os, name, _refusing) for name in ("chdir", "fchdir") if hasattr(os, name)),
        *(Attribute(os, name, _telling) for name in ("putenv", "unsetenv")),
    ]


def changed_by_others(named: Iterable[tuple[str, str | None]]) -> list[str]:
    """Return which environment variables others have changed since the job began that this code runs for.

    ``named`` are variables with the values that they had. One that has another value now, which the job itself has
    not given it, counts: Python tells of a change before ``os.environ`` shows it, and so before a job that began
    between the two could be told.
    """
    lane = current_lane()
    if lane is None:
        return []
    told, own = lane.attributes.get(_CHANGED, {}), lane.attributes.get(_SET, {})
    return [name for name, value in named if name in told or os.environ.get(name) not in (value, own.get(name, value))]


def _refusing(original: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(original)
    def change(path: Any) -> None:
        if SHARING.is_crowded and current_strand() is not None:
            raise WorkingDirectoryError(str(path))
        original(path)

    return change


def _telling(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def change(name: Any, *value: Any) -> None:
        original(name, *value)
        here, text = current_lane(), os.fsdecode(name)
        if here is not None:
            here.attributes.setdefault(_SET, {})[text] = os.fsdecode(value[0]) if value else None
        for lane in SHARING.lanes:
            if lane is not here:
                lane.attributes.setdefault(_CHANGED, {})[text] = True

    return change
