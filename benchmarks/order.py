"""What it gains to start the longest jobs first: recorded mixes of run times, as jobs that sleep.

A sweep whose run times nobody knows comes first and leaves them in the store's records. Every later one has another
salt, so that all of its jobs run, and starts them as given or, knowing better, longest first. Sleeping takes no
processor: that there are more workers than cores does not matter. No order can beat the floors: the sweep's own cost
(the same sweep with jobs that do nothing) and, beyond it, all run times shared out evenly or the longest job.
"""

from __future__ import annotations

import itertools
import sys
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.apps import App, write_sleeping_app
from benchmarks.clock import Contestant, take_turns
from benchmarks.command import main
from benchmarks.options import Options
from benchmarks.series import Finding, Part, Series, Table, ratios, samples_of, sums

GIVEN: Final = "order=given"
AUTO: Final = "order=auto, run times known"
IDLE: Final = "floor: the sweep, jobs that do nothing"
# Recorded with examples/digits, in the order of its sweeps: seconds of processor time of a job, one after the other in
# one process, numeric libraries held to one thread (Python 3.11, scikit-learn 1.9).
MIXES: Final = {
    # python train.py -m
    "two models": (0.40, 0.40, 0.41, 0.28, 0.26, 0.26, 1.35, 1.35, 1.32, 2.07, 2.03, 1.97),
    # python train.py -m model=forest model.trees=25,50,100,200,400,800 model.depth=6,12 blur=false seed=1
    "one model, from small to large": (0.31, 0.34, 0.57, 0.70, 1.27, 1.44, 2.10, 2.56, 4.00, 5.55, 8.57, 10.82),
}
_WORKERS: Final = 4
_TOTAL_S: Final = 24.0  # what the jobs of a mix, scaled, sleep altogether
_QUICK_TOTAL_S: Final = 4.0


def measure(options: Options, folder: Path) -> Part:
    """Measure both orders in turn, mix by mix."""
    part = Part("order")
    for number, (name, recorded) in enumerate(MIXES.items()):
        seconds = scaled(recorded, _QUICK_TOTAL_S if options.quick else _TOTAL_S)
        _measure_mix(part, name, folder / str(number), seconds, options)
    return part


def scaled(recorded: tuple[float, ...], total_s: float) -> tuple[float, ...]:
    """Return run times in the same proportions that sum up to a total."""
    factor = total_s / sum(recorded)
    return tuple(round(time_s * factor, 3) for time_s in recorded)


def _measure_mix(part: Part, name: str, folder: Path, seconds: tuple[float, ...], options: Options) -> None:
    sleeping = write_sleeping_app(folder / "sleeping", seconds)
    idle = write_sleeping_app(folder / "idle", [0.0] * len(seconds))
    salts = itertools.count()

    def sweep(app: App, order: str) -> float:
        chosen = (f"hydra.launcher.backend.workers={_WORKERS}", f"hydra.launcher.order={order}")
        salt = f"hydra.launcher.cache.salt=run{next(salts)}"
        store = app.folder / "store"
        return app.sweep_with_parcache(len(seconds), *chosen, salt, store=store, hits=0).wall_s

    sweep(sleeping, "given")  # from here on the run times are known
    rounds = options.rounds_or(5, 1)
    contestants = [
        Contestant(GIVEN, partial(sweep, sleeping, "given"), rounds),
        Contestant(AUTO, partial(sweep, sleeping, "auto"), rounds),
        Contestant(IDLE, partial(sweep, idle, "given"), rounds),
    ]
    series = take_turns(contestants, part.notes, f"{name}, ")
    shared_s, longest_s = sum(seconds) / _WORKERS, max(seconds)
    floors = (
        Series(f"floor: all run times ÷ {_WORKERS}", (shared_s,)),
        Series("floor: the longest job", (longest_s,)),
    )
    title = f"{name}: {len(seconds)} jobs on {_WORKERS} workers, wall time of the whole process"
    part.tables.append(Table(title, (*series.values(), *floors)))
    given, auto, idle_s = (samples_of(series, kind) for kind in (GIVEN, AUTO, IDLE))
    part.findings += [
        Finding(f"{name}: {GIVEN} ÷ {AUTO}", ratios(given, auto)),
        Finding(f"{name}: {AUTO} ÷ floors", ratios(auto, sums(idle_s, (max(shared_s, longest_s),)))),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "order"))
