"""The canonical forms of a base's jobs: made of what differs, the same as made from scratch."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from parcache.errors import UnkeyableConfigError
from parcache.hydra.composer import SweepComposer
from parcache.hydra.forms import BaseForms, JobForm

pytestmark = pytest.mark.filterwarnings("ignore:The version_base parameter")  # 1.4 wants it left out, 1.3 needs it

CONFIG = """
lr: 0.1
name: svm
_target_: pkg.models.${name}
size: 3
items: [1, "${lr}", {x: "${size}"}]
copied: ${lr}
text: ${name}-${size}-${nested.depth}
nested:
  depth: 2
  up: ${..size}
  deep: {a: 1, b: "${nested.depth}"}
whole: ${nested}
listed: ${items}
chain: ${copied}
ckpt: ${hydra:runtime.output_dir}/${name}
stamp: ${now:%Y}-${lr}
home: ${oc.env:PARCACHE_TEST_HOME,none}/${name}
decoded: ${oc.decode:'[${lr}, 2]'}
chosen: ${oc.select:nested.depth}
keys: ${oc.dict.keys:nested}
made: ${triple:${size}}
rooted: ${rooted:lr}
job: ${hydra:job.num}
version: ${hydra:runtime.version}
gone: ${not.there}
none: null
missing: ???
escaped: \\${lr}
"""
VALUES = {
    "lr": ["0.2", "3", "abc", "null", "${size}", "'1'", "a.b", "[1,2]"],
    "name": ["forest", "a.b.c", "'x y'", "${lr}"],
    "size": ["4", "4.0", "'4'", "true"],
    "nested.depth": ["5", "${lr}"],
    "nested.deep.a": ["7"],
    "items": ["[1]", "[]", "['${name}']"],
    "none": ["1"],
    "missing": ["2"],
    "text": ["plain"],
    "ckpt": ["here"],
    "whole": ["1"],
}
register: Callable[..., None] = getattr(
    OmegaConf, "register_new_resolver" if version("omegaconf").startswith("2.3") else "register_resolver"
)


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepComposer, DictConfig]:
    return taken_up(tmp_path_factory.mktemp("conf"), CONFIG)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepComposer, DictConfig]:
    """The same without custom resolvers: jobs of a config that has some are looked at in full."""
    return taken_up(
        tmp_path_factory.mktemp("closed"), CONFIG.replace("${triple:${size}}", "1").replace("${rooted:lr}", "1")
    )


def taken_up(folder: Path, config: str) -> tuple[SweepComposer, DictConfig]:
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    with initialize_config_dir(str(folder), version_base=None):
        register("triple", lambda value: f"{value}{value}{value}", replace=True)
        register("rooted", lambda key, *, _root_: _root_[key], replace=True)
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        loader = hydra.config_loader
        master = loader.load_configuration("config", [], RunMode.MULTIRUN)
    return SweepComposer(loader), master


def both(composed: tuple[SweepComposer, DictConfig], overrides: list[str], ignore: list[str]) -> list[JobForm]:
    composer, master = composed
    job = composer.compose(master, overrides)
    assert job.base.is_shared
    return [BaseForms(job.base, ignore).form(job.variation), BaseForms(job.base, ignore)._alone(job.variation)]


CHOICES = [f"{key}={value}" for key, values in VALUES.items() for value in values]
IGNORED = st.sampled_from([[], ["home"], ["nested"], ["nested.*"], ["items.1"], ["whole.deep"], ["lr", "t*"]])


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(CHOICES), min_size=1, max_size=3, unique_by=lambda text: text.partition("=")[0]),
    IGNORED,
)
def test_form_made_of_what_differs_equals_the_form_from_scratch(
    composed: tuple[SweepComposer, DictConfig], overrides: list[str], ignore: list[str]
) -> None:
    """Whatever a job changes, digest, names and open values are those of its whole config."""
    keys = [text.partition("=")[0] for text in overrides]
    if any(a != b and b.startswith(a + ".") for a, b in itertools.permutations(keys, 2)):
        return
    varied, alone = both(composed, overrides, ignore)
    assert varied.digest == alone.digest
    assert varied.names == alone.names
    assert dict(varied.open) == dict(alone.open)


def test_form_asked_for_many_jobs_keeps_no_trace_of_them(composed: tuple[SweepComposer, DictConfig]) -> None:
    """The same job has the same form before and after all others were asked for."""
    composer, master = composed
    jobs = [composer.compose(master, [text]) for text in CHOICES]
    forms = BaseForms(jobs[0].base, [])
    first = [forms.form(job.variation).digest for job in jobs]
    again = [forms.form(job.variation).digest for job in reversed(jobs)]
    assert first == again[::-1]
    assert len(set(first)) == len(first) - 1  # `lr=3` and `lr=${size}` are one value


def test_form_explains_only_what_differs(closed: tuple[SweepComposer, DictConfig]) -> None:
    """The explanation holds the changed values and what they reach; values out of the environment only as digests."""
    varied, _ = both(closed, ["name=forest"], [])
    changes = varied.explanation()["changes"]
    assert changes["$.name"] == "forest"
    assert changes["$.text"] == "forest-3-2"
    assert "<digest>" in changes["$.home"]
    assert "$.lr" not in changes


def test_form_that_tells_the_overrides_is_made_from_scratch(tmp_path: Path) -> None:
    """A value that is the list of overrides differs between jobs that differ in nothing else."""
    (tmp_path / "config.yaml").write_text("a: 1\ntold: ${hydra:overrides.task}\n", encoding="utf-8")
    with initialize_config_dir(str(tmp_path), version_base=None):
        hydra: Any = GlobalHydra.instance().hydra
        master = hydra.config_loader.load_configuration("config", [], RunMode.MULTIRUN)
    jobs = both((SweepComposer(hydra.config_loader), master), ["a=1"], [])
    other = both((SweepComposer(hydra.config_loader), master), ["a=2"], ["a"])
    assert jobs[0].digest == jobs[1].digest
    assert other[0].digest == other[1].digest != jobs[0].digest


def test_form_of_a_refused_value_refuses_only_the_jobs_that_have_it(tmp_path: Path) -> None:
    """A value without a stable form refuses a job unless the job replaces it or it is ignored."""
    (tmp_path / "config.yaml").write_text("a: ${plain_object:}\nb: 1\n", encoding="utf-8")
    register("plain_object", lambda: object(), replace=True)
    with initialize_config_dir(str(tmp_path), version_base=None):
        hydra: Any = GlobalHydra.instance().hydra
        master = hydra.config_loader.load_configuration("config", [], RunMode.MULTIRUN)
        composer = SweepComposer(hydra.config_loader)
        job, replacing = composer.compose(master, ["b=2"]), composer.compose(master, ["a=2"])
    with pytest.raises(UnkeyableConfigError, match=r"\$\.a"):
        BaseForms(job.base, []).form(job.variation)
    assert BaseForms(job.base, ["a"]).form(job.variation).digest
    assert BaseForms(replacing.base, []).form(replacing.variation).digest


def test_form_looks_at_the_environment_once_a_base(
    closed: tuple[SweepComposer, DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What depends on the environment is open, and stands for what it was when the base was taken up."""
    composer, master = closed
    job = composer.compose(master, ["none=5"])
    monkeypatch.setitem(os.environ, "PARCACHE_TEST_HOME", "/a")
    forms = BaseForms(job.base, [])
    assert forms.is_open
    before = forms.form(job.variation)
    monkeypatch.setitem(os.environ, "PARCACHE_TEST_HOME", "/b")
    assert forms.form(job.variation).digest == before.digest
    assert BaseForms(job.base, []).form(job.variation).digest != before.digest
    assert ("home",) in dict(before.open)
