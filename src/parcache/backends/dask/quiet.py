"""Keeping Dask from the user's terminal: from what is typed there, and from telling what concerns nobody."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Final

# What a terminal sends to all processes of the program that runs in it.
TERMINALS: Final = frozenset({signal.SIGINT, signal.SIGHUP})
# Those that Dask gives a level or a handler of their own.
_LOGGERS: Final = (
    "distributed",
    "distributed.client",
    "distributed.nanny",
    "distributed.scheduler",
    "distributed.worker",
    "tornado",
    "tornado.application",
    "dask_jobqueue",
)


def quieten(level: int) -> Callable[[], None]:
    """Raise Dask's loggers to a level; returns what undoes that."""
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in _LOGGERS]
    for logger, own in before:
        logger.setLevel(max(level, own))

    def restore() -> None:
        for logger, own in before:
            logger.setLevel(own)

    return restore


@contextmanager
def without_main() -> Iterator[None]:
    """Hide the main script: the processes of a local cluster would each import it, and jobs do not run in them."""
    main = sys.modules["__main__"]
    hidden = {name: vars(main).pop(name) for name in ("__file__",) if name in vars(main)}
    spec, main.__spec__ = getattr(main, "__spec__", None), None
    try:
        yield
    finally:
        vars(main).update(hidden)
        main.__spec__ = spec


@contextmanager
def without_terminal() -> Iterator[None]:
    """Let threads that start here, and processes that those ever start, never see a Ctrl-C: it is for this process.

    A signal mask is inherited, and Dask starts all its processes from the thread of its event loop. What comes
    meanwhile is delivered afterwards.
    """
    resource_tracker.ensure_running()  # whoever starts it, as multiprocessing does with its first process, is unblocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
