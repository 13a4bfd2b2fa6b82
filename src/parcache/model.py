"""The words of the domain as values: job, key, entry, plan, outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple


class Slotted:
    """A value with slots, which compares by them: to make such a class takes a fortieth of what a dataclass takes."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash((type(self), self._content()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({shown})"

    def _content(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__slots__])


class Key(NamedTuple):
    """What a job is found by.

    ``digest`` is the hexadecimal digest over all the other parts by ``parcache.keys.recipe``; the parts are kept
    so that what differs between two keys can be named.
    """

    digest: str
    recipe: int
    config: str
    code: str
    python: str
    salt: str
    env: tuple[tuple[str, str | None], ...] = ()


class Job(NamedTuple):
    """One composed configuration of a batch.

    ``number`` is Hydra's ``hydra.job.num``, unique in the sweep. ``key`` is None when the job is not cached. ``named``
    are the (label, absolute path) of the files and folders that ``cache.inputs`` names for it.
    """

    number: int
    overrides: tuple[str, ...]
    key: Key | None
    named: tuple[tuple[str, str], ...] = ()


FILE: Final = "file"
ABSENT: Final = "absent"
FOLDER: Final = "folder"
TREE: Final = "tree"


class Input(NamedTuple):
    """What a job read, as it was then.

    ``kind`` is one of

    - ``file``: its content, ``size`` in bytes;
    - ``absent``: nothing was there;
    - ``folder``: the names in it, ``size`` is their number;
    - ``tree``: a named folder with all that lies below it, ``size`` in bytes.

    ``path`` is relative to where the sweep was started where it lies below that. ``mtime_ns`` is the newest
    modification time. ``digest`` is hexadecimal; empty for what is absent, and where reading the content would have
    taken too long. ``stamp`` tells by metadata alone that nothing has changed; it is empty where that would not be
    certain. ``left`` is the digest of what the job itself had made of it in the end, where it differs. ``label`` is the
    item of ``cache.inputs`` that named it.
    """

    path: str
    kind: str
    size: int = 0
    mtime_ns: int = 0
    digest: str = ""
    stamp: str = ""
    left: str = ""
    label: str = ""


class Watched(NamedTuple):
    """What is known of an entry's inputs. Without ``is_watched`` the job ran unwatched, and nothing is known.

    ``excluded`` are the patterns of paths that were not to count.
    """

    inputs: tuple[Input, ...] = ()
    excluded: tuple[str, ...] = ()
    is_watched: bool = True

    def pack(self) -> bytes:
        """Return it as an entry keeps it: JSON; no bytes at all of a watched job that read nothing."""
        if not self.is_watched:
            return b'{"watched":false}'
        if not self.inputs and not self.excluded:
            return b""
        parts: dict[str, Any] = {"inputs": [list(each) for each in self.inputs]}
        if self.excluded:
            parts["excluded"] = list(self.excluded)
        return _JSON.encode(parts).encode("ascii")

    @classmethod
    def parse(cls, data: bytes) -> Watched:
        """Return what ``pack`` made bytes of.

        Raises:
            ValueError: It made no such bytes.
        """
        if not data:
            return cls()
        try:
            # As text: of bytes, json guesses the encoding.
            found = json.loads(data.decode("ascii"))
            inputs = tuple(Input(*row[: len(Input._fields)]) for row in found.get("inputs", ()))
            return cls(inputs, tuple(found.get("excluded", ())), found.get("watched", True) is True)
        except (TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no list of inputs: {error}") from None


_JSON: Final = json.JSONEncoder(separators=(",", ":"))


class Entry(NamedTuple):
    """A stored result: the value and what was recorded with it. ``run_time_s`` is the task function's own time.

    ``created_ns`` is when it was published, in ns since the epoch by the clock of the machine that ran the job.
    ``header`` is a JSON object as the store keeps it, ``watched`` a ``Watched`` as bytes.
    """

    key: Key
    value: Any
    run_time_s: float
    created_ns: int = 0
    header: bytes = b"{}"
    watched: bytes = b""

    def inputs(self) -> tuple[Input, ...]:
        """Return what the job read; nothing where that was not watched, cannot be read, or lies in a list of its own.

        ``Store.list_of`` returns such a list.
        """
        try:
            return Watched.parse(self.watched).inputs
        except ValueError:
            return ()

    def record(self) -> dict[str, Any]:
        """Return what was recorded beside the value; an empty dict where the header does not say."""
        try:
            # As text: of bytes, json guesses the encoding.
            return dict(json.loads(self.header.decode("ascii")).get("record", ()))
        except (ValueError, TypeError, AttributeError, RecursionError):
            return {}


class Plan(NamedTuple):
    """What a batch needs: every job is in exactly one of the three.

    ``hits`` maps a job's number to its entry, ``duplicates`` a job's number to the number of the miss that has the
    same key, ``misses`` are in job order.
    """

    hits: Mapping[int, Entry]
    misses: tuple[Job, ...]
    duplicates: Mapping[int, int]


class Storing(Enum):
    """What became of a result on its way to the store."""

    PUBLISHED = "published"
    NOT_ASKED = "not asked"
    REFUSED = "refused"


class Stored(NamedTuple):
    """Whether a result was published and, if it was refused, the sentence that says why."""

    how: Storing
    reason: str = ""


NOT_ASKED = Stored(Storing.NOT_ASKED)


class Stray(NamedTuple):
    """First-party code that ran for a job and is not in its code closure.

    ``name`` is qualified within the module, ``<module>`` for what the module itself executes; ``line`` is its first.
    ``caller`` is where it was first called from, as an editor finds it; empty where no first-party code called it.
    """

    module: str
    name: str
    path: str
    line: int
    caller: str = ""

    def __str__(self) -> str:
        """Name it, where it lies and who called it."""
        caller = f", called from {self.caller}" if self.caller else ""
        return f"{self.module}:{self.name} ({self.path}:{self.line}){caller}"


class Trace(NamedTuple):
    """What an audit saw of one job.

    ``made`` counts code that was made from text while the process ran and lies in no file: it is not judged.
    ``problem`` says what kept the audit from seeing all of the job; empty where nothing did.
    """

    strays: tuple[Stray, ...] = ()
    made: int = 0
    problem: str = ""


class Outcome(NamedTuple):
    """What running a job led to.

    ``report`` is what the runner returned. ``error`` is set instead when the job's worker or its way back failed.
    ``run_time_s`` is the task function's own time. ``trace`` is None where the job was not audited.
    """

    number: int
    report: Any
    error: BaseException | None
    run_time_s: float
    stored: Stored
    trace: Trace | None = None


class Tally(Slotted):
    """What a sweep's jobs came to. ``saved_s`` sums the recorded run times of hits and duplicates."""

    __slots__ = ("duplicates", "failed", "hits", "misses", "saved_s")

    def __init__(
        self, hits: int = 0, misses: int = 0, duplicates: int = 0, failed: int = 0, saved_s: float = 0.0
    ) -> None:
        self.hits = hits
        self.misses = misses
        self.duplicates = duplicates
        self.failed = failed
        self.saved_s = saved_s

    @property
    def jobs(self) -> int:
        """Count all jobs."""
        return self.hits + self.misses + self.duplicates

    def __add__(self, other: Tally) -> Tally:
        """Add up two batches."""
        return Tally(
            self.hits + other.hits,
            self.misses + other.misses,
            self.duplicates + other.duplicates,
            self.failed + other.failed,
            self.saved_s + other.saved_s,
        )


def in_job_order(jobs: Sequence[Job], results: Mapping[int, Any]) -> list[Any]:
    """Return the results in the order of the jobs.

    Raises:
        KeyError: A job has no result.
    """
    return [results[job.number] for job in jobs]
