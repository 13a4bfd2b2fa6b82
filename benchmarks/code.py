"""Fingerprinting the code of a large project: the first time, and when what was found out is remembered.

Each sample is a process of its own, as a sweep is, and as in a sweep others parse beside it where there are cores. The
floor is reading and parsing the same files: what nobody who looks at the code can save the first time, but by more of
them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from benchmarks.clock import Contestant, run_program, take_turns
from benchmarks.command import main
from benchmarks.options import Options
from benchmarks.projects import write_project
from benchmarks.series import Finding, Goal, Part, Table, ratios, samples_of

LINES: Final = 100_000
TARGETS: Final = 50
COLD: Final = "parcache: the first time"
WARM: Final = "parcache: again"
MANY: Final = "parcache: again, for {} sets of targets"
PARSED: Final = "reading and parsing the files alone"
_TAKE: Final = """
import gc, os, sys, time
sys.path.insert(0, os.getcwd())
from parcache.backends import machine
from parcache.keys.fingerprint import Fingerprinter
from parcache.keys.task import TaskIdentity
from parcache.store.notes import Notes
from parcache.store.store import Store
identity = TaskIdentity("app:main", b"", frozenset({("app", "main")}))
gc.freeze()
started = time.perf_counter()
notes = Notes(Store.open("store", writable=True).paths)
fingerprinter = Fingerprinter(identity, notes=notes, helpers=machine.cores() - 1)
for number in range(int(sys.argv[1])):
    fingerprinter.fingerprint([f"part{number}.m0.Model{20 * number}"] if number else [])
print(time.perf_counter() - started)
"""
_PARSE: Final = """
import ast, gc, time
from pathlib import Path
started = time.perf_counter()
gc.disable()
for path in Path.cwd().rglob("*.py"):
    ast.parse(path.read_bytes())
print(time.perf_counter() - started)
"""


def measure(options: Options, folder: Path) -> Part:
    """Measure in fresh processes, in turn."""
    part = Part("code")
    lines = 5_000 if options.quick else LINES
    targets = 3 if options.quick else TARGETS
    project = folder / "project"
    written = write_project(project, lines)
    rounds = options.rounds_or(5, 2)

    def cold() -> float:
        shutil.rmtree(project / "store", ignore_errors=True)
        return _seconds(project, _TAKE, "1")

    def many() -> float:
        _seconds(project, _TAKE, str(targets))  # what is to be remembered
        return _seconds(project, _TAKE, str(targets))

    contestants = [
        Contestant(PARSED, lambda: _seconds(project, _PARSE), rounds),
        Contestant(COLD, cold, rounds),
        Contestant(WARM, lambda: _seconds(project, _TAKE, "1"), rounds),
        Contestant(MANY.format(targets), many, rounds),
    ]
    series = take_turns(contestants, part.notes)
    part.tables.append(Table(f"a project of {written} lines", tuple(series.values())))
    first, again = samples_of(series, COLD), samples_of(series, WARM)
    part.findings += [
        Finding(f"{COLD} ÷ {PARSED}", ratios(first, samples_of(series, PARSED))),
        Finding(f"{WARM} ÷ {PARSED}", ratios(again, samples_of(series, PARSED))),
        Finding(COLD, first, Goal(3.0, at_least=False), "s"),
        Finding(WARM, again, Goal(0.2, at_least=False), "s"),
    ]
    return part


def _seconds(project: Path, program: str, *arguments: str) -> float:
    return float(run_program([sys.executable, "-c", program, *arguments], project).output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "code"))
