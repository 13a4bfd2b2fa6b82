"""An entry's bytes: fixed by a golden file, tolerant of what a newer minor format adds, deaf to what is damaged."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcache.errors import CorruptEntryError, NewerFormatError
from parcache.model import Key
from parcache.store import codec
from parcache.store.entry import MAGIC, MAJOR, MINOR, RawEntry, pack, pack_explanation, unpack

GOLDEN = Path(__file__).parent / "golden" / "entry.bin"
EARLIER = Path(__file__).parent / "golden" / "entry-1.0.bin"
KEY = Key("ab" * 32, 1, "c0" * 32, "de" * 32, "3.11", "pepper", (("SEED", "7"), ("UNSET", None)))
FIXED = "<8sHHIQQ"


def fixed_entry(appendix: bytes = b"") -> RawEntry:
    name, payload = codec.encode({"accuracy": 0.97, "epochs": 3, "labels": ("a", b"\x00"), "text": "\ud83d\ude00"})
    return RawEntry(KEY, name, payload, 1.5, 1_700_000_000_000_000_000, {"host": "node7"}, appendix)


def sealed(body: bytes) -> bytes:
    return body + hashlib.blake2b(body, digest_size=32).digest()


def remade(*, major: int = MAJOR, minor: int = MINOR, change: Callable[[dict[str, Any]], Any] | None = None) -> bytes:
    """Return the fixed entry with another format number or header, whole and with the right digest."""
    data = pack(fixed_entry())
    header_bytes, payload_bytes, appendix_bytes = struct.unpack_from(FIXED, data)[3:]
    start = struct.calcsize(FIXED)
    header = json.loads(data[start : start + header_bytes])
    changed = header if change is None else change(header) or header
    text = json.dumps(changed).encode()
    fixed = struct.pack(FIXED, MAGIC, major, minor, len(text), payload_bytes, appendix_bytes)
    return sealed(fixed + text + data[start + header_bytes : -32])


def test_pack_fixed_entry_gives_the_golden_bytes() -> None:
    """The bytes of an entry do not change within a format; the golden file is only replaced together with it."""
    assert pack(fixed_entry()) == GOLDEN.read_bytes()


@pytest.mark.parametrize("golden", [GOLDEN, EARLIER], ids=["this minor", "minor 0"])
def test_unpack_golden_bytes_gives_the_fixed_entry(golden: Path) -> None:
    """What an earlier version of this format wrote is read today."""
    entry = unpack(golden.read_bytes(), "golden", KEY.digest)
    assert entry == fixed_entry()
    assert codec.decode(entry.codec, entry.payload)["text"] == "\ud83d\ude00"


@given(
    st.binary(max_size=50),
    st.floats(allow_nan=False),
    st.dictionaries(st.text(), st.none() | st.integers() | st.text(), max_size=3),
    st.lists(st.tuples(st.text(), st.none() | st.text()), max_size=3),
)
def test_unpack_packed_entry_is_the_same(payload: bytes, run_time_s: float, record: Any, env: Any) -> None:
    """An entry of any content comes back as it was."""
    key = Key(KEY.digest, 1, "c", "d", "3.10", "s\ud800", tuple(env))
    entry = RawEntry(key, "plain", payload, run_time_s, 1, record, b"xyz")
    assert unpack(pack(entry), "here", KEY.digest) == entry


def test_explanation_packed_comes_back() -> None:
    """What explains a key is kept with the entry."""
    explanation = {"overrides": ["lr=0.1", "é\ud800"], "config": {"a": [1, None]}}
    assert fixed_entry(pack_explanation(explanation)).explanation() == explanation


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(max_size=300)), max_size=4))
def test_explanation_of_several_streams_is_merged_in_their_order(streams: list[dict[str, Any]]) -> None:
    """What several entries share stands in a stream of its own; a later stream's member stands in an earlier one's."""
    merged = {name: value for stream in streams for name, value in stream.items()}
    assert fixed_entry(b"".join(map(pack_explanation, streams))).explanation() == merged


def test_explanation_of_minor_0_is_read() -> None:
    """The single stream of the earlier minor format is read as before."""
    assert fixed_entry(zlib.compress(b'{"overrides":["x=1"]}', 1)).explanation() == {"overrides": ["x=1"]}


def test_explanation_absent_is_empty() -> None:
    """An entry without an explanation has an empty one."""
    assert fixed_entry().explanation() == {}


def test_unpack_unknown_header_members_are_ignored() -> None:
    """A header may hold more than this version knows, also within the key's parts."""

    def add(header: dict[str, Any]) -> None:
        header["colour"] = {"deep": [1]}
        header["key"]["colour"] = "red"

    assert unpack(remade(change=add), "here", KEY.digest) == fixed_entry()


def test_unpack_header_without_record_is_read() -> None:
    """What was recorded beside the value may be absent."""
    assert unpack(remade(change=lambda header: header.pop("record") and None), "here", KEY.digest).record == {}


def test_unpack_newer_minor_format_is_read() -> None:
    """A newer minor format only adds what may be ignored."""
    assert unpack(remade(minor=MINOR + 1), "here", KEY.digest) == fixed_entry()


def test_unpack_newer_major_format_is_refused_by_name() -> None:
    """A newer major format is named together with the one that is known."""
    with pytest.raises(NewerFormatError) as caught:
        unpack(remade(major=MAJOR + 1), "here", KEY.digest)
    assert (caught.value.path, caught.value.found, caught.value.known) == ("here", MAJOR + 1, MAJOR)


def test_unpack_newer_major_number_by_damage_is_damage() -> None:
    """A flipped bit in the format's number is damage, not a newer parcache."""
    data = bytearray(pack(fixed_entry()))
    data[8] ^= 2
    with pytest.raises(CorruptEntryError):
        unpack(bytes(data), "here", KEY.digest)


def test_unpack_entry_of_another_key_is_refused() -> None:
    """An entry is only believed where it belongs."""
    with pytest.raises(CorruptEntryError, match=f"belongs to key {KEY.digest}"):
        unpack(pack(fixed_entry()), "here", "cd" * 32)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: [header],
        lambda header: header["key"].pop("code") and None,
        lambda header: header.update(created_ns=float("inf")),
        lambda header: header.update(run_time_s=None),
        lambda header: header.update(record=3),
        lambda header: header["key"].update(env=[["one"]]),
        lambda header: header["key"].update(recipe="x"),
    ],
    ids=["list", "no code", "infinite time", "no run time", "record", "env", "recipe"],
)
def test_unpack_whole_entry_with_strange_header_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    """A header that is not what the format says is damage, whoever wrote it."""
    with pytest.raises(CorruptEntryError, match="header cannot be read"):
        unpack(remade(change=change), "here", KEY.digest)


def test_unpack_sizes_that_do_not_add_up_are_refused() -> None:
    """Sizes beyond the file's end are damage, even under a digest that fits."""
    data = bytearray(pack(fixed_entry())[:-32])
    data[16] += 1
    with pytest.raises(CorruptEntryError, match="sizes do not add up"):
        unpack(sealed(bytes(data)), "here", KEY.digest)


def test_unpack_other_magic_is_refused() -> None:
    """A file of another kind is no entry, even under a digest that fits."""
    with pytest.raises(CorruptEntryError, match="does not begin like an entry"):
        unpack(sealed(b"PARCACHE" + pack(fixed_entry())[8:-32]), "here", KEY.digest)
