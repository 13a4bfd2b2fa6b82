"""What was measured, as values: series of samples, ratios between them, and the goals they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Series:
    """One contestant's samples in the order of the rounds, at least one; what they count is said by their table."""

    name: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the middle sample."""
        return median(self.samples)


@dataclass(frozen=True, slots=True)
class Table:
    """Series of one unit (``s`` or ``bytes``), each held against the first."""

    title: str
    series: tuple[Series, ...]
    unit: str = "s"


@dataclass(frozen=True, slots=True)
class Grid:
    """What was counted or found, as text: a cell for each column in every row, which has a name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a finding should come to: at least, or at most, ``limit``."""

    limit: float
    at_least: bool

    def is_met(self, value: float) -> bool:
        """Tell whether a value is on the right side."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Finding:
    """A number derived from several series, one value for each pair of rounds; without values it was not measured."""

    text: str
    values: tuple[float, ...]
    goal: Goal | None = None
    unit: str = "x"


@dataclass(slots=True)
class Part:
    """What one part of the benchmarks came to. ``notes`` are lines for the reader."""

    name: str
    tables: list[Table] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)


def samples_of(series: Mapping[str, Series], name: str) -> tuple[float, ...]:
    """Return a contestant's samples; none where it was not measured."""
    return series[name].samples if name in series else ()


def pairs(*columns: Sequence[float]) -> Iterator[tuple[float, ...]]:
    """Yield the samples of the same round together.

    A single sample (of a contestant too slow to run in every round) stands in every round; otherwise the shortest
    column ends it. Where a column is empty there are no pairs.
    """
    if not all(columns):
        return
    rounds = min((len(column) for column in columns if len(column) > 1), default=1)
    for index in range(rounds):
        yield tuple(column[0] if len(column) == 1 else column[index] for column in columns)


def ratios(over: Sequence[float], under: Sequence[float]) -> tuple[float, ...]:
    """Divide pair by pair; a pair whose divisor is not positive has no ratio."""
    return tuple(above / below for above, below in pairs(over, under) if below > 0)


def sums(*columns: Sequence[float]) -> tuple[float, ...]:
    """Add up the samples of each round."""
    return tuple(sum(row) for row in pairs(*columns))


def differences(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
    """Subtract pair by pair."""
    return tuple(left - right for left, right in pairs(first, second))
