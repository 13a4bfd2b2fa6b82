"""What tasks are given, how they are grouped and split, and how seldom Slurm is asked."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.slurm.cluster import Cluster, why_not
from tests.slurm.counting import Calls
from tests.slurm.requirement import need
from tests.slurm.sweeps import jobs_of, results, sweep, write_app


def test_memory_of_a_job_s_own_config_is_what_its_task_is_given(deeds: Project, calls: Calls) -> None:
    """By interpolation; jobs with the same needs are one array."""
    deeds.write(
        conf__config_yaml="defaults: [_self_, {size: small}]\ndeed: told\nn: 0\n",
        conf__size__small_yaml="mem_gb: 0.25\n",
        conf__size__large_yaml="mem_gb: 0.5\n",
    )
    found = results(deeds, "size=small,large", "n=1,2", "hydra.launcher.backend.mem_gb=${size.mem_gb}")
    assert [each["SLURM_MEM_PER_NODE"] for each in found] == ["256", "256", "512", "512"]
    arrays = Counter(each["SLURM_ARRAY_JOB_ID"] for each in found)
    assert sorted(arrays.values()) == [2, 2]
    assert calls.count("sbatch") == 2


@pytest.mark.parametrize("count", [20, 100])
def test_slurm_is_asked_no_more_often_for_more_jobs(deeds: Project, calls: Calls, count: int) -> None:
    """One command each second at most, whatever the number of jobs, and one to submit them all."""
    began_s = time.monotonic()
    summary = sweep(deeds, "hydra.launcher.backend.tasks=2", f"n=range({count})").check().summary
    lasted_s = time.monotonic() - began_s
    assert f"{count} jobs: 0 hits, {count} misses, 0 failed" in summary
    assert calls.count("sbatch") == 1
    assert calls.count("scancel") <= 1
    looks = calls.count("squeue", "sacct", "scontrol")
    assert looks <= 3 + lasted_s, calls.lines()


def test_array_longer_than_the_site_allows_is_split(calls: Calls, tmp_path: Path) -> None:
    """A site's MaxArraySize is one more than the tasks that an array may have."""
    need(why_not(accounting=False))
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder))
        cluster.up(accounting=False, settings={"MaxArraySize": "5"})
        try:
            deeds = write_app(tmp_path / "project", cluster, calls)
            more = ("hydra.launcher.backend.jobs_per_task=1",)
            found = results(deeds, *more, jobs_of(*["told"] * 9))
        finally:
            cluster.down()
    arrays = Counter(each["SLURM_ARRAY_JOB_ID"] for each in found)
    assert sum(arrays.values()) == 9
    assert max(arrays.values()) <= 5
    assert calls.count("sbatch") == len(arrays) >= 2
