"""The threading backend by itself: futures that are kept, threads that end, and one that never does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from parcache.backends import create
from parcache.backends.threading import ThreadingBackend
from parcache.errors import SettingError

pytestmark = pytest.mark.any_hydra


@pytest.fixture
def earlier() -> set[threading.Thread]:
    """Return the threads that other tests have left: some end when they get to it."""
    return set(threading.enumerate())


@pytest.fixture
def backend(earlier: set[threading.Thread]) -> Iterator[ThreadingBackend]:
    """A started backend with two workers."""
    made = ThreadingBackend(workers=2)
    made.start(lambda: None)
    yield made
    made.stop(cancel=True)


def test_backend_is_known_by_its_name_and_starts_by_the_initializer() -> None:
    """``start`` calls the initializer in this process, before anything runs."""
    called: list[str] = []
    made = create("threading", {"workers": 3})
    made.start(lambda: called.append("here"))
    assert called == ["here"]
    assert made.capacity == 3
    made.stop(cancel=False)
    made.stop(cancel=False)


@pytest.mark.parametrize("workers", [0, 1.5, "two", True])
def test_backend_of_no_number_of_workers_is_refused(workers: Any) -> None:
    """A number of workers is a whole number, and not 0."""
    with pytest.raises(SettingError, match=r"hydra\.launcher\.backend\.workers"):
        ThreadingBackend(workers=workers)


def test_functions_run_at_once_in_threads_of_this_process(backend: ThreadingBackend) -> None:
    """As many as there are workers are under way together; results are the very objects."""
    both, result = threading.Barrier(2, timeout=60), object()

    def function(number: int) -> tuple[int, object]:
        both.wait()
        return number, result

    futures = [backend.submit(function, number) for number in range(2)]
    assert [future.result(60) for future in futures] == [(0, result), (1, result)]


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
def test_function_that_raises_fails_its_future_alone(backend: ThreadingBackend, kind: type[BaseException]) -> None:
    """Exits and interrupts end neither the thread nor the program."""

    def function(fails: bool) -> int:
        if fails:
            raise kind("it")
        return 1

    futures = [backend.submit(function, fails) for fails in (True, False)]
    assert isinstance(futures[0].exception(60), kind)
    assert futures[1].result(60) == 1
    assert backend.submit(function, False).result(60) == 1


def test_stop_waits_for_what_runs(backend: ThreadingBackend, earlier: set[threading.Thread]) -> None:
    """Without ``cancel`` everything that was submitted has ended."""
    begun, go = threading.Event(), threading.Event()

    def function(_: Any) -> None:
        begun.set()
        go.wait(60)

    future = backend.submit(function, None)
    begun.wait(60)
    threading.Timer(0.05, go.set).start()
    backend.stop(cancel=False)
    assert future.done()
    assert not [thread for thread in {*threading.enumerate()} - earlier if thread.name.startswith("parcache-")]


def test_stop_that_cancels_forgets_what_has_not_begun_and_waits_for_nothing() -> None:
    """What runs goes on in a daemon thread, which does not keep the interpreter from its end."""
    backend = ThreadingBackend(workers=1)
    backend.start(lambda: None)
    begun, go = threading.Event(), threading.Event()
    daemons: list[bool] = []

    def function(_: Any) -> str:
        daemons.append(threading.current_thread().daemon)
        begun.set()
        go.wait(60)
        return "ended"

    running = backend.submit(function, None)
    begun.wait(60)
    backend._calls.put(None)  # the next thread finds no work: what is submitted now stays queued
    waiting = backend.submit(function, None)
    backend.stop(cancel=True)
    assert waiting.cancelled()
    assert not running.done()
    go.set()
    assert running.result(60) == "ended"
    assert daemons == [True]
