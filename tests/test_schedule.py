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
from parcache.run.schedule import run_units
from parcache.run.worker import Unit


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
        end = self._ends(argument.number)
        if end == "refused":
            raise Refusal(argument.number)
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
            future.set_exception(Refusal(argument.number))
        else:
            future.set_result(function(argument))

    def stop(self, *, cancel: bool) -> None:
        self._pool.shutdown(cancel_futures=cancel)


def execute(unit: Unit) -> Outcome:
    return Outcome(unit.number, unit.config * 10, None, 0.5, NOT_ASKED)


def units(count: int) -> list[Unit]:
    return [Unit(number, number, None) for number in range(count)]


def run(backend: StubBackend, count: int) -> list[Outcome]:
    try:
        return list(run_units(backend, execute, units(count)))
    finally:
        backend.stop(cancel=False)


ENDS = st.lists(st.sampled_from(["done", "at once", "refused", "cancelled", "died"]), max_size=12)


@given(ENDS, st.integers(min_value=1, max_value=4))
def test_schedule_any_ends_every_unit_has_one_outcome(ends: list[str], capacity: int) -> None:
    """Whatever becomes of each unit, there is exactly one outcome for it: its report, or what went wrong."""
    outcomes = run(StubBackend(capacity, ends=ends.__getitem__), len(ends))
    assert sorted(outcome.number for outcome in outcomes) == list(range(len(ends)))
    for outcome in outcomes:
        kind = {"refused": Refusal, "died": Refusal, "cancelled": CancelledError}.get(ends[outcome.number])
        if kind is None:
            assert (outcome.report, outcome.error) == (outcome.number * 10, None)
        else:
            assert outcome.report is None
            assert type(outcome.error) is kind


@given(ENDS, st.integers(min_value=1, max_value=4))
def test_schedule_any_ends_keeps_within_capacity(ends: list[str], capacity: int) -> None:
    """No more units are in flight at a time than the backend takes."""
    backend = StubBackend(capacity, ends=ends.__getitem__)
    run(backend, len(ends))
    assert backend.most <= capacity


class Holding(StubBackend):
    """Finishes nothing before as much is in flight as it takes."""

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._running.append(future)
        self.most = max(self.most, len(self._running))
        if len(self._running) == self.capacity:
            for each in self._running:
                each.set_result(function(argument))
            self._running.clear()
        return future


def test_schedule_fills_the_backend() -> None:
    """As many units are in flight as the backend takes: one that waits for that many does not wait for ever."""
    assert len(run(Holding(3), 9)) == 9


def test_schedule_backend_that_executes_on_submission_hands_out_outcomes_between_jobs() -> None:
    """With a backend that executes at once, an outcome is seen before the next unit starts."""
    seen: list[str] = []

    def tell(unit: Unit) -> Outcome:
        seen.append(f"ran {unit.number}")
        return execute(unit)

    for outcome in run_units(create("serial", {}), tell, units(3)):
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
    next(run_units(backend, execute, coming()))
    backend.stop(cancel=True)
    assert made == [0]


def test_schedule_interrupt_while_executing_ends_the_loop() -> None:
    """A KeyboardInterrupt in the sweeping process is no outcome: it ends the sweep."""

    def interrupted(unit: Unit) -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_units(create("serial", {}), interrupted, units(2)))


def nothing() -> None:
    pass


def dies_at_0(unit: Unit) -> Outcome:
    if unit.number == 0:
        os._exit(3)
    return Outcome(unit.number, os.getpid(), None, 0.0, NOT_ASKED)


def test_schedule_worker_that_dies_costs_what_was_in_flight_only() -> None:
    """After a worker process died, later units run in a new pool."""
    backend = create("process", {"workers": 1})
    backend.start(nothing)
    try:
        outcomes = {outcome.number: outcome for outcome in run_units(backend, dies_at_0, units(6))}
    finally:
        backend.stop(cancel=True)
    assert sorted(outcomes) == list(range(6))
    assert type(outcomes[0].error).__name__ == "TerminatedWorkerError"
    assert [outcomes[number].error for number in range(backend.capacity, 6)] == [None] * 4
