"""How long a batch will take, by how long jobs have taken."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

# Beyond this many, what is left is even enough: placing 10 000 jobs would take 10 ms, several times a second.
PLACED: Final = 256


class Age(NamedTuple):
    """How long a running job has run, and how long it is expected to: None where that is not known."""

    age_s: float
    expected_s: float | None = None


def time_left(
    finished_s: Sequence[float],
    waiting_s: Sequence[float | None],
    running: Sequence[Age],
    capacity: int,
) -> float | None:
    """Return in how many seconds a batch will be done, None where nothing is known to go by.

    ``finished_s`` are the run times of its finished jobs, ``waiting_s`` those expected of the waiting jobs, in the
    order in which they will start; ``capacity`` is how many jobs run at a time. Where nothing is expected of a job it
    is taken for an average one of those that have finished or, if none has, of which something is expected.
    """
    if not waiting_s and not running:
        return 0.0
    known = [*finished_s] or [each for each in (*waiting_s, *(job.expected_s for job in running)) if each is not None]
    if not known:
        return None
    typical_s = sum(known) / len(known)
    left = [_left_of(job, typical_s) for job in running]
    coming = [typical_s if each is None else each for each in waiting_s]
    return makespan(coming, capacity, left)


def makespan(times_s: Sequence[float], capacity: int, busy_s: Iterable[float] = ()) -> float:
    """Return when all jobs are done that ``capacity`` workers take in this order, each as soon as it is free.

    ``busy_s`` says for how long the workers that are not free now will be busy.
    """
    capacity = max(1, capacity)
    free = heapq.nlargest(capacity, busy_s)
    free += [0.0] * (capacity - len(free))
    even, rest = times_s[:-PLACED], times_s[-PLACED:]
    if even:
        # As if cut into equal shares, above what each worker is busy with.
        level = (sum(free) + sum(even)) / capacity
        free = [max(each, level) for each in free]
    heapq.heapify(free)
    for each in rest:
        heapq.heapreplace(free, free[0] + each)
    return max(max(free), max(even, default=0.0))


def _left_of(job: Age, typical_s: float) -> float:
    # A job that is overdue may take as long again as it is overdue: nothing better is known.
    expected_s = typical_s if job.expected_s is None else job.expected_s
    return abs(expected_s - job.age_s)
