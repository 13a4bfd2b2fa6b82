"""The stored entry that is nearest to a key: what a miss is explained against.

In this order: of the same task, with the fewest differing parts of the key, with the fewest differing config keys,
the newest. Heads of entries tell the first two; only of the best few the whole entry is read, for the third.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any, Final

from parcache.report.evidence import Evidence, as_text, config_values
from parcache.run.record import parts_of
from parcache.store.catalog import Head
from parcache.store.sweeps import KeyParts

FEW: Final = 200  # a whole entry takes 0.1 ms to read and compare


class Neighbourhood:
    """The heads of all entries that a key may be compared with, in groups that differ in nothing but the config."""

    def __init__(self, heads: Iterable[Head], evidence: Evidence) -> None:
        self._evidence = evidence
        self._groups: dict[tuple[str, KeyParts], dict[str, Head]] = {}  # by task and parts, then by config
        self._newest: dict[tuple[str, KeyParts], list[Head]] = {}
        self._values: dict[str, frozenset[tuple[str, str]] | None] = {}
        for head in heads:
            group = self._groups.setdefault((task_of(head), parts_of(head.key)), {})
            rival = group.get(head.key.config)
            if rival is None or _age(head) > _age(rival):
                group[head.key.config] = head

    def nearest(self, task: str, parts: KeyParts, config: str, values: Mapping[str, Any] | None) -> Head | None:
        """Return the nearest entry; None where there are none. ``values`` is the config, where that is known."""
        ranks = {
            group: (group[0] != task, _differing(group[1], parts) + (config not in heads))
            for group, heads in self._groups.items()
        }
        if not ranks:
            return None
        best = min(ranks.values())
        groups = [group for group, rank in ranks.items() if rank == best]
        same = [self._groups[group][config] for group in groups if config in self._groups[group]]
        if same:
            return max(same, key=_age)
        few = heapq.nlargest(FEW, (head for group in groups for head in self._few(group)), key=_age)
        if values is None:
            return few[0]
        wanted = _compared(values)
        return min(few, key=lambda head: (self._distance(head, wanted), -head.created_ns, head.key.digest))

    def _few(self, group: tuple[str, KeyParts]) -> list[Head]:
        if group not in self._newest:
            self._newest[group] = heapq.nlargest(FEW, self._groups[group].values(), key=_age)
        return self._newest[group]

    def _distance(self, head: Head, wanted: frozenset[tuple[str, str]]) -> int:
        digest = head.key.digest
        if digest not in self._values:
            values = config_values(self._evidence.explanation(digest))
            self._values[digest] = None if values is None else _compared(values)
        found = self._values[digest]
        return _FAR if found is None else len({place for place, _ in found ^ wanted})


def task_of(head: Head) -> str:
    """Return the name of the task that an entry is of; empty where the code did not count."""
    return str(head.record.get("task") or "")


def _compared(values: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((place, as_text(value)) for place, value in values.items())


def _differing(first: KeyParts, second: KeyParts) -> int:
    return sum(one != other for one, other in zip(first, second, strict=True))


def _age(head: Head) -> tuple[int, str]:
    return head.created_ns, head.key.digest


_FAR: Final = 1 << 30
