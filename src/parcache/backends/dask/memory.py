"""How much memory a call's process and its descendants use: Dask itself looks at the Dask worker's process alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any


def largest_over(limit_bytes: int, pids: Iterable[int]) -> int | None:
    """Return which of these processes uses most where together they use more than the limit."""
    found = list(pids)
    # Counts in each what forks share: never too little, and fast. The exact figure takes milliseconds for each GB.
    if sum(_of_family(pid, _resident) for pid in found) <= limit_bytes:
        return None
    exact = {pid: _of_family(pid, _proportional) for pid in found}
    return max(exact, key=lambda pid: exact[pid]) if sum(exact.values()) > limit_bytes else None


def _of_family(pid: int, measure: Callable[[Any], int]) -> int:
    import psutil

    total = 0
    with suppress(psutil.Error):  # it has ended
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += measure(each)
    return total


def _resident(process: Any) -> int:
    return int(process.memory_info().rss)


def _proportional(process: Any) -> int:
    info = process.memory_full_info()
    return int(getattr(info, "pss", info.rss))
