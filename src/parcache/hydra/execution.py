"""The part of a sweep that runs jobs: a backend with its workers, started with the first job that is to run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from hydra.core.utils import JobStatus
from omegaconf import DictConfig

from parcache.backends import About, Backend, Place, create
from parcache.errors import ParcacheError, SettingError, SharedProcessError
from parcache.hydra import sharing
from parcache.hydra.cache import SweepCache
from parcache.hydra.compose import ComposedJob
from parcache.hydra.ledger import Ledger
from parcache.hydra.record import BASIC_SWEEPER
from parcache.hydra.refused import RefusedError
from parcache.hydra.runner import HydraRunner
from parcache.hydra.settings import Audit, Order, Settings
from parcache.model import Job, Plan
from parcache.run.parts import Parts
from parcache.run.plan import make_plan

if TYPE_CHECKING:
    from parcache.hydra.examination import Examination
    from parcache.progress.snapshot import Display
    from parcache.run.audited import Audited
    from parcache.run.batch import Batch
    from parcache.run.interrupt import Interrupts
    from parcache.run.marks import Mark, Marks
    from parcache.run.schedule import Schedule
    from parcache.run.status import Status


class Execution:
    """Runs the jobs of one sweep's batches.

    ``name`` is the app's, ``sweep_dir`` absolute. ``is_app``: the sweep was started from a command line.
    """

    def __init__(
        self,
        backend: Backend,
        settings: Settings,
        runner: HydraRunner,
        cache: SweepCache,
        ledger: Ledger,
        parts: Parts,
        *,
        name: str,
        sweep_dir: str,
        is_app: bool,
    ) -> None:
        self._backend = backend
        self._settings = settings
        self._runner = runner
        self._cache = cache
        self._ledger = ledger
        self._parts = parts
        self._is_app = is_app
        self._token = os.urandom(8).hex()
        self._name, self._sweep_dir = name, sweep_dir
        self._varying: Mapping[int, Mapping[str, Any]] = {}
        self.left = ""
        """What was left to the backend when the sweep detached, for the user; empty where nothing was."""
        self._marks: Marks | None = None
        self._schedule: Schedule | None = None
        self._batch: Batch | None = None
        self._display: Display | None = None
        self._end_sharing: Callable[[], None] | None = None

    def check(self, plan: Plan, jobs: Mapping[int, ComposedJob]) -> None:
        """Refuse jobs that cannot run on this backend, before any does.

        Raises:
            RefusedError: They could not be kept apart, or what they need cannot be told.
        """
        due = [jobs[job.number] for job in plan.misses] + [jobs[number] for number in plan.duplicates]
        try:
            sharing.check(self._backend, due, max(len(plan.misses), len(plan.duplicates)), self._settings.cache.audit)
            self._varying = self._settings_per_job(due)
        except (SharedProcessError, SettingError) as error:
            raise RefusedError(error) from None

    def run(self, jobs: Sequence[Job], plan: Plan, unit_of: Callable[[Job], Any], findings: Audited | None) -> None:
        """Run what the plan leaves to run, until its end or the limits', or until all is submitted."""
        from parcache.run.batch import Batch
        from parcache.run.events import Again, Found
        from parcache.run.interrupt import Interrupts
        from parcache.run.status import Status

        expected: Mapping[int, float] = {}
        if len(plan.misses) > 1:
            expected = self.expected_times(plan.misses)
            plan = self.ordered(plan, expected)
        by_number = {job.number: job for job in jobs}
        raises = not getattr(self._backend, "executes_elsewhere", False)
        with Interrupts(self._abandon, raises=raises) as interrupts, ExitStack() as stack:
            display = self._display_of()
            to_run = _to_run(jobs, plan)
            status = Status(len(jobs), len(plan.hits), to_run, self._running, expected, self.workers)
            stack.callback(display.stop)
            display.start(status.snapshot)
            schedule = self._start(interrupts)
            if hasattr(self._backend, "submit_job") and self._cache.reads:
                plan = self.ordered(self._planned_again(jobs, plan, status), expected)
            batch = self._batch = Batch(plan, by_number, unit_of, self._cache.read_back)
            for event in batch.run(schedule):
                self._end_where_refused()
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
            self._end_where_refused()  # where it detaches there were no events
            if interrupts.is_requested:  # while the last job ended
                raise KeyboardInterrupt
        if schedule.is_over:
            self.end_early()
            _ = self._ledger.first_failure().return_value  # raises what the job raised

    def _end_where_refused(self) -> None:
        """End the sweep where the backend's scheduler takes none of its jobs.

        Raises:
            RefusedError: So it is.
        """
        refusal: ParcacheError | None = getattr(self._backend, "refusal", None)
        if refusal is not None:
            self.stop(cancel=True)
            self._ledger.interrupted(())
            raise RefusedError(refusal) from None

    def _planned_again(self, jobs: Sequence[Job], plan: Plan, status: Status) -> Plan:
        """Return the plan of what is left to run, now that the backend has seen what other sweeps still have.

        What they have ended between the first look and the backend's is in the store by now.
        """
        again = make_plan([job for job in jobs if job.number not in plan.hits], self._cache.reader())
        for number, entry in again.hits.items():
            self._ledger.hit(number, entry)
            status.completed(number, entry.run_time_s)
        return again

    def examine(self, examination: Examination, job: ComposedJob) -> NoReturn:
        """Have a probe run as this job would, tell what it finds, and end the process.

        Raises:
            SystemExit: Always.
        """
        store = self._cache.opened
        own = self._sweep_dir = os.path.join(self._sweep_dir, f".parcache-doctor-{self._token}")
        from parcache.hydra.examination import SWEEP

        folders = {"the working directory": os.getcwd(), SWEEP: self._sweep_dir}
        if store is not None and self._cache.writes:
            folders["the store"] = store.paths.root
        try:
            about = About(job.number, None, self._settings_per_job([job]).get(job.number, {}))
            self._settle()
        except SettingError as error:
            raise RefusedError(error) from None
        try:
            examination.examine(self._backend, about, folders)
        finally:
            if not examination.keeps:
                shutil.rmtree(own, ignore_errors=True)
            examination.tidy()

    def end_early(self) -> None:
        """End what runs, and take note of what has become of it."""
        schedule, batch, running = self._schedule, self._batch, self._running_numbers()
        self.stop(cancel=True)
        if schedule is not None and batch is not None:
            for event in batch.left(schedule):
                self._ledger.take(event)
        self._ledger.interrupted(running)

    def _abandon(self) -> None:
        """Leave nothing behind in a process that is about to end, whatever it was at."""
        marks = self._marks
        self._backend.stop(cancel=True)
        if marks is not None:
            self._forget_workers(marks)

    def _running_numbers(self) -> set[int]:
        """Return the jobs that workers are running, some that have ended among them."""
        return {mark.number for mark in self._running()}

    def _running(self) -> list[Mark]:
        schedule = self._schedule
        return schedule.running() if schedule is not None else []

    def _start(self, interrupts: Interrupts) -> Schedule:
        from parcache.run.marks import Marks
        from parcache.run.schedule import Crew, Schedule
        from parcache.run.worker import Looking, execute_parcel, install_here, program_imports

        if self._schedule is None:
            looking = Looking(
                inputs=self._cache.writes and self._cache.scope is not None,
                audits=self._settings.cache.audit is not Audit.OFF,
                imports=program_imports() if self._is_app else (),
            )
            self._end_sharing = sharing.begin(self._backend)
            marks = self._marks = Marks()
            # Where the backend knows itself who runs what, its workers may be on another machine.
            folder = "" if hasattr(self._backend, "running_s") else marks.folder
            try:
                self._settle()
                self._backend.start(install_here(self._token, self._runner, self._parts, looking, folder))
            except ParcacheError as error:
                marks.close()
                self._share_no_more()
                raise RefusedError(error) from None
            crew = Crew(self._backend, self._runner, partial(execute_parcel, self._token), self._parts, marks)
            self._schedule = Schedule(
                crew,
                self._settings.limits,
                varying=lambda number: self._varying.get(number, {}),
                is_refreshed=not self._cache.reads,
                failed=self._ledger.tally.failed,  # of earlier batches, whose workers have ended
                sent=self._ledger.sent,
            )
        self._schedule.is_interrupted = lambda: interrupts.is_requested
        return self._schedule

    def _settings_per_job(self, jobs: Sequence[ComposedJob]) -> Mapping[int, Mapping[str, Any]]:
        if not self._settings.varying:
            return {}
        from parcache.hydra.per_job import settings_per_job

        return settings_per_job(jobs, self._settings.varying)

    def _settle(self) -> None:
        settle: Callable[[Place], None] | None = getattr(self._backend, "settle", None)
        if settle is None:
            return
        store = self._cache.opened if self._cache.writes else None
        settle(
            Place(
                self._name,
                self._sweep_dir,
                os.getcwd(),
                store.paths.root if store is not None else None,
                store.paths.backend(self._settings.backend_name) if store is not None else None,
                self._settings.limits.retries,
            )
        )

    def workers_environment(self) -> Mapping[str, str]:
        """Return what of ``cache.env`` is not for the workers as it is here.

        Raises:
            SettingError: One of them is not the same in every worker.
        """
        tell = getattr(self._backend, "environment", None)
        found: Mapping[str, str] = tell(self._settings.cache.env) if tell and self._settings.cache.env else {}
        return found

    def stop(self, *, cancel: bool) -> None:
        """Release the workers. Later calls do nothing, until jobs run again."""
        if self._schedule is not None:
            from parcache.run.worker import release

            schedule, self._schedule = self._schedule, None
            try:
                if schedule.detaches and not cancel:
                    self.left = self._backend.leave()  # type: ignore[attr-defined]  # what detaches has it
                else:
                    self._backend.stop(cancel=cancel)
            finally:
                if self._marks is not None:
                    self._forget_workers(self._marks)
                    self._marks = None
                release(self._token)
                if self._display is not None:
                    self._display.close()
                    self._display = None
                self._share_no_more()

    def _share_no_more(self) -> None:
        if self._end_sharing is not None:
            end, self._end_sharing = self._end_sharing, None
            end()

    def _forget_workers(self, marks: Marks) -> None:
        self._cache.tidy(marks.processes())
        marks.close()

    def ordered(self, plan: Plan, expected: Mapping[int, float]) -> Plan:
        """Return the plan with its misses in the order in which they are to start."""
        workers = self.workers
        if self._settings.order is Order.GIVEN or not expected or not 1 < workers < len(plan.misses):
            return plan
        from parcache.run.history import longest_first

        return plan._replace(misses=longest_first(plan.misses, expected))

    @property
    def workers(self) -> int:
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

    def expected_times(self, jobs: Sequence[Job]) -> Mapping[int, float]:
        """Return the run times that jobs are expected to have (s), by number, as far as that is known."""
        if self._cache.opened is None:
            return {}
        from parcache.run.history import MAX_PAST, Past, expected_times
        from parcache.store.sweeps import times

        return expected_times(jobs, [Past(*found) for found in islice(times(self._cache.opened.paths), MAX_PAST)])


def make_backend(settings: Settings) -> Backend:
    """Return the backend that the settings name, not started yet.

    Raises:
        ParcacheError: There is none, or it does not take its settings.
        SettingError: Jobs are to be stopped after some time, and the backend cannot stop one.
    """
    backend = create(settings.backend_name, settings.backend)
    timeout_s = settings.limits.timeout_s
    if timeout_s is not None and not hasattr(backend, "kill"):
        expected = f"null with the backend {settings.backend_name}, which cannot stop a job"
        remedy = "choose one that can: hydra/launcher/backend=process"
        raise SettingError("hydra.launcher.failures.timeout_s", timeout_s, f"{expected}; {remedy}")
    return backend


def check_sweeper(backend: Backend, master: DictConfig) -> None:
    """Refuse to detach from a sweeper that chooses its next jobs by the results of these.

    Raises:
        SettingError: It does.
    """
    sweeper = str(master.hydra.sweeper.get("_target_"))
    if getattr(backend, "detach", False) and sweeper != BASIC_SWEEPER:
        expected = f"false with the sweeper {sweeper.rpartition('.')[2]}, which needs the results of its jobs"
        raise SettingError("hydra.launcher.backend.detach", True, expected)


def _to_run(jobs: Sequence[Job], plan: Plan) -> list[Job]:
    """Return the jobs of a plan that may run: misses in their order, then duplicates, whose twins may fail."""
    duplicates = [job for job in jobs if job.number in plan.duplicates]
    return [*plan.misses, *duplicates]
