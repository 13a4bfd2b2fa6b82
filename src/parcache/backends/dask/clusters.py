"""Clusters that are made for a sweep: a local one, or any class that a dotted path names."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from parcache.backends.dask.quiet import without_main, without_terminal
from parcache.backends.dask.refusals import is_of_jobs, keep_refusals, refusals
from parcache.backends.dask.scratch import scratch_folder
from parcache.backends.dask.settings import PREFIX, Settings, cluster_class, number_of_local_workers
from parcache.backends.machine import set_variables
from parcache.errors import SettingError

log = logging.getLogger("parcache")

_CLOSE_S: Final = 30.0
_ASK_S: Final = 20.0


def make_cluster(settings: Settings, when_closed: Callable[[Callable[[], None]], object]) -> Any:
    """Return a cluster; ``when_closed`` is given what is to be called at its end, the last first.

    Raises:
        SettingError: It cannot be made of these settings.
    """
    kind, arguments = _kind_and_arguments(settings, when_closed)
    when_closed(_taking_back_variables())
    # dask-jobqueue asks for them at the end of its constructor; what is refused then could not be told.
    asked = arguments.pop("n_workers", None) if is_of_jobs(kind) else None
    try:
        with without_main(), without_terminal():
            cluster = kind(**arguments)
            when_closed(lambda: _close(cluster))
            keep_refusals(cluster)
            if asked:
                cluster.scale(asked)
    except Exception as error:
        expected = f"what {settings.target or 'distributed.LocalCluster'} takes ({_reason(error)})"
        raise SettingError(f"{PREFIX}.cluster", dict(settings.arguments), expected) from error
    return cluster


def _taking_back_variables() -> Callable[[], None]:
    """Return what restores the variables that are set in this process for the Dask workers that are started from it.

    A nanny leaves them behind. What runs afterwards would find one thread for each numeric library, and a hash seed.
    Distributed has been imported by then: its defaults are known.
    """
    from dask import config

    given = config.get("distributed.nanny.pre-spawn-environ", None) or {}
    before = {name: os.environ.get(name) for name in (*given, "PYTHONHASHSEED", "__DASK_PARENT_PID")}
    return lambda: set_variables(before)


def _kind_and_arguments(
    settings: Settings, when_closed: Callable[[Callable[[], None]], object]
) -> tuple[Any, dict[str, Any]]:
    from distributed import LocalCluster

    if settings.target is not None:
        kind, arguments = cluster_class(settings.target), dict(settings.arguments)
        if isinstance(kind, type) and issubclass(kind, LocalCluster):
            arguments.setdefault("silence_logs", settings.log_level)
        return kind, arguments
    folder = scratch_folder()
    when_closed(folder.cleanup)
    adapt = settings.adapt
    return LocalCluster, {
        "n_workers": number_of_local_workers(settings) if adapt is None else adapt.minimum,
        "threads_per_worker": settings.threads_per_worker,
        "processes": True,
        "memory_limit": 0,  # of jobs, which run beside the Dask workers, the relay looks after it
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": settings.log_level,
        "local_directory": folder.name,
    }


def scale(cluster: Any, settings: Settings) -> None:
    """Ask a cluster for its workers.

    Raises:
        SettingError: It is never asked for any, or cannot be.
    """
    given = getattr(cluster, "worker_spec", None) or {}
    is_fixed = given and getattr(cluster, "new_spec", cluster) is None  # an SSHCluster has those that its hosts name
    if is_fixed and settings.scale is not None and settings.scale > len(given):
        expected = f"at most {len(given)}: {settings.name} has as many workers, and cannot make others"
        raise SettingError(f"{PREFIX}.scale", settings.scale, expected)
    try:
        if settings.scale is not None:
            cluster.scale(settings.scale)
        elif settings.adapt is not None:
            adapt = settings.adapt
            cluster.adapt(minimum=adapt.minimum, maximum=adapt.maximum, **adapt.others)
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        name = "adapt" if settings.scale is None else "scale"
        expected = f"what {settings.name} takes ({type(error).__name__}: {error})"
        raise SettingError(f"{PREFIX}.{name}", settings.scale or settings.adapt, expected) from error
    if settings.scale is None and settings.adapt is None and getattr(cluster, "worker_spec", None) == {}:
        raise SettingError(f"{PREFIX}.scale", None, f"a number of workers, or adapt: {settings.name} starts with none")


def tell_script(cluster: Any) -> None:
    """Log the job script of a cluster that has one."""
    with suppress(Exception):
        log.error("The job script of %s is:\n%s", type(cluster).__name__, cluster.job_script().rstrip())


def state(cluster: Any) -> str:
    """Return what a cluster that has no workers is waiting for, in one line; its job script goes to the log."""
    if cluster is None:
        return "its scheduler answers, and knows no worker that could run them"
    tell_script(cluster)
    wanted = len(getattr(cluster, "worker_spec", None) or {})
    jobs = [getattr(worker, "job_id", None) for worker in dict(getattr(cluster, "workers", None) or {}).values()]
    names = [str(job) for job in jobs if job]
    told = f"it has been asked for {wanted}"
    if reasons := refusals(cluster):
        told += f", of which {len(reasons)} were refused ({reasons[-1]})"
    if names:
        told += f", as jobs {', '.join(names[:10])}"
        command = getattr(getattr(cluster, "job_cls", None), "submit_command", "")
        if command == "sbatch":
            told += _in_slurm(names)
    return told


def _in_slurm(names: list[str]) -> str:
    command = ["squeue", "--noheader", "--format=%i %T (%r)", f"--jobs={','.join(names)}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = asked.stdout.split("\n")
    shown = "; ".join(line.strip() for line in lines[:10] if line.strip())
    return f"; squeue has: {shown or 'none of them'}"


def _reason(error: BaseException) -> str:
    told = []
    cause: BaseException | None = error
    while cause is not None:
        text = str(cause).strip().split("\n")[-1]
        told.append(f"{type(cause).__name__}: {text}")
        cause = cause.__cause__
    return "; ".join(told)


def _close(cluster: Any) -> None:
    with suppress(Exception):  # what it could not end, its own time limits do
        try:
            cluster.close(timeout=_CLOSE_S)
        except TypeError:
            cluster.close()
