"""What it costs to get an empty job to a worker and its answer back: parcache's process backend, loky, the stdlib.

Parcache is measured as whole sweeps of two sizes: the slope between them is a job's time, whatever a sweep costs once.
From it goes what the folders and files of a job cost. The pools are measured in this process, warm: submit all, wait
for all, with nothing for a payload, with a job's config as plain data and with what parcache sends today. The goal is
held against the plain config: against parcache's own payload it would be the easier to meet the heavier that is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, wait
from copy import deepcopy
from functools import partial
from pathlib import Path
from shutil import rmtree
from time import perf_counter
from typing import Any, Final

from joblib import cpu_count
from joblib.externals.loky.process_executor import ProcessPoolExecutor as LokyExecutor
from omegaconf import OmegaConf

from benchmarks.apps import App, write_small_app
from benchmarks.clock import Contestant, take_turns
from benchmarks.command import main
from benchmarks.inside import parcache_side
from benchmarks.keying import swept
from benchmarks.options import Options
from benchmarks.payload import receive
from benchmarks.series import Finding, Goal, Part, Series, Table, differences, ratios, samples_of

OFF: Final = "parcache, cache.mode=off"
USE: Final = "parcache, cache.mode=use, cold"
ALONE: Final = "floor: folders and files, 1 process"
TOGETHER: Final = "floor: folders and files, 2 processes"
LOKY: Final = "loky"
STDLIB: Final = "concurrent.futures"
NOTHING: Final = "no payload"
PLAIN: Final = "the config as plain data"
OWN: Final = "parcache's own payload"
_CHUNKS: Final = (8, 64)


def measure(options: Options, folder: Path) -> Part:
    """Measure slopes and pools in turn."""
    part = Part("dispatch")
    few, many = _sizes(options)
    app = write_small_app(folder)
    rounds = options.rounds_or(5, 2)
    with swept(app) as (loader, master):
        payloads = {
            NOTHING: None,
            PLAIN: OmegaConf.to_container(loader.load_sweep_config(master, ["lr=1"])),
            OWN: parcache_side(loader, master, folder / "unit-store").unit(["lr=1"], 0),
        }
    contestants = [*_whole_sweeps(app, few, many, rounds), *_pools(many, payloads, rounds)]
    series = take_turns(contestants, part.notes)
    part.tables.append(Table(f"one job, from the slope between {few} and {many} jobs", tuple(series.values())))
    _hold_against_loky(part, series)
    return part


def _sizes(options: Options) -> tuple[int, int]:
    if len(options.sizes) > 1:
        return options.sizes[0], options.sizes[-1]
    return (20, 100) if options.quick else (200, 2000)


def _whole_sweeps(app: App, few: int, many: int, rounds: int) -> list[Contestant]:
    template = app.job_folder()

    def sweep(mode: str, jobs: int) -> float:
        store = app.fresh("store")
        try:
            return app.sweep_with_parcache(jobs, f"hydra.launcher.cache.mode={mode}", store=store, hits=0).wall_s
        finally:
            rmtree(store, ignore_errors=True)

    def slope(seconds: Callable[[int], float]) -> float:
        return (seconds(many) - seconds(few)) / (many - few)

    def folders(processes: int, jobs: int) -> float:
        return app.write_folders(template, jobs, processes)

    return [
        Contestant(OFF, partial(slope, partial(sweep, "off")), rounds),
        Contestant(USE, partial(slope, partial(sweep, "use")), rounds),
        Contestant(ALONE, partial(slope, partial(folders, 1)), rounds),
        Contestant(TOGETHER, partial(slope, partial(folders, 2)), rounds),
    ]


def _pools(jobs: int, payloads: dict[str, Any], rounds: int) -> list[Contestant]:
    pools: dict[str, Callable[..., Executor]] = {LOKY: LokyExecutor, STDLIB: ProcessPoolExecutor}
    singly = [
        Contestant(f"{name}, {shown}", partial(_submit_all, pool, payload, jobs), rounds)
        for name, pool in pools.items()
        for shown, payload in payloads.items()
    ]
    chunked = [
        Contestant(f"{LOKY}, {PLAIN}, chunks of {size}", partial(_map_all, payloads[PLAIN], jobs, size), rounds)
        for size in _CHUNKS
    ]
    return [*singly, *chunked]


def _submit_all(pool: Callable[..., Executor], payload: Any, jobs: int) -> float:
    """Return the seconds of a job: each submitted by itself, all waited for, the workers started before."""
    with pool(max_workers=cpu_count()) as executor:
        _warm_up(executor)
        started = perf_counter()
        wait([executor.submit(receive, payload) for _ in range(jobs)])
        return (perf_counter() - started) / jobs


def _map_all(payload: Any, jobs: int, chunk: int) -> float:
    payloads = [deepcopy(payload) for _ in range(jobs)]  # pickle sends the same object only once in a chunk
    with LokyExecutor(max_workers=cpu_count()) as executor:
        _warm_up(executor)
        started = perf_counter()
        for _ in executor.map(receive, payloads, chunksize=chunk):
            pass
        return (perf_counter() - started) / jobs


def _warm_up(executor: Executor) -> None:
    wait([executor.submit(receive, None) for _ in range(20 * cpu_count())])


def _hold_against_loky(part: Part, series: dict[str, Series]) -> None:
    for parcache in (OFF, USE):
        for floor in (ALONE, TOGETHER):
            beyond = differences(samples_of(series, parcache), samples_of(series, floor))
            processes = floor.rpartition(", ")[2]
            text = f"{parcache}, beyond folders by {processes}"
            part.findings.append(Finding(f"{text}, per job", beyond, unit="s"))
            for payload in (NOTHING, PLAIN):
                goal = Goal(3, at_least=False) if payload == PLAIN else None
                loky = f"{LOKY}, {payload}"
                part.findings.append(Finding(f"{text} ÷ {loky}", ratios(beyond, samples_of(series, loky)), goal))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "dispatch"))
