"""Ctrl-C and SIGTERM while jobs run: the first ends the sweep in order, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final

EXIT_CODE: Final = 130
"""What a shell makes of a process that an interrupt has ended: 128 + SIGINT."""
_GRACE_S: Final = 3.0


class Interrupts:
    """A context in which SIGINT and SIGTERM raise KeyboardInterrupt once, and end the process the second time.

    Signals are taken over only in the main thread, and only where nobody else has taken them: a handler of the user's
    own keeps its signal. ``kill`` is called before the process ends at once, in a thread of its own, for at most 3 s.
    """

    def __init__(self, kill: Callable[[], None]) -> None:
        self._kill = kill
        self._before: list[tuple[int, Any]] = []
        self.is_requested = False
        """Whether a signal has come; it stays so when a task swallows the KeyboardInterrupt."""

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
                before = signal.getsignal(number)
                if before is default or before == default:
                    signal.signal(number, self._handle)
                    self._before.append((number, before))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)
        self._before.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.is_requested:
            self.is_requested = True
            raise KeyboardInterrupt
        # Not here: what the first one was about to clean up may hold any lock.
        thread = threading.Thread(target=self._kill, daemon=True)
        thread.start()
        thread.join(_GRACE_S)
        os._exit(EXIT_CODE)
