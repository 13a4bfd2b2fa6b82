"""Notes in the store: bytes by name that make the next sweep faster and can be lost without harm.

A note is a file: the XXH3-128 digest of all that follows, then the bytes. One that is damaged is none.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from contextlib import suppress
from typing import Final, NamedTuple

import xxhash

log = logging.getLogger(__name__)

_CHECKSUM_BYTES: Final = 16


class Notes(NamedTuple):
    """The notes in one folder. Safe to use from several processes at once; the last of two writers wins."""

    folder: str
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
        path = self._path(name)
        scratch = f"{path}.{os.getpid()}-{secrets.token_hex(6)}"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                with open(scratch, "xb") as file:
                    file.write(xxhash.xxh3_128_digest(_named(name, data)))
                    file.write(data)
                os.replace(scratch, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(scratch)
                raise
        except OSError as error:
            log.debug("cannot keep the note %s: %s", name, error)

    def _path(self, name: str) -> str:
        digest = hashlib.blake2b(name.encode("utf-8"), digest_size=20).hexdigest()
        return os.path.join(self.folder, digest[:2], f"{digest}.note")


def _named(name: str, data: bytes) -> bytes:
    # A note that was copied over another is none either.
    return name.encode("utf-8") + b"\0" + data
