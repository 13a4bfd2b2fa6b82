"""A base and its variations: what a job's task, HydraConfig and JobReturn hold is what Hydra makes."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from parcache.hydra.base import Base, Variation, live_hydra_config
from parcache.hydra.composer import SweepComposer
from parcache.hydra.nodes import Deferred, clone, is_same, is_untouched

pytestmark = pytest.mark.filterwarnings("ignore:The version_base parameter")  # 1.4 wants it left out, 1.3 needs it

CONFIG = """
lr: 0.1
model: {depth: 2, widths: [1, 2, {a: "${lr}"}]}
name: ${model.depth}
hydra:
  sweep: {subdir: "${hydra.job.num}_${lr}"}
  job: {env_set: {A: "1"}}
"""


@pytest.fixture
def sweep(tmp_path: Path) -> tuple[SweepComposer, DictConfig]:
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    with initialize_config_dir(str(tmp_path), version_base=None):
        hydra: Any = GlobalHydra.instance().hydra
        loader = hydra.config_loader
        return SweepComposer(loader), loader.load_configuration("config", [], RunMode.MULTIRUN)


def job(sweep: tuple[SweepComposer, DictConfig]) -> tuple[Base, Variation, DictConfig]:
    """Return a job both ways: as base and variation, and as Hydra's launcher and run_job leave it."""
    composer, master = sweep
    overrides = ["lr=0.5", "model.depth=4"]
    composed = composer.compose(master, overrides)
    made = composed.variation
    placed = Variation(made.changes, made.overrides, made.dirname, 3, "out/3", "/somewhere/out/3")
    stock = composer.loader.load_sweep_config(master, overrides)
    with open_dict(stock):
        stock.hydra.job.id = "3"
        stock.hydra.job.num = 3
    with read_write(stock.hydra.runtime), open_dict(stock.hydra.runtime):
        stock.hydra.runtime.output_dir = "/somewhere/out/3"
    return composed.base, placed, stock


def test_base_configs_of_a_job_are_those_that_run_job_makes(sweep: tuple[SweepComposer, DictConfig]) -> None:
    """Types, flags, keys and their order, values: all nodes are the same."""
    base, variation, stock = job(sweep)
    holder: Any = object.__new__(HydraConfig)
    HydraConfig.set_config(holder, stock)
    task = copy.deepcopy(stock)
    with read_write(task), open_dict(task):
        del task["hydra"]
    whole = base.whole_config(variation)
    live = live_hydra_config(whole)
    assert is_same(whole, stock)
    assert is_same(live, holder.cfg)
    assert live.hydra.sweep.subdir == holder.cfg.hydra.sweep.subdir == "3_0.5"
    assert is_same(base.task_config(variation), task)
    assert base.setting(("hydra", "sweep", "subdir"), variation) == "3_0.5"


def test_job_that_the_sweeper_has_validated_is_composed_once(
    sweep: tuple[SweepComposer, DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher gets what validation has composed, a second job of the same overrides one of its own."""
    composer, master = sweep
    composed: list[list[str]] = []
    usual = SweepComposer._varied

    def counted(self: SweepComposer, config: DictConfig, overrides: Any) -> Any:
        composed.append(list(overrides))
        return usual(self, config, overrides)

    monkeypatch.setattr(SweepComposer, "_varied", counted)
    validated = composer.load_sweep_config(master, ["lr=0.5"])
    assert validated.lr == 0.5
    launched = composer.compose(master, ["lr=0.5"])
    assert composed == [["lr=0.5"]]
    assert is_same(launched.config(), validated)
    assert is_same(composer.compose(master, ["lr=0.5"]).config(), launched.config())
    assert composed == [["lr=0.5"], ["lr=0.5"]]


def test_base_jobs_share_nothing_that_can_change(sweep: tuple[SweepComposer, DictConfig]) -> None:
    """What a task does to its config is not seen by the next job."""
    base, variation, _ = job(sweep)
    before = OmegaConf.to_yaml(base.task_config(variation))
    config = base.task_config(variation)
    config.model.widths[2].a = 7
    config.model.widths.append(9)
    OmegaConf.set_struct(config, False)
    config.new = 1
    assert OmegaConf.to_yaml(base.task_config(variation)) == before
    with pytest.raises(Exception, match="new"):
        base.task_config(variation).new = 1


def test_base_after_a_pickle_makes_the_same_jobs(sweep: tuple[SweepComposer, DictConfig]) -> None:
    """A worker makes the configs that the sweeping process would make."""
    base, variation, _ = job(sweep)
    arrived, own = pickle.loads(pickle.dumps((base, variation)))
    assert is_same(arrived.whole_config(own), base.whole_config(variation))
    assert is_same(arrived.task_config(own), base.task_config(variation))


def test_deferred_config_is_made_once_and_is_a_config_from_then_on() -> None:
    """Whatever touches it first; threads that touch it together see one config."""
    made: list[int] = []

    def make() -> DictConfig:
        made.append(1)
        return OmegaConf.create({"a": {"b": 1}, "c": "${a.b}"})

    for touch in (len, repr, copy.copy, copy.deepcopy, pickle.dumps, lambda c: c.a.b, lambda c: c == {}, iter):
        made.clear()
        config = Deferred(make)
        assert is_untouched(config)
        assert not made
        touch(config)
        assert made == [1]
        assert type(config) is DictConfig
        assert config.c == 1
        assert config.a._get_parent() is config
    made.clear()
    config = Deferred(make)
    threads = [threading.Thread(target=lambda: config.a.b) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_clone_is_deep_and_is_same_sees_every_difference() -> None:
    """A copy is the same and independent; a value, type, flag, key or order that differs is a difference."""
    config = OmegaConf.create({"a": 1, "b": {"c": [1, 2.0, "x"]}, "d": None, "e": "???", "f": "${a}"})
    same = clone(config)
    assert is_same(config, same)
    same.b.c[0] = 5
    assert config.b.c[0] == 1
    others = [
        {"a": True, "b": {"c": [1, 2.0, "x"]}, "d": None, "e": "???", "f": "${a}"},
        {"b": {"c": [1, 2.0, "x"]}, "a": 1, "d": None, "e": "???", "f": "${a}"},
        {"a": 1, "b": {"c": [1, 2, "x"]}, "d": None, "e": "???", "f": "${a}"},
        {"a": 1, "b": {"c": [1, 2.0]}, "d": None, "e": "???", "f": "${a}"},
        {"a": 1, "b": {"c": [1, 2.0, "x"]}, "d": None, "e": "???", "f": "${b}"},
    ]
    for other in others:
        assert not is_same(config, OmegaConf.create(other))
    locked = clone(config)
    OmegaConf.set_readonly(locked.b, True)
    assert not is_same(config, locked)
