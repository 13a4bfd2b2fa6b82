"""What the tests of reports share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from parcache.model import Key
from parcache.report.evidence import Evidence, InputState, Side
from parcache.store.catalog import Head
from parcache.store.entry import pack_explanation
from parcache.store.store import Store
from parcache.store.sweeps import KeyParts

PARTS = KeyParts(1, "code1", "3.11", "")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), writable=True)


@pytest.fixture
def evidence(store: Store) -> Evidence:
    return Evidence(store.paths, {})


def side(config: Mapping[str, Any] | None = None, parts: KeyParts = PARTS, **inputs: InputState) -> Side:
    return Side(parts, json.dumps(config), config, inputs)


def key(name: str, config: str = "config", **parts: Any) -> Key:
    return Key(name * 20, 1, config, "code1", "3.11", "")._replace(**parts)


def head(key: Key, created_ns: int = 1, task: str = "app:main") -> Head:
    return Head(f"/{key.digest}", created_ns, 2.0, key, {"task": task, "output_dir": "/here/out/0"})


def publish(store: Store, key: Key, config: Mapping[str, Any], task: str = "app:main") -> None:
    stored = store.publish(
        key, 1, run_time_s=2.0, record={"task": task}, shared=pack_explanation({"config": config, "overrides": []})
    )
    assert not stored.reason


def code(**members: Any) -> dict[str, Any]:
    return {"task": "app:main", "definitions": [], "files": {}, "distributions": {}, "absent": [], **members}
