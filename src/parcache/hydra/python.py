"""A sweep from Python: Hydra's own multirun, inside whatever ``initialize`` context is open."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any
from weakref import WeakValueDictionary

from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn

from parcache.errors import DetachedError, HydraNotInitializedError
from parcache.hydra.launch import COLLECTOR, Collector
from parcache.hydra.refused import RefusedError


def multirun(task: Callable[[Any], Any], config_name: str | None, overrides: Sequence[str]) -> list[JobReturn]:
    """Run a sweep with the overrides of a command line, and return the jobs' JobReturns in job order.

    Raises:
        HydraNotInitializedError: No ``initialize`` context is open.
        DetachedError: The sweep was left to its backend.
        Exception: What the composition, the settings or a job raised.
    """
    instance = GlobalHydra.instance()
    if not instance.is_initialized() or instance.hydra is None:
        raise HydraNotInitializedError("parcache.sweep")
    collector = Collector()
    token = COLLECTOR.set(collector)
    try:
        with _logging_restored():
            try:
                instance.hydra.multirun(
                    config_name=config_name,
                    task_function=_undecorated(task),
                    overrides=list(overrides),
                    with_log_configuration=False,
                )
            finally:
                for sweep in collector.sweeps:  # Hydra 1.3 does not tell where a job has failed
                    sweep.close()
    except RefusedError as refused:
        raise refused.error from None
    finally:
        COLLECTOR.reset(token)
    left = [sweep.left for sweep in collector.sweeps if sweep.left]
    if left:
        raise DetachedError(left[0])
    return collector.reports


def _undecorated(task: Any) -> Any:
    """Return the task function itself where it is given as ``@hydra.main`` left it."""
    wrapped = getattr(task, "__wrapped__", None)
    if isinstance(task, FunctionType) and wrapped is not None and task.__globals__.get("__name__") == "hydra.main":
        return wrapped
    return task


@contextmanager
def _logging_restored() -> Iterator[None]:
    """Give the sweep a logging of its own, and the caller his back: jobs and launchers set it up for themselves.

    ``logging.config`` closes every handler that the module knows of, the caller's log files among them; so it is
    shown none of them meanwhile.
    """
    root = logging.getLogger()
    loggers = [root, *(item for item in root.manager.loggerDict.values() if isinstance(item, logging.Logger))]
    states = [(item, list(item.handlers), item.level, item.propagate, item.disabled) for item in loggers]
    module: Any = logging
    known = module._handlers, module._handlerList
    module._handlers, module._handlerList = WeakValueDictionary(), []
    root.handlers[:] = []
    try:
        yield
    finally:
        for reference in list(module._handlerList):
            handler = reference()
            if handler is not None:
                handler.close()
        module._handlers, module._handlerList = known
        for item, handlers, level, propagate, disabled in states:
            item.handlers[:] = handlers
            item.setLevel(level)
            item.propagate, item.disabled = propagate, disabled
