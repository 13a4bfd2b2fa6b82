"""Digests of files, each content read as seldom as can be.

XXH3-128, at the speed of memory; BLAKE2b would take ten times as long over data of gigabytes. It tells one version of a
file from another; it is no protection against somebody who makes two files with one digest.

A file's *stamp* is its size, its times and its inode. A stamp that is younger than two seconds proves nothing: a
change within the same tick of the file system's clock (2 s on FAT, 1 s on some network file systems) would have it too.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

import xxhash

RACY_NS: Final = 2_000_000_000
_CHUNK_BYTES: Final = 1 << 20
# Below this reading the file again is as cheap as looking its digest up.
_LARGE_BYTES: Final = 1 << 18


class Memo(Protocol):
    """Keeps digests beyond this process."""

    def recall(self, path: str, stamp: str) -> str | None:
        """Return the digest of a file with this stamp, or None."""

    def keep(self, path: str, stamp: str, digest: str) -> None:
        """Keep a digest."""


class State(NamedTuple):
    """What of a file's or folder's metadata tells that it is as it was. Small: a job may read a million files."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    is_folder: bool

    @property
    def is_settled(self) -> bool:
        """Tell whether a later change would show."""
        return max(self.mtime_ns, self.ctime_ns) + RACY_NS < time.time_ns()


class Digester:
    """Digests files; those that have come to rest only once."""

    def __init__(self, memo: Memo | None = None) -> None:
        self._memo = memo
        self._known: dict[str, tuple[str, str]] = {}

    def file(self, path: str, found: State, until_s: float | None = None) -> str | None:
        """Return the digest of a regular file in this state; None where it is not, or changes meanwhile.

        After ``until_s``, by ``time.perf_counter``, nothing is read any more: an empty string where that was needed.
        A file that has not come to rest is read all the same, as its stamp proves nothing.

        Raises:
            OSError: It cannot be read.
        """
        stamp = f"{found.size}:{found.mtime_ns}:{found.ctime_ns}:{found.inode}"
        known = self._known.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        settled = found.is_settled
        memo = self._memo if settled and found.size >= _LARGE_BYTES else None
        digest = memo.recall(path, stamp) if memo is not None else None
        if digest is None:
            if settled and until_s is not None and time.perf_counter() > until_s:
                return ""
            digest = content_digest(path)
            if look(path) != found:
                return None
            if memo is not None:
                memo.keep(path, stamp, digest)
        if settled:
            self._known[path] = stamp, digest
        return digest


def content_digest(path: str) -> str:
    """Return the digest of a file's content."""
    state = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(min(_CHUNK_BYTES, max(os.fstat(file.fileno()).st_size, 1)))
        view = memoryview(buffer)
        while size := file.readinto(buffer):
            state.update(view[:size])
    return state.hexdigest()


def names_digest(names: Iterable[str]) -> str:
    """Return the digest of the names in a folder, whatever their order."""
    return xxhash.xxh3_128_hexdigest(b"\0".join(sorted(map(os.fsencode, names))))


def text_digest(parts: Iterable[str]) -> str:
    """Return the digest of a sequence of texts without NULs."""
    return xxhash.xxh3_128_hexdigest("\0".join(parts).encode("utf-8", "surrogatepass"))


def look(path: str) -> State | None:
    """Return the state of a regular file or folder; None where there is neither."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    is_folder = stat.S_ISDIR(found.st_mode)
    if not is_folder and not stat.S_ISREG(found.st_mode):
        return None
    return State(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, is_folder)
