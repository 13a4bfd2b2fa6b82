"""The sweep's one line."""

from __future__ import annotations

from parcache.model import Tally
from parcache.progress.text import duration


def summary_line(tally: Tally, elapsed_s: float, results_dir: str) -> str:
    """Return what a sweep came to: counts, wall time, run time that hits and duplicates saved, results' place."""
    counts = [f"{tally.hits} hits"]
    if tally.duplicates:
        counts.append(f"{tally.duplicates} duplicates")
    counts += [f"{tally.misses} misses", f"{tally.failed} failed"]
    saved = f" (saved {duration(tally.saved_s)})" if tally.hits or tally.duplicates else ""
    return f"{tally.jobs} jobs: {', '.join(counts)} in {duration(elapsed_s)}{saved}, results in {results_dir}"
