"""What goes into the store as bytes comes back as it was, and plain bytes execute nothing."""

from __future__ import annotations

import enum
import io
import json
import math
import os
import struct
from collections import OrderedDict, namedtuple
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parcache.errors import UnstorableResultError
from parcache.store.codec import CLOUDPICKLE, PLAIN, decode, encode

pytestmark = pytest.mark.any_hydra

Point = namedtuple("Point", "x y")


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    pass


class Unpicklable:
    def __reduce__(self) -> Any:
        raise ValueError("not me")


class Touches:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal to the last type and bit, NaN equal to NaN, dicts in order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (set, frozenset)):
        rest = list(other)
        for item in one:
            match = next((index for index, each in enumerate(rest) if same(item, each)), None)
            if match is None:
                return False
            del rest[match]
        return not rest
    if isinstance(one, (numpy.ndarray, numpy.generic)):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(one == other)


def there_and_back(value: Any) -> tuple[str, Any]:
    codec, data = encode(value)
    return codec, decode(codec, data)


any_text = st.text(st.characters(codec=None, exclude_categories=())) | st.text(st.sampled_from("a\ud83d\ude00é\0"))
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(1 << 70), max_value=1 << 70)
    | st.floats()
    | st.complex_numbers()
    | any_text
    | st.binary()
)
hashable = st.recursive(leaves, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=6)
dtypes = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="?")
    | hnp.unsigned_integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?")
    | hnp.complex_number_dtypes(endianness="?")
    | hnp.datetime64_dtypes(endianness="?")
    | hnp.timedelta64_dtypes(endianness="?")
    | hnp.byte_string_dtypes(endianness="?")
    | hnp.unicode_string_dtypes(endianness="?")
)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Draw arrays of every plain dtype: of any order in memory, without dimensions, empty, or with steps."""
    array = draw(hnp.arrays(dtypes, shapes))
    form = draw(st.sampled_from(["C", "F", "reversed", "transposed", "every second"]))
    if form == "F":
        return numpy.asfortranarray(array) if array.ndim else array
    if form == "transposed":
        return array.T
    step = {"reversed": -1, "every second": 2}.get(form)
    return array[(slice(None, None, step),) * array.ndim] if step and array.ndim else array


scalars = hnp.arrays(
    hnp.scalar_dtypes().filter(lambda dtype: dtype.kind in "biufcMm"),  # of strings: see the test below
    (),
).map(lambda array: array[()])
values = st.recursive(
    leaves | arrays() | scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(hashable, inner, max_size=4),
        st.sets(hashable, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(values)
def test_plain_round_trip_any_value_is_the_same(value: Any) -> None:
    """Every value of the plain types is stored plainly and comes back with the same types and bits."""
    codec, back = there_and_back(value)
    assert codec == PLAIN
    assert same(back, value)


@pytest.mark.parametrize("text", ["\ud83d\ude00", "\ud800", "a\udfffb", "é😀", "\0", "", "\x7f\u2028"])
def test_plain_string_with_surrogates_or_controls_is_the_same(text: str) -> None:
    """Two surrogates that stand side by side stay two, in a value as in a dict's key."""
    assert there_and_back({text: [text]}) == (PLAIN, {text: [text]})


@pytest.mark.parametrize(
    "number", [0, -1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**64), 10**6000, -(10**6000)], ids=lambda _: "int"
)
def test_plain_integer_of_any_size_is_exact(number: int) -> None:
    """Integers are exact, also beyond the digits that Python reads as decimal."""
    assert there_and_back(number) == (PLAIN, number)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1, 1.7976931348623157e308])
def test_plain_float_at_the_edges_is_exact(number: float) -> None:
    """Floats come back to the bit, infinities, signed zero and NaN included."""
    codec, back = there_and_back([number, complex(number, -0.0)])
    assert codec == PLAIN
    assert same(back, [number, complex(number, -0.0)])


def test_plain_memory_order_of_array_is_kept() -> None:
    """An array in Fortran order is one again when it comes back, and may be written to."""
    _, back = there_and_back(numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)))
    assert back.flags.f_contiguous
    assert back.flags.writeable


@pytest.mark.parametrize(
    "value",
    [Colour.RED, Point(1, 2), OrderedDict(a=1), Text("x"), bytearray(b"x"), range(3), ...],
    ids=lambda value: type(value).__name__,
)
def test_cloudpickle_other_type_comes_back_with_its_type(value: Any) -> None:
    """A subclass of a plain type, or any other type, is never taken for the plain one."""
    codec, back = there_and_back([value])
    assert codec == CLOUDPICKLE
    assert back == [value]
    assert type(back[0]) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        numpy.array([1, "a", None], dtype=object),
        numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        numpy.ma.masked_array([1, 2], mask=[True, False]),
        numpy.str_("a\0b"),
        numpy.bytes_(b"a\0b"),
    ],
    ids=["object", "record", "masked", "str", "bytes"],
)
def test_cloudpickle_numpy_value_that_is_not_plain_comes_back(value: Any) -> None:
    """What an .npy file without pickles cannot hold whole goes the other way, and comes back whole."""
    codec, back = there_and_back(value)
    assert codec == CLOUDPICKLE
    assert type(back) is type(value)
    assert back.dtype == value.dtype
    assert back.tolist() == value.tolist()


def test_cloudpickle_function_comes_back_and_works() -> None:
    """A function made on the spot can be stored."""
    codec, back = there_and_back(lambda x: x + 1)
    assert codec == CLOUDPICKLE
    assert back(1) == 2


@pytest.mark.parametrize("shared", [[1], {"a": 1}, {1}, numpy.zeros(2)], ids=lambda value: type(value).__name__)
def test_encode_shared_mutable_keeps_identity(shared: Any) -> None:
    """One object in two places is one object when it comes back."""
    codec, back = there_and_back([shared, (shared,)])
    assert codec == CLOUDPICKLE
    assert back[0] is back[1][0]


def test_encode_cycle_comes_back_as_cycle() -> None:
    """A list that contains itself does so again."""
    value: list[Any] = [1]
    value.append(value)
    codec, back = there_and_back(value)
    assert codec == CLOUDPICKLE
    assert back[1] is back


@pytest.mark.parametrize("depth", [10, 60, 70, 100])
@pytest.mark.parametrize("kind", [tuple, list])
def test_encode_deep_nesting_comes_back(depth: int, kind: Any) -> None:
    """Nesting is no limit of the plain codec's own: what is deep is left to cloudpickle."""
    value = kind()
    for _ in range(depth):
        value = kind([value])
    assert there_and_back(value)[1] == value


def test_encode_often_shared_tuple_ends() -> None:
    """A tuple that is small in memory and endless as a tree is left to cloudpickle."""
    value: Any = (1,)
    for _ in range(60):
        value = (value, value)
    codec, _ = encode(value)
    assert codec == CLOUDPICKLE


def test_encode_shared_small_tuple_is_plain() -> None:
    """A tuple in several places is common and stays plain."""
    shape = (2, 3)
    assert there_and_back({"a": shape, "b": shape}) == (PLAIN, {"a": (2, 3), "b": (2, 3)})


def test_encode_unpicklable_value_names_type_and_reason() -> None:
    """A value that no codec takes is refused by its type's name and the reason."""
    with pytest.raises(UnstorableResultError, match=r"type Unpicklable cannot be stored: ValueError: not me"):
        encode(Unpicklable())


def test_decode_plain_bytes_of_dangerous_value_are_not_plain(tmp_path: Any) -> None:
    """A value whose pickle acts when it is read never travels under the plain codec's name."""
    codec, _ = encode({"a": [Touches(str(tmp_path / "touched"))]})
    assert codec == CLOUDPICKLE


def test_decode_plain_with_pickle_inside_is_refused_unread(tmp_path: Any) -> None:
    """Bytes that claim to be plain and hold an array of pickled objects are refused, and nothing in them runs."""
    target = tmp_path / "touched"
    buffer = io.BytesIO()
    numpy.save(buffer, numpy.array([Touches(str(target))], dtype=object), allow_pickle=True)
    tree = json.dumps({"!array": [0, len(buffer.getvalue())]}).encode()
    with pytest.raises(ValueError, match="objects is not plain"):
        decode(PLAIN, struct.pack("<BI", 0, len(tree)) + tree + buffer.getvalue())
    assert not target.exists()


def test_decode_plain_given_a_pickle_is_refused_unread(tmp_path: Any) -> None:
    """The other codec's bytes under the plain codec's name are refused, and nothing in them runs."""
    target = tmp_path / "touched"
    _, data = encode(Touches(str(target)))
    with pytest.raises((ValueError, KeyError, StopIteration, struct.error)):
        decode(PLAIN, data)
    assert not target.exists()


def test_decode_unknown_codec_is_refused() -> None:
    """A codec of another version is refused by its name."""
    with pytest.raises(ValueError, match="unknown codec 'arrow'"):
        decode("arrow", b"")
