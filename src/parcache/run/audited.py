"""What the audits of a sweep's jobs came to."""

from __future__ import annotations

from typing import NamedTuple

from parcache.model import Stray, Trace


class Untraced(NamedTuple):
    """A job that ran and of which an audit saw nothing, or not all."""

    number: int
    problem: str


class Audited:
    """Collects the traces of one batch's jobs."""

    def __init__(self) -> None:
        self._strays: dict[tuple[str, int, str], tuple[Stray, int]] = {}
        self.traced = 0
        self.made = 0
        self.untraced: list[Untraced] = []

    def add(self, number: int, trace: Trace | None) -> None:
        """Take up the trace of a job; None where there is none."""
        if trace is None:
            self.untraced.append(
                Untraced(number, "it had no code fingerprint to compare with, or no store to write to")
            )
            return
        self.traced += 1
        self.made += trace.made
        if trace.problem:
            self.untraced.append(Untraced(number, trace.problem))
        for stray in trace.strays:
            place = stray.path, stray.line, stray.name
            known = self._strays.get(place)
            if known is None or number < known[1]:
                self._strays[place] = stray, number

    @property
    def strays(self) -> list[tuple[Stray, int]]:
        """Return the code that ran and is in no closure, in the order of files and lines, each with its first job."""
        return sorted(self._strays.values(), key=lambda found: (found[0].path, found[0].line, found[0].name))

    def line(self) -> str:
        """Return what it all came to."""
        return f"Audit: {self.traced} jobs traced, functions that ran outside their code closures: {len(self._strays)}"
