"""An entry's bytes: fixed by a golden file, tolerant of what a newer minor format adds, deaf to what is damaged."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from parcache.errors import CorruptEntryError, NewerFormatError
from parcache.model import Entry, Input, Key, Watched
from parcache.store import codec
from parcache.store.entry import (
    MAGIC,
    MAJOR,
    MINOR,
    RawEntry,
    pack,
    pack_explanation,
    peek_inputs,
    unpack,
    unpack_whole,
)

pytestmark = pytest.mark.any_hydra

GOLDEN = Path(__file__).parent / "golden" / "entry.bin"
KEY = Key("ab" * 20, 1, "c0" * 20, "de" * 20, "3.11", "pepper", (("SEED", "7"), ("UNSET", None)))
FIXED = struct.Struct("<8sHHIIQQQdq32s16s")
CREATED_NS = 1_700_000_000_000_000_000
INPUTS = (Input("data/a.csv", "file", 12, CREATED_NS, "c0" * 16, "1:2"), Input("data/b", "absent", left="d0" * 16))
VALUE = {"accuracy": 0.97, "epochs": 3, "labels": ("a", b"\x00"), "text": "\ud83d\ude00"}


def packed(appendix: bytes = b"", key: Key = KEY) -> bytes:
    """Return one entry that never changes, as bytes."""
    name, payload = codec.encode(VALUE)
    return pack(
        key,
        name,
        payload,
        run_time_s=1.5,
        created_ns=CREATED_NS,
        record={"host": "node7"},
        appendix=appendix,
        watched=Watched(INPUTS, ("*.log",)).pack(),
    )


def read_back(data: bytes) -> RawEntry:
    return unpack(data, "here", KEY.digest)


def assert_is_the_packed_one(entry: RawEntry) -> None:
    assert (entry.codec, entry.run_time_s, entry.created_ns, entry.key()) == ("plain", 1.5, CREATED_NS, KEY)
    assert recorded(entry) == {"host": "node7"}
    assert codec.decode(entry.codec, entry.payload) == VALUE
    assert entry.explanation() == {}
    assert entry.inputs() == INPUTS


def recorded(entry: RawEntry) -> dict[str, Any]:
    return Entry(KEY, None, 1.0, 1, entry.header).record()


def sealed(body: bytes) -> bytes:
    return body + xxhash.xxh3_128_digest(body)


def remade(*, major: int = MAJOR, minor: int = MINOR, change: Callable[[dict[str, Any]], Any] | None = None) -> bytes:
    """Return the entry with another format number or header, whole and with the right checksum."""
    data = packed()
    _, _, _, header_bytes, *others = FIXED.unpack_from(data)
    end = FIXED.size + header_bytes
    header = json.loads(data[FIXED.size : end])
    changed = header if change is None else change(header) or header
    text = json.dumps(changed).encode()
    return sealed(FIXED.pack(MAGIC, major, minor, len(text), *others) + text + data[end:-16])


def test_pack_fixed_entry_gives_the_golden_bytes() -> None:
    """The bytes of an entry do not change within a format; the golden file is only replaced together with it."""
    assert packed() == GOLDEN.read_bytes()


def test_unpack_golden_bytes_gives_the_fixed_entry() -> None:
    """What an earlier version of this format wrote is read today."""
    assert_is_the_packed_one(read_back(GOLDEN.read_bytes()))


@given(
    st.binary(max_size=50),
    st.floats(allow_nan=False),
    st.dictionaries(st.text(), st.none() | st.integers() | st.text(), max_size=3),
    st.lists(st.tuples(st.text(), st.none() | st.text()), max_size=3),
    st.sampled_from(["plain", "cloudpickle", "arrow"]),
)
def test_unpack_packed_entry_is_the_same(payload: bytes, run_time_s: float, record: Any, env: Any, name: str) -> None:
    """An entry of any content comes back as it was."""
    key = Key(KEY.digest, 1, "c", "d", "3.10", "s\ud800", tuple(env))
    data = pack(key, name, payload, run_time_s=run_time_s, created_ns=1, record=record, appendix=b"xyz")
    entry = read_back(data)
    assert (entry.codec, bytes(entry.payload), entry.run_time_s, entry.created_ns) == (name, payload, run_time_s, 1)
    assert (entry.key(), recorded(entry), bytes(entry.appendix)) == (key, record, b"xyz")


def test_pack_name_that_is_too_long_is_refused() -> None:
    """What does not fit its field is no entry that would be read as another."""
    with pytest.raises(ValueError, match="17 bytes"):
        pack(KEY, "a" * 17, b"", run_time_s=1.0, created_ns=1, record={})
    with pytest.raises(ValueError, match="33 bytes"):
        pack(Key("ab" * 33, 1, "", "", "", ""), "plain", b"", run_time_s=1.0, created_ns=1, record={})


def test_explanation_packed_comes_back() -> None:
    """What explains a key is kept with the entry."""
    explanation = {"overrides": ["lr=0.1", "é\ud800"], "config": {"a": [1, None]}}
    assert read_back(packed(pack_explanation(explanation))).explanation() == explanation


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(max_size=300)), max_size=4))
def test_explanation_of_several_streams_is_merged_in_their_order(streams: list[dict[str, Any]]) -> None:
    """What several entries share stands in a stream of its own; a later stream's member stands in an earlier one's."""
    merged = {name: value for stream in streams for name, value in stream.items()}
    assert read_back(packed(b"".join(map(pack_explanation, streams)))).explanation() == merged


def test_explanation_absent_is_empty() -> None:
    """An entry without an explanation has an empty one."""
    assert read_back(packed()).explanation() == {}


def test_unpack_unknown_header_members_are_ignored() -> None:
    """A header may hold more than this version knows, also within the key's parts."""

    def add(header: dict[str, Any]) -> None:
        header["colour"] = {"deep": [1]}
        header["key"]["colour"] = "red"

    assert_is_the_packed_one(read_back(remade(change=add)))


def test_unpack_header_without_record_is_read() -> None:
    """What was recorded beside the value may be absent."""
    assert recorded(read_back(remade(change=lambda header: header.pop("record") and None))) == {}


def test_unpack_newer_minor_format_is_read() -> None:
    """A newer minor format only adds what may be ignored."""
    assert_is_the_packed_one(read_back(remade(minor=MINOR + 1)))


def test_unpack_newer_major_format_is_refused_by_name() -> None:
    """A newer major format is named together with the one that is known."""
    with pytest.raises(NewerFormatError) as caught:
        unpack(remade(major=MAJOR + 1), "here", KEY.digest)
    assert (caught.value.path, caught.value.found, caught.value.known) == ("here", MAJOR + 1, MAJOR)


def test_unpack_newer_major_number_by_damage_is_damage() -> None:
    """A flipped bit in the format's number is damage, not a newer parcache."""
    data = bytearray(packed())
    data[8] ^= 2
    with pytest.raises(CorruptEntryError):
        unpack(bytes(data), "here", KEY.digest)


def test_unpack_entry_of_another_key_is_refused() -> None:
    """An entry is only believed where it belongs."""
    with pytest.raises(CorruptEntryError, match=f"belongs to another key, {KEY.digest}"):
        unpack(packed(), "here", "cd" * 20)


def test_unpack_earlier_format_is_named() -> None:
    """What a version before the first release wrote is a miss that says so."""
    with pytest.raises(CorruptEntryError, match="format 1, which no released version wrote"):
        read_back(remade(major=1))


@pytest.mark.parametrize(
    "change",
    [
        lambda header: [header],
        lambda header: header["key"].pop("code") and None,
        lambda header: header["key"].update(env=[["one"]]),
        lambda header: header["key"].update(recipe="x"),
    ],
    ids=["list", "no code", "env", "recipe"],
)
def test_key_of_strange_header_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    """A header that does not say what the key is made of is damage, whoever wrote it."""
    with pytest.raises(CorruptEntryError, match="header cannot be read"):
        read_back(remade(change=change)).key()


@pytest.mark.parametrize("change", [lambda header: [header], lambda header: header.update(record=3)])
def test_record_of_strange_header_is_empty(change: Callable[[dict[str, Any]], Any]) -> None:
    """What is only told beside a value is no reason to refuse it."""
    assert recorded(read_back(remade(change=change))) == {}


def test_unpack_sizes_that_do_not_add_up_are_refused() -> None:
    """Sizes beyond the file's end are damage, even under a digest that fits."""
    data = bytearray(packed()[:-16])
    data[16] += 1
    with pytest.raises(CorruptEntryError, match="sizes do not add up"):
        unpack(sealed(bytes(data)), "here", KEY.digest)


def test_unpack_other_magic_is_refused() -> None:
    """A file of another kind is no entry, even under a digest that fits."""
    with pytest.raises(CorruptEntryError, match="does not begin like an entry"):
        unpack(sealed(b"PARCACHE" + packed()[8:-16]), "here", KEY.digest)


def test_peek_inputs_needs_no_more_than_what_stands_before_the_payload() -> None:
    """The inputs can be told from an entry's first bytes, as soon as they are whole."""
    entry = read_back(packed())
    end = packed().index(entry.watched) + len(entry.watched)
    assert peek_inputs(packed()[:end]) == peek_inputs(packed()) == entry.watched
    assert {peek_inputs(packed()[:length]) for length in range(end)} == {None}


@given(st.integers(0, (FIXED.size + 50) * 8 - 1))
def test_peek_inputs_with_a_bit_flipped_is_none_or_right(bit: int) -> None:
    """Damage to what is peeked at is noticed."""
    damaged = bytearray(packed())
    damaged[bit // 8] ^= 1 << bit % 8
    assert peek_inputs(bytes(damaged)) in (None, read_back(packed()).watched)


def test_inputs_of_strange_bytes_are_damage() -> None:
    """Inputs that no version writes are told as damage."""
    entry = read_back(packed())._replace(watched=b"x")
    with pytest.raises(CorruptEntryError, match="inputs cannot be read"):
        entry.inputs()


@given(st.integers(0, len(packed()) * 8 - 1))
def test_unpack_whole_entry_with_a_bit_flipped_is_refused(bit: int) -> None:
    """The short way refuses whatever ``unpack`` would refuse."""
    damaged = bytearray(packed())
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match="not a whole entry"):
        unpack_whole(bytes(damaged), KEY.digest)


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (packed(), "cd" * 20),
        (remade(major=MAJOR + 1), KEY.digest),
        (remade(major=1), KEY.digest),
        (packed() + b"\0", KEY.digest),
        (packed()[:-1], KEY.digest),
    ],
    ids=["another key", "newer", "earlier", "longer", "shorter"],
)
def test_unpack_whole_what_is_no_whole_entry_is_refused(data: bytes, digest: str) -> None:
    """The short way believes only an entry of this format, of this key, from end to end."""
    with pytest.raises(ValueError, match="not a whole entry"):
        unpack_whole(data, digest)


def test_unpack_whole_entry_is_as_unpacked_with_care() -> None:
    """Both ways see the same in an entry."""
    entry = read_back(packed())
    assert unpack_whole(packed(), KEY.digest) == (
        entry.codec,
        bytes(entry.payload),
        entry.run_time_s,
        entry.created_ns,
        entry.header,
        entry.watched,
    )
