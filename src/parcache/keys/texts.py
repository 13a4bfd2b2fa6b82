"""The texts that this process's modules were imported from, by digest, for as long as they may be asked for.

Once a file is edited nobody else has them. Bounded: the oldest go where they would take more than ``MAX_BYTES``.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import Final

MAX_BYTES: Final = 32 << 20


class Texts:
    """Keeps texts. Thread-safe enough: a text that is lost costs a result its place in the store."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._known: OrderedDict[bytes, bytes] = OrderedDict()

    def keep(self, content: bytes, text: bytes) -> None:
        """Keep a text under its digest."""
        if content in self._known or len(text) > self._max_bytes:
            return
        self._known[content] = text
        self._size_bytes += len(text)
        while self._size_bytes > self._max_bytes:
            self._size_bytes -= len(self._known.popitem(last=False)[1])

    def get(self, content: bytes) -> bytes | None:
        """Return the text of this digest, or None."""
        return self._known.get(content)


@lru_cache(maxsize=1)
def of_this_process() -> Texts:
    """Return this process's texts."""
    return Texts()
