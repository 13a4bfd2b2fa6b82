"""One job, run as Hydra's ``run_job`` runs it, at a fraction of the cost.

``hydra.core.utils.run_job`` spends 39 ms around an empty task: on three deep copies of the config, two YAML dumps
and on logging. This does the same in the same order, from what a base knows about all its jobs; configs that nobody
looks at are never made. The two lines of Hydra differ in what happens where an exit or an interrupt leaves the
task: 1.3 lets it pass, 1.4 tells the callbacks of a failed job first; 1.4 writes a failed job's traceback into its
log, which is done here for 1.3 as well.
"""

from __future__ import annotations

import importlib
import inspect
import logging as std_logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from types import TracebackType
from typing import Any

from hydra.core import utils as core_utils
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, env_override
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from parcache.home import PACKAGE
from parcache.hydra.base import Base, Variation, running_hydra_config
from parcache.hydra.callbacks import has_users_own
from parcache.hydra.joblog import LOCK, JobLogging
from parcache.hydra.layout import Layout, layout_of
from parcache.hydra.nodes import Deferred, clone
from parcache.run.lanes import current_lane


def run_job(
    context: HydraContext, base: Base, variation: Variation, task: Callable[[Any], Any], logging: JobLogging
) -> JobReturn:
    """Run a job: directory, log, ``.hydra`` files, environment, callbacks, the task function.

    Raises:
        BaseException: What is no ``Exception``, out of the task function; and whatever the surroundings raise.
    """
    from parcache.run import failure  # no hit needs it; and not where the job has failed: it may have left no way to

    layout = layout_of(base)
    report = job_return(base, variation)
    config = Deferred(lambda: _frozen(base.whole_config(variation)))
    callbacks = context.callbacks
    live = Deferred(lambda: running_hydra_config(config))
    hydra_config: Any = None
    if layout.env_set_varies:  # resolved once, for HydraConfig, for the file and for the environment
        live.keys()
        report.hydra_cfg = hydra_config = clone(live)
    elif has_users_own(callbacks):  # they may change what it would be made of
        live.keys()
    with _policy(context), _hydra_config(live), _directory(layout, variation):
        with LOCK:  # a layout is shared by jobs that may run beside each other
            logging.configure(layout.logging(variation), layout.verbose(variation))
            write_files(layout, variation, report.hydra_cfg)
        started = False
        escaping = False
        try:
            # 1.3 resolves it only here, each variable as the ones before it have set the environment.
            with env_override(layout.env_set if hydra_config is None else hydra_config.hydra.job.env_set):
                started = True
                callbacks.on_job_start(config=config, task_function=task)
                try:
                    report.cfg.keys()  # type: ignore[union-attr]  # a task may ask for the type of what it gets
                    report.return_value = _call()(report, task)
                    report.status = JobStatus.COMPLETED
                except Exception as error:
                    error.__traceback__ = failure.without_frames_of(PACKAGE, error.__traceback__)
                    report.return_value = error
                    report.status = JobStatus.FAILED
                    _note_failure(report, error)
        except BaseException as error:
            escaping = True
            if not _tells_of_exits():
                raise
            report.return_value = error
            report.status = JobStatus.FAILED
            raise
        finally:
            if not escaping or _tells_of_exits():
                core_utils._flush_loggers()
                if started:
                    callbacks.on_job_end(config=config, job_return=report)
    return report


def job_return(base: Base, variation: Variation) -> JobReturn:
    """Return a JobReturn as it is before the job has run; its configs are made when they are looked at."""
    layout = layout_of(base)
    return JobReturn(
        overrides=list(variation.overrides),
        cfg=task_config(base, variation),
        hydra_cfg=Deferred(lambda: base.hydra_config(variation)),
        working_dir=variation.folder if layout.changes_directory(variation) else os.getcwd(),
        task_name=layout.task_name,
    )


def task_config(base: Base, variation: Variation) -> DictConfig:
    """Return a job's task config, made when it is looked at."""
    return Deferred(lambda: base.task_config(variation))


def make_directory(path: str) -> None:
    """Make a job's directory if it is not there."""
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)


def write_files(layout: Layout, variation: Variation, hydra_config: Any) -> None:
    """Write a job's ``.hydra`` files; ``hydra_config`` is what its JobReturn has as ``hydra_cfg``."""
    subdir = layout.files_folder(variation)
    if subdir is None:
        return
    folder = os.path.join(str(variation.output_dir), subdir)
    make_directory(folder)
    for name, text in layout.files(variation, hydra_config).items():
        write(f"{folder}/{name}", text.encode(), os.O_TRUNC)


def write(path: str, data: bytes, how: int) -> None:
    """Write a file anew (``os.O_TRUNC``) or at its end (``os.O_APPEND``); ``open`` takes three times as long."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o666)
    try:
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


def _frozen(config: DictConfig) -> DictConfig:
    OmegaConf.set_readonly(config.hydra, True)  # as HydraConfig leaves it
    return config


@contextmanager
def _hydra_config(live: DictConfig) -> Iterator[None]:
    singleton: Any = HydraConfig.instance()
    previous = singleton.cfg
    singleton.cfg = live
    try:
        yield
    finally:
        if current_lane() is None:  # else it is the job's own: a thread that it leaves behind keeps it
            singleton.cfg = previous


@contextmanager
def _directory(layout: Layout, variation: Variation) -> Iterator[None]:
    before = os.getcwd()
    make_directory(str(variation.output_dir))
    if layout.warns_of_chdir(variation):
        message = (
            "hydra.job.chdir is not set. This version of Hydra then runs a job in its output directory, later ones "
            "where the command was started: set hydra.job.chdir, or version_base in @hydra.main"
        )
        warnings.warn(message, stacklevel=1)
    if not layout.changes_directory(variation):
        yield
        return
    os.chdir(str(variation.output_dir))
    try:
        yield
    finally:
        os.chdir(before)


def _policy(context: HydraContext) -> AbstractContextManager[Any]:
    """Apply the execution whitelist of the app (1.4)."""
    if not hasattr(context, "execution_whitelist"):
        return nullcontext()
    module: Any = importlib.import_module("hydra._internal.execution_policy")  # 1.3 has none
    policy: AbstractContextManager[Any] = module.execution_whitelist(context.execution_whitelist, reset=True)
    return policy


@cache
def _tells_of_exits() -> bool:
    return hasattr(core_utils, "_set_job_return_handoff")


@cache
def _call() -> Callable[[JobReturn, Callable[[Any], Any]], Any]:
    """Return what calls the task: a function that tracebacks show as the line of Hydra's ``run_job`` that does so.

    Both lines of Hydra look for that frame to show users their own part of a traceback alone; 1.4 asks it for ``ret``.
    """
    name = "_run_job" if hasattr(core_utils, "_run_job") else "run_job"
    lines, first = inspect.getsourcelines(getattr(core_utils, name))
    at = next((number for number, line in enumerate(lines, first) if "task_function(task_cfg)" in line), first)
    text = "\n" * (at - 1) + f"def {name}(ret, task): return task(ret.cfg)"
    space: dict[str, Any] = {"__name__": core_utils.__name__, "__file__": core_utils.__file__}
    exec(compile(text, str(core_utils.__file__), "exec"), space)  # noqa: S102 - the text is the line above
    call: Callable[[JobReturn, Callable[[Any], Any]], Any] = space[name]
    return call


def _note_failure(report: Any, error: Exception) -> None:
    """Write the traceback into the job's log, and keep what 1.4 keeps of it for other processes."""
    utils: Any = core_utils
    if not hasattr(utils, "_serialize_traceback"):
        with suppress(Exception):
            _log_to_file(error)
        return
    with suppress(Exception):
        report._remote_traceback = utils._serialize_traceback(error.__traceback__)
        report._remote_exception_chain = utils._serialize_exception_chain(error)
        report._remote_exception_group = utils._serialize_exception_group(error)
    with suppress(Exception):
        utils._log_job_error_to_file()


def _log_to_file(error: Exception) -> None:
    """Do as 1.4's ``_log_job_error_to_file`` does."""
    record = core_utils.log.makeRecord(
        core_utils.log.name, std_logging.ERROR, core_utils.__file__, 0, "Job failed", (), _exc_info(error)
    )
    for handler in std_logging.getLogger().handlers:
        if isinstance(handler, std_logging.FileHandler) and record.levelno >= handler.level:
            handler.handle(record)


def _exc_info(error: Exception) -> tuple[type[Exception], Exception, TracebackType | None]:
    return type(error), error, error.__traceback__
