"""What happens to a parcel of units inside a worker: run each, publish its result, send back its report.

What is the same for all jobs of a sweep travels once for each worker, as the initializer's argument; what some of
them share travels as parts; a unit carries only what differs.
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from parcache.errors import CannotTravelError, LostResultError
from parcache.keys import executions
from parcache.keys.modules import Party, is_own, party_of
from parcache.model import Outcome
from parcache.run import failure, recorder, surroundings
from parcache.run.lanes import SHARING
from parcache.run.marks import Marker
from parcache.run.parts import Packed, Parts, Shelf
from parcache.run.reading import taking_up
from parcache.run.unit import Brief, Delivery, Parcel, Sealed, Ticket, Unit
from parcache.run.watch import Watch

if TYPE_CHECKING:
    from parcache.run.audit import Auditor

__all__ = [
    "Brief",
    "Parts",
    "Runner",
    "Ticket",
    "Unit",
    "Watch",
    "execute_parcel",
    "install_here",
    "release",
    "unseal",
]

# A parcel whose jobs turn out longer than they were goes back to where others can help with the rest.
_ENOUGH_S: Final = 0.1


class Runner(Protocol):
    """Runs jobs the way Hydra does; made by the floor above. Picklable by cloudpickle."""

    def install(self) -> None:
        """Make this process fit to run the sweep's jobs. Called once in each process that is not the sweeping one."""

    def cannot_travel(self) -> str | None:
        """Return what of the runner cannot be pickled, and why; None where it all can."""

    def run(self, unit: Unit, common: Any, watch: Watch) -> Any:
        """Run one job and return its report; the task function is to be called through ``watch.call``.

        ``common`` is the part that the unit names, the same object for every job that names it here; None where
        it names none.
        """

    def error_of(self, report: Any) -> BaseException | None:
        """Return what the job failed by, None where it completed. Called in the sweeping process."""

    def pack(self, report: Any) -> bytes:
        """Return a report as bytes.

        Raises:
            LostResultError: The job's result cannot be pickled.
        """

    def unpack(self, data: bytes) -> Any:
        """Return the report that these bytes are, in the sweeping process."""


class _Installed(NamedTuple):
    """``home`` is the id of the process in which the runner was made; ``error`` says why there is none here.

    ``auditor`` is there where jobs are audited.
    """

    runner: Runner | None
    shelf: Shelf
    error: BaseException | None = None
    home: int = 0
    auditor: Auditor | None = None
    records_inputs: bool = False
    marker: Marker | None = None


_INSTALLED: dict[str, _Installed] = {}


class Looking(NamedTuple):
    """What the processes of a sweep look at besides.

    ``inputs``: what the jobs read counts, and so does what is read before the first. ``audits``: the jobs whose briefs
    hold a closure are audited. ``imports`` are the modules that the program has imported: a task function of the main
    script travels by value, and what such a module registers or patches must be in force in a worker as well.
    """

    inputs: bool = False
    audits: bool = False
    imports: tuple[str, ...] = ()


def program_imports() -> tuple[str, ...]:
    """Return the names of the first-party modules that this process has imported, in the order in which it did."""
    names = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and name != "__main__" and not is_own(name) and party_of(path) is Party.FIRST:
            names.append(name)
    return tuple(names)


LOOKING_AT_NOTHING: Final = Looking()


def install_here(
    token: str, runner: Runner, parts: Parts, looking: Looking = LOOKING_AT_NOTHING, marks: str = ""
) -> Callable[[], None]:
    """Install a live runner and its parts in this process under a token; return what every worker is to call first.

    ``marks`` is the folder in which to note what is executed; empty for nowhere. Other processes get copies: the
    runner and the parts that there are now are pickled, by cloudpickle, only when the returned function is.
    """
    marker = Marker(marks) if marks else None
    _INSTALLED[token] = _Installed(
        runner, Shelf(parts.send()), None, os.getpid(), _auditor(looking.audits), looking.inputs, marker
    )
    return partial(_install, token, _Travelling(runner, parts, looking), marks)


def release(token: str) -> None:
    """Forget the runner in this process."""
    _INSTALLED.pop(token, None)


class _Travelling:
    """A runner, its parts and what must be in place before it can be unpickled: import path and working directory."""

    def __init__(self, runner: Runner, parts: Parts, looking: Looking) -> None:
        self._runner = runner
        self._parts = parts
        self._looking = looking

    def __reduce__(self) -> tuple[Any, ...]:
        from parcache.pickling import dumps

        try:
            pickled = dumps(self._runner)
        except Exception as error:
            raise CannotTravelError(self._runner.cannot_travel() or failure.text(error)) from None
        return _Arrived, (pickled, list(sys.path), os.getcwd(), self._parts.sent(), self._looking)


class _Arrived(NamedTuple):
    pickled: bytes
    sys_path: list[str]
    folder: str
    parts: dict[int, Packed]
    looking: Looking

    def unpack(self) -> Runner:
        sys.path[:] = self.sys_path
        os.chdir(self.folder)
        if self.looking.inputs:
            recorder.enable()
            executions.of_this_process().enable(is_early=True)
        with taking_up():  # it imports the task's modules
            for name in self.looking.imports:
                with suppress(Exception):  # what the task needs of it will say so
                    importlib.import_module(name)
            runner: Runner = pickle.loads(self.pickled)
            runner.install()
        return runner


def _install(token: str, source: Any, marks: str = "") -> None:
    if token in _INSTALLED:
        return
    shelf, auditor = Shelf(source.parts), _auditor(source.looking.audits)
    marker = Marker(marks) if marks else None
    try:
        with _arriving(auditor):
            runner = source.unpack()
        surroundings.keep()
        _INSTALLED[token] = _Installed(runner, shelf, auditor=auditor, marker=marker)
    except BaseException as error:  # told job by job: a worker that dies at its start breaks the pool for all
        _INSTALLED[token] = _Installed(None, shelf, error, marker=marker)


def _auditor(is_audited: bool) -> Auditor | None:
    if not is_audited:
        return None
    from parcache.run.audit import Auditor

    return Auditor()


def _arriving(auditor: Auditor | None) -> AbstractContextManager[None]:
    return nullcontext() if auditor is None else auditor.arriving()


def execute_parcel(token: str, parcel: Parcel, *, clock: Callable[[], float] = time.perf_counter) -> Delivery:
    """Run a parcel's units in this worker, one after the other, until it has taken long enough.

    Raises nothing, except that a KeyboardInterrupt passes in the main thread of the process that sweeps.
    """
    installed = _INSTALLED[token]
    installed.shelf.bring(parcel.parts)
    outcomes: list[Outcome] = []
    times_s: list[float] = []
    started = last = clock()
    for unit in parcel.units:
        if installed.marker is not None:
            installed.marker.start(parcel.id, unit.number)
        outcomes.append(_execute(installed, unit))
        now = clock()
        times_s.append(now - last)
        last = now
        if now - started >= _ENOUGH_S:
            break
    return Delivery(tuple(outcomes), tuple(times_s))


def _execute(installed: _Installed, unit: Unit) -> Outcome:
    is_home = installed.home == os.getpid()
    if installed.records_inputs:  # not before a job runs here: an idle hook costs every call of id() 0.1 us
        recorder.enable()
    watch = Watch(None, None)
    report: Any = None
    error = installed.error
    if installed.runner is not None:
        before = surroundings.before_job(is_home=is_home)
        try:
            shelf, ticket = installed.shelf, unit.ticket
            with _arriving(installed.auditor), nullcontext() if is_home else taking_up():
                common = shelf.get(unit.common) if unit.common is not None else None
                brief = shelf.get(ticket.brief) if ticket is not None else None
            watch = Watch(ticket, brief, installed.auditor)
            with SHARING.lane():
                report = installed.runner.run(unit, common, watch)
        except BaseException as raised:
            # In another thread it is not the user's: the job has raised it.
            if isinstance(raised, KeyboardInterrupt) and is_home and _is_main_thread():
                raise
            error = raised
        finally:
            if before is not None:
                before.restore()
    if is_home:
        return Outcome(unit.number, report, error, watch.run_time_s, watch.stored, watch.trace)
    sealed = _seal(unit.number, installed.runner, report, error)
    return Outcome(unit.number, sealed, None, watch.run_time_s, watch.stored, watch.trace)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def unseal(outcome: Outcome, runner: Runner) -> Outcome:
    """Return an outcome as it would be had its job run in this process."""
    sealed = outcome.report
    if not isinstance(sealed, Sealed):
        return outcome
    report, error = None, None
    if sealed.is_error:
        error = failure.thaw(pickle.loads(sealed.data))
    else:
        try:
            report = runner.unpack(sealed.data)
        except Exception as raised:
            error = LostResultError(outcome.number, "result", f"{type(raised).__name__}: {raised}")
    return Outcome(outcome.number, report, error, outcome.run_time_s, outcome.stored, outcome.trace)


def _seal(unit_number: int, runner: Runner | None, report: Any, error: BaseException | None) -> Sealed:
    if error is None and runner is not None:
        try:
            return Sealed(runner.pack(report), is_error=False)
        except LostResultError as raised:
            error = raised
        except Exception as raised:
            error = LostResultError(unit_number, "result", f"{type(raised).__name__}: {raised}")
    if error is None:
        error = RuntimeError("the worker has no runner")
    return Sealed(pickle.dumps(failure.freeze(error)), is_error=True)
