"""A last word before the end: what a worker calls when its machine is about to be taken away.

Schedulers of clusters announce that by a signal. Where the task function of the running job has a hook of its own (its
attribute ``checkpoint``, a callable that takes the job's config), it is called then, in the main thread, between two
lines of the job; and the process ends.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Final

from parcache.backends.forks import spare_forks

EXIT_CODE: Final = 75
"""How a process ends that was told to: EX_TEMPFAIL, try again."""
SIGNALS: Final = (signal.SIGUSR2, signal.SIGTERM)

_PR_SET_PDEATHSIG: Final = 1

_hooks: Final[list[Callable[[], Any]]] = []


class offering:  # noqa: N801 # a context, as contextlib's are named; a generator would stand in users' tracebacks
    """A context in which the task function's hook is called if the end is announced. Nothing where it has none."""

    __slots__ = ("_hook",)

    def __init__(self, task: object, config: Any) -> None:
        hook = getattr(task, "checkpoint", None)
        self._hook = partial(hook, config) if callable(hook) else None

    def __enter__(self) -> None:
        if self._hook is not None:
            _hooks.append(self._hook)

    def __exit__(self, *_: object) -> None:
        if self._hook is not None:
            _hooks.remove(self._hook)


def listen(signals: tuple[int, ...] = SIGNALS) -> None:
    """End this process on these signals, after what is offered then. Call it in the main thread."""
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a fork that a library has made
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        try:
            for hook in reversed(_hooks):
                hook()
        except BaseException:
            traceback.print_exc()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(EXIT_CODE)

    for number in signals:
        signal.signal(number, end)

    def give_back() -> None:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)

    spare_forks(lambda: signals, give_back)


def end_with_parent() -> None:
    """Have the kernel end this process when the thread that has started it does; nothing where it cannot."""
    import ctypes  # few processes need it

    with suppress(Exception):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Listening:
    """An initializer of workers that listens, and calls another one.

    Its processes end with the one that looks after them: one that the kernel or an administrator has killed takes no
    answer any more, and not every scheduler finds what it leaves.
    """

    def __init__(self, initializer: Callable[[], None]) -> None:
        self._initializer = initializer

    def __call__(self) -> None:
        """Get ready."""
        end_with_parent()
        listen()
        self._initializer()
