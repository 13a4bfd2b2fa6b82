"""Starts that are to be apart."""

from __future__ import annotations

from collections.abc import Callable


class Stagger:
    """When the next worker may start: ``gap_s`` after the one before it."""

    def __init__(self, gap_s: float, clock: Callable[[], float]) -> None:
        self._gap_s = gap_s
        self._clock = clock
        self._next_s: float | None = None

    def wait_s(self) -> float:
        """Return how long no worker may start yet."""
        return 0.0 if self._next_s is None else max(0.0, self._next_s - self._clock())

    def take(self) -> None:
        """Take note that a worker starts now."""
        if self._gap_s:
            self._next_s = self._clock() + self._gap_s
