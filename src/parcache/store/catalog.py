"""What lies in the store, for those who explain keys: entries by their heads, descriptions of code, nothing decoded.

A head is an entry's fixed part and its header. It is not checked against the entry's checksum, which covers all of
the file: a head is for choosing, and what was chosen is read with care.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from parcache.errors import CorruptEntryError, NewerFormatError
from parcache.model import Key
from parcache.store.entry import RawEntry, key_in, peek_inputs, unpack, unpack_head
from parcache.store.paths import StorePaths

# A head takes 15 us to read, a look at a file's time 4 us: 0.7 s in all of a store of 100 000 entries.
MAX_HEADS: Final = 20_000
_HEAD_BYTES: Final = 4096
_SMALL_BYTES: Final = 1 << 20


class Head(NamedTuple):
    """An entry without its value. ``record`` is what was recorded beside it: the task, the directory, the host."""

    path: str
    created_ns: int
    run_time_s: float
    key: Key
    record: dict[str, Any]


def heads(paths: StorePaths, limit: int = MAX_HEADS) -> Iterator[Head]:
    """Yield the heads of the entries that were written last, at most so many; what cannot be read is passed by."""
    newest = heapq.nlargest(limit, _dated_entries(paths))
    for _, path in newest:
        head = read_head(path)
        if head is not None:
            yield head


def versions(paths: StorePaths, digest: str) -> list[Head]:
    """Return the heads of all entries of one key: the last one, and those beside it that had other inputs."""
    path = paths.entry(digest)
    folder = path.removesuffix(".entry") + ".d"
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        names = []
    found = [read_head(each) for each in (path, *(os.path.join(folder, name) for name in names))]
    return [head for head in found if head is not None]


def read_head(path: str) -> Head | None:
    """Return an entry's head, or None where the file is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, _HEAD_BYTES)
            fixed = unpack_head(data, path)
            if fixed.end > len(data):
                data += os.read(descriptor, fixed.end - len(data))
        finally:
            os.close(descriptor)
        header = json.loads(data[fixed.start : fixed.end].decode("ascii"))  # of bytes, json guesses the encoding
        return Head(path, fixed.created_ns, fixed.run_time_s, key_in(header, path), dict(header.get("record") or {}))
    except (OSError, CorruptEntryError, NewerFormatError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def read_without_value(path: str, digest: str) -> RawEntry | None:
    """Return the entry in a file, or None where there is none or a damaged one. Of a large one the value is not read.

    A small one is checked from end to end; of a large one header and inputs by a checksum of their own, the appendix by
    the checks of its streams.
    """
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size <= _SMALL_BYTES:
                return unpack(file.read(), path, digest)
            data = file.read(_HEAD_BYTES)
            fixed = unpack_head(data, path)
            data += file.read(max(0, fixed.inputs_end - len(data)))
            inputs = peek_inputs(data)
            if inputs is None:
                return None
            file.seek(fixed.appendix)
            appendix = memoryview(file.read(fixed.appendix_bytes))
            if len(appendix) != fixed.appendix_bytes:  # cut off, perhaps between two streams
                return None
        header = data[fixed.start : fixed.end]
        raw = RawEntry(path, "", fixed.run_time_s, fixed.created_ns, header, memoryview(b""), appendix, inputs)
        return raw if raw.key().digest == digest else None
    except (OSError, MemoryError, CorruptEntryError, NewerFormatError, ValueError, OverflowError):
        return None


def pack_description(description: dict[str, Any]) -> bytes:
    """Return the bytes of a description of code: JSON, whose member ``check`` is the digest of the others."""
    return json.dumps({"check": _check(description), **description}, indent=1).encode("ascii")


def read_description(paths: StorePaths, digest: str) -> dict[str, Any] | None:
    """Return what a fingerprint was made of, or None where that was not kept or is damaged."""
    try:
        with open(paths.code(digest), "rb") as file:
            found = json.loads(file.read())
        return found if found.pop("check") == _check(found) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _check(description: dict[str, Any]) -> str:
    return blake2b(json.dumps(description).encode("ascii"), digest_size=8).hexdigest()


def _dated_entries(paths: StorePaths) -> Iterator[tuple[int, str]]:
    try:
        folders = sorted(os.listdir(paths.entries))
    except OSError:
        return
    for folder in folders:
        try:
            with os.scandir(os.path.join(paths.entries, folder)) as found:
                for item in found:
                    if item.name.endswith(".entry"):
                        yield item.stat().st_mtime_ns, item.path
        except OSError:
            continue
