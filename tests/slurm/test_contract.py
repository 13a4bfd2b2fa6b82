"""The contract of all backends holds on a real Slurm: with and without accounting, packed and not."""

from __future__ import annotations

import pytest

from parcache.testing import BackendContract
from tests.conftest import Project
from tests.slurm.cluster import Cluster
from tests.slurm.sweeps import jobs_of, sweep, wait_for_empty_queue
from tests.sweeping import numbers, processes_of

BACKEND = "hydra.launcher.backend"
SLURM = "hydra/launcher/backend=slurm"
# Two tasks of two jobs each: some jobs run and some wait.
SIDE_BY_SIDE = (f"{BACKEND}.tasks=2", f"{BACKEND}.parallel_per_task=2")


@pytest.fixture
def accounting(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the programs that a test starts find the cluster with accounting."""
    slurm.refresh()
    monkeypatch.setenv("SLURM_CONF", str(slurm.conf))


@pytest.fixture
def no_accounting(slurm_without_accounting: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the programs that a test starts find the cluster without accounting."""
    slurm_without_accounting.refresh()
    monkeypatch.setenv("SLURM_CONF", str(slurm_without_accounting.conf))


@pytest.mark.usefixtures("accounting")
class TestAlone(BackendContract):
    overrides = (SLURM,)


@pytest.mark.usefixtures("accounting")
class TestSideBySide(BackendContract):
    overrides = (SLURM, *SIDE_BY_SIDE)


@pytest.mark.usefixtures("no_accounting")
class TestAloneWithoutAccounting(BackendContract):
    overrides = (SLURM,)


@pytest.mark.usefixtures("no_accounting")
class TestInSequenceWithoutAccounting(BackendContract):
    overrides = (SLURM, f"{BACKEND}.jobs_per_task=3")


def test_policy_stop_ends_what_runs_and_takes_back_what_waits(deeds: Project, cluster: Cluster) -> None:
    """The sweep ends with the failure's own traceback and leaves nothing with Slurm."""
    names = ["raises", *["stuck"] * 7]
    result = sweep(deeds, *SIDE_BY_SIDE, "hydra.launcher.failures.policy=stop", jobs_of(*names))
    assert result.code == 1
    assert "ValueError: as it happens in 0" in result.err
    assert "deeds.py" in result.err
    assert numbers(deeds.folder / "out", "failed") == [0]
    wait_for_empty_queue(cluster)
    assert processes_of(deeds) == []
