"""What travels between the process that sweeps and its workers.

Units and outcomes are many and small: they travel in parcels, as tuples, which pickle an order of magnitude faster than
dataclasses do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from parcache.keys.code import Source
from parcache.keys.scope import Scope
from parcache.model import Key, Outcome
from parcache.run.parts import Packed, Part
from parcache.store.store import Store

if TYPE_CHECKING:
    from parcache.keys.fingerprint import Asked
    from parcache.run.audit import Closure


@dataclass(frozen=True, slots=True, eq=False)
class Brief:
    """What is the same for all jobs with one base config and one fingerprint: where to publish, and what must hold.

    ``sources`` is None where the code does not count. ``record`` and ``explanation`` are JSON data, completed by
    each ticket's own. ``refusal`` says why nothing is to be published at all. ``closure`` is there where the jobs are
    audited. ``scope`` is None where what jobs read does not count. ``excluded`` are packages whose
    code the caller vouches for. ``executes_files``: the code may execute files without importing them.
    ``asked`` takes the fingerprint again; None where nothing can.
    """

    store: Store
    sources: tuple[Source, ...] | None
    distributions: tuple[tuple[str, str], ...]
    record: dict[str, Any]
    explanation: Mapping[str, Any]
    refusal: str = ""
    closure: Closure | None = None
    scope: Scope | None = None
    excluded: tuple[str, ...] = ()
    executes_files: bool = False
    asked: Asked | None = None


class Ticket(NamedTuple):
    """The permission to publish one unit's result. ``brief`` is the id of the part that is its Brief.

    ``named`` are the (label, absolute path) of the files and folders that count whether or not the job is seen to read
    them.
    """

    brief: int
    key: Key
    output_dir: str
    explanation: Mapping[str, Any]
    named: tuple[tuple[str, str], ...] = ()


class Unit(NamedTuple):
    """One job on its way to a worker: ``own`` is what differs, ``common`` the id of the part that it shares.

    Both are opaque to this floor.
    """

    number: int
    common: int | None
    own: Any
    ticket: Ticket | None

    @property
    def parts(self) -> tuple[int, ...]:
        """Return the ids of the parts that it needs."""
        ids = (self.common, self.ticket.brief if self.ticket is not None else None)
        return tuple(each for each in ids if each is not None)


class Parcel(NamedTuple):
    """Units that one worker executes one after the other, and the parts that it may not have. No id comes twice."""

    units: tuple[Unit, ...]
    parts: Mapping[int, Part | Packed] = {}
    id: int = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _parcel, ([_flat_unit(unit) for unit in self.units], self.parts, self.id)


class Sealed(NamedTuple):
    """A report, or the error in its place, from another process: bytes, so that nothing in it breaks the way back."""

    data: bytes
    is_error: bool


class Delivery(NamedTuple):
    """The outcomes of a parcel's first units, in their order, and how long each took (s).

    Units without an outcome were not started: the parcel had taken long enough.
    """

    outcomes: tuple[Outcome, ...]
    times_s: tuple[float, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _delivery, ([_flat_outcome(outcome) for outcome in self.outcomes], self.times_s)


def _flat_unit(unit: Unit) -> tuple[Any, ...]:
    ticket = unit.ticket
    if ticket is None:
        return unit.number, unit.common, unit.own, None
    key = ticket.key
    parts = key.digest, key.recipe, key.config, key.code, key.python, key.salt, key.env
    return unit.number, unit.common, unit.own, (ticket.brief, parts, *ticket[2:])


def _parcel(flat: Sequence[tuple[Any, ...]], parts: Mapping[int, Packed], id: int) -> Parcel:
    units = []
    for number, common, own, permission in flat:
        ticket = None
        if permission is not None:
            brief, key, *rest = permission
            ticket = Ticket(brief, Key(*key), *rest)
        units.append(Unit(number, common, own, ticket))
    return Parcel(tuple(units), parts, id)


def _flat_outcome(outcome: Outcome) -> tuple[Any, ...]:
    report = outcome.report
    sealed = (report.data, report.is_error) if isinstance(report, Sealed) else None
    rest = (None if sealed else report), outcome.error
    return outcome.number, sealed, *rest, outcome.run_time_s, outcome.stored, outcome.trace


def _delivery(flat: Sequence[tuple[Any, ...]], times_s: tuple[float, ...]) -> Delivery:
    outcomes = [
        Outcome(number, report if sealed is None else Sealed(*sealed), error, run_time_s, stored, trace)
        for number, sealed, report, error, run_time_s, stored, trace in flat
    ]
    return Delivery(tuple(outcomes), times_s)
