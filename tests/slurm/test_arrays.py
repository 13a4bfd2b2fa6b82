"""What Slurm's own limits do to arrays."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from tests.slurm.cluster import Cluster, why_not
from tests.slurm.counting import Calls
from tests.slurm.requirement import need
from tests.slurm.sweeps import jobs_of, results, write_app


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
