"""The table of a plan that is not to run."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, TextIO

from parcache.progress.choose import is_terminal
from parcache.progress.estimate import makespan
from parcache.progress.text import about, cells, cropped, duration, harmless

HEADINGS = ("job", "overrides", "", "why", "time")
NARROWEST = 12


class Verdict(Enum):
    """What the plan says of a job."""

    HIT = "hit"
    MISS = "miss"
    DUPLICATE = "duplicate"


class PlannedJob(NamedTuple):
    """A job of a plan. ``why`` is a word or two; ``expected_s`` is its run time, None where nothing is known."""

    number: int
    overrides: tuple[str, ...]
    verdict: Verdict
    why: str = ""
    expected_s: float | None = None


class _Row(NamedTuple):
    cells: tuple[str, ...]
    style: str = ""


_STYLES = {Verdict.HIT: "green", Verdict.MISS: "yellow", Verdict.DUPLICATE: "dim"}


def plan_table(rows: Sequence[PlannedJob], workers: int, width: int | None = None) -> str:
    """Return a plan as a table and a line of totals, each line ended.

    Overrides are cropped where a line would be longer than ``width``, ``NARROWEST`` characters of them are always left.
    ``workers`` is how many jobs would run at a time.
    """
    return "".join(f"{line}\n" for line, _ in _lines(rows, workers, width))


def show_plan(rows: Sequence[PlannedJob], workers: int, stdout: TextIO) -> None:
    """Write the table: whole into a pipe, in colours and cropped onto a terminal."""
    is_live = is_terminal(stdout)
    width = os.get_terminal_size(stdout.fileno()).columns if is_live else None
    encoding = stdout.encoding or "utf-8"
    lines = [
        (line.encode(encoding, "backslashreplace").decode(encoding), style)
        for line, style in _lines(rows, workers, width or None)
    ]
    if is_live:
        from rich.console import Console
        from rich.text import Text

        console = Console(file=stdout, highlight=False, soft_wrap=True)
        for line, style in lines:
            console.print(Text(line, style=style))
    else:
        stdout.writelines(f"{line}\n" for line, _ in lines)
    stdout.flush()


def totals(rows: Sequence[PlannedJob], workers: int) -> str:
    """Return what a plan comes to: how many jobs of which kind, and how long those would take that are to run."""
    number = Counter(row.verdict for row in rows)
    line = f"{len(rows)} jobs: {number[Verdict.HIT]} hits, "
    if number[Verdict.DUPLICATE]:
        line += f"{number[Verdict.DUPLICATE]} duplicates, "
    line += f"{number[Verdict.MISS]} to run"
    times = [row.expected_s for row in rows if row.verdict is Verdict.MISS]
    known = [each for each in times if each is not None]
    if not known:
        return line
    typical_s = sum(known) / len(known)
    wall_s = makespan([typical_s if each is None else each for each in times], workers)
    unknown = len(times) - len(known)
    guessed = f" ({unknown} of unknown time taken for average)" if unknown else ""
    return f"{line} in about {about(wall_s)} over {workers} {'worker' if workers == 1 else 'workers'}{guessed}"


def _lines(rows: Sequence[PlannedJob], workers: int, width: int | None) -> list[tuple[str, str]]:
    body = [_Row(HEADINGS, "bold")]
    for row in rows:
        expected = "" if row.expected_s is None else duration(row.expected_s)
        columns = (str(row.number), harmless(row.overrides), row.verdict.value, harmless([row.why]), expected)
        body.append(_Row(columns, _STYLES[row.verdict]))
    widths = [max(map(cells, column)) for column in zip(*(row.cells for row in body), strict=True)]
    if width is not None:
        others = sum(widths) - widths[1] + 2 * (len(widths) - 1)
        widths[1] = max(NARROWEST, min(widths[1], width - 1 - others))
    lines = []
    for each in body:
        number, overrides, verdict, why, expected = each.cells
        aligned = [
            number.rjust(widths[0]),
            cropped(overrides, widths[1]),
            cropped(verdict, widths[2]),
            cropped(why, widths[3]),
            expected.rjust(widths[4]),
        ]
        lines.append(("  ".join(aligned).rstrip(), each.style))
    return [*lines, (totals(rows, workers), "")]
