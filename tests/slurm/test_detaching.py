"""A sweep that was detached is asked for again while its jobs wait."""

from __future__ import annotations

from tests.conftest import Project
from tests.slurm.cluster import Cluster
from tests.slurm.counting import Calls
from tests.slurm.daemons import wait_for
from tests.slurm.sweeps import PATIENCE_S, jobs_of, release, sweep, wait_for_empty_queue

JOBS = jobs_of("healthy", "healthy", *["waits"] * 4)
TASKS = "hydra.launcher.backend.tasks=2"


def test_detached_sweep_asked_again_while_its_jobs_wait_submits_nothing(
    deeds: Project, cluster: Cluster, calls: Calls
) -> None:
    """Detached a second time, it tells of the same jobs."""
    for _ in range(2):
        assert sweep(deeds, TASKS, "hydra.launcher.backend.detach=true", JOBS).code == 0
    assert calls.count("sbatch") == 1
    release(deeds)
    wait_for(lambda: len(deeds.entries()) == 6, "all are stored", PATIENCE_S)
    wait_for_empty_queue(cluster)  # they wait some seconds for more
