"""Jobs of a batch system in each of which several Dask workers run, as dask-jobqueue's do from four cores on.

A cluster finds the job of a worker that is gone by the worker's name, which is then not the job's; so such a job stays
among those that it has, and is never asked for again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Groups:
    """Looks for jobs all of whose workers have been there and are gone. For the cluster's event loop."""

    def __init__(self, cluster: Any, gone_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._gone_after_s = gone_after_s
        self._clock = clock
        self._present: set[Any] = set()
        self._gone_s: dict[Any, float] = {}

    async def forget_ended(self) -> None:
        """Close the jobs that have ended, so that the cluster can have others."""
        specs: dict[Any, Any] = getattr(self._cluster, "worker_spec", None) or {}
        grouped = {job: spec["group"] for job, spec in specs.items() if isinstance(spec, dict) and spec.get("group")}
        if not grouped:
            return
        names = {str(worker["name"]) for worker in self._cluster.scheduler_info["workers"].values()}
        for job, suffixes in grouped.items():
            if any(f"{job}{suffix}" in names for suffix in suffixes):
                self._present.add(job)
                self._gone_s.pop(job, None)
            elif job in self._present:
                since_s = self._gone_s.setdefault(job, self._clock())
                if self._clock() - since_s >= self._gone_after_s:
                    await self._forget(job)

    async def _forget(self, job: Any) -> None:
        self._present.discard(job)
        self._gone_s.pop(job, None)
        self._cluster.worker_spec.pop(job, None)
        found = self._cluster.workers.pop(job, None)
        if found is not None:
            with suppress(Exception):  # a batch system may not know it any more
                await found.close()
