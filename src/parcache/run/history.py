"""How long jobs took before: to start the longest first, and to say how long a sweep will take.

What is known comes from the records of earlier sweeps: the configuration's digest, the overrides and the run time of
each job that ran. The same configuration, under whatever code, is the best witness; else those that share the most
overrides with a job, by the median of their times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

from parcache.model import Job

# Fewer jobs than workers start at once anyway; where all take about as long, the given order is as good.
_MIN_SPREAD: Final = 1.2
_MAX_NEIGHBOURS: Final = 25
_MAX_CANDIDATES: Final = 50
MAX_PAST: Final = 20_000
"""How many jobs of the past are worth reading: 4 us each."""


class Past(NamedTuple):
    """A job that ran: ``config`` is the digest of its canonical config."""

    config: str
    run_time_s: float
    overrides: tuple[str, ...]


def expected_times(jobs: Iterable[Job], past: Sequence[Past]) -> dict[int, float]:
    """Return by job number how long jobs are expected to run (s); those of which nothing is known are not in it.

    ``past`` is ordered from the newest to the oldest.
    """
    exact: dict[str, float] = {}
    for one in past:
        exact.setdefault(one.config, one.run_time_s)
    found: dict[int, float] = {}
    neighbours: _Neighbours | None = None
    known: dict[tuple[str, ...], float | None] = {}
    for job in jobs:
        time_s = exact.get(job.key.config) if job.key is not None else None
        if time_s is None:
            if job.overrides not in known:
                neighbours = neighbours or _Neighbours(past)
                known[job.overrides] = neighbours.time_s(job.overrides)
            time_s = known[job.overrides]
        if time_s is not None:
            found[job.number] = time_s
    return found


def longest_first(jobs: Sequence[Job], expected: Mapping[int, float]) -> tuple[Job, ...]:
    """Return the jobs in the order in which to start them; as they were given where nothing speaks against it.

    A job of which nothing is known counts as an average one. Jobs of about the same time keep their order.
    """
    times = [expected[job.number] for job in jobs if job.number in expected]
    if not times or max(times) < _MIN_SPREAD * max(min(times), 1e-3):
        return tuple(jobs)
    usual = sum(times) / len(times)
    return tuple(sorted(jobs, key=lambda job: -expected.get(job.number, usual)))


class _Neighbours:
    """Finds the jobs that share the most overrides with one; where very many share some, among the newest of them.

    Counting all that share an override would take sweeps of thousands of new jobs minutes: what all jobs share, all
    of them share with each.
    """

    def __init__(self, past: Sequence[Past]) -> None:
        self._past = past
        self._by_override: defaultdict[str, list[int]] = defaultdict(list)
        for index, one in enumerate(past):
            for override in one.overrides:
                self._by_override[override].append(index)

    def time_s(self, overrides: tuple[str, ...]) -> float | None:
        wanted = set(overrides)
        candidates: set[int] = set()  # what few jobs have tells most
        for found in sorted(
            (self._by_override.get(override, ()) for override in wanted), key=len
        ):  # rare ones tell most
            candidates.update(found[:_MAX_CANDIDATES])
            if len(candidates) >= _MAX_CANDIDATES:
                break
        if not candidates:
            return None
        shared = {index: len(wanted.intersection(self._past[index].overrides)) for index in candidates}
        most = max(shared.values())
        nearest = sorted(index for index, number in shared.items() if number == most)[:_MAX_NEIGHBOURS]
        return median(self._past[index].run_time_s for index in nearest)
