"""Override strings: what is read here instead of by Hydra's parser is read the same."""

from __future__ import annotations

import math

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from parcache.hydra.overrides import Assignment, Manner, OtherOverride, read_override

KEYS = st.sampled_from(
    ["a", "lr", "model.size", "_x", "a.b.c", "A1_b", "null", "true", "hydra.verbose", "a-b", "x.0", "é"]
)
WORDS = st.sampled_from(
    ["true", "False", "TRUE", "null", "NULL", "nan", "NaN", "inf", "-inf", "abc", "a_b", "a-b", "_", "None"]
)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.floats().map("{:.3e}".format),
    st.from_regex(r"[-+]?[0-9_]{0,4}\.?[0-9_]{0,4}([eE][-+]?[0-9]{1,3})?", fullmatch=True),
)
VALUES = st.one_of(WORDS, NUMBERS, st.text("abzAZ01._-+eE'\"$ {}[](),:=\\", max_size=8))
PREFIXES = st.sampled_from(["", "", "", "+", "++", "~"])


@settings(max_examples=600, deadline=None)
@given(PREFIXES, KEYS, VALUES)
def test_override_read_as_hydra_reads_it(prefix: str, key: str, value: str) -> None:
    """An override that counts as an assignment has the key, the manner and the value that Hydra's parser finds."""
    text = f"{prefix}{key}={value}"
    found = read_override(text)
    if isinstance(found, OtherOverride):
        return
    (wanted,) = OverridesParser.create().parse_overrides([text])
    assert not wanted.is_sweep_override()
    assert wanted.package is None
    assert found.key == wanted.key_or_group
    assert found.place == tuple(found.key.split("."))
    assert (found.manner is Manner.ADD, found.manner is Manner.FORCE_ADD) == (wanted.is_add(), wanted.is_force_add())
    assert type(found.value) is type(wanted.value())
    assert repr(found.value) == repr(wanted.value())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lr=0.1", 0.1),
        ("lr=1e-5", 1e-5),
        ("lr=-3", -3),
        ("lr=2.50", 2.5),
        ("lr=False", False),
        ("name=adam", "adam"),
        ("name='a b'", "a b"),
        ("lr=", ""),
        ("lr=null", None),
        ("xs=[1,2]", [1, 2]),
        ("lr=${other}", "${other}"),
        ("+lr=3", 3),
        ("++model.lr=3", 3),
    ],
)
def test_override_of_one_value_is_an_assignment(text: str, value: object) -> None:
    """Numbers, words, quoted text, lists and interpolations are values."""
    found = read_override(text)
    assert isinstance(found, Assignment)
    assert found.value == value


@pytest.mark.parametrize(
    "text",
    [
        "lr=1,2",
        "lr=range(3)",
        "~lr",
        "db={a:1}",
        "db@x=mysql",
        "hydra/launcher=basic",
        "hydra.verbose=true",
        "xs.0=1",
        "+lr=null",
        "+lr=${x}",
        "+lr=[1]",
        "__class__=1",
        "a b=1",
        "=",
        "",
    ],
)
def test_override_of_any_other_kind_is_left_to_hydra(text: str) -> None:
    """Sweeps, deletions, mappings, packages, Hydra's own settings and what cannot be parsed are not read here."""
    assert isinstance(read_override(text), OtherOverride)


def test_override_whose_number_is_too_large_for_a_float_is_infinite_as_in_hydra() -> None:
    """A float literal beyond the range is infinity, in both parsers."""
    found = read_override("lr=1e999")
    assert isinstance(found, Assignment)
    assert math.isinf(found.value)
