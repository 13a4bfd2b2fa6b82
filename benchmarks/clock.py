"""Taking samples: whole processes with their peak memory, calls inside this one, contestants in turn."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.series import Series

_OUTPUT_SHOWN: Final = 2000  # characters of a failed program's output


class FailedRunError(RuntimeError):
    """A program did not do what was to be measured."""


@dataclass(frozen=True, slots=True)
class Run:
    """A program that has ended well.

    ``cpu_s`` is the processor time of it and its children, ``peak_bytes`` the resident memory of its largest process.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    output: str


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that yields one sample when called. It takes part in the first ``rounds`` rounds."""

    name: str
    sample: Callable[[], float]
    rounds: int


def run_program(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> Run:
    """Run a program to its end, free of the settings of Python and parcache that happen to be in force here.

    Raises:
        FailedRunError: It ends with another code than 0.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PARCACHE_", "PYTHON"))}
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env={**kept, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            # Not process.wait(): only wait4 tells the memory of this one child.
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise FailedRunError(f"{' '.join(command)} ended with {process.returncode}:\n{text[-_OUTPUT_SHOWN:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, text)


def take_turns(contestants: Sequence[Contestant], notes: list[str], label: str = "") -> dict[str, Series]:
    """Let everybody run once a round, in the same order: A B C A B C; return the series by name.

    A contestant that fails leaves, with a line in ``notes``: a peer that is broken here does not cost the others'
    results. All of its samples are dropped.
    """
    samples: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    rounds = max(contestant.rounds for contestant in contestants)
    for index in range(rounds):
        for contestant in contestants:
            if index >= contestant.rounds or contestant.name not in samples:
                continue
            _tell(f"{label}round {index + 1} of {rounds}: {contestant.name}")
            try:
                samples[contestant.name].append(contestant.sample())
            except FailedRunError as error:
                del samples[contestant.name]
                notes.append(f"{contestant.name}: not measured. {error}")
    _tell("")
    return {name: Series(name, tuple(values)) for name, values in samples.items()}


def seconds_per_call(function: Callable[[int], Any], *, at_least_s: float, at_least_calls: int = 5) -> float:
    """Return the mean time of a call over as many calls as fill the given time; each gets a number of its own."""
    calls = 0
    started = time.perf_counter()
    while True:
        function(calls)
        calls += 1
        elapsed_s = time.perf_counter() - started
        if calls >= at_least_calls and elapsed_s >= at_least_s:
            return elapsed_s / calls


def seconds_of_each(function: Callable[[int], Any], calls: int) -> list[float]:
    """Return the time of each of some calls, numbered from 0, without garbage collections in between."""
    times = []
    gc.collect()
    gc.disable()
    try:
        for index in range(calls):
            started = time.perf_counter()
            function(index)
            times.append(time.perf_counter() - started)
    finally:
        gc.enable()
    return times


def _tell(text: str) -> None:
    """Show progress where somebody watches; elsewhere as lines."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
