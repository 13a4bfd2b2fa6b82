"""Workers whose starts are apart: a start that was put off is not forgotten."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from parcache.backends.pool import Pool

pytestmark = pytest.mark.any_hydra

DEADLINE_S = 30


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def pass_by(self, _: Any = None) -> None:
        self.now_s += 1000.0


class LateReader(Pool):
    """A pool whose reading thread asks how long it may sleep when the gap has just passed."""

    def __init__(self, clock: Clock) -> None:
        self.all_submitted = Event()
        self._own_clock = clock
        super().__init__([{}, {}], _nothing, stagger_s=5.0, clock=clock)

    def _timeout_ms(self) -> float | None:
        assert self.all_submitted.wait(DEADLINE_S)
        self._own_clock.pass_by()
        return super()._timeout_ms()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(clock: Clock) -> Iterator[Pool]:
    pool = Pool([{}, {}], _nothing, stagger_s=5.0, clock=clock)
    yield pool
    pool.stop(cancel=True)


def _nothing() -> None:
    pass


def wait_at(gate: str) -> int:
    """Go on when the gate opens."""
    deadline = time.monotonic() + 4 * DEADLINE_S
    while not os.path.exists(gate):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return os.getpid()


def open_gate(gate: str) -> int:
    Path(gate).touch()
    return os.getpid()


def test_pool_gap_over_before_the_reader_asks_for_it_starts_what_an_answer_found_too_early(
    pool: Pool, clock: Clock, tmp_path: Path
) -> None:
    """A start that is refused after an answer is made up for, though the gap is over when the next sleep begins."""
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    answered = pool.submit(wait_at, first)
    waiting, opening = pool.submit(wait_at, second), pool.submit(open_gate, second)
    answered.add_done_callback(clock.pass_by)  # in the reading thread, between its look for a slot and its next sleep
    open_gate(first)
    assert opening.result(DEADLINE_S) != waiting.result(DEADLINE_S) == answered.result()


def test_pool_gap_over_before_the_reader_asks_for_it_starts_what_was_submitted_too_early(
    clock: Clock, tmp_path: Path
) -> None:
    """A start that is refused to who submits is made up for, though the gap is over when the reader's sleep begins."""
    pool = LateReader(clock)
    try:
        gate = str(tmp_path / "gate")
        waiting, opening = pool.submit(wait_at, gate), pool.submit(open_gate, gate)
        pool.all_submitted.set()
        assert opening.result(DEADLINE_S) != waiting.result(DEADLINE_S)
    finally:
        pool.all_submitted.set()
        pool.stop(cancel=True)


def test_pool_gap_that_lasts_lets_one_worker_do_all(pool: Pool, tmp_path: Path) -> None:
    """What was put off stays so until the gap is over, and keeps nobody from ending."""
    futures = [pool.submit(open_gate, str(tmp_path / "gate")) for _ in range(4)]
    assert len({future.result(DEADLINE_S) for future in futures}) == 1
