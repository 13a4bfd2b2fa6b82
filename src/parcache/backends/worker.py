"""A worker process as the sweeping process sees it: started, sent calls, read from, ended."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

from parcache.backends.board import Board, board_file
from parcache.backends.child import HEADER_BYTES, Setup, command, header
from parcache.errors import WorkerDiedError

# Between the end of a process's pipes and its end: it closes them, and is gone.
_DYING_S: Final = 1.0
_SCRAP_BYTES: Final = 1 << 20
_CRASHES: Final = frozenset({"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"})

# No bytes: the worker has passed the call over.
Answer = bytes | memoryview | BaseException


class Call(Future[Any]):
    """A submitted call. ``number`` counts the submissions, ``data`` is what a worker is sent.

    ``starts`` are the workers that were started for it. The result of a relayed call stays as the worker pickled it.
    """

    def __init__(self, number: int, data: bytes, *, is_relayed: bool = False) -> None:
        super().__init__()
        self.number = number
        self.data = data
        self.is_relayed = is_relayed
        self.starts = 0
        self.worker: Worker | None = None
        self.set_running_or_notify_cancel()  # calls are ended by kill(), which knows how

    def running(self) -> bool:
        """Tell whether a worker executes it, other than those that wait for one."""
        worker = self.worker
        return worker is not None and not self.done() and worker.has_started(self)


class Sent:
    """What a worker was sent at a place of its sequence; no call where that was taken back."""

    __slots__ = ("call", "place")

    def __init__(self, place: int, call: Call) -> None:
        self.place = place
        self.call: Call | None = call


class Worker:
    """One process. Not thread-safe, except ``receive``, which only one thread may call."""

    def __init__(self, slot: int, environ: Mapping[str, str], setup: Setup) -> None:
        self.slot = slot
        self.sent: deque[Sent] = deque()
        self.is_ended = False
        self.was_told_to_end = False
        self.was_killed = False
        self.deadline_s: float | None = None
        self._places = 0
        self._outgoing: deque[memoryview] = deque()
        self._incoming = memoryview(bytearray(HEADER_BYTES))
        self._is_header, self._filled = True, 0
        self._scrap_bytes: int | None = None
        self._start(environ, setup)
        self._write(pickle.dumps(setup))

    def _start(self, environ: Mapping[str, str], setup: Setup) -> None:
        board = board_file()
        calls, self.calls_fd = os.pipe()
        self.answers_fd, answers = os.pipe()
        try:
            self._board = Board(board)
            flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # as multiprocessing does
            self.process = subprocess.Popen(  # noqa: S603 # this very Python
                [sys.executable, *flags, "-c", command(calls, answers, board)],
                stdin=subprocess.DEVNULL,
                pass_fds=(calls, answers, board),
                env=environ,
                # A Ctrl-C at the terminal is for the sweeping process alone; and what a job starts can be found.
                start_new_session=True,
            )
        finally:
            for fd in (calls, answers, board):
                os.close(fd)
        os.set_blocking(self.calls_fd, False)
        os.set_blocking(self.answers_fd, False)
        self.death_fd = _death_fd(self.process.pid)

    @property
    def is_ready(self) -> bool:
        """Tell whether it has called its initializer."""
        return self._board.is_ready

    @property
    def must_write(self) -> bool:
        """Tell whether its pipe was full: there is more to write when it has room."""
        return bool(self._outgoing)

    def has_started(self, call: Call) -> bool:
        """Tell whether it has begun a call that it was sent."""
        started = self._board.started
        return any(each.call is call and each.place <= started for each in tuple(self.sent))

    def send(self, call: Call) -> None:
        """Queue a call behind those that it has."""
        self._places += 1
        self.sent.append(Sent(self._places, call))
        call.worker = self
        self._write(call.data)

    def take_back(self, call: Call) -> bool:
        """Withdraw a call that was sent; return False where it has begun."""
        sent = next(each for each in self.sent if each.call is call)
        if not self._board.withdraw(sent.place):
            return False
        sent.call, call.worker = None, None
        return True

    def unstarted(self) -> Call | None:
        """Return the call that was sent last, if it has not begun."""
        last = self.sent[-1] if self.sent else None
        return last.call if last is not None and last.place > self._board.started else None

    def flush(self) -> None:
        """Write what its pipe takes now."""
        while self._outgoing:
            view = self._outgoing[0]
            try:
                written = os.write(self.calls_fd, view)
            except BlockingIOError:
                return
            except BrokenPipeError:  # its death is told by other means
                self._outgoing.clear()
                return
            if written == len(view):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = view[written:]

    def receive(self) -> bytes | memoryview | MemoryError | None:
        """Return its next answer, as far as that has arrived whole; sets ``is_ended`` at the end of its pipe.

        In place of one for which there is no memory comes the MemoryError.
        """
        while True:
            try:
                if self._scrap_bytes is not None:
                    count = len(os.read(self.answers_fd, min(self._scrap_bytes, _SCRAP_BYTES)))
                else:
                    count = os.readv(self.answers_fd, [self._incoming[self._filled :]])
            except BlockingIOError:
                return None
            if not count:
                self.is_ended = True
                return None
            if self._scrap_bytes is not None:
                self._scrap_bytes -= count
                if not self._scrap_bytes:
                    self._scrap_bytes = None
                    return MemoryError("the job's result is larger than the memory that is left for it here")
                continue
            self._filled += count
            if self._filled < len(self._incoming):
                continue
            frame = self._incoming
            if not self._is_header:
                self._await_frame(HEADER_BYTES, is_header=True)
                return frame
            size = int.from_bytes(frame, "little")
            if not size:
                self._await_frame(HEADER_BYTES, is_header=True)
                return b""
            try:
                self._await_frame(size, is_header=False)
            except MemoryError:
                self._await_frame(HEADER_BYTES, is_header=True)
                self._scrap_bytes = size

    def end(self) -> None:
        """Tell it that there is no more to do: it ends as Python programs do."""
        if not self.was_told_to_end:
            self.was_told_to_end = True
            os.close(self.calls_fd)

    def reap(self) -> int:
        """Return the exit code of a process that is about to end, and kill what does not."""
        try:
            return self.process.wait(_DYING_S)
        except subprocess.TimeoutExpired:  # a job has closed the pipes
            self.process.kill()
            return self.process.wait()

    def close(self) -> None:
        """Release what belongs to a process that has ended."""
        if not self.was_told_to_end:
            os.close(self.calls_fd)
        os.close(self.answers_fd)
        if self.death_fd is not None:
            os.close(self.death_fd)

    def _write(self, data: bytes) -> None:
        if len(data) < _SCRAP_BYTES:
            self._outgoing.append(memoryview(header(len(data)) + data))
        else:
            self._outgoing += (memoryview(header(len(data))), memoryview(data))
        self.flush()

    def _await_frame(self, size: int, *, is_header: bool) -> None:
        self._incoming = memoryview(bytearray(size))
        self._is_header, self._filled = is_header, 0


def _death_fd(pid: int) -> int | None:
    """Return what becomes readable when a process ends: its pipes may be held open by others."""
    with suppress(AttributeError, OSError):  # Linux from 5.3 has it
        return os.pidfd_open(pid)
    return None


def death(exit_code: int) -> WorkerDiedError:
    """Return what a job failed by whose process ended with this code; negative ones are signals."""
    if exit_code >= 0:
        return WorkerDiedError(exit_code, f"its process ended by os._exit({exit_code})")
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    if name == "SIGKILL":
        return WorkerDiedError(
            exit_code, "its process was killed by SIGKILL (the kernel does that when memory runs out)"
        )
    if name in _CRASHES:
        return WorkerDiedError(exit_code, f"its process was ended by {name}: a crash in native code")
    return WorkerDiedError(exit_code, f"its process was ended by {name}")


def tell(ends: Sequence[tuple[Call, Answer]]) -> None:
    """End futures: without the lock, as that calls back, and rebuilding a result can take long."""
    for call, answer in ends:
        if isinstance(answer, BaseException):
            call.set_exception(answer)
            continue
        if call.is_relayed:
            call.set_result(bytes(answer))
            continue
        settle(call, answer)


def settle(future: Future[Any], answer: bytes | memoryview) -> None:
    """End a future by what a worker has pickled: ``(True, result)`` or ``(False, exception)``."""
    try:
        succeeded, value = pickle.loads(answer)
    except BaseException as error:  # the result's classes are the user's
        succeeded, value = False, error
    if succeeded:
        future.set_result(value)
    else:
        future.set_exception(value)
