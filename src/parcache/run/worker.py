"""What happens to one unit of work inside a worker: run it, publish its result, send back its report.

What is the same for all jobs of a batch travels once for each worker, as the initializer's argument; a unit carries
only what differs.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import cloudpickle

from parcache.errors import CannotTravelError, LostResultError
from parcache.keys import witness
from parcache.keys.distributions import versions
from parcache.keys.fingerprint import Source
from parcache.model import NOT_ASKED, Key, Outcome, Stored, Storing
from parcache.run import failure
from parcache.store.store import Store


@dataclass(frozen=True, slots=True)
class Ticket:
    """The permission to publish a unit's result, and what must hold for it: the code and the distributions here."""

    store: Store
    key: Key
    sources: tuple[Source, ...]
    distributions: tuple[tuple[str, str], ...]
    record: dict[str, Any]
    explanation: dict[str, Any]
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Unit:
    """One job on its way to a worker. ``config`` is the composed config, opaque to this floor."""

    number: int
    config: Any
    ticket: Ticket | None


class Runner(Protocol):
    """Runs jobs the way Hydra does; made by the floor above. Picklable by cloudpickle."""

    def install(self) -> None:
        """Make this process fit to run the sweep's jobs. Called once in each process that is not the sweeping one."""

    def cannot_travel(self) -> str | None:
        """Return what of the runner cannot be pickled, and why; None where it all can."""

    def run(self, unit: Unit, watch: Watch) -> Any:
        """Run one job and return its report; the task function is to be called through ``watch.call``."""

    def pack(self, report: Any) -> bytes:
        """Return a report as bytes.

        Raises:
            LostResultError: The job's result cannot be pickled.
        """

    def unpack(self, data: bytes) -> Any:
        """Return the report that these bytes are, in the sweeping process."""


class Watch:
    """Stands around the call of the task function: takes its time, checks what ran, publishes the result."""

    def __init__(self, ticket: Ticket | None) -> None:
        self._ticket = ticket
        self.run_time_s = 0.0
        self.stored = NOT_ASKED

    def refuse(self, reason: str) -> None:
        """Do not publish this result."""
        if self._ticket is not None:
            self._ticket = None
            self.stored = Stored(Storing.REFUSED, reason)

    def call(self, task: Callable[[Any], Any], config: Any) -> Any:
        """Return ``task(config)``; publish the value before anybody else sees it."""
        if self._ticket is None:
            return self._timed(task, config)
        watcher = witness.of_this_process()
        watcher.observe(self._ticket.sources)
        before = set(sys.modules)
        try:
            value = self._timed(task, config)
        finally:
            # Also after a failure: what a failed job has imported stays for the jobs that follow it here.
            strangers = watcher.strangers(set(sys.modules) - before, self._ticket.sources)
        self.stored = self._publish(self._ticket, watcher, strangers, value)
        return value

    def _timed(self, task: Callable[[Any], Any], config: Any) -> Any:
        started = time.perf_counter()
        try:
            return task(config)
        finally:
            self.run_time_s = time.perf_counter() - started

    def _publish(self, ticket: Ticket, watcher: witness.Witness, strangers: list[str], value: Any) -> Stored:
        reason = (
            ticket.refusal
            or code_refusal(watcher, ticket.sources)
            or _strangers_refusal(strangers)
            or _distributions_refusal(ticket.distributions)
        )
        if reason:
            return Stored(Storing.REFUSED, reason)
        return ticket.store.publish(
            ticket.key,
            value,
            run_time_s=self.run_time_s,
            record=ticket.record,
            explanation=ticket.explanation,
        )


def code_refusal(watcher: witness.Witness, sources: Sequence[Source]) -> str:
    """Return why the code in this process is not known to be the fingerprinted code, or an empty string."""
    changed = watcher.unproven(sources)
    if changed:
        return (
            f"{', '.join(changed)} changed after this process may have imported the earlier text. "
            "Start the command again to store results of the code as it is now"
        )
    return ""


def _strangers_refusal(strangers: Sequence[str]) -> str:
    if not strangers:
        return ""
    return (
        f"{', '.join(strangers)} was imported in a way that the code fingerprint does not follow. "
        "Import it by its literal name in a module that the task function uses"
    )


def _distributions_refusal(keyed: tuple[tuple[str, str], ...]) -> str:
    """Compare the versions that the key was made of with those that this worker finds (looked up once a process)."""
    here = versions(name for name, _ in keyed)
    differing = [f"{name} {version} (here {here.get(name)})" for name, version in keyed if here.get(name) != version]
    if not differing:
        return ""
    return f"a worker's packages are not those of the sweeping process: {', '.join(differing)}. Use one environment"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A report, or the error in its place, from another process: bytes, so that nothing in it breaks the way back."""

    data: bytes
    is_error: bool


@dataclass(frozen=True, slots=True)
class _Installed:
    """``home`` is the id of the process in which the runner was made; ``error`` says why there is none here."""

    runner: Runner | None
    error: BaseException | None = None
    home: int = 0


_INSTALLED: dict[str, _Installed] = {}


def install_here(token: str, runner: Runner) -> Callable[[], None]:
    """Install a live runner in this process under a token; return what every worker is to call first.

    Other processes get a copy: the runner is pickled, by cloudpickle, only when the returned function is.
    """
    _INSTALLED[token] = _Installed(runner, home=os.getpid())
    return partial(_install, token, _Travelling(runner))


def release(token: str) -> None:
    """Forget the runner in this process."""
    _INSTALLED.pop(token, None)


class _Travelling:
    """A runner and what must be in place before it can be unpickled: the import path and the working directory."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            pickled = cloudpickle.dumps(self._runner)
        except Exception as error:
            raise CannotTravelError(self._runner.cannot_travel() or failure.text(error)) from None
        return _Arrived, (pickled, list(sys.path), os.getcwd())


@dataclass(frozen=True, slots=True)
class _Arrived:
    pickled: bytes
    sys_path: list[str]
    folder: str

    def unpack(self) -> Runner:
        sys.path[:] = self.sys_path
        os.chdir(self.folder)
        runner: Runner = cloudpickle.loads(self.pickled)
        runner.install()
        return runner


def _install(token: str, source: Any) -> None:
    if token in _INSTALLED:
        return
    try:
        _INSTALLED[token] = _Installed(source.unpack())
    except BaseException as error:  # told job by job: a worker that dies at its start breaks the pool for all
        _INSTALLED[token] = _Installed(None, error)


def execute(token: str, unit: Unit) -> Outcome:
    """Run a unit in this worker and return its outcome.

    Raises nothing, except that a KeyboardInterrupt passes in the process that sweeps.
    """
    installed = _INSTALLED[token]
    watch = Watch(unit.ticket)
    report: Any = None
    error = installed.error
    if installed.runner is not None:
        try:
            report = installed.runner.run(unit, watch)
        except BaseException as raised:
            if isinstance(raised, KeyboardInterrupt) and installed.home == os.getpid():
                raise
            error = raised
    if installed.home == os.getpid():
        return Outcome(unit.number, report, error, watch.run_time_s, watch.stored)
    return Outcome(
        unit.number, _seal(unit.number, installed.runner, report, error), None, watch.run_time_s, watch.stored
    )


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
    return Outcome(outcome.number, report, error, outcome.run_time_s, outcome.stored)


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
