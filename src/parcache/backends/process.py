"""Processes on this machine, by joblib's loky: spawned afresh, robust, and fed by cloudpickle."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from parcache.errors import SettingError

R = TypeVar("R")


class ProcessBackend:
    """Executes functions in a pool of worker processes.

    ``workers`` is how many: None for as many as this process may use cores, -1 for the same, -2 for all but one
    and so on (joblib's convention).
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = _resolve(workers)
        self._executor: Any = None

    @property
    def capacity(self) -> int:
        """Twice the workers: none of them waits for the sweeping process between two jobs."""
        return 2 * self._workers

    def start(self, initializer: Callable[[], None]) -> None:
        """Prepare the pool. The processes start with the first jobs."""
        from joblib.externals.loky.process_executor import ProcessPoolExecutor

        self._executor = ProcessPoolExecutor(max_workers=self._workers, initializer=initializer)

    def submit(self, function: Callable[[Any], R], argument: Any) -> Future[R]:
        """Queue the call. Raises what loky raises where a worker died before (BrokenProcessPool)."""
        future: Future[R] = self._executor.submit(function, argument)
        return future

    def stop(self, *, cancel: bool) -> None:
        """Shut the pool down."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=cancel)
            self._executor = None


def _resolve(workers: int | None) -> int:
    if workers is not None and workers > 0:
        return workers
    from joblib.externals.loky import cpu_count

    cores = int(cpu_count())
    if workers is None:
        return cores
    if workers == 0:
        key = "hydra.launcher.backend.workers"
        raise SettingError(key, 0, "a number of 1 or more, or a negative one (-1: all cores, -2: all but one)")
    return max(1, cores + 1 + workers)
