"""What a run of the benchmarks is asked for."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PARTS: Final = ("sweeps", "keying", "code", "store", "dispatch", "startup", "order", "torture")
_RESULTS: Final = Path(__file__).resolve().parent / "results.json"
_WORK: Final = Path(tempfile.gettempdir())


@dataclass(frozen=True, slots=True)
class Options:
    """The command line as values. ``sizes`` is empty and ``rounds`` None where each part is to use its own."""

    parts: tuple[str, ...]
    quick: bool = False
    scale: bool = False
    sizes: tuple[int, ...] = ()
    rounds: int | None = None
    results: Path = _RESULTS
    work: Path = _WORK
    accounting: bool = True

    def rounds_or(self, usual: int, quick: int) -> int:
        """Return how many rounds to run: what was asked for, else a part's usual or quick number."""
        return self.rounds or (quick if self.quick else usual)


def read_options(arguments: Sequence[str], part: str | None = None) -> Options:
    """Return the options of a command line; ``part`` is the one to run where a part is run by itself."""
    parser = argparse.ArgumentParser(prog="benchmarks" if part is None else f"benchmarks.{part}")
    if part is None:
        parser.add_argument("--only", type=_names, metavar="PART,…", help=f"of {', '.join(PARTS)}")
        parser.add_argument("--profile", action="store_true", help="profile a warm sweep; alone unless --only is given")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: to see that it works")
    parser.add_argument("--scale", action="store_true", help="sweeps: parcache with up to 100 000 jobs as well")
    parser.add_argument("--sizes", type=_numbers, default=(), metavar="N,…", help="sweeps of these numbers of jobs")
    parser.add_argument("--rounds", type=_positive, help="rounds of each part, instead of its own choice")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="the JSON file (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=_WORK, help="where to sweep (default: %(default)s)")
    if part == "slurm":
        parser.add_argument("--no-accounting", action="store_true", help="a Slurm without slurmdbd")
    found = parser.parse_args(arguments)
    parts = (part,) if part is not None else _chosen(found.only, found.profile)
    accounting = not getattr(found, "no_accounting", False)
    return Options(parts, found.quick, found.scale, found.sizes, found.rounds, found.results, found.work, accounting)


def _chosen(only: tuple[str, ...] | None, profile: bool) -> tuple[str, ...]:
    if not profile:
        return only or PARTS
    return (*(only or ()), "profiling")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted(_positive(item) for item in text.split(",")))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return value
