"""The ``logging`` module as each job's own: what one job sets up, closes or leaves behind is nobody else's.

While jobs share a process, the state of loggers (level, handlers, filters, ``propagate``, ``disabled``), the level of
``logging.disable`` and the registries of handlers that ``logging.config`` closes and clears are kept for each lane
beside those of the process. So a job's logging can be configured by whatever configures logging, Hydra's
``dictConfig`` and the job's own ``basicConfig(force=True)`` alike: it changes and closes what is the job's. Threads
of the job see the same. A job's handlers are closed at its end; what a thread logs that outlives the job goes where
the process's own lines go.

What a module does to a named logger while it is imported (a library's ``NullHandler``, its level) counts for the
process and every job: modules are imported once. The root logger's state never spreads.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping, MutableSequence
from contextlib import suppress
from typing import Any, Final
from weakref import WeakValueDictionary

from parcache.run.lanes import SHARING, Attribute, Lane, Patch, PerLane, current_lane, is_importing

_REFERENCES: Final = "logging._handlerList"
_NAMES: Final = "logging._handlers"


def patches() -> list[Patch]:
    """Return what keeps the logging of jobs apart."""
    values = [PerLane(name, spreads=_is_named) for name in ("level", "propagate", "disabled")]
    return [
        *map(_placed, (*values, _HANDLERS, PerLane("filters", _copied), _CACHE)),
        Attribute(logging.Manager, "_disable", lambda _: PerLane("_disable")),
        Attribute(logging.Manager, "_clear_cache", _clear_cache),
        Attribute(logging.Logger, "addHandler", _add_handler),
        Attribute(logging, "_handlerList", _References),
        Attribute(logging, "_handlers", _Names),
    ]


def _placed(attribute: PerLane) -> Patch:
    return Attribute(logging.Logger, attribute.name, lambda _: attribute)


def _is_named(logger: Any) -> bool:
    return logger is not logging.root


def _copied(values: Any) -> list[Any]:
    return list(values or ())


def _empty(_: Any) -> dict[Any, Any]:
    return {}


_HANDLERS: Final = PerLane("handlers", _copied)
_CACHE: Final = PerLane("_cache", _empty)  # of the levels for which a logger is on


def _clear_cache(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def clear(manager: Any) -> None:
        lane = current_lane()
        if lane is None or is_importing(sys._getframe(1)):
            original(manager)
            for each in SHARING.lanes:
                each.attributes.pop(_CACHE, None)
        else:  # the loggers of a program are hundreds
            lane.attributes.pop(_CACHE, None)

    return clear


def _add_handler(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def add(logger: Any, handler: Any) -> None:
        original(logger, handler)
        lane = current_lane()
        if lane is None or not _is_named(logger) or not is_importing(sys._getframe(1)):
            return
        outside: list[Any] = logger.__dict__["handlers"]
        for handlers in [outside, *(each.attributes.get(_HANDLERS, {}).get(logger, outside) for each in SHARING.lanes)]:
            if handler not in handlers:
                handlers.append(handler)
        own = _references_of(lane)
        found = [reference for reference in own if reference() is handler]
        own[:] = [reference for reference in own if reference not in found]
        references: Any = logging._handlerList  # type: ignore[attr-defined]  # the module's registry
        if isinstance(references, _References):
            references.outside.extend(found)

    return add


def _references_of(lane: Lane) -> list[Any]:
    own: list[Any] = lane.attributes.setdefault(_REFERENCES, {}).setdefault(None, [])
    return own


class _References(MutableSequence[Any]):
    """Stands for ``logging._handlerList``: weak references to the handlers, in the order in which they were made."""

    def __init__(self, outside: list[Any]) -> None:
        self.outside = outside

    def _here(self) -> list[Any]:
        lane = current_lane()
        if lane is None:
            return self.outside
        if _REFERENCES not in lane.attributes:
            own = _references_of(lane)
            lane.at_end.append(lambda: _close(own))
        return _references_of(lane)

    def __getitem__(self, index: Any) -> Any:
        return self._here()[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._here()[index] = value

    def __delitem__(self, index: Any) -> None:
        del self._here()[index]

    def __len__(self) -> int:
        return len(self._here())

    def insert(self, index: int, value: Any) -> None:
        """Insert a reference."""
        self._here().insert(index, value)


class _Names(MutableMapping[str, Any]):
    """Stands for ``logging._handlers``: the handlers that have a name, by that."""

    def __init__(self, outside: MutableMapping[str, Any]) -> None:
        self._outside = outside

    def _here(self) -> MutableMapping[str, Any]:
        lane = current_lane()
        if lane is None:
            return self._outside
        own: MutableMapping[str, Any] = lane.attributes.setdefault(_NAMES, {}).setdefault(None, WeakValueDictionary())
        return own

    def __getitem__(self, name: str) -> Any:
        return self._here()[name]

    def __setitem__(self, name: str, handler: Any) -> None:
        self._here()[name] = handler

    def __delitem__(self, name: str) -> None:
        del self._here()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._here())

    def __len__(self) -> int:
        return len(self._here())


def _close(references: Iterable[Any]) -> None:
    for reference in reversed(list(references)):
        handler = reference()
        if handler is not None:
            for step in (handler.flush, handler.close):
                with suppress(Exception):
                    step()
