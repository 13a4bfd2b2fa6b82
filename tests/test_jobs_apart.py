"""What belongs to one job of a sweep is that job's own, whatever its neighbours from the same base are given."""

from __future__ import annotations

import ast
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import Project

HYDRA_13 = version("hydra-core").startswith("1.3")
APP = """
    import os
    from importlib.metadata import version
    import hydra
    from omegaconf import OmegaConf
    from hydra.core.hydra_config import HydraConfig

    # Each OmegaConf deprecates the other's name: 2.4 the long one, 2.3 the short one.
    old = version("omegaconf").startswith("2.3")
    register = getattr(OmegaConf, "register_new_resolver" if old else "register_resolver")
    register("square", lambda value: int(value) ** 2, use_cache=True, replace=True)
    register("jobnum", lambda: HydraConfig.get().job.num, replace=True)
    register("told", lambda: ",".join(HydraConfig.get().overrides.task), replace=True)
    register("unique", lambda: os.urandom(4).hex(), use_cache=True, replace=True)

    @hydra.main(config_path="conf", config_name="config", version_base=None)
    def main(cfg):
        seen = {
            "type": type(cfg).__name__,
            "config": OmegaConf.to_container(cfg, resolve=True),
            "folder": os.path.basename(HydraConfig.get().runtime.output_dir),
            "subdir": HydraConfig.get().sweep.subdir,
            "env": os.environ.get("MADE"),
            "env_set": dict(HydraConfig.get().job.env_set),
            "verbose": HydraConfig.get().verbose,
        }
        with open(os.environ["RUNS"], "a") as file:
            file.write(repr(seen) + "\\n")
        return seen["config"]

    if __name__ == "__main__":
        main()
"""


@pytest.fixture
def seen(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A function that runs a sweep over a config, stock or not, and returns what its jobs saw and the folders."""

    def run(
        config: str, *overrides: str, fails: bool | None = False
    ) -> tuple[list[dict[str, object]] | list[str], list[str]]:
        project = Project(tmp_path / "project").write(app=APP, conf__config_yaml=config)
        project.runs.unlink(missing_ok=True)
        target = project.folder / "out"
        if target.exists():
            target.rename(project.folder / f"out{len(list(project.folder.glob('out*')))}")
        result = project.run("-m", *overrides, "hydra.sweep.dir=out")
        if fails or (fails is None and result.code == 1):
            assert result.code == 1
            return re.findall(r"^\S*Error: .*", result.err, re.M), []
        result.check()
        ran = (
            [ast.literal_eval(line) for line in project.runs.read_text().splitlines()] if project.runs.exists() else []
        )
        key = str
        return sorted(ran, key=key), sorted(item.name for item in target.iterdir() if item.is_dir())

    return run


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        ("x: 0\ny: ${square:${x}}\n", ["x=1,2,3"]),
        ("x: 0\ny: ${jobnum:}\n", ["x=1,2"]),
        ("x: 0\ny: ${told:}\n", ["x=1,2"]),
        ("x: 0\nhydra: {sweep: {subdir: '${oc.env:NOT_SET,u}_${x}'}}\n", ["x=1,2"]),
        ("x: 0\nfoo: {a: 1}\nhydra: {sweep: {subdir: '${hydra.job.override_dirname}'}}\n", ["x=1,2", "+yy='${foo.a}'"]),
        ("gpu: ???\nhydra: {job: {env_set: {MADE: '${gpu}'}}}\n", ["gpu=1,2"]),
        ("tag: ???\nhydra: {output_subdir: '.hydra_${tag}'}\n", ["tag=b,c"]),
        ("x: 0\nloud: false\nhydra: {verbose: '${loud}'}\n", ["x=1,2", "loud=true"]),
        ("x: 0\nhydra: {job: {env_set: {A: '${oc.env:NOT_SET,none}:b', MADE: '${oc.env:A,none}:c'}}}\n", ["x=1,2"]),
        ("m: {l: [1, 2], sub: {a: 1}}\nmm: ${m}\n", ["m.sub.a=7,8", "m.l=[3]"]),
    ],
)
def test_jobs_see_what_stock_jobs_see(seen, apart: list[str], config: str, overrides: list[str]) -> None:  # type: ignore[no-untyped-def]
    """Config, folder, environment and HydraConfig of each job are those that the basic launcher gives it."""
    fails = HYDRA_13 and "'${gpu}'" in config  # 1.3 resolves env_set in a copy of the hydra node alone
    stock = seen(config, *overrides, fails=fails)
    assert seen(config, *apart, *overrides, fails=fails) == stock
    assert stock[0]


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        ("x: 0\n", ["+hydra.job.env_set.MADE='???'"]),
        ("x: 0\nenvs: {MADE: 1}\n", ["hydra.job.env_set=${envs}"]),
    ],
)
def test_job_whose_environment_cannot_be_set_leaves_what_a_stock_job_leaves(  # type: ignore[no-untyped-def]
    seen, tmp_path: Path, launcher: list[str], config: str, overrides: list[str]
) -> None:
    """The error and the files of a job that ends before its task are those of the basic launcher."""
    stock = seen(config, "x=1", *overrides, fails=None)
    left = left_by_jobs(tmp_path / "project" / "out")
    assert seen(config, *launcher, "x=1", *overrides, fails=None) == stock
    assert left_by_jobs(tmp_path / "project" / "out") == left


def left_by_jobs(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.glob("0/**/*"))


def test_environment_that_belongs_to_the_key_is_read_in_the_job_own_config(tmp_path: Path) -> None:
    """Two groups with equal contents are two jobs where a variable in cache.env is made of the group's name."""
    project = Project(tmp_path / "project").write(
        app=APP,
        conf__config_yaml="""
            defaults: [m: a, _self_]
            x: 0
            hydra: {job: {env_set: {MADE: '${hydra:runtime.choices.m}'}}}
            """,
        conf__m__a_yaml="v: 1\n",
        conf__m__b_yaml="v: 1\n",
        study="""
            import hydra, os, parcache
            from hydra.core.hydra_config import HydraConfig
            from app import main

            with hydra.initialize(config_path="conf", version_base=None):
                HydraConfig.instance().set_config(hydra.compose("config", return_hydra_config=True))
                parcache.sweep(main, overrides=["m=a,b", "hydra.launcher.cache.env=[MADE]"], backend="serial")
            """,
    )
    result = project.run(script="study.py").check()
    assert "2 misses" in result.out
    again = project.run("-m", "hydra/launcher=parcache", "hydra.launcher.cache.env=[MADE]", "m=a,b").check()
    assert "run without a cache" not in again.out
    assert "2 jobs" in again.summary
    assert len(project.entries()) >= 2


def test_jobs_of_a_cached_resolver_are_keyed_each_by_its_own_value(seen, launcher: list[str]) -> None:  # type: ignore[no-untyped-def]
    """A resolver that caches by the text of its arguments gives each job its own value, in its key as well."""
    config = "x: 0\ny: ${square:${x}}\n"
    ran, _ = seen(config, *launcher, "hydra.launcher.cache.ignore=[x]", "x=0,2")
    assert [job["config"]["y"] for job in ran] == [0, 4]
    ran, _ = seen(config, *launcher, "hydra.launcher.cache.ignore=[x]", "x=3,2")
    assert [job["config"]["y"] for job in ran] == [9]


def test_jobs_keyed_by_their_number_are_not_taken_for_others(seen, launcher: list[str]) -> None:  # type: ignore[no-untyped-def]
    """A value that a resolver makes of the job's number counts as the value that the job sees."""
    config = "x: 0\ny: ${jobnum:}\n"
    seen(config, *launcher, "x=1,2")
    ran, _ = seen(config, *launcher, "x=2,1")
    assert {(job["config"]["x"], job["config"]["y"]) for job in ran} == {(2, 0), (1, 1)}


@pytest.mark.parametrize("subdir", ["${now:%H-%M-%S-%f}", "${id}"])
def test_jobs_named_by_what_differs_each_time_have_folders_of_their_own(  # type: ignore[no-untyped-def]
    seen, launcher: list[str], subdir: str
) -> None:
    """A folder named by a time or by a made-up id is the job's own, and the job sees that same name."""
    ran, folders = seen(f"x: 0\nid: ${{unique:}}\nhydra: {{sweep: {{subdir: '{subdir}'}}}}\n", *launcher, "x=1,2")
    assert len(folders) == 2
    assert sorted(str(job["folder"]) for job in ran) == folders
    assert all(job["subdir"] == job["folder"] for job in ran)
    if subdir == "${id}":
        assert sorted(job["config"]["id"] for job in ran) == folders  # type: ignore[index]


@pytest.mark.skipif(
    version("omegaconf").startswith("2.3"), reason="OmegaConf 2.3 does not assign through interpolations"
)
def test_job_whose_override_reaches_another_through_an_interpolation_is_as_stock(seen, launcher: list[str]) -> None:  # type: ignore[no-untyped-def]
    """Overrides are applied in their order, also where one reaches the other's key by an alias."""
    config = "m: {l: [1, 2], sub: {a: 1}}\nmm: ${m}\n"
    assert seen(config, *launcher, "m.sub.a=7", "mm.sub={a:5}") == seen(config, "m.sub.a=7", "mm.sub={a:5}")
