"""Seeing which code starts to execute in this process, on all of its threads.

By ``sys.monitoring`` where there is one (Python 3.12, PEP 669), on a tool id that nobody uses, so that coverage,
debuggers and cProfile go on beside it; else by ``sys.setprofile``, which has room for one: a hook that is there
already is called from ours.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any, Final, Protocol
from weakref import WeakSet

log = logging.getLogger("parcache")

# 3 and 4 are nobody's by convention; then those of an optimizer, a profiler, coverage, a debugger that are not there.
_TOOLS: Final = (4, 3, 5, 2, 1, 0)
_REPLACED: Final = "it set a profiler of its own (sys.setprofile): what ran after that was not seen"


class Listener(Protocol):
    """Is told of code that starts to execute. Called on any thread, in the middle of what runs: raises nothing."""

    def see(self, code: CodeType, frame: FrameType) -> bool:
        """Take note of a code object that starts, or of a generator's that goes on; tell whether that was enough.

        Of what it has seen enough it may be told again, or not.
        """

    def lose(self, problem: str) -> None:
        """Take note of what kept something from being seen."""


class Tracer:
    """Tells listeners what starts to execute in this process. One is enough; see ``of_this_process``."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()
        self._tool: int | None = None
        # By id, which holding the code keeps its own: what all listeners have seen enough of, where no tool knows it.
        self._enough: dict[int, CodeType] = {}
        self._hooks: WeakSet[Any] = WeakSet()

    @contextmanager
    def telling(self, listener: Listener) -> Iterator[None]:
        """Tell a listener everything that starts to execute meanwhile, whichever thread it is on.

        Without ``sys.monitoring``, threads that were running before are not seen, unless they were started while
        something listened.
        """
        with self._lock:
            first = not self._listeners
            self._listeners += (listener,)
            self._enough = {}
            if first:
                self._take_tool()
            elif self._tool is not None:
                _monitoring().restart_events()  # of what the others have seen enough this one has not
        try:
            if self._tool is not None:
                yield
            else:
                with self._profiling(listener):
                    yield
        finally:
            with self._lock:
                self._enough = {}
                self._listeners = tuple(other for other in self._listeners if other is not listener)
                if not self._listeners:
                    self._free_tool()

    def _tell_once(self, code: CodeType, frame: FrameType) -> None:
        """Tell listeners of code that starts, unless all have seen enough of it."""
        enough = self._enough  # of the listeners that there are now
        if id(code) not in enough and self._tell(code, frame):
            enough[id(code)] = code

    def _tell(self, code: CodeType, frame: FrameType) -> bool:
        enough = True
        for listener in self._listeners:
            enough = listener.see(code, frame) and enough
        return enough

    def _take_tool(self) -> None:
        monitoring = _monitoring()
        if monitoring is None:
            return
        for tool in _TOOLS:
            try:
                monitoring.use_tool_id(tool, "parcache audit")
            except ValueError:  # somebody has it
                continue
            self._tool = tool
            events = (monitoring.events.PY_START, monitoring.events.PY_RESUME)
            for event in events:
                monitoring.register_callback(tool, event, self._on_start)
            monitoring.set_events(tool, sum(events))
            monitoring.restart_events()
            return

    def _free_tool(self) -> None:
        if self._tool is None:
            return
        monitoring, tool = _monitoring(), self._tool
        self._tool = None
        monitoring.set_events(tool, 0)
        for event in (monitoring.events.PY_START, monitoring.events.PY_RESUME):
            monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)

    def _on_start(self, code: CodeType, _offset: int) -> Any:
        return _monitoring().DISABLE if self._tell(code, sys._getframe(1)) else None

    @contextmanager
    def _profiling(self, listener: Listener) -> Iterator[None]:
        before: Any = sys.getprofile()  # not a function where it was made in C
        before_threads = threading.getprofile()
        if before in self._hooks:  # another listener's, on this thread: it tells all of them
            yield
            return
        if before is not None and not callable(before):
            _say_paused(type(before).__qualname__)
        hook = self._hook(before if callable(before) else None)
        if before_threads not in self._hooks:
            threading.setprofile(self._hook(before_threads))
        sys.setprofile(hook)
        try:
            yield
        finally:
            if sys.getprofile() is not hook:
                listener.lose(_REPLACED)
            threading.setprofile(before_threads)
            if before is None or callable(before):
                sys.setprofile(before)
            else:  # made in C, as cProfile before Python 3.12: it alone can put itself back
                sys.setprofile(None)
                before.enable()

    def _hook(self, following: Callable[..., Any] | None) -> Callable[[FrameType, str, Any], None]:
        """Return a profile function that tells of calls and passes everything on."""
        tell = self._tell_once

        def hook(
            frame: FrameType, event: str, argument: Any
        ) -> None:  # an object with a method takes half as long again
            if event == "call":
                tell(frame.f_code, frame)
            if following is not None:
                following(frame, event, argument)

        self._hooks.add(hook)
        return hook


@lru_cache(maxsize=1)
def of_this_process() -> Tracer:
    """Return this process's tracer."""
    return Tracer()


@lru_cache(maxsize=1)
def _say_paused(profiler: str) -> None:
    log.warning(
        "cache.audit pauses the %s that is on while jobs run: Python %d.%d has room for one profiler",
        profiler,
        *sys.version_info[:2],
    )


def _monitoring() -> Any:
    return getattr(sys, "monitoring", None)
