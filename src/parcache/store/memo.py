"""Digests of large files, kept so that no sweep and no worker reads them again while they stay as they are.

::

    JSON object     path, stamp (what a file's metadata was), digest
    checksum        16 bytes, XXH3-128 over all that stands before

One file for each path, named by the path's digest. What is damaged is not believed: the content is read again.
"""

from __future__ import annotations

import json
import logging
import os
from typing import Final, NamedTuple

import xxhash

from parcache.store.files import put
from parcache.store.paths import StorePaths

log = logging.getLogger(__name__)

_CHECKSUM_BYTES: Final = 16


class DigestMemo(NamedTuple):
    """The kept digests of one store. Safe to use from several processes and threads at once."""

    paths: StorePaths
    writable: bool

    def recall(self, path: str, stamp: str) -> str | None:
        """Return the digest of a file whose metadata is this, or None."""
        kept = self._file(path)
        try:
            with open(kept, "rb") as file:
                data = file.read()
        except OSError:
            return None
        body = data[:-_CHECKSUM_BYTES]
        try:
            if data[-_CHECKSUM_BYTES:] != xxhash.xxh3_128_digest(body):
                raise ValueError("its checksum does not fit")
            found = json.loads(body)
            known = found["path"], found["stamp"]
            return str(found["digest"]) if known == (path, stamp) else None
        except (ValueError, KeyError, TypeError, RecursionError):
            log.warning("%s is damaged; the content of %s is read again.", kept, path)
            return None

    def keep(self, path: str, stamp: str, digest: str) -> None:
        """Keep a digest. It only saves time: failing to is no failure."""
        if not self.writable:
            return
        body = json.dumps({"path": path, "stamp": stamp, "digest": digest}).encode("ascii")
        try:
            put(self.paths, self._file(path), body + xxhash.xxh3_128_digest(body))
        except OSError as error:
            log.debug("cannot keep the digest of %s: %s", path, error)

    def _file(self, path: str) -> str:
        return self.paths.memo(xxhash.xxh3_128_hexdigest(os.fsencode(path)))
