"""What a batch script runs: ``python -m parcache.backends.slurm.task SPOOL GROUP LOGS`` becomes an agent.

Submitit's own command would load a pickle for each task of an array, and numpy, before it did anything. What it does
besides, requeueing what has a checkpoint hook, is done here through it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from parcache.backends.slurm.agent import Agent


def main(spool: str, group: str, logs: str) -> int:
    """Be an agent, until there is nothing left to do or the allocation ends. Returns the exit code."""
    from parcache.backends.slurm.spool import Spool

    task = task_of_environment(os.environ)
    if int(os.environ.get("SLURM_PROCID", "0")) > 0:
        from parcache.backends.slurm.follower import Follower

        Follower(Spool(spool), int(group), task)()
        return 0
    started_s = time.time()
    agent = Agent(Spool(spool), int(group), task, logs)
    agent.listen()
    if agent():
        requeue(agent, logs, started_s)
    return 0


def task_of_environment(environ: Any) -> str:
    """Return the scheduler's id of this array task, as submitit makes it."""
    if environ.get("SUBMITIT_EXECUTOR") == "local":
        return str(environ["SUBMITIT_LOCAL_JOB_ID"])
    if environ.get("SLURM_ARRAY_JOB_ID"):
        return f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    return str(environ["SLURM_JOB_ID"])


def requeue(agent: Agent, logs: str, started_s: float) -> None:
    """Have the task requeued as submitit does it, by the agent's checkpoint hook. Does not return where it is.

    Raises:
        Exception: The scheduler refuses.
    """
    from submitit.core.job_environment import SignalHandler
    from submitit.core.utils import DelayedSubmission
    from submitit.local.local import LocalJobEnvironment
    from submitit.slurm.slurm import SlurmJobEnvironment

    os.environ["SUBMITIT_FOLDER"] = logs
    kind: Any = LocalJobEnvironment if os.environ.get("SUBMITIT_EXECUTOR") == "local" else SlurmJobEnvironment
    environment = kind()
    delayed = DelayedSubmission(agent)
    delayed.set_timeout(timeout_min=60 * 24 * 365, max_num_timeout=1)  # what is bounded is each call, in the spool
    handler = SignalHandler(environment, environment.paths, delayed)
    handler._start_time = started_s
    handler.checkpoint_and_try_requeue(signal.SIGUSR2)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
