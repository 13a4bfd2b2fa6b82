"""Running a planned batch: misses on the backend, duplicates from what the misses published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from parcache.backends.protocol import Backend
from parcache.model import Entry, Job, Key, Outcome, Plan
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
    yield from _run(plan.misses, unit_of, crew)
    again: list[Job] = []
    for number in sorted(plan.duplicates):
        job = jobs[number]
        entry = read(job.key) if job.key is not None else None
        if entry is None:
            again.append(job)
        else:
            yield Found(job, entry)
    yield from _run(tuple(again), unit_of, crew)


def _run(jobs: tuple[Job, ...], unit_of: Callable[[Job], Unit], crew: Crew) -> Iterator[Ran]:
    by_number = {job.number: job for job in jobs}
    units = (unit_of(job) for job in jobs)
    for outcome in run_units(crew.backend, partial(execute, crew.token), units):
        yield Ran(by_number[outcome.number], unseal(outcome, crew.runner))
