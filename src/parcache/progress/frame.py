"""The live lines: a bar, counts, and the jobs that run. It runs in the process that has the terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from parcache.progress.canvas import LiveRow
from parcache.progress.snapshot import RunningJob, Snapshot
from parcache.progress.text import counts, idle, pace

# Jobs that run, beside the bar and the counts.
MOST_JOBS: Final = 6
LONGEST_BAR: Final = 60
SHORTEST_BAR: Final = 5
_STYLES: Final = {"hits": "cyan", "done": "green", "failed": "red", "running": "yellow", "waiting": "dim"}
# Without colours the lines must tell it.
_BARS: Final = {"hits": "━", "done": "━", "failed": "━", "running": "╍", "waiting": "─"}
_ASCII_BARS: Final = {"hits": "=", "done": "#", "failed": "x", "running": ">", "waiting": "."}


class _File(io.StringIO):
    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._named = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override] # StringIO has none, and rich asks for it
        return self._named


class Painter:
    """Makes live lines of snapshots, in the colours that the environment asks for (``TERM``, ``NO_COLOR``)."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._file = _File(encoding)
        self._console = Console(
            file=self._file,
            force_terminal=True,
            force_interactive=False,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._is_ascii = not encoding.lower().replace("-", "").startswith("utf")

    def live(self, snapshot: Snapshot, count: int, width: int, height: int) -> list[LiveRow]:
        """Return the lines of a batch that runs ``count`` jobs, of which the snapshot has some with their ages.

        A job's ``started_s`` is its age here.
        """
        lines = [self._bar(snapshot, count, width), self._counts(snapshot, count)]
        room = min(MOST_JOBS, max(0, height - 5))
        shown = snapshot.running[: room if count <= room else max(0, room - 1)]
        lines += self._jobs(shown)
        if room and count > len(shown):
            lines.append(Text(f"  and {count - len(shown)} more", style="dim"))
        return self._rows(lines[: max(1, height - 2)], width)

    def last(self, snapshot: Snapshot, width: int) -> list[LiveRow]:
        """Return the lines that are left of a batch that is over."""
        over = snapshot._replace(left_s=None, waiting=0)
        return self._rows([self._bar(snapshot, 0, width), self._counts(over, 0)], width)

    def _bar(self, snapshot: Snapshot, running: int, width: int) -> Text:
        before = f"{snapshot.concluded}/{snapshot.total} "
        after = f" {clock(snapshot.elapsed_s)}"
        room = min(LONGEST_BAR, width - 1 - len(before) - len(after))
        line = Text(before, style="bold")
        if room >= SHORTEST_BAR:
            parts = {
                "hits": snapshot.hits + snapshot.duplicates,
                "done": snapshot.completed,
                "failed": snapshot.failed,
                "running": running,
            }
            for name, cells in shares(parts, snapshot.total, room).items():
                line.append((_ASCII_BARS if self._is_ascii else _BARS)[name] * cells, style=f"not bold {_STYLES[name]}")
        else:
            after = after.strip()
        line.append(after, style="not bold")
        return line

    def _counts(self, snapshot: Snapshot, running: int) -> Text:
        line = Text()
        for each in counts(snapshot):
            line.append(", " if line.plain else "")
            line.append(each, style=_STYLES.get(each.rpartition(" ")[2], ""))
        rest = [f"{running} running"] if running else idle(snapshot, running)
        rest += pace(snapshot)
        if line.plain and rest:
            line.append("; ")
        line.append(", ".join(rest))
        return line

    def _jobs(self, jobs: Sequence[RunningJob]) -> list[Text]:
        numbers = max((len(str(job.number)) for job in jobs), default=0)
        ages = [clock(job.started_s) for job in jobs]
        longest = max(map(len, ages), default=0)
        lines = []
        for job, age in zip(jobs, ages, strict=True):
            line = Text(f"  #{job.number}".ljust(numbers + 3), style="yellow")
            line.append(f"  {age.rjust(longest)}  ", style="default")
            line.append(" ".join(job.overrides), style="default")
            lines.append(line)
        return lines

    def _rows(self, lines: Sequence[Text], width: int) -> list[LiveRow]:
        rows = []
        for line in lines:
            self._crop(line, width - 1)
            # soft_wrap: the console's own idea of a width must not cut anything.
            self._console.print(line, end="", soft_wrap=True)
            shown = self._file.getvalue()
            self._file.seek(0)
            self._file.truncate()
            rows.append(LiveRow(shown.encode(self._encoding, "replace"), line.cell_len))
        return rows

    def _crop(self, line: Text, width: int) -> None:
        # The last column stays free: some terminals wrap after it.
        if line.cell_len > width:
            dots = "..." if self._is_ascii else "…"
            line.truncate(max(0, width - len(dots)), overflow="crop")
            line.append(dots[: max(0, width)])


def shares(parts: Mapping[str, int], total: int, cells: int) -> dict[str, int]:
    """Share out a bar's cells, none lost. What there is of ``failed`` always shows."""
    found, done, used = {}, 0, 0
    for name, number in parts.items():
        done += number
        end = min(cells, cells * done // total) if total else 0
        if name == "failed" and number and end == used and used < cells:
            end = used + 1
        found[name] = max(0, end - used)
        used = max(used, end)
    return {**found, "waiting": cells - used}


def clock(seconds: float) -> str:
    """Return a span of time as a clock shows it: m:ss, h:mm:ss."""
    minutes, second = divmod(int(max(0.0, seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def snapshot_of(message: Mapping[str, Any], passed_s: float = 0.0) -> tuple[Snapshot, int]:
    """Return what was sent of a snapshot ``passed_s`` ago, and how many jobs run; ages stand where times were."""
    running = tuple(
        RunningJob(number, (overrides,), age_s + passed_s) for number, overrides, age_s in message["running"]
    )
    fields = {**{name: message[name] for name in Snapshot._fields}, "running": running}
    return Snapshot(**{**fields, "elapsed_s": message["elapsed_s"] + passed_s}), message["running_count"]
