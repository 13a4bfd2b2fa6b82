"""Tasks that Slurm has requeued start when a test wants it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from tests.slurm.cluster import Cluster
from tests.slurm.daemons import wait_for

_PATIENCE_S: Final = 300.0


def make_eligible(cluster: Cluster) -> None:
    """Let a requeued task start: Slurm has it wait for two minutes, so that its last run is surely over.

    A node refuses what starts in the very second in which it has been told to end the run before.
    """
    wait_for(lambda: [line for line in cluster.queue() if "PENDING" in line], "the task is requeued", _PATIENCE_S)
    jobs = cluster.run("squeue", "--noheader", "--array", "--states=PENDING", "--format=%A").split()
    wait_for(lambda: not any(_steps_of(job) for job in jobs), "its last run is over", _PATIENCE_S)
    for job in jobs:
        cluster.run("scontrol", "update", f"jobid={job}", "starttime=now+2")


def _steps_of(job: str) -> list[str]:
    """Return the processes of Slurm's that look after a job, among them the last to tell of its end."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = path.read_bytes().replace(b"\0", b" ").decode()
            if command.startswith(f"slurmstepd: [{job}."):
                found.append(command)
    return found
