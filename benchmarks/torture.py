"""What is left of a sweep when one of its jobs does something terrible: Hydra's launchers and parcache, by counting.

The sweep has 20 short jobs on two workers, and one of them does the deed. Or none does, and the process that runs one
of them is killed from outside, once. The others are the healthy ones; of these are counted

- those that run to their end, as each of them notes itself at its end;
- those whose results come back: that are completed in what the launcher returns to the sweeper;
- those that are kept: that the same command, typed again, returns as completed without running them.

And does what is printed name the failed job by its overrides, where one has failed? The list of all jobs that
launchers print beforehand does not count. Nothing here is timed, so one round says it all.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.command import main
from benchmarks.options import Options
from benchmarks.series import Grid, Part
from benchmarks.torture_app import DEEDS, OUTSIDE, write_tortured_app

LAUNCHERS: Final = {
    "Hydra's basic launcher": ("hydra/launcher=basic",),
    "hydra-joblib-launcher": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "parcache process": ("hydra/launcher=parcache", "hydra.launcher.backend.workers=2"),
}
_LEGEND: Final = "ended back kept named"
_LONGEST_S: Final = 300.0  # a sweep that takes longer hangs: it takes seconds
_LISTED: Final = re.compile(r"\s#\d+ : .*")  # how Hydra's launchers announce a job


@dataclass(frozen=True, slots=True)
class Toll:
    """What came of a sweep; ``healthy`` is how many could be ``ended``, ``returned`` and ``kept`` each.

    ``named`` is None where no job has failed.
    """

    healthy: int
    ended: int
    returned: int
    kept: int
    named: bool | None

    def __str__(self) -> str:
        """Return the three counts and the answer, below ``_LEGEND``."""
        named = {None: "-", True: "yes", False: "no"}[self.named]
        return f"{self.ended:>5} {self.returned:>4} {self.kept:>4} {named:>5}"


@dataclass(frozen=True, slots=True)
class Swept:
    """One sweep: the jobs that ran to their end, those that were returned as completed, and what was printed."""

    ended: frozenset[int]
    returned: frozenset[int]
    output: str


def measure(options: Options, folder: Path) -> Part:
    """Let every launcher go through every misfortune; sizes that are asked for are numbers of jobs, the last counts."""
    part = Part("torture")
    jobs = options.sizes[-1] if options.sizes else 6 if options.quick else 20
    write_tortured_app(folder)
    rows = [("", ("", *[_LEGEND] * len(LAUNCHERS)))]
    for deed, shown in DEEDS.items():
        tolls = []
        for launcher, overrides in LAUNCHERS.items():
            print(f"{shown}: {launcher}", file=sys.stderr, flush=True)
            tolls.append(suffer(folder, deed, overrides, jobs, part.notes))
        rows.append((shown, (str(tolls[0].healthy), *map(str, tolls))))
    title = (
        f"{jobs} jobs on 2 workers, one of which meets with a misfortune. How many healthy jobs run to their end,\n"
        "come back to the sweeper, are kept (need not run when the command is repeated)? Is the failed job named?"
    )
    part.grids.append(Grid(title, ("healthy", *LAUNCHERS), tuple(rows)))
    return part


def suffer(app: Path, deed: str, launcher: tuple[str, ...], jobs: int, notes: list[str]) -> Toll:
    """Sweep with a deed, and again with the same command; return what that came to."""
    victim = jobs // 3
    healthy = frozenset(range(jobs)) - (frozenset() if deed == OUTSIDE else {victim})
    with tempfile.TemporaryDirectory(prefix="torture-", dir=app) as place:
        command = [f"n=range(0,{jobs})", f"deed={deed}", f"victim={victim}", *launcher]
        first = sweep(app, Path(place), "first", command, notes)
        again = sweep(app, Path(place), "again", command, notes)
    all_is_well = victim in first.returned
    return Toll(
        len(healthy),
        len(healthy & first.ended),
        len(healthy & first.returned),
        len(healthy & again.returned - again.ended),
        None if all_is_well else is_named(first.output, victim),
    )


def is_named(output: str, number: int) -> bool:
    """Tell whether a program's output speaks of a job, beyond announcing it."""
    return re.search(rf"\bn=0*{number}\b", _LISTED.sub("", output)) is not None


def sweep(app: Path, place: Path, name: str, command: list[str], notes: list[str]) -> Swept:
    """Run a sweep to whatever end; one that does not end is stopped, and noted."""
    marks = place / name
    marks.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PARCACHE_", "PYTHON"))}
    env.update(MARKS=str(marks), PARCACHE_DIR=str(place / "store"))
    with killer(place / "outside") as outside, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "app.py", "-m", *command, f"hydra.sweep.dir={place / name}-out"],
            cwd=app,
            env={**env, "OUTSIDE": str(outside)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # what it leaves running is ended with it
        )
        try:
            process.wait(_LONGEST_S)
        except subprocess.TimeoutExpired:
            notes.append(f"stopped after {_LONGEST_S:.0f} s: {' '.join(command)}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Swept(_marked(marks, "ended"), _marked(marks, "returned"), text)


@contextmanager
def killer(pipe: Path) -> Iterator[Path]:
    """Kill every process whose number is written into a named pipe, as an operator would: from outside."""
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)  # for writing as well: to open it waits for nobody, and it never ends

    def obey() -> None:
        while line := os.read(descriptor, 32).strip():
            with suppress(ProcessLookupError):
                os.kill(int(line), signal.SIGKILL)

    thread = threading.Thread(target=obey)
    thread.start()
    try:
        yield pipe
    finally:
        os.write(descriptor, b"\n")
        thread.join()
        os.close(descriptor)


def _marked(marks: Path, kind: str) -> frozenset[int]:
    return frozenset(int(path.name.rpartition("-")[2]) for path in marks.glob(f"{kind}-*"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "torture"))
