"""Whole sweeps of an app with an empty task, process start to process end: parcache, Hydra's launchers, the floors.

What is swept is a value, a different one in each job. A cold run has a new store, a warm one the store of the cold run
before it; the folders of the jobs are always new.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from joblib import cpu_count

from benchmarks.apps import App, write_small_app
from benchmarks.clock import Contestant, take_turns
from benchmarks.command import main
from benchmarks.options import Options
from benchmarks.series import Finding, Goal, Part, Series, Table, ratios, samples_of, sums

BASIC: Final = "Hydra's basic launcher"
JOBLIB: Final = "hydra-joblib-launcher"
SUBMITIT: Final = "hydra-submitit-launcher, local"
COLD: Final = "parcache process, cold"
WARM: Final = "parcache process, warm"
SERIAL: Final = "parcache serial, cold"
APP: Final = "floor: the app without -m"
FOLDERS: Final = "floor: folders and files alone"

GOAL_JOBS: Final = 1000  # the size that the goals are stated for
_SUBMITIT_JOBS: Final = 10  # local mode starts a process for each job, all at once
_SCALE: Final = (1000, 10_000, 100_000)


def measure(options: Options, folder: Path) -> Part:
    """Measure all sizes, small ones first."""
    part = Part("sweeps")
    app = write_small_app(folder)
    template = app.job_folder()
    for jobs in options.sizes or ((10, 100) if options.quick else (10, 100, GOAL_JOBS)):
        _beside_peers(part, app, template, jobs, options)
    if options.scale:
        _at_scale(part, app, template, options)
    return part


@dataclass(slots=True)
class ParcacheRuns:
    """Parcache's contestants at one size. The warm ones use what the last cold one has stored.

    ``warm_peaks`` are the bytes of memory that each warm run took at its peak.
    """

    app: App
    jobs: int
    warm_peaks: list[float] = field(default_factory=list)
    _store: Path | None = field(default=None, init=False)

    def cold(self) -> float:
        """Return the seconds of a sweep in a pool of processes with an empty store."""
        if self._store is not None:
            shutil.rmtree(self._store, ignore_errors=True)
        self._store = self.app.fresh("store")
        return self.app.sweep_with_parcache(self.jobs, store=self._store, hits=0).wall_s

    def warm(self) -> float:
        """Return the seconds of a sweep in which every job is a hit."""
        store = self._store or self.app.fresh("store")
        run = self.app.sweep_with_parcache(self.jobs, store=store, hits=self.jobs)
        self.warm_peaks.append(float(run.peak_bytes))
        return run.wall_s

    def serial(self) -> float:
        """Return the seconds of a sweep in the sweeping process alone, with an empty store."""
        store = self.app.fresh("store")
        try:
            backend = "hydra/launcher/backend=serial"
            return self.app.sweep_with_parcache(self.jobs, backend, store=store, hits=0).wall_s
        finally:
            shutil.rmtree(store, ignore_errors=True)


def _beside_peers(part: Part, app: App, template: Path, jobs: int, options: Options) -> None:
    is_large = jobs >= GOAL_JOBS
    rounds = options.rounds_or(3 if jobs >= 100 else 5, 2)
    slow = 1 if is_large else rounds  # a thousand jobs cost the peers minutes
    runs = ParcacheRuns(app, jobs)

    def peer(launcher: str, *overrides: str) -> Callable[[], float]:
        return lambda: app.sweep(jobs, f"hydra/launcher={launcher}", *overrides).wall_s

    contestants = [
        Contestant(BASIC, peer("basic"), slow),
        Contestant(JOBLIB, peer("joblib", f"hydra.launcher.n_jobs={cpu_count()}"), slow),
        Contestant(COLD, runs.cold, rounds),
        Contestant(WARM, runs.warm, rounds),
        Contestant(SERIAL, runs.serial, slow),
        Contestant(APP, lambda: app.start().wall_s, rounds),
        Contestant(FOLDERS, partial(app.write_folders, template, jobs), rounds),
    ]
    if jobs <= _SUBMITIT_JOBS:
        contestants.insert(2, Contestant(SUBMITIT, peer("submitit_local"), rounds))
    series = take_turns(contestants, part.notes, f"{jobs} jobs, ")
    shown = tuple(series[contestant.name] for contestant in contestants if contestant.name in series)
    part.tables.append(Table(f"{jobs} jobs, wall time of the whole process", shown))
    part.findings += [
        _finding(
            f"{jobs} jobs: {JOBLIB} ÷ {COLD}",
            ratios(samples_of(series, JOBLIB), samples_of(series, COLD)),
            jobs,
            40,
            True,
        ),
        _finding(
            f"{jobs} jobs: {BASIC} ÷ {WARM}",
            ratios(samples_of(series, BASIC), samples_of(series, WARM)),
            jobs,
            100,
            True,
        ),
        _over_floors(series, jobs),
    ]


def _over_floors(series: dict[str, Series], jobs: int) -> Finding:
    floors = sums(samples_of(series, APP), samples_of(series, FOLDERS))
    return _finding(f"{jobs} jobs: {WARM} ÷ both floors", ratios(samples_of(series, WARM), floors), jobs, 1.5, False)


def _finding(text: str, values: tuple[float, ...], jobs: int, limit: float, at_least: bool) -> Finding:
    return Finding(text, values, Goal(limit, at_least) if jobs == GOAL_JOBS else None)


def _at_scale(part: Part, app: App, template: Path, options: Options) -> None:
    """Measure parcache alone at sizes that its peers would need hours for; each cold run, once, fills a store."""
    warm: list[Series] = []
    cold: list[Series] = []
    peaks: list[Series] = []
    for jobs in _SCALE:
        rounds = options.rounds_or(1 if jobs == max(_SCALE) else 3, 1)
        runs = ParcacheRuns(app, jobs)
        contestants = [
            Contestant(COLD, runs.cold, 1),
            Contestant(WARM, runs.warm, rounds),
            Contestant(APP, lambda: app.start().wall_s, rounds),
            Contestant(FOLDERS, partial(app.write_folders, template, jobs), rounds),
        ]
        series = take_turns(contestants, part.notes, f"{jobs} jobs, ")
        if WARM not in series:
            return
        cold.append(Series(f"{jobs} jobs, cold", samples_of(series, COLD)))
        warm.append(Series(f"{jobs} jobs, warm", series[WARM].samples))
        peaks.append(Series(f"{jobs} jobs, warm", tuple(runs.warm_peaks)))
        part.findings.append(_over_floors(series, jobs))
    part.tables.append(Table("at scale: wall time of the whole process", (*warm, *cold)))
    part.tables.append(Table("at scale: peak memory", tuple(peaks), "bytes"))
    for few, many, less, more in zip(_SCALE, _SCALE[1:], peaks, peaks[1:], strict=False):
        per_job = (more.median - less.median) / (many - few)
        part.findings.append(Finding(f"memory of a warm job, from {few} to {many} jobs", (per_job,), unit="bytes"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "sweeps"))
