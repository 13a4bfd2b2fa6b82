"""Processes on this machine: spawned afresh, one for each slot, and fed by cloudpickle."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from parcache.backends import machine
from parcache.backends.slots import (
    INDEX_VARIABLE,
    THREAD_VARIABLES,
    check_workers,
    number_of_workers,
    read_slots,
    slot_environments,
    slot_variables,
    thread_limits,
)
from parcache.backends.slots import seconds as read_seconds
from parcache.errors import SettingError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from parcache.backends.pool import Pool

R = TypeVar("R")

_PREFIX: Final = "hydra.launcher.backend"


class ProcessBackend:
    """Executes functions in worker processes. What happens to one of them is nothing to the others.

    ``workers`` is how many: None for as many as this process may use cores (or as there are slots), -1 for all cores,
    -2 for all but one and so on (joblib's convention). With ``fresh_process`` each executes one call. ``threads``
    limits those of numeric libraries in each: ``auto`` for the cores divided by the workers, None for no limit.
    ``stagger_s`` is the least time between the starts of two workers. ``slots`` is what each worker holds:
    ``backends.slots`` has the details.

    Raises:
        SettingError: A setting has a value that it cannot have.
    """

    executes_elsewhere = True

    def __init__(
        self,
        workers: int | None = None,
        fresh_process: bool = False,
        threads: int | str | None = "auto",
        stagger_s: float = 0,
        slots: Mapping[str, Any] | None = None,
    ) -> None:
        # A profile is YAML without types.
        check_workers(workers)
        if type(fresh_process) is not bool:
            raise SettingError(f"{_PREFIX}.fresh_process", fresh_process, "true or false")
        if threads not in (None, "auto") and (type(threads) is not int or threads < 1):
            raise SettingError(f"{_PREFIX}.threads", threads, "auto, null or a whole number from 1")
        self._asked = workers
        self._is_fresh = fresh_process
        self._threads = threads
        self._stagger_s = read_seconds(f"{_PREFIX}.stagger_s", stagger_s)
        self._settings = read_slots(slots)
        self._pool: Pool | None = None
        self.jobs_per_call = 1 if fresh_process else None

    @cached_property
    def _cores(self) -> int:
        return machine.cores()

    @cached_property
    def _slots(self) -> list[dict[str, str]]:
        return slot_environments(self._settings, lambda: machine.gpus(os.environ), machine.is_rocm(os.environ))

    @cached_property
    def _workers(self) -> int:
        return number_of_workers(self._asked, self._cores, len(self._slots))

    @cached_property
    def _limits(self) -> dict[str, str]:
        return thread_limits(self._threads, self._cores, self._workers, os.environ)

    @property
    def capacity(self) -> int:
        """Twice the workers: none of them waits for the sweeping process between two jobs."""
        return self._workers if self._is_fresh else 2 * self._workers

    @property
    def workers(self) -> int:
        """How many calls are executed at a time."""
        return self._workers

    def environment(self, names: Collection[str]) -> Mapping[str, str]:
        """Return what of these variables the workers find changed.

        Raises:
            SettingError: One of them differs from worker to worker.
        """
        varying = sorted(slot_variables(self._settings).intersection(names))
        if varying:
            expected = f"variables that all jobs see the same; {', '.join(varying)} differs between the workers' slots"
            raise SettingError("hydra.launcher.cache.env", list(names), expected)
        if not set(THREAD_VARIABLES).intersection(names):  # counting GPUs takes a second
            return {}
        return {name: value for name, value in self._limits.items() if name in names}

    def start(self, initializer: Callable[[], None]) -> None:
        """Prepare the workers. Their processes start with the jobs that need them.

        Raises:
            SettingError: The machine does not have what the settings ask for.
        """
        from parcache.backends.pool import Pool

        held = self._slots or [{}] * self._workers
        environments = [
            {**self._limits, **slot, INDEX_VARIABLE: str(index)} for index, slot in enumerate(held[: self._workers])
        ]
        self._pool = Pool(environments, initializer, is_fresh=self._is_fresh, stagger_s=self._stagger_s)

    def submit(self, function: Callable[[Any], R], argument: Any) -> Future[R]:
        """Queue the call.

        Its ``running()`` tells whether a worker has begun it. Only the call that a worker was at fails when that
        worker dies; what was queued behind it runs in another.
        """
        if self._pool is None:
            raise RuntimeError("submit() was called before start()")
        return self._pool.submit(function, argument)

    def kill(self, future: Future[Any]) -> None:
        """End a call's worker and all that it has started; the call fails, no other does."""
        if self._pool is not None:
            self._pool.kill(future)

    def stop(self, *, cancel: bool) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.stop(cancel=cancel)
