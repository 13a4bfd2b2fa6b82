"""What a worker process does: get ready, execute calls one after the other, answer each, end with the sweep.

The sweeping process starts it with the code of ``command`` and talks to it by two pipes: frames of eight bytes that
are the length, and as many bytes of pickle. The first frame is the setup, the others are calls ``(function,
argument)``; to each call comes one answer, in their order: ``(True, result)``, ``(False, exception)`` or an empty frame
where the call was withdrawn. This module imports little: what it costs, every worker's start costs.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import pickle
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final, NamedTuple

from parcache.backends.board import Board
from parcache.errors import RemoteJobError
from parcache.home import HOME

HEADER_BYTES: Final = 8
# How often an idle worker looks whether the sweeping process is still there. The end of its pipe tells that at once,
# unless a fork of the sweeping process holds it open.
_ORPHAN_CHECK_MS: Final = 1000
_COLLECT_EVERY_S: Final = 1.0
_CHUNK_BYTES: Final = 1 << 16


class Setup(NamedTuple):
    """The first frame. ``initializer`` is pickled by itself: it can only be rebuilt on the import path."""

    parent: int
    sys_path: list[str]
    argv: list[str]
    initializer: bytes


def new_setup(initializer: Callable[[], None]) -> Setup:
    """Return the setup of this process's workers.

    Raises:
        Exception: The initializer cannot be pickled.
    """
    from parcache.pickling import dumps

    return Setup(os.getpid(), list(sys.path), list(sys.argv), dumps(initializer))


def command(calls: int, answers: int, board: int) -> str:
    """Return the Python code of a worker that uses these file descriptors."""
    # In place of the working directory, which `-c` puts first; the setup brings the real path.
    place = f"import sys; sys.path[0] = {HOME!r}"
    return f"{place}; from parcache.backends.child import main; main({calls}, {answers}, {board})"


def header(size_bytes: int) -> bytes:
    """Return what stands before a frame's bytes."""
    return size_bytes.to_bytes(HEADER_BYTES, "little")


def main(calls: int, answers: int, board_fd: int) -> None:
    """Serve the calls until there are no more, or nobody who asks."""
    board = Board(board_fd)
    os.close(board_fd)
    for fd in (calls, answers):
        os.set_inheritable(fd, False)
    # A fork of a job would keep the answers open after this process has died, and nobody would notice.
    os.register_at_fork(after_in_child=lambda: _close(calls, answers))
    # Ctrl-C is for the sweeping process to judge. A handler in Python, unlike SIG_IGN, is not inherited by the programs
    # that a job starts.
    signal.signal(signal.SIGINT, _pass_over)
    if "PYTHONFAULTHANDLER" not in os.environ:
        faulthandler.enable()
    data = _receive(calls)
    if data is None:
        return
    setup: Setup = pickle.loads(data)
    sys.path[:], sys.argv[:] = setup.sys_path, setup.argv
    pickle.loads(setup.initializer)()
    del data
    board.tell_ready()
    with suppress(BrokenPipeError):  # nobody is there any more
        _serve(calls, answers, board, setup.parent)


def _serve(calls: int, answers: int, board: Board, parent: int) -> None:
    own, place, collected_s = os.getpid(), 0, time.monotonic()
    more = select.poll()
    more.register(calls, select.POLLIN)
    while True:
        while not more.poll(_ORPHAN_CHECK_MS):
            if os.getppid() != parent:
                return
        size = _size(calls)
        if size is None or os.getppid() != parent:
            return
        place += 1
        is_wanted = board.begin(place)
        call = _read(calls, size)
        if call is None:
            return
        answer = _execute(call) if is_wanted else b""
        del call
        if os.getpid() != own:  # a fork that came back from the job
            os._exit(0)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # a job may have closed or replaced it
                stream.flush()
        _write(answers, answer)
        del answer
        # What a job has left in reference cycles (models, arrays) is not to wait for the next one's garbage.
        if time.monotonic() - collected_s >= _COLLECT_EVERY_S:
            gc.collect()
            collected_s = time.monotonic()


def _execute(call: bytes | bytearray) -> bytes:
    from parcache.pickling import dumps

    answer: tuple[bool, Any]
    try:
        function, argument = pickle.loads(call)
        answer = True, function(argument)
    except BaseException as error:
        answer = False, error
    try:
        data: bytes = dumps(answer)
    except Exception as error:
        stand_in = error if answer[0] else RemoteJobError(type(answer[1]).__name__, _text(answer[1]))
        data = pickle.dumps((False, _picklable(stand_in)))
    return data


def _picklable(error: BaseException) -> BaseException:
    try:
        pickle.dumps(error)
    except Exception:
        return RemoteJobError(type(error).__name__, _text(error))
    return error


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its text cannot be made)"


def _pass_over(number: int, frame: FrameType | None) -> None:
    pass


def _close(*fds: int) -> None:
    for fd in fds:
        with suppress(OSError):
            os.close(fd)


def _receive(fd: int) -> bytes | bytearray | None:
    size = _size(fd)
    return None if size is None else _read(fd, size)


def _size(fd: int) -> int | None:
    data = _read(fd, HEADER_BYTES)
    return None if data is None else int.from_bytes(data, "little")


def _read(fd: int, size: int) -> bytes | bytearray | None:
    """Return so many bytes; None where they end before."""
    data = os.read(fd, min(size, _CHUNK_BYTES))
    if len(data) == size:
        return data
    buffer = bytearray(size)
    filled, view = len(data), memoryview(buffer)
    view[:filled] = data
    while filled < size:
        count = os.readv(fd, [view[filled:]])
        if not count:
            return None
        filled += count
    return buffer


def _write(fd: int, data: bytes) -> None:
    head = header(len(data))
    for part in (head + data,) if len(data) < _CHUNK_BYTES else (head, data):
        view = memoryview(part)
        while view:
            view = view[os.write(fd, view) :]
