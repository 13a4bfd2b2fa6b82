"""The schedule loop keeps a backend busy, never overfull, and hands out one outcome for each unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcache.backends import Backend, create
from parcache.errors import JobTimeoutError, NoWorkerError, SlurmEndedError
from parcache.model import NOT_ASKED, Entry, Key, Outcome
from parcache.run.limits import Limits, Policy
from parcache.run.marks import Marker, Marks
from parcache.run.parts import Parts
from parcache.run.schedule import Crew, Event, Recovered, Retried, Schedule
from parcache.run.unit import Delivery, Parcel, Unit
from parcache.run.waiting import TARGET_S, ParcelSize

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
            future.set_exception(BrokenExecutor())
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


class Runner:
    """Knows a failure by its report."""

    def install(self) -> None:
        pass

    def cannot_travel(self) -> str | None:
        return None

    def run(self, unit: Unit, common: Any, watch: Any) -> Any:
        return unit.own

    def error_of(self, report: Any) -> BaseException | None:
        return report if isinstance(report, BaseException) else None

    def pack(self, report: Any) -> bytes:
        raise NotImplementedError

    def unpack(self, data: bytes) -> Any:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def marks() -> Iterator[Marks]:
    """Give each test a folder of marks: nothing but what the test says is noted there."""
    Noted.marks = Marks()
    yield Noted.marks
    Noted.marks.close()


class Noted:
    """Where the test that runs has its marks."""

    marks: Marks


def scheduled(backend: Backend, execute: Callable[[Parcel], Delivery], limits: Limits | None = None) -> Schedule:
    """Return a schedule over a backend that is started."""
    return Schedule(Crew(backend, Runner(), execute, Parts(), Noted.marks), limits or Limits())


def unit(number: int) -> Unit:
    return Unit(number, None, number, None)


def nothing_published(number: int, since_ns: int) -> Entry | None:
    return None


def events(
    backend: Backend,
    execute: Callable[[Parcel], Delivery],
    count: int,
    limits: Limits | None = None,
    recover: Callable[[int, int], Entry | None] = nothing_published,
) -> list[Event]:
    """Run units to their end and return all that was told."""
    try:
        return list(scheduled(backend, execute, limits).run(range(count), unit, recover))
    finally:
        backend.stop(cancel=False)


def run(
    backend: StubBackend, count: int, execute: Callable[[Parcel], Delivery] = long
) -> dict[int, Outcome | BaseException]:
    """Run units to their end and return what became of each, in the order in which that was told."""
    found: dict[int, Outcome | BaseException] = {}
    for event in events(backend, execute, count):
        if isinstance(event, Outcome):
            assert event.number not in found
            found[event.number] = event.error or event
    return found


ENDS = st.lists(st.sampled_from(["done", "at once", "refused", "cancelled", "died"]), max_size=12)


@given(ENDS, st.integers(min_value=1, max_value=4))
def test_schedule_any_ends_every_unit_has_one_outcome(ends: list[str], capacity: int) -> None:
    """Whatever becomes of each unit, there is exactly one outcome for it: its report, or what went wrong."""
    outcomes = run(StubBackend(capacity, ends=ends.__getitem__), len(ends))
    assert sorted(outcomes) == list(range(len(ends)))
    for number, outcome in outcomes.items():
        kind = {"refused": Refusal, "died": BrokenExecutor, "cancelled": CancelledError}.get(ends[number])
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
        seen.extend(f"ran {each.number}" for each in parcel.units)
        return short(parcel)

    for outcome in scheduled(create("serial", {}), tell).run(range(3), unit, nothing_published):
        assert isinstance(outcome, Outcome)
        seen.append(f"saw {outcome.number}")
    assert seen == ["ran 0", "saw 0", "ran 1", "saw 1", "ran 2", "saw 2"]


def test_schedule_makes_units_when_they_are_due() -> None:
    """A unit is made when there is room for it, not all of them at the start."""
    made: list[int] = []

    def made_now(number: int) -> Unit:
        made.append(number)
        return unit(number)

    backend = StubBackend(2, ends=lambda _: "at once")
    next(scheduled(backend, long).run(range(10), made_now, nothing_published))
    backend.stop(cancel=True)
    assert made == [0]


def test_schedule_interrupt_while_executing_ends_the_loop() -> None:
    """A KeyboardInterrupt in the sweeping process is no outcome: it ends the sweep."""

    def interrupted(parcel: Parcel) -> Delivery:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        events(create("serial", {}), interrupted, 2)


# Parcels.


class Later(Future[Any]):
    """Has ended, and does not say so before it is waited for: as one that another process executes."""

    def done(self) -> bool:
        return False


class Recording(StubBackend):
    """Notes the sizes of the parcels that it is given."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.sizes: list[int] = []

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        self.sizes.append(len(argument.units))
        future = Later()
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


# Units that are lost.


class Deadly(StubBackend):
    """Executes at once, and dies over units as often as is said of each; ``marked``: it notes what it runs."""

    def __init__(
        self,
        deaths: dict[int, int],
        *,
        marked: bool = True,
        stillbirths: int = 0,
        death: Callable[[int], BaseException] = lambda number: BrokenExecutor(f"over {number}"),
    ) -> None:
        super().__init__(1)
        self._death = death
        self.deaths = Counter(deaths)
        self.ran: Counter[int] = Counter()
        self.sizes: list[int] = []
        self._stillbirths = stillbirths
        self._marker = Marker(Noted.marks.folder) if marked else None

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        future = Later()
        self.sizes.append(len(argument.units))
        if self._stillbirths:
            self._stillbirths -= 1
            future.set_exception(BrokenExecutor("at birth"))
            return future
        for each in argument.units:
            if self._marker is not None:
                self._marker.start(argument.id, each.number)
            self.ran[each.number] += 1
            if self.deaths[each.number]:
                self.deaths[each.number] -= 1
                future.set_exception(self._death(each.number))
                return future
        future.set_result(function(argument))
        return future


def entry(number: int) -> Entry:
    return Entry(Key(str(number), 1, "", "", "", ""), number, 0.0)


def test_schedule_worker_that_dies_runs_the_unit_to_blame_once_more_alone() -> None:
    """The death of a worker costs nobody else anything: the unit that it was over runs again by itself."""
    backend = Deadly({5: 1})
    told = events(backend, short, 20)
    assert sorted(event.number for event in told if isinstance(event, Outcome)) == list(range(20))
    assert [event for event in told if isinstance(event, Retried)] == [Retried(5, 1, "over 5")]
    assert backend.ran[5] == 2
    assert all(backend.ran[number] <= 2 for number in range(20))
    assert [backend.ran[number] for number in range(6, 20)] == [1] * 14


@pytest.mark.parametrize("retries", [0, 7])
def test_schedule_unit_that_kills_its_worker_twice_is_not_tried_a_third_time(retries: int) -> None:
    """The second death is a failure, however many retries there are."""
    backend = Deadly({3: 99})
    told = events(backend, short, 6, Limits(retries=retries))
    failed = [event for event in told if isinstance(event, Outcome) and event.error is not None]
    assert [(event.number, str(event.error)) for event in failed] == [(3, "over 3")]
    assert backend.ran[3] == 2


@pytest.mark.parametrize(("state", "runs"), [("TIMEOUT", 1), ("CANCELLED", 1), ("OUT_OF_MEMORY", 1), ("NODE_FAIL", 2)])
@pytest.mark.parametrize("retries", [0, 1])
def test_schedule_unit_that_a_scheduler_ended_for_its_own_sake_runs_again_only_by_retries(
    state: str, runs: int, retries: int
) -> None:
    """Whoever asked for too little, or was cancelled, would come to the same; whose node failed would not."""
    backend = Deadly({3: 99}, death=lambda number: SlurmEndedError("12_0", state, ""))
    told = events(backend, short, 6, Limits(retries=retries))
    failed = [event for event in told if isinstance(event, Outcome) and event.error is not None]
    assert [event.number for event in failed] == [3]
    assert backend.ran[3] == max(runs, 1 + retries)


def test_schedule_unit_that_published_before_its_worker_died_is_recovered() -> None:
    """Neither what ran before the death nor what it was over runs again if its result is there."""
    backend = Deadly({5: 1})
    published = {4, 5}
    told = events(backend, short, 20, recover=lambda number, _: entry(number) if number in published else None)
    assert [event.number for event in told if isinstance(event, Recovered)] == [4, 5]
    assert backend.ran[5] == 1
    assert {event.number for event in told if isinstance(event, Outcome)} == set(range(20)) - published


def test_schedule_recovers_what_was_published_since_the_parcel_was_sent() -> None:
    """Who looks for a result is told since when it counts: an earlier one does not stand for the unit's."""
    asked: list[tuple[int, int]] = []

    def recover(number: int, since_ns: int) -> Entry | None:
        asked.append((number, since_ns))
        return None

    ticks = iter(range(100, 200))
    backend = Deadly({2: 1})
    crew = Crew(backend, Runner(), long, Parts(), Noted.marks)
    list(Schedule(crew, clock_ns=lambda: next(ticks)).run(range(3), unit, recover))
    backend.stop(cancel=False)
    assert asked == [(2, 102)]


def test_schedule_worker_that_dies_before_it_starts_anything_counts_against_nobody() -> None:
    """Workers that were killed while they were starting cost their units nothing."""
    backend = Deadly({}, stillbirths=10)
    Marker(Noted.marks.folder).start(10**6, 0)  # of some worker before
    told = events(backend, short, 4)
    assert [event.number for event in told] == [0, 1, 2, 3]
    assert all(isinstance(event, Outcome) and event.error is None for event in told)


def test_schedule_no_worker_ever_starts_anything_fails_every_unit() -> None:
    """Workers that die one after the other before they have started a job end the waiting."""
    backend = Deadly({}, stillbirths=10**6)
    Marker(Noted.marks.folder).start(10**6, 0)
    told = events(backend, short, 1000)
    assert sorted(event.number for event in told) == list(range(1000))
    assert {type(event.error) for event in told if isinstance(event, Outcome)} == {NoWorkerError}
    assert len(backend.sizes) < 100


def test_schedule_worker_that_dies_without_a_mark_leaves_nobody_out() -> None:
    """Where it is not known what a dead worker was at, all that it had runs again, each alone."""
    backend = Deadly({5: 1}, marked=False)
    told = events(backend, short, 20)
    assert sorted(event.number for event in told if isinstance(event, Outcome)) == list(range(20))
    assert all(event.error is None for event in told if isinstance(event, Outcome))


def test_schedule_unit_that_cannot_travel_costs_only_itself() -> None:
    """A parcel that cannot be sent is taken apart: the one to blame fails, with what kept it."""

    class Picky(StubBackend):
        def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
            if any(each.number == 9 for each in argument.units):
                raise Refusal
            future = Later()
            future.set_result(function(argument))
            return future

    told = events(Picky(1), short, 20)
    failed = [event.number for event in told if isinstance(event, Outcome) and event.error is not None]
    assert failed == [9]
    assert sorted(event.number for event in told) == list(range(20))


# Limits.


def failing(*numbers: int, times: int = 10**6) -> Callable[[Parcel], Delivery]:
    """Return what executes parcels in which these units fail, so many times."""
    left = Counter(dict.fromkeys(numbers, times))

    def execute(parcel: Parcel) -> Delivery:
        outcomes = []
        for each in parcel.units:
            report: Any = each.own
            if left[each.number]:
                left[each.number] -= 1
                report = ValueError(f"no {each.number}")
            outcomes.append(Outcome(each.number, report, None, 0.5, NOT_ASKED))
        return Delivery(tuple(outcomes), (1.0,) * len(outcomes))

    return execute


def test_schedule_retries_run_a_failed_unit_again_and_say_why() -> None:
    """A unit that fails twice is done with two retries; each is told with its reason."""
    told = events(Recording(1), failing(1, times=2), 3, Limits(retries=2))
    assert [event for event in told if isinstance(event, Retried)] == [
        Retried(1, 1, "ValueError: no 1"),
        Retried(1, 2, "ValueError: no 1"),
    ]
    assert {event.number: event.report for event in told if isinstance(event, Outcome)} == {0: 0, 1: 1, 2: 2}


def test_schedule_retries_used_up_leave_the_last_failure() -> None:
    """With one retry a unit fails for good the second time."""
    told = events(Recording(1), failing(1), 2, Limits(retries=1))
    (failed,) = [event for event in told if isinstance(event, Outcome) and event.number == 1]
    assert str(failed.report) == "no 1"
    assert sum(isinstance(event, Retried) for event in told) == 1


@pytest.mark.parametrize(
    ("limits", "most"), [(Limits(policy=Policy.STOP), 1), (Limits(max_failures=0), 1), (Limits(max_failures=2), 3)]
)
def test_schedule_limit_of_failures_reached_starts_nothing_more(limits: Limits, most: int) -> None:
    """After as many failures as end a sweep, no other unit is sent out."""
    backend = Recording(1)
    told = events(backend, failing(2, 4, 6, 8), 20, limits)
    failures = [event for event in told if isinstance(event, Outcome) and isinstance(event.report, BaseException)]
    assert len(failures) == most
    assert len(backend.sizes) == 1 + 2 * most


def test_schedule_backend_that_cannot_stop_jobs_waits_for_what_runs() -> None:
    """Where what runs cannot be ended, its outcome is still told after the limit is reached."""

    class Last(Future[Any]):
        """Runs until somebody asks it to be cancelled, which it refuses."""

        def cancel(self) -> bool:
            self.set_result(long(Parcel((unit(0),))))
            return False

    class Two(StubBackend):
        def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
            future: Future[Any] = Later() if argument.units[0].number else Last()
            if argument.units[0].number:
                future.set_result(function(argument))
            return future

    told = events(Two(2), failing(1), 9, Limits(policy=Policy.STOP))
    assert sorted(event.number for event in told) == [0, 1]


class Slow(StubBackend):
    """Notes the unit that it was given as running, and ends it only when it is told to kill it."""

    def __init__(self, slow: int) -> None:
        super().__init__(1)
        self._slow = slow
        self._marker = Marker(Noted.marks.folder, clock=lambda: 1000.0)
        self.killed: list[int] = []

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        number = argument.units[0].number
        self._marker.start(argument.id, number)
        future: Future[Any] = Future()
        if number == self._slow:
            future.set_running_or_notify_cancel()
            self._held = future, number
        else:
            future.set_result(function(argument))
        return future

    def kill(self, future: Future[Any]) -> None:
        assert future is self._held[0]
        self.killed.append(self._held[1])
        future.set_exception(BrokenExecutor("killed"))


def timed(backend: Backend, limits: Limits, now_s: float) -> list[Event]:
    crew = Crew(backend, Runner(), long, Parts(), Noted.marks)
    try:
        return list(Schedule(crew, limits, monotonic_s=lambda: now_s).run(range(3), unit, nothing_published))
    finally:
        backend.stop(cancel=True)


def test_schedule_unit_that_runs_too_long_is_killed_and_the_others_go_on() -> None:
    """What has run longer than it may fails by a timeout; what comes after it runs."""
    backend = Slow(1)
    told = timed(backend, Limits(timeout_s=5), 1005.1)
    assert backend.killed == [1]
    errors = {event.number: event.error for event in told if isinstance(event, Outcome)}
    assert (errors[0], errors[2]) == (None, None)
    assert isinstance(errors[1], JobTimeoutError)
    assert "Job 1 ran longer than 5 s" in str(errors[1])


def test_schedule_unit_that_runs_too_long_is_retried() -> None:
    """A timeout is a failure like any other: it counts against the retries."""
    backend = Slow(1)
    told = timed(backend, Limits(timeout_s=5, retries=1), 1005.1)
    assert backend.killed == [1, 1]
    assert sum(isinstance(event, Retried) for event in told) == 1


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
