"""Looking up a stored result, its value included: parcache's store and other caches on disk, page cache warm."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy

from benchmarks import store_peers
from benchmarks.clock import Contestant, seconds_of_each, take_turns
from benchmarks.command import main
from benchmarks.options import Options
from benchmarks.series import Finding, Goal, Part, Table, ratios, samples_of
from parcache.keys.recipe import CODE_OFF, make_key
from parcache.model import Key
from parcache.store.store import Store

PARCACHE: Final = "parcache Store.read"
DISKCACHE: Final = "diskcache Cache.get"
MEMORY: Final = "joblib.Memory call"
TASK: Final = "exca.TaskInfra call"
MAP: Final = "exca.MapInfra call"
FLOOR: Final = "floor: open and read parcache's entry"
KINDS: Final = {"float": "a float", "dict": "a dict of four", "array": "an array of 1000 floats"}


def measure(options: Options, folder: Path) -> Part:
    """Measure in this process; a round looks up every entry once, and its sample is the median lookup."""
    part = Part("store")
    count = 50 if options.quick else 500
    rounds = options.rounds_or(15, 5)
    for kind, shown in KINDS.items():
        lookups = filled_lookups(kind, folder / kind, count)
        made = store_peers.MADE["values"]
        contestants = [
            Contestant(name, partial(median_lookup_s, lookup, count), rounds) for name, lookup in lookups.items()
        ]
        series = take_turns(contestants, part.notes, f"{shown}, ")
        if store_peers.MADE["values"] != made:
            part.notes.append(f"{shown}: not every lookup was a hit")
        part.tables.append(Table(f"a hit, {shown}", tuple(series.values())))
        for peer, limit in ((DISKCACHE, 1), (MEMORY, 4)):
            faster = ratios(samples_of(series, peer), samples_of(series, PARCACHE))
            part.findings.append(Finding(f"{shown}: {peer} ÷ {PARCACHE}", faster, Goal(limit, at_least=True)))
    return part


def median_lookup_s(lookup: Callable[[int], Any], count: int) -> float:
    """Return the median seconds of a lookup, over one of each number."""
    return median(seconds_of_each(lookup, count))


def filled_lookups(kind: str, folder: Path, count: int) -> dict[str, Callable[[int], Any]]:
    """Return a lookup by number in each cache, every number stored and read once, and the floor under parcache's.

    Raises:
        RuntimeError: A cache answers with another value than was stored.
    """
    lookups = {
        PARCACHE: parcache_lookup(kind, folder / "parcache", count),
        DISKCACHE: store_peers.diskcache_lookup(kind, folder / "diskcache", count),
        MEMORY: store_peers.joblib_lookup(kind, folder / "joblib"),
        TASK: store_peers.exca_task_lookup(kind, folder / "task"),
        MAP: store_peers.exca_map_lookup(kind, folder / "map"),
    }
    for name, lookup in lookups.items():
        for _ in range(2):  # the first fills, the second is the first hit
            for number in range(count):
                if not numpy.array_equal(lookup(number), store_peers.make_value(kind, number)):
                    raise RuntimeError(f"{name} does not give back what was stored under {number}")
    return {**lookups, FLOOR: file_reader(folder / "parcache", count)}


def parcache_lookup(kind: str, folder: Path, count: int) -> Callable[[int], Any]:
    """Return a lookup in a filled store. The keys are made before: what making one costs is ``keying``'s subject."""
    store = Store.open(str(folder), writable=True)
    keys = _keys(count)
    for number, key in enumerate(keys):
        store.publish(key, store_peers.make_value(kind, number), run_time_s=1.0)

    def lookup(number: int) -> Any:
        entry = store.read(keys[number])
        return None if entry is None else entry.value

    return lookup


def file_reader(folder: Path, count: int) -> Callable[[int], bytes]:
    """Return the reading of an entry's bytes, unchecked and undecoded."""
    store = Store.open(str(folder), writable=False)
    paths = [store.paths.entry(key.digest) for key in _keys(count)]

    def read(number: int) -> bytes:
        with open(paths[number], "rb") as file:
            return file.read()

    return read


def _keys(count: int) -> list[Key]:
    return [make_key({"number": number}, CODE_OFF) for number in range(count)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "store"))
