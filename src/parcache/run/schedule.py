"""The schedule loop: keep a backend busy and hand out outcomes as they come.

Sending a job to another process and its outcome back costs ten times what an empty job does. Short jobs therefore
travel together, in parcels that are as large as keeps a worker busy for about 30 ms; long jobs travel alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from itertools import islice
from typing import Final, NamedTuple

from parcache.backends.protocol import Backend
from parcache.model import Outcome
from parcache.run.parts import Parts
from parcache.run.unit import Delivery, Parcel, Unit

# Dispatching a parcel costs some 0.3 ms; a tail of this length does not show either.
TARGET_S: Final = 0.03


class Lost(NamedTuple):
    """Units of which nothing came back: their worker died, or their parcel could not travel.

    Some of several may have run, and published, before. ``sent_ns`` is when they were submitted, in ns since the epoch.
    """

    numbers: tuple[int, ...]
    error: BaseException
    sent_ns: int


class ParcelSize:
    """How many units travel together. Starts with one; doubles while parcels are short, shrinks at once."""

    def __init__(self, largest: int | None = None) -> None:
        self._size = 1
        self._largest = largest

    def next(self, remaining: int, capacity: int) -> int:
        """Return the size of the next parcel: at the end of a batch smaller, so that all workers end together."""
        size = max(1, min(self._size, remaining // capacity))
        return size if self._largest is None else min(size, self._largest)

    def learn(self, times_s: tuple[float, ...]) -> None:
        """Take note of how long each unit of a parcel has taken."""
        if not times_s:
            return
        if max(times_s) > TARGET_S:
            self._size = 1
            return
        fitting = int(TARGET_S * len(times_s) / max(sum(times_s), 1e-9))
        # Of what was seen the double, not of what is in flight: its times are not known yet.
        self._size = max(1, min(fitting, max(self._size, 2 * len(times_s))))


def run_units(
    backend: Backend,
    execute: Callable[[Parcel], Delivery],
    units: Iterable[Unit],
    count: int,
    parts: Parts,
    *,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Iterator[Outcome | Lost]:
    """Yield one outcome for each unit, in the order in which their parcels finish, or what was lost.

    ``count`` is how many units there are. At most ``backend.capacity`` parcels are in flight.
    """
    waiting = _Waiting(units, count)
    size = ParcelSize(getattr(backend, "jobs_per_call", None))
    running: dict[Future[Delivery], tuple[Parcel, int]] = {}
    while running or waiting:
        at_once = None
        while waiting and len(running) < backend.capacity:
            parcel = _parcel(waiting.take(size.next(waiting.count, backend.capacity)), parts)
            sent_ns = clock_ns()
            future = _submit(backend, execute, parcel)
            running[future] = parcel, sent_ns
            if future.done():  # a backend that executes on submission: hand the outcome out before the next job
                at_once = future
                break
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            parcel, sent_ns = running.pop(future)
            delivery = _delivery(future)
            if isinstance(delivery, BaseException):
                yield Lost(tuple(unit.number for unit in parcel.units), delivery, sent_ns)
                continue
            if future is not at_once:
                size.learn(delivery.times_s)
            waiting.give_back(parcel.units[len(delivery.outcomes) :])
            yield from delivery.outcomes


class _Waiting:
    """The units that are not in flight: made when they are due, except those that came back unstarted."""

    def __init__(self, units: Iterable[Unit], count: int) -> None:
        self._coming = iter(units)
        self._back: deque[Unit] = deque()
        self.count = count

    def __bool__(self) -> bool:
        return self.count > 0

    def take(self, number: int) -> tuple[Unit, ...]:
        """Return the next units, in their order."""
        number = min(number, self.count)
        taken = [self._back.popleft() for _ in range(min(number, len(self._back)))]
        taken += islice(self._coming, number - len(taken))
        self.count -= number
        return tuple(taken)

    def give_back(self, units: tuple[Unit, ...]) -> None:
        """Take units back to the front."""
        self._back.extendleft(reversed(units))
        self.count += len(units)


def _parcel(units: tuple[Unit, ...], parts: Parts) -> Parcel:
    return Parcel(units, parts.to_bring({number for unit in units for number in unit.parts}))


def _submit(backend: Backend, execute: Callable[[Parcel], Delivery], parcel: Parcel) -> Future[Delivery]:
    try:
        return backend.submit(execute, parcel)
    except Exception as error:  # a broken pool refuses work at once
        failed: Future[Delivery] = Future()
        failed.set_exception(error)
        return failed


def _delivery(future: Future[Delivery]) -> Delivery | BaseException:
    # A backend may cancel what its workers can no longer do; asking a cancelled future raises.
    if future.cancelled():
        return CancelledError("the backend cancelled the job")
    return future.exception() or future.result()
