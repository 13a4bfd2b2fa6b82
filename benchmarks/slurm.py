"""Sweeps on a real Slurm that is brought up on this machine: parcache, hydra-submitit-launcher, Dask workers on Slurm.

Two nodes of eight processors each are claimed, whatever this machine has; needs root and Slurm's packages
(``python3 tools/dev.py slurm install``). Everything is command to exit, with an empty store and an empty queue. How
often Slurm's commands are called is counted by programs of their names that come first on PATH.

The cost of a job on Dask's workers is taken from the sweep's journal, from the first end of a job to the last: by then
a worker is up, and nothing but jobs and what is done for them lies in between.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.apps import App, write_sleeping_app, write_small_app
from benchmarks.clock import Contestant, FailedRunError, take_turns
from benchmarks.command import main
from benchmarks.options import Options
from benchmarks.series import Finding, Goal, Grid, Part, Series, Table, ratios, samples_of, sums
from tests.slurm.cluster import Cluster, has_cgroups, why_not
from tests.slurm.counting import Calls
from tests.slurm.daemons import wait_for

SUBMITIT: Final = "hydra-submitit-launcher"
ALONE: Final = "parcache slurm, a task for each job"
PACKED: Final = "parcache slurm, tasks=4"
DASK: Final = "parcache dask on SLURMCluster, 4 workers"
FIRST: Final = "tasks=4, first time"
KNOWN: Final = "tasks=4, run times known"
START: Final = "floor: a sweep of 4 jobs that do nothing"
GOAL_JOBS: Final = 200
_SLEEPERS: Final = 20
_TASKS: Final = 4
_SHOWN: Final = ("sbatch", "squeue", "sacct", "scontrol", "sinfo", "scancel")
_QUERIES: Final = ("squeue", "sacct", "scontrol")
_SLURM: Final = "hydra/launcher/backend=slurm"
_FOUR: Final = f"hydra.launcher.backend.tasks={_TASKS}"
_DASK: Final = (
    "hydra/launcher/backend=dask",
    "hydra.launcher.backend.cluster={_target_: dask_jobqueue.SLURMCluster, cores: 4, processes: 4, memory: 1600MB, "
    "job_cpu: 4, walltime: '01:00:00', interface: lo, log_directory: FOLDER, local_directory: FOLDER}",
    "hydra.launcher.backend.scale=4",
)


@dataclass(slots=True)
class Bench:
    """The cluster, the app, and what the runs called and took. ``calls_of`` has the last run of each contestant."""

    cluster: Cluster
    calls: Calls
    app: App
    calls_of: dict[str, tuple[float, list[str]]] = field(default_factory=dict)
    dask_costs_s: list[float] = field(default_factory=list)
    _salts: Iterator[int] = field(default_factory=itertools.count)

    def submitit(self, jobs: int) -> float:
        """Return the seconds of a sweep with the launcher that comes with Hydra."""
        folder = self.app.fresh("submitit")
        more = ("hydra/launcher=submitit_slurm", f"hydra.launcher.submitit_folder={folder}")
        return self._counted(SUBMITIT, lambda: self.app.sweep(jobs, *more).wall_s)

    def parcache(self, name: str, app: App, jobs: int, *overrides: str) -> float:
        """Return the seconds of a sweep with parcache in which every job runs."""
        salt = f"hydra.launcher.cache.salt=run{next(self._salts)}"
        store = app.folder / "store"
        more = (_SLURM, *overrides, salt)
        return self._counted(name, lambda: app.sweep_with_parcache(jobs, *more, store=store, hits=0).wall_s)

    def dask(self, jobs: int) -> float:
        """Return the seconds of a sweep on Dask's workers; note what a job costs once they are up."""
        sweep_dir, folder = self.app.fresh("dask"), self.app.fresh("workers")
        folder.mkdir(parents=True)
        more = tuple(each.replace("FOLDER", str(folder)) for each in _DASK)
        store = self.app.fresh("store")
        took_s = self._counted(
            DASK, lambda: self.app.sweep_with_parcache(jobs, *more, store=store, hits=0, keep=sweep_dir).wall_s
        )
        self.dask_costs_s.append(cost_of_a_job(sweep_dir / "journal.jsonl"))
        return took_s

    def _counted(self, name: str, run: Callable[[], float]) -> float:
        wait_for(lambda: not self.cluster.queue(), "an empty queue", 120)
        before = len(self.calls.lines())
        took_s = run()
        self.calls_of[name] = (took_s, self.calls.lines()[before:])
        return took_s


def measure(options: Options, folder: Path) -> Part:
    """Bring a cluster up, measure everything on it, take it down."""
    reason = why_not(options.accounting)
    if reason:
        raise SystemExit(reason)
    part = Part("slurm")
    with _cluster(options.accounting) as cluster, _on_path(cluster, folder) as calls:
        bench = Bench(cluster, calls, write_small_app(folder / "empty"))
        jobs = options.sizes[-1] if options.sizes else 8 if options.quick else GOAL_JOBS
        _empty_jobs(part, bench, jobs, options)
        _sleeping_jobs(part, bench, folder, options)
        _calls(part, bench, jobs)
    part.notes.append("with accounting" if options.accounting else "without accounting: sacct knows nothing")
    return part


def cost_of_a_job(journal: Path) -> float:
    """Return the seconds between the first end of a job and the last, shared out over the jobs that ended after it."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    ends = sorted(line["time"] for line in lines if line.get("state") == "completed" for _ in line["jobs"])
    if len(ends) < 2:
        raise FailedRunError(f"{journal} knows of {len(ends)} jobs that completed")
    return float((ends[-1] - ends[0]) / (len(ends) - 1))


def run_times(count: int, quick: bool) -> tuple[float, ...]:
    """Return evenly spread run times from 1 to 10 s, in an order that nobody has chosen; a tenth of them for a try."""
    seconds = [1 + 9 * number / (count - 1) for number in range(count)]
    random.Random(0).shuffle(seconds)
    return tuple(round(each / (10 if quick else 1), 3) for each in seconds)


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Return how long it takes when each worker that is free takes the next job."""
    free_at = [0.0] * workers
    for each in seconds:
        heapq.heappush(free_at, heapq.heappop(free_at) + each)
    return max(free_at)


def _empty_jobs(part: Part, bench: Bench, jobs: int, options: Options) -> None:
    rounds = options.rounds_or(3, 1)
    contestants = [
        Contestant(SUBMITIT, partial(bench.submitit, jobs), 1),  # it takes minutes
        Contestant(ALONE, partial(bench.parcache, ALONE, bench.app, jobs), rounds),
        Contestant(PACKED, partial(bench.parcache, PACKED, bench.app, jobs, _FOUR), rounds),
        Contestant(DASK, partial(bench.dask, jobs), rounds),
    ]
    series = take_turns(contestants, part.notes, f"{jobs} empty jobs, ")
    title = f"{jobs} empty jobs, wall time of the whole process"
    part.tables.append(Table(title, tuple(series.values())))
    for name, limit in ((PACKED, 10.0), (ALONE, None)):
        quotients = ratios(samples_of(series, SUBMITIT), samples_of(series, name))
        goal = Goal(limit, True) if limit is not None and jobs == GOAL_JOBS else None
        part.findings.append(Finding(f"{jobs} empty jobs: {SUBMITIT} ÷ {name}", quotients, goal))
    costs = tuple(bench.dask_costs_s)
    goal = Goal(0.01, False) if jobs == GOAL_JOBS else None
    part.findings.append(Finding(f"a job of {DASK}, once they are up", costs, goal, "s"))


def _sleeping_jobs(part: Part, bench: Bench, folder: Path, options: Options) -> None:
    seconds = run_times(_SLEEPERS, options.quick)
    sleeping = write_sleeping_app(folder / "sleeping", seconds)
    idle = write_sleeping_app(folder / "idle", [0.0] * _TASKS)
    rounds = options.rounds_or(3, 1)
    # The first sweep of all does not know how long the jobs will run; every later one does.
    first = take_turns(
        [Contestant(FIRST, partial(bench.parcache, FIRST, sleeping, _SLEEPERS, _FOUR), 1)],
        part.notes,
        "sleeping jobs, ",
    )
    contestants = [
        Contestant(KNOWN, partial(bench.parcache, KNOWN, sleeping, _SLEEPERS, _FOUR), rounds),
        Contestant(START, partial(bench.parcache, START, idle, _TASKS, _FOUR), rounds),
    ]
    series = {**first, **take_turns(contestants, part.notes, "sleeping jobs, ")}
    best_s = makespan(sorted(seconds, reverse=True), _TASKS)
    unknowing_s = makespan(seconds, _TASKS)
    title = f"{_SLEEPERS} jobs that sleep {sum(seconds):.0f} s altogether, on {_TASKS} workers"
    floors_s = (
        Series("floor: longest first, the best makespan", (best_s,)),
        Series("floor: as they come, knowing nothing", (unknowing_s,)),
    )
    part.tables.append(Table(title, (*series.values(), *floors_s)))
    goal = None if options.quick else Goal(1.15, False)
    for name, shown, floor_s, its_goal in (
        (KNOWN, "best makespan", best_s, goal),
        (FIRST, "best makespan", best_s, goal),
        (FIRST, "what is possible unknowing", unknowing_s, None),
    ):
        quotients = ratios(samples_of(series, name), sums(samples_of(series, START), (floor_s,)))
        part.findings.append(Finding(f"{name} ÷ ({shown} + start)", quotients, its_goal))


def _calls(part: Part, bench: Bench, jobs: int) -> None:
    """Count Slurm's commands; parcache asks once a second at most, and with 20 jobs as often as with many."""
    few = f"{PACKED}, 20 jobs"
    bench.parcache(few, bench.app, 20, _FOUR)
    rows = []
    for name, (took_s, lines) in bench.calls_of.items():
        counts = [sum(line.split()[0] == command for line in lines) for command in _SHOWN]
        rows.append((name, (f"{took_s:.1f}", *map(str, counts))))
    title = f"calls of Slurm's commands in the last run of each ({jobs} empty jobs, {_SLEEPERS} sleeping ones)"
    part.grids.append(Grid(title, ("seconds", *_SHOWN), tuple(rows)))
    for name in (PACKED, few, KNOWN):
        took_s, lines = bench.calls_of[name]
        queries = sum(line.split()[0] in _QUERIES for line in lines)
        text = f"queries ÷ seconds, {name}"
        part.findings.append(Finding(text, (queries / took_s,), Goal(1.0, False)))


@contextmanager
def _cluster(accounting: bool) -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder))
        cluster.up(accounting=accounting, cgroups=has_cgroups())
        try:
            yield cluster
        finally:
            cluster.down()


@contextmanager
def _on_path(cluster: Cluster, folder: Path) -> Iterator[Calls]:
    """Let programs find the cluster, and its commands by way of those that count."""
    calls = Calls(folder / "calls")
    kept = dict(os.environ)
    os.environ.update(SLURM_CONF=str(cluster.conf), **calls.env)
    try:
        yield calls
    finally:
        os.environ.clear()
        os.environ.update(kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "slurm"))
