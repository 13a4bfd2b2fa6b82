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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

EXIT_CODE: Final = 75
"""How a process ends that was told to: EX_TEMPFAIL, try again."""
SIGNALS: Final = (signal.SIGUSR2, signal.SIGTERM)

_hooks: Final[list[Callable[[], Any]]] = []


@contextmanager
def offering(task: object, config: Any) -> Iterator[None]:
    """Have the task function's hook called if the end is announced meanwhile. Does nothing where it has none."""
    hook = getattr(task, "checkpoint", None)
    if not callable(hook):
        yield
        return
    _hooks.append(lambda: hook(config))
    try:
        yield
    finally:
        _hooks.pop()


def listen(signals: tuple[int, ...] = SIGNALS) -> None:
    """End this process on these signals, after what is offered then. Call it in the main thread."""
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a fork of a job's, which multiprocessing ends by SIGTERM
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


class Listening:
    """An initializer of workers that listens, and calls another one."""

    def __init__(self, initializer: Callable[[], None]) -> None:
        self._initializer = initializer

    def __call__(self) -> None:
        """Get ready."""
        listen()
        self._initializer()
