"""Dask on a real Grid Engine, by dask-jobqueue: a sweep runs in Grid Engine's jobs and takes them back."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Project
from tests.grid_engine.engine import GridEngine
from tests.slurm.daemons import wait_for
from tests.sweeping import processes_of

PROFILE = """
    defaults: [dask_sge, _self_]
    cluster:
      cores: 2
      processes: 2
      memory: 800MB
      walltime: '00:10:00'
      interface: lo
      job_extra_directives: ['-pe smp 2', -V]
      log_directory: {folder}
      local_directory: {folder}
"""


def test_dask_on_grid_engine_runs_a_sweep_and_takes_its_workers_back(grid_engine: GridEngine, tmp_path: Path) -> None:
    """A site's overlay over the profile that is shipped: jobs run as Grid Engine's, are stored, none is left behind."""
    project = Project(tmp_path / "project", grid_engine.variables).write(
        app="""
        import os
        import hydra

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            with open(os.environ["RUNS"], "a") as file:
                file.write(f"{cfg.x}:{os.environ['JOB_ID']}:{os.environ['NSLOTS']}\\n")
            return cfg.x * 10

        if __name__ == "__main__":
            main()
        """,
        conf__config_yaml="x: 0\n",
        conf__hydra__launcher__backend__here_yaml=PROFILE.format(folder=tmp_path),
    )
    launcher = ("-m", "hydra/launcher=parcache", "hydra/launcher/backend=here", "x=range(12)")
    result = project.run(*launcher).check()
    assert result.summary.startswith("12 jobs: 0 hits, 12 misses, 0 failed")
    ran = [line.split(":") for line in project.executions()]
    assert sorted(int(x) for x, _, _ in ran) == list(range(12))
    assert all(job.isdigit() and slots == "2" for _, job, slots in ran)
    wait_for(lambda: grid_engine.jobs() == [], "no job is left", 240)
    assert processes_of(project) == []
    assert "12 hits, 0 misses" in project.run(*launcher).check().summary
