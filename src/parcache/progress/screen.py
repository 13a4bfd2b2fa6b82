"""The process that has the real terminal: passes on what others print, and keeps the live lines below it.

It ends when nobody is left who could print. Ctrl-C and termination are not its business.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import termios
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from parcache.progress.canvas import Canvas, LiveRow
from parcache.progress.terminal import ANSWER, STAYING, copy_size, mark

if TYPE_CHECKING:
    from parcache.progress.frame import Painter
    from parcache.progress.snapshot import Snapshot

TICK_S: Final = 0.25
IDLE_TICK_S: Final = 1.0
DEFAULT_COLUMNS: Final = 80
# Output that comes in a flood is passed on this often at most, or whenever so much has gathered.
FLUSH_S: Final = 0.03
GATHERED: Final = 1 << 18


def main(real: int, master: int, control: int, token: str, encoding: str, parent: int) -> None:
    """Serve until everybody has gone."""
    os.chdir("/")  # it may outlive the sweep, and must not keep a folder from being unmounted
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    # Low numbers: select takes no others, and the sweeping process may have a thousand files open.
    fds = []
    for fd in (real, master, control):
        fds.append(os.dup(fd))
        os.close(fd)
    _Screen(fds[0], fds[1], socket.socket(fileno=fds[2]), token, encoding, parent).serve()
    os._exit(0)  # the sweeping process waits: without taking rich apart first


class _Screen:
    def __init__(self, real: int, master: int, control: socket.socket, token: str, encoding: str, parent: int) -> None:
        self._real, self._master, self._control, self._parent = real, master, control, parent
        self._encoding = encoding
        self._first = mark(token, "").removesuffix(b"\x1b\\")
        self._size = tuple(os.get_terminal_size(real))
        self._lines = self._size[1]
        self._canvas = Canvas(self._size[0] or DEFAULT_COLUMNS, encoding)
        self._painter: Painter | None = None
        self._message: dict[str, Any] | None = None
        self._received_s = 0.0
        self._last: dict[str, Any] | None = None
        self._messages = b""
        self._held = b""  # the beginning of what may become a mark
        self._modes = self._input_modes()
        self._is_asking = False
        self._is_left = False
        self._is_bid_farewell = False
        self._wake, self._waker = socket.socketpair()

    def serve(self) -> None:
        """Serve until nobody can print any more."""
        for end in (self._wake, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:
            signal.signal(signal.SIGTSTP, _nothing)
        signal.signal(signal.SIGWINCH, _nothing)
        tick_s = flush_s = time.monotonic()
        while True:
            due_s = tick_s + (IDLE_TICK_S if self._message is None else TICK_S)
            if self._canvas.waiting_bytes:
                due_s = min(due_s, flush_s + FLUSH_S)
            sources: list[int | socket.socket] = [self._master, self._wake]
            if not self._is_left:
                sources.append(self._control)
            ready = select.select(sources, [], [], max(0.0, due_s - time.monotonic()))[0]
            if self._wake in ready:
                signals = self._wake.recv(4096)
                self._follow_size()
                if signal.SIGTSTP in signals:
                    self._suspend()
            if self._control in ready:
                self._receive()
            if self._master in ready and not self._pass_on():
                self._write(self._canvas.finish())
                return
            if self._is_bid_farewell and not self._is_left and not select.select([self._master], [], [], 0.0)[0]:
                with contextlib.suppress(OSError):
                    self._control.sendall(STAYING)
                self._leave()
            now_s = time.monotonic()
            if now_s >= tick_s + TICK_S:
                tick_s = flush_s = now_s
                self._tick()
            elif self._canvas.waiting_bytes and (now_s >= flush_s + FLUSH_S or self._canvas.waiting_bytes > GATHERED):
                flush_s = now_s
                self._write(self._canvas.update())

    def _receive(self) -> bool:
        """Take what the sweeping process sends; return False when it has gone."""
        try:
            data = self._control.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self._leave()
            return False
        *messages, self._messages = (self._messages + data).split(b"\n")
        for message in map(json.loads, messages):
            if "bye" in message:
                self._is_bid_farewell = True
                continue
            self._received_s = time.monotonic()
            self._message = message.get("show")
            self._last = message.get("last")
        return True

    def _leave(self) -> None:
        """Go on without the sweeping process: its workers may still print."""
        if not self._is_left:
            self._is_left = True
            self._message = None
            self._write(self._canvas.finish())

    def _pass_on(self) -> bool:
        """Read output and pass it on; return False when nobody can print any more."""
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        if not data:
            self._write(self._canvas.feed(self._held))
            return False
        data = self._held + data
        self._held = b""
        while True:
            start = data.find(self._first)
            end = data.find(b"\x1b\\", start) if start >= 0 else -1
            if end < 0:
                break
            self._write(self._canvas.feed(data[:start]))
            self._obey(data[start + len(self._first) : end])
            data = data[end + 2 :]
        cut = start if start >= 0 else len(data) - _begun(data, self._first)
        self._held = data[cut:]
        self._write(self._canvas.feed(data[:cut]))
        return True

    def _obey(self, word: bytes) -> None:
        if word == b"ask":
            self._is_asking = True
            self._write(self._canvas.hide())
        elif word == b"go on":
            self._is_asking = False
            self._canvas.start_line()
        elif word == b"stop":
            self._stop()

    def _stop(self) -> None:
        """Leave the last lines. They were sent before the word was said."""
        while self._last is None:
            if not self._receive():
                return
        message, self._last = self._last, None
        self._is_asking = False
        width = self._canvas.width
        rows = []
        if message:  # the batch is over: its time stands still
            rows = self._paint(message, 0.0, lambda painter, shown, _: painter.last(shown, width))
        self._write(self._canvas.finish(rows))
        try:
            self._control.sendall(ANSWER)
        except OSError:
            self._leave()

    def _tick(self) -> None:
        """Draw what was sent last, if the terminal is there for it."""
        if os.getppid() != self._parent:
            self._leave()
        self._follow_size()
        is_background = self._is_background()
        if self._is_asking or is_background or self._input_modes() != self._modes:
            self._write(self._canvas.hide(erases=not is_background))
        elif self._message is not None:
            self._canvas.reveal()
            width, lines = self._canvas.width, self._lines
            age_s = time.monotonic() - self._received_s
            rows = self._paint(
                self._message, age_s, lambda painter, shown, count: painter.live(shown, count, width, lines)
            )
            self._write(self._canvas.show(rows))

    def _paint(
        self, message: dict[str, Any], age_s: float, paint: Callable[[Painter, Snapshot, int], list[LiveRow]]
    ) -> list[LiveRow]:
        from parcache.progress.frame import Painter, snapshot_of  # they bring rich: 0.1 s, for batches that take longer

        if self._painter is None:
            self._painter = Painter(self._encoding)
        return paint(self._painter, *snapshot_of(message, age_s))

    def _follow_size(self) -> None:
        columns, self._lines = os.get_terminal_size(self._real)
        if (columns, self._lines) != self._size:
            self._size = columns, self._lines
            copy_size(self._real, self._master)
            self._canvas.width = columns or DEFAULT_COLUMNS

    def _is_background(self) -> bool:
        try:
            return os.tcgetpgrp(self._real) != os.getpgrp()
        except OSError:  # it is not the terminal that controls this process
            return False

    def _input_modes(self) -> int:
        """Return how the terminal hands out what is typed: editors of lines and prompts for passwords change it."""
        return int(termios.tcgetattr(self._real)[3]) & (termios.ICANON | termios.ECHO)

    def _suspend(self) -> None:
        """Stop like all others of the process group, without live lines in the way of the shell's prompt."""
        self._write(self._canvas.hide(erases=not self._is_background()))
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, _nothing)
        self._canvas.start_line()
        self._tick()

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._real, data) :]


def _nothing(*_: object) -> None:
    """Let a signal wake the loop."""


def _begun(data: bytes, first: bytes) -> int:
    """Return how many bytes at the end of the data may be the beginning of a mark."""
    return next((size for size in range(min(len(data), len(first)), 0, -1) if data.endswith(first[:size])), 0)
