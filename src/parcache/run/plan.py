"""The plan: which jobs of a batch need to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from parcache.model import Entry, Job, Key, Plan


def make_plan(jobs: Sequence[Job], read: Callable[[Key], Entry | None]) -> Plan:
    """Return the plan of a batch.

    ``read`` is asked in job order: once for each distinct key that is not stored, once for each job whose key is.
    Jobs without a key always run.
    """
    hits: dict[int, Entry] = {}
    misses: list[Job] = []
    duplicates: dict[int, int] = {}
    answers: dict[str, Entry | int] = {}  # by key digest: the entry, or the number of the miss that will make it
    for job in jobs:
        if job.key is None:
            misses.append(job)
            continue
        answer = answers.get(job.key.digest)
        if answer is None:
            answer = read(job.key)
            if answer is None:
                answers[job.key.digest] = job.number
                misses.append(job)
                continue
            answers[job.key.digest] = answer
        elif isinstance(answer, Entry):
            # Two jobs must not share one mutable value: each hit decodes its own.
            answer = read(job.key)
            if answer is None:
                answers[job.key.digest] = job.number
                misses.append(job)
                continue
        if isinstance(answer, Entry):
            hits[job.number] = answer
        else:
            duplicates[job.number] = answer
    return Plan(hits, tuple(misses), duplicates)
