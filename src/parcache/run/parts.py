"""What several jobs share, on its way to the workers: once a worker, not once a job.

A part is pickled on its own, so that one that cannot travel costs only the jobs that need it, and unpickled by a worker
when its first job asks for it. Parts that are there when the pool starts travel with the runner; those that come
later travel with every parcel that needs them, for nobody knows which worker has seen them.
"""

from __future__ import annotations

import itertools
import pickle
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from parcache.errors import CannotTravelError
from parcache.run import failure

# A worker may forget any part that came with a parcel: whoever needs it brings it again.
_KEPT: Final = 32


class Part:
    """A part in the process that sweeps. Pickled, it becomes ``Packed``; that never raises."""

    __slots__ = ("_packed", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        self._packed: tuple[bytes, str] | None = None

    def open(self) -> Any:
        """Return the object."""
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        if self._packed is None:  # pickled at most once, and not at all where nothing leaves the process
            from parcache.pickling import dumps

            try:
                self._packed = dumps(self._value), ""
            except Exception as error:
                what = f"what its jobs share, a {type(self._value).__qualname__}"
                self._packed = b"", f"{what}: {type(error).__name__}: {failure.text(error)}"
        return Packed, self._packed


class Packed:
    """A part as it arrives in a worker: bytes until it is first asked for, or why it could not travel."""

    __slots__ = ("_data", "_is_open", "_problem", "_value")

    def __init__(self, data: bytes, problem: str) -> None:
        self._data, self._problem = data, problem
        self._value: Any = None
        self._is_open = False

    def open(self) -> Any:
        """Return the object, the same one each time.

        Raises:
            CannotTravelError: It could not be pickled.
            Exception: Anything: it does not unpickle here.
        """
        if not self._is_open:
            if self._problem:
                raise CannotTravelError(self._problem)
            self._value = pickle.loads(self._data)
            self._is_open, self._data = True, b""
        return self._value


class Parts:
    """The parts of one sweep, in the process that sweeps, by ids that are never used again."""

    def __init__(self) -> None:
        self._parts: dict[int, Part] = {}
        self._ids = itertools.count()
        self._sent: frozenset[int] = frozenset()

    def add(self, value: Any) -> int:
        """Take up an object and return its id. It must not change any more."""
        number = next(self._ids)
        self._parts[number] = Part(value)
        return number

    def get(self, id: int) -> Any:
        """Return the object.

        Raises:
            KeyError: There is none, or it was dropped.
        """
        return self._parts[id].open()

    def drop(self, id: int) -> None:
        """Forget an object that no job needs any more."""
        self._parts.pop(id, None)

    def send(self) -> Mapping[int, Part]:
        """Return the parts that there are: from now on every worker that starts gets those of them that are left."""
        self._sent = frozenset(self._parts)
        return self._parts

    def sent(self) -> dict[int, Part]:
        """Return the parts for a worker that starts now."""
        return {number: part for number, part in self._parts.copy().items() if number in self._sent}

    def to_bring(self, ids: Iterable[int]) -> dict[int, Part]:
        """Return those of these parts that the workers did not get at their start."""
        return {number: self._parts[number] for number in ids if number not in self._sent and number in self._parts}


class Shelf:
    """The parts in one process that executes: those known at its start and those that parcels brought."""

    def __init__(self, known: Mapping[int, Part | Packed]) -> None:
        self._known = known
        self._brought: dict[int, Part | Packed] = {}
        self._lock = threading.Lock()

    def bring(self, parts: Mapping[int, Part | Packed]) -> None:
        """Take up what a parcel brought; of earlier ones the last used are kept."""
        if not parts:
            return
        with self._lock:
            for number, part in parts.items():
                self._brought[number] = self._brought.pop(number, part)
            for number in list(self._brought)[: -max(_KEPT, len(parts))]:
                del self._brought[number]

    def get(self, id: int) -> Any:
        """Return the object.

        Raises:
            Exception: It could not travel, or does not unpickle here.
        """
        part = self._known.get(id) or self._brought[id]
        return part.open()
