"""Ctrl-C, SIGTERM and SIGHUP while jobs run: the first ends the sweep in order, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Final

from parcache.backends.forks import is_around_fork, spare_forks

EXIT_CODE: Final = 130
"""What a shell makes of a process that an interrupt has ended: 128 + SIGINT."""
# What stalls the killing of workers (a busy disk, a machine that swaps) is not to leave them behind.
_GRACE_S: Final = 15.0
# A fork takes milliseconds.
_AGAIN_S: Final = 0.01


_TAKEN: Final = (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGTERM, signal.SIG_DFL),
    # The terminal is gone. Workers are in sessions of their own: no one but the sweeping process is told.
    *((number, signal.SIG_DFL) for number in (getattr(signal, "SIGHUP", None),) if number is not None),
)


class Interrupts:
    """A context in which such a signal asks for an end once, and ends the process the second time.

    With ``raises`` the first one raises KeyboardInterrupt wherever the main thread is: what runs there is to notice.
    Without, nothing is raised, for that could fall between the taking of a lock and its release; who waits looks at
    ``is_requested``.

    Signals are taken over only in the main thread, and only where nobody else has taken them: a handler of the user's
    own keeps its signal. What a job forks in this process has them as they were. ``kill`` is called before the process
    ends at once, in a thread of its own, for at most 15 s.
    """

    def __init__(self, kill: Callable[[], None], *, raises: bool = True) -> None:
        self._kill = kill
        self._raises = raises
        self._before: list[tuple[int, Any]] = []
        self._is_ending = False
        self.is_requested = False
        """Whether a signal has come; it stays so when a task swallows the KeyboardInterrupt."""

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number, default in _TAKEN:
                before = signal.getsignal(number)
                if before is default or before == default:
                    signal.signal(number, self._handle)
                    self._before.append((number, before))
        if self._before:
            _forked.hold(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _forked.let_go(self)
        self.give_back()

    @property
    def signals(self) -> list[int]:
        """Return the signals that are taken over."""
        return [number for number, _ in self._before]

    def give_back(self) -> None:
        """Have signals handled as they were before. Later calls do nothing."""
        before, self._before = self._before, []
        for number, handler in before:
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if is_around_fork(frame):  # what is raised there is lost, and others hold their locks: it is to come again
            again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        if not self.is_requested:
            self.is_requested = True
            if self._raises:
                raise KeyboardInterrupt
            return
        if self._is_ending:  # within the wait below, which is not to begin anew
            return
        self._is_ending = True
        # Not here: what the first one was about to clean up may hold any lock.
        thread = threading.Thread(target=self._kill, daemon=True)
        thread.start()
        thread.join(_GRACE_S)
        os._exit(EXIT_CODE)


class _Forked:
    """Gives signals back in forks of this process: multiprocessing ends its own by SIGTERM, which is to end them."""

    def __init__(self) -> None:
        self._held: list[Interrupts] = []
        self._is_hooked = False

    def hold(self, interrupts: Interrupts) -> None:
        self._held.append(interrupts)
        if not self._is_hooked and hasattr(os, "register_at_fork"):
            self._is_hooked = True  # for good: such hooks cannot be taken back
            spare_forks(self._signals, self._give_back)

    def let_go(self, interrupts: Interrupts) -> None:
        if interrupts in self._held:
            self._held.remove(interrupts)

    def _signals(self) -> list[int]:
        return [number for interrupts in tuple(self._held) for number in interrupts.signals]

    def _give_back(self) -> None:
        held = set(self._signals())
        with suppress(ValueError):  # an interpreter of its own beside the main one
            while self._held:
                self._held.pop().give_back()
            if signal.SIGINT in held & signal.sigpending():  # KeyboardInterrupt would be lost here: it ends the child
                signal.signal(signal.SIGINT, signal.SIG_DFL)


_forked: Final = _Forked()
