"""One composition for each job of a sweep: what is keyed is what is shipped and what runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.conftest import Project

EDITING = """
    import json
    import os
    import time
    import hydra
    from omegaconf import OmegaConf
    from hydra.core.hydra_config import HydraConfig

    @hydra.main(config_path="conf", config_name="config", version_base=None)
    def main(cfg):
        if cfg.x == 0 and cfg.kind == "a" and os.environ.get("EDIT"):
            for name, text in json.loads(os.environ["EDIT"]).items():  # not read before: it would be an input
                with open(os.path.join(os.environ["PROJECT"], "conf", name + ".yaml"), "w") as file:
                    file.write(text)
        with open(os.environ["RUNS"], "a") as file:
            file.write(json.dumps(OmegaConf.to_container(cfg, resolve=True)) + "\\n")
        return OmegaConf.to_container(cfg, resolve=True)

    if __name__ == "__main__":
        main()
"""


@pytest.fixture
def edited(tmp_path: Path) -> Project:
    """An app whose first job edits the configs of the sweep that it is part of."""
    return Project(tmp_path / "project", {"PROJECT": str(tmp_path / "project")}).write(
        app=EDITING,
        conf__config_yaml="defaults: [{model: a}, _self_]\nx: 1\nround: 1\nboth: ${round}-${inner.round}\n",
        conf__model__a_yaml="# @package _global_\nkind: a\ninner: {round: 1}\n",
        conf__model__b_yaml="# @package _global_\nkind: b\ninner: {round: 1}\n",
    )


def ran(project: Project) -> list[dict[str, object]]:
    return [json.loads(line) for line in project.runs.read_text().splitlines()]


@pytest.mark.parametrize("batch", ["null", "10"])
def test_sweep_edited_in_its_yaml_while_it_runs_runs_what_it_was_keyed_by(
    edited: Project, launcher: list[str], batch: str
) -> None:
    """40 jobs run the config that was composed for them, their files say so, and a hit brings that job's result."""
    sweep = ["-m", *launcher, "model=a,b", "x=range(20)", f"hydra.sweeper.max_batch_size={batch}"]
    before = {name: (edited.folder / "conf" / f"{name}.yaml").read_text() for name in ("config", "model/a", "model/b")}
    after = {name: text.replace("round: 1", "round: 2") for name, text in before.items()}
    edited.run(*sweep, "hydra.sweep.dir=first", env={"EDIT": json.dumps(after)}).check()
    assert "round: 2" in (edited.folder / "conf/config.yaml").read_text()
    jobs = ran(edited)
    assert len(jobs) == 40
    assert {job["round"] for job in jobs} == {1}
    assert {job["inner"]["round"] for job in jobs if job["kind"] == "a"} == {1}  # type: ignore[index]
    by_settings = {(job["kind"], job["x"]): job for job in jobs}
    for number in range(40):
        config = OmegaConf.load(edited.folder / "first" / str(number) / ".hydra/config.yaml")
        assert OmegaConf.to_container(config, resolve=True) == by_settings[config.kind, config.x]
    # The edited configs are another sweep: no job of theirs is taken for one of these.
    edited.runs.unlink()
    edited.run(*sweep, "hydra.sweep.dir=second").check()
    assert all(job["round"] == 2 and job["inner"] == {"round": 2} for job in ran(edited))
    # The first ones are stored under what they ran with.
    edited.runs.unlink()
    for name, text in before.items():
        (edited.folder / "conf" / f"{name}.yaml").write_text(text)
    again = edited.run(*sweep, "hydra.sweep.dir=third").check()
    if batch == "null":
        assert not edited.runs.exists(), again.out
    else:  # model/b.yaml was read for the first time after the edit
        assert {job["kind"] for job in ran(edited)} <= {"b"}


def test_sweep_with_an_override_that_does_not_compose_starts_no_job(project: Project, launcher: list[str]) -> None:
    """An error in the last job's overrides is Hydra's own, and comes before the first job."""
    stock = project.run("-m", "x=1,2", "+y=1,'${'")
    ours = project.run("-m", *launcher, "x=1,2", "+y=1,'${'")
    assert ours.code == stock.code
    result = project.run("-m", *launcher, "x=1,2", "z=1,2")
    stock = project.run("-m", "x=1,2", "z=1,2")
    assert result.code == stock.code == 1
    assert result.err == stock.err
    assert "To append to your config use +z=1" in result.err
    assert not project.runs.exists() or len(project.executions()) == 4  # two of each of the first pair


@pytest.mark.parametrize(
    "swept",
    [
        "x=1,2",
        "+y=1,2",
        "model=a,b",
        "x='a b',null",
        "hydra.job.name=n x=1,2",
        "hydra.sweep.subdir=${hydra.job.num} x=1,2",
        "~x,",
    ],
)
def test_sweep_files_are_those_that_hydra_writes(edited: Project, launcher: list[str], swept: str) -> None:
    """config.yaml and overrides.yaml equal those of the basic launcher; hydra.yaml but for the launcher itself."""
    if swept == "~x,":
        overrides = ["x=1", "~inner.round=1", "both=1,2"]
    else:
        overrides = swept.split(" ") if "'" not in swept else [swept]
    edited.run("-m", *overrides, "hydra.sweep.dir=out").check()
    (edited.folder / "out").rename(edited.folder / "stock")
    for warmth in ("cold", "warm"):
        edited.run("-m", *launcher, *overrides, "hydra.sweep.dir=out").check()
        for number in range(2):
            ours, theirs = (edited.folder / name / str(number) / ".hydra" for name in ("out", "stock"))
            for name in ("config.yaml", "overrides.yaml"):
                assert (ours / name).read_bytes() == (theirs / name).read_bytes(), warmth
            ours_hydra, theirs_hydra = OmegaConf.load(ours / "hydra.yaml"), OmegaConf.load(theirs / "hydra.yaml")
            for config in (ours_hydra, theirs_hydra):
                del config.hydra["launcher"], config.hydra.overrides["hydra"]
                for choice in ("hydra/launcher", "hydra/launcher/backend"):
                    config.hydra.runtime.choices.pop(choice, None)
            assert OmegaConf.to_yaml(ours_hydra) == OmegaConf.to_yaml(theirs_hydra), warmth
        (edited.folder / "out").rename(edited.folder / warmth)
