"""A sweep through parcache, from the sweeper's overrides to the JobReturns it gets."""

from __future__ import annotations

import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from parcache.backends import per_job_settings
from parcache.errors import AuditError, ParcacheError, SettingError
from parcache.hydra.cache import SweepCache
from parcache.hydra.callbacks import SweepEndCallback
from parcache.hydra.compose import compose_jobs
from parcache.hydra.composer import SweepComposer
from parcache.hydra.execution import Execution, check_sweeper, make_backend
from parcache.hydra.keyring import Keyring
from parcache.hydra.ledger import Ledger
from parcache.hydra.record import ExplainMode, heading
from parcache.hydra.refused import RefusedError
from parcache.hydra.runner import HydraRunner
from parcache.hydra.settings import Audit, read_settings
from parcache.model import Job, Plan, Tally
from parcache.run.journal import Journal
from parcache.run.parts import Parts
from parcache.run.plan import make_plan
from parcache.run.record import DOCTOR_VARIABLE, EXPLAIN_VARIABLE, Explained, in_store
from parcache.run.summary import summary_line

if TYPE_CHECKING:
    from parcache.hydra.dry_run import DryRun
    from parcache.hydra.examination import Examination
    from parcache.run.audited import Audited
    from parcache.store.sweeps import Heading

log = logging.getLogger("parcache")


class Collector:
    """What the Python API gets of its sweeps, whatever the sweeper makes of them."""

    def __init__(self) -> None:
        self.reports: list[JobReturn] = []
        self.sweeps: list[Sweep] = []


COLLECTOR: ContextVar[Collector | None] = ContextVar("COLLECTOR", default=None)


class Sweep:
    """One sweep: made when the launcher is set up, told each batch, closed when the sweep ends, however it ends."""

    def __init__(self, context: HydraContext, task_function: TaskFunction, master: DictConfig) -> None:
        """Check the settings; nothing is started yet.

        Raises:
            RefusedError: A setting is wrong, or the backend is unknown or not installed.
        """
        try:
            self._settings = read_settings(master, os.environ, per_job_settings)
            backend = make_backend(self._settings)
            check_sweeper(backend, master)
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
        self._parts = Parts()
        self._started_s = time.perf_counter()
        self._started_ns = time.time_ns()
        self._ended_s = self._started_s
        sweep_dir = str(master.hydra.sweep.dir)
        explained_in = os.environ.get(EXPLAIN_VARIABLE)
        self._explain = ExplainMode(explained_in, context, master) if explained_in else None
        self._examination: Examination | None = None
        if os.environ.get(DOCTOR_VARIABLE):
            from parcache.hydra.examination import Examination

            self._examination = Examination(os.environ[DOCTOR_VARIABLE], context, master)
        self._dry_run: DryRun | None = None
        if self._settings.dry_run and self._explain is None:
            from parcache.hydra.dry_run import DryRun

            self._dry_run = DryRun(context, master, is_app=self._collector is None)
        only_plans = self._explain is not None or self._dry_run is not None
        reads = self._explain is not None or self._settings.cache.mode.reads
        self._cache = SweepCache(self._settings.cache, sweep_dir, reads=reads, only_looks=only_plans)
        told = {"backend": self._settings.backend_name, "host": socket.gethostname(), "pid": os.getpid()}
        self._journal = Journal(os.path.abspath(sweep_dir), told)
        self._ledger = Ledger(self._runner, self._journal)
        self._execution = Execution(
            backend,
            self._settings,
            self._runner,
            self._cache,
            self._ledger,
            self._parts,
            name=str(master.hydra.job.name),
            sweep_dir=os.path.abspath(sweep_dir),
            is_app=self._collector is None,
        )
        self._is_left_told = False
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
        if self._explain is None and self._dry_run is None and self._examination is None:
            os.makedirs(str(self._master.hydra.sweep.dir), exist_ok=True)
        cache = self._cache
        cache.open()
        with _collecting_only_what_is_new():
            composed = compose_jobs(self._composer, self._master, job_overrides, initial_job_idx)
            if self._examination is not None:
                self._execution.examine(self._examination, composed[0])
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
                expected = self._execution.expected_times(plan.misses)
                returns = self._dry_run.show(
                    jobs, self._execution.ordered(plan, expected), cache, expected, self._execution.workers
                )
                if self._collector is not None:
                    self._collector.reports.extend(returns)
                return returns
            self._execution.check(plan, by_number)
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
                self._execution.run(jobs, plan, lambda job: keyring.unit(job, by_number[job.number]), findings)
        keyring.close(self._composer.keeps)
        self._composer.forget()
        ordered = [self._ledger.returns.get(job.number) or self._ledger.leave(job.number) for job in jobs]
        if self._collector is not None:
            self._collector.reports.extend(ordered)
        if findings is not None:
            self._tell_findings(findings)
        return ordered

    def close(self) -> None:
        """Release the workers and log what the sweep came to. Later calls do nothing."""
        self._execution.stop(cancel=False)
        self._journal.close()
        if self._dry_run is not None:
            self._dry_run.close()
        ledger = self._ledger
        if ledger.tally.jobs:
            ledger.tell_failures()
            sweep_dir = str(self._master.hydra.sweep.dir)
            log.info(summary_line(ledger.tally, self._ended_s - self._started_s, sweep_dir))
            ledger.tally = Tally()
        if self._execution.left and not self._is_left_told:
            self._is_left_told = True
            log.info("%s", self._execution.left)

    @property
    def left(self) -> str:
        """Return what the sweep has left to its backend and how to follow it; an empty string where nothing was."""
        return self._execution.left

    @contextmanager
    def _keeping_books(self, explain: Callable[[int], Explained | None]) -> Iterator[None]:
        ledger = self._ledger
        failed_before = ledger.tally.failed
        has_ended = False
        try:
            yield
            has_ended = True
        except KeyboardInterrupt:
            self._execution.end_early()
            self._tell_interrupt()
            if self._collector is None:
                from parcache.run.interrupt import EXIT_CODE

                raise SystemExit(EXIT_CODE) from None
            raise
        finally:
            # After a failure the sweeper most often raises, and Hydra 1.3 then tells nobody that the sweep is over.
            if not has_ended or ledger.tally.failed > failed_before:
                self._execution.stop(cancel=not has_ended)
            if ledger.recorder is not None:
                ledger.recorder.close(explain)
            self._ended_s = time.perf_counter()

    def _tell_interrupt(self) -> None:
        self._runner.configure_logging()
        done = sum(each.status is JobStatus.COMPLETED for each in self._ledger.returns.values())
        where = "" if self._cache.writes else " (nothing was stored)"
        log.warning("Interrupted. %d jobs of this batch are done%s. Run the same command again to go on", done, where)

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
            around=self._execution.workers_environment(),
        )

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
