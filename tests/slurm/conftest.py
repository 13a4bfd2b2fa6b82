"""A real Slurm for all tests of this folder, which one worker runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.slurm.cluster import Cluster, has_cgroups, why_not
from tests.slurm.counting import Calls
from tests.slurm.requirement import need
from tests.slurm.sweeps import write_app

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have one worker run them: the cluster is brought up once."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("slurm"))


def brought_up(*, accounting: bool, cgroups: bool) -> Iterator[Cluster]:
    need(why_not(accounting))
    # Not below pytest's own folder: the path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder))
        cluster.up(accounting=accounting, cgroups=cgroups)
        try:
            yield cluster
        finally:
            cluster.down()


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """Bring up a Slurm with accounting; the kernel holds the memory of its jobs where it can."""
    yield from brought_up(accounting=True, cgroups=has_cgroups())


@pytest.fixture(scope="session")
def slurm_without_accounting() -> Iterator[Cluster]:
    """Bring up a Slurm where sacct knows nothing."""
    yield from brought_up(accounting=False, cgroups=False)


@pytest.fixture(params=["accounting", "no_accounting"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Return each kind of cluster, with an empty queue and two nodes that are there."""
    name = {"accounting": "slurm", "no_accounting": "slurm_without_accounting"}[request.param]
    found: Cluster = request.getfixturevalue(name)
    found.refresh()
    yield found
    found.cancel_all()


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    """Count the calls of Slurm's commands."""
    return Calls(tmp_path / "calls")


@pytest.fixture
def deeds(cluster: Cluster, calls: Calls, tmp_path: Path) -> Project:
    """Return an app whose jobs do what they are told, on each kind of cluster."""
    return write_app(tmp_path / "project", cluster, calls)
