"""The cluster that the tests bring up is a real one, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, why_not
from tests.slurm.configuration import PARTITIONS
from tests.slurm.counting import Calls
from tests.slurm.daemons import ClusterError, Daemons, started_at, wait_for
from tests.slurm.requirement import need

pytestmark = pytest.mark.any_hydra


@pytest.fixture
def spare() -> Iterator[Cluster]:
    """Return a cluster of the test's own, not brought up."""
    need(why_not(accounting=False))
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        found = Cluster(Path(folder) / "c")
        yield found
        found.down()


def test_cluster_up_has_two_idle_nodes_and_all_partitions(cluster: Cluster) -> None:
    """Both nodes can take jobs, and every partition is listed."""
    assert cluster.node_states() == dict.fromkeys(cluster.nodes, "idle")
    assert set(cluster.run("sinfo", "--noheader", "--format=%R").split()) == set(PARTITIONS)


def test_cluster_batch_job_runs_on_the_node_that_it_names(cluster: Cluster, tmp_path: Path) -> None:
    """A job runs, on either node, and writes where it is told."""
    for node in cluster.nodes:
        out = tmp_path / node
        cluster.run("sbatch", "--wait", f"--nodelist={node}", f"--output={out}", "--wrap=echo $SLURMD_NODENAME")
        assert out.read_text().split() == [node]


def test_cluster_job_in_a_partition_that_is_down_waits_with_the_reason(cluster: Cluster) -> None:
    """Slurm says why a job does not start."""
    job = cluster.run("sbatch", "--parsable", "--partition=down", "--wrap=true").strip()
    wait_for(lambda: cluster.queue() == [f"{job} PENDING PartitionDown "], "PartitionDown", 120)


def test_accounting_knows_the_end_of_a_job_and_its_absence_is_said(
    slurm: Cluster, slurm_without_accounting: Cluster, tmp_path: Path
) -> None:
    """Sacct answers on the one cluster and refuses on the other."""
    job = slurm.run("sbatch", "--wait", "--parsable", f"--output={tmp_path}/out", "--wrap=true").strip()
    states = ["sacct", "--noheader", "-X", f"--jobs={job}", "--format=State"]
    wait_for(lambda: slurm.run(*states).split() == ["COMPLETED"], "sacct", 120)
    with pytest.raises(ClusterError, match="accounting storage is disabled"):
        slurm_without_accounting.run("sacct")


def test_two_clusters_side_by_side_do_not_see_each_other_s_jobs(
    slurm_without_accounting: Cluster, spare: Cluster
) -> None:
    """A queue belongs to one cluster."""
    spare.up(accounting=False)
    spare.run("sbatch", "--hold", "--wrap=true")
    assert len(spare.queue()) == 1
    assert slurm_without_accounting.queue() == []


def test_cluster_down_ends_every_process_and_removes_the_folder(spare: Cluster) -> None:
    """Daemons, the steps of jobs and the jobs themselves are gone."""
    spare.up(accounting=False)
    spare.run("sbatch", "--output=/dev/null", "--wrap=sleep 300")
    # Slurm tells of a job before its processes are there.
    wait_for(lambda: len(spare.daemons.strays()) > 5, "the job's processes", 120)
    running = spare.daemons.strays()
    spare.down()
    assert [pid for pid in running if started_at(pid)] == []
    assert not spare.folder.exists()


def test_cluster_up_after_its_daemons_were_killed_works(spare: Cluster) -> None:
    """What a killed one has left is put away."""
    spare.up(accounting=False)
    for pid in spare.daemons.strays():
        with suppress(ProcessLookupError):  # some end with their parent
            os.kill(pid, signal.SIGKILL)
    Cluster(spare.folder).up(accounting=False)
    assert set(spare.node_states().values()) == {"idle"}


def test_daemon_whose_number_another_process_has_is_not_ended(tmp_path: Path) -> None:
    """The time of its start tells a process from a later one with its number."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / "d.pid").write_text(f"{other.pid} 1\n")
    daemons = Daemons(tmp_path, os.environ)
    daemons.stop("d")
    assert other.poll() is None
    other.kill()
    other.communicate()


def test_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Nobody's files are removed for a wrong --folder."""
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ClusterError, match="not the folder of a Slurm"):
        Cluster(tmp_path).down()
    assert (tmp_path / "thesis.txt").exists()


def test_calls_are_counted_with_their_arguments(slurm_without_accounting: Cluster, calls: Calls) -> None:
    """A program that calls squeue by its name is seen."""
    env = {**slurm_without_accounting.env, **calls.env}
    subprocess.run(["squeue", "--me", "-h"], env=env, check=True)
    assert calls.lines() == ["squeue --me -h"]
    assert calls.queries == 1
