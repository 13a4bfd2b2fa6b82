"""Records of sweeps: who ran what, and what became of each job.

One file a sweep, ``sweeps/<start in ns>-<random>.log``, written whole with its first batch and appended to by the
sweeping process alone. It is made of lines: 8 hexadecimal digits, the CRC-32 of what follows; a space; a JSON array,
whose first item says what the others are::

    ["sweep", format, {...}]               the first line: the members of ``Heading``
    ["parts", [[recipe, code, python, salt, [[name, digest or null], …]], …]]
                                           of keys; numbered from 0 through all of the file
    ["hits", [[job, key], …]]
    ["misses", [[job, key, config, index into the parts], …]]
    ["duplicates", [[job, twin], …]]
    ["uncached" | "failed" | "refused" | "stored", reason, [job, …]]
    ["base", index, description]           a config, as entries keep it
    ["times", [[config, run time in ms, [override, …]], …]]
                                           of jobs that ran, as far as they took long enough to matter
    ["why", job, index of a base or null, {...}]
                                           what explains the key of a job that left no entry, as entries keep it
    ["code", digest, description]          what a fingerprint is made of, where nothing was told to the store
    ["end"]                                of a batch

A job is named by its number, a key and a config by its digest. A line that does not fit its CRC is passed by; lines of
unknown kinds are ignored. A later line about a job stands in place of an earlier one.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, Final, NamedTuple

from parcache.errors import NewerFormatError
from parcache.store.paths import StorePaths

FORMAT: Final = 1
KEPT: Final = 50
PER_LINE: Final = 500  # damage costs so many jobs
_MAX_READ_BYTES: Final = 20_000_000
_JSON: Final = json.JSONEncoder(separators=(",", ":"))


class Status(Enum):
    """What became of a job, as far as its result goes."""

    HIT = "hit"
    MISS = "miss"
    DUPLICATE = "duplicate"
    FAILED = "failed"
    REFUSED = "not stored"
    UNCACHED = "not cached"
    UNFINISHED = "unfinished"


class KeyParts(NamedTuple):
    """A key without its config; of environment variables the digests of their values, which can be secrets."""

    recipe: int
    code: str
    python: str
    salt: str
    env: tuple[tuple[str, str | None], ...] = ()


class Heading(NamedTuple):
    """What a sweep was. ``command`` starts the app, ``arguments`` are what the user gave it."""

    started_ns: int = 0
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    cwd: str = ""
    sweep_dir: str = ""
    launcher: str = ""
    config_name: str = ""
    config_dir: str = ""
    mode: str = "use"
    ignore: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    is_app: bool = True
    store: str = ""


class RecordedJob(NamedTuple):
    """One job of a record. ``explanation`` is only kept for a job that left no entry."""

    number: int
    status: Status
    key: str = ""
    config: str = ""
    parts: KeyParts | None = None
    twin: int | None = None
    reason: str = ""
    explanation: dict[str, Any] | None = None


class SweepRecord(NamedTuple):
    """A record as it was read. ``damaged`` is how many lines of it could not be; ``codes`` are descriptions of code."""

    path: str
    heading: Heading
    jobs: dict[int, RecordedJob]
    codes: dict[str, dict[str, Any]]
    damaged: int


def line(*items: Any) -> bytes:
    """Return one line of a record."""
    data = _JSON.encode(items).encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(data), data)


def lines_of(kind: str, jobs: Sequence[Any], *, before: Sequence[Any] = ()) -> Iterator[bytes]:
    """Yield lines about jobs: as many as keep each of them short."""
    for first in range(0, len(jobs), PER_LINE):
        yield line(kind, *before, jobs[first : first + PER_LINE])


def new_name(paths: StorePaths, started_ns: int) -> str:
    """Return the file of a new record; names sort by time."""
    return os.path.join(paths.sweeps, f"{started_ns:020d}-{os.urandom(3).hex()}.log")


def append(path: str, lines: Iterable[bytes]) -> None:
    """Append to a record, in one piece.

    Raises:
        OSError: It cannot be written, or is gone.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        rest = memoryview(b"".join(lines))
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def drop_old(paths: StorePaths) -> None:
    """Delete all records but the last ones."""
    for path in _files(paths)[KEPT:]:
        with suppress(OSError):
            os.unlink(path)


def records(paths: StorePaths) -> Iterator[SweepRecord]:
    """Yield the records of sweeps, the last one first; those whose first line is damaged are passed by.

    Raises:
        NewerFormatError: One is in a newer format.
    """
    for path in _files(paths):
        found = read_record(path)
        if found is not None:
            yield found


def times(paths: StorePaths) -> Iterator[tuple[str, float, tuple[str, ...]]]:
    """Yield (digest of the config, run time in s, overrides) of jobs that ran, from the newest record to the oldest.

    Damaged lines are passed by. Of the records, at most the last 20 MB are read.
    """
    left = _MAX_READ_BYTES
    for path in _files(paths):
        try:
            left -= os.path.getsize(path)
            if left < 0:
                return
            with open(path, "rb") as file:
                lines = [data for data in file if data[9:].startswith(b'["times"')]
        except OSError:
            continue
        for data in reversed(lines):
            row = _row(data.rstrip(b"\n"))
            try:
                told = [(str(config), ms / 1000, tuple(map(str, names))) for config, ms, names in (row or ["", ()])[1]]
            except (TypeError, ValueError, LookupError):
                continue
            yield from told


def _files(paths: StorePaths) -> list[str]:
    try:
        names = sorted((name for name in os.listdir(paths.sweeps) if name.endswith(".log")), reverse=True)
    except OSError:
        return []
    return [os.path.join(paths.sweeps, name) for name in names]


def read_record(path: str) -> SweepRecord | None:
    """Return a record, or None where there is none or its first line is damaged.

    Raises:
        NewerFormatError: It is in a newer format.
    """
    try:
        with open(path, "rb") as file:
            rows = [_row(data) for data in file.read().splitlines()]
    except OSError:
        return None
    try:
        kind, form, members = rows[0] or ["", 0, {}]
        if kind != "sweep":
            return None
        if form > FORMAT:
            raise NewerFormatError(path, form, FORMAT)
        heading = _heading(members)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None
    reader = _Reader()
    for row in rows[1:]:
        reader.take(row)
    return SweepRecord(path, heading, reader.finished(), reader.codes, reader.damaged)


def _heading(members: dict[str, Any]) -> Heading:
    """Return a heading; members of the wrong type, and those that are not there, have their default."""
    defaults: dict[str, Any] = Heading()._asdict()
    found: dict[str, Any] = {}
    for name, default in defaults.items():
        value = members.get(name, default)
        value = tuple(map(str, value)) if type(value) is list else value
        found[name] = value if type(value) is type(default) else default
    return Heading(**found)


def _row(data: bytes) -> list[Any] | None:
    """Return what a line says, or None where it is damaged."""
    try:
        if int(data[:8], 16) != zlib.crc32(data[9:]):
            return None
        found = json.loads(data[9:])
    except (ValueError, RecursionError):
        return None
    return found if type(found) is list else None


class _Reader:
    """Puts the lines of a record together."""

    def __init__(self) -> None:
        self.damaged = 0
        self.codes: dict[str, dict[str, Any]] = {}
        self._jobs: dict[int, RecordedJob] = {}
        self._parts: list[KeyParts] = []
        self._bases: dict[int, Any] = {}
        self._pending: set[int] = set()  # misses of a batch whose end has not been read

    def take(self, row: list[Any] | None) -> None:
        """Take up one line."""
        try:
            if row is None:
                raise ValueError
            self._take(str(row[0]), row[1:])
        except (ValueError, TypeError, LookupError, AttributeError):
            self.damaged += 1

    def finished(self) -> dict[int, RecordedJob]:
        """Return the jobs by number; what was still to come when the record ends has not finished."""
        for number in self._pending:
            self._jobs[number] = self._jobs[number]._replace(status=Status.UNFINISHED)
        return dict(sorted(self._jobs.items()))

    def _take(self, kind: str, items: list[Any]) -> None:
        if kind == "parts":
            for recipe, code, python, salt, env in items[0]:
                variables = tuple((name, value) for name, value in env)
                self._parts.append(KeyParts(recipe, code, python, salt, variables))
        elif kind == "hits":
            self._jobs.update((number, RecordedJob(number, Status.HIT, key)) for number, key in items[0])
        elif kind == "misses":
            for number, key, config, index in items[0]:
                parts = self._parts[index] if index < len(self._parts) else None
                self._jobs[number] = RecordedJob(number, Status.MISS, key, config, parts)
                self._pending.add(number)
        elif kind == "duplicates":
            for number, twin in items[0]:
                key = self._jobs[twin].key if twin in self._jobs else ""
                self._jobs[number] = RecordedJob(number, Status.DUPLICATE, key, twin=twin)
        elif kind in _ENDS:
            reason, numbers = items
            for number in numbers:
                job = self._jobs.get(number, RecordedJob(number, Status.UNCACHED))
                self._jobs[number] = job._replace(status=_ENDS[kind], reason=reason)
                self._pending.discard(number)
        elif kind == "base":
            self._bases[items[0]] = items[1]
        elif kind == "why":
            number, base, own = items
            shared = {} if base is None else {"config": self._bases.get(base)}
            self._jobs[number] = self._jobs[number]._replace(explanation={**shared, **own})
        elif kind == "code":
            self.codes[items[0]] = dict(items[1])
        elif kind == "end":
            self._pending.clear()


_ENDS: Final = {
    "uncached": Status.UNCACHED,
    "failed": Status.FAILED,
    "refused": Status.REFUSED,
    "stored": Status.MISS,
}
