"""How a parcel gets to a backend: as one call among others, or as one job of which a scheduler is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from parcache.backends.protocol import About, Backend
from parcache.run.unit import Delivery, Parcel


def nothing_varies(_: int) -> Mapping[str, Any]:
    """Return no settings for any job."""
    return {}


class Dispatch:
    """Hands parcels to a started backend.

    ``varying`` returns, by job number, what of the backend's settings depends on the job. With ``is_refreshed``, a job
    runs whatever other sweeps do.
    """

    def __init__(
        self,
        backend: Backend,
        execute: Callable[[Parcel], Delivery],
        varying: Callable[[int], Mapping[str, Any]] = nothing_varies,
        *,
        is_refreshed: bool = False,
    ) -> None:
        self._backend = backend
        self._execute = execute
        self._varying = varying
        self._is_refreshed = is_refreshed
        self._submit_job: Callable[..., Future[Delivery]] | None = getattr(backend, "submit_job", None)
        self._flush: Callable[[], None] | None = getattr(backend, "flush", None)
        self._has_more = False
        self.largest: int | None = 1 if self._submit_job is not None else getattr(backend, "jobs_per_call", None)
        """How many jobs may travel in one parcel; None for any number."""
        self.detaches = bool(getattr(backend, "detach", False))
        """Whether the sweep ends as soon as all is submitted."""

    def submit(self, parcel: Parcel, *, attaches: bool = True) -> Future[Delivery]:
        """Submit a parcel. Without ``attaches``, it is not to wait for what another sweep has of it."""
        self._has_more = True
        try:
            if self._submit_job is None:
                return self._backend.submit(self._execute, parcel)
            return self._submit_job(self._execute, parcel, self._about(parcel, attaches=attaches))
        except Exception as error:  # a broken pool refuses work at once
            failed: Future[Delivery] = Future()
            failed.set_exception(error)
            return failed

    def flush(self) -> None:
        """Tell the backend that nothing more comes until something has ended."""
        if self._has_more and self._flush is not None:
            self._flush()
        self._has_more = False

    def _about(self, parcel: Parcel, *, attaches: bool) -> About:
        (unit,) = parcel.units
        is_alone = self._is_refreshed or not attaches or unit.ticket is None
        key = None if is_alone or unit.ticket is None else unit.ticket.key.digest
        return About(unit.number, key, self._varying(unit.number))
