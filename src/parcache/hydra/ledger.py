"""What becomes of a sweep's jobs, as it happens: JobReturns, counts, log lines, the journal and the record."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hydra.core.utils import JobReturn, JobStatus

from parcache.hydra.compose import ComposedJob
from parcache.hydra.layout import layout_of
from parcache.hydra.runner import HydraRunner, Report
from parcache.model import Entry, Job, Plan, Storing, Tally
from parcache.run.journal import Journal
from parcache.run.record import Recorder
from parcache.store.sweeps import Status

if TYPE_CHECKING:
    from parcache.run.events import Again, Event, Found, Ran

log = logging.getLogger("parcache")

_MAX_NAMED: Final = 20
_MAX_SHOWN: Final = 2000


class FailedJob(NamedTuple):
    """A job that failed for good; ``log_file`` is empty where it wrote none."""

    number: int
    overrides: tuple[str, ...]
    cause: str
    log_file: str

    def __str__(self) -> str:
        """Name it and its cause in one line."""
        written = f" (log: {self.log_file})" if self.log_file else ""
        line = f"#{self.number} {_clipped(' '.join(self.overrides))}: failed: {self.cause}{written}"
        return line.encode("utf-8", "backslashreplace").decode("utf-8")  # a stream refuses lone surrogates


class LeftReturn(JobReturn):
    """Stands for a job whose result is not there yet: its status is UNKNOWN.

    The sweeper looks at the value only to see whether the job has failed.
    """

    @property
    def return_value(self) -> Any:
        """Return None: there is no result."""
        return None

    @return_value.setter
    def return_value(self, value: Any) -> None:
        raise AttributeError("this job's result is not there yet")


class Ledger:
    """The books of one sweep. ``recorder`` is None where nothing is recorded."""

    def __init__(self, runner: HydraRunner, journal: Journal) -> None:
        self._runner = runner
        self._journal = journal
        self._jobs: Mapping[int, ComposedJob] = {}
        self.recorder: Recorder | None = None
        self.returns: dict[int, JobReturn] = {}
        """By job number: those of the batch that have ended."""
        self.failures: list[FailedJob] = []
        self._last_failed: JobReturn | None = None
        self.tally = Tally()

    def begin(self, jobs: Mapping[int, ComposedJob], plan: Plan) -> None:
        """Take up a batch."""
        self._jobs = jobs
        self.returns = {}
        self._journal.note("planned", jobs)
        self._journal.note("hit", plan.hits)
        self._journal.note("duplicate", plan.duplicates)

    def hit(self, number: int, entry: Entry) -> None:
        """Put a hit back."""
        self.returns[number] = self._runner.restore(self._jobs[number], entry)
        self.tally += Tally(hits=1, saved_s=entry.run_time_s)

    def sent(self, numbers: Iterable[int]) -> None:
        """Take note of jobs that were given to the backend."""
        self._journal.note("running", numbers)

    def take(self, event: Event) -> None:
        """Take note of what became of a job."""
        from parcache.run.events import Found, Ran  # where something runs

        if isinstance(event, Ran):
            self._ran(event)
        elif isinstance(event, Found):
            self._found(event)
        else:
            self._again(event)

    def interrupted(self, running: Iterable[int]) -> None:
        """Take note that the sweep ends before its jobs have: ``running`` are those that were running."""
        left = self._jobs.keys() - self.returns.keys()
        running = sorted(left.intersection(running))
        self._journal.note("interrupted", running)
        self._journal.note("cancelled", sorted(left.difference(running)))

    def leave(self, number: int) -> JobReturn:
        """Return what stands for a job that the sweep has left to its backend."""
        self._journal.note("left", (number,))
        return LeftReturn(hydra_cfg=None, overrides=self._jobs[number].overrides)

    def first_failure(self) -> JobReturn:
        """Return what stands for the job of this batch that failed first, or for one of an earlier batch.

        Raises:
            LookupError: None has failed.
        """
        failed = [each for each in self.returns.values() if each.status is JobStatus.FAILED]
        if not failed and self._last_failed is not None:
            return self._last_failed
        return failed[0]

    def tell_failures(self) -> None:
        """Log the jobs that failed, each with its cause."""
        if not self.failures:
            return
        lines = [str(each) for each in self.failures[:_MAX_NAMED]]
        if len(self.failures) > _MAX_NAMED:
            lines.append(f"and {len(self.failures) - _MAX_NAMED} more")
        log.error("%d of the jobs failed:\n  %s", len(self.failures), "\n  ".join(lines))
        self.failures.clear()

    def _ran(self, event: Ran) -> None:
        outcome, number = event.outcome, event.job.number
        job = self._jobs[number]
        stored = outcome.stored
        if outcome.error is None:
            report: JobReturn | Report = outcome.report
            if isinstance(report, Report):
                report = report.complete(job)
            error = self._runner.error_of(report)
        else:
            error = outcome.error
            report = self._runner.failed(job, error)
        from parcache.run import failure

        self.returns[number] = report
        self.tally += Tally(misses=1, failed=error is not None)
        if error is None:
            refused = stored.how is Storing.REFUSED
            self._record(event.job, Status.REFUSED if refused else Status.MISS, stored.reason, outcome.run_time_s)
            self._journal.note("completed", (number,), run_time_s=round(outcome.run_time_s, 6))
            log.debug("#%d %s: done in %.3g s", number, " ".join(job.overrides), outcome.run_time_s)
            return
        cause = _first_line(f"{type(error).__name__}: {failure.text(error)}")
        self._record(event.job, Status.FAILED, cause)
        self._journal.note("failed", (number,), error=cause)
        self._last_failed = report
        failed = FailedJob(number, job.overrides, cause, _log_file(job))
        self.failures.append(failed)
        log.error("%s", failed)

    def _found(self, event: Found) -> None:
        number = event.job.number
        self.returns[number] = self._runner.restore(self._jobs[number], event.entry)
        run_time_s = event.entry.run_time_s
        if event.ran:
            self.tally += Tally(misses=1)
            self._record(event.job, Status.MISS, run_time_s=run_time_s)
            self._journal.note("completed", (number,), run_time_s=round(run_time_s, 6), recovered=True)
        else:
            self.tally += Tally(duplicates=1, saved_s=run_time_s)

    def _again(self, event: Again) -> None:
        self._journal.note("retry", (event.job.number,), attempt=event.attempt, error=_first_line(event.reason))
        overrides = _clipped(" ".join(event.job.overrides))
        log.warning("#%d %s: runs again after: %s", event.job.number, overrides, _clipped(event.reason))

    def _record(self, job: Job, status: Status, reason: str = "", run_time_s: float = 0.0) -> None:
        if self.recorder is not None:
            self.recorder.ended(job.number, status, reason)
            self.recorder.took(job, run_time_s)


def _first_line(text: str) -> str:
    return _clipped(text.partition("\n")[0].rstrip("\r"))


def _clipped(text: str) -> str:
    # An exception that quotes an array in one line; the job's own log has it whole.
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _log_file(job: ComposedJob) -> str:
    path = os.path.join(job.output_dir, f"{layout_of(job.base).task_name}.log")
    return path if os.path.exists(path) else ""
