"""Dask on a real Grid Engine, by dask-jobqueue."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Project
from tests.grid_engine.engine import GridEngine
from tests.slurm.daemons import wait_for
from tests.sweeping import processes_of

PROFILE = """
    defaults: [dask, _self_]
    cluster:
      _target_: dask_jobqueue.SGECluster
      cores: 1
      memory: 400MB
      walltime: '00:10:00'
      interface: lo
      log_directory: {folder}
      local_directory: {folder}
      resource_spec: h_rt=600
      job_extra_directives: ['-V']
    scale: 2
"""


def test_dask_on_grid_engine_runs_a_sweep_and_takes_its_workers_back(grid_engine: GridEngine, tmp_path: Path) -> None:
    """Jobs run in the engine's jobs, are stored, and its queue is empty afterwards."""
    project = Project(tmp_path / "project", {**grid_engine.variables, "PATH": grid_engine.env["PATH"]})
    project.write(
        app="""
        import os
        import hydra

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            return os.environ["JOB_ID"]

        if __name__ == "__main__":
            main()
        """,
        conf__config_yaml="x: 0\n",
        conf__hydra__launcher__backend__here_yaml=PROFILE.format(folder=tmp_path),
    )
    dask = ("-m", "hydra/launcher=parcache", "hydra/launcher/backend=here", "hydra.sweep.dir=out", "x=range(20)")
    result = project.run(*dask).check()
    assert result.summary.startswith("20 jobs: 0 hits, 20 misses, 0 failed")
    wait_for(lambda: not grid_engine.jobs(), "an empty queue", 60)
    assert processes_of(project) == []
