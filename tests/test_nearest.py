"""Which stored entry is nearest to a key."""

from __future__ import annotations

from typing import Any

import pytest

from parcache.report.evidence import Evidence
from parcache.report.nearest import Neighbourhood
from parcache.store.catalog import Head
from parcache.store.store import Store
from parcache.store.sweeps import KeyParts
from tests.reporting import PARTS, evidence, head, key, publish, store

pytestmark = pytest.mark.any_hydra

__all__ = ["evidence", "store"]


def nearest(
    store: Store, heads: list[Head], config: str = "config", values: Any = None, parts: KeyParts = PARTS
) -> Any:
    found = Neighbourhood(heads, Evidence(store.paths, {})).nearest("app:main", parts, config, values)
    return None if found is None else found.key.digest[:2]


def test_nearest_of_none_is_none(store: Store) -> None:
    """Without entries nothing is near."""
    assert nearest(store, []) is None


def test_nearest_is_of_the_same_task_first(store: Store) -> None:
    """An entry of another task is only near where there is no other."""
    heads = [head(key("aa"), 9, task="other:main"), head(key("bb", "other", salt="x"), 1)]
    assert nearest(store, heads) == "bb"
    assert nearest(store, heads[:1]) == "aa"


def test_nearest_differs_in_the_fewest_parts_of_the_key(store: Store) -> None:
    """One part that differs is nearer than two, however old."""
    heads = [head(key("aa", code="code2", salt="x"), 9), head(key("bb", salt="x"), 1)]
    assert nearest(store, heads) == "bb"


def test_nearest_with_the_same_config_comes_before_one_with_the_same_code(store: Store) -> None:
    """No differing config key is fewer than one."""
    heads = [head(key("aa", "other"), 9), head(key("bb", code="code2"), 1)]
    assert nearest(store, heads) == "bb"


def test_nearest_differs_in_the_fewest_config_keys_then_is_the_newest(store: Store) -> None:
    """Among entries that differ in their config alone the most alike one counts, and of such the newest."""
    configs = {"aa": {"x": 1, "y": 1}, "bb": {"x": 9, "y": 2}, "cc": {"x": 8, "y": 2}}
    for name, config in configs.items():
        publish(store, key(name, f"config {name}"), config)
    heads = [head(key(name, f"config {name}"), created) for name, created in (("aa", 9), ("bb", 5), ("cc", 3))]
    assert nearest(store, heads, "config", {"x": 7, "y": 2}) == "bb"
    assert nearest(store, list(reversed(heads)), "config", {"x": 7, "y": 2}) == "bb"
    assert nearest(store, heads, "config", {"x": 8, "y": 3}) == "cc"


def test_nearest_of_several_times_the_same_is_the_newest(store: Store) -> None:
    """Of entries that differ in the same the newest counts, in whatever order they come."""
    heads = [head(key("aa", code="code2"), 3), head(key("bb", code="code3"), 5), head(key("cc", code="code4"), 4)]
    assert nearest(store, heads) == nearest(store, heads[::-1]) == "bb"
