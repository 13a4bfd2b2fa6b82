"""What the user asks of Slurm, checked and turned into what submitit takes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from parcache.backends import machine
from parcache.backends.slots import whole_number
from parcache.errors import BackendSettingError, SettingError

_PREFIX: Final = "hydra.launcher.backend"
OWN: Final = (
    "cluster",
    "tasks",
    "jobs_per_task",
    "parallel_per_task",
    "array_parallelism",
    "detach",
    "threads",
    "idle_s",
    "python",
    "check_paths",
)
# Submitit's names for what is the same on every cluster; sbatch's own are taken as well.
_GENERIC: Final[Mapping[str, str]] = {"timeout_min": "time", "mem_gb": "mem", "tasks_per_node": "ntasks_per_node"}
PER_JOB: Final = (
    "timeout_min",
    "mem_gb",
    "cpus_per_task",
    "gpus_per_node",
    "nodes",
    "tasks_per_node",
    "partition",
    "account",
    "qos",
    "constraint",
    "gres",
    "gpus_per_task",
    "cpus_per_gpu",
    "mem",
    "mem_per_cpu",
    "mem_per_gpu",
    "nodelist",
    "exclude",
    "exclusive",
    "time",
    "ntasks_per_node",
    "additional_parameters",
    "comment",
    "signal_delay_s",
)
_MOST_AT_ONCE: Final = 256
_SIGNAL_S: Final = 90
_LOGGING: Final = "SUBMITIT_LOG_LEVEL"
_CLUSTERS: Final = ("slurm", "local", "debug")


class Resources(NamedTuple):
    """What each task of one array gets. ``parameters`` are those of submitit's ``_make_sbatch_string``.

    ``timeout_s`` is None where the partition's limit holds.
    """

    parameters: Mapping[str, Any]
    timeout_s: float | None
    signal_delay_s: int
    cpus: int | None
    processes: int

    @property
    def identity(self) -> str:
        """Tell them apart: the same text for the same resources."""
        return json.dumps(self.parameters, sort_keys=True, default=str)


class Settings(NamedTuple):
    """The backend's settings, checked. ``parameters`` are those that go into the batch script, as they were given."""

    cluster: str
    tasks: int | None
    jobs_per_task: int | None
    parallel: int
    at_once: int
    detach: bool
    threads: int | str | None
    idle_s: float
    python: str | None
    check_paths: bool
    parameters: Mapping[str, Any]

    @property
    def workers(self) -> int:
        """How many jobs run at a time, at most."""
        return (self.at_once if self.tasks is None else min(self.tasks, self.at_once)) * self.parallel

    def agents(self, waiting: int, live: int) -> int:
        """Return how many agents are to be submitted for so many waiting calls, while so many are there."""
        if self.jobs_per_task is not None:
            return -(-waiting // (self.jobs_per_task * self.parallel))
        wanted = -(-waiting // self.parallel)
        if self.tasks is not None:
            wanted = min(wanted, self.tasks)
        elif not self.detach:  # else nobody is there to submit more when these have used up their time
            wanted = min(wanted, self.at_once)
        return max(0, wanted - live)


def read_settings(own: Mapping[str, Any], parameters: Mapping[str, Any]) -> Settings:
    """Return checked settings.

    Raises:
        BackendSettingError: Neither this backend nor submitit knows one of them.
        SettingError: One has a value that it cannot have.
    """
    known = known_parameters()
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise BackendSettingError("slurm", unknown, (*OWN, *known))
    given = {name: value for name, value in parameters.items() if value is not None}
    settings = Settings(
        _choice("cluster", own["cluster"], _CLUSTERS),
        _count_or_none("tasks", own["tasks"]),
        _count_or_none("jobs_per_task", own["jobs_per_task"]),
        whole_number(f"{_PREFIX}.parallel_per_task", own["parallel_per_task"]),
        _at_once(own["array_parallelism"], is_local=own["cluster"] == "local"),
        _flag("detach", own["detach"]),
        own["threads"],
        _positive("idle_s", own["idle_s"]),
        _text_or_none("python", own["python"]),
        _flag("check_paths", own["check_paths"]),
        given,
    )
    if settings.tasks is not None and settings.jobs_per_task is not None:
        expected = "null where tasks is set: such workers take jobs until none is left"
        raise SettingError(f"{_PREFIX}.jobs_per_task", settings.jobs_per_task, expected)
    if settings.threads not in (None, "auto") and (type(settings.threads) is not int or settings.threads < 1):
        raise SettingError(f"{_PREFIX}.threads", settings.threads, "auto, null or a whole number from 1")
    if settings.detach and settings.cluster == "debug":
        raise SettingError(f"{_PREFIX}.detach", True, "false with cluster=debug, which runs jobs in this process")
    resources(settings, {}, "parcache")
    return settings


def known_parameters() -> tuple[str, ...]:
    """Return the names of the settings that go into the batch script."""
    load_submitit()
    from submitit.slurm import slurm

    return tuple(sorted((set(slurm._get_default_parameters()) | set(_GENERIC)) - {"array_parallelism"}))


def load_submitit() -> None:
    """Import submitit; it is not to set up logging, which would close the files that a sweep logs to.

    That it is installed the registry has made sure of.
    """
    before = os.environ.get(_LOGGING)
    os.environ[_LOGGING] = "NOCONFIG"
    try:
        import submitit  # noqa: F401
    finally:
        if before is None:
            del os.environ[_LOGGING]
        else:
            os.environ[_LOGGING] = before


def resources(settings: Settings, own: Mapping[str, Any], name: str) -> Resources:
    """Return what the tasks get that run jobs with these settings of their own; ``name`` is the sweep's.

    Raises:
        SettingError: One has a value that it cannot have.
    """
    given = {**settings.parameters, **{key: value for key, value in own.items() if value is not None}}
    for generic, sbatch in _GENERIC.items():
        if generic in given and sbatch in given:
            raise SettingError(f"{_PREFIX}.{sbatch}", given[sbatch], f"null where {generic} is set: they are the same")
    timeout_s = None
    parameters: dict[str, Any] = {"job_name": name, "time": None, "wckey": None}
    for key, value in given.items():
        if key == "timeout_min":
            timeout_s = 60 * _positive(key, value)
            parameters["time"] = _minutes(timeout_s)
        elif key == "mem_gb":
            parameters["mem"] = f"{round(1024 * _positive(key, value))}M"
        elif key in ("cpus_per_task", "nodes", "tasks_per_node", "ntasks_per_node"):
            parameters[_GENERIC.get(key, key)] = whole_number(f"{_PREFIX}.{key}", value)
        elif key in ("setup", "teardown", "srun_args"):
            parameters[key] = _texts(key, value)
        elif key == "additional_parameters":
            parameters[key] = _mapping(key, value)
        elif key in ("use_srun", "stderr_to_stdout"):
            parameters[key] = _flag(key, value)
        elif value is False:  # such as exclusive: the option is not given
            continue
        elif isinstance(value, (str, int, float)):
            if key == "time" and type(value) is int:
                timeout_s = 60.0 * value
            parameters[_GENERIC.get(key, key)] = value
        else:
            raise SettingError(f"{_PREFIX}.{key}", value, "a string or a number")
    delay_s = given.get("signal_delay_s")
    if delay_s is None:  # a limit of a minute is not to be over with its beginning
        delay_s = _SIGNAL_S if timeout_s is None else min(_SIGNAL_S, max(1, int(timeout_s / 4)))
    parameters["signal_delay_s"] = whole_number(f"{_PREFIX}.signal_delay_s", delay_s)
    processes = parameters.get("nodes", 1) * parameters.get("ntasks_per_node", 1)
    if processes > 1 and settings.parallel > 1:
        expected = "1 where a job has several processes (nodes, tasks_per_node)"
        raise SettingError(f"{_PREFIX}.parallel_per_task", settings.parallel, expected)
    return Resources(parameters, timeout_s, delay_s, parameters.get("cpus_per_task"), processes)


def _minutes(timeout_s: float) -> int | str:
    """Return a time limit as sbatch takes it: minutes, or minutes and seconds."""
    minutes, seconds = divmod(round(timeout_s), 60)
    return f"{minutes}:{seconds:02d}" if seconds else minutes


def _at_once(found: object, *, is_local: bool) -> int:
    if found is None:
        return machine.cores() if is_local else _MOST_AT_ONCE
    return whole_number(f"{_PREFIX}.array_parallelism", found)


def _choice(key: str, found: object, known: tuple[str, ...]) -> str:
    if found in known:
        return str(found)
    raise SettingError(f"{_PREFIX}.{key}", found, f"one of {', '.join(known)}")


def _count_or_none(key: str, found: object) -> int | None:
    return None if found is None else whole_number(f"{_PREFIX}.{key}", found)


def _flag(key: str, found: object) -> bool:
    if isinstance(found, bool):
        return found
    raise SettingError(f"{_PREFIX}.{key}", found, "true or false")


def _positive(key: str, found: Any) -> float:
    if isinstance(found, str):  # an interpolation of a job's config may bring one
        with suppress(ValueError):
            found = float(found)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 < found < float("inf"):
        raise SettingError(f"{_PREFIX}.{key}", found, "a number above 0")
    return found


def _text_or_none(key: str, found: object) -> str | None:
    if found is None or (isinstance(found, str) and found.strip()):
        return found
    raise SettingError(f"{_PREFIX}.{key}", found, "a command, or null for the Python that sweeps")


def _texts(key: str, found: object) -> list[str]:
    if isinstance(found, (list, tuple)) and all(isinstance(item, (str, int, float)) for item in found):
        return [str(item) for item in found]
    raise SettingError(f"{_PREFIX}.{key}", found, "a list of strings")


def _mapping(key: str, found: object) -> dict[str, Any]:
    if isinstance(found, Mapping) and all(isinstance(name, str) for name in found):
        return dict(found)
    raise SettingError(f"{_PREFIX}.{key}", found, "a mapping from options of sbatch to their values")
