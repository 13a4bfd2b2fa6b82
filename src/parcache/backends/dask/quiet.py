"""Keeping Dask from telling the user's terminal, and the jobs' logs, what is no concern of theirs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

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
