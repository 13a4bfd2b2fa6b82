"""One moment of a batch as a value, and the seam of what shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol


class RunningJob(NamedTuple):
    """A job that runs, since ``started_s`` by ``time.monotonic``."""

    number: int
    overrides: tuple[str, ...]
    started_s: float


class Snapshot(NamedTuple):
    """One moment of a batch of ``total`` jobs.

    ``completed`` and ``failed`` count jobs that ran to their end, ``retried`` runs that were done again, ``duplicates``
    jobs that a twin's result has served by now; those still to be served are ``waiting``. ``left_s`` is None while
    nothing is known to estimate it from, and while nothing runs.
    """

    total: int
    hits: int
    duplicates: int
    completed: int
    failed: int
    retried: int
    running: tuple[RunningJob, ...]
    waiting: int
    elapsed_s: float
    left_s: float | None = None

    @property
    def concluded(self) -> int:
        """Count the jobs of which it is known what became of them."""
        return self.hits + self.duplicates + self.completed + self.failed

    @property
    def jobs_per_s(self) -> float:
        """Return how many jobs have ended in a second; hits and duplicates do not count."""
        return (self.completed + self.failed) / self.elapsed_s if self.elapsed_s > 0 else 0.0


class Display(Protocol):
    """Shows how far batches have come, from a thread of its own. It is called from one thread, and never raises.

    Processes that are to print beside it are started after ``start``. It may be started again after ``stop``.
    """

    def start(self, snapshot: Callable[[], Snapshot]) -> None:
        """Show a batch from now on. ``snapshot`` is called a few times a second, from another thread."""

    def stop(self) -> None:
        """Show no more. Also where an exception passes; later calls do nothing."""

    def close(self) -> None:
        """Stop, and release what was kept for the next batch and for workers that live on. Call it after they ended.

        Later calls do nothing.
        """
