"""One job, the way Hydra runs it: in a worker for a miss, in the sweeping process for a hit."""

from __future__ import annotations

import copy
import functools
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cloudpickle
from hydra._internal.callbacks import Callbacks
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobRuntime, JobStatus, configure_log, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer

from parcache.errors import LostResultError
from parcache.hydra.compose import ComposedJob, task_config
from parcache.hydra.plain import drift
from parcache.model import Entry
from parcache.run import failure
from parcache.run.worker import Unit, Watch

log = logging.getLogger(__name__)

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclass(frozen=True, slots=True)
class JobConfig:
    """What a worker gets of one job: the composed config, and the values in it that the worker has to confirm."""

    config: DictConfig
    open_values: tuple[tuple[str, str], ...]


class HydraRunner:
    """Runs a sweep's jobs. The same in every worker; a copy of Hydra's global state travels with it."""

    def __init__(self, context: HydraContext, task_function: TaskFunction, master: DictConfig) -> None:
        self._context = context
        self._task_function = task_function
        self._logging = _Logging(master, getattr(context, "execution_whitelist", None))
        self._home = os.getpid()
        self._globals: Any = None

    def __getstate__(self) -> dict[str, Any]:
        context = replace(self._context, callbacks=_users_own(self._context.callbacks))
        return {**self.__dict__, "_context": context, "_globals": Singleton.get_state()}

    def cannot_travel(self) -> str | None:
        """Return what of the runner cannot be pickled, and why; None where it all can."""
        parts: dict[str, Any] = {"the task function": self._task_function}
        for item in _users_own(self._context.callbacks).callbacks:
            parts[f"the callback {type(item).__qualname__}"] = item
        for name, resolver in BaseContainer._resolvers.items():
            parts[f"the resolver {name!r}"] = resolver
        parts["Hydra's state"] = self
        for what, part in parts.items():
            try:
                cloudpickle.dumps(part)
            except Exception as error:
                return f"{what}: {type(error).__name__}: {failure.text(error)}"
        return None

    def install(self) -> None:
        """Give this process the sweeping process's Hydra: resolvers, config store, job runtime, version base."""
        setup_globals()
        Singleton.set_state(self._globals)
        self._globals = None

    def run(self, unit: Unit, watch: Watch) -> JobReturn:
        """Run one job with its directory, log, ``.hydra`` files and callbacks."""
        job: JobConfig = unit.config

        def task(config: Any) -> Any:
            place = drift(config, job.open_values)
            if place is not None:
                watch.refuse(
                    f"{place} had another value in the job than when it was keyed: its resolver or environment differs "
                    f"from call to call. Make it constant, or ignore it: hydra.launcher.cache.ignore=[{place[2:]}]"
                )
            named = unit.ticket.key.env if unit.ticket is not None else ()
            changed = [name for name, value in named if os.environ.get(name) != value]
            if changed:
                watch.refuse(
                    f"{', '.join(changed)} had another value in the job than when it was keyed: "
                    "an earlier job or a worker's start has changed the environment"
                )
            return watch.call(self._task_function, config)

        return self._run(job.config, task)

    def restore(self, job: ComposedJob, entry: Entry) -> JobReturn:
        """Return a hit as if the job had just run: with its directory, ``.hydra`` files, log file and callbacks."""

        def task(_: Any) -> Any:
            _note_in_job_log(
                f"Result of key {entry.key.digest}, taken from the store; the job that computed it ran "
                f"{entry.run_time_s:.3g} s in {entry.record.get('output_dir', 'an unknown directory')}"
            )
            return entry.value

        return self._run(job.config, task)

    def failed(self, job: ComposedJob, error: BaseException) -> JobReturn:
        """Return what stands for a job that ended without a report of its own."""
        report = JobReturn(
            overrides=list(job.overrides),
            cfg=task_config(job.config),
            hydra_cfg=OmegaConf.masked_copy(job.config, "hydra"),
            working_dir=os.getcwd(),
            task_name=JobRuntime.instance().get("name"),
            status=JobStatus.FAILED,
        )
        report.return_value = error
        return report

    def pack(self, report: JobReturn) -> bytes:
        """Return a JobReturn as bytes.

        Raises:
            LostResultError: The job's return value cannot be pickled.
        """
        packed = copy.copy(report)
        value = report._return_value
        if isinstance(value, BaseException) and report.status is JobStatus.FAILED:
            packed.return_value = failure.freeze(value)
        try:
            data: bytes = cloudpickle.dumps(packed)
        except Exception as error:
            number = int(report.hydra_cfg.hydra.job.num) if report.hydra_cfg is not None else -1
            problem = f"{type(error).__name__}: {error}"
            raise LostResultError(number, type(value).__qualname__, problem) from error
        return data

    def unpack(self, data: bytes) -> JobReturn:
        """Return the JobReturn that was packed; a failed job's exception with its traceback and causes."""
        report: JobReturn = cloudpickle.loads(data)
        if isinstance(report._return_value, failure.Frozen):
            report.return_value = failure.thaw(report._return_value)
        return report

    def configure_logging(self) -> None:
        """Set logging up as it is between jobs: Hydra's own, not a job's."""
        self._logging.configure()

    def _run(self, config: DictConfig, task: Callable[[Any], Any]) -> JobReturn:
        # Callbacks are told the task function: what they are given looks like it.
        functools.update_wrapper(task, self._task_function, updated=())
        try:
            report = run_job(
                hydra_context=self._context,
                task_function=task,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            error = report._return_value
            if report.status is JobStatus.FAILED and isinstance(error, BaseException):
                error.__traceback__ = failure.without_frames_of(_PACKAGE, error.__traceback__)
            return report
        except BaseException as error:
            # Hydra 1.4 hangs the whole JobReturn onto an exit on its way out; it is not to travel with the exception.
            getattr(error, "__dict__", {}).pop("_hydra_job_return_handoff", None)
            raise
        finally:
            if os.getpid() == self._home:
                self._logging.configure()


@dataclass(frozen=True, slots=True)
class _Logging:
    """Hydra's logging between jobs. Hydra 1.4 wants to be told which targets may be instantiated, 1.3 does not know."""

    master: DictConfig
    whitelist: Any

    def configure(self) -> None:
        hydra = self.master.hydra
        if self.whitelist is None:
            configure_log(hydra.hydra_logging, hydra.verbose)
        else:
            configure: Any = configure_log  # typed by whichever Hydra is installed
            configure(hydra.hydra_logging, hydra.verbose, execution_whitelist=self.whitelist)


class SweepEndCallback:
    """Tells parcache that the sweep is over. Stands in Hydra's list of callbacks; never leaves the process."""

    def __init__(self, at_end: Callable[[], None]) -> None:
        self._at_end = at_end

    def on_multirun_end(self, **_: Any) -> None:
        """Call back."""
        self._at_end()

    def _pass(self, **_: Any) -> None:
        """Hydra calls every callback for every event."""

    on_multirun_start = on_run_start = on_run_end = on_job_start = on_job_end = on_compose_config = _pass


def _users_own(callbacks: Callbacks) -> Callbacks:
    kept = copy.copy(callbacks)
    kept.callbacks = [item for item in callbacks.callbacks if not isinstance(item, SweepEndCallback)]
    return kept


def _note_in_job_log(message: str) -> None:
    """Write one line into the job's log file and nowhere else."""
    record = log.makeRecord(log.name, logging.INFO, __file__, 0, message, (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
