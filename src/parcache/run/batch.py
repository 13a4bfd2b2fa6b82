"""Running a planned batch: misses on the backend, duplicates from what the misses published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from functools import partial

from parcache.backends.protocol import Backend
from parcache.model import Entry, Job, Key, Outcome, Plan, Storing
from parcache.run.schedule import run_units
from parcache.run.worker import Runner, Unit, execute, unseal


@dataclass(frozen=True, slots=True)
class Ran:
    """A job that ran."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Found:
    """A duplicate that is served by the entry that its twin published."""

    job: Job
    entry: Entry


@dataclass(frozen=True, slots=True)
class Crew:
    """A started backend and the runner that its workers have installed under ``token``."""

    backend: Backend
    runner: Runner
    token: str


def run_batch(
    plan: Plan,
    jobs: Mapping[int, Job],
    unit_of: Callable[[Job], Unit],
    crew: Crew,
    read: Callable[[Key], Entry | None],
) -> Iterator[Ran | Found]:
    """Yield what became of every job of the plan that is not a hit, as it happens.

    A duplicate whose twin failed, or left no entry, runs itself.
    """
    published = set()
    for event in _run(plan.misses, unit_of, crew):
        if event.outcome.stored.how is Storing.PUBLISHED:
            published.add(event.job.number)
        yield event
    again: list[Job] = []
    for number in sorted(plan.duplicates):
        job = jobs[number]
        # What the store held before is not asked: with cache.mode=refresh it is not wanted.
        entry = read(job.key) if job.key is not None and plan.duplicates[number] in published else None
        if entry is None:
            again.append(job)
        else:
            yield Found(job, entry)
    yield from _run(tuple(again), unit_of, crew)


def _run(jobs: tuple[Job, ...], unit_of: Callable[[Job], Unit], crew: Crew) -> Iterator[Ran]:
    by_number = {job.number: job for job in jobs}
    execute_here = partial(execute, crew.token)
    suspects: list[Job] = []
    for outcome in run_units(crew.backend, execute_here, (unit_of(job) for job in jobs)):
        if isinstance(outcome.error, BrokenExecutor):
            suspects.append(by_number[outcome.number])
        else:
            yield Ran(by_number[outcome.number], unseal(outcome, crew.runner))
    # A worker died and took along what was in flight. Each of those runs once more, alone: only the one to blame fails.
    for job in suspects:
        for outcome in run_units(crew.backend, execute_here, [unit_of(job)]):
            yield Ran(job, unseal(outcome, crew.runner))
