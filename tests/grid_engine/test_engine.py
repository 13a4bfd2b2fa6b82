"""The Grid Engine that the tests bring up is a real one, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.grid_engine import why_not
from tests.grid_engine.engine import GridEngine
from tests.slurm.daemons import started_at, wait_for
from tests.slurm.requirement import need

pytestmark = pytest.mark.any_hydra


def test_job_runs_and_writes_where_it_is_told(grid_engine: GridEngine, tmp_path: Path) -> None:
    """A job of several slots runs to its end."""
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\necho slots $NSLOTS\n")
    grid_engine.run("qsub", "-sync", "y", "-pe", "smp", "2", "-j", "y", "-o", f"{tmp_path}/out", str(script))
    assert "slots 2" in (tmp_path / "out").read_text()
    assert grid_engine.jobs() == []


def test_engine_down_ends_every_process_and_removes_the_folder(tmp_path: Path) -> None:
    """The daemons, and the jobs that run, are gone; another engine beside it is none of its business."""
    need(why_not())
    with tempfile.TemporaryDirectory(prefix="sge-") as folder:
        spare = GridEngine(Path(folder))
        spare.up()
        script = tmp_path / "job.sh"
        script.write_text("#!/bin/sh\nsleep 300\n")
        spare.run("qsub", "-j", "y", "-o", f"{tmp_path}/out", str(script))
        # Its state is "r" before the job's shell is there.
        wait_for(lambda: len(spare.daemons.strays()) >= 4, "the job's processes", 120)
        running = spare.daemons.strays()
        spare.down()
        assert [pid for pid in running if started_at(pid)] == []
        assert not spare.folder.exists()
        spare.folder.mkdir()
