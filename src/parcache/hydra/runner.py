"""Jobs as the run floor sees them: run in a worker for a miss, put back in the sweeping process for a hit."""

from __future__ import annotations

import copy
import functools
import locale
import logging
import os
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hydra.core import utils as core_utils
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer

from parcache.backends.checkpoints import offering
from parcache.errors import LostResultError
from parcache.hydra.base import Base, Variation
from parcache.hydra.callbacks import for_one_job, has_users_own, users_own
from parcache.hydra.compose import ComposedJob
from parcache.hydra.composer import SweepComposer
from parcache.hydra.hitlog import HitLog, record_of
from parcache.hydra.job import job_return, make_directory, run_job, task_config, write, write_files
from parcache.hydra.joblog import LOCK, JobLogging
from parcache.hydra.layout import layout_of
from parcache.hydra.nodes import Place, is_same, is_untouched
from parcache.hydra.plain import drift, shown
from parcache.model import Entry
from parcache.run.lanes import SHARING, current_lane

if TYPE_CHECKING:
    from parcache.run import failure
    from parcache.run.unit import Unit
    from parcache.run.watch import Watch

# Of exactly these types a value needs no pickle but Python's own.
_FOLDER: Final = re.compile(rb'"output_dir":"([^"\\\x80-\xff]*)"')  # in JSON, where it needs no unescaping
_PLAIN: Final = (type(None), bool, int, float, str, bytes)


class JobWork(NamedTuple):
    """What a worker gets of one job besides its base; ``open_values`` are those that it has to confirm."""

    variation: Variation
    open_values: tuple[tuple[Place, str], ...]


class Report(NamedTuple):
    """A completed job on its way back: what does not follow from its composition.

    ``config`` is the task config where the task has changed it, else None.
    """

    value: Any
    working_dir: str | None
    config: DictConfig | None

    def complete(self, job: ComposedJob) -> JobReturn:
        """Return the JobReturn."""
        report = job_return(job.base, job.variation)
        report.working_dir = self.working_dir
        report.status = JobStatus.COMPLETED
        report.return_value = self.value
        if self.config is not None:
            report.cfg = self.config
        return report


class HydraRunner:
    """Runs a sweep's jobs. The same in every worker; a copy of Hydra's global state travels with it."""

    def __init__(self, context: HydraContext, task_function: TaskFunction, master: DictConfig) -> None:
        self._context = context
        self._task_function = task_function
        self._between_jobs = _plain_logging(master)
        whitelist = getattr(context, "execution_whitelist", None)
        self._logging = JobLogging(whitelist, has_whitelist=hasattr(context, "execution_whitelist"))
        self._hit_log = HitLog(self._logging)
        self._home = os.getpid()
        self._globals: Any = None

    def __getstate__(self) -> dict[str, Any]:
        loader: Any = self._context.config_loader
        if isinstance(loader, SweepComposer):
            loader = loader.loader
        context = replace(self._context, config_loader=loader, callbacks=users_own(self._context.callbacks))
        return {**self.__dict__, "_context": context, "_globals": Singleton.get_state()}

    def cannot_travel(self) -> str | None:
        """Return what of the runner cannot be pickled, and why; None where it all can."""
        parts: dict[str, Any] = {"the task function": self._task_function}
        for item in users_own(self._context.callbacks).callbacks:
            parts[f"the callback {type(item).__qualname__}"] = item
        for name, resolver in BaseContainer._resolvers.items():
            parts[f"the resolver {name!r}"] = resolver
        parts["Hydra's state"] = self
        from parcache.pickling import dumps
        from parcache.run import failure

        for what, part in parts.items():
            try:
                dumps(part)
            except Exception as error:
                return f"{what}: {type(error).__name__}: {failure.text(error)}"
        return None

    def install(self) -> None:
        """Give this process the sweeping process's Hydra: resolvers, config store, job runtime, version base."""
        setup_globals()
        Singleton.set_state(self._globals)
        self._globals = None

    def run(self, unit: Unit, common: Base, watch: Watch) -> JobReturn:
        """Run one job with its directory, log, ``.hydra`` files and callbacks."""
        work: JobWork = unit.own

        def task(config: Any) -> Any:
            place = drift(config, work.open_values)
            if place is not None:
                watch.refuse(
                    f"{shown(place)} had another value in the job than when it was keyed: its resolver or environment "
                    "differs from call to call. Make it constant, or ignore it: "
                    f"hydra.launcher.cache.ignore=[{'.'.join(place)}]"
                )
            named = unit.ticket.key.env if unit.ticket is not None else ()
            changed = [name for name, value in named if os.environ.get(name) != value]
            if changed:
                watch.refuse(
                    f"{', '.join(changed)} had another value in the job than when it was keyed: "
                    "an earlier job or a worker's start has changed the environment"
                )
            function = self._task_function if not named else partial(self._with_environment, watch, named)
            with offering(self._task_function, config):
                return watch.call(function, config, str(work.variation.output_dir or ""))

        return self._run(common, work.variation, task)

    def _with_environment(self, watch: Watch, named: Sequence[tuple[str, str | None]], config: Any) -> Any:
        """Call the task function; refuse to store its result where other jobs have changed what it may have read."""
        from parcache.run.belongings import changed_by_others

        value = self._task_function(config)
        changed = changed_by_others(named)
        if changed:
            watch.refuse(
                f"{', '.join(changed)} was changed by another job in the same process while the job ran. "
                "Run such jobs in processes of their own: hydra/launcher/backend=process"
            )
        return value

    def restore(self, job: ComposedJob, entry: Entry) -> JobReturn:
        """Return a hit as if the job had just run: with its directory, ``.hydra`` files, log file and callbacks."""
        message = (
            f"Result of key {entry.key.digest}, taken from the store; the job that computed it ran "
            f"{entry.run_time_s:.3g} s in {_folder_of(entry)}"
        )
        layout, variation = layout_of(job.base), job.variation
        with LOCK:
            lines = None if has_users_own(self._context.callbacks) else self._hit_log.lines(layout, variation, message)
        if lines is None:
            record = record_of(message)
            return self._run(job.base, variation, lambda _: _noted(record, entry.value))
        make_directory(job.output_dir)
        report = job_return(job.base, variation)
        with LOCK:
            write_files(layout, variation, report.hydra_cfg)
        encoding = locale.getpreferredencoding(False)
        for path, line in lines:
            # As a FileHandler does it: in the locale's encoding, and from where the job would have run.
            data = line.encode(encoding, "backslashreplace")
            write(path if os.path.isabs(path) else os.path.join(report.working_dir or "", path), data, os.O_APPEND)
        report.status = JobStatus.COMPLETED
        report.return_value = entry.value
        return report

    def failed(self, job: ComposedJob, error: BaseException) -> JobReturn:
        """Return what stands for a job that ended without a report of its own."""
        report = job_return(job.base, job.variation)
        report.working_dir = os.getcwd()
        report.status = JobStatus.FAILED
        report.return_value = error
        return report

    def error_of(self, report: JobReturn | Report) -> BaseException | None:
        """Return what a job failed by, None where it completed."""
        if isinstance(report, Report) or report.status is JobStatus.COMPLETED:
            return None
        error = report._return_value
        return error if isinstance(error, BaseException) else RuntimeError(f"the job ended with {report.status}")

    def pack(self, report: JobReturn) -> bytes:
        """Return a JobReturn as bytes.

        Raises:
            LostResultError: The job's return value cannot be pickled.
        """
        from parcache.run import failure

        value = report._return_value
        packed: Any
        if report.status is JobStatus.COMPLETED and not has_users_own(self._context.callbacks):
            config: Any = report.cfg
            packed = Report(value, report.working_dir, None if is_untouched(config) else config)
            if type(value) in _PLAIN and packed.config is None:
                return pickle.dumps(packed)
        else:
            packed = copy.copy(report)
            if isinstance(value, BaseException) and report.status is JobStatus.FAILED:
                packed.return_value = failure.freeze(value)
        from parcache.pickling import dumps

        try:
            data: bytes = dumps(packed)
        except Exception as error:
            number = int(report.hydra_cfg.hydra.job.num) if report.hydra_cfg is not None else -1
            problem = f"{type(error).__name__}: {error}"
            raise LostResultError(number, type(value).__qualname__, problem) from error
        return data

    def unpack(self, data: bytes) -> JobReturn | Report:
        """Return what was packed; a failed job's exception with its traceback and causes."""
        from parcache.run import failure

        report: JobReturn | Report = pickle.loads(data)
        if isinstance(report, JobReturn) and isinstance(report._return_value, failure.Frozen):
            report.return_value = failure.thaw(report._return_value, _locals_of)
        return report

    def configure_logging(self) -> None:
        """Set logging up as it is between jobs: Hydra's own, not a job's."""
        with LOCK:
            self._logging.configure(*self._between_jobs)

    def _context_of_job(self) -> HydraContext:
        context = self._context
        if current_lane() is None or not SHARING.is_crowded or not has_users_own(context.callbacks):
            return context
        return replace(context, callbacks=for_one_job(context.callbacks))

    def _run(self, base: Base, variation: Variation, task: Callable[[Any], Any]) -> JobReturn:
        # Callbacks are told the task function: what they are given looks like it.
        functools.update_wrapper(task, self._task_function, updated=())
        try:
            report = run_job(self._context_of_job(), base, variation, task, self._logging)
        finally:
            if os.getpid() == self._home and current_lane() is None:  # with a lane, nothing but its own has changed
                self.configure_logging()
        config: Any = report.cfg
        if not is_untouched(config) and is_same(config, base.task_config(variation)):
            report.cfg = task_config(base, variation)  # as good as the one that the task has read, and not made yet
        return report


def _folder_of(entry: Entry) -> str:
    """Return where the job ran that computed an entry: parsing its whole header takes ten times as long."""
    found = _FOLDER.findall(entry.header)
    if len(found) == 1:
        return str(found[0], "ascii")
    return str(entry.record().get("output_dir", "an unknown directory"))


def _locals_of(frame: failure.Frame) -> dict[str, Any]:
    """Return what Hydra 1.4 looks for to show users their own part of a traceback alone."""
    is_hydras = frame.module == core_utils.__name__ and frame.function in ("run_job", "_run_job")
    return {"ret": SimpleNamespace(status=JobStatus.FAILED)} if is_hydras else {}


def _plain_logging(master: DictConfig) -> tuple[Any, Any]:
    conf = master.hydra.hydra_logging
    verbose = master.hydra.verbose
    return (
        None if conf is None else OmegaConf.to_container(conf, resolve=True),
        OmegaConf.to_container(verbose) if OmegaConf.is_config(verbose) else verbose,
    )


def _noted(record: logging.LogRecord, value: Any) -> Any:
    """Write one line into the job's log file and nowhere else; return the value."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
    return value
