"""What the tests of the store share: two keys, a value, and publishing it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from parcache.model import Key, Stored, Storing
from parcache.store.entry import pack_explanation
from parcache.store.store import Store

KEY = Key("ab" * 20, 1, "config", "code", "3.11", "")
OTHER = Key("cd" * 20, 1, "other", "code", "3.11", "")
VALUE = {"accuracy": 0.97, "curve": [1, 2.5, None], "blob": b"\x00\xff"}
SHARED = pack_explanation({"config": {"x": 0}, "overrides": []})


class Opaque:
    """Only cloudpickle takes it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and self.number == other.number

    __hash__ = None  # type: ignore[assignment] # equal by value, and mutable


def publish(store: Store, value: Any = VALUE, key: Key = KEY) -> Stored:
    return store.publish(
        key, value, run_time_s=1.5, record={"host": "here"}, explanation={"overrides": ["x=1"]}, shared=SHARED
    )


def published(store: Store, value: Any = VALUE, key: Key = KEY) -> Path:
    """Publish a value and return its entry's file."""
    assert publish(store, value, key) == Stored(Storing.PUBLISHED)
    return Path(store.paths.entry(key.digest))


def scratch_files(store: Store) -> list[str]:
    return os.listdir(store.paths.tmp)
