"""A sweep's cache: its store, what looks jobs up there, and why there may be none."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection
from functools import cache, partial
from typing import TYPE_CHECKING

from hydra.types import TaskFunction

from parcache.backends import machine
from parcache.errors import NewerFormatError, ParcacheError, StoreUnavailableError, UnkeyableCodeError
from parcache.hydra.settings import CacheSettings, Code
from parcache.keys.fingerprint import Fingerprinter
from parcache.keys.scope import Scope
from parcache.keys.task import TaskIdentity, identify
from parcache.model import Entry, Job
from parcache.store.files import remove_scratch
from parcache.store.notes import Notes
from parcache.store.store import Store

if TYPE_CHECKING:
    from parcache.keys.inputs import Verifier

log = logging.getLogger("parcache")


class SweepCache:
    """Opens the store when it is first needed, and goes without it where it cannot be used.

    ``reads``: what is stored is looked at. ``only_looks``: nothing is to be stored, whatever the mode.
    """

    def __init__(self, settings: CacheSettings, sweep_dir: str, *, reads: bool, only_looks: bool) -> None:
        self._settings = settings
        self._only_looks = only_looks
        self.reads = reads
        self._identity: TaskIdentity | None = None
        self._is_tried = False
        self._told: set[str] = set()
        self.opened: Store | None = None
        """The store, also where the task cannot be keyed; what became of a sweep is recorded there."""
        self.store: Store | None = None
        """The store as far as jobs are looked up and stored in it."""
        self.writes = False
        self.reason = "cache.mode is off"
        """Why nothing is cached, where nothing is."""
        self.uncached: dict[int, str] = {}
        """By job number: why a job is not cached."""
        self.scope: Scope | None = None
        if settings.inputs.is_watched:
            folder = os.path.normpath(os.path.join(settings.root, sweep_dir))
            self.scope = Scope(settings.root, os.path.normpath(settings.dir), folder, settings.inputs.excluded)

    def open(self) -> None:
        """Open the store, once; where that fails, say so and go without. A new batch tries again to key its task."""
        self._open()
        self.store = self.opened

    def _open(self) -> None:
        settings = self._settings
        if self._is_tried or not (settings.mode.reads or settings.mode.writes):
            return
        self._is_tried = True
        try:
            writes = settings.mode.writes and not self._only_looks
            self.opened = Store.open(settings.dir, writable=writes)
            self.writes = writes
        except NewerFormatError as error:
            self._go_without(error)
        except StoreUnavailableError as error:
            self.opened = self._open_to_read()
            left = "serves what is stored and stores nothing" if self.opened else "runs without a cache"
            self.warn(f"{error} This sweep {left}.")

    def fingerprinter(self, task_function: TaskFunction, *, with_program: bool) -> Fingerprinter | None:
        """Return what takes a batch's fingerprints; None where code does not count, or nothing is cached.

        Where the task has no fingerprint, nothing of the batch is cached.
        """
        if self.store is None or self._settings.code is Code.OFF:
            return None
        try:
            if self._identity is None:  # once a sweep: what its own jobs leave in memory is not the task's
                self._identity = identify(task_function)
        except UnkeyableCodeError as error:
            self._go_without(error)
            self.store = None
            return None
        notes = Notes(self.store.paths, self.writes)
        return Fingerprinter(
            self._identity,
            with_program=with_program,
            notes=notes,
            packages=self._settings.packages,
            helpers=machine.cores() - 1,
        )

    def reader(self) -> Callable[[Job], Entry | None]:
        """Return what looks jobs up, for one batch: inputs are looked at once."""
        store, scope = self.store, self.scope
        if store is None or not self.reads:
            return _no_entry
        if scope is None:
            return lambda job: store.read(job.key) if job.key is not None else None
        verifier = cache(partial(self._verifier, store, scope))

        def accepts(kept: bytes) -> bool:
            return not kept or verifier().accepts(kept)  # most jobs read nothing: then nobody needs a verifier

        def read(job: Job) -> Entry | None:
            looks = partial(verifier().accepts, named=job.named) if job.named else accepts
            return store.read(job.key, looks) if job.key is not None else None

        return read

    def read_back(self, job: Job) -> Entry | None:
        """Return what this sweep published for a job, if what that read has not changed since."""
        if self.store is None or not self.writes or job.key is None:
            return None
        if self.scope is None:
            return self.store.read(job.key)
        # Looked at anew: the jobs themselves may have written what they read.
        verifier = self._verifier(self.store, self.scope)
        return self.store.read(job.key, partial(verifier.accepts, named=job.named), last_only=True)

    def _verifier(self, store: Store, scope: Scope) -> Verifier:
        from parcache.keys.inputs import Verifier

        return Verifier(scope, store.digest_memo(writable=self.writes), store.list_of)

    def tidy(self, workers: Collection[int]) -> None:
        """Delete what worker processes left half written in the store because they were killed."""
        if self.opened is not None and self.writes:
            remove_scratch(self.opened.paths, workers)

    def warn_uncached(self, message: str, number: int) -> None:
        """Say why a job is not cached."""
        self.uncached[number] = message
        self.warn(message, number)

    def warn(self, message: str, number: int | None = None) -> None:
        """Say something once, with the first job that it is about."""
        if message not in self._told:
            self._told.add(message)
            log.warning("%s%s", message, "" if number is None else f" (first: job {number})")

    def _open_to_read(self) -> Store | None:
        settings = self._settings
        if not settings.mode.reads or not os.path.isdir(settings.dir):
            return None
        try:
            return Store.open(settings.dir, writable=False)
        except (StoreUnavailableError, NewerFormatError):
            return None

    def _go_without(self, error: ParcacheError) -> None:
        self.reason = str(error)
        self.warn(f"{error} This sweep runs without a cache.")


def _no_entry(_: Job) -> Entry | None:
    return None
