"""The schedule loop: keep a backend busy, hand out what becomes of each unit, try again where that helps.

A unit ends once. In between it may be given back: because the worker that had it died over another one, because its
parcel had taken long enough, or because it failed and is to be tried again.

What a dead worker had is told apart by its mark (``parcache.run.marks``): what had ended before and published is taken
from the store, what had not started is sent out again and nothing is counted, and the one that was running has cost its
worker. Anybody may have killed that worker (an administrator, the kernel when memory ran out for the sake of others),
so the unit runs once more, alone; the second time it fails, however many retries there are.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from typing import Any, Final, NamedTuple

from parcache.backends.protocol import Backend
from parcache.errors import ElsewhereError, JobTimeoutError, NoWorkerError, WorkerDiedError
from parcache.model import NOT_ASKED, Entry, Outcome
from parcache.run import failure
from parcache.run.dispatch import Dispatch, nothing_varies
from parcache.run.limits import NO_LIMITS, Limits
from parcache.run.marks import Mark, Marks
from parcache.run.parts import Parts
from parcache.run.unit import Delivery, Parcel, Unit
from parcache.run.waiting import ParcelSize, Waiting
from parcache.run.worker import Runner, unseal

_DEATHS: Final = (WorkerDiedError, BrokenExecutor, CancelledError)
_MAX_DEATHS: Final = 2
# So many workers in a row, for each that may run at a time, died before they had started anything.
_MAX_STILLBORN: Final = 8
_MIN_POLL_S: Final = 0.02
_MAX_POLL_S: Final = 0.5
_INTERRUPT_POLL_S: Final = 0.2


class Crew(NamedTuple):
    """A started backend; ``execute`` is what it is to call with each parcel, in workers that have the runner."""

    backend: Backend
    runner: Runner
    execute: Callable[[Parcel], Delivery]
    parts: Parts
    marks: Marks


class Recovered(NamedTuple):
    """A unit that published its result and lost its report, because its worker died, or that another sweep ran."""

    number: int
    entry: Entry


class Retried(NamedTuple):
    """A unit that is going to run again. ``attempt`` is the one that failed, from 1."""

    number: int
    attempt: int
    reason: str


Event = Outcome | Recovered | Retried


# Returns what a unit published since a time, in ns since the epoch.
Recover = Callable[[int, int], Entry | None]


class _Flight(NamedTuple):
    parcel: Parcel
    sent_ns: int


class Schedule:
    """Runs units on a crew, batch after batch, within the limits of one sweep.

    ``failed`` units have failed before. ``sent`` is told the numbers of units that travel together.
    ``is_interrupted`` tells between two units that the sweep is to end, where what ran has swallowed the
    KeyboardInterrupt. ``varying`` returns what of the backend's settings depends on the job. With ``is_refreshed``, a
    job runs whatever other sweeps do.
    """

    def __init__(
        self,
        crew: Crew,
        limits: Limits = NO_LIMITS,
        *,
        varying: Callable[[int], Mapping[str, Any]] = nothing_varies,
        is_refreshed: bool = False,
        failed: int = 0,
        sent: Callable[[Sequence[int]], None] = lambda _: None,
        is_interrupted: Callable[[], bool] = lambda: False,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._crew = crew
        self._backend = crew.backend
        self._dispatch = Dispatch(crew.backend, crew.execute, varying, is_refreshed=is_refreshed)
        self._recover: Recover = _nothing_published
        self._limits = limits
        self._sent = sent
        self.is_interrupted = is_interrupted
        self._polls = bool(getattr(crew.backend, "executes_elsewhere", False))
        self._clock_ns = clock_ns
        self._monotonic_s = monotonic_s
        self._ids = itertools.count(1)
        self._size = ParcelSize(self._dispatch.largest)
        self._kill: Callable[[Future[Any]], None] | None = getattr(crew.backend, "kill", None)
        self._running_s: Callable[[Future[Any]], float | None] | None = getattr(crew.backend, "running_s", None)
        self._waiting = Waiting((), _no_unit)
        self._running: dict[Future[Delivery], _Flight] = {}
        self._alone: set[int] = set()  # units that another sweep had, and has left without a result
        self._overdue: dict[int, int] = {}  # by parcel: the unit for which it was killed
        self._failures: Counter[int] = Counter()  # by unit: attempts that failed
        self._deaths: Counter[int] = Counter()  # by unit: workers that died over it
        self._stillborn = 0
        self._has_marks = False
        self.failed = failed
        """How many units have failed for good."""

    @property
    def is_over(self) -> bool:
        """Tell whether the limits are reached: no unit is started any more."""
        return self._limits.are_reached(self.failed)

    @property
    def detaches(self) -> bool:
        """Tell whether ``run`` ends as soon as all is submitted: what has not ended then is left to the backend."""
        return self._dispatch.detaches

    def running(self) -> list[Mark]:
        """Return the units that run at this moment, some that have ended among them. Called from any thread."""
        return list(self._marks().values())

    def run(self, numbers: Sequence[int], unit_of: Callable[[int], Unit], recover: Recover) -> Iterator[Event]:
        """Yield what becomes of these units, in the order in which it does. At most ``capacity`` parcels are in flight.

        Each unit has one Outcome or is Recovered in the end; not all do where the limits are reached: what then runs is
        to be ended by the backend's owner, where the backend can do that, else waited for, and nothing else is started.
        Nor do they where the schedule detaches.
        """
        self._waiting, self._recover = Waiting(numbers, unit_of), recover
        while self._running or self._waiting:
            if self.is_interrupted():
                raise KeyboardInterrupt
            at_once = self._fill()
            if self.detaches and not self._waiting and not any(future.done() for future in self._running):
                return
            for future in wait(self._running, timeout=self._poll_s(), return_when=FIRST_COMPLETED).done:
                yield from self._settle(future, learns=future is not at_once)
            if self.is_over:
                yield from self._end()
                return
            self._stop_overdue()

    def left(self) -> Iterator[Recovered]:
        """Yield, of the units that were in flight when the sweep was ended, those that have published all the same.

        Asked when their workers are gone: until then they may publish.
        """
        flights = list(self._running.values())
        self._running.clear()
        self._waiting.drop()
        for flight in flights:
            for unit in flight.parcel.units:
                entry = self._recover(unit.number, flight.sent_ns)
                if entry is not None:
                    yield Recovered(unit.number, entry)

    def _fill(self) -> Future[Delivery] | None:
        """Send out what there is room for; returns a future that has ended at once, before anything else is sent."""
        while self._waiting and len(self._running) < self._backend.capacity:
            units = self._waiting.take(self._size.next(self._waiting.count, self._backend.capacity))
            brought = self._crew.parts.to_bring({number for unit in units for number in unit.parts})
            parcel = Parcel(units, brought, next(self._ids))
            flight = _Flight(parcel, self._clock_ns())
            self._sent([unit.number for unit in units])
            future = self._dispatch.submit(parcel, attaches=self._alone.isdisjoint(unit.number for unit in units))
            self._running[future] = flight
            if future.done():  # a backend that executes on submission: hand the outcome out before the next job
                return future
        self._dispatch.flush()
        return None

    def _settle(self, future: Future[Delivery], *, learns: bool) -> Iterator[Event]:
        flight = self._running.pop(future)
        delivery = _delivery(future)
        if isinstance(delivery, BaseException):
            yield from self._lost(flight, delivery)
            return
        self._stillborn = 0
        self._overdue.pop(flight.parcel.id, None)
        if learns:
            self._size.learn(delivery.times_s)
        units = flight.parcel.units
        self._waiting.give_back(units[len(delivery.outcomes) :])
        for unit, outcome in zip(units, delivery.outcomes, strict=False):
            yield self._ended(unit, unseal(outcome, self._crew.runner))

    def _ended(self, unit: Unit, outcome: Outcome, *, is_final: bool = False) -> Outcome | Retried:
        """Return a unit's outcome, or that it is tried again."""
        error = outcome.error if outcome.error is not None else self._crew.runner.error_of(outcome.report)
        if error is None:
            return outcome
        if not is_final and self._failures[unit.number] < self._limits.retries and not self.is_over:
            self._failures[unit.number] += 1
            self._waiting.give_back_alone(unit)
            return Retried(unit.number, self._failures[unit.number], f"{type(error).__name__}: {failure.text(error)}")
        self.failed += 1
        return outcome

    def _lost(self, flight: _Flight, error: BaseException) -> Iterator[Event]:
        """Find out what has become of the units of a parcel that did not come back."""
        parcel = flight.parcel
        killed_for = self._overdue.pop(parcel.id, None)
        if isinstance(error, ElsewhereError):
            for unit in parcel.units:
                yield from self._ended_elsewhere(unit)
            return
        if not isinstance(error, _DEATHS):  # it could not travel: nothing of it has run
            yield from self._untravelled(parcel.units, error)
            return
        mark = self._mark(parcel)
        units = []
        for unit in parcel.units:
            entry = self._recover(unit.number, flight.sent_ns)
            if entry is not None:
                yield Recovered(unit.number, entry)
            else:
                units.append(unit)
        was_ready = getattr(error, "was_ready", True)
        if mark is None and (self._has_marks or len(parcel.units) > 1 or not was_ready):
            # Or it had ended, and the worker began another before its report was read.
            if units:
                yield from self._never_started(tuple(units), error)
            return
        self._stillborn = 0
        running = parcel.units[0].number if mark is None else mark.number
        self._waiting.give_back(unit for unit in units if unit.number != running)
        for unit in units:
            if unit.number == running:
                event = self._interrupted(unit, error, killed_for)
                if event is not None:
                    yield event

    def _ended_elsewhere(self, unit: Unit) -> Iterator[Recovered]:
        entry = self._recover(unit.number, 0)
        if entry is not None:
            yield Recovered(unit.number, entry)
            return
        self._alone.add(unit.number)  # it has failed there; whether it does so here is this sweep's to find out
        self._waiting.give_back((unit,))

    def _interrupted(self, unit: Unit, error: BaseException, killed_for: int | None) -> Event | None:
        """Return what becomes of the unit that a dead worker was running; None where it is to run as if nothing were.

        ``killed_for`` is the unit for whose sake the worker was killed.
        """
        if killed_for is None:
            return self._died(unit, error)
        if killed_for != unit.number or self._limits.timeout_s is None:  # the one that was overdue had just ended
            self._waiting.give_back((unit,))
            return None
        return self._ended(unit, _without_report(unit, JobTimeoutError(unit.number, self._limits.timeout_s)))

    def _died(self, unit: Unit, error: BaseException) -> Event:
        if getattr(error, "blames_job", False):  # a scheduler has ended it, and not for the sake of others
            return self._ended(unit, _without_report(unit, error))
        self._deaths[unit.number] += 1
        if self._deaths[unit.number] >= _MAX_DEATHS or self.is_over:
            return self._ended(unit, _without_report(unit, error), is_final=True)
        self._waiting.give_back_alone(unit)
        return Retried(unit.number, self._deaths[unit.number], failure.text(error))

    def _untravelled(self, units: tuple[Unit, ...], error: BaseException) -> Iterator[Event]:
        if len(units) == 1:
            yield self._ended(units[0], _without_report(units[0], error), is_final=True)
            return
        for unit in units:  # one of them is to blame
            self._waiting.give_back_alone(unit)

    def _never_started(self, units: tuple[Unit, ...], error: BaseException) -> Iterator[Event]:
        self._stillborn += 1
        if self._stillborn < _MAX_STILLBORN * max(2, self._backend.capacity):
            if self._has_marks or not getattr(error, "was_ready", True):
                self._waiting.give_back(units)
            else:
                for unit in units:
                    self._waiting.give_back_alone(unit)
            return
        problem = NoWorkerError(self._stillborn, failure.text(error))
        # Nor would the others: a thousand jobs are not to start two thousand workers.
        for number in (*(unit.number for unit in units), *self._waiting.drop()):
            self.failed += 1
            yield Outcome(number, None, problem, 0.0, NOT_ASKED)

    def _mark(self, parcel: Parcel) -> Mark | None:
        marks = self._crew.marks.read()
        self._has_marks = self._has_marks or bool(marks)
        return marks.get(parcel.id)

    def _marks(self) -> dict[int, Mark]:
        """Return what runs by parcel, as the workers have noted or the backend says."""
        if self._running_s is None:
            return self._crew.marks.read()
        now, marks = self._monotonic_s(), {}
        for future, flight in self._running.copy().items():
            for_s = self._running_s(future)
            if for_s is not None:
                marks[flight.parcel.id] = Mark(flight.parcel.id, flight.parcel.units[0].number, now - for_s)
        return marks

    def _poll_s(self) -> float | None:
        waits_s = [_INTERRUPT_POLL_S] if self._polls else []
        if self._limits.timeout_s is not None and self._kill is not None:
            waits_s.append(min(_MAX_POLL_S, max(_MIN_POLL_S, self._limits.timeout_s / 20)))
        return min(waits_s, default=None)

    def _stop_overdue(self) -> None:
        """Kill what has run for too long; that its parcel is lost is told by its future."""
        limit_s = self._limits.timeout_s
        if limit_s is None or self._kill is None or not self._running:
            return
        now = self._monotonic_s()
        marks = self._marks()
        for future, flight in self._running.items():
            mark = marks.get(flight.parcel.id)
            is_late = mark is not None and now - mark.started_s > limit_s
            if mark is not None and is_late and flight.parcel.id not in self._overdue and not future.done():
                self._overdue[flight.parcel.id] = mark.number
                self._kill(future)

    def _end(self) -> Iterator[Event]:
        """Leave what runs to be ended, or wait for it where the backend cannot end it; nothing else is started."""
        self._waiting.drop()
        if self._kill is not None:  # its owner does so, and asks for what is left
            return
        for future in self._running:
            future.cancel()
        while self._running:
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                if future.cancelled():
                    del self._running[future]
                else:
                    yield from self._settle(future, learns=False)
            self._waiting.drop()


def _without_report(unit: Unit, error: BaseException) -> Outcome:
    return Outcome(unit.number, None, error, 0.0, NOT_ASKED)


def _delivery(future: Future[Delivery]) -> Delivery | BaseException:
    # A backend may cancel what its workers can no longer do; asking a cancelled future raises.
    if future.cancelled():
        return CancelledError("the backend cancelled the job")
    return future.exception() or future.result()


def _no_unit(number: int) -> Unit:
    raise KeyError(number)


def _nothing_published(_: int, __: int) -> Entry | None:
    return None
