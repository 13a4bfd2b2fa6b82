"""A dry run: the plan of a sweep as a table, in place of its jobs."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice

from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import DictConfig

from parcache.hydra.cache import SweepCache
from parcache.hydra.record import placeholders, set_aside
from parcache.model import Job, Plan
from parcache.progress.table import PlannedJob, Verdict, show_plan
from parcache.run.reasons import MAX_RECORDS, Before, known_before, reason
from parcache.store.sweeps import records


class DryRun:
    """Stands in for running a sweep's jobs. ``is_app``: the sweep was started from a command line."""

    def __init__(self, context: HydraContext, master: DictConfig, *, is_app: bool) -> None:
        """Keep the sweeper from writing where the sweep would, and callbacks from hearing of it."""
        self._folder = tempfile.mkdtemp(prefix="parcache-dry-run-")
        self._is_app = is_app
        self._comes_back = set_aside(context, master, self._folder)

    def show(
        self, jobs: Sequence[Job], plan: Plan, cache: SweepCache, expected: Mapping[int, float], workers: int
    ) -> list[JobReturn]:
        """Print one batch's plan.

        Returns to a sweeper that does not look at results, and to Python; with any other, the process ends.
        """
        before = {}
        if cache.opened is not None and plan.misses:
            before = known_before(islice(records(cache.opened.paths), MAX_RECORDS))
        rows = [_row(job, plan, before, expected, is_refreshed=not cache.reads) for job in jobs]
        show_plan(rows, workers, sys.stdout)
        if self._is_app and not self._comes_back:
            self.close()
            raise SystemExit(0)
        return placeholders(len(jobs))

    def close(self) -> None:
        """Remove what the sweeper has written. Later calls do nothing."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _row(
    job: Job, plan: Plan, before: Mapping[str, Before], expected: Mapping[int, float], *, is_refreshed: bool
) -> PlannedJob:
    if job.number in plan.hits:
        entry = plan.hits[job.number]
        return PlannedJob(job.number, job.overrides, Verdict.HIT, "stored", entry.run_time_s)
    if job.number in plan.duplicates:
        return PlannedJob(job.number, job.overrides, Verdict.DUPLICATE, f"as #{plan.duplicates[job.number]}")
    known = before.get(job.key.config) if job.key is not None else None
    why = "refresh" if is_refreshed and job.key is not None else reason(job, known)
    return PlannedJob(job.number, job.overrides, Verdict.MISS, why, expected.get(job.number))
