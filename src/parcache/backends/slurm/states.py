"""What Slurm says of its jobs: text in, values out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, NamedTuple


class Phase(Enum):
    """Where a task is on its way."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"


class State(NamedTuple):
    """What Slurm says of a task. ``reason`` is why it waits, or how it ended: empty where that is all in ``name``."""

    phase: Phase
    name: str
    reason: str = ""


GONE: Final = State(Phase.ENDED, "UNKNOWN", "Slurm does not know it any more")
SILENT: Final = State(Phase.ENDED, "UNKNOWN", "it was told to end, and Slurm does not say that it has")

_PENDING: Final = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"})
_ENDED: Final = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "LAUNCH_FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "RECONFIG_FAIL",
        "REVOKED",
        "TIMEOUT",
    }
)
# As long as Slurm is in order these go by themselves, and nobody wonders.
_USUAL: Final = frozenset(
    {"", "None", "Resources", "Priority", "BeginTime", "JobArrayTaskLimit", "Dependency", "Prolog", "Cleaning"}
)
# What a job asks for is more than any job may have, or is not there: time does not help.
_NEVER: Final = re.compile(
    r"BadConstraints|DependencyNeverSatisfied|InvalidAccount|InvalidQOS|AccountNotAllowed|QOSNotAllowed|"
    r"PartitionTimeLimit|PartitionNodeLimit|ReservationDeleted|JobHeldAdmin|"
    r"(Assoc|QOS)Max\w*(PerJob|PerNode)\w*(Limit)?|(Assoc|QOS)Min\w+|"
    r"(Assoc|QOS)MaxWallDurationPerJobLimit"
)
# Slurm's word for a partition that does not fit a job, and its own text says "not available now": while nodes or limits
# are being changed it may pass. What has been shown for longer stays.
_STAYS_S: Final[Mapping[str, float]] = {"PartitionConfig": 30.0}
_ARRAY: Final = re.compile(r"(?P<job>\d+)_\[(?P<ranges>[\d,\-:]+)(%\d+)?\]")


def state(name: str, reason: str = "") -> State:
    """Return a state by Slurm's name for it. What is not known is taken for running: it may be."""
    first, _, rest = name.strip().partition(" ")  # CANCELLED by 0
    first = first.rstrip("+")
    phase = Phase.PENDING if first in _PENDING else Phase.ENDED if first in _ENDED else Phase.RUNNING
    if phase is Phase.ENDED and first == "CANCELLED" and rest:
        reason = f"by user {rest.removeprefix('by ')}" if rest.startswith("by ") else rest
    reason = "" if reason in ("None", "NonZeroExitCode", "TimeLimit", "OutOfMemory") else reason
    return State(phase, first, reason)


def read_sacct(text: str) -> dict[str, State]:
    """Return the states by task, from ``sacct -X -n -P -o JobID,State,ExitCode``."""
    found: dict[str, State] = {}
    for line in text.splitlines():
        job, name, code = (*line.split("|"), "", "")[:3]
        if not job or "." in job:
            continue
        read = state(name, "" if code in ("", "0:0") else _exit(code))
        found.update(dict.fromkeys(tasks(job), read))
    return found


def read_squeue(text: str) -> dict[str, State]:
    """Return the states by task, from ``squeue -h -o '%i|%T|%r'``."""
    found: dict[str, State] = {}
    for line in text.splitlines():
        job, name, reason = (*line.split("|", 2), "", "")[:3]
        if job:
            found.update(dict.fromkeys(tasks(job), state(name, reason.strip())))
    return found


def tasks(job: str) -> Iterator[str]:
    """Yield the ids of the tasks that Slurm shows as one: ``12_[0-2,7%4]``, ``12_3`` or ``12``."""
    match = _ARRAY.fullmatch(job.strip())
    if match is None:
        yield job.strip()
        return
    for each in match["ranges"].split(","):
        span, _, step = each.partition(":")
        first, _, last = span.partition("-")
        for number in range(int(first), int(last or first) + 1, int(step or 1)):
            yield f"{match['job']}_{number}"


def is_usual(reason: str) -> bool:
    """Tell whether jobs wait for this reason on a cluster on which all is well."""
    return reason in _USUAL


def is_final(reason: str, shown_s: float = 0.0) -> bool:
    """Tell whether a job that waits for this reason, and has done so for some time (s), waits forever."""
    return shown_s >= _STAYS_S.get(reason, math.inf) or _NEVER.match(reason) is not None


_REMEDIES: Final[Mapping[str, str]] = {
    "unrecognized option": "Remove it from hydra.launcher.backend.additional_parameters",
    "PartitionConfig|PartitionNodeLimit|partition configuration": (
        "Ask for fewer nodes (hydra.launcher.backend.nodes=N) or for fewer CPUs on each (…cpus_per_task=N), "
        "or choose another partition: hydra.launcher.backend.partition=NAME"
    ),
    "account": "Name an account that you may use: hydra.launcher.backend.account=NAME",
    "timelimit|time limit|wall": "Ask for less time: hydra.launcher.backend.timeout_min=MINUTES",
    "mem": "Ask for less memory: hydra.launcher.backend.mem_gb=GB",
    "qosnot|invalid ?qos": "Name a QOS that you may use: hydra.launcher.backend.qos=NAME",
    "partition": "Choose another partition: hydra.launcher.backend.partition=NAME",
    "cpu": "Ask for fewer CPUs: hydra.launcher.backend.cpus_per_task=N",
    "gres|gpu": "Ask for fewer GPUs: hydra.launcher.backend.gpus_per_node=N",
    "node configuration": (
        "Ask for less on each node (hydra.launcher.backend.gpus_per_node=N, …cpus_per_task=N, …mem_gb=GB), "
        "or choose another partition: hydra.launcher.backend.partition=NAME"
    ),
    "submit": "Submit fewer at a time: hydra.launcher.backend.tasks=N",
    "held": "Somebody holds it: scontrol release",
    "node": "Ask for fewer nodes: hydra.launcher.backend.nodes=N",
}


def remedy(reason: str) -> str:
    """Return the setting to change where Slurm gives this reason, or what else helps."""
    for pattern, text in _REMEDIES.items():
        if re.search(pattern, reason, re.IGNORECASE):
            return text
    return "See what the cluster has: sinfo -l, and what the job asks for: scontrol show job"


def _exit(code: str) -> str:
    status, _, number = code.partition(":")
    return f"ended by signal {number}" if number not in ("", "0") else f"exit code {status}"
