"""Sweeps whose tasks Slurm's administrators lay hands on: what is told, and that the other jobs complete."""

from __future__ import annotations

from tests.conftest import Project
from tests.slurm.cluster import Cluster
from tests.slurm.daemons import wait_for
from tests.slurm.requeueing import make_eligible
from tests.slurm.sweeps import PATIENCE_S, finished, jobs_of, release, sweeping, wait_for_runs
from tests.sweeping import ends, journal, numbers


def causes(project: Project, state: str = "failed") -> dict[int, str]:
    """Return by job number what the journal gives as the cause."""
    return {line["jobs"][0]: line["error"] for line in journal(project.folder / "out") if line.get("state") == state}


def tasks(cluster: Cluster) -> list[str]:
    """Return the tasks that run, as Slurm names them."""
    return [line.split()[0] for line in cluster.queue() if line.split()[1] == "RUNNING"]


def test_cancelled_task_is_named_and_costs_nobody_else(deeds: Project, cluster: Cluster) -> None:
    """An administrator's scancel of one task of an array is told with Slurm's word; the others go on."""
    with sweeping(deeds, jobs_of("waits", "waits", "waits")) as process:
        wait_for_runs(deeds, 3)
        (victim,) = (task for task in tasks(cluster) if task.endswith("_1"))
        cluster.run("scancel", victim)
        wait_for(lambda: causes(deeds, "failed") or causes(deeds, "retry"), "the end is noticed", PATIENCE_S)
        release(deeds)
        _, out = finished(process)
    (cause,) = {**causes(deeds, "failed"), **causes(deeds, "retry")}.values()
    assert f"Slurm ended its own job {victim}: CANCELLED" in cause, out
    assert len(numbers(deeds.folder / "out", "completed")) >= 2


def test_requeued_task_runs_its_job_again_within_its_retries(deeds: Project, cluster: Cluster) -> None:
    """What scontrol requeues starts anew with the job that it was at; nothing has failed."""
    one = "hydra.launcher.backend.tasks=1"
    with sweeping(deeds, one, "hydra.launcher.failures.retries=1", jobs_of("waits_once", "healthy")) as process:
        wait_for(lambda: (deeds.folder / "tried-0").exists(), "the job runs", PATIENCE_S)
        (victim,) = tasks(cluster)
        cluster.run("scontrol", "requeue", victim)
        make_eligible(cluster)
        code, out = finished(process)
    assert code == 0, out
    assert ends(deeds.folder / "out") == {0: ["completed"], 1: ["completed"]}
    assert sorted(deeds.executions()) == ["0", "0", "1"]


def test_suspended_task_goes_on_when_it_is_resumed(deeds: Project, cluster: Cluster) -> None:
    """A task that Slurm has suspended is neither lost nor run again."""
    with sweeping(deeds, jobs_of("waits")) as process:
        wait_for_runs(deeds, 1)
        (victim,) = tasks(cluster)
        cluster.run("scontrol", "suspend", victim)
        wait_for(lambda: "SUSPENDED" in cluster.queue()[0], "suspended", PATIENCE_S)
        release(deeds)
        cluster.run("scontrol", "resume", victim)
        code, out = finished(process)
    assert code == 0, out
    assert deeds.executions() == ["0"]
