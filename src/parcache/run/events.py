"""What is told of a batch's jobs while it runs."""

from __future__ import annotations

from typing import NamedTuple

from parcache.model import Entry, Job, Outcome


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


class Again(NamedTuple):
    """A job that is going to run again: after a failure, of which ``reason`` tells; ``attempt`` counts from 1."""

    job: Job
    attempt: int
    reason: str


Event = Ran | Found | Again
