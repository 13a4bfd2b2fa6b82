"""A task config as a plain tree, from real OmegaConf configs: rules 1 to 3 of the key."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Optional, Union

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from omegaconf import MISSING as ABSENT
from omegaconf import DictConfig, OmegaConf

from parcache.errors import UnkeyableConfigError
from parcache.hydra.plain import PlainConfig, drift, to_plain
from parcache.keys.canonical import MISSING, Expression, Record, Unresolvable, encode, prune


class Color(Enum):
    RED = 1


@dataclass
class First:
    lr: float = 0.1


@dataclass
class Second:
    lr: float = 0.1


@dataclass
class Typed:
    color: Color = Color.RED
    data: bytes = b"\x00"
    path: Path = Path("a/b")
    absent: int = ABSENT
    none: Optional[First] = None  # noqa: UP045 - what OmegaConf reads on every Python
    either: Union[int, str] = 1  # noqa: UP007
    inner: First = field(default_factory=First)


# Each OmegaConf deprecates the other's name: 2.4 the long one, 2.3 the short one.
register: Callable[..., None] = getattr(
    OmegaConf, "register_new_resolver" if version("omegaconf").startswith("2.3") else "register_resolver"
)


@pytest.fixture(autouse=True)
def _resolvers() -> Iterator[None]:
    setup_globals()
    yield
    OmegaConf.clear_resolvers()
    setup_globals()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PlainConfig]:
    """Return the plain form of a config as a job with this number and output directory sees it."""

    def make(config: Any, number: int = 3, output_dir: str = "/out/3", model: str = "a") -> PlainConfig:
        hydra = {
            "job": {"num": number, "id": str(number), "name": "app", "config_name": "config", "override_dirname": "x"},
            "runtime": {"output_dir": output_dir, "cwd": "/here", "choices": {"model": model}},
            "sweep": {"dir": "/out", "subdir": "${hydra:job.num}"},
        }
        monkeypatch.setattr(HydraConfig.instance(), "cfg", OmegaConf.create({"hydra": hydra}))
        return to_plain(config if isinstance(config, DictConfig) else OmegaConf.create(config))

    return make


VOLATILE = {
    "directly": {"a": "${hydra:runtime.output_dir}"},
    "in text": {"a": "x-${hydra:job.num}"},
    "through a key": {"p": "${hydra:runtime.output_dir}", "a": "${p}/ckpt"},
    "through two keys": {"p": {"q": "${hydra:job.id}"}, "r": "${p.q}/x", "a": "${r}/y"},
    "relative key": {"p": {"q": "${hydra:job.num}", "a": "${.q}/x"}},
    "in a list": {"a": ["${hydra:job.num}"]},
    "in a nested interpolation": {"p": {"3": 1, "4": 1}, "a": "${p.${hydra:job.num}}"},
    "through a resolver": {"a": "${text:${hydra:job.num}}"},
    "through a resolver, in text": {"a": "${text:run_${hydra:job.num}}"},
    "through a resolver and a key": {"p": "${hydra:job.num}", "a": "${text:run_${p}}"},
    "through select": {"p": "${hydra:runtime.output_dir}", "a": "${oc.select:p}"},
    "sweep": {"a": "${hydra:sweep.dir}/${hydra:sweep.subdir}"},
    "whole node": {"a": "${hydra:runtime}"},
    "container": {"p": {"out": "${hydra:runtime.output_dir}"}, "a": "${p}"},
}


@pytest.mark.parametrize("name", VOLATILE)
def test_plain_value_of_the_run_counts_as_expression(plain: Callable[..., PlainConfig], name: str) -> None:
    """A value that reaches the run, by whatever way, is the same for every number and directory."""
    register("text", lambda value: f"<{value}>")
    first, second = plain(VOLATILE[name]).tree, plain(VOLATILE[name], 4, "/elsewhere/4").tree
    assert encode(first) == encode(second)


def test_plain_time_counts_as_expression(plain: Callable[..., PlainConfig]) -> None:
    """The time of the run counts as the expression that asks for it."""
    assert plain({"a": "${now:%f}"}).tree == {"a": Expression("${now:%f}", ())}


def test_plain_other_expression_is_another_value(plain: Callable[..., PlainConfig]) -> None:
    """Two expressions of the run are two values."""
    first, second = plain({"a": "${hydra:job.num}"}), plain({"a": "${hydra:job.id}"})
    assert encode(first.tree) != encode(second.tree)


def test_plain_choice_counts_by_value(plain: Callable[..., PlainConfig]) -> None:
    """A group choice is configuration: it counts by its value."""
    config = {"a": "${hydra:runtime.choices.model}"}
    assert plain(config, model="a").tree == {"a": "a"}
    assert plain(config, model="b").tree == {"a": "b"}


def test_plain_volatile_value_reads_environment_counts_it(
    plain: Callable[..., PlainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a value of the run reads besides counts by its value."""
    config = {"a": "${hydra:job.num}/${oc.env:WHO}"}
    monkeypatch.setenv("WHO", "me")
    first = plain(config)
    monkeypatch.setenv("WHO", "you")
    assert encode(plain(config).tree) != encode(first.tree)


def test_plain_interpolation_same_as_its_value(plain: Callable[..., PlainConfig]) -> None:
    """An interpolation of configuration counts as what it resolves to, containers included."""
    config = {"lr": 1, "a": "${lr}", "b": {"c": "${..lr}"}, "d": "${b}", "e": ["${d.c}"], "f": r"\${lr}"}
    assert plain(config).tree == {"lr": 1, "a": 1, "b": {"c": 1}, "d": {"c": 1}, "e": [1], "f": "${lr}"}


def test_plain_unresolvable_counts_as_its_text(plain: Callable[..., PlainConfig]) -> None:
    """An interpolation that fails counts as its text: it is the task's to fail on it, if it reads it."""

    def fail() -> None:
        raise RuntimeError("no")

    register("fail", fail)
    config = {"a": "${nowhere}", "b": "${nothing:1}", "c": "${fail:}", "d": "${d}", "m": "???", "e": "${m}"}
    texts = {key: Unresolvable(config[key]) for key in "abcde"}
    assert plain(config).tree == {**texts, "m": MISSING}


def test_plain_structured_leaves_keep_their_types(plain: Callable[..., PlainConfig]) -> None:
    """Enums, bytes, paths, missing and null values of a structured config are what they are."""
    fields = {
        "color": Color.RED,
        "data": b"\x00",
        "path": Path("a/b"),
        "absent": MISSING,
        "none": None,
        "either": 1,
        "inner": Record(f"{__name__}.First", {"lr": 0.1}),
    }
    assert plain(OmegaConf.structured(Typed)).tree == Record(f"{__name__}.Typed", fields)


def test_plain_structured_names_their_classes(plain: Callable[..., PlainConfig]) -> None:
    """The classes of a config's nodes and values are among its names."""
    names = plain(OmegaConf.structured(Typed)).all_names
    assert {f"{__name__}.{name}" for name in ("Typed", "First", "Color")} <= names


def test_plain_two_dataclasses_same_fields_differ(plain: Callable[..., PlainConfig]) -> None:
    """Structured configs of two classes differ, though their fields are the same."""
    first, second = (plain(OmegaConf.structured(kind)).tree for kind in (First, Second))
    assert encode(first) != encode(second)


def test_plain_none_and_empty_containers_differ(plain: Callable[..., PlainConfig]) -> None:
    """A null container, an empty one and an absent one are three things."""
    none = OmegaConf.create({"a": {}})
    none._set_item_impl("a", None)
    forms = {encode(plain(config).tree) for config in ({"a": {}}, {"a": []}, {"a": None}, {})}
    assert len(forms) == 4
    assert plain(none).tree == {"a": None}


def test_plain_tuple_same_as_list(plain: Callable[..., PlainConfig]) -> None:
    """Tuples and lists are one, whichever Hydra makes of them."""
    assert encode(plain({"a": (1, (2,))}).tree) == encode(plain({"a": [1, [2]]}).tree)


def test_plain_names_at_any_depth(plain: Callable[..., PlainConfig]) -> None:
    """Dotted names count wherever they stand: in lists, keys, and as what an interpolation makes of them."""
    config = {"a": [{"_target_": "p.A"}], "q.B": 1, "n": "C", "c": "p.${n}", "d": "p.d:E", "e": "plain"}
    assert plain(config).all_names == {"p.A", "q.B", "p.C", "p.d.E"}


def test_plain_names_in_volatile_value_count(plain: Callable[..., PlainConfig]) -> None:
    """A name that is made from a field of the run leads to code all the same."""
    assert "app.Net" in plain({"_target_": "${hydra:job.name}.Net"}).all_names


def test_plain_contains_itself_refused(plain: Callable[..., PlainConfig]) -> None:
    """A config that contains itself is refused by the key at which it does."""
    with pytest.raises(UnkeyableConfigError, match=r"at \$\.a\.b\.d: it contains itself"):
        encode(plain({"a": {"b": "${c}"}, "c": {"d": "${a}"}}).tree)


@pytest.mark.parametrize("config", [{"a": {"b": "${a}"}}, {"a": ["${a}"]}])
def test_plain_names_its_own_container_counts_as_text(plain: Callable[..., PlainConfig], config: Any) -> None:
    """An interpolation to the container that it stands in, which OmegaConf refuses, counts as its text."""
    inner = plain(config).tree["a"]
    assert list(inner.values() if isinstance(inner, dict) else inner) == [Unresolvable("${a}")]


def test_plain_refused_value_ignored_has_a_form(plain: Callable[..., PlainConfig]) -> None:
    """What has no form may lie below an ignored key, resolver's objects included."""
    register("thing", object)
    tree = plain({"a": {"b": "${d}"}, "d": {"e": "${a}"}, "c": "${thing:}", "lr": 1}).tree
    assert encode(prune(tree, ["a.b", "d", "c"])) == encode({"a": {}, "lr": 1})


def test_plain_object_from_resolver_refused(plain: Callable[..., PlainConfig]) -> None:
    """An object that a resolver makes is refused by its key."""
    register("thing", object)
    with pytest.raises(UnkeyableConfigError, match=r"at \$\.c: builtins\.object"):
        encode(plain({"c": "${thing:}"}).tree)


def test_drift_constant_resolver_none(plain: Callable[..., PlainConfig]) -> None:
    """A resolver that returns the same again does not drift."""
    register("seven", lambda: 7)
    config = OmegaConf.create({"a": "${seven:}"})
    assert drift(config, plain(config).open) is None


def test_drift_changing_resolver_named(plain: Callable[..., PlainConfig]) -> None:
    """A resolver that returns something else each time drifts, and its key is named."""
    counter = itertools.count()
    register("count", lambda: next(counter))
    config = OmegaConf.create({"x": [{"a": "${count:}"}]})
    assert drift(config, plain(config).open) == ("x", "0", "a")


@pytest.mark.parametrize("text", ["${oc.env:PARCACHE_TEST_V}", "${hydra:job.num}-${oc.env:PARCACHE_TEST_V,x}"])
def test_drift_variable_set_in_worker_named(
    plain: Callable[..., PlainConfig], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A variable that is set where the job runs, but not where it was keyed, is drift."""
    config = OmegaConf.create({"a": text})
    monkeypatch.delenv("PARCACHE_TEST_V", raising=False)
    keyed = plain(config).open
    monkeypatch.setitem(os.environ, "PARCACHE_TEST_V", "1")
    assert drift(config, keyed) == ("a",)


def test_drift_value_of_the_run_none(plain: Callable[..., PlainConfig]) -> None:
    """Fields of the run and the time do not drift."""
    config = OmegaConf.create({"a": "${hydra:job.num}", "b": "${now:%f}"})
    assert drift(config, plain(config).open) is None
