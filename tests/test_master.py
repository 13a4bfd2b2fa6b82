"""The base that is taken from the sweep's own config is the one that Hydra would compose, or is not taken."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict

from parcache.hydra.master import without_task_overrides
from parcache.hydra.nodes import is_same
from tests.compositions import Sweep
from tests.config_trees import surroundings
from tests.conftest import Project

PLAIN = {
    "config.yaml": "defaults: [{model: a}, {db@store: b}, base, _self_]\nx: 1\ny: ${x}\nat: ${now:%f}\nm: ???\n",
    "base.yaml": "z: 1\nhydra: {job: {name: n}}\n",
    "model/a.yaml": "defaults: [{/db@inner: b}, shared]\nx: ${..x}\n",
    "model/shared.yaml": "w: 1\n",
    "db/b.yaml": "d: 1\n",
}
CONFIG = PLAIN["config.yaml"]


@pytest.fixture(autouse=True, scope="module")
def _surroundings() -> Iterator[None]:
    with surroundings():
        yield


def taken(sweep: Sweep) -> DictConfig | None:
    parsed = OverridesParser.create().parse_overrides(list(sweep.master.hydra.overrides.hydra))
    _, repository = sweep.loader()._parse_overrides_and_create_caching_repo("config", list(sweep.overrides))
    base: DictConfig | None = without_task_overrides(sweep.master, parsed, repository)
    return base


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["x=1,2"],
        ["x=range(3)", "y='a,b',c", "model=a,b"],
        ["+new=1,2", "hydra.sweep.dir=out", "hydra/job_logging=disabled"],
        ["x=1,2", "hydra.mode=MULTIRUN", "hydra.job.config.override_dirname.kv_sep=-"],
    ],
    ids=str,
)
def test_base_of_a_sweep_over_values_is_what_hydra_composes(tmp_path: Path, overrides: list[str]) -> None:
    """Values, types, flags and caches are those of Hydra's own config of no task overrides."""
    sweep = Sweep(tmp_path, PLAIN, overrides)
    base = taken(sweep)
    assert base is not None
    assert is_same(base, sweep.reference([]))
    assert not is_same(base, sweep.master) or not overrides


DOUBTFUL: dict[str, tuple[Mapping[str, str], list[str]]] = {
    "a fixed value": ({}, ["x=1"]),
    "a fixed choice": ({}, ["model=shared"]),
    "missing choice": ({"config.yaml": CONFIG.replace("model: a", "model: '???'")}, ["model=a,shared"]),
    "missing config": ({"config.yaml": CONFIG.replace("base", "base, '???'")}, []),
    "missing config in a folder": ({"config.yaml": CONFIG.replace("base", "base, 'db/???'")}, []),
    "missing config in a config": ({"base.yaml": "defaults: ['???']\nz: 1\n"}, []),
    "missing config in an option": ({"model/a.yaml": "defaults: ['???']\nx: 1\n"}, []),
    "missing config in an option's config": ({"model/shared.yaml": "defaults: ['???']\nw: 1\n"}, []),
    "missing among options": ({"config.yaml": CONFIG.replace("model: a", "model: [a, '???']")}, []),
    "interpolated choice": (
        {"config.yaml": CONFIG.replace("db@store: b", "db@store: '${model}'"), "db/a.yaml": "d: 2\n"},
        [],
    ),
    "copied variable": ({"base.yaml": "hydra: {job: {env_copy: [PATH]}}\n"}, ["x=1,2"]),
    "callbacks": ({"base.yaml": "hydra: {callbacks: {mine: {_target_: nobody.Knows}}}\n"}, ["x=1,2"]),
    "other sweeper": ({"base.yaml": "hydra: {sweeper: {_target_: nobody.Knows}}\n"}, ["x=1,2"]),
    "overrides from a file": ({"base.yaml": "hydra: {overrides: {task: ['x=1,2']}}\n"}, []),
    "overrides from a package": ({"base.yaml": "# @package hydra\noverrides: {task: ['x=1,2']}\n"}, []),
    "overrides from a package of their own": ({"base.yaml": "# @package hydra.overrides\ntask: ['x=1,2']\n"}, []),
    "overrides from the command line": ({}, ["hydra.overrides.task=['x=1,2']"]),
    "mode from a file": ({"base.yaml": "hydra: {mode: MULTIRUN}\n"}, ["x=1,2"]),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_base_of_a_sweep_in_doubt_is_not_taken(tmp_path: Path, case: str) -> None:
    """Where a job of no task overrides may be something else than the sweep, or fail, Hydra composes it."""
    files, overrides = DOUBTFUL[case]
    sweep = Sweep(tmp_path, {**PLAIN, **files}, overrides)
    assert taken(sweep) is None


def test_base_of_a_sweep_in_another_folder_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra lists the working directory of the moment."""
    sweep = Sweep(tmp_path, PLAIN, ["x=1,2"])
    monkeypatch.chdir(os.path.join(tmp_path, "model"))
    assert taken(sweep) is None


def test_base_of_a_sweep_is_apart_from_the_sweep(tmp_path: Path) -> None:
    """What is done to one config shows in none of the other."""
    sweep = Sweep(tmp_path, PLAIN, ["x=1,2"])
    base = taken(sweep)
    assert base is not None
    with open_dict(base):
        base.model.x = 7
        base.hydra.overrides.task.append("changed")
    assert sweep.master.model.x == 1
    assert sweep.master.hydra.overrides.task == ["x=1,2"]


COMPARING = """
    import hydra
    import parcache.hydra.composer as composer
    from parcache.hydra.nodes import is_same

    real = composer.without_task_overrides

    def compared(master, overrides, repository):
        base = real(master, overrides, repository)
        loader = hydra.core.global_hydra.GlobalHydra.instance().config_loader()
        with open("compared.txt", "a") as file:
            file.write(f"{base is not None and is_same(base, loader.load_sweep_config(master, []))}\\n")
        return base

    composer.without_task_overrides = compared

    @hydra.main(config_path="conf", config_name="config", version_base=None)
    def main(cfg):
        return cfg.x

    if __name__ == "__main__":
        main()
"""


def test_sweep_of_an_app_takes_its_own_config_as_base(tmp_path: Path, launcher: list[str]) -> None:
    """What Hydra does to a sweep's config before the first job is composed is not in the base."""
    project = Project(tmp_path / "project").write(app=COMPARING, conf__config_yaml="x: 1\ny: ${x}\nt: ${now:%f}\n")
    project.run("-m", *launcher, "x=1,2", "hydra.sweep.dir=${now:%f}").check()
    assert (project.folder / "compared.txt").read_text() == "True\n"
