"""The plan: which jobs of a batch need to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from parcache.model import Entry, Job, Plan


def make_plan(jobs: Sequence[Job], read: Callable[[Job], Entry | None]) -> Plan:
    """Return the plan of a batch.

    ``read`` is asked in job order: once for each distinct key that is not stored, once for each job whose key is.
    Jobs without a key always run. Jobs of one key that name different inputs are different jobs.
    """
    hits: dict[int, Entry] = {}
    misses: list[Job] = []
    duplicates: dict[int, int] = {}
    # By key digest and named inputs: the entry, or the number of the miss that will make it.
    answers: dict[tuple[str, tuple[tuple[str, str], ...]], Entry | int] = {}
    for job in jobs:
        if job.key is None:
            misses.append(job)
            continue
        wanted = job.key.digest, job.named
        answer = answers.get(wanted)
        if answer is None:
            answer = read(job)
            if answer is None:
                answers[wanted] = job.number
                misses.append(job)
                continue
            answers[wanted] = answer
        elif isinstance(answer, Entry):
            # Two jobs must not share one mutable value: each hit decodes its own.
            answer = read(job)
            if answer is None:
                answers[wanted] = job.number
                misses.append(job)
                continue
        if isinstance(answer, Entry):
            hits[job.number] = answer
        else:
            duplicates[job.number] = answer
    return Plan(hits, tuple(misses), duplicates)
