"""The key recipe: every part counts, and a key never means two things."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from parcache.errors import UnkeyableConfigError
from parcache.keys.canonical import MISSING, Expression, Record, Unresolvable, digest, encode
from parcache.keys.recipe import RECIPE, make_key

pytestmark = pytest.mark.any_hydra

GOLDEN = Path(__file__).parent / "golden" / "keys.json"


class Color(Enum):
    RED = "red"


TREES: dict[str, Any] = {
    "empty": {},
    "leaves": {"a": None, "b": True, "c": -1, "d": 0.1, "e": "text", "f": b"bytes", "g": PurePosixPath("/a/b")},
    "floats": {"a": 1.0, "b": -0.0, "c": float("nan"), "d": float("inf"), "e": 1e-300},
    "text": {"a": "ä€😀", "b": "\ud800", "c": "", "d": "a\nb"},
    "nested": {"model": {"layers": [64, (32, 16), {}], "_target_": "pkg.Net"}, 1: "int key", Color.RED: "enum key"},
    "markers": {
        "a": MISSING,
        "b": Expression("${now:%Y}", (["oc.env", ["USER"], "me"],)),
        "c": Unresolvable("${x}"),
        "d": Record("pkg.Config", {"lr": 0.1}),
        "e": Color.RED,
    },
}


def digests() -> dict[str, str]:
    """Return the keys of the fixed trees, and of one tree with every part set."""
    found = {name: make_key(tree, "code", python="3.10").digest for name, tree in TREES.items()}
    found["every part"] = make_key(
        TREES["nested"], "code", salt="s", ignore=["model.layers"], env={"B": None, "A": "1"}, python="3.10"
    ).digest
    return found


def test_make_key_fixed_trees_golden_digests() -> None:
    """The key of a fixed tree never changes while RECIPE stays the same."""
    golden = json.loads(GOLDEN.read_text())
    assert str(RECIPE) in golden, f"RECIPE is {RECIPE}: add its digests to {GOLDEN}, beside the earlier ones"
    assert digests() == golden[str(RECIPE)]


BASE: dict[str, Any] = {"config": {"a": 1}, "code": "c", "salt": "s", "env": {"V": "1"}, "python": "3.10"}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("config", {"a": 2}),
        ("config", {"a": 1, "b": None}),
        ("code", "d"),
        ("code", "off"),
        ("salt", ""),
        ("salt", "t"),
        ("env", {}),
        ("env", {"V": "2"}),
        ("env", {"V": None}),
        ("env", {"V": ""}),
        ("env", {"W": "1"}),
        ("python", "3.11"),
    ],
)
def test_make_key_one_part_changed_another_digest(part: str, value: Any) -> None:
    """Every part of a key counts."""
    assert make_key(**{**BASE, part: value}).digest != make_key(**BASE).digest


def test_make_key_parts_keep_apart() -> None:
    """Text cannot move from one part to its neighbour without another key."""
    assert make_key({}, "ab", salt="c").digest != make_key({}, "a", salt="bc").digest


def test_make_key_env_order_does_not_count() -> None:
    """The order in which variables are named does not count."""
    assert make_key({}, "c", env={"A": "1", "B": "2"}) == make_key({}, "c", env={"B": "2", "A": "1"})


def test_make_key_ignored_key_does_not_count() -> None:
    """What lies below an ignored key neither counts nor needs a form."""
    first, second = ({"a": 1, "b": {"c": value}} for value in (object(), 2))
    assert make_key(first, "c", ignore=["b.c"]) == make_key(second, "c", ignore=["b.c"])


def test_make_key_object_in_config_refused() -> None:
    """A config with an object in it has no key."""
    with pytest.raises(UnkeyableConfigError, match=r"at \$\.model\.init"):
        make_key({"model": {"init": object()}}, "c")


def test_key_digest_is_over_the_list_of_its_parts() -> None:
    """The digest is that of the canonical form of the parts as one list, as the recipe specifies."""
    key = make_key({"a": 1}, "code", salt="s", env={"B": None, "A": "1"}, python="3.11")
    parts = [key.recipe, key.config, key.code, key.python, key.salt, key.env]
    assert key.digest == digest(encode(parts))
