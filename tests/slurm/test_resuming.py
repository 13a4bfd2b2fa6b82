"""A sweep that ends before its jobs do, by SIGKILL or because it was told to, is taken up by the next one."""

from __future__ import annotations

from tests.conftest import Project
from tests.slurm.cluster import Cluster
from tests.slurm.counting import Calls
from tests.slurm.daemons import wait_for
from tests.slurm.sweeps import (
    PATIENCE_S,
    finished,
    jobs_of,
    release,
    sweep,
    sweeping,
    wait_for_empty_queue,
    wait_for_runs,
)
from tests.sweeping import journal

JOBS = jobs_of("healthy", "healthy", *["waits"] * 4)
TASKS = "hydra.launcher.backend.tasks=2"


def wait_for_second_sweep(project: Project, count: int) -> None:
    """Wait until a sweep that was started again has handed on, or found, so many jobs."""

    def has_them() -> bool:
        lines = journal(project.folder / "out")
        starts = [place for place, line in enumerate(lines) if "journal" in line]
        if len(starts) < 2:
            return False
        return sum(len(line["jobs"]) for line in lines[starts[1] :] if line.get("state") == "running") == count

    wait_for(has_them, "the second sweep has submitted", PATIENCE_S)


def test_killed_sweep_started_again_loses_nothing_and_resubmits_nothing_that_runs(
    deeds: Project, cluster: Cluster, calls: Calls
) -> None:
    """After SIGKILL, what is stored is a hit, what runs and waits is waited for: every job runs once."""
    with sweeping(deeds, TASKS, JOBS) as process:
        wait_for(lambda: len(deeds.entries()) == 2, "two jobs are done", PATIENCE_S)
        wait_for_runs(deeds, 4)
        process.kill()
        process.wait()
    running = sorted(cluster.queue())
    assert len(running) == 2
    with sweeping(deeds, TASKS, JOBS) as process:
        wait_for_second_sweep(deeds, 4)
        release(deeds)
        code, out = finished(process)
    assert code == 0, out
    assert "6 jobs: 2 hits, 4 misses, 0 failed" in out
    assert sorted(deeds.executions()) == [str(number) for number in range(6)]
    assert calls.count("sbatch") == 1
    wait_for_empty_queue(cluster)
    assert "6 jobs: 6 hits, 0 misses" in sweep(deeds, TASKS, JOBS).check().summary


def test_detached_sweep_says_what_waits_and_is_collected_by_the_same_command(
    deeds: Project, cluster: Cluster, calls: Calls
) -> None:
    """It ends at once, well, without results; the same command without detach has them all and submits nothing."""
    detached = sweep(deeds, TASKS, "hydra.launcher.backend.detach=true", JOBS)
    told = detached.out + detached.err
    assert detached.code == 0, told
    assert "squeue" in told
    assert "misses" not in told  # it claims no results
    wait_for_runs(deeds, 4)
    with sweeping(deeds, TASKS, JOBS) as process:
        wait_for_second_sweep(deeds, 4)
        release(deeds)
        code, out = finished(process)
    assert code == 0, out
    assert sorted(deeds.executions()) == [str(number) for number in range(6)]
    assert calls.count("sbatch") == 1
    wait_for_empty_queue(cluster)


def test_detached_sweep_asked_again_while_its_jobs_wait_submits_nothing(
    deeds: Project, cluster: Cluster, calls: Calls
) -> None:
    """Detached a second time, it tells of the same jobs."""
    for _ in range(2):
        assert sweep(deeds, TASKS, "hydra.launcher.backend.detach=true", JOBS).code == 0
    assert calls.count("sbatch") == 1
    release(deeds)
    wait_for(lambda: len(deeds.entries()) == 6, "all are stored", PATIENCE_S)
    wait_for_empty_queue(cluster, 60)  # they wait some seconds for more
