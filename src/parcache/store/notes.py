"""Notes in the store: bytes by name that make the next sweep faster and can be lost without harm.

A note is a file: the XXH3-128 digest of all that follows, then the bytes. One that is damaged is none.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Final, NamedTuple

import xxhash

from parcache.store.files import put
from parcache.store.paths import StorePaths

log = logging.getLogger(__name__)

_CHECKSUM_BYTES: Final = 16


class Notes(NamedTuple):
    """The notes of one store. Safe to use from several processes at once; the last of two writers wins."""

    paths: StorePaths
    writable: bool = True

    def get(self, name: str) -> bytes | None:
        """Return what was put under a name, or None."""
        try:
            with open(self._path(name), "rb") as file:
                data = file.read()
        except (OSError, MemoryError):
            return None
        found = data[_CHECKSUM_BYTES:]
        return found if data[:_CHECKSUM_BYTES] == xxhash.xxh3_128_digest(_named(name, found)) else None

    def put(self, name: str, data: bytes) -> None:
        """Keep bytes under a name, in place of earlier ones. Failing to is no failure."""
        if not self.writable:
            return
        try:
            put(self.paths, self._path(name), xxhash.xxh3_128_digest(_named(name, data)) + data)
        except OSError as error:
            log.debug("cannot keep the note %s: %s", name, error)

    def _path(self, name: str) -> str:
        return self.paths.note(hashlib.blake2b(name.encode("utf-8"), digest_size=20).hexdigest())


def _named(name: str, data: bytes) -> bytes:
    # A note that was copied over another is none either.
    return name.encode("utf-8") + b"\0" + data
