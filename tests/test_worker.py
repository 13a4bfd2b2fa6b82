"""A parcel in a worker: every unit has its own end, parts arrive once, and who ran is not run again."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from parcache.backends import create
from parcache.errors import CannotTravelError, LostResultError, WorkerDiedError
from parcache.model import Entry, Job, Key, Plan, Storing
from parcache.run.batch import Batch
from parcache.run.events import Again, Event, Found, Ran
from parcache.run.marks import Marks
from parcache.run.parts import Packed, Parts, Shelf
from parcache.run.schedule import Crew, Schedule
from parcache.run.unit import Parcel
from parcache.run.worker import Brief, Ticket, Unit, Watch, execute_parcel, install_here, release, unseal
from parcache.store.store import Store

TOKEN = "test"


class Echo:
    """Runs units whose own part is a function of what they share."""

    def install(self) -> None:
        pass

    def cannot_travel(self) -> str | None:
        return None

    def run(self, unit: Unit, common: Any, watch: Watch) -> Any:
        value = watch.call(unit.own, common)
        if isinstance(value, Last):
            os._exit(5)
        return value

    def error_of(self, report: Any) -> BaseException | None:
        return None

    def pack(self, report: Any) -> bytes:
        return cloudpickle.dumps(report)  # type: ignore[no-any-return] # untyped

    def unpack(self, data: bytes) -> Any:
        return pickle.loads(data)


class Last:
    """The result of a job that takes its worker with it, after it was published."""


def once(path: str, common: Any) -> int:
    """Note the execution; return how often this process has started one."""
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    return 7


def die(_: Any) -> Any:
    os._exit(3)


def exits(_: Any) -> Any:
    sys.exit(3)


def fails(_: Any) -> Any:
    raise ValueError("no")


def unpicklable(_: Any) -> Any:
    return threading.Lock()


def identity(common: Any) -> Any:
    return common


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), writable=True)


def key(number: int) -> Key:
    return Key(f"{number:064x}", 1, "config", "code", "3.11", "")


def brief(store: Store) -> Brief:
    return Brief(store, (), (), {"host": "here"}, {"config": {"x": 0}})


def travelled(value: Any) -> Any:
    return pickle.loads(cloudpickle.dumps(value))


@contextmanager
def elsewhere(parts: Parts) -> Iterator[Callable[..., list[Any]]]:
    """Play a worker in this process: what it executes and returns has travelled.

    No time passes unless a clock is given, or a slow machine would leave the rest of a parcel to others.
    """
    initializer = install_here(TOKEN, Echo(), parts)
    release(TOKEN)
    folder = os.getcwd()
    travelled(initializer)()

    def execute(*units: Unit, clock: Callable[[], float] = lambda: 0.0) -> list[Any]:
        needed = parts.to_bring({number for unit in units for number in unit.parts})
        delivery = travelled(execute_parcel(TOKEN, travelled(Parcel(units, needed)), clock=clock))
        return [unseal(outcome, Echo()) for outcome in delivery.outcomes]

    try:
        yield execute
    finally:
        os.chdir(folder)
        release(TOKEN)


def test_parcel_every_unit_has_its_own_end() -> None:
    """A failure, an exit and a result that cannot travel are their own unit's ends and nobody else's."""
    jobs = [identity, fails, identity, exits, unpicklable, identity]
    parts = Parts()
    common = parts.add("shared")
    with elsewhere(parts) as execute:
        outcomes = execute(*(Unit(number, common, job, None) for number, job in enumerate(jobs)))
    assert [outcome.number for outcome in outcomes] == list(range(6))
    assert [outcome.report for outcome in outcomes] == ["shared", None, "shared", None, None, "shared"]
    kinds = [type(outcome.error) for outcome in outcomes]
    assert kinds == [type(None), ValueError, type(None), SystemExit, LostResultError, type(None)]


def test_parcel_that_takes_too_long_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long job the units behind it are not started: another worker may be free for them."""
    ticks = iter([0.0, 0.01, 0.5, 0.6])
    with elsewhere(Parts()) as execute:
        units = [Unit(number, None, identity, None) for number in range(4)]
        outcomes = execute(*units, clock=lambda: next(ticks))
    assert [outcome.number for outcome in outcomes] == [0, 1]


@pytest.mark.parametrize("late", [False, True])
def test_part_is_opened_once_a_worker(late: bool) -> None:
    """Units that name one part are given the same object, whether it was there at the start or came later."""
    parts = Parts()
    numbers = [] if late else [parts.add([1])]
    with elsewhere(parts) as execute:
        numbers = numbers or [parts.add([1])]
        unit = Unit(0, numbers[0], id, None)
        assert len({outcome.report for _ in range(2) for outcome in execute(unit, unit)}) == 1


@pytest.mark.parametrize("late", [False, True])
def test_part_that_cannot_be_pickled_fails_the_jobs_that_need_it(late: bool) -> None:
    """A part that cannot travel is named to the jobs that need it; the others run."""
    parts = Parts()
    good = parts.add(1)
    bad = None if late else parts.add({"lock": threading.Lock()})
    with elsewhere(parts) as execute:
        bad = parts.add({"lock": threading.Lock()}) if bad is None else bad
        outcomes = execute(*(Unit(number, part, identity, None) for number, part in enumerate((good, bad, good))))
    assert [outcome.report for outcome in outcomes] == [1, None, 1]
    assert isinstance(outcomes[1].error, CannotTravelError)
    assert "what its jobs share, a dict: TypeError: cannot pickle '_thread.lock' object" in str(outcomes[1].error)


def test_part_that_travelled_with_the_runner_is_not_brought_again() -> None:
    """A parcel brings only what the workers did not get at their start."""
    parts = Parts()
    early = parts.add(1)
    install_here(TOKEN, Echo(), parts)
    release(TOKEN)
    late = parts.add(2)
    assert list(parts.to_bring([early, late])) == [late]


def test_part_dropped_is_gone() -> None:
    """A dropped part is forgotten, and its id is not used again."""
    parts = Parts()
    first = parts.add(1)
    parts.drop(first)
    parts.drop(first)
    assert parts.add(2) != first
    with pytest.raises(KeyError):
        parts.get(first)
    assert parts.sent() == {}


def test_parts_here_are_used_as_they_are() -> None:
    """In the process that sweeps, a part is the object that was added, picklable or not."""
    parts = Parts()
    lock = threading.Lock()
    install_here(TOKEN, Echo(), parts)
    try:
        delivery = execute_parcel(TOKEN, Parcel((Unit(0, parts.add(lock), identity, None),)))
    finally:
        release(TOKEN)
    assert delivery.outcomes[0].report is lock


def test_shelf_keeps_the_parts_that_came_last() -> None:
    """What parcels brought does not pile up in a worker."""
    shelf = Shelf({})
    for number in range(100):
        shelf.bring({number: Packed(pickle.dumps(number), "")})
    assert shelf.get(99) == 99
    with pytest.raises(KeyError):
        shelf.get(0)
    many = {number: Packed(pickle.dumps(number), "") for number in range(200, 300)}
    shelf.bring(many)
    assert [shelf.get(number) for number in many] == list(many)


def test_unit_with_a_ticket_publishes_with_record_and_explanation(store: Store) -> None:
    """An entry's record and explanation are the brief's, completed by the ticket's."""
    parts = Parts()
    ticket = Ticket(parts.add(brief(store)), key(1), "there", {"overrides": ["x=1"]})
    with elsewhere(parts) as execute:
        (outcome,) = execute(Unit(0, None, identity, ticket))
    assert outcome.stored.how is Storing.PUBLISHED
    entry = store.read(key(1))
    assert entry is not None
    assert entry.record() == {"host": "here", "output_dir": "there"}


def test_brief_whose_explanation_is_no_json_refuses_to_publish(store: Store) -> None:
    """What cannot be explained is not stored, and says so; the job's result arrives."""
    parts = Parts()
    strange = Brief(store, (), (), {}, {"config": object()})
    ticket = Ticket(parts.add(strange), key(1), "there", {})
    install_here(TOKEN, Echo(), parts)
    try:
        (outcome,) = execute_parcel(TOKEN, Parcel((Unit(0, None, identity, ticket),))).outcomes
    finally:
        release(TOKEN)
    assert outcome.error is None
    assert "no JSON data" in outcome.stored.reason


# Real processes.


def batch(
    store: Store, jobs: dict[int, Callable[[Any], Any]], read: Callable[[Job], Entry | None] | None = None
) -> dict[int, Ran | Found]:
    """Run jobs on two processes, each with a ticket, and return what became of each."""
    parts = Parts()
    number = parts.add(brief(store))
    backend = create("process", {"workers": 2})
    marks = Marks()
    backend.start(install_here(TOKEN, Echo(), parts, marks=marks.folder))
    planned = {each: Job(each, (), key(each)) for each in jobs}

    def unit_of(job: Job) -> Unit:
        return Unit(job.number, None, jobs[job.number], Ticket(number, key(job.number), "there", {}))

    try:
        plan = Plan({}, tuple(planned.values()), {})
        found = read or (lambda job: store.read(job.key))  # type: ignore[arg-type] # each has one
        schedule = Schedule(Crew(backend, Echo(), partial(execute_parcel, TOKEN), parts, marks))
        told: list[Event] = list(Batch(plan, planned, unit_of, found).run(schedule))
    finally:
        backend.stop(cancel=True)
        marks.close()
        release(TOKEN)
    events = [event for event in told if not isinstance(event, Again)]
    assert sorted(event.job.number for event in events) == sorted(jobs)
    return {event.job.number: event for event in events}


def test_batch_worker_that_dies_in_a_parcel_costs_only_the_job_to_blame(store: Store, tmp_path: Path) -> None:
    """Of many short jobs beside one that kills its worker, each is completed, and none that published runs twice."""
    notes = tmp_path / "notes"
    notes.mkdir()
    jobs: dict[int, Callable[[Any], Any]] = {n: partial(once, str(notes / str(n))) for n in range(200)}
    jobs[120] = die
    events = batch(store, jobs)
    killed = events.pop(120)
    assert isinstance(killed, Ran)
    assert isinstance(killed.outcome.error, WorkerDiedError)
    for number, event in events.items():
        if isinstance(event, Found):
            assert event.ran
            assert event.entry.value == 7
        else:
            assert (event.outcome.report, event.outcome.error) == (7, None)
        # The kill may fall between a job's end and its entry, in the other worker.
        assert len((notes / str(number)).read_text().split()) <= (1 if isinstance(event, Found) else 2)
    assert sum(len(path.read_text().split()) for path in notes.iterdir()) <= 199 + 2


def test_batch_lost_job_with_an_entry_of_earlier_runs_again(store: Store, tmp_path: Path) -> None:
    """An entry that was there before the batch does not stand for a job whose worker died: refresh means to run."""
    store.publish(key(1), "before", run_time_s=1.0)
    events = batch(store, {0: die, 1: partial(once, str(tmp_path / "note")), 2: die})
    event = events[1]
    assert isinstance(event, Found) or event.outcome.report == 7
    assert isinstance(event, Ran) or event.entry.value == 7


def test_batch_job_that_dies_after_it_published_is_served_by_its_entry(store: Store) -> None:
    """What was published counts, though its worker ended before it could tell."""
    events = batch(store, {0: lambda _: Last()})
    assert isinstance(events[0], Found)
    assert events[0].ran


def test_batch_unit_that_cannot_travel_costs_only_itself(store: Store) -> None:
    """A unit that cannot be pickled does not take along the parcel that it was put into."""
    lock = threading.Lock()
    jobs: dict[int, Callable[[Any], Any]] = dict.fromkeys(range(60), identity)
    jobs[50] = lambda _: lock
    events = batch(store, jobs)
    for number, event in events.items():
        assert isinstance(event, Ran)
        assert (event.outcome.error is None) == (number != 50)
