"""Running a planned batch: misses on the backend, duplicates from what the misses published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from functools import partial
from typing import NamedTuple

from parcache.backends.protocol import Backend
from parcache.model import NOT_ASKED, Entry, Job, Outcome, Plan, Storing
from parcache.run.parts import Parts
from parcache.run.schedule import Lost, run_units
from parcache.run.unit import Unit
from parcache.run.worker import Runner, execute_parcel, unseal


class Ran(NamedTuple):
    """A job that ran."""

    job: Job
    outcome: Outcome


class Found(NamedTuple):
    """A job that is served by an entry of this batch: its twin's, or, if it ``ran``, its own.

    The latter published its result and lost its report, because the worker died on a later job.
    """

    job: Job
    entry: Entry
    ran: bool = False


class Crew(NamedTuple):
    """A started backend, and the runner and the parts that its workers have installed under ``token``."""

    backend: Backend
    runner: Runner
    token: str
    parts: Parts


def run_batch(
    plan: Plan,
    jobs: Mapping[int, Job],
    unit_of: Callable[[Job], Unit],
    crew: Crew,
    read: Callable[[Job], Entry | None],
) -> Iterator[Ran | Found]:
    """Yield what became of every job of the plan that is not a hit, as it happens.

    A duplicate whose twin failed, or left no entry, runs itself. ``read`` is only asked for what this batch publishes.
    """
    published = set()
    for event in _run(plan.misses, unit_of, crew, read):
        if isinstance(event, Found) or event.outcome.stored.how is Storing.PUBLISHED:
            published.add(event.job.number)
        yield event
    again: list[Job] = []
    for number in sorted(plan.duplicates):
        job = jobs[number]
        # What the store held before is not asked: with cache.mode=refresh it is not wanted.
        entry = read(job) if job.key is not None and plan.duplicates[number] in published else None
        if entry is None:
            again.append(job)
        else:
            yield Found(job, entry)
    yield from _run(tuple(again), unit_of, crew, read)


def _run(
    jobs: tuple[Job, ...], unit_of: Callable[[Job], Unit], crew: Crew, read: Callable[[Job], Entry | None]
) -> Iterator[Ran | Found]:
    by_number = {job.number: job for job in jobs}
    execute = partial(execute_parcel, crew.token)
    suspects: list[tuple[Job, int]] = []
    for event in run_units(crew.backend, execute, (unit_of(job) for job in jobs), len(jobs), crew.parts):
        if not isinstance(event, Lost):
            yield Ran(by_number[event.number], unseal(event, crew.runner))
        elif len(event.numbers) > 1 or isinstance(event.error, BrokenExecutor):
            suspects += [(by_number[number], event.sent_ns) for number in event.numbers]
        else:
            yield Ran(by_number[event.numbers[0]], _failed(event))
    # A worker died and took along what was in flight, or one of several could not travel. Each of those runs once
    # more, alone, unless it had come to its end before: only the one to blame fails.
    for job, sent_ns in suspects:
        entry = read(job) if job.key is not None else None
        if entry is not None and entry.created_ns >= sent_ns:
            yield Found(job, entry, ran=True)
            continue
        for event in run_units(crew.backend, execute, [unit_of(job)], 1, crew.parts):
            yield Ran(job, _failed(event) if isinstance(event, Lost) else unseal(event, crew.runner))


def _failed(lost: Lost) -> Outcome:
    return Outcome(lost.numbers[0], None, lost.error, 0.0, NOT_ASKED)
