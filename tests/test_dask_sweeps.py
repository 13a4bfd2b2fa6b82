"""Sweeps on a local Dask cluster: workers that are lost, interrupts, limits, and what the user gets to see."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from parcache.backends.dask.scratch import scratch_folder
from tests.conftest import Project, Result
from tests.dask_clusters import Processes, begun, until
from tests.sweeping import ends, numbers, processes_of

DASK = ("-m", "hydra/launcher=parcache", "hydra/launcher/backend=dask", "hydra.sweep.dir=out")
TWO = (*DASK, "hydra.launcher.backend.workers=2")


@pytest.fixture
def deeds(tmp_path: Path) -> Project:
    """An app whose job 1 does a deed; all jobs say in which process they ran, and the parent of that."""
    return Project(tmp_path / "project").write(
        app="""
        import os, signal, subprocess, sys, time
        import hydra

        if __name__ != "__main__":
            with open("imported.txt", "a") as file:
                file.write(f"{__name__} ")

        def healthy(cfg):
            pass

        LOST, KNOWN = os.environ["RUNS"] + ".lost", os.environ["RUNS"] + ".known"

        def lose_the_worker(cfg):
            # Not before the client knows that the call has begun: it would run once more as if it never had.
            if os.path.exists(LOST):
                time.sleep(15)  # the test knows the number of the first call alone
            else:
                open(LOST, "w").close()
                while not os.path.exists(KNOWN):
                    time.sleep(0.01)
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)

        def lose_the_worker_once(cfg):
            if not os.path.exists(LOST):
                lose_the_worker(cfg)

        def hang(cfg):
            subprocess.Popen(["sleep", "600"])
            time.sleep(600)

        def swell(cfg):
            held = b"x" * 400_000_000
            time.sleep(600)

        DEEDS = {deed.__name__: deed for deed in (healthy, lose_the_worker, lose_the_worker_once, hang, swell)}

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            with open(os.environ["RUNS"], "a") as file:
                file.write(f"{cfg.x}\\n")
            if cfg.x == 1:
                DEEDS[cfg.deed](cfg)
            elif cfg.wait:
                time.sleep(600)
            return os.environ.get("PARCACHE_SLOT"), os.getppid()

        if __name__ == "__main__":
            main()
            print("Dask was imported" if "distributed" in sys.modules else "Dask was not imported")
        """,
        conf__config_yaml="x: 0\ndeed: healthy\nwait: false\ngpus: 1\n",
    )


def sweep_that_loses(deeds: Project, *overrides: str) -> Result:
    """Run a sweep whose job 1 costs a Dask worker as soon as the client knows that it runs."""
    printed = Path(f"{deeds.runs}.printed")
    running = deeds.start(*overrides, "hydra.verbose=parcache", to=printed)
    until(lambda: 2 in begun(printed), "the second call runs, and that is known")
    Path(f"{deeds.runs}.known").touch()
    return running.finish()


def test_dask_sweep_on_a_local_cluster_is_stored_and_served(deeds: Project) -> None:
    """Jobs run on a local cluster, their output is the app's alone; with all in the store Dask is not even imported."""
    first = deeds.run(*TWO, "x=range(6)").check()
    assert first.summary.startswith("6 jobs: 0 hits, 6 misses, 0 failed")
    assert first.out.count("Dask dashboard: http://") == 1
    assert "distributed" not in first.out + first.err
    assert "Dask was imported" in first.out
    again = deeds.run(*TWO, "x=range(6)").check()
    assert again.summary.startswith("6 jobs: 6 hits, 0 misses, 0 failed")
    assert "Dask was not imported" in again.out
    assert len(deeds.executions()) == 6
    assert not (deeds.folder / "imported.txt").exists(), "a process of Dask's has imported the main script"
    assert processes_of(deeds) == []


def test_dask_sweep_goes_on_when_a_worker_is_lost(deeds: Project) -> None:
    """A job whose Dask worker is killed runs once more; neither the others nor the user hear anything of Dask's."""
    result = sweep_that_loses(deeds, *TWO, "x=range(6)", "deed=lose_the_worker_once").check()
    assert result.summary.startswith("6 jobs: 0 hits, 6 misses, 0 failed")
    assert numbers(deeds.folder / "out", "retry") == [1]
    assert "distributed" not in result.out
    assert "Traceback" not in result.out
    assert processes_of(deeds) == []


def test_dask_job_that_loses_its_worker_each_time_fails_alone(deeds: Project) -> None:
    """A job that costs two Dask workers fails and says so; the others complete."""
    result = sweep_that_loses(deeds, *TWO, "x=range(6)", "deed=lose_the_worker")
    found = ends(deeds.folder / "out")
    assert found == {number: ["failed" if number == 1 else "completed"] for number in range(6)}, result.out
    assert "#1 x=1 deed=lose_the_worker: failed: WorkerDiedError" in result.out
    assert deeds.executions().count("1") == 2
    assert processes_of(deeds) == []


def test_dask_job_that_takes_too_long_is_stopped_alone(deeds: Project) -> None:
    """timeout_s ends the job and what it has started; nothing else."""
    result = deeds.run(*TWO, "x=range(6)", "deed=hang", "hydra.launcher.failures.timeout_s=30")
    found = ends(deeds.folder / "out")
    assert found == {number: ["failed" if number == 1 else "completed"] for number in range(6)}, result.out
    assert "JobTimeoutError: Job 1 ran longer than 30 s and was stopped" in result.out
    assert processes_of(deeds) == []


def test_dask_job_that_takes_too_much_memory_is_stopped_alone(deeds: Project) -> None:
    """memory_limit holds for what the jobs of a worker use; a job that is stopped for it says so."""
    result = deeds.run(*TWO, "hydra.launcher.backend.memory_limit=300MB", "x=range(4)", "deed=swell")
    found = ends(deeds.folder / "out")
    assert found == {number: ["failed" if number == 1 else "completed"] for number in range(4)}, result.out
    assert "#1 x=1 deed=swell: failed: WorkerDiedError" in result.out
    assert "used more than 300000000 bytes" in result.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dask_sweep_interrupted_keeps_what_is_done_and_leaves_no_process(
    deeds: Project, number: signal.Signals, tmp_path: Path
) -> None:
    """Ctrl-C at the terminal, which Dask's own processes get as well, or SIGTERM: in order, with nothing left."""

    def as_a_shell_does() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    printed = tmp_path / "printed"
    running = deeds.start(
        *TWO,
        *("x=1,2,3,4", "wait=true", "hydra.verbose=parcache"),
        env={"PARCACHE_DIR": ".parcache"},
        to=printed,
        start_new_session=True,
        preexec_fn=as_a_shell_does,
    )
    until(lambda: len(begun(printed) - {1}) == 2, "two run, and that is known")
    until(lambda: numbers(deeds.folder / "out", "completed") == [0], "one job is done, and that is known")
    if number == signal.SIGINT:
        os.killpg(running.process.pid, number)
    else:
        running.process.send_signal(number)
    result = running.finish()
    assert result.code == 130, result.out
    assert len(deeds.executions()) == 3
    assert "Interrupted. 1 jobs of this batch are done" in result.out
    assert "Traceback" not in result.out
    assert "distributed" not in result.out
    found = ends(deeds.folder / "out")
    assert found[0] == ["completed"]
    assert sorted(state for job in (1, 2, 3) for state in found[job]) == ["cancelled", "interrupted", "interrupted"]
    until(lambda: processes_of(deeds) == [], "no process is left")  # multiprocessing's own ends a moment later


def test_dask_sweep_killed_leaves_no_process_and_its_folder_to_the_next(
    deeds: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweeping process may be killed: the local cluster and what its workers run end with it.

    Its folder goes when the next local cluster starts, but not while it is its own.
    """
    folders = tmp_path / "folders"
    folders.mkdir()
    (folders / "parcache-dask-of-somebody").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folders))
    running = deeds.start(*TWO, "x=2,3", "wait=true", env={"TMPDIR": str(folders)})
    until(lambda: len(deeds.executions()) == 2, "two jobs run")
    (used,) = (path.parent for path in folders.glob("parcache-dask-*/owner.json"))
    with scratch_folder():
        assert used.exists()
    running.process.kill()
    running.finish()
    until(lambda: processes_of(deeds) == [], "its processes end")
    with scratch_folder() as one, scratch_folder():
        assert sorted(path.name for path in folders.glob("parcache-dask-*/owner.json")) == ["owner.json"] * 2
        assert Path(one).exists()
        assert not used.exists()
    assert [path.name for path in folders.glob("parcache-dask-*")] == ["parcache-dask-of-somebody"]


def test_dask_sweep_whose_jobs_say_what_they_take_runs_them_where_that_is(deeds: Project) -> None:
    """worker_resources by interpolation: each job takes what its own config says."""
    deeds.write(
        conf__hydra__launcher__backend__gpus_yaml="""
        defaults: [dask, _self_]
        cluster: {_target_: distributed.LocalCluster, n_workers: 1, threads_per_worker: 4, resources: {GPU: 2},
                  dashboard_address: null}
        worker_resources: {GPU: '${gpus}'}
        """
    )
    chosen = (*DASK[:2], "hydra/launcher/backend=gpus", "hydra.sweep.dir=out")
    result = deeds.run(*chosen, "x=range(4)", "gpus=1,2").check()
    assert result.summary.startswith("8 jobs: 0 hits, 8 misses, 0 failed")
    refused = deeds.run(*chosen, "x=9", "gpus=3", "hydra.launcher.backend.wait_s=0.1")
    assert "None of the 1 workers of distributed.LocalCluster has" in refused.out + refused.err
    assert "--resources 'GPU=3'" in refused.out + refused.err


def test_dask_cluster_that_adapts_starts_from_nothing(deeds: Project) -> None:
    """A cluster of any class may adapt: its first worker comes with the first jobs."""
    adapts = "hydra.launcher.backend.adapt={minimum: 0, maximum: 2}"
    cluster = "{_target_: distributed.LocalCluster, n_workers: 0, threads_per_worker: 1, dashboard_address: null}"
    result = deeds.run(*DASK, f"hydra.launcher.backend.cluster={cluster}", adapts, "x=range(4)").check()
    assert result.summary.startswith("4 jobs: 0 hits, 4 misses, 0 failed")
    assert processes_of(deeds) == []


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ("{_target_: distributed.NoCluster}", "module 'distributed' has no attribute 'NoCluster'"),
        ("{_target_: distributed.LocalCluster, n_workers: 0}", "backend.scale is None; expected a number of workers"),
        ("{_target_: tests.broken, cores: 1}", "expected the dotted path of a cluster class"),
        ("{n_workers: 0}", "expected a mapping with the cluster class as _target_"),
    ],
)
def test_dask_cluster_that_cannot_be_made_is_refused(deeds: Project, cluster: str, told: str) -> None:
    """What is wrong with a cluster is one message with the setting's name, and nothing is left behind."""
    result = deeds.run(*DASK, f"hydra.launcher.backend.cluster={cluster}", "x=1")
    assert result.code == 1
    assert told in result.err
    assert "Traceback" not in result.err
    assert processes_of(deeds) == []


def test_dask_sweep_on_a_running_cluster_survives_a_lost_worker(deeds: Project, tmp_path: Path) -> None:
    """With the address of a scheduler: a worker killed in the middle costs its job one more run, and no other."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    processes = Processes(folder)
    try:
        for _ in range(2):
            processes.worker()
        at = f"hydra.launcher.backend.address={processes.address}"
        chosen = (*DASK, at, "x=range(8)", "deed=lose_the_worker_once", f"+hydra.job.env_set.RUNS={deeds.runs}")
        result = sweep_that_loses(deeds, *chosen).check()
        assert result.summary.startswith("8 jobs: 0 hits, 8 misses, 0 failed")
        assert deeds.executions().count("1") == 2
        assert sum(worker.poll() is None for worker in processes.workers) == 1
    finally:
        processes.close()
