"""An entry's bytes: one file that says itself what it is and whether it is whole.

::

    magic        8 bytes   b"parcache"
    format       u16 major, u16 minor, little-endian
    sizes        u32 header, u32 inputs, u64 payload, u64 appendix, in bytes
    head         u64, XXH3-64 over header and inputs: who needs no more can believe them without reading the rest
    run time     f64 in s; the task function's own
    created      i64 in ns since the epoch (UTC)
    key          32 bytes: the key's digest, filled up with zeros
    codec        16 bytes: its name, filled up with zeros
    header       JSON object: the key's parts, when, where; unknown members are ignored
    inputs       what the job read (``parcache.model.Watched``), as JSON; nothing where it read nothing that counts;
                 {"list": digest} where that is long and lies in a file of its own, which other entries share
    payload      the value, by the codec
    appendix     JSON objects, each a zlib stream, one after the other: what is only needed to explain the key
                 (overrides, config). A member of a later one stands in place of an earlier one's
    checksum     16 bytes, XXH3-128 over all that stands before

What every hit needs stands outside of the header, which is only parsed when somebody asks for what is in it.

A reader refuses a newer major format, ignores what a newer minor one adds, and believes nothing of an entry whose
checksum does not fit. The checksum finds damage; it is no protection against a forger.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from xxhash import xxh3_64_intdigest, xxh3_128_digest

from parcache.errors import CorruptEntryError, NewerFormatError
from parcache.model import Input, Key, Watched

MAGIC: Final = b"parcache"
MAJOR: Final = 3
MINOR: Final = 0
_FIXED: Final = struct.Struct("<8sHHIIQQQdq32s16s")
_FIXED_BYTES: Final = _FIXED.size
_unpack_fixed = _FIXED.unpack_from
_WORTH_A_VIEW_BYTES: Final = 1 << 12
_CHECKSUM_BYTES: Final = 16
_NAMES: Final = {name.encode("ascii").ljust(16, b"\0"): name for name in ("plain", "cloudpickle")}
PREFIX_BYTES: Final = len(MAGIC) + 2
_WORTH_COMPRESSING_BYTES: Final = 256
_JSON: Final = json.JSONEncoder(separators=(",", ":"))  # json.dumps makes a new one each time


class RawEntry(NamedTuple):
    """A checked entry whose header has not been parsed and whose value has not been decoded yet."""

    path: str
    codec: str
    run_time_s: float
    created_ns: int
    header: bytes
    payload: memoryview
    appendix: memoryview
    watched: bytes = b""

    def inputs(self) -> tuple[Input, ...]:
        """Return what the job read.

        Raises:
            CorruptEntryError: The list of it cannot be read.
        """
        try:
            return Watched.parse(self.watched).inputs
        except ValueError as error:
            raise CorruptEntryError(self.path, f"its inputs cannot be read: {error}") from None

    def key(self) -> Key:
        """Return the key with all its parts.

        Raises:
            CorruptEntryError: The header does not say.
        """
        try:
            header = json.loads(self.header)
        except (ValueError, RecursionError) as error:
            raise CorruptEntryError(self.path, f"its header cannot be read: {type(error).__name__}") from None
        return key_in(header, self.path)

    def explanation(self) -> dict[str, Any]:
        """Return what explains the key: an empty dict where nothing was kept."""
        found: dict[str, Any] = {}
        rest = bytes(self.appendix)
        while rest:
            stream = zlib.decompressobj()
            found.update(json.loads(stream.decompress(rest) + stream.flush()))
            if not stream.eof:  # cut off, its check with it
                raise ValueError("the appendix ends too early")
            rest = stream.unused_data
        return found


def key_in(header: Any, path: str) -> Key:
    """Return the key in a parsed header.

    Raises:
        CorruptEntryError: The header does not say.
    """
    try:
        parts = header["key"]
        env = tuple((str(name), value) for name, value in parts["env"])
        return Key(
            str(parts["digest"]),
            int(parts["recipe"]),
            str(parts["config"]),
            str(parts["code"]),
            str(parts["python"]),
            str(parts["salt"]),
            env,
        )
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise CorruptEntryError(path, f"its header cannot be read: {type(error).__name__}") from None


def pack_explanation(explanation: Mapping[str, Any]) -> bytes:
    """Return one stream of an entry's appendix."""
    data = _JSON.encode(explanation).encode("ascii")
    if len(data) >= _WORTH_COMPRESSING_BYTES:
        return zlib.compress(data, 1)
    stream = zlib.compressobj(0, zlib.DEFLATED, 9, 1)  # the smallest window: the default's 256 KiB cost 20 us to get
    return stream.compress(data) + stream.flush()


def pack(
    key: Key,
    codec: str,
    payload: bytes,
    *,
    run_time_s: float,
    created_ns: int,
    record: Mapping[str, Any],
    appendix: bytes = b"",
    watched: bytes = b"",
) -> bytes:
    """Return an entry's bytes."""
    parts = {
        "digest": key.digest,
        "recipe": key.recipe,
        "config": key.config,
        "code": key.code,
        "python": key.python,
        "salt": key.salt,
        "env": key.env,
    }
    header = _JSON.encode({"key": parts, "record": dict(record)}).encode("ascii")
    sizes = len(header), len(watched), len(payload), len(appendix)
    names = _filled(bytes.fromhex(key.digest), 32), _filled(codec.encode("ascii"), 16)
    head = xxh3_64_intdigest(header + watched)
    fixed = _FIXED.pack(MAGIC, MAJOR, MINOR, *sizes, head, run_time_s, created_ns, *names)
    body = b"".join((fixed, header, watched, payload, appendix))
    return body + xxh3_128_digest(body)


def _filled(data: bytes, size: int) -> bytes:
    if len(data) > size:
        raise ValueError(f"{len(data)} bytes do not fit a field of {size}")
    return data.ljust(size, b"\0")


def major_of(prefix: bytes) -> int | None:
    """Return the major format that the first ``PREFIX_BYTES`` of an entry name, or None where they are no entry's."""
    if len(prefix) < PREFIX_BYTES or not prefix.startswith(MAGIC):
        return None
    return int.from_bytes(prefix[len(MAGIC) : PREFIX_BYTES], "little")


class FixedPart(NamedTuple):
    """What stands before the header, and where header (``start`` to ``end``), inputs (from there) and appendix lie."""

    run_time_s: float
    created_ns: int
    start: int
    end: int
    inputs_end: int
    appendix: int
    appendix_bytes: int


def unpack_head(data: bytes, path: str) -> FixedPart:
    """Return the fixed part of an entry of which these are the first bytes, unchecked.

    Raises:
        CorruptEntryError: They are not an entry's.
        NewerFormatError: They are in a newer major format.
    """
    if len(data) < _FIXED.size:
        raise CorruptEntryError(path, f"{len(data)} bytes are too few")
    magic, major, _, header, inputs, payload, appendix, _, run_time_s, created_ns, _, _ = _FIXED.unpack_from(data)
    if magic != MAGIC or major < MAJOR:
        raise CorruptEntryError(path, "it does not begin like an entry")
    if major > MAJOR:
        raise NewerFormatError(path, major, MAJOR)
    end = _FIXED.size + header
    payload_start = end + inputs
    return FixedPart(run_time_s, created_ns, _FIXED.size, end, payload_start, payload_start + payload, appendix)


def unpack(data: bytes, path: str, digest: str) -> RawEntry:
    """Return the entry that these bytes are, checked from end to end.

    ``path`` is for messages; ``digest`` is the key that the entry is expected to have.

    Raises:
        CorruptEntryError: They are not an entry, not a whole one, or another key's.
        NewerFormatError: They are in a newer major format.
    """
    if len(data) < _FIXED.size + _CHECKSUM_BYTES:
        raise CorruptEntryError(path, f"{len(data)} bytes are too few")
    magic, major, _, header, inputs, payload, appendix, _, run_time_s, created_ns, key, codec = _FIXED.unpack_from(data)
    if magic != MAGIC:
        raise CorruptEntryError(path, "it does not begin like an entry")
    if major < MAJOR:
        raise CorruptEntryError(path, f"it is in format {major}, which no released version wrote")
    view = memoryview(data)
    if not data.endswith(xxh3_128_digest(view[:-_CHECKSUM_BYTES])):
        raise CorruptEntryError(path, "its checksum does not fit its content")
    if major > MAJOR:  # a format that changes the checksum's rule is named by format.json
        raise NewerFormatError(path, major, MAJOR)
    first = _FIXED.size + header
    second = first + inputs
    third = second + payload
    if third + appendix + _CHECKSUM_BYTES != len(data):
        raise CorruptEntryError(path, "its sizes do not add up")
    if not key.startswith(bytes.fromhex(digest)):
        raise CorruptEntryError(path, f"it belongs to another key, {key.hex()}")
    name = codec.rstrip(b"\0").decode("ascii", "replace")
    head = data[_FIXED.size : first]
    rest = view[third:-_CHECKSUM_BYTES]
    return RawEntry(path, name, run_time_s, created_ns, head, view[second:third], rest, data[first:second])


def peek_inputs(start: bytes) -> bytes | None:
    """Return the inputs of an entry of which only the first bytes were read; None where they are not whole."""
    if len(start) < _FIXED.size:
        return None
    magic, major, _, header, inputs, _, _, head, *_ = _FIXED.unpack_from(start)
    end = _FIXED.size + header + inputs
    if magic != MAGIC or major != MAJOR or xxh3_64_intdigest(start[_FIXED.size : end]) != head:
        return None
    return start[end - inputs : end]


def unpack_whole(data: bytes, digest: str) -> tuple[str, bytes, float, int, bytes, bytes]:
    """Return codec, payload, run time, time of creation, header and inputs of an entry, far faster than ``unpack``.

    Raises:
        ValueError: ``unpack`` would not return an entry, or one whose codec is not known; it says why.
        struct.error: There is no fixed part.
    """
    magic, major, _, header, inputs, payload, appendix, _, run_time_s, created_ns, key, codec = _unpack_fixed(data)
    first = _FIXED_BYTES + header
    second = first + inputs
    third = second + payload
    size = len(data)
    # A copy of few bytes costs less than a view of them.
    body = data[:-_CHECKSUM_BYTES] if size < _WORTH_A_VIEW_BYTES else memoryview(data)[:-_CHECKSUM_BYTES]
    if (
        magic != MAGIC
        or major != MAJOR
        or codec not in _NAMES
        or third + appendix + _CHECKSUM_BYTES != size
        or not key.hex().startswith(digest)
        or not data.endswith(xxh3_128_digest(body))
    ):
        raise ValueError("not a whole entry")
    return _NAMES[codec], data[second:third], run_time_s, created_ns, data[_FIXED_BYTES:first], data[first:second]
