"""Processes on this machine, by joblib's loky: spawned afresh, robust, and fed by cloudpickle."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from parcache.errors import SettingError

if TYPE_CHECKING:
    from concurrent.futures import Future

R = TypeVar("R")

_ORPHAN_CHECK_S: Final = 0.5


class ProcessBackend:
    """Executes functions in a pool of worker processes.

    ``workers`` is how many: None for as many as this process may use cores, -1 for the same, -2 for all but one
    and so on (joblib's convention).
    """

    def __init__(self, workers: int | None = None) -> None:
        # A profile that does not build on `process` is not checked by its schema.
        if workers == 0 or (workers is not None and type(workers) is not int):
            key = "hydra.launcher.backend.workers"
            raise SettingError(
                key, workers, "a whole number from 1, or a negative one (-1: all cores, -2: all but one)"
            )
        self._asked = workers
        self._initializer: Callable[[], None] | None = None
        self._executor: Any = None

    @cached_property
    def _workers(self) -> int:
        # Importing joblib takes a quarter of a second, which a sweep of nothing but hits need not wait for.
        if self._asked is not None and self._asked > 0:
            return self._asked
        from joblib.externals.loky import cpu_count

        cores = int(cpu_count())
        return cores if self._asked is None else max(1, cores + 1 + self._asked)

    @property
    def capacity(self) -> int:
        """Twice the workers: none of them waits for the sweeping process between two jobs."""
        return 2 * self._workers

    def start(self, initializer: Callable[[], None]) -> None:
        """Prepare the pool. The processes start with the first jobs."""
        self._initializer = initializer
        self._executor = self._new_pool()

    def submit(self, function: Callable[[Any], R], argument: Any) -> Future[R]:
        """Queue the call. A worker that dies takes with it what was queued then; what comes later gets a new pool."""
        from joblib.externals.loky.process_executor import BrokenProcessPool

        try:
            future: Future[R] = self._executor.submit(_run, function, argument)
        except BrokenProcessPool:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = self._new_pool()
            future = self._executor.submit(_run, function, argument)
        return future

    def stop(self, *, cancel: bool) -> None:
        """Shut the pool down."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=cancel)
            self._executor = None

    def _new_pool(self) -> Any:
        from joblib.externals.loky.process_executor import ProcessPoolExecutor

        start = partial(_start_worker, self._initializer, os.getpid())
        return ProcessPoolExecutor(max_workers=self._workers, initializer=start)


_BUSY = threading.Lock()


def _start_worker(initializer: Callable[[], None] | None, parent: int) -> None:
    # Loky's workers hold both ends of their queue and never notice that the parent is gone (seen with joblib 1.6).
    threading.Thread(target=_end_with, args=(parent,), daemon=True, name="parcache-orphan-watch").start()
    if initializer is not None:
        initializer()


def _end_with(parent: int) -> None:
    """End this worker once its parent has died; what runs may finish, and publish, before."""
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK_S)
    _BUSY.acquire()
    os._exit(1)


def _run(function: Callable[[Any], R], argument: Any) -> R:
    with _BUSY:
        return function(argument)
