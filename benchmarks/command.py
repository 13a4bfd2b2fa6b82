"""The command: run the chosen parts one after the other, print each and put it into the JSON file as it ends."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.options import read_options
from benchmarks.report import as_json, facts_line, machine_facts, render, save
from benchmarks.series import Part


def main(arguments: Sequence[str], part: str | None = None) -> int:
    """Run the command line, or one part with the options that are left; return the exit code."""
    options = read_options(arguments, part)
    facts = machine_facts()
    print(facts_line(facts), flush=True)
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.parts:
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-", dir=options.work) as folder:
            result: Part = importlib.import_module(f"benchmarks.{name}").measure(options, Path(folder))
        print(f"\n{render(result)}", flush=True)
        save(options.results, name, as_json(result, facts, arguments))
    print(f"\nall samples: {options.results}")
    return 0
