"""Composing and keying a job whose overrides are values, against what Hydra needs to compose it alone.

The config has 60 keys in six groups with six interpolations; each job has two overrides that no job had before.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig

from benchmarks.apps import App, write_wide_app
from benchmarks.clock import Contestant, seconds_per_call, take_turns
from benchmarks.command import main
from benchmarks.inside import parcache_side
from benchmarks.options import Options
from benchmarks.series import Finding, Goal, Part, Table, ratios, samples_of

HYDRA: Final = "Hydra's load_sweep_config"
PARCACHE: Final = "parcache: composed and keyed"
FIRST: Final = "parcache: the first job of a sweep"


def measure(options: Options, folder: Path) -> Part:
    """Measure in this process, a stretch of jobs of each side in turn."""
    part = Part("keying")
    rounds = options.rounds_or(7, 3)
    stretch_s = 0.2 if options.quick else 1.0
    with swept(write_wide_app(folder)) as (loader, master):
        key = parcache_side(loader, master, folder / "store").key
        numbers = itertools.count()

        def compose(_: int) -> None:
            loader.load_sweep_config(master, overrides_of(next(numbers)))

        def compose_and_key(_: int) -> None:
            number = next(numbers)
            key(overrides_of(number), number)

        def first(index: int) -> None:
            parcache_side(loader, master, folder / "store").key(overrides_of(next(numbers)), index)

        seconds = partial(seconds_per_call, at_least_s=stretch_s)
        for warm_up in (compose, compose_and_key):
            warm_up(0)
        contestants = [
            Contestant(HYDRA, lambda: seconds(compose), rounds),
            Contestant(PARCACHE, lambda: seconds(compose_and_key), rounds),
            Contestant(FIRST, lambda: seconds_per_call(first, at_least_s=0, at_least_calls=1), rounds),
        ]
        series = take_turns(contestants, part.notes)
    part.tables.append(Table("one job", tuple(series.values())))
    speedup = ratios(samples_of(series, HYDRA), samples_of(series, PARCACHE))
    part.findings.append(Finding(f"{HYDRA} ÷ {PARCACHE}", speedup, Goal(100, at_least=True)))
    return part


def overrides_of(number: int) -> list[str]:
    """Return the overrides of a job: values alone, as a sweep or an optimizer sets them."""
    return [f"model.width={number}", f"optimizer.rate={number / 1024 + 1e-6!r}"]


@contextmanager
def swept(app: App) -> Iterator[tuple[ConfigLoader, DictConfig]]:
    """Yield what a launcher has at the start of a sweep of an app: Hydra's loader and the sweep's own config."""
    setup_globals()
    with initialize_config_dir(str(app.folder / "conf"), version_base=None):
        loader = GlobalHydra.instance().config_loader()
        chosen = ["hydra/launcher=parcache", "hydra.job.name=app"]
        master = loader.load_configuration("config", chosen, run_mode=RunMode.MULTIRUN)
        yield loader, master


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "keying"))
