"""A sweep from Python: Hydra's own multirun, inside whatever ``initialize`` context is open."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn

from parcache.errors import HydraNotInitializedError
from parcache.hydra.launch import COLLECTED, RefusedError


def multirun(task: Callable[[Any], Any], config_name: str | None, overrides: Sequence[str]) -> list[JobReturn]:
    """Run a sweep with the overrides of a command line, and return the jobs' JobReturns in job order.

    Raises:
        HydraNotInitializedError: No ``initialize`` context is open.
        Exception: What the composition, the settings or a job raised.
    """
    instance = GlobalHydra.instance()
    if not instance.is_initialized() or instance.hydra is None:
        raise HydraNotInitializedError("parcache.sweep")
    collected: list[JobReturn] = []
    token = COLLECTED.set(collected)
    try:
        with _logging_restored():
            instance.hydra.multirun(
                config_name=config_name,
                task_function=_undecorated(task),
                overrides=list(overrides),
                with_log_configuration=False,
            )
    except RefusedError as refused:
        raise refused.error from None
    finally:
        COLLECTED.reset(token)
    return collected


def _undecorated(task: Any) -> Any:
    """Return the task function itself where it is given as ``@hydra.main`` left it."""
    wrapped = getattr(task, "__wrapped__", None)
    if isinstance(task, FunctionType) and wrapped is not None and task.__globals__.get("__name__") == "hydra.main":
        return wrapped
    return task


@contextmanager
def _logging_restored() -> Iterator[None]:
    """Put the root logger back: jobs and launchers set it up for themselves."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    disabled = {
        name: item.disabled for name, item in root.manager.loggerDict.items() if isinstance(item, logging.Logger)
    }
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, was in disabled.items():
            logging.getLogger(name).disabled = was
