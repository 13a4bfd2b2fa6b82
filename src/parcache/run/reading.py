"""What the jobs of this process read: each its own, and what the modules did that they share.

A module that reads a table when it is imported does so once in a process, and every job that runs there afterwards
may use it. So what was read during an import, by whichever job, and while a worker took up its work, counts for every
later job of the process: with the content that it had then, wherever the file has gone since. So does what a job read
that has left something in memory: the next one may find it there.

Several jobs may be in flight in one process: what one of them reads in an import counts for those as well that end
before it does. Where any of them leaves something in memory, nobody knows which, and what all of them have read counts.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType
from typing import Any, Final, NamedTuple

from parcache.keys.code import Source
from parcache.keys.digests import Digester
from parcache.keys.inputs import (
    Named,
    Sightings,
    Taken,
    identity,
    is_alike,
    refusal,
    stamps_of,
    take,
    take_named,
    watched,
)
from parcache.keys.scope import Rules, Scope, is_below, rules_of
from parcache.model import Input, Watched
from parcache.run import recorder
from parcache.run.recorder import Recording
from parcache.run.retained import Retained
from parcache.store.store import Store


class Read(NamedTuple):
    """What a job read, as its entry keeps it, and the digest of that; or the ``refusal`` to store its result."""

    watched: bytes = b""
    variant: str = ""
    refusal: str = ""


# Contents are read again for at most this part of the time that the job took, or for this long where that is more.
_SHARE: Final = 0.1
_LEAST_S: Final = 10.0
UNWATCHED: Final = Read(Watched(is_watched=False).pack())


class _Shared:
    """What the modules of this process have read, and the jobs that have left something in memory, by absolute path."""

    def __init__(self) -> None:
        self.inputs: dict[str, Input] = {}
        self.changed: set[str] = set()

    def add(self, recording: Recording, rules: Rules, digester: Digester, paths: set[str]) -> None:
        """Take up what was read at these paths, as it is now."""
        self.take_up(take(_sightings(recording, recording.seen.keys() - paths), rules, digester))

    def take_up(self, taken: Taken) -> None:
        """Take up what was read."""
        for each in taken.inputs:
            known = self.inputs.setdefault(each.path, each)
            if not _goes_on(known, each):
                self.changed.add(each.path)
        self.changed.update(taken.changed)


_shared = _Shared()
# What takes up what the jobs in flight have read so far, those among them whose results are not stored as well.
_running: dict[Recording, Callable[[], Taken]] = {}
_lock: Final = threading.RLock()  # of both
_retained: Final = Retained()
_digesters: dict[Store, Digester] = {}


@contextmanager
def taking_up() -> Iterator[None]:
    """Count what is read meanwhile for all later jobs of this process, where anything is recorded at all."""
    if not recorder.is_on():
        yield
        return
    recording = Recording()
    recording.start()
    try:
        yield
    finally:
        with _lock:
            recording.stop()
            if recording.seen:
                _shared.add(recording, rules_of(Scope(os.getcwd())), Digester(), set(recording.seen))


class Reading:
    """Stands around one call of a task function, whose code is below the frame of ``boundary``."""

    def __init__(
        self,
        scope: Scope,
        store: Store,
        own: str,
        named: Named = (),
        sources: Sequence[Source] = (),
        boundary: CodeType | None = None,
    ) -> None:
        """Take up where to look; ``own`` is the job's directory.

        ``sources`` count as code, and as text as well where the project's own code reads them so.
        """
        self._scope = scope
        self._rules = rules_of(scope)
        self._store = store
        self._own = _own_folder(scope, own)
        self._named = named
        self._sources = sources
        self._stamps: dict[str, str] = {}
        self._recording = Recording(boundary)
        self._task: Callable[..., Any] = print
        self._since = 0

    def start(self, task: Callable[..., Any]) -> None:
        """Begin, just before the task function is called."""
        if self._named:
            self._stamps = stamps_of(self._named, self._rules)
        self._task = task
        self._since = _retained.begin(task)
        with _lock:
            _running[self._recording] = lambda: self._own_inputs(time.perf_counter() + _LEAST_S)
        self._recording.start()

    def stop(self) -> None:
        """End, however the task function has ended; what its imports have read stays, and what is kept in memory."""
        with _lock:  # in one step: a job that ends in between would find it in neither place
            self._recording.stop()
            try:
                _keep_imported(self._recording, Scope(self._scope.root, self._scope.store), self._digester())
                _keep_in_memory(self._task, self._since)
            finally:
                del _running[self._recording]

    def result(self, run_time_s: float = 0.0) -> Read:
        """Return what the job read in its time; its files are read again now, those that have not been before."""
        recording = self._recording
        if recording.failed:
            return Read(refusal=f"what its jobs read could not be recorded ({recording.failed})")
        with _lock:
            nothing_shared = not _shared.inputs and not _shared.changed
        if nothing_shared and not recording.seen and not self._named:
            return _nothing(self._scope)
        own = self._own_inputs(time.perf_counter() + max(_LEAST_S, _SHARE * run_time_s))
        shared = self._shared_inputs()
        by_path = {each.path: each for each in own.inputs}
        torn = [each.path for each in shared.inputs if not _goes_on(each, by_path.get(each.path, each))]
        taken = [shared, own]
        if self._named:
            taken.append(take_named(self._named, self._stamps, self._rules, self._digester()))
        changed = [*torn, *(path for part in taken for path in part.changed)]
        if changed:
            return Read(refusal=refusal(changed, self._scope))
        kept = watched(taken, self._scope, self._named)
        return Read(kept.pack(), identity(kept))

    def _own_inputs(self, until_s: float) -> Taken:
        recording = self._recording
        if not recording.seen:
            return Taken(())
        left_out = recording.imported
        if any(path.endswith(".py") for path in recording.seen.copy()):
            # What else reads them, libraries that log code for one, does not see more in them than their code is.
            left_out = left_out.union({source.path for source in self._sources} - recording.texts)
        return take(_sightings(recording, left_out), self._rules, self._digester(), self._own, until_s)

    def _shared_inputs(self) -> Taken:
        def counts(path: str) -> bool:
            return self._rules.counts(path) and not is_below(path, self._own)

        with _lock:
            inputs = tuple(each for path, each in _shared.inputs.items() if counts(path))
            return Taken(inputs, tuple(path for path in sorted(_shared.changed) if counts(path)))

    def _digester(self) -> Digester:
        found = _digesters.get(self._store)
        if found is None:
            found = _digesters[self._store] = Digester(self._store.digest_memo(writable=True))
        return found


@contextmanager
def reading_unstored(task: Callable[..., Any], own: str = "", boundary: CodeType | None = None) -> Iterator[None]:
    """Stand around a task function whose result is not stored; ``own`` is the job's directory.

    What its imports read counts for later jobs, and all that it reads where a job leaves something in memory.
    """
    if not recorder.is_on():
        yield
        return
    recording, scope, digester = Recording(boundary), Scope(os.getcwd()), Digester()
    folder = _own_folder(scope, own)

    def take_up() -> Taken:
        until_s = time.perf_counter() + _LEAST_S
        return take(_sightings(recording, recording.imported), rules_of(scope), digester, folder, until_s)

    since = _retained.begin(task)
    with _lock:
        _running[recording] = take_up
    recording.start()
    try:
        yield
    finally:
        with _lock:
            recording.stop()
            try:
                _keep_imported(recording, scope, digester)
                _keep_in_memory(task, since)
            finally:
                del _running[recording]


def _keep_in_memory(task: Callable[..., Any], since: int) -> None:
    """Take up what the jobs in flight have read, where something in memory has changed. To be called with the lock."""
    reading = [take_up for recording, take_up in _running.items() if recording.seen]
    if reading and _retained.has_changed(task, since):
        for take_up in reading:
            _shared.take_up(take_up())


def _own_folder(scope: Scope, own: str) -> str:
    # A job that runs right where the project lies has no directory of its own.
    return "" if is_below(scope.root, own) else own


def _sightings(recording: Recording, left_out: Collection[str]) -> Sightings:
    whole = recording.sightings()
    seen = {path: sighting for path, sighting in whole.seen.items() if path not in left_out}
    return Sightings(seen, whole.made, whole.written)


def _keep_imported(own: Recording, scope: Scope, digester: Digester) -> None:
    """Take up what imports have read in a recording that has stopped, and so far in those of other jobs.

    To be called with the lock.
    """
    found = [(own, own.imported), *recorder.imported_now()]
    if any(paths for _, paths in found):
        for recording, paths in found:
            _shared.add(recording, rules_of(scope), digester, paths)


def _goes_on(earlier: Input, later: Input) -> bool:
    """Tell whether a later job has found a path as an earlier one has, or as that one has left it."""
    return is_alike(earlier, later) or (bool(earlier.left) and earlier.left in (later.digest, later.left))


def _nothing(scope: Scope) -> Read:
    if not scope.excluded:
        return Read()
    kept = watched((), scope)
    return Read(kept.pack(), identity(kept))
