"""An entry's bytes: one file that says itself what it is and whether it is whole.

::

    magic        8 bytes   b"parcache"
    format       u16 major, u16 minor, little-endian
    sizes        u32 header, u64 payload, u64 appendix, in bytes
    header       JSON object: the key's parts, codec, run time, when, where; unknown members are ignored
    payload      the value, by the codec that the header names
    appendix     JSON objects, each a zlib stream, one after the other: what is only needed to explain the key
                 (overrides, config). A member of a later one stands in place of an earlier one's. Minor 0: at most one
    digest       32 bytes, BLAKE2b-256 over all that stands before

A reader refuses a newer major format, ignores what a newer minor one adds, and believes nothing of an entry whose
digest does not fit.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from parcache.errors import CorruptEntryError, NewerFormatError
from parcache.model import Key

MAGIC: Final = b"parcache"
MAJOR: Final = 1
MINOR: Final = 1
_FIXED: Final = struct.Struct("<8sHHIQQ")
_DIGEST_BYTES: Final = 32
PREFIX_BYTES: Final = len(MAGIC) + 2
_WORTH_COMPRESSING_BYTES: Final = 256
_JSON: Final = json.JSONEncoder(separators=(",", ":"))  # json.dumps makes a new one each time


@dataclass(frozen=True, slots=True)
class RawEntry:
    """A checked entry whose value has not been decoded yet. ``created_ns`` is in ns since the epoch (UTC)."""

    key: Key
    codec: str
    payload: bytes
    run_time_s: float
    created_ns: int
    record: Mapping[str, Any]
    appendix: bytes = b""

    def explanation(self) -> dict[str, Any]:
        """Return what explains the key: an empty dict where nothing was kept."""
        found: dict[str, Any] = {}
        rest = self.appendix
        while rest:
            stream = zlib.decompressobj()
            found.update(json.loads(stream.decompress(rest) + stream.flush()))
            rest = stream.unused_data
        return found


def pack_explanation(explanation: Mapping[str, Any]) -> bytes:
    """Return one stream of an entry's appendix."""
    data = _JSON.encode(explanation).encode("ascii")
    if len(data) >= _WORTH_COMPRESSING_BYTES:
        return zlib.compress(data, 1)
    stream = zlib.compressobj(0, zlib.DEFLATED, 9, 1)  # the smallest window: the default's 256 KiB cost 20 us to get
    return stream.compress(data) + stream.flush()


def pack(entry: RawEntry) -> bytes:
    """Return an entry's bytes."""
    key = entry.key
    header = _JSON.encode(
        {
            "key": {
                "digest": key.digest,
                "recipe": key.recipe,
                "config": key.config,
                "code": key.code,
                "python": key.python,
                "salt": key.salt,
                "env": key.env,
            },
            "codec": entry.codec,
            "run_time_s": entry.run_time_s,
            "created_ns": entry.created_ns,
            "record": dict(entry.record),
        }
    ).encode("ascii")
    sizes = len(header), len(entry.payload), len(entry.appendix)
    body = b"".join((_FIXED.pack(MAGIC, MAJOR, MINOR, *sizes), header, entry.payload, entry.appendix))
    return body + _checksum(body)


def major_of(prefix: bytes) -> int | None:
    """Return the major format that the first ``PREFIX_BYTES`` of an entry name, or None where they are no entry's."""
    if len(prefix) < PREFIX_BYTES or not prefix.startswith(MAGIC):
        return None
    return int.from_bytes(prefix[len(MAGIC) : PREFIX_BYTES], "little")


def unpack(data: bytes, path: str, digest: str) -> RawEntry:
    """Return the entry that these bytes are, checked from end to end.

    ``path`` is for messages; ``digest`` is the key that the entry is expected to have.

    Raises:
        CorruptEntryError: They are not an entry, not a whole one, or another key's.
        NewerFormatError: They are in a newer major format.
    """
    if len(data) < _FIXED.size + _DIGEST_BYTES:
        raise CorruptEntryError(path, f"{len(data)} bytes are too few")
    magic, major, _, *sizes = _FIXED.unpack_from(data)
    body = memoryview(data)[:-_DIGEST_BYTES]
    whole = hmac.compare_digest(_checksum(body), data[-_DIGEST_BYTES:])
    if magic != MAGIC:
        raise CorruptEntryError(path, "it does not begin like an entry")
    if major > MAJOR and whole:  # a format that changes the digest rule is named by format.json
        raise NewerFormatError(path, major, MAJOR)
    if not whole:
        raise CorruptEntryError(path, "its digest does not fit its content")
    if _FIXED.size + sum(sizes) != len(body):
        raise CorruptEntryError(path, "its sizes do not add up")
    first = _FIXED.size + sizes[0]
    second = first + sizes[1]
    try:
        header = json.loads(data[_FIXED.size : first].decode("ascii"))  # bytes would have their encoding guessed
        entry = RawEntry(
            _key(header["key"]),
            str(header["codec"]),
            data[first:second],
            float(header["run_time_s"]),
            int(header["created_ns"]),
            dict(header.get("record", ())),
            data[second:-_DIGEST_BYTES],
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CorruptEntryError(path, f"its header cannot be read: {type(error).__name__}") from None
    if entry.key.digest != digest:
        raise CorruptEntryError(path, f"it belongs to key {entry.key.digest}")
    return entry


def _key(parts: Mapping[str, Any]) -> Key:
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


def _checksum(body: bytes | memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
