"""What parcache costs those who do not use it: the start of a Hydra app beside which it is merely installed.

Two environments, alike but for parcache and what it depends on, are made once below ``.venv-bench-*``; parcache is
installed anew each time, as a wheel.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.apps import write_small_app
from benchmarks.clock import Contestant, run_program, take_turns
from benchmarks.command import main
from benchmarks.options import Options
from benchmarks.series import Finding, Goal, Part, Series, Table, differences, ratios, samples_of

WITHOUT: Final = "the app, parcache not installed"
WITH: Final = "the app, parcache installed, not used"
BARE: Final = "python -c pass"
IMPORT_HYDRA: Final = "import hydra"
IMPORT_PARCACHE: Final = "import parcache"
_BLOCK: Final = 10
_ROOT: Final = Path(__file__).resolve().parent.parent


def measure(options: Options, folder: Path) -> Part:
    """Measure both environments in turn, by wall time, and the app's starts by processor time as well."""
    part = Part("startup")
    rounds = options.rounds_or(50, 5)
    without, having = environment("without"), environment("with", _ROOT)
    app = write_small_app(folder)
    cpu: dict[str, list[float]] = {WITHOUT: [], WITH: []}

    def start(name: str, python: Path) -> float:
        run = replace(app, python=str(python)).start()
        cpu[name].append(run.cpu_s)
        return run.wall_s

    def execute(program: str) -> float:
        return run_program([str(having), "-c", program], folder).wall_s

    for python in (without, having):
        replace(app, python=str(python)).start()  # the first start writes bytecode
    contestants = [
        Contestant(WITHOUT, partial(start, WITHOUT, without), rounds),
        Contestant(WITH, partial(start, WITH, having), rounds),
        Contestant(BARE, partial(execute, "pass"), rounds),
        Contestant(IMPORT_HYDRA, partial(execute, "import hydra"), rounds),
        Contestant(IMPORT_PARCACHE, partial(execute, "import parcache"), rounds),
    ]
    series = take_turns(contestants, part.notes)
    by_cpu = {name: Series(name, tuple(samples)) for name, samples in cpu.items()}
    _fill(part, series, by_cpu)
    return part


def _fill(part: Part, series: dict[str, Series], by_cpu: dict[str, Series]) -> None:
    def table(title: str, of: dict[str, Series], *names: str) -> Table:
        return Table(title, tuple(of[name] for name in names if name in of))

    def beyond_bare(name: str) -> tuple[float, ...]:
        return differences(samples_of(series, name), samples_of(series, BARE))

    part.tables += [
        table("python app.py, wall time", series, WITHOUT, WITH),
        table("python app.py, processor time", by_cpu, WITHOUT, WITH),
        table("one import, wall time", series, BARE, IMPORT_HYDRA, IMPORT_PARCACHE),
    ]
    for kind, of in (("wall time", series), ("processor time", by_cpu)):
        share = ratios(samples_of(of, WITH), samples_of(of, WITHOUT))
        part.findings.append(Finding(f"installed ÷ not installed, {kind}", share))
    least = ratios(least_of_each(samples_of(by_cpu, WITH)), least_of_each(samples_of(by_cpu, WITHOUT)))
    text = f"installed ÷ not installed, least processor time of every {_BLOCK} rounds"
    part.findings.append(Finding(text, least, Goal(1.02, at_least=False)))
    share = ratios(beyond_bare(IMPORT_PARCACHE), beyond_bare(IMPORT_HYDRA))
    text = f"{IMPORT_PARCACHE} ÷ {IMPORT_HYDRA}, both beyond {BARE}"
    part.findings.append(Finding(text, share, Goal(0.1, at_least=False)))


def least_of_each(samples: Sequence[float], block: int = _BLOCK) -> tuple[float, ...]:
    """Return the least of each block of samples; what is left over at the end joins the last one.

    A start takes the same instructions each time, and whatever else the machine does only adds to it: single pairs of
    starts differ by half, the least of ten by a hundredth.
    """
    if not samples:
        return ()
    starts = range(0, max(len(samples) - block, 0) + 1, block)
    ends = [*starts[1:], len(samples)]
    return tuple(min(samples[start:end]) for start, end in zip(starts, ends, strict=True))


def environment(name: str, *projects: Path) -> Path:
    """Return the Python of an environment that has the Hydra that runs here, and the projects as they are now."""
    folder = _ROOT / f".venv-bench-{name}"
    python = folder / "bin" / "python"
    wanted = [f"{package}=={version(package)}" for package in ("hydra-core", "omegaconf")]
    stamp = folder / "recipe"
    needs = [(project / "pyproject.toml").read_text() for project in projects]  # what is to be installed beside them
    recipe = "\n".join([sys.version, *wanted, *needs])
    if not stamp.exists() or stamp.read_text() != recipe:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        _install(python, *wanted, *map(str, projects))
        stamp.write_text(recipe)
    elif projects:
        _install(python, "--force-reinstall", "--no-deps", *map(str, projects))
    return python


def _install(python: Path, *what: str) -> None:
    subprocess.run([str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", *what], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "startup"))
