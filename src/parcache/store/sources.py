"""The texts of fingerprinted files, kept so that ``why`` can show what has changed.

Each is one zlib stream of the file's bytes, named by their digest: BLAKE2b-160, the one by which a fingerprint knows a
file. Whoever reads one checks it against its name, so that damage costs a diff and never shows a wrong one.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

from parcache.store.paths import StorePaths

MAX_BYTES: Final = 2 << 20  # what is larger was not written by hand


def keep_texts(paths: StorePaths, files: Mapping[str, str], write: Callable[[str, bytes], None]) -> None:
    """Keep the texts of files, given as path and digest, that are not there yet.

    One that is no longer what was digested is left out, and so is one that is large.

    Raises:
        OSError: The store cannot be written.
    """
    for path, digest in files.items():
        target = paths.source(digest)
        if os.path.exists(target):
            continue
        data = text_on_disk(path, digest)
        if data is not None:
            write(target, zlib.compress(data, 1))  # 6 takes three times as long and saves a tenth


def text_on_disk(path: str, digest: str) -> bytes | None:
    """Return the bytes of a file that still has this digest and is not large, or None."""
    try:
        if os.path.getsize(path) > MAX_BYTES:
            return None
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError):
        return None
    return data if _digest(data) == digest else None


def kept_text(paths: StorePaths, digest: str) -> bytes | None:
    """Return the text that was kept under a digest, or None where there is none, or a damaged one."""
    try:
        with open(paths.source(digest), "rb") as file:
            # Bounded: a damaged stream must not fill the memory.
            data = zlib.decompressobj().decompress(file.read(MAX_BYTES + (1 << 16)), MAX_BYTES + 1)
    except (OSError, ValueError, zlib.error):
        return None
    return data if _digest(data) == digest else None


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=20).hexdigest()
