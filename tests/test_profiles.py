"""Every profile that ships composes, passes its backend's checks, and asks for what its golden file says."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.version import VersionBase
from omegaconf import DictConfig

from parcache.backends import create, per_job_settings
from parcache.backends.slurm import settings as slurm
from parcache.hydra.settings import Settings, read_settings
from tests.conftest import HYDRA_13, Project

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted(path.stem for path in (ROOT / "conf/hydra/launcher/backend").glob("*.yaml"))
EXAMPLE = ROOT / "examples/cluster_profiles"
OWN = sorted(path.stem for path in (EXAMPLE / "conf/hydra/launcher/backend").glob("*.yaml"))
GOLDEN = Path(__file__).parent / "golden"
DOCUMENTED = (
    *("laptop", "gpus", "slurm_cpu", "slurm_gpu", "slurm_short"),
    *("dask_local", "dask_slurm", "dask_pbs", "dask_sge"),
)


def composed(*overrides: str, folder: Path | None = None) -> DictConfig:
    """Return a whole config in which a profile is chosen."""
    GlobalHydra.instance().clear()
    name = None if folder is None else "config"
    base = {"version_base": None} if HYDRA_13 else {}
    known = VersionBase.instance()
    before = vars(known).copy()
    try:
        return _composed(name, str(folder or ROOT / "conf"), overrides, base)
    finally:
        vars(known).update(before)  # initialize() sets it for the whole process


def _composed(name: str | None, folder: str, overrides: Sequence[str], base: Mapping[str, Any]) -> DictConfig:
    with hydra.initialize_config_dir(folder, **base):
        return hydra.compose(name, ["hydra.runtime.cwd=/", *overrides], return_hydra_config=True)


def settings(*overrides: str, folder: Path | None = None) -> Settings:
    return read_settings(composed(*overrides, folder=folder), {}, per_job_settings)


def profile(name: str) -> Settings:
    folder = EXAMPLE / "conf" if name in OWN else None
    return settings("hydra/launcher=parcache", f"hydra/launcher/backend={name}", folder=folder)


@pytest.mark.parametrize("name", [*SHIPPED, *OWN])
def test_profile_composes_and_its_backend_takes_its_settings(name: str) -> None:
    """What is misspelled or cannot be is refused when the backend is made."""
    found = profile(name)
    assert create(found.backend_name, found.backend)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_profile_that_the_docs_name_ships(name: str) -> None:
    """Each is there and says in its first line what it is for."""
    first = (ROOT / f"conf/hydra/launcher/backend/{name}.yaml").read_text().splitlines()[0]
    assert re.match(r"# \w+", first)


def test_whole_launcher_takes_its_backend_and_keeps_the_other_settings() -> None:
    """One word chooses the site's backend, and retries with it."""
    found = settings("hydra/launcher=cluster", folder=EXAMPLE / "conf")
    assert (found.backend_name, found.backend["partition"], found.limits.retries) == ("slurm", "main", 2)
    assert found.varying == ("timeout_min", "mem_gb")


def test_profiles_resources_come_from_the_jobs_own_config(tmp_path: Path) -> None:
    """The two models ask for two sizes of memory, in two arrays; what ran there is a hit here."""
    shutil.copytree(EXAMPLE, tmp_path / "app")
    project = Project(tmp_path / "app")
    sweep = ("-m", "model=small,large", "lr=0.1,0.2")
    local = "hydra.launcher.backend.cluster=local"
    result = project.run(*sweep, "hydra/launcher=cluster", local, script="train.py").check()
    assert "4 jobs: 0 hits, 4 misses, 0 failed" in result.summary
    again = project.run(*sweep, "hydra/launcher=parcache", script="train.py").check()
    assert "4 jobs: 4 hits" in again.summary


def golden(name: str, text: str) -> None:
    """Compare a text with a file that is read by people, too."""
    path = GOLDEN / name
    if os.environ.get("PARCACHE_WRITE_GOLDEN"):
        path.write_text(text)
    assert path.exists(), f"no golden file {name}: look at the text, then write it with PARCACHE_WRITE_GOLDEN=1"
    assert text == path.read_text()


def sbatch_text(found: Settings, own: Mapping[str, Any]) -> str:
    """Return the batch script of an array of eight tasks."""
    from submitit.slurm.slurm import _make_sbatch_string

    asked = create(found.backend_name, found.backend)._settings  # type: ignore[attr-defined]
    resources = slurm.resources(asked, own, "train")
    text: str = _make_sbatch_string(
        command="python -m parcache.backends.slurm.task /SPOOL 0 /LOGS",
        folder="/LOGS",
        map_count=8,
        array_parallelism=asked.at_once,
        **resources.parameters,
    )
    return text.replace(sys.executable, "PYTHON")


@pytest.mark.parametrize("name", [*(each for each in SHIPPED if each.startswith("slurm")), *OWN])
def test_slurm_profile_asks_for_what_its_golden_script_says(name: str) -> None:
    """A change of what a user's jobs are given is seen when it is made."""
    found = profile(name)
    own = {"mem_gb": 2, "timeout_min": 240} if name in OWN else {}
    golden(f"sbatch_{name}.sh", sbatch_text(found, own))


@pytest.mark.parametrize("name", [each for each in SHIPPED if each.startswith("dask_") and each != "dask_local"])
def test_dask_profile_asks_for_what_its_golden_script_says(name: str) -> None:
    """The script is dask-jobqueue's; the settings are the profile's."""
    import dask_jobqueue

    cluster = dict(profile(name).backend["cluster"])
    kind = getattr(dask_jobqueue, cluster.pop("_target_").rpartition(".")[2]).job_cls
    job = kind(scheduler="tcp://HOST:8786", name="train", **cluster)
    golden(f"dask_jobqueue_{name}.sh", str(job.job_script()).replace(sys.executable, "PYTHON"))
