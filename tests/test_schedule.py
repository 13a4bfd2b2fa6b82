"""The schedule loop keeps a backend busy, never overfull, and hands out one outcome for each unit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcache.backends import create
from parcache.model import NOT_ASKED, Outcome
from parcache.run.parts import Parts
from parcache.run.schedule import TARGET_S, Lost, ParcelSize, run_units
from parcache.run.unit import Delivery, Parcel, Unit

pytestmark = pytest.mark.any_hydra


class Refusal(RuntimeError):
    pass


class StubBackend:
    """Queues work and does it when it is made to, in an order of its own: each call's future ends by its behaviour."""

    def __init__(self, capacity: int, ends: Callable[[int], str] = lambda _: "done") -> None:
        self.capacity = capacity
        self.most = 0
        self._ends = ends
        self._pool = ThreadPoolExecutor(1)
        self._running: list[Future[Any]] = []

    def start(self, initializer: Callable[[], None]) -> None:
        initializer()

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        end = self._ends(argument.units[0].number)
        if end == "refused":
            raise Refusal
        future: Future[Any] = Future()
        self._running.append(future)
        self.most = max(self.most, sum(not each.done() for each in self._running))
        if end == "at once":
            future.set_result(function(argument))
        else:
            self._pool.submit(self._finish, future, end, function, argument)
        return future

    def _finish(self, future: Future[Any], end: str, function: Callable[[Any], Any], argument: Any) -> None:
        if end == "cancelled":
            future.cancel()
            future.set_running_or_notify_cancel()
        elif end == "died":
            future.set_exception(Refusal())
        else:
            future.set_result(function(argument))

    def stop(self, *, cancel: bool) -> None:
        self._pool.shutdown(cancel_futures=cancel)


def executing(times_s: Callable[[int], float]) -> Callable[[Parcel], Delivery]:
    """Return what executes parcels whose units take a time that is told by their number."""

    def execute(parcel: Parcel) -> Delivery:
        outcomes = [Outcome(unit.number, unit.own * 10, None, 0.5, NOT_ASKED) for unit in parcel.units]
        return Delivery(tuple(outcomes), tuple(times_s(unit.number) for unit in parcel.units))

    return execute


long = executing(lambda _: 1.0)
short = executing(lambda _: TARGET_S / 8)


def units(count: int) -> list[Unit]:
    return [Unit(number, None, number, None) for number in range(count)]


def run(
    backend: StubBackend, count: int, execute: Callable[[Parcel], Delivery] = long
) -> dict[int, Outcome | BaseException]:
    """Run units to their end and return what became of each, in the order in which that was told."""
    found: dict[int, Outcome | BaseException] = {}
    try:
        for event in run_units(backend, execute, units(count), count, Parts()):
            numbers = event.numbers if isinstance(event, Lost) else (event.number,)
            assert found.keys().isdisjoint(numbers)
            found.update(dict.fromkeys(numbers, event.error if isinstance(event, Lost) else event))
    finally:
        backend.stop(cancel=False)
    return found


ENDS = st.lists(st.sampled_from(["done", "at once", "refused", "cancelled", "died"]), max_size=12)


@given(ENDS, st.integers(min_value=1, max_value=4))
def test_schedule_any_ends_every_unit_has_one_outcome(ends: list[str], capacity: int) -> None:
    """Whatever becomes of each unit, there is exactly one outcome for it: its report, or what went wrong."""
    outcomes = run(StubBackend(capacity, ends=ends.__getitem__), len(ends))
    assert sorted(outcomes) == list(range(len(ends)))
    for number, outcome in outcomes.items():
        kind = {"refused": Refusal, "died": Refusal, "cancelled": CancelledError}.get(ends[number])
        if kind is None:
            assert isinstance(outcome, Outcome)
            assert (outcome.report, outcome.error) == (number * 10, None)
        else:
            assert type(outcome) is kind


@given(ENDS, st.integers(min_value=1, max_value=4))
def test_schedule_any_ends_keeps_within_capacity(ends: list[str], capacity: int) -> None:
    """No more units are in flight at a time than the backend takes."""
    backend = StubBackend(capacity, ends=ends.__getitem__)
    run(backend, len(ends))
    assert backend.most <= capacity


class Holding(StubBackend):
    """Finishes nothing before as much is in flight as it takes."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._held: list[tuple[Future[Any], Parcel]] = []

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._held.append((future, argument))
        if len(self._held) == self.capacity:
            for each, held in self._held:
                each.set_result(function(held))
            self._held.clear()
        return future


def test_schedule_fills_the_backend() -> None:
    """As many units are in flight as the backend takes: one that waits for that many does not wait for ever."""
    assert len(run(Holding(3), 9)) == 9


def test_schedule_backend_that_executes_on_submission_hands_out_outcomes_between_jobs() -> None:
    """With a backend that executes at once, an outcome is seen before the next unit starts."""
    seen: list[str] = []

    def tell(parcel: Parcel) -> Delivery:
        seen.extend(f"ran {unit.number}" for unit in parcel.units)
        return short(parcel)

    for outcome in run_units(create("serial", {}), tell, units(3), 3, Parts()):
        assert isinstance(outcome, Outcome)
        seen.append(f"saw {outcome.number}")
    assert seen == ["ran 0", "saw 0", "ran 1", "saw 1", "ran 2", "saw 2"]


def test_schedule_makes_units_when_they_are_due() -> None:
    """A unit is made when there is room for it, not all of them at the start."""
    made: list[int] = []

    def coming() -> Iterator[Unit]:
        for unit in units(10):
            made.append(unit.number)
            yield unit

    backend = StubBackend(2, ends=lambda _: "at once")
    next(run_units(backend, long, coming(), 10, Parts()))
    backend.stop(cancel=True)
    assert made == [0]


def test_schedule_interrupt_while_executing_ends_the_loop() -> None:
    """A KeyboardInterrupt in the sweeping process is no outcome: it ends the sweep."""

    def interrupted(parcel: Parcel) -> Delivery:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_units(create("serial", {}), interrupted, units(2), 2, Parts()))


# Parcels.


class Later(Future[Any]):
    """Has ended, and does not say so before it is waited for: as one that another process executes."""

    def done(self) -> bool:
        return False


class Recording(StubBackend):
    """Notes the sizes of the parcels that it is given; loses those that begin with a given number."""

    def __init__(self, capacity: int, loses: int = -1) -> None:
        super().__init__(capacity)
        self.sizes: list[int] = []
        self._loses = loses

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        self.sizes.append(len(argument.units))
        future = Later()
        if argument.units[0].number == self._loses:
            future.set_exception(Refusal())
        else:
            future.set_result(function(argument))
        return future


def test_schedule_short_jobs_travel_together_and_keep_their_order() -> None:
    """Parcels of short jobs double up to what fills the target, and shrink at the end of the batch."""
    backend = Recording(1)
    assert list(run(backend, 40, short)) == list(range(40))
    assert backend.sizes == [1, 2, 4, 8, 8, 8, 8, 1]


def test_schedule_long_jobs_travel_alone() -> None:
    """Jobs that take longer than a parcel should have it for themselves."""
    backend = Recording(3)
    run(backend, 20, long)
    assert backend.sizes == [1] * 20


def test_schedule_jobs_that_get_longer_travel_alone_again() -> None:
    """One job beyond the target ends the growth at once."""
    backend = Recording(1)
    run(backend, 20, executing(lambda number: 1.0 if number > 6 else TARGET_S / 8))
    assert backend.sizes == [1, 2, 4, 8, 1, 1, 1, 1, 1]


def test_schedule_backend_that_wants_one_job_a_call_gets_one() -> None:
    """A backend that gives each job a process of its own is not given several at once."""

    class Single(Recording):
        jobs_per_call = 1

    backend = Single(1)
    run(backend, 10, short)
    assert backend.sizes == [1] * 10


def test_schedule_tail_is_shared_by_all_workers() -> None:
    """No parcel is larger than an equal share of what is left."""
    backend = Recording(4)
    run(backend, 60, executing(lambda _: 0.0))
    left = 60
    for size in backend.sizes:
        assert size <= max(1, left // 4)
        left -= size
    assert left == 0


def test_schedule_units_that_a_worker_did_not_start_are_sent_again_in_order() -> None:
    """A parcel that took too long comes back with its rest, which runs next, before what follows it."""
    ran: list[int] = []

    def two_at_most(parcel: Parcel) -> Delivery:
        done = short(Parcel(parcel.units[:2]))
        ran.extend(outcome.number for outcome in done.outcomes)
        return done

    assert sorted(run(Recording(1), 30, two_at_most)) == list(range(30))
    assert ran == list(range(30))


def test_schedule_lost_parcel_tells_all_its_units_and_when_it_was_sent() -> None:
    """Of a parcel that did not come back every unit is told, with a time before it can have run."""
    ticks = iter(range(100))
    backend = Recording(1, loses=3)
    told = list(run_units(backend, short, units(8), 8, Parts(), clock_ns=lambda: next(ticks)))
    backend.stop(cancel=True)
    (lost,) = [event for event in told if isinstance(event, Lost)]
    assert (lost.numbers, lost.sent_ns) == ((3, 4, 5, 6), 2)
    assert [event.number for event in told if isinstance(event, Outcome)] == [0, 1, 2, 7]


@given(
    st.lists(st.floats(min_value=0, max_value=2 * TARGET_S), min_size=1, max_size=40),
    st.integers(min_value=1, max_value=100),
    st.integers(min_value=1, max_value=8),
)
def test_parcel_size_any_times_fits_the_target(times_s: list[float], remaining: int, capacity: int) -> None:
    """Whatever was seen, the next parcel holds at least one unit, no more than its share, and fits the target."""
    size = ParcelSize()
    size.learn(tuple(times_s))
    following = size.next(remaining, capacity)
    assert 1 <= following <= max(1, remaining // capacity)
    assert following <= 2 * len(times_s)
    assert following == 1 or following * sum(times_s) / len(times_s) <= TARGET_S * 1.001
    if max(times_s) > TARGET_S:
        assert following == 1


def nothing() -> None:
    pass


def dies_at_0(parcel: Parcel) -> Delivery:
    if parcel.units[0].number == 0:
        os._exit(3)
    return Delivery(tuple(Outcome(unit.number, os.getpid(), None, 0.0, NOT_ASKED) for unit in parcel.units), (1.0,))


def test_schedule_worker_that_dies_costs_what_was_in_flight_only() -> None:
    """After a worker process died, later units run in a new pool."""
    backend = create("process", {"workers": 1})
    backend.start(nothing)
    lost: dict[int, BaseException] = {}
    ran = []
    try:
        for event in run_units(backend, dies_at_0, units(6), 6, Parts()):
            if isinstance(event, Lost):
                lost.update(dict.fromkeys(event.numbers, event.error))
            else:
                ran.append(event.number)
    finally:
        backend.stop(cancel=True)
    assert type(lost[0]).__name__ == "WorkerDiedError"
    assert sorted([*lost, *ran]) == list(range(6))
    assert set(range(backend.capacity, 6)) <= set(ran)
