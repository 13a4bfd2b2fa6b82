"""What jobs print at the same time, line by line: no line has parts of two jobs in it.

While jobs share a process, each of their threads writes into a line of its own, which is passed on when it ends, or
when the thread flushes or returns the carriage, as progress bars do. Where a line is still open that another thread
has begun so, a new one is begun first. What is printed outside jobs passes at once.

Assigning to ``sys.stdout`` or ``sys.stderr``, as ``contextlib.redirect_stdout`` does, redirects in a job what this job
and its threads print, and outside what everybody prints. What C code writes to the descriptor is not seen here.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final, TypeAlias

from parcache.run.lanes import Lane, Patch, current_lane

# Whose a line is. The system gives a thread that begins the number of one that has ended, of another job or of none.
_Writer: TypeAlias = tuple[Lane | None, int]

_NAMES: Final = ("stdout", "stderr")
_MAX_HELD: Final = 1 << 16


def patches() -> list[Patch]:
    """Return what keeps the lines of jobs whole."""
    return [_Streams()]


class Lines:
    """A stream for text that several jobs write to at once; everything else is asked of ``stream`` itself."""

    def __init__(self, stream: Any) -> None:
        self.stream = self.before = stream
        self._lock = threading.RLock()
        self._held: dict[_Writer, str] = {}
        self._open: _Writer | None = None  # whose line has begun and not ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write text; of a job, whole lines only."""
        if sys.is_finalizing():
            self.stream.write(text)
            return len(text)
        lane = current_lane()
        writer = lane, threading.get_ident()
        with self._lock:
            if lane is None:
                self._pass_on(writer, text)
                return len(text)
            if self not in lane.attributes:
                lane.attributes[self] = {}
                lane.after_end.append(lambda: self.flush_held(lane))
            whole = self._taken(writer) + text
            end = len(whole) if "\r" in text or len(whole) > _MAX_HELD else whole.rfind("\n") + 1
            if end < len(whole):
                self._held[writer] = whole[end:]
            self._pass_on(writer, whole[:end])
            if lane.is_over:  # since a moment ago: its last flush may have been before
                self.flush_held(lane)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what this thread has written."""
        if sys.is_finalizing():  # a thread that the interpreter has stopped may hold the lock for ever
            self.stream.flush()
            return
        writer = current_lane(), threading.get_ident()
        with self._lock:
            self._pass_on(writer, self._taken(writer))
            self.stream.flush()

    def close(self) -> None:
        """Flush: a job does not close what others write to."""
        self.flush()

    def flush_held(self, lane: Lane | None = None) -> None:
        """Pass on what the threads of one job, or all of them, have written."""
        with self._lock:
            for writer in list(self._held):
                if lane is None or writer[0] is lane:
                    self._pass_on(writer, self._taken(writer))

    def _taken(self, writer: _Writer) -> str:
        return self._held.pop(writer, "")

    def _pass_on(self, writer: _Writer, text: str) -> None:
        if not text:
            return
        if self._open not in (None, writer) and not text.startswith(("\r", "\n")):
            text = "\n" + text
        self.stream.write(text)
        self._open = None if text.endswith("\n") else writer


class _Router:
    """What stands in ``sys`` for ``print`` and other C code, which do not ask ``_Sys``."""

    def __init__(self, name: str, lines: Lines) -> None:
        self._name = name
        self._lines = lines

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target(), name)

    def write(self, text: str) -> Any:
        return self._target().write(text)

    def flush(self) -> None:
        self._target().flush()

    def _target(self) -> Any:
        redirected = _redirected(self._name)
        return redirected if redirected is not None else self._lines


_LINES: Final[dict[str, Lines]] = {}


def _redirected(name: str) -> Any:
    lane = current_lane()
    return None if lane is None else lane.attributes.get(name, {}).get(None)


def _stream(name: str) -> property:
    def get(module: ModuleType) -> Any:
        lines = _LINES.get(name)
        if lines is None:
            return module.__dict__[name]
        if current_lane() is None:
            return lines.stream
        redirected = _redirected(name)
        return redirected if redirected is not None else lines

    def put(module: ModuleType, value: Any) -> None:
        lines, lane = _LINES.get(name), current_lane()
        if lines is None:
            module.__dict__[name] = value
        elif lane is None:
            lines.stream = lines.before if isinstance(value, _Router) else value
        elif value is lines or isinstance(value, _Router):  # who looks into the module's dict finds the latter
            lane.attributes.pop(name, None)
        else:
            lane.attributes.setdefault(name, {})[None] = value

    return property(get, put)


class _Sys(ModuleType):
    """The module ``sys`` while jobs share the process."""

    stdout = _stream("stdout")
    stderr = _stream("stderr")


class _Streams:
    """Puts itself between ``print`` and the streams."""

    def apply(self) -> None:
        module: Any = sys
        if type(module) is not ModuleType:  # somebody else's: better torn lines than two masters
            return
        for name in _NAMES:
            stream = module.__dict__[name]
            if stream is not None:  # a program without a console has none
                lines = _LINES[name] = Lines(stream)
                module.__dict__[name] = _Router(name, lines)
        module.__class__ = _Sys

    def undo(self) -> None:
        module: Any = sys
        if not _LINES:
            return
        module.__class__ = ModuleType
        for name in list(_LINES):
            lines = _LINES.pop(name)
            lines.flush_held()
            module.__dict__[name] = lines.stream
