"""What has not been sent out yet, and how much of it travels together.

Sending a job to another process and its outcome back costs ten times what an empty job does. Short jobs therefore
travel together, in parcels that are as large as keeps a worker busy for about 30 ms; long jobs travel alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from parcache.run.unit import Unit

# Dispatching a parcel costs some 0.3 ms; a tail of this length does not show either.
TARGET_S: Final = 0.03


class ParcelSize:
    """How many units travel together. Starts with one; doubles while parcels are short, shrinks at once."""

    def __init__(self, largest: int | None = None) -> None:
        self._size = 1
        self._largest = largest

    def next(self, remaining: int, capacity: int) -> int:
        """Return the size of the next parcel: at the end of a batch smaller, so that all workers end together."""
        size = max(1, min(self._size, remaining // capacity))
        return size if self._largest is None else min(size, self._largest)

    def learn(self, times_s: tuple[float, ...]) -> None:
        """Take note of how long each unit of a parcel has taken."""
        if not times_s:
            return
        if max(times_s) > TARGET_S:
            self._size = 1
            return
        fitting = int(TARGET_S * len(times_s) / max(sum(times_s), 1e-9))
        # Of what was seen the double, not of what is in flight: its times are not known yet.
        self._size = max(1, min(fitting, max(self._size, 2 * len(times_s))))


class Waiting:
    """The units that are not in flight: made when they are due, once."""

    def __init__(self, numbers: Sequence[int], unit_of: Callable[[int], Unit]) -> None:
        self._numbers = deque(numbers)
        self._unit_of = unit_of
        self._back: deque[Unit] = deque()
        self._alone: deque[Unit] = deque()

    @property
    def count(self) -> int:
        """Count them."""
        return len(self._numbers) + len(self._back) + len(self._alone)

    def __bool__(self) -> bool:
        return bool(self._numbers or self._back or self._alone)

    def take(self, number: int) -> tuple[Unit, ...]:
        """Return the next units, at most so many, in their order; one that is to travel alone by itself."""
        if self._alone:
            return (self._alone.popleft(),)
        taken = [self._back.popleft() for _ in range(min(number, len(self._back)))]
        taken += [self._unit_of(self._numbers.popleft()) for _ in range(min(number - len(taken), len(self._numbers)))]
        return tuple(taken)

    def give_back(self, units: Iterable[Unit]) -> None:
        """Take units back to the front."""
        self._back.extendleft(reversed(tuple(units)))

    def give_back_alone(self, unit: Unit) -> None:
        """Take back a unit that nothing else is to suffer from: it runs next, in a parcel of its own."""
        self._alone.append(unit)

    def drop(self) -> list[int]:
        """Forget them all and return their numbers."""
        dropped = [unit.number for unit in (*self._alone, *self._back)] + list(self._numbers)
        self._alone.clear()
        self._back.clear()
        self._numbers.clear()
        return dropped
