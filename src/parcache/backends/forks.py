"""Signals that come while this process forks: they are for the child as for any other process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection
from types import FrameType

_here = threading.local()


def spare_forks(signals: Callable[[], Collection[int]], give_back: Callable[[], None]) -> None:
    """Hold back these signals around each fork of this process; ``give_back`` gives them up in the child.

    Python forgets what comes between a fork and the first line of the child: multiprocessing, which ends its processes
    by SIGTERM, would wait for one forever. So the signals wait in the kernel meanwhile.

    It is for good: such hooks cannot be taken back. With no ``signals`` at the time of a fork, nothing is held.
    """
    own = threading.local()  # as masks are: several threads may fork at once

    def hold() -> None:
        _here.forks = getattr(_here, "forks", 0) + 1
        numbers = signals()
        if numbers:
            # Noted first: whatever else is pending is handled in these calls, and may raise.
            own.mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def let_go() -> None:
        mask = own.__dict__.pop("mask", None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _here.forks = max(0, getattr(_here, "forks", 0) - 1)

    def begin() -> None:
        try:
            give_back()
        finally:
            let_go()

    os.register_at_fork(before=hold, after_in_parent=let_go, after_in_child=begin)


def is_around_fork(frame: FrameType | None) -> bool:
    """Tell whether a signal's handler was called in what is done around a fork, where an exception would be lost.

    Held back from this thread, a signal goes to another one, and Python calls its handler in this one all the same: in
    the first hook that it runs after the fork, whosever that is.
    """
    if getattr(_here, "forks", 0):
        return True
    while frame is not None:
        if frame.f_globals is globals():
            return True
        frame = frame.f_back
    return False
