"""The schedule loop: keep a backend busy and hand out outcomes as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait

from parcache.backends.protocol import Backend
from parcache.model import NOT_ASKED, Outcome
from parcache.run.worker import Unit


def run_units(backend: Backend, execute: Callable[[Unit], Outcome], units: Iterable[Unit]) -> Iterator[Outcome]:
    """Yield one outcome for each unit, in the order in which they finish.

    At most ``backend.capacity`` units are in flight. A unit whose worker died, or that could not travel, yields an
    outcome with the error; the others go on as far as the backend lets them.
    """
    waiting = iter(units)
    running: dict[Future[Outcome], Unit] = {}
    exhausted = False
    while running or not exhausted:
        while not exhausted and len(running) < backend.capacity:
            unit = next(waiting, None)
            if unit is None:
                exhausted = True
                break
            future = _submit(backend, execute, unit)
            running[future] = unit
            if future.done():  # a backend that executes on submission: hand the outcome out before the next job
                break
        if not running:
            break
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield _outcome(running.pop(future), future)


def _submit(backend: Backend, execute: Callable[[Unit], Outcome], unit: Unit) -> Future[Outcome]:
    try:
        return backend.submit(execute, unit)
    except Exception as error:  # a broken pool refuses work at once
        failed: Future[Outcome] = Future()
        failed.set_exception(error)
        return failed


def _outcome(unit: Unit, future: Future[Outcome]) -> Outcome:
    # A backend may cancel what its workers can no longer do; asking a cancelled future raises.
    error = CancelledError("the backend cancelled the job") if future.cancelled() else future.exception()
    if error is not None:
        return Outcome(unit.number, None, error, 0.0, NOT_ASKED)
    return future.result()
