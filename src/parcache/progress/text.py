"""Progress in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parcache.progress.snapshot import Snapshot


def duration(seconds: float) -> str:
    """Return a span of time in the units that people read: ms below 1 s, then s, min, h."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def about(seconds: float) -> str:
    """Return an estimated span of time, as exact as an estimate is."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} days"


def rate(jobs_per_s: float) -> str:
    """Return how fast jobs end, in a unit that gives a number of about 1 or more; empty where none has ended."""
    for factor, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if jobs_per_s * factor >= 1 or unit == "h":
            per_unit = jobs_per_s * factor
            return f"{per_unit:.{0 if per_unit >= 10 else 1}f} jobs/{unit}" if per_unit >= 0.05 else ""
    return ""


def counts(snapshot: Snapshot) -> list[str]:
    """Return what jobs have come to; what is nought is left out."""
    found = [
        (snapshot.hits, "hits"),
        (snapshot.duplicates, "duplicates"),
        (snapshot.completed, "done"),
        (snapshot.failed, "failed"),
        (snapshot.retried, "retried"),
    ]
    return [f"{number} {word}" for number, word in found if number]


def idle(snapshot: Snapshot, running: int) -> list[str]:
    """Return how many jobs wait where none runs: nothing else tells that the batch is not at its end."""
    return [f"{snapshot.waiting} waiting"] if snapshot.waiting and not running else []


def pace(snapshot: Snapshot) -> list[str]:
    """Return how fast it goes and when it will be done, as far as that is known."""
    found = [rate(snapshot.jobs_per_s)]
    if snapshot.left_s is not None and snapshot.concluded < snapshot.total:
        found.append(f"about {about(snapshot.left_s)} left")
    return [each for each in found if each]


def plain_line(snapshot: Snapshot) -> str:
    """Return one moment of a batch as one line."""
    now = [f"{len(snapshot.running)} running", *idle(snapshot, len(snapshot.running))]
    parts = [", ".join(counts(snapshot)), ", ".join([*now, *pace(snapshot)])]
    return f"{snapshot.concluded}/{snapshot.total} jobs: {'; '.join(part for part in parts if part)}"


def harmless(overrides: Iterable[str]) -> str:
    """Return overrides as one line of text that no terminal acts on: what is not printable is written as escapes."""
    text = " ".join(overrides)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata  # the end of a sweep has none

    return sum(2 if unicodedata.east_asian_width(each) in "WF" else not unicodedata.combining(each) for each in text)


def cropped(text: str, width: int) -> str:
    """Return as much of a text as fits, with dots where something is missing, filled up with spaces to the width."""
    if cells(text) > width:
        text = text[: max(0, width - 3)]
        while cells(text) > width - 3 and text:
            text = text[:-1]
        text += "..."[: max(0, width)]
    return text + " " * (width - cells(text))
