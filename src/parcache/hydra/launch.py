"""A sweep through parcache, from the sweeper's overrides to the JobReturns it gets."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from parcache.backends import Backend, create
from parcache.errors import (
    AuditError,
    NewerFormatError,
    ParcacheError,
    SettingError,
    StoreUnavailableError,
    UnkeyableCodeError,
)
from parcache.hydra.callbacks import SweepEndCallback
from parcache.hydra.compose import ComposedJob, compose_job
from parcache.hydra.composer import SweepComposer
from parcache.hydra.keyring import Keyring
from parcache.hydra.record import ExplainMode, heading
from parcache.hydra.runner import HydraRunner, Report
from parcache.hydra.settings import Audit, Code, read_settings
from parcache.keys.fingerprint import Fingerprinter
from parcache.keys.inputs import Verifier
from parcache.keys.scope import Scope
from parcache.keys.task import TaskIdentity, identify
from parcache.model import Entry, Job, Plan, Storing, Tally
from parcache.run import failure
from parcache.run.parts import Parts
from parcache.run.plan import make_plan
from parcache.run.record import EXPLAIN_VARIABLE, Explained, Recorder, in_store
from parcache.run.summary import summary_line
from parcache.store.notes import Notes
from parcache.store.store import Store
from parcache.store.sweeps import Heading, Status

if TYPE_CHECKING:
    from parcache.run.audited import Audited
    from parcache.run.batch import Crew, Ran
    from parcache.run.unit import Unit

log = logging.getLogger("parcache")


@dataclass(slots=True)
class Collector:
    """What the Python API gets of its sweeps, whatever the sweeper makes of them."""

    reports: list[JobReturn] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)


COLLECTOR: ContextVar[Collector | None] = ContextVar("COLLECTOR", default=None)


class RefusedError(CompactHydraException):
    """A sweep that parcache refuses, as Hydra shows errors: without a traceback. ``error`` is the reason."""

    def __init__(self, error: ParcacheError) -> None:
        super().__init__(str(error))
        self.error = error


class Sweep:
    """One sweep: made when the launcher is set up, told each batch, closed when the sweep ends, however it ends."""

    def __init__(self, context: HydraContext, task_function: TaskFunction, master: DictConfig) -> None:
        """Check the settings; nothing is started yet.

        Raises:
            RefusedError: A setting is wrong, or the backend is unknown or not installed.
        """
        try:
            self._settings = read_settings(master, os.environ)
            self._backend: Backend = create(self._settings.backend_name, self._settings.backend)
        except ParcacheError as error:
            raise RefusedError(error) from None
        loader: Any = context.config_loader
        self._composer = loader if isinstance(loader, SweepComposer) else SweepComposer(loader)
        context.config_loader = self._composer  # from here on the sweeper composes with it, too
        self._task_function = task_function
        self._master = master
        self._collector = COLLECTOR.get()
        if self._collector is not None:
            self._collector.sweeps.append(self)
        self._identity: TaskIdentity | None = None
        self._runner = HydraRunner(context, task_function, master)
        self._token = secrets.token_hex(8)
        self._parts = Parts()
        self._crew: Crew | None = None
        self._store: Store | None = None
        self._store_tried = False
        self._recorder: Recorder | None = None
        self._uncached: dict[int, str] = {}  # by number: why a job is not cached
        self._no_store = "cache.mode is off"
        self._writes = False
        cache = self._settings.cache
        self._scope: Scope | None = None
        if cache.inputs.is_watched:
            sweep_dir = os.path.join(cache.root, str(master.hydra.sweep.dir))
            self._scope = Scope(
                cache.root, os.path.normpath(cache.dir), os.path.normpath(sweep_dir), cache.inputs.excluded
            )
        self._told: set[str] = set()
        self._tally = Tally()
        self._started_s = time.perf_counter()
        self._started_ns = time.time_ns()
        self._ended_s = self._started_s
        explained_in = os.environ.get(EXPLAIN_VARIABLE)
        self._explain = ExplainMode(explained_in, context, master) if explained_in else None
        at_end = self.close if self._explain is None else self._explain.end
        context.callbacks.callbacks.append(SweepEndCallback(at_end))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run one batch and return its JobReturns in job order.

        Raises:
            Exception: What Hydra raises where a job does not compose; no job has started then.
        """
        setup_globals()
        self._runner.configure_logging()
        if self._explain is None:
            os.makedirs(str(self._master.hydra.sweep.dir), exist_ok=True)
        store = self._open_store()
        with _collecting_only_what_is_new():
            composed = [
                compose_job(self._composer, self._master, overrides, initial_job_idx + index)
                for index, overrides in enumerate(job_overrides)
            ]
            fingerprinter, store = self._take_up(store)
            cache = self._settings.cache
            keyring = Keyring(
                cache, store, fingerprinter, self._warn_uncached, self._parts, scope=self._scope, writes=self._writes
            )
            try:
                jobs = [keyring.job(job) for job in composed]
            except SettingError as error:
                raise RefusedError(error) from None
            plan = make_plan(jobs, self._reader(store) if store is not None and self._reads else _no_entry)
            by_number = {job.number: job for job in composed}
            if store is None:
                self._uncached = dict.fromkeys(by_number, self._no_store)

            def explain(number: int) -> Explained | None:
                return keyring.explained(by_number[number])

            if self._explain is not None:
                return self._explain.finish(self._heading(), jobs, plan, self._uncached, explain, keyring.codes())
            self._record_plan(jobs, plan)
        log.info(
            "Launching %d jobs: %d in the store, %d to run (%s)",
            len(jobs),
            len(plan.hits),
            len(plan.misses),
            self._settings.backend_name,
        )
        returns: dict[int, JobReturn] = {}
        findings = _new_audited() if cache.audit is not Audit.OFF else None
        with self._tallying(explain) as tally:
            with _collecting_only_what_is_new():
                for number, entry in plan.hits.items():
                    returns[number] = self._runner.restore(by_number[number], entry)
                    tally.append(Tally(hits=1, saved_s=entry.run_time_s))
            if plan.misses:
                from parcache.run.batch import Ran, run_batch  # all that runs jobs is loaded where one is to run: 4 ms

                read_back = self._read_back if store is not None and self._writes else _no_entry
                jobs_by_number = {job.number: job for job in jobs}

                keyring.prepare()

                def unit_of(job: Job) -> Unit:
                    return keyring.unit(job, by_number[job.number])

                for event in run_batch(plan, jobs_by_number, unit_of, self._start(), read_back):
                    number = event.job.number
                    if isinstance(event, Ran):
                        returns[number] = self._accept(event, by_number[number])
                        seen = event.outcome.trace is not None or returns[number].status is JobStatus.COMPLETED
                        if findings is not None and seen:  # a job that did not live to tell has failed
                            findings.add(number, event.outcome.trace)
                        tally.append(Tally(misses=1, failed=returns[number].status is not JobStatus.COMPLETED))
                    else:
                        returns[number] = self._runner.restore(by_number[number], event.entry)
                        served = Tally(duplicates=1, saved_s=event.entry.run_time_s)
                        tally.append(Tally(misses=1) if event.ran else served)
                        if event.ran:
                            self._ended(number, Status.MISS)
        keyring.close(self._composer.keeps)
        self._composer.forget()
        ordered = [returns[job.number] for job in jobs]
        if self._collector is not None:
            self._collector.reports.extend(ordered)
        if findings is not None:
            self._tell_findings(findings)
        return ordered

    def close(self) -> None:
        """Release the workers and log the sweep's one line. Later calls do nothing."""
        self._stop(cancel=False)
        if self._tally.jobs:
            sweep_dir = str(self._master.hydra.sweep.dir)
            log.info(summary_line(self._tally, self._ended_s - self._started_s, sweep_dir))
            self._tally = Tally()

    @contextmanager
    def _tallying(self, explain: Callable[[int], Explained | None]) -> Iterator[list[Tally]]:
        parts: list[Tally] = []
        finished = False
        try:
            yield parts
            finished = not any(part.failed for part in parts)
        finally:
            # After a failure the sweeper most often raises, and Hydra 1.3 then tells nobody that the sweep is over.
            if not finished:
                self._stop(cancel=True)
            if self._recorder is not None:
                self._recorder.close(explain)
            self._tally = sum(parts, self._tally)
            self._ended_s = time.perf_counter()

    def _accept(self, event: Ran, job: ComposedJob) -> JobReturn:
        outcome = event.outcome
        if outcome.stored.how is Storing.REFUSED:
            self._warn_once(f"Results are not stored: {outcome.stored.reason}.", job.number)
        if outcome.error is None:
            report: JobReturn | Report = outcome.report
            if isinstance(report, Report):
                report = report.complete(job)
            if report.status is JobStatus.COMPLETED:
                refused = outcome.stored.how is Storing.REFUSED
                self._ended(job.number, Status.REFUSED if refused else Status.MISS, outcome.stored.reason)
                log.debug("#%d %s: done in %.3g s", job.number, " ".join(job.overrides), outcome.run_time_s)
                return report
            error = report._return_value
        else:
            error = outcome.error
            report = self._runner.failed(job, error)
        problem = f"{type(error).__name__}: {failure.text(error)}".splitlines()[0]
        self._ended(job.number, Status.FAILED, problem)
        line = f"#{job.number} {' '.join(job.overrides)}: failed: {problem}"
        log.error("%s", line.encode("utf-8", "backslashreplace").decode("utf-8"))  # a stream refuses lone surrogates
        return report

    def _start(self) -> Crew:
        if self._crew is None:
            from parcache.run.batch import Crew
            from parcache.run.worker import Looking, install_here, program_imports

            looking = Looking(
                inputs=self._writes and self._scope is not None,
                audits=self._settings.cache.audit is not Audit.OFF,
                imports=program_imports() if self._collector is None else (),
            )
            self._backend.start(install_here(self._token, self._runner, self._parts, looking))
            self._crew = Crew(self._backend, self._runner, self._token, self._parts)
        return self._crew

    def _stop(self, *, cancel: bool) -> None:
        if self._crew is not None:
            from parcache.run.worker import release

            self._crew = None
            self._backend.stop(cancel=cancel)
            release(self._token)

    def _take_up(self, store: Store | None) -> tuple[Fingerprinter | None, Store | None]:
        """Return what takes a batch's fingerprints, and the store; no store where the task has no fingerprint."""
        if store is None or self._settings.cache.code is Code.OFF:
            return None, store
        try:
            if self._identity is None:  # once a sweep: what its own jobs leave in memory is not the task's
                self._identity = identify(self._task_function)
        except UnkeyableCodeError as error:
            self._go_without(error)
            return None, None
        notes = Notes(store.paths, self._writes)
        return Fingerprinter(
            self._identity, with_program=self._collector is None, notes=notes, packages=self._settings.cache.packages
        ), store

    def _reader(self, store: Store) -> Callable[[Job], Entry | None]:
        """Return what looks jobs up, for one batch: inputs are looked at once."""
        scope = self._scope
        if scope is None:
            return lambda job: store.read(job.key) if job.key is not None else None
        verifier = Verifier(scope, store.digest_memo(writable=self._writes), store.list_of)

        def read(job: Job) -> Entry | None:
            accepts = partial(verifier.accepts, named=job.named) if job.named else verifier.accepts
            return store.read(job.key, accepts) if job.key is not None else None

        return read

    def _read_back(self, job: Job) -> Entry | None:
        """Return what this batch published for a job, if what that read has not changed since."""
        if self._store is None or job.key is None:
            return None
        if self._scope is None:
            return self._store.read(job.key)
        # Looked at anew: the jobs themselves may have written what they read.
        verifier = Verifier(self._scope, self._store.digest_memo(writable=self._writes), self._store.list_of)
        return self._store.read(job.key, partial(verifier.accepts, named=job.named), last_only=True)

    def _open_store(self) -> Store | None:
        cache = self._settings.cache
        if not self._store_tried and (cache.mode.reads or cache.mode.writes):
            self._store_tried = True
            try:
                writes = cache.mode.writes and self._explain is None
                self._store = Store.open(cache.dir, writable=writes)
                self._writes = writes
            except NewerFormatError as error:
                self._go_without(error)
            except StoreUnavailableError as error:
                self._store = self._open_to_read()
                left = "serves what is stored and stores nothing" if self._store else "runs without a cache"
                self._warn_once(f"{error} This sweep {left}.")
        return self._store

    @property
    def _reads(self) -> bool:
        """Tell whether what is stored is looked at; who asks why is told also where a run would not look."""
        return self._settings.cache.mode.reads or self._explain is not None

    def _heading(self) -> Heading:
        is_app = self._collector is None
        return heading(self._master, self._settings.cache, self._started_ns, is_app=is_app)

    def _record_plan(self, jobs: Sequence[Job], plan: Plan) -> None:
        if self._store is None or not self._writes:
            return
        if self._recorder is None:
            self._recorder = in_store(self._store, self._heading())
        self._recorder.planned(jobs, plan, self._uncached)

    def _ended(self, number: int, status: Status, reason: str = "") -> None:
        if self._recorder is not None:
            self._recorder.ended(number, status, reason)

    def _open_to_read(self) -> Store | None:
        cache = self._settings.cache
        if not cache.mode.reads or not os.path.isdir(cache.dir):
            return None
        try:
            return Store.open(cache.dir, writable=False)
        except (StoreUnavailableError, NewerFormatError):
            return None

    def _tell_findings(self, findings: Audited) -> None:
        """Warn of what a batch's audits found.

        Raises:
            RefusedError: They found something and were to fail by it.
        """
        for stray, number in findings.strays:
            self._warn_once(f"Audit: not in the job's code closure: {stray}", number)
        for number, problem in findings.untraced:
            self._warn_once(f"Audit: a job was not seen whole: {problem}", number)
        log.debug("Audit: %d pieces of code that were made from text while jobs ran are in no file", findings.made)
        log.info(findings.line())
        if self._settings.cache.audit is Audit.FAIL and (findings.strays or findings.untraced):
            untraced = [f"job {number}: {problem}" for number, problem in findings.untraced]
            raise RefusedError(AuditError([str(stray) for stray, _ in findings.strays], untraced))

    def _go_without(self, error: ParcacheError) -> None:
        self._no_store = str(error)
        self._warn_once(f"{error} This sweep runs without a cache.")

    def _warn_uncached(self, message: str, number: int) -> None:
        self._uncached[number] = message
        self._warn_once(message, number)

    def _warn_once(self, message: str, number: int | None = None) -> None:
        if message not in self._told:
            self._told.add(message)
            log.warning("%s%s", message, "" if number is None else f" (first: job {number})")


@contextmanager
def _collecting_only_what_is_new() -> Iterator[None]:
    """Keep the garbage collector from what Hydra and the app have imported: each look at it takes 20 ms."""
    if gc.get_freeze_count():  # somebody else has done so, for good
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _new_audited() -> Audited:
    from parcache.run.audited import Audited  # where jobs are audited

    return Audited()


def _no_entry(_: Job) -> Entry | None:
    return None
