"""The same values behind each of the caches that parcache's store is measured against.

A module of its own, imported by its name: joblib.Memory and exca find what they cache by module and name. Annotations
are not postponed here, because exca reads them.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import diskcache
import exca
import joblib
import numpy
import pydantic

# How often a value was made: a lookup that makes one is no hit.
MADE: Final = {"values": 0}


def make_value(kind: str, number: int) -> Any:
    """Return a value of a kind: ``float``, ``dict`` or ``array``; another one for every number."""
    MADE["values"] += 1
    if kind == "float":
        return number * 0.5
    if kind == "dict":
        return {"accuracy": number * 0.5, "loss": 1 / (number + 1), "epochs": number, "model": "small"}
    return numpy.arange(1000, dtype=float) + number


class OneTask(pydantic.BaseModel):
    """A value as exca keeps the result of one configuration."""

    kind: str
    number: int
    infra: exca.TaskInfra = exca.TaskInfra(version="1")

    @infra.apply
    def run(self) -> Any:
        return make_value(self.kind, self.number)


class ManyItems(pydantic.BaseModel):
    """Values as exca keeps the results of many items of one configuration."""

    kind: str
    infra: exca.MapInfra = exca.MapInfra(version="1")

    @infra.apply(item_uid=str)
    def run(self, items: Iterable[int]) -> Iterator[Any]:
        for number in items:
            yield make_value(self.kind, number)


def joblib_lookup(kind: str, folder: Path) -> Callable[[int], Any]:
    """Return a call through joblib.Memory."""
    cached = joblib.Memory(str(folder), verbose=0).cache(make_value)
    return lambda number: cached(kind, number)


def diskcache_lookup(kind: str, folder: Path, count: int) -> Callable[[int], Any]:
    """Return a lookup in a filled diskcache.Cache, with keys as long as parcache's."""
    cache = diskcache.Cache(str(folder))
    for number in range(count):
        cache.set(f"{number:040x}", make_value(kind, number))
    return lambda number: cache.get(f"{number:040x}")


def exca_task_lookup(kind: str, folder: Path) -> Callable[[int], Any]:
    """Return a call through exca.TaskInfra, with the making of its configuration, as each job of a sweep needs it."""
    return lambda number: OneTask(kind=kind, number=number, infra={"folder": str(folder)}).run()


def exca_map_lookup(kind: str, folder: Path) -> Callable[[int], Any]:
    """Return a call through one exca.MapInfra, which keeps its index, not its values, in memory."""
    task = ManyItems(kind=kind, infra={"folder": str(folder), "keep_in_ram": False})
    return lambda number: next(iter(task.run([number])))
