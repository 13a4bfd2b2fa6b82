"""Whole sweeps on a real Slurm: from the command to its end, whatever happens to it on the way."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Project, Running
from tests.slurm.cluster import Cluster
from tests.slurm.counting import Calls
from tests.slurm.daemons import wait_for
from tests.slurm.requeueing import make_eligible
from tests.slurm.sweeps import PATIENCE_S

SLURM = ("hydra/launcher=parcache", "hydra/launcher/backend=slurm", "hydra.launcher.backend.mem_gb=0.4")

# Each run notes that it has started, waits for a file if it is told to, and notes its end in runs.txt.
WAITING = """
    import os, time
    from pathlib import Path
    import hydra

    def main(cfg):
        here = Path(os.environ["RUNS"]).parent
        with open(here / "started.txt", "a") as file:
            file.write(f"{cfg.x}\\n")
        while cfg.get("waits", False) and not (here / "go").exists():
            time.sleep(0.02)
        with open(os.environ["RUNS"], "a") as file:
            file.write(f"{cfg.x}\\n")
        return cfg.x

    {more}
    if __name__ == "__main__":
        hydra.main(version_base=None, config_path=None)(main)()
"""
HOOK = """
    def save(cfg):
        Path(os.environ["RUNS"]).with_name(f"saved-{cfg.x}").touch()

    main.checkpoint = save
"""


@pytest.fixture
def swept(cluster: Cluster, calls: Calls, project: Project) -> Project:
    """Return the small app, whose programs find the cluster; their calls of its commands are counted."""
    project.env.update(SLURM_CONF=str(cluster.conf), **calls.env)
    return project


@pytest.fixture
def waiting(swept: Project) -> Project:
    """Return an app whose jobs wait for a file where ``waits`` is true."""
    return swept.write(app=WAITING.replace("{more}", ""))


def started(project: Project) -> list[str]:
    path = project.folder / "started.txt"
    return path.read_text().split() if path.exists() else []


def go(project: Project) -> None:
    (project.folder / "go").touch()


def kill(running: Running) -> None:
    """End the sweeping process as the kernel or a lost machine would."""
    running.process.kill()
    running.process.communicate()


def test_sweep_runs_on_slurm_and_again_from_the_store(swept: Project, calls: Calls) -> None:
    """The second time nothing is submitted."""
    assert swept.run("-m", "x=1,2,3", *SLURM).check().summary.startswith("3 jobs: 0 hits, 3 misses, 0 failed")
    assert sorted(swept.executions()) == ["1", "2", "3"]
    submitted = calls.count("sbatch")
    assert submitted == 1
    assert swept.run("-m", "x=1,2,3", *SLURM).check().summary.startswith("3 jobs: 3 hits, 0 misses, 0 failed")
    assert calls.count("sbatch") == submitted


def test_sweep_of_many_short_jobs_asks_slurm_no_more_than_one_of_few(swept: Project, calls: Calls) -> None:
    """Queries are counted by time, and not by jobs."""
    began_s = time.monotonic()
    swept.run("-m", "x=range(120)", *SLURM, "hydra.launcher.backend.tasks=4").check()
    assert len(swept.executions()) == 120
    assert calls.count("sbatch") == 1
    assert calls.count("squeue", "sacct") <= 1 + (time.monotonic() - began_s)


def test_failed_jobs_of_a_packed_task_are_told_and_the_others_complete(swept: Project) -> None:
    """A failure is its own job's."""
    swept.write(helper="def compute(cfg):\n    return cfg.x // (cfg.x - 2)\n")
    result = swept.run("-m", "x=1,2,3", *SLURM, "hydra.launcher.backend.tasks=1")
    assert result.code == 1
    assert result.summary.startswith("3 jobs: 0 hits, 3 misses, 1 failed")
    assert "ZeroDivisionError" in result.out + result.err


def test_resources_of_each_job_come_from_its_own_config(swept: Project, calls: Calls) -> None:
    """An interpolation is resolved job by job; jobs that need the same are one array."""
    swept.write(conf__config_yaml="x: 1\nneeds_gb: 0.3\n")
    swept.run(
        "-m",
        "x=1,2",
        "needs_gb=0.3,0.5",
        "hydra/launcher=parcache",
        "hydra/launcher/backend=slurm",
        "hydra.launcher.backend.mem_gb=${needs_gb}",
    ).check()
    assert len(swept.executions()) == 4
    scripts = [path.read_text() for path in swept.folder.rglob("*_submission.sh")]
    assert sorted(line for text in scripts for line in text.splitlines() if "--mem=" in line) == [
        "#SBATCH --mem=307M",
        "#SBATCH --mem=512M",
    ]
    assert calls.count("sbatch") == 2


def test_sweep_killed_in_the_middle_goes_on_where_it_was(waiting: Project, cluster: Cluster, calls: Calls) -> None:
    """What had ended is a hit, what runs or waits is waited for: no job runs twice, and nothing is submitted again."""
    options = (*SLURM, "hydra.launcher.backend.tasks=2")
    sweep = waiting.start("-m", "+x=range(6)", "+waits=true", *options)
    wait_for(lambda: len(started(waiting)) == 2, "two jobs run", PATIENCE_S)
    kill(sweep)
    submitted = calls.count("sbatch")
    again = waiting.start("-m", "+x=range(6)", "+waits=true", *options)
    # It has found the spool of the first one when it asks the queue.
    wait_for(lambda: calls.count("squeue") > 0, "the second one looks", PATIENCE_S)
    go(waiting)
    summary = again.finish().check().summary
    assert summary.startswith("6 jobs: ")
    assert "0 failed" in summary
    assert sorted(waiting.executions()) == list("012345")
    assert calls.count("sbatch") == submitted == 1


def test_sweep_killed_before_its_jobs_ended_finds_their_results(waiting: Project, cluster: Cluster) -> None:
    """Its tasks go on without it, and publish."""
    sweep = waiting.start("-m", "+x=range(4)", "+waits=true", *SLURM, "hydra.launcher.backend.tasks=1")
    wait_for(lambda: started(waiting) != [], "a job runs", PATIENCE_S)
    kill(sweep)
    go(waiting)
    wait_for(lambda: len(waiting.executions()) == 4, "the others run", PATIENCE_S)
    wait_for(lambda: cluster.queue() == [], "the tasks end", PATIENCE_S)
    result = waiting.run("-m", "+x=range(4)", "+waits=true", *SLURM).check()
    assert result.summary.startswith("4 jobs: 4 hits, 0 misses")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_sweep_cancels_its_jobs(waiting: Project, cluster: Cluster, number: int) -> None:
    """Nothing is left in the queue, and nothing in the store but what is done."""
    sweep = waiting.start("-m", "+x=range(4)", "+waits=true", *SLURM)
    wait_for(lambda: started(waiting) != [], "a job runs", PATIENCE_S)
    sweep.process.send_signal(number)
    result = sweep.finish()
    assert result.code == 130
    wait_for(lambda: cluster.queue() == [], "the queue is empty", PATIENCE_S)
    assert waiting.executions() == []
    folder = waiting.folder / ".parcache" / "backends" / "slurm"
    assert not folder.exists() or os.listdir(folder) == []


def test_detached_sweep_ends_at_once_and_is_taken_up_by_the_same_command(waiting: Project, calls: Calls) -> None:
    """It claims no results, says how to follow, and the next one finds what has become of its jobs."""
    command = ("-m", "+x=range(3)", "+waits=true", *SLURM)
    result = waiting.run(*command, "hydra.launcher.backend.detach=true")
    assert result.code == 0, result.out + result.err
    assert "squeue -j" in result.out + result.err
    assert waiting.executions() == []
    wait_for(lambda: started(waiting) != [], "a job runs", PATIENCE_S)
    submitted = calls.count("sbatch")
    again = waiting.start(*command)
    go(waiting)
    assert "0 failed" in again.finish().check().summary
    assert sorted(waiting.executions()) == ["0", "1", "2"]
    assert calls.count("sbatch") == submitted


def test_job_that_runs_too_long_is_stopped_and_fails(waiting: Project) -> None:
    """The limit of a job is the sweep's: its task goes on with the next."""
    result = waiting.run(
        "-m", "+x=1", "+waits=true", *SLURM, "hydra.launcher.failures.timeout_s=1.5", "hydra.launcher.backend.tasks=1"
    )
    assert result.code == 1
    assert "ran longer than 1.5 s" in result.out + result.err


def test_checkpoint_hook_of_the_task_is_called_when_the_end_is_announced(swept: Project, cluster: Cluster) -> None:
    """The job has a moment to save what it has, is given back, and runs again in the requeued task."""
    swept.write(app=WAITING.replace("{more}", HOOK))
    sweep = swept.start(
        "-m", "+x=7", "+waits=true", *SLURM, "hydra.launcher.failures.retries=1", "hydra.launcher.backend.tasks=1"
    )
    wait_for(lambda: started(swept) != [], "the job runs", PATIENCE_S)
    (task,) = [line.split()[0] for line in cluster.queue()]
    cluster.run("scancel", "--signal=USR2", task)
    wait_for((swept.folder / "saved-7").exists, "the hook is called", PATIENCE_S)
    make_eligible(cluster)
    go(swept)
    assert "0 failed" in sweep.finish().check().summary
    assert started(swept) == ["7", "7"]
    assert swept.executions() == ["7"]


def test_output_of_jobs_lies_in_the_sweeps_directory(swept: Project) -> None:
    """What a task prints is there to be read while it runs, with the script that it was started by."""
    swept.write(helper="def compute(cfg):\n    print('hello from', cfg.x)\n    return cfg.x\n")
    swept.run("-m", "x=5", *SLURM, "hydra.sweep.dir=out").check()
    (log,) = Path(swept.folder, "out", ".slurm").glob("*.out")
    assert log.read_text() == "hello from 5\n"
