"""Dask on a real Slurm, by dask-jobqueue: workers come, are lost and are taken back as Slurm jobs."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.dask_clusters import begun
from tests.slurm.cluster import Cluster
from tests.slurm.daemons import wait_for
from tests.sweeping import ends, numbers, processes_of

PROFILE = """
    defaults: [dask, _self_]
    cluster:
      _target_: dask_jobqueue.SLURMCluster
      cores: 1
      memory: 400MB
      walltime: '00:10:00'
      interface: lo
      log_directory: {folder}
      local_directory: {folder}
"""
DASK = ("-m", "hydra/launcher=parcache", "hydra/launcher/backend=here", "hydra.sweep.dir=out")
PATIENCE_S = 240.0


@pytest.fixture
def queue(slurm: Cluster) -> Iterator[Cluster]:
    """Return a Slurm with an empty queue."""
    slurm.refresh()
    yield slurm
    slurm.cancel_all()


@pytest.fixture
def swept(queue: Cluster, tmp_path: Path) -> Project:
    """An app with a profile for that Slurm. Job 1 may wait for a file, and the first time it does it says so."""
    project = Project(tmp_path / "project", {"SLURM_CONF": str(queue.conf)})
    return project.write(
        app="""
        import os, time
        import hydra

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            with open(os.environ["RUNS"], "a") as file:
                file.write(f"{cfg.x}\\n")
            while cfg.x == 1 and cfg.waits and not os.path.exists(os.environ["RUNS"] + ".go"):
                time.sleep(0.05)
            return os.environ["SLURM_JOB_ID"]

        if __name__ == "__main__":
            main()
        """,
        conf__config_yaml="x: 0\nwaits: false\n",
        conf__hydra__launcher__backend__here_yaml=PROFILE.format(folder=tmp_path),
    )


def wait_for_empty(queue: Cluster) -> None:
    wait_for(lambda: not queue.queue(), "an empty queue", PATIENCE_S)


def test_dask_on_slurm_runs_a_sweep_and_takes_its_workers_back(swept: Project, queue: Cluster) -> None:
    """Jobs run in Slurm's jobs, are stored, and the queue is empty afterwards."""
    result = swept.run(*DASK, "hydra.launcher.backend.scale=3", "x=range(30)").check()
    assert result.summary.startswith("30 jobs: 0 hits, 30 misses, 0 failed")
    assert "distributed" not in result.out + result.err
    wait_for_empty(queue)
    wait_for(lambda: processes_of(swept) == [], "no process is left", PATIENCE_S)
    assert "30 hits, 0 misses" in swept.run(*DASK, "x=range(30)").check().summary


def test_dask_on_slurm_that_adapts_starts_with_no_worker(swept: Project, queue: Cluster) -> None:
    """The first Slurm job is submitted when there is work."""
    adapt = "hydra.launcher.backend.adapt={minimum: 0, maximum: 2}"
    result = swept.run(*DASK, adapt, "x=range(6)").check()
    assert result.summary.startswith("6 jobs: 0 hits, 6 misses, 0 failed")
    wait_for_empty(queue)


def test_dask_on_slurm_loses_a_worker_and_runs_its_job_elsewhere(
    swept: Project, queue: Cluster, tmp_path: Path
) -> None:
    """Scancel of the Slurm job in which a job runs costs it one more run; the other jobs complete as well."""
    printed, overrides = tmp_path / "printed", ("x=range(8)", "waits=true", "hydra.verbose=parcache")
    running = swept.start(*DASK, "hydra.launcher.backend.scale=2", *overrides, to=printed)
    folder = swept.folder / "out"
    wait_for(lambda: 2 in begun(printed), "job 1 runs, and that is known", PATIENCE_S)
    wait_for(lambda: len(numbers(folder, "completed")) == 7, "all but one are done", PATIENCE_S)
    victim = next(line.split()[0] for line in queue.queue() if _runs_a_job(queue, line.split()[0], swept))
    queue.run("scancel", "--signal=KILL", "--full", victim)
    wait_for(lambda: swept.executions().count("1") == 2, "it runs again", PATIENCE_S)
    Path(f"{swept.runs}.go").touch()
    result = running.finish().check()
    assert result.summary.startswith("8 jobs: 0 hits, 8 misses, 0 failed")
    assert numbers(folder, "retry") == [1]
    wait_for_empty(queue)
    wait_for(lambda: processes_of(swept) == [], "no process is left", PATIENCE_S)


def test_dask_on_slurm_that_loses_all_workers_asks_for_others(swept: Project, queue: Cluster) -> None:
    """A Slurm job that ends before the sweep, as one does whose time is up, is replaced."""
    swept.env["DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT"] = "1s"
    running = swept.start(*DASK, "hydra.launcher.backend.scale=1", "x=range(3)", "waits=true")
    wait_for(lambda: swept.executions().count("1") == 1, "job 1 runs", PATIENCE_S)
    (first,) = (line.split()[0] for line in queue.queue())
    queue.run("scancel", first)
    wait_for(lambda: swept.executions().count("1") == 2, "it runs again", PATIENCE_S)
    assert [line.split()[0] for line in queue.queue() if "RUNNING" in line] != [first]
    Path(f"{swept.runs}.go").touch()
    assert "3 jobs: 0 hits, 3 misses, 0 failed" in running.finish().check().summary
    wait_for_empty(queue)


def _runs_a_job(queue: Cluster, job: str, project: Project) -> bool:
    """Tell whether one of parcache's processes that belong to a Slurm job is at work: it has opened the job's log."""
    wanted = f"SLURM_JOB_ID={job}".encode()
    for pid in processes_of(project):
        folder = Path(f"/proc/{pid}")
        try:
            is_job = b"PARCACHE_SLOT=" in (folder / "environ").read_bytes()
            is_there = wanted in (folder / "environ").read_bytes().split(b"\0")
            opened = {os.readlink(each) for each in (folder / "fd").iterdir()}
        except OSError:
            continue
        if is_job and is_there and str(project.folder / "out" / "1" / "app.log") in opened:
            return True
    return False


def test_dask_on_slurm_whose_workers_never_start_says_why(swept: Project, queue: Cluster) -> None:
    """Where Slurm starts no worker, the jobs fail by what Slurm says of it, and the job script is in the log."""
    down = ("hydra.launcher.backend.scale=1", "+hydra.launcher.backend.cluster.queue=down")
    result = swept.run(*DASK, *down, "hydra.launcher.backend.wait_s=15", "x=1")
    assert result.code == 1
    assert "No worker of dask_jobqueue.SLURMCluster has come for 15 s" in result.out
    assert re.search(r"squeue has: \d+ PENDING \(PartitionDown\)", result.out)
    assert "#SBATCH -p down" in result.out
    wait_for_empty(queue)


def test_dask_on_slurm_interrupted_takes_its_workers_back(swept: Project, queue: Cluster, tmp_path: Path) -> None:
    """Ctrl-C: exit code 130, an empty queue, and what was done is kept."""
    printed, overrides = tmp_path / "printed", ("x=range(3)", "waits=true", "hydra.verbose=parcache")
    running = swept.start(*DASK, "hydra.launcher.backend.scale=2", *overrides, to=printed)
    wait_for(lambda: 2 in begun(printed), "job 1 runs, and that is known", PATIENCE_S)
    wait_for(lambda: len(numbers(swept.folder / "out", "completed")) == 2, "two are done", PATIENCE_S)
    running.process.send_signal(signal.SIGINT)
    result = running.finish()
    assert result.code == 130, result.out + result.err
    assert ends(swept.folder / "out") == {0: ["completed"], 1: ["interrupted"], 2: ["completed"]}
    wait_for_empty(queue)
    wait_for(lambda: processes_of(swept) == [], "no process is left", PATIENCE_S)
