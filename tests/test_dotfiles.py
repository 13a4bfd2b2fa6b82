"""The texts of the ``.hydra`` files are those that ``OmegaConf.to_yaml`` writes, byte for byte."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from parcache.hydra import dotfiles
from parcache.hydra.dotfiles import Place, YamlText, overrides_text


class Color(Enum):
    RED = 1
    GREEN = 2


@dataclass
class Model:
    lr: float = 0.1
    depth: int = 3
    name: str = "net"
    bias: bool = True
    color: Color = Color.RED
    where: Path = Path("a/b")
    maybe: int | None = None
    tags: list[str] = field(default_factory=lambda: ["a"])
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    extra: dict[str, int] = field(default_factory=dict)
    free: Any = None
    missing: str = "???"


# OmegaConf 2.4 warns of the assignments here that convert; Hydra 1.4 of version_base, which 1.3 wants.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Implicit conversion:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The version_base parameter"),
]


def real(config: DictConfig, values: Mapping[Place, Any]) -> str:
    """Return what the real dumper writes of the config with the values assigned."""
    config = copy.deepcopy(config)
    for place, value in values.items():
        parent = config
        for key in place[:-1]:
            parent = parent[key]
        with read_write(parent), open_dict(parent):
            parent[place[-1]] = value
    return OmegaConf.to_yaml(config)


def places(config: Any, above: Place = ()) -> list[Place]:
    """Return every place of a config that strings name."""
    found = []
    if isinstance(config, DictConfig) and isinstance(config._content, dict):
        for key, node in config._content.items():
            if type(key) is str:
                found += [(*above, key), *places(node, (*above, key))]
    return found


WORDS = [
    *(
        "",
        "a",
        "lr=0.1",
        "/a/b.c-d_e",
        "???",
        "~",
        "null",
        "Null",
        "NULL",
        "yes",
        "Y",
        "n",
        "off",
        "On",
        "true",
        "False",
    ),
    *("nan", "NaN", "inf", "-inf", "Infinity", ".inf", ".nan", "1", "-1", "+1", "1_000", "0x1f", "0b1", "017", "1e5"),
    *("1e-05", "1.", ".5", "1:30", "190:20:30.15", "2001-12-14", "2001-12-14 21:59:43.10", "=", "<<", "-", "--", "---"),
    *(
        "--- a",
        "...",
        "... a",
        "?",
        "? a",
        ":",
        "a:",
        "a: b",
        "a:b",
        ":a",
        "a #b",
        "#a",
        "a#b",
        "&a",
        "*a",
        "!a",
        "!!a",
    ),
    *(
        "@a",
        "`a`",
        "%a",
        "|",
        ">",
        "'",
        '"',
        "it's",
        "[a]",
        "{a}",
        "a[0]",
        "a,b",
        ",",
        "]",
        " a",
        "a ",
        " ",
        "a\n",
        "\na",
    ),
    *("a\nb", "a \nb", "a\n b", "\n", "\t", "a\tb", "a\rb", "\x85", "\u2028", "\ufeff", "é", "日本", "٣", "😀", "\x07"),
    *("\\", "a\\b", "${a}", "x${oc.env:A}y", "a b" * 30, "word " * 60, "x" * 130, "x" * 300, "it's " * 40, "é " * 60),
]
words = st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8"), max_size=12)
words |= st.text("ab01 .-:#'\"\n\t,[]{}=/_+eE~", max_size=100)
# What OmegaConf takes for an interpolation has to parse.
words = words.filter(lambda text: "${" not in text or text in WORDS)
numbers = st.integers() | st.floats() | st.sampled_from([1e-05, 1e16, 1e17, 1e22, 5e-324, -0.0, 10**40, 123456.789])
scalars = st.none() | st.booleans() | numbers | words
keys = words | st.integers() | st.booleans() | st.floats(allow_nan=False) | st.sampled_from([Color.RED, "a", "b"])
plain = st.recursive(
    scalars | st.sampled_from([Color.GREEN, b"\x00bytes" * 20, b"a"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)
trees = st.dictionaries(
    keys, plain | st.dictionaries(keys, plain | st.dictionaries(keys, plain), max_size=4), max_size=5
)
given_values = scalars | st.lists(scalars, max_size=4) | plain


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_yaml_text_of_any_config_with_any_values_is_what_omegaconf_writes(data: st.DataObject) -> None:
    """Whatever the keys, the values and the places, the text is the real dumper's; and so again from the caches."""
    config = OmegaConf.create(data.draw(trees))
    text = YamlText(config)
    assert text.with_values({}) == OmegaConf.to_yaml(config)
    known = places(config)
    if not known:
        return
    chosen = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
    for _ in range(2):
        values = {place: data.draw(given_values) for place in chosen}
        try:
            expected = real(config, values)
        except (OmegaConfBaseException, AttributeError, TypeError, KeyError):
            continue  # places inside each other: what the inner one names is gone
        assert text.with_values(values) == expected
        assert text.with_values(values) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(scalars, max_size=30))
def test_yaml_text_of_scalars_at_any_depth_is_what_omegaconf_writes(values: list[Any]) -> None:
    """A scalar is written the same alone, in a list, and at every depth."""
    for config, place in DEPTHS:
        text = YamlText(config)
        for value in [*values, values]:
            assert text.with_values({place: value}) == real(config, {place: value})


DEPTHS = [
    (OmegaConf.create({"a": 1, "z": 2}), ("a",)),
    (OmegaConf.create({"m": {"n": {"o": {"p": None}}, "z": 2}}), ("m", "n", "o", "p")),
]


@pytest.mark.parametrize("word", WORDS)
def test_yaml_text_of_a_nasty_word_as_key_and_value_is_what_omegaconf_writes(word: str) -> None:
    """Words that YAML, OmegaConf or a folding emitter treat specially are exact as keys and as values."""
    config = OmegaConf.create({"a": 1, "b": {word: 1, "c": {word: {"d": [1]}}}, word: 3})
    text = YamlText(config)
    for place in places(config):
        for value in (word, None, [[word], "a"], {word: word}):
            if isinstance(value, dict) and "${" in word:
                continue
            assert text.with_values({place: value}) == real(config, {place: value})


def test_yaml_text_of_every_place_set_to_itself_is_the_text() -> None:
    """A place that is assigned what it holds changes nothing, containers included."""
    config = OmegaConf.create(
        {"a": {"b": {"c": [1, [2, {"d": 3}]], "e": {}}, 1: "x", False: None}, "f": "${a.b}", "g": []}
    )
    text = YamlText(config)
    for place in places(config):
        node: Any = config
        for key in place:
            node = node._get_node(key)
        assert text.with_values({place: node}) == text.with_values({})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            ("lr", 1),
            ("lr", "1e-3"),
            ("lr", 0.5),
            ("depth", "5"),
            ("depth", 7),
            ("name", 5),
            ("name", True),
            ("name", "5"),
        ),
        *(("bias", "yes"), ("bias", 1), ("bias", False), ("color", "GREEN"), ("color", Color.GREEN), ("color", 2)),
        *(
            ("where", "x/y"),
            ("where", Path("x")),
            ("maybe", 3),
            ("maybe", None),
            ("tags", ["b", "1"]),
            ("tags", [1, 2]),
        ),
        *(
            ("tags", []),
            ("sizes", [3, "4"]),
            ("sizes", []),
            ("extra", {"a": 1}),
            ("extra", {}),
            ("free", [1, "a", None]),
        ),
        *(("free", {"a": 1}), ("missing", "now"), ("missing", "${model.name}"), ("free", "???"), ("free", Color.RED)),
    ],
)
def test_yaml_text_of_a_typed_place_converts_as_an_assignment_does(key: str, value: Any) -> None:
    """A field of a structured config writes the value that it holds once assigned, not the one that was given."""
    config = OmegaConf.create({"model": OmegaConf.structured(Model), "z": 1})
    text = YamlText(config)
    place = ("model", key)
    for _ in range(2):
        assert text.with_values({place: value}) == real(config, {place: value})
        assert text.with_values({place: value, ("z",): 2}) == real(config, {place: value, ("z",): 2})


def test_yaml_text_of_a_value_that_the_config_refuses_raises_what_omegaconf_raises() -> None:
    """An assignment that fails fails the same."""
    config = OmegaConf.create({"model": OmegaConf.structured(Model)})
    for key, value in (("depth", "x"), ("depth", None), ("free", object()), ("free", "${a"), ("tags", 5)):
        with pytest.raises(OmegaConfBaseException) as ours:
            YamlText(config).with_values({("model", key): value})
        with pytest.raises(OmegaConfBaseException) as theirs:
            real(config, {("model", key): value})
        assert type(ours.value) is type(theirs.value)


def test_yaml_text_of_nodes_as_values_is_what_omegaconf_writes() -> None:
    """Config groups are swept by nodes: plain, typed, missing, absent and interpolated ones are exact."""
    config = OmegaConf.create({"data": {"db": {"kind": "x"}, "n": 1}, "model": OmegaConf.structured(Model)})
    text = YamlText(config)
    nodes = [
        OmegaConf.create({"kind": "y", "path": {"a": [1, 2]}}),
        OmegaConf.create({}),
        OmegaConf.create([1, "a", {"b": 2}]),
        OmegaConf.structured(Model),
        OmegaConf.structured(Model(color=Color.GREEN, maybe=2)),
        OmegaConf.create({"x": "${data.n}", "y": "???"}),
        DictConfig(None),
        DictConfig("???"),
        DictConfig("${data.n}"),
        ListConfig(None),
        OmegaConf.create({"where": Path("p"), "raw": b"bytes"}),
    ]
    for node in nodes * 2:
        for place in (("data", "db"), ("data",), ("data", "n")):
            assert text.with_values({place: node}) == real(config, {place: node})


def test_yaml_text_of_one_object_in_several_places_keeps_its_anchors() -> None:
    """YAML names an object that occurs twice by an anchor: replacing one of the two moves it."""
    path = Path("a/b")
    shared = OmegaConf.create({"a": {"x": path, "y": path, "z": 1}, "b": path, "c": 2})
    apart = OmegaConf.create({"a": {"x": path, "y": path, "z": 1}, "b": {"x": Path("c")}, "c": 2})
    inside = OmegaConf.create({"a": {"x": Path("c"), "z": 1}, "c": 2})
    for config in (shared, apart, inside):
        text = YamlText(config)
        for place in places(config):
            for value in (3, "x", path, [path, path], None):
                assert text.with_values({place: value}) == real(config, {place: value})
                both = {place: value, ("c",): path}
                if place != ("c",):
                    assert text.with_values(both) == real(config, both)


def test_yaml_text_of_places_that_are_new_or_inside_each_other_is_what_omegaconf_writes() -> None:
    """A place that the config does not have is appended; values are assigned in the order in which they are given."""
    config = OmegaConf.create({"a": {"b": 1}, "c": [1, {"d": 2}], 5: {"e": 1}})
    text = YamlText(config)
    for values in (
        {("new",): 1},
        {("a", "new"): 1, ("a", "newer"): [1]},
        {("a",): {"x": 1}, ("a", "b"): 2},
        {("a", "b"): 2, ("a",): {"x": 1}},
        {(5, "e"): 7},
        {("a", "b"): 2, ("c",): [], ("new",): "x"},
    ):
        assert text.with_values(values) == real(config, values)


def test_yaml_text_of_a_config_changed_afterwards_stays() -> None:
    """The text is of the config as it was given."""
    config = OmegaConf.create({"a": {"b": 1, "c": 2}, "d": 3})
    text, before = YamlText(config), copy.deepcopy(config)
    config.a.b = 7
    config.d = {"e": 1}
    assert text.with_values({("a", "c"): "x y"}) == real(before, {("a", "c"): "x y"})
    assert text.with_values({("d",): {"x": 1}}) == real(before, {("d",): {"x": 1}})


def test_yaml_text_of_a_list_or_nothing_is_what_omegaconf_writes() -> None:
    """A config without a place is dumped."""
    for config in (OmegaConf.create([1, {"a": 2}]), OmegaConf.create([]), OmegaConf.create({})):
        assert YamlText(config).with_values({}) == OmegaConf.to_yaml(config)


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    folder = tmp_path_factory.mktemp("conf")
    folder.joinpath("config.yaml").write_text(
        "lr: 0.1\nmodel:\n  name: net\n  sizes: [1, 2]\n  init: ${lr}\nnotes: 'a: b'\nempty: {}\n"
        "hydra:\n  job:\n    env_set: {A: '1'}\n  sweep:\n    subdir: ${hydra.job.override_dirname}\n"
    )
    with initialize_config_dir(str(folder), version_base=None):
        return compose("config", return_hydra_config=True)


JOBS: list[dict[Place, Any]] = [
    {
        ("hydra", "overrides", "task"): overrides,
        ("hydra", "job", "override_dirname"): ",".join(overrides),
        ("hydra", "job", "num"): number,
        ("hydra", "job", "id"): str(number),
        ("hydra", "runtime", "output_dir"): f"/home/é me/multirun/2024-01-01/10-00-00/{number}"
        if number % 2
        else "/a/b/7",
    }
    for number, overrides in enumerate(
        [
            ["lr=0.1"],
            [],
            ["lr=1e-05", "model.name=a b"],
            ["a=[1,2]", "b={x: 1}", "c='${lr}'"],
            ["+x=", "~y", "z=é"],
            ["1"],
        ]
    )
]


@pytest.mark.parametrize("values", JOBS)
def test_yaml_text_of_hydras_node_is_what_omegaconf_writes(composed: DictConfig, values: dict[Place, Any]) -> None:
    """``hydra.yaml`` of a job is exact, with what the launcher and Hydra assign to it."""
    config = OmegaConf.masked_copy(composed, "hydra")
    text = YamlText(config)
    assert text.with_values(values) == real(config, values)
    assert text.with_values({}) == OmegaConf.to_yaml(config)


def test_yaml_text_of_every_place_of_a_composed_config_is_what_omegaconf_writes(composed: DictConfig) -> None:
    """Every field of Hydra's own node and of the app's config can be replaced, or refuses as it would."""
    text = YamlText(composed)
    for number, place in enumerate(places(composed)):
        for value in (("a", "7", None, ["x"])[number % 4], "a b"):
            try:
                expected = real(composed, {place: value})
            except OmegaConfBaseException:
                continue
            assert text.with_values({place: value}) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(words, max_size=6))
def test_overrides_text_of_any_strings_is_what_omegaconf_writes(overrides: list[str]) -> None:
    """``overrides.yaml`` is exact, whatever the overrides."""
    assert overrides_text(overrides) == OmegaConf.to_yaml(OmegaConf.create(overrides))


def test_yaml_text_where_the_dumper_is_not_the_known_one_dumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OmegaConf that writes numbers or words differently is noticed, and its own dumper is used."""
    monkeypatch.setattr(dotfiles, "_SAMPLES", ["é é"])
    dotfiles._is_formatting_known.cache_clear()
    try:
        assert not dotfiles._is_formatting_known()
        config = OmegaConf.create({"a": 1})
        assert YamlText(config).with_values({("a",): "b"}) == "a: b\n"
        assert overrides_text(["a=1", "é"]) == "- a=1\n- é\n"
    finally:
        dotfiles._is_formatting_known.cache_clear()


@pytest.mark.parametrize("values", JOBS[:2])
def test_yaml_text_of_ordinary_values_needs_no_dump(
    composed: DictConfig, values: dict[Place, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a sweep's places are known, numbers and words cost no dump: that is what the module is for."""
    text = YamlText(composed)
    values = {("lr",): 0.5, ("model", "name"): "net-2", ("model", "sizes"): [1, "x"], ("empty",): [], **values}
    text.with_values({**values, ("lr",): 0.1})
    overrides_text(["a"])
    values[("lr",)] = 1e-7
    expected = real(composed, values)

    def refuse(*_: Any, **__: Any) -> str:
        raise AssertionError("dumped")

    monkeypatch.setattr(OmegaConf, "to_yaml", refuse)
    assert text.with_values(values) == expected
    assert overrides_text(["lr=0.1", "model.name=net-2"]) == "- lr=0.1\n- model.name=net-2\n"
