"""Running a planned batch: misses on the backend, duplicates from what the misses published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from parcache.model import Entry, Job, Plan, Storing
from parcache.run.events import Again, Event, Found, Ran
from parcache.run.schedule import Recovered, Retried, Schedule
from parcache.run.unit import Unit


class Batch:
    """One batch: what its plan left to do. ``read`` is only asked for what this batch publishes."""

    def __init__(
        self,
        plan: Plan,
        jobs: Mapping[int, Job],
        unit_of: Callable[[Job], Unit],
        read: Callable[[Job], Entry | None],
    ) -> None:
        self._plan = plan
        self._jobs = jobs
        self._unit_of = unit_of
        self._read = read

    def recover(self, number: int, since_ns: int) -> Entry | None:
        """Return what a job of this batch has published since a time, in ns since the epoch."""
        job = self._jobs[number]
        # What the store held before is not asked: with cache.mode=refresh it is not wanted.
        entry = self._read(job) if job.key is not None else None
        return entry if entry is not None and entry.created_ns >= since_ns else None

    def run(self, schedule: Schedule) -> Iterator[Event]:
        """Yield what becomes of every job of the plan that is not a hit, as it happens.

        A duplicate whose twin failed, or left no entry, runs itself. Where the schedule is over before the end, or
        detaches, there are jobs of which nothing is told.
        """
        published = set()
        for event in self._run([job.number for job in self._plan.misses], schedule):
            if isinstance(event, Found) or (isinstance(event, Ran) and event.outcome.stored.how is Storing.PUBLISHED):
                published.add(event.job.number)
            yield event
        again: list[int] = []
        for number in sorted(self._plan.duplicates):
            job = self._jobs[number]
            entry = self._read(job) if job.key is not None and self._plan.duplicates[number] in published else None
            if entry is not None:
                yield Found(job, entry)
            else:
                again.append(number)
        if not schedule.is_over and not schedule.detaches:
            yield from self._run(again, schedule)

    def left(self, schedule: Schedule) -> Iterator[Found]:
        """Yield the jobs that had published when their workers were ended with the sweep."""
        for number, entry in schedule.left():
            yield Found(self._jobs[number], entry, ran=True)

    def _run(self, numbers: list[int], schedule: Schedule) -> Iterator[Event]:
        jobs = self._jobs
        for event in schedule.run(numbers, lambda number: self._unit_of(jobs[number]), self.recover):
            job = jobs[event.number]
            if isinstance(event, Recovered):
                yield Found(job, event.entry, ran=True)
            elif isinstance(event, Retried):
                yield Again(job, event.attempt, event.reason)
            else:
                yield Ran(job, event)
