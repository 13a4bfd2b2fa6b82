"""Why a job is going to run, in a word: what of its key was otherwise when its configuration ran last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from parcache.model import Job
from parcache.run.record import parts_of
from parcache.store.sweeps import KeyParts, Status, SweepRecord

MAX_RECORDS: Final = 20


class Before(NamedTuple):
    """A configuration when it ran last."""

    parts: KeyParts
    status: Status


def known_before(records: Iterable[SweepRecord]) -> dict[str, Before]:
    """Return configurations that ran, by the digest of their canonical config; ``records`` come newest first."""
    found: dict[str, Before] = {}
    for record in records:
        for job in record.jobs.values():
            if job.config and job.parts is not None:
                found.setdefault(job.config, Before(job.parts, job.status))
    return found


def reason(job: Job, before: Before | None) -> str:
    """Return why a job without a stored result has none."""
    if job.key is None:
        return "not cached"
    if before is None:
        return "new"
    now, then = parts_of(job.key), before.parts
    for name in KeyParts._fields:
        if getattr(now, name) != getattr(then, name):
            return f"{name} changed"
    return _UNCHANGED.get(before.status, "inputs changed, or gone")


_UNCHANGED: Final = {
    Status.FAILED: "failed before",
    Status.UNFINISHED: "interrupted",
    Status.REFUSED: "not stored before",
}
