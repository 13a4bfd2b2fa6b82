"""A sweep through parcache, from the sweeper's overrides to the JobReturns it gets."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from parcache.backends import Backend, create
from parcache.errors import AuditError, ParcacheError, SettingError, SharedProcessError
from parcache.hydra import sharing
from parcache.hydra.cache import SweepCache
from parcache.hydra.callbacks import SweepEndCallback
from parcache.hydra.compose import ComposedJob, compose_jobs
from parcache.hydra.composer import SweepComposer
from parcache.hydra.keyring import Keyring
from parcache.hydra.ledger import Ledger
from parcache.hydra.record import ExplainMode, heading
from parcache.hydra.runner import HydraRunner
from parcache.hydra.settings import Audit, Order, Settings, read_settings
from parcache.model import Job, Plan, Tally
from parcache.run.journal import Journal
from parcache.run.parts import Parts
from parcache.run.plan import make_plan
from parcache.run.record import EXPLAIN_VARIABLE, Explained, in_store
from parcache.run.summary import summary_line

if TYPE_CHECKING:
    from parcache.hydra.dry_run import DryRun
    from parcache.progress.snapshot import Display
    from parcache.run.audited import Audited
    from parcache.run.batch import Batch
    from parcache.run.interrupt import Interrupts
    from parcache.run.marks import Marks
    from parcache.run.schedule import Schedule
    from parcache.store.sweeps import Heading

log = logging.getLogger("parcache")


class Collector:
    """What the Python API gets of its sweeps, whatever the sweeper makes of them."""

    def __init__(self) -> None:
        self.reports: list[JobReturn] = []
        self.sweeps: list[Sweep] = []


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
            _check_fit(self._settings, self._backend)
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
        self._runner = HydraRunner(context, task_function, master)
        self._token = os.urandom(8).hex()
        self._parts = Parts()
        self._schedule: Schedule | None = None
        self._batch: Batch | None = None
        self._end_sharing: Callable[[], None] | None = None
        self._started_s = time.perf_counter()
        self._started_ns = time.time_ns()
        self._ended_s = self._started_s
        sweep_dir = str(master.hydra.sweep.dir)
        explained_in = os.environ.get(EXPLAIN_VARIABLE)
        self._explain = ExplainMode(explained_in, context, master) if explained_in else None
        self._dry_run: DryRun | None = None
        if self._settings.dry_run and self._explain is None:
            from parcache.hydra.dry_run import DryRun

            self._dry_run = DryRun(context, master, is_app=self._collector is None)
        only_plans = self._explain is not None or self._dry_run is not None
        reads = self._explain is not None or self._settings.cache.mode.reads
        self._cache = SweepCache(self._settings.cache, sweep_dir, reads=reads, only_looks=only_plans)
        self._display: Display | None = None
        told = {"backend": self._settings.backend_name, "host": socket.gethostname(), "pid": os.getpid()}
        self._journal = Journal(os.path.abspath(sweep_dir), told)
        self._ledger = Ledger(self._runner, self._journal)
        at_end = self.close if self._explain is None else self._explain.end
        context.callbacks.callbacks.append(SweepEndCallback(at_end))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run one batch and return its JobReturns in job order.

        Raises:
            Exception: What Hydra raises where a job does not compose, and no job has started then; what the first
                failed job raised, where the limits that ``failures`` sets are reached.
            SystemExit: The sweep was interrupted; from Python, it is a KeyboardInterrupt.
        """
        setup_globals()
        self._runner.configure_logging()
        if self._explain is None and self._dry_run is None:
            os.makedirs(str(self._master.hydra.sweep.dir), exist_ok=True)
        cache = self._cache
        cache.open()
        with _collecting_only_what_is_new():
            composed = compose_jobs(self._composer, self._master, job_overrides, initial_job_idx)
            try:
                keyring = self._keyring()
                jobs = [keyring.job(job) for job in composed]
            except SettingError as error:
                raise RefusedError(error) from None
            plan = make_plan(jobs, cache.reader())
            by_number = {job.number: job for job in composed}
            if cache.store is None:
                cache.uncached = dict.fromkeys(by_number, cache.reason)

            def explain(number: int) -> Explained | None:
                return keyring.explained(by_number[number])

            if self._explain is not None:
                return self._explain.finish(self._heading(), jobs, plan, cache.uncached, explain, keyring.codes())
            if self._dry_run is not None:
                expected = self._expected_times(plan.misses)
                returns = self._dry_run.show(jobs, self._ordered(plan, expected), cache, expected, self._workers)
                if self._collector is not None:
                    self._collector.reports.extend(returns)
                return returns
            self._check_sharing(plan, by_number)
            self._record_plan(jobs, plan)
        log.info(
            "Launching %d jobs: %d in the store, %d to run (%s)",
            len(jobs),
            len(plan.hits),
            len(plan.misses),
            self._settings.backend_name,
        )
        findings = _new_audited() if self._settings.cache.audit is not Audit.OFF else None
        with self._keeping_books(explain):
            self._ledger.begin(by_number, plan)
            with _collecting_only_what_is_new():
                for number, entry in plan.hits.items():
                    self._ledger.hit(number, entry)
            if plan.misses:
                keyring.prepare()
                self._run(jobs, plan, lambda job: keyring.unit(job, by_number[job.number]), findings)
        keyring.close(self._composer.keeps)
        self._composer.forget()
        ordered = [self._ledger.returns[job.number] for job in jobs]
        if self._collector is not None:
            self._collector.reports.extend(ordered)
        if findings is not None:
            self._tell_findings(findings)
        return ordered

    def close(self) -> None:
        """Release the workers and log what the sweep came to. Later calls do nothing."""
        self._stop(cancel=False)
        self._journal.close()
        if self._dry_run is not None:
            self._dry_run.close()
        ledger = self._ledger
        if ledger.tally.jobs:
            ledger.tell_failures()
            sweep_dir = str(self._master.hydra.sweep.dir)
            log.info(summary_line(ledger.tally, self._ended_s - self._started_s, sweep_dir))
            ledger.tally = Tally()

    def _run(self, jobs: Sequence[Job], plan: Plan, unit_of: Callable[[Job], Any], findings: Audited | None) -> None:
        """Run what the plan leaves to run, until its end or the limits'."""
        from parcache.run.batch import Batch
        from parcache.run.events import Again, Found
        from parcache.run.interrupt import Interrupts
        from parcache.run.status import Status

        expected: Mapping[int, float] = {}
        if len(plan.misses) > 1:
            expected = self._expected_times(plan.misses)
            plan = self._ordered(plan, expected)
        batch = self._batch = Batch(plan, {job.number: job for job in jobs}, unit_of, self._cache.read_back)
        raises = not getattr(self._backend, "executes_elsewhere", False)
        with Interrupts(self._abandon, raises=raises) as interrupts, ExitStack() as stack:
            display = self._display_of()
            marks = self._marks()
            status = Status(
                len(jobs), len(plan.hits), _to_run(jobs, plan), lambda: marks.read().values(), expected, self._workers
            )
            stack.callback(display.stop)
            display.start(status.snapshot)
            schedule = self._start(interrupts, marks)
            for event in batch.run(schedule):
                self._ledger.take(event)
                number = event.job.number
                if isinstance(event, Again):
                    status.retried()
                    continue
                completed = self._ledger.returns[number].status is JobStatus.COMPLETED
                if isinstance(event, Found) and not event.ran:
                    status.duplicate()
                elif completed:
                    time_s = event.entry.run_time_s if isinstance(event, Found) else event.outcome.run_time_s
                    status.completed(number, time_s)
                else:
                    status.failed(number)
                if isinstance(event, Found):
                    continue
                if findings is not None and (event.outcome.trace is not None or completed):
                    findings.add(number, event.outcome.trace)  # a job that did not live to tell has failed
                if event.outcome.stored.reason:
                    self._cache.warn(f"Results are not stored: {event.outcome.stored.reason}.", number)
            if interrupts.is_requested:  # while the last job ended
                raise KeyboardInterrupt
        if schedule.is_over:
            self._end_early()
            _ = self._ledger.first_failure().return_value  # raises what the job raised

    @contextmanager
    def _keeping_books(self, explain: Callable[[int], Explained | None]) -> Iterator[None]:
        ledger = self._ledger
        failed_before = ledger.tally.failed
        has_ended = False
        try:
            yield
            has_ended = True
        except KeyboardInterrupt:
            self._end_early()
            self._tell_interrupt()
            if self._collector is None:
                from parcache.run.interrupt import EXIT_CODE

                raise SystemExit(EXIT_CODE) from None
            raise
        finally:
            # After a failure the sweeper most often raises, and Hydra 1.3 then tells nobody that the sweep is over.
            if not has_ended or ledger.tally.failed > failed_before:
                self._stop(cancel=not has_ended)
            if ledger.recorder is not None:
                ledger.recorder.close(explain)
            self._ended_s = time.perf_counter()

    def _end_early(self) -> None:
        """End what runs, and take note of what has become of it."""
        schedule, batch, running = self._schedule, self._batch, self._running_numbers()
        self._stop(cancel=True)
        if schedule is not None and batch is not None:
            for event in batch.left(schedule):
                self._ledger.take(event)
        self._ledger.interrupted(running)

    def _abandon(self) -> None:
        """Leave nothing behind in a process that is about to end, whatever it was at."""
        schedule = self._schedule
        self._backend.stop(cancel=True)
        if schedule is not None:
            self._forget_workers(schedule)

    def _tell_interrupt(self) -> None:
        self._runner.configure_logging()
        done = sum(each.status is JobStatus.COMPLETED for each in self._ledger.returns.values())
        where = "" if self._cache.writes else " (nothing was stored)"
        log.warning("Interrupted. %d jobs of this batch are done%s. Run the same command again to go on", done, where)

    def _running_numbers(self) -> set[int]:
        """Return the jobs that workers are running, some that have ended among them."""
        if self._schedule is None:
            return set()
        return {mark.number for mark in self._schedule.marks.read().values()}

    def _marks(self) -> Marks:
        from parcache.run.marks import Marks

        return Marks() if self._schedule is None else self._schedule.marks

    def _start(self, interrupts: Interrupts, marks: Marks) -> Schedule:
        from parcache.run.schedule import Crew, Schedule
        from parcache.run.worker import Looking, execute_parcel, install_here, program_imports

        if self._schedule is None:
            looking = Looking(
                inputs=self._cache.writes and self._cache.scope is not None,
                audits=self._settings.cache.audit is not Audit.OFF,
                imports=program_imports() if self._collector is None else (),
            )
            self._end_sharing = sharing.begin(self._backend)
            try:
                self._backend.start(install_here(self._token, self._runner, self._parts, looking, marks.folder))
            except SettingError as error:
                marks.close()
                raise RefusedError(error) from None
            crew = Crew(self._backend, self._runner, partial(execute_parcel, self._token), self._parts, marks)
            failed = self._ledger.tally.failed  # of earlier batches, whose workers have ended
            self._schedule = Schedule(crew, self._settings.limits, failed=failed, sent=self._ledger.sent)
        self._schedule.is_interrupted = lambda: interrupts.is_requested
        return self._schedule

    def _workers_environment(self) -> Mapping[str, str]:
        """Return what of ``cache.env`` is not for the workers as it is here.

        Raises:
            SettingError: One of them is not the same in every worker.
        """
        tell = getattr(self._backend, "environment", None)
        found: Mapping[str, str] = tell(self._settings.cache.env) if tell and self._settings.cache.env else {}
        return found

    def _check_sharing(self, plan: Plan, jobs: Mapping[int, ComposedJob]) -> None:
        due = [jobs[job.number] for job in plan.misses] + [jobs[number] for number in plan.duplicates]
        try:
            sharing.check(self._backend, due, max(len(plan.misses), len(plan.duplicates)), self._settings.cache.audit)
        except SharedProcessError as error:
            raise RefusedError(error) from None

    def _stop(self, *, cancel: bool) -> None:
        if self._schedule is not None:
            from parcache.run.worker import release

            schedule, self._schedule = self._schedule, None
            try:
                self._backend.stop(cancel=cancel)
            finally:
                self._forget_workers(schedule)
                release(self._token)
                if self._display is not None:
                    self._display.close()
                    self._display = None
                if self._end_sharing is not None:
                    end, self._end_sharing = self._end_sharing, None
                    end()

    def _forget_workers(self, schedule: Schedule) -> None:
        self._cache.tidy(schedule.marks.processes())
        schedule.marks.close()

    def _keyring(self) -> Keyring:
        cache = self._cache
        fingerprinter = cache.fingerprinter(self._task_function, with_program=self._collector is None)
        return Keyring(
            self._settings.cache,
            cache.store,
            fingerprinter,
            cache.warn_uncached,
            self._parts,
            scope=cache.scope,
            writes=cache.writes,
            around=self._workers_environment(),
        )

    def _ordered(self, plan: Plan, expected: Mapping[int, float]) -> Plan:
        workers = self._workers
        if self._settings.order is Order.GIVEN or not expected or not 1 < workers < len(plan.misses):
            return plan
        from parcache.run.history import longest_first

        return plan._replace(misses=longest_first(plan.misses, expected))

    @property
    def _workers(self) -> int:
        """How many jobs run at a time, as far as the backend says.

        Raises:
            RefusedError: The machine does not have what the backend's settings ask for.
        """
        try:
            return int(getattr(self._backend, "workers", None) or self._backend.capacity)
        except SettingError as error:
            raise RefusedError(error) from None

    def _display_of(self) -> Display:
        if self._display is None:
            from parcache.progress.choose import choose_display

            self._display = choose_display(self._settings.progress, os.environ, sys.stdout, sys.stderr)
        return self._display

    def _expected_times(self, jobs: Sequence[Job]) -> Mapping[int, float]:
        if self._cache.opened is None:
            return {}
        from parcache.run.history import MAX_PAST, Past, expected_times
        from parcache.store.sweeps import times

        return expected_times(jobs, [Past(*found) for found in islice(times(self._cache.opened.paths), MAX_PAST)])

    def _heading(self) -> Heading:
        is_app = self._collector is None
        return heading(self._master, self._settings.cache, self._started_ns, is_app=is_app)

    def _record_plan(self, jobs: Sequence[Job], plan: Plan) -> None:
        cache = self._cache
        if cache.opened is None or not cache.writes:
            return
        if self._ledger.recorder is None:
            self._ledger.recorder = in_store(cache.opened, self._heading())
        self._ledger.recorder.planned(jobs, plan, cache.uncached)

    def _tell_findings(self, findings: Audited) -> None:
        """Warn of what a batch's audits found.

        Raises:
            RefusedError: They found something and were to fail by it.
        """
        for stray, number in findings.strays:
            self._cache.warn(f"Audit: not in the job's code closure: {stray}", number)
        for number, problem in findings.untraced:
            self._cache.warn(f"Audit: a job was not seen whole: {problem}", number)
        log.debug("Audit: %d pieces of code that were made from text while jobs ran are in no file", findings.made)
        log.info(findings.line())
        if self._settings.cache.audit is Audit.FAIL and (findings.strays or findings.untraced):
            untraced = [f"job {number}: {problem}" for number, problem in findings.untraced]
            raise RefusedError(AuditError([str(stray) for stray, _ in findings.strays], untraced))


def _check_fit(settings: Settings, backend: Backend) -> None:
    """Refuse what this backend cannot do.

    Raises:
        SettingError: Jobs are to be stopped after some time, and the backend cannot stop one.
    """
    timeout_s = settings.limits.timeout_s
    if timeout_s is not None and not hasattr(backend, "kill"):
        expected = f"null with the backend {settings.backend_name}, which cannot stop a job"
        remedy = "choose one that can: hydra/launcher/backend=process"
        raise SettingError("hydra.launcher.failures.timeout_s", timeout_s, f"{expected}; {remedy}")


def _to_run(jobs: Sequence[Job], plan: Plan) -> list[Job]:
    """Return the jobs of a plan that may run: misses in their order, then duplicates, whose twins may fail."""
    duplicates = [job for job in jobs if job.number in plan.duplicates]
    return [*plan.misses, *duplicates]


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
