"""Jobs on a Dask cluster: one that runs already, one of any class, or a local one."""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from parcache.backends import machine
from parcache.backends.dask.settings import (
    PREFIX,
    Settings,
    memory_bytes,
    number_of_local_workers,
    read_resources,
    read_settings,
    threads_of_worker,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from parcache.backends.dask.calls import Call
    from parcache.backends.dask.connection import Connection
    from parcache.backends.protocol import About, Place

R = TypeVar("R")

_BY_JOB: Final = object()
_MOST_CALLS: Final = 4096


class DaskBackend:
    """Executes functions in processes beside Dask workers. What happens to one of them is nothing to the others.

    At most one of ``address``, of a scheduler that runs, and ``cluster``, a mapping with the cluster class as
    ``_target_`` and its arguments; without either a local cluster of ``workers`` processes with ``threads_per_worker``
    each. ``scale`` or ``adapt`` (``{minimum:, maximum:}``) is asked of the cluster. ``worker_resources`` is what a job
    takes of its worker's resources; without that argument each job says so itself. ``wait_s`` is how long calls wait
    for a worker while there is none, ``log_level`` what of Dask's own logging is shown.

    Raises:
        SettingError: A setting has a value that it cannot have.
    """

    executes_elsewhere = True
    per_job = ("worker_resources",)

    def __init__(
        self,
        address: str | None = None,
        cluster: Mapping[str, Any] | None = None,
        workers: int | None = None,
        threads_per_worker: int = 1,
        memory_limit: str | int | None = None,
        scale: int | None = None,
        adapt: Mapping[str, Any] | None = None,
        worker_resources: Any = _BY_JOB,
        wait_s: float | None = 300,
        log_level: str = "critical",
    ) -> None:
        self._settings: Settings = read_settings(
            address=address,
            cluster=cluster,
            workers=workers,
            threads_per_worker=threads_per_worker,
            memory_limit=memory_limit,
            scale=scale,
            adapt=adapt,
            wait_s=wait_s,
            log_level=log_level,
        )
        self._is_by_job = worker_resources is _BY_JOB
        self._resources = {} if self._is_by_job else read_resources(f"{PREFIX}.worker_resources", worker_resources)
        self._environ: dict[str, str | None] = {}
        self._name = "parcache"
        self._connection: Connection | None = None

    @property
    def workers(self) -> int:
        """How many calls are executed at a time: by the workers that there will be, as far as is known."""
        found = self._connection.watch if self._connection is not None else None
        threads, workers = (found.threads, found.workers) if found is not None else (0, 0)
        each = threads // workers if workers else threads_of_worker(self._settings)
        return max(threads, 1, self._expected() * each)

    @property
    def capacity(self) -> int:
        """Twice the workers: none of them waits for the sweeping process between two jobs."""
        return min(2 * self.workers, _MOST_CALLS)

    def _expected(self) -> int:
        settings = self._settings
        if settings.adapt is not None:
            return settings.adapt.maximum
        if settings.scale is not None:
            return settings.scale
        if settings.target is None and settings.is_ours:
            return number_of_local_workers(settings)
        # Before there is a connection, nothing is known of a cluster but that it will have some.
        return 0 if self._connection is not None else machine.cores()

    def settle(self, place: Place) -> None:
        """Take the app's name: the dashboard shows it."""
        self._name = f"parcache-{place.name}"

    def environment(self, names: Collection[str]) -> Mapping[str, str]:
        """Return nothing: whatever the workers' machines have set, jobs find these as they are here."""
        self._environ = {name: os.environ.get(name) for name in names}
        return {}

    def start(self, initializer: Callable[[], None]) -> None:
        """Connect to the cluster, or make it. Its workers may come later: calls wait for them.

        Raises:
            SettingError: The cluster cannot be made or reached with these settings.
            DaskVersionError: Its scheduler or a worker has another Python.
        """
        from parcache.backends.dask.connection import Connection
        from parcache.backends.dask.relay import assignment

        topic = f"{self._name}-{secrets.token_hex(6)}"
        assigned = assignment(topic, initializer, self._environ, memory_bytes(self._settings))
        self._connection = Connection(self._settings, topic, assigned)
        weakref.finalize(self, self._connection.close)

    def submit(self, function: Callable[[Any], R], argument: Any) -> Future[R]:
        """Send the call."""
        return self._submit(function, argument, self._resources)

    @property
    def submit_job(self) -> Callable[[Callable[[Any], Any], Any, About], Future[Any]]:
        """Send a call that says itself what it takes of its worker's resources.

        Raises:
            AttributeError: All take the same: then short jobs travel together.
        """
        if not self._is_by_job:
            raise AttributeError("submit_job")
        return self._submit_job

    def _submit_job(self, function: Callable[[Any], R], argument: Any, about: About) -> Future[R]:
        wanted = about.settings.get("worker_resources")
        return self._submit(function, argument, read_resources(f"{PREFIX}.worker_resources", wanted))

    def _submit(self, function: Callable[[Any], R], argument: Any, resources: Mapping[str, float]) -> Future[R]:
        if self._connection is None:
            raise RuntimeError("submit() was called before start()")
        return self._connection.calls.submit(function, argument, resources)

    def kill(self, future: Future[Any]) -> None:
        """End a call and all that it has started; the call fails, no other does."""
        if self._connection is not None:
            self._connection.calls.end(cast("Call", future))

    def running_s(self, future: Future[Any]) -> float | None:
        """Return for how long a call has been running (s)."""
        return None if self._connection is None else self._connection.calls.running_s(cast("Call", future))

    def stop(self, *, cancel: bool) -> None:
        """End what runs, and the cluster where it is ours."""
        if self._connection is not None:
            if not cancel:
                self._connection.calls.wait()
            self._connection.close()
