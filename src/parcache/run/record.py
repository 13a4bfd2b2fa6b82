"""A sweep's record on its way to the store: one line of facts a job, nothing that a warm sweep would notice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from parcache.model import Job, Key, Plan
from parcache.store.store import Store
from parcache.store.sweeps import FORMAT, Heading, KeyParts, Status, append, drop_old, line, lines_of, new_name

log = logging.getLogger(__name__)

# In explain mode this names a folder, and in it lies the record of what would run.
EXPLAIN_VARIABLE: Final = "PARCACHE_EXPLAIN"
DOCTOR_VARIABLE: Final = "PARCACHE_DOCTOR"
EXPLAIN_RECORD: Final = "record.log"
MAX_EXPLAINED: Final = 1000  # of one batch's jobs that left no entry; those of one cause look alike
MIN_TIMED_S: Final = 0.05
_KINDS: Final = {Status.MISS: "stored", Status.FAILED: "failed", Status.REFUSED: "refused"}
_MAX_REASON: Final = 300

# What explains a job's key: a number for its base, valid for the batch; the base's description; what is the job's own.
Explained = tuple[int, Any, Mapping[str, Any]]


class Recorder:
    """Writes one sweep's record. It serves explanations only: where it cannot be written, there is none.

    ``create`` is given the first lines and returns the file that it has written them to.
    """

    def __init__(self, heading: Heading, create: Callable[[bytes], str]) -> None:
        self._heading = heading
        self._create = create
        self._path: str | None = None
        self._parts: dict[tuple[Any, ...], int] = {}
        self._bases: set[int] = set()
        self._open: set[int] = set()  # planned misses that have not ended
        self._uncached: set[int] = set()
        self._done: list[int] = []  # those that have, and whose results are stored
        self._ends: dict[tuple[Status, str], list[int]] = {}
        self._times: list[tuple[str, int, tuple[str, ...]]] = []

    def planned(self, jobs: Sequence[Job], plan: Plan, reasons: Mapping[int, str]) -> None:
        """Record a batch as it was planned; ``reasons`` say by number why a job is not cached."""
        hits = [(job.number, job.key.digest) for job in jobs if job.number in plan.hits and job.key is not None]
        written = list(lines_of("hits", hits))
        if plan.misses:
            written += self._misses(plan.misses, reasons)
            written += lines_of("duplicates", sorted(plan.duplicates.items()))
        if not self._open:
            written.append(line("end"))
        self._write(written)

    def ended(self, number: int, status: Status, reason: str = "") -> None:
        """Take note of how a planned miss, or a duplicate that ran, ended."""
        if status is Status.MISS and number in self._uncached:
            return
        if status is Status.MISS and number in self._open:
            self._done.append(number)
            self._open.discard(number)
            return
        self._open.discard(number)
        self._ends.setdefault((status, reason[:_MAX_REASON]), []).append(number)

    def took(self, job: Job, run_time_s: float) -> None:
        """Take note of how long a job ran, where that is long enough to be worth anything to later sweeps."""
        if job.key is not None and run_time_s >= MIN_TIMED_S:
            self._times.append((job.key.config, round(run_time_s * 1000), job.overrides))

    def close(self, explain: Callable[[int], Explained | None]) -> None:
        """Record how the batch has ended; ``explain`` says what a job's key is made of, where that is known."""
        is_whole = not self._open
        unstored = [
            number for (status, _), numbers in self._ends.items() if status is not Status.MISS for number in numbers
        ]
        unstored += sorted(self._open)
        written: list[bytes] = list(lines_of("times", self._times))
        for (status, reason), numbers in self._ends.items():
            written += lines_of(_KINDS[status], numbers, before=[reason])
        if not is_whole:
            written += lines_of("stored", self._done, before=[""])
        for number in sorted(unstored)[:MAX_EXPLAINED]:
            written += self._why(number, explain)
        if is_whole and (self._done or written):
            written.append(line("end"))
        for noted in (self._ends, self._open, self._uncached, self._done, self._bases, self._times):
            noted.clear()
        self._write(written)

    def explained(
        self, numbers: Iterable[int], explain: Callable[[int], Explained | None], codes: Mapping[str, Any]
    ) -> None:
        """Record what these jobs' keys are made of, and end the batch: none of its jobs is going to run."""
        written = [line("code", digest, description) for digest, description in codes.items()]
        for number in numbers:
            written += self._why(number, explain)
        self._open.clear()
        self._bases.clear()
        self._write([*written, line("end")])

    def _misses(self, misses: Iterable[Job], reasons: Mapping[int, str]) -> Iterator[bytes]:
        keyed, uncached = [], dict[str, list[int]]()
        first_new = len(self._parts)
        for job in misses:
            key = job.key
            if key is None:
                self._uncached.add(job.number)
                uncached.setdefault(reasons.get(job.number, ""), []).append(job.number)
                continue
            parts = key.recipe, key.code, key.python, key.salt, key.env
            keyed.append((job.number, key.digest, key.config, self._parts.setdefault(parts, len(self._parts))))
            self._open.add(job.number)
        new = [(*parts[:4], hidden(parts[4])) for parts in list(self._parts)[first_new:]]
        if new:
            yield line("parts", new)
        yield from lines_of("misses", keyed)
        for reason, numbers in uncached.items():
            yield from lines_of("uncached", numbers, before=[reason])

    def _why(self, number: int, explain: Callable[[int], Explained | None]) -> Iterator[bytes]:
        found = explain(number)
        if found is None:
            return
        base, description, own = found
        needs_base = "config" not in own
        try:
            if needs_base and base not in self._bases:
                yield line("base", base, description)
                self._bases.add(base)
            yield line("why", number, base if needs_base else None, own)
        except (TypeError, ValueError, RecursionError) as error:
            log.debug("cannot record what job %d is made of: %s", number, error)

    def _write(self, written: list[bytes]) -> None:
        if not written:
            return
        try:
            if self._path is None:
                self._path = self._create(b"".join([line("sweep", FORMAT, self._heading._asdict()), *written]))
            else:
                append(self._path, written)
        except (OSError, ValueError) as error:
            log.debug("cannot record the sweep: %s", error)


def in_store(store: Store, heading: Heading) -> Recorder:
    """Return what records a sweep in a store, which keeps the last ones."""

    def create(data: bytes) -> str:
        path = new_name(store.paths, heading.started_ns)
        store.write(path, data)
        drop_old(store.paths)
        return path

    return Recorder(heading, create)


def hidden(env: Iterable[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    """Return environment variables with the digests of their values, which can be secrets."""
    return [(name, None if value is None else value_digest(value)) for name, value in env]


def value_digest(value: str) -> str:
    """Return a short digest of a value that is not to be shown."""
    return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def parts_of(key: Key) -> KeyParts:
    """Return a key's parts as a record keeps them."""
    return KeyParts(key.recipe, key.code, key.python, key.salt, tuple(hidden(key.env)))
