"""What a task has written last, and what that tells of its end."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from parcache.backends.slurm.states import Phase, State

_LAST_BYTES: Final = 4000
# A requeued task goes on writing where it stopped.
AGAIN: Final = "parcache: this task was requeued, what follows is its next agent's"
# What slurmstepd writes where the step of a task is ended; the job as a whole then counts as failed, or as cancelled.
_SAID: Final[Mapping[str, str]] = {
    r"exceeded .*memory limit|oom[-_ ]?kill|out of memory": "OUT_OF_MEMORY",
    r"DUE TO TIME LIMIT": "TIMEOUT",
    r"DUE TO PREEMPTION": "PREEMPTED",
    r"DUE TO NODE FAILURE": "NODE_FAIL",
}


# What srun adds when a task has ended, whatever the reason: that stands above.
_AFTERWARDS: Final = re.compile(
    r"srun: (error: )?(.* Exited with exit code|.*\bTerminating\b|.*Force Terminated|Job step aborted|.*launch/slurm)"
)


def error_log(logs: str, task: str) -> str:
    """Return where submitit has a task's standard error written to: with its output, where stderr_to_stdout is set."""
    path = os.path.join(logs, f"{task}_0_log.err")
    return path if os.path.exists(path) else os.path.join(logs, f"{task}_0_log.out")


def last_words(path: str) -> str:
    """Return the end of a log file; nothing where there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_BYTES))
            return file.read().decode(errors="replace").rpartition(AGAIN)[2]
    except OSError:
        return ""


def reason_in(text: str) -> str:
    """Return the last line that may say why a task has ended; nothing where nothing was written."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not _AFTERWARDS.match(line)]
    return (telling or lines or [""])[-1]


def told_by(text: str) -> State | None:
    """Return how a task ended by what Slurm has written to its standard error last; None where it has said nothing."""
    for line in reversed(text.splitlines()):
        for pattern, name in _SAID.items():
            if re.search(pattern, line, re.IGNORECASE):
                return State(Phase.ENDED, name, line.partition("error:")[2].strip(" *") or line.strip())
    return None


def tidy(logs: str, tasks: Iterable[str]) -> None:
    """Delete the files of tasks that have written nothing."""
    for task in tasks:
        for kind in ("err", "out"):
            path = os.path.join(logs, f"{task}_0_log.{kind}")
            with suppress(OSError):
                if not os.path.getsize(path):
                    os.unlink(path)
