"""Whether the code in memory comes to the same as the fingerprinted one where its files do not.

A file is edited while its earlier text is loaded. Where nothing of the edit is reached, what runs is what was
fingerprinted all the same: the fingerprint, taken over the texts that the modules in memory were imported from, tells.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from parcache.errors import UnkeyableCodeError
from parcache.keys import texts
from parcache.keys.code import Signature, Source, content_digest, signature
from parcache.keys.fingerprint import Asked, Fingerprinter
from parcache.keys.modules import Finder
from parcache.keys.witness import Witness

_MAX_KNOWN: Final = 256


class Retaker:
    """Takes fingerprints again in one process, each once for each state of the files. Not thread-safe by itself."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._same: dict[str, tuple[Source, ...]] = {}
        self._other: set[tuple[str, tuple[Signature | None, ...]]] = set()

    def is_same(self, asked: Asked, digest: str, sources: tuple[Source, ...]) -> bool:
        """Tell whether what is in memory has this fingerprint, although not all of its sources are proven."""
        if len(self._other) > _MAX_KNOWN:
            self._other.clear()
        same = self._same.get(digest)
        if same is not None and not self._witness.unproven(same):
            return True
        state = digest, tuple(_signature(source.path) for source in sources)
        if state in self._other:
            return False
        found = self._taken(asked, digest, sources)
        if found is None:
            self._other.add(state)
            return False
        self._same[digest] = found
        return True

    def _taken(self, asked: Asked, digest: str, sources: tuple[Source, ...]) -> tuple[Source, ...] | None:
        """Return the sources of the code in memory, or None where its fingerprint is another or cannot be told."""
        imported = self._witness.contents(source.path for source in sources)
        loaded = {}
        for path, content in imported.items():
            if _content(path) != content:
                text = texts.of_this_process().get(content)
                if text is None:
                    return None
                loaded[path] = text
        finder = Finder(asked.packages, lambda: asked.main)
        try:
            found = Fingerprinter(asked.identity, packages=asked.packages, finder=finder, texts=loaded).answer(asked)
        except UnkeyableCodeError:
            return None
        if found.digest != digest or self._witness.unproven(found.sources):
            return None
        return found.sources


@lru_cache(maxsize=4)
def of_witness(witness: Witness) -> Retaker:
    """Return what takes fingerprints again over what a witness knows."""
    return Retaker(witness)


def _signature(path: str) -> Signature | None:
    try:
        return signature(path)
    except OSError:
        return None


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return content_digest(file.read())
    except OSError:
        return None
