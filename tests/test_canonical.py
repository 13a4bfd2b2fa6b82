"""The canonical form: one for all configs that mean the same, another for all that do not."""

from __future__ import annotations

import math
from collections import OrderedDict
from enum import Enum, Flag, IntEnum
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcache.errors import UnkeyableConfigError
from parcache.keys.canonical import (
    MISSING,
    Expression,
    Outline,
    Record,
    Refused,
    Unresolvable,
    describe,
    digest,
    encode,
    prune,
)

pytestmark = pytest.mark.any_hydra


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Shade(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Permission(Flag):
    READ = 1
    WRITE = 2


class Odd(Enum):
    FIRST = object()
    SECOND = object()  # noqa: PIE796 - two objects, two values


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters()),
    st.binary(),
    st.sampled_from([MISSING, Color.RED, Color.BLUE, Shade.RED, Level.LOW]),
    st.text("ab/.", min_size=1).map(PurePosixPath),
    st.text("ab${}").map(Expression),
    st.text("ab${}").map(Unresolvable),
)
KEYS = st.one_of(st.text(max_size=4), st.integers(-3, 3), st.sampled_from([Color.RED, Color.BLUE]))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.builds(Record, st.sampled_from(["m.A", "m.B"]), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    ),
    max_leaves=12,
)
DISTINCT = [
    1,
    1.0,
    True,
    "1",
    b"1",
    0,
    -0.0,
    0.0,
    False,
    None,
    "",
    "None",
    "null",
    b"",
    MISSING,
    "???",
    [],
    {},
    [None],
    [[]],
    {"": None},
    math.nan,
    math.inf,
    -math.inf,
    "nan",
    Path("a"),
    "a",
    ["a"],
    Color.RED,
    "RED",
    "red",
    Shade.RED,
    Level.LOW,
    Expression("a"),
    Unresolvable("a"),
    Expression("a", (1,)),
    Record("a", {}),
    Record("b", {}),
    {"a": 1},
    {1: "a"},
    {"1": "a"},
    {True: "a"},
    ["ab", "c"],
    ["a", "bc"],
    ["abc"],
    [["ab"], "c"],
    {"a": 1, "b": 2},
    [["a", 1], ["b", 2]],
]


def is_same(first: Any, second: Any) -> bool:
    """Compare two trees by the rules of DESIGN.md section 4, without the canonical form."""
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(is_same, first, second))
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        if len(first) != len(second):
            return False
        return all(any(is_same(k, o) and is_same(v, w) for o, w in second.items()) for k, v in first.items())
    if isinstance(first, Record):
        return first.type_name == second.type_name and is_same(first.fields, second.fields)
    if isinstance(first, float):
        if math.isnan(first) or math.isnan(second):
            return math.isnan(first) and math.isnan(second)
        return first == second and math.copysign(1, first) == math.copysign(1, second)
    return bool(first == second)


def reordered(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: reordered(value) for key, value in reversed(tree.items())}
    if isinstance(tree, list):
        return tuple(reordered(item) for item in tree)
    if isinstance(tree, Record):
        return Record(tree.type_name, reordered(tree.fields))
    return tree


@given(TREES)
def test_encode_other_dict_order_and_tuples_same_form(tree: Any) -> None:
    """Neither the order of a mapping nor list or tuple can be seen in the form."""
    assert encode(reordered(tree)) == encode(tree)


@given(TREES, TREES)
def test_encode_any_two_trees_same_form_only_if_same(first: Any, second: Any) -> None:
    """Two trees share a form exactly if they are the same."""
    assert (encode(first) == encode(second)) == is_same(first, second)


@given(TREES, st.data())
def test_encode_one_leaf_replaced_another_form(tree: Any, data: st.DataObject) -> None:
    """A change of any one leaf changes the form."""
    changed = replaced(tree, data.draw(st.integers(0, 30)), data.draw(LEAVES))
    assert (encode(changed) == encode(tree)) == is_same(changed, tree)


def replaced(tree: Any, steps: int, leaf: Any) -> Any:
    """Replace the leaf that a walk of some steps ends at."""
    if isinstance(tree, list) and tree:
        index = steps % len(tree)
        return [*tree[:index], replaced(tree[index], steps // len(tree), leaf), *tree[index + 1 :]]
    if isinstance(tree, dict) and tree:
        key = list(tree)[steps % len(tree)]
        return {**tree, key: replaced(tree[key], steps // len(tree), leaf)}
    if isinstance(tree, Record):
        return Record(tree.type_name, replaced(tree.fields, steps, leaf) if tree.fields else {})
    return leaf


def test_encode_lookalikes_all_distinct() -> None:
    """Values that look alike but differ in type or shape have a form each."""
    forms = [encode({"x": value}) for value in DISTINCT]
    assert len(set(forms)) == len(DISTINCT)
    assert encode({}) not in forms


def test_encode_every_nan_same_form() -> None:
    """NaN has one form, whatever its sign and payload."""
    assert encode(math.nan) == encode(-math.nan) == encode(math.inf - math.inf)


def test_encode_lone_surrogate_has_a_form() -> None:
    """Text that no encoding can write has a form of its own."""
    assert encode("\ud800") != encode("\ud801")


def test_encode_huge_integer_has_a_form() -> None:
    """An integer past Python's limit for decimal text has a form."""
    assert encode(10**5000) != encode(10**5000 + 1)


def test_encode_flag_combinations_distinct() -> None:
    """Combined flags, which have no name before Python 3.11, are told apart."""
    assert encode(Permission.READ | Permission.WRITE) != encode(Permission.READ)


def test_encode_enum_members_without_stable_value_told_apart_by_name() -> None:
    """Enum members whose values have no form are told apart by their names."""
    assert encode(Odd.FIRST) != encode(Odd.SECOND)


def test_encode_other_mapping_type_same_form_as_dict() -> None:
    """Any mapping counts by what it holds."""
    assert encode(OrderedDict(b=1, a=2)) == encode({"a": 2, "b": 1})


@pytest.mark.parametrize("value", [object(), len, int, {1}, lambda: 1, 1j, type("Int", (int,), {})(1)])
def test_encode_object_refused_by_path(value: Any) -> None:
    """An object without a stable form is refused, with the key that a pattern would name."""
    with pytest.raises(UnkeyableConfigError) as caught:
        encode({"model": [0, {"init": value}]})
    assert caught.value.path == "$.model.1.init"


def test_encode_refused_value_raises_its_problem() -> None:
    """A value that was refused before is refused with its own reason."""
    with pytest.raises(UnkeyableConfigError, match=r"at \$\.a: it contains itself"):
        encode({"a": Refused("it contains itself")})


def test_encode_endless_tree_refused() -> None:
    """A tree that contains itself is refused, not walked for ever."""
    tree: list[Any] = []
    tree.append(tree)
    with pytest.raises(UnkeyableConfigError, match="contains itself"):
        encode(tree)


def test_digest_is_forty_hex_digits() -> None:
    """A digest is 160 bits in hexadecimal."""
    assert len(digest(b"")) == 40
    assert int(digest(b""), 16) > 0


CONFIG = {"lr": 1, "trainer": {"a": {"num_workers": 4, "x": 1}, "b": {"num_workers": 8}}, "xs": [{"y": 1}, {"y": 2}]}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("lr", {k: v for k, v in CONFIG.items() if k != "lr"}),
        ("trainer", {k: v for k, v in CONFIG.items() if k != "trainer"}),
        ("trainer.a.x", {**CONFIG, "trainer": {"a": {"num_workers": 4}, "b": {"num_workers": 8}}}),
        ("trainer.*.num_workers", {**CONFIG, "trainer": {"a": {"x": 1}, "b": {}}}),
        ("trainer.*.num_*", {**CONFIG, "trainer": {"a": {"x": 1}, "b": {}}}),
        ("xs.0.y", {**CONFIG, "xs": [{}, {"y": 2}]}),
        ("xs.*.y", {**CONFIG, "xs": [{}, {}]}),
        ("num_workers", CONFIG),
        ("*.num_workers", CONFIG),
        ("lr.deeper", CONFIG),
        ("l", CONFIG),
        ("LR", CONFIG),
    ],
)
def test_prune_pattern_removes_what_it_names(pattern: str, expected: Any) -> None:
    """A pattern removes the keys that it names from the root, segment by segment, and nothing else."""
    assert prune(CONFIG, [pattern]) == expected


def test_prune_record_keeps_its_class() -> None:
    """What is left of a structured config is still of its class."""
    assert prune(Record("m.A", {"a": 1, "b": 2}), ["a"]) == Record("m.A", {"b": 2})


def test_prune_path_of_refusal_is_a_pattern() -> None:
    """The path in a refusal, as a pattern, mends it: that is what its message says."""
    tree = {"xs": [1, {"f": len}]}
    with pytest.raises(UnkeyableConfigError) as caught:
        encode(tree)
    assert encode(prune(tree, [caught.value.path.removeprefix("$.")]))


@given(TREES)
def test_prune_no_pattern_same_tree(tree: Any) -> None:
    """Without patterns nothing is removed."""
    assert prune(tree, []) is tree


@given(TREES)
def test_describe_any_tree_is_json_data(tree: Any) -> None:
    """Whatever has a form can be described by dicts with string keys, lists and plain values."""

    def check(value: Any) -> None:
        if isinstance(value, dict):
            assert all(isinstance(key, str) for key in value)
            for item in value.values():
                check(item)
        elif isinstance(value, list):
            for item in value:
                check(item)
        else:
            assert value is None or isinstance(value, (bool, int, float, str))

    check(describe(tree))


def form_or_refusal(make: Any) -> Any:
    try:
        return make()
    except UnkeyableConfigError as error:
        return error.path, error.problem


@given(st.dictionaries(st.text("abc", min_size=1), TREES | st.just(Refused("no form")), max_size=4))
def test_form_of_a_tree_is_one_however_it_is_made(tree: dict[str, Any]) -> None:
    """In pieces, pruned of what is not there, or at once: markers are markers, and never lists."""
    whole = form_or_refusal(lambda: encode(tree))
    assert form_or_refusal(lambda: Outline(tree).form({})) == whole
    assert form_or_refusal(lambda: encode(prune(tree, ["nothing.like.this"]))) == whole


@pytest.mark.parametrize(
    "marker", [Expression("a"), Unresolvable("a"), Refused("a"), Record("t", {}), Expression("a", (1,))]
)
def test_marker_is_described_as_no_list(marker: Any) -> None:
    """What is shown of a marker is not the list of what it is made of."""
    assert not isinstance(describe({"k": marker})["k"], list)
