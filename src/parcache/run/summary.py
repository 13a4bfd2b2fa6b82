"""The sweep's one line."""

from __future__ import annotations

from parcache.model import Tally


def summary_line(tally: Tally, elapsed_s: float, results_dir: str) -> str:
    """Return what a sweep came to: counts, wall time, run time that hits and duplicates saved, results' place."""
    counts = [f"{tally.hits} hits"]
    if tally.duplicates:
        counts.append(f"{tally.duplicates} duplicates")
    counts += [f"{tally.misses} misses", f"{tally.failed} failed"]
    saved = f" (saved {duration(tally.saved_s)})" if tally.hits or tally.duplicates else ""
    return f"{tally.jobs} jobs: {', '.join(counts)} in {duration(elapsed_s)}{saved}, results in {results_dir}"


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
