"""Where a batch stands at any moment, for whoever shows it: told from one thread, asked from another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from parcache.model import Job
from parcache.progress.estimate import Age, time_left
from parcache.progress.snapshot import RunningJob, Snapshot
from parcache.run.marks import Mark

_KEPT_TIMES = 1000
# Between the end of a job and the start of the next there is a moment in which none runs.
_PAUSE_S = 2.0


class Status:
    """Counts what becomes of a batch's jobs. ``waiting`` are those to run, in the order in which they will start.

    ``marks`` returns who runs what; ``expected`` are the run times that jobs are expected to have (s), by number.
    ``capacity`` is how many run at a time.
    """

    def __init__(
        self,
        total: int,
        hits: int,
        waiting: Sequence[Job],
        marks: Callable[[], Iterable[Mark]],
        expected: Mapping[int, float],
        capacity: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._total, self._hits = total, hits
        self._open = {job.number: job for job in waiting}
        self._marks = marks
        self._expected = expected
        self._capacity = capacity
        self._clock = clock
        self._started_s = self._active_s = clock()
        self._times_s: list[float] = []
        self._duplicates = self._completed = self._failed = self._retried = 0

    def completed(self, number: int, run_time_s: float) -> None:
        """Count a job that ran to its end."""
        with self._lock:
            self._open.pop(number, None)
            self._completed += 1
            self._active_s = self._clock()
            self._times_s.append(run_time_s)
            del self._times_s[:-_KEPT_TIMES]

    def failed(self, number: int) -> None:
        """Count a job that failed for good."""
        with self._lock:
            self._open.pop(number, None)
            self._failed += 1
            self._active_s = self._clock()

    def duplicate(self) -> None:
        """Count a job that another one's result serves."""
        with self._lock:
            self._duplicates += 1

    def retried(self) -> None:
        """Count a run that is done again."""
        with self._lock:
            self._retried += 1

    def snapshot(self) -> Snapshot:
        """Return how things are now."""
        marks = list(self._marks())
        now_s = self._clock()
        with self._lock:
            started = {mark.number: mark.started_s for mark in marks if mark.number in self._open}
            running = [RunningJob(number, self._open[number].overrides, at) for number, at in sorted(started.items())]
            concluded = self._hits + self._duplicates + self._completed + self._failed
            if running:
                self._active_s = now_s
            # What waits for a scheduler, or for another sweep, may do so for days.
            left_s = time_left(
                list(self._times_s),
                [self._expected.get(number) for number in self._open if number not in started],
                [Age(now_s - job.started_s, self._expected.get(job.number)) for job in running],
                self._capacity,
            )
            return Snapshot(
                self._total,
                self._hits,
                self._duplicates,
                self._completed,
                self._failed,
                self._retried,
                tuple(running),
                max(0, self._total - concluded - len(running)),
                now_s - self._started_s,
                left_s if now_s - self._active_s < _PAUSE_S else None,
            )
