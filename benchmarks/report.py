"""Results as text and as JSON. Everything but ``save`` returns values."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.series import Finding, Grid, Part, Series, Table, ratios

_PACKAGES: Final = (
    "parcache",
    "hydra-core",
    "omegaconf",
    "hydra-joblib-launcher",
    "hydra-submitit-launcher",
    "submitit",
    "distributed",
    "dask-jobqueue",
    "joblib",
    "diskcache",
    "exca",
    "numpy",
)


def machine_facts() -> dict[str, Any]:
    """Return what numbers depend on: versions, cores, when. No names of machines or people."""
    from joblib import cpu_count

    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cpu_count(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def facts_line(facts: Mapping[str, Any]) -> str:
    """Return the facts in one line."""
    packages = ", ".join(f"{name} {found}" for name, found in facts["packages"].items())
    return f"Python {facts['python']}, {facts['system']}, {facts['cores']} cores; {packages}"


def quantity(value: float, unit: str) -> str:
    """Return a number with three significant digits and a unit that suits its size: s, bytes or a factor (``x``)."""
    if unit == "x":
        return f"{number(value)}x"
    steps = [("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)] if unit == "s" else [("MB", 1e6), ("kB", 1e3), ("B", 1.0)]
    for name, size in steps:
        if abs(value) >= size:
            return f"{number(value / size)} {name}"
    name, size = steps[-1]
    return f"{number(value / size)} {name}"


def number(value: float) -> str:
    """Return three significant digits, never in exponents."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def render(part: Part) -> str:
    """Return all of a part as text."""
    blocks = [*(render_table(table) for table in part.tables), *(render_grid(grid) for grid in part.grids)]
    if part.findings:
        blocks.append("\n".join(render_finding(finding) for finding in part.findings))
    if part.notes:
        blocks.append("\n".join(part.notes))
    return f"== {part.name}\n\n" + "\n\n".join(blocks) + "\n"


def render_table(table: Table) -> str:
    """Return a table's lines: a title, and for each series its rounds, extremes, median and ratio to the first."""
    head = ["", "rounds", "min", "median", "max", "÷ first"]
    return _aligned(table.title, [head, *(_row(series, table) for series in table.series)])


def render_grid(grid: Grid) -> str:
    """Return a grid's lines: a title, the columns' names, and each row's name and cells."""
    return _aligned(grid.title, [["", *grid.columns], *([name, *cells] for name, cells in grid.rows)])


def _aligned(title: str, rows: Sequence[Sequence[str]]) -> str:
    """Put rows of as many cells under a title, names to the left, all else to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return "\n".join([title, *(line.rstrip() for line in lines)])


def _row(series: Series, table: Table) -> list[str]:
    extremes = (min(series.samples), series.median, max(series.samples))
    shares = ratios(series.samples, table.series[0].samples)
    share = number(median(shares)) if shares else "-"
    return [series.name, str(len(series.samples)), *(quantity(value, table.unit) for value in extremes), share]


def render_finding(finding: Finding) -> str:
    """Return a finding's line: the median over the pairs, the spread, and how it stands to its goal."""
    if not finding.values:
        return f"{finding.text}: not measured"
    middle = median(finding.values)
    line = f"{finding.text}: {quantity(middle, finding.unit)}"
    if len(finding.values) > 1:
        low, high = (quantity(value, finding.unit) for value in (min(finding.values), max(finding.values)))
        line += f" ({low} to {high} in {len(finding.values)} pairs)"
    if finding.goal is not None:
        wanted = "at least" if finding.goal.at_least else "at most"
        verdict = "met" if finding.goal.is_met(middle) else "MISSED"
        line += f"; goal {wanted} {quantity(finding.goal.limit, finding.unit)}: {verdict}"
    return line


def as_json(part: Part, facts: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Return a part as plain data, every sample included, with the facts and the command that led to it."""
    return {"arguments": list(arguments), "machine": dict(facts), **asdict(part)}


def save(path: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Put one part's results into a JSON file, replacing that part's former ones and leaving other parts alone."""
    try:
        whole = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        whole = {}
    whole[name] = entry
    path.write_text(json.dumps(whole, indent=1) + "\n")
