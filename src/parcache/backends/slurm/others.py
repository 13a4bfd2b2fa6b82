"""The spools of other sweeps of the same store: what they have in hand need not be submitted again.

Another sweep is one that runs beside this one, one that has detached itself, or one that was killed: its agents work
on. A call of theirs is waited for as long as somebody will end it, by what the scheduler says of their tasks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

from parcache.backends import owner
from parcache.backends.slurm.clusters import Cluster
from parcache.backends.slurm.spool import Closing, Spool, task_of
from parcache.backends.slurm.states import Phase, State

_REMAINS_S: Final = 86400.0


class Attached(Future[Any]):
    """A call that another sweep has. It fails with an ElsewhereError when that has ended."""

    def __init__(self, other: Other, number: int) -> None:
        super().__init__()
        self.other = other
        self.number = number
        self.set_running_or_notify_cancel()

    def running(self) -> bool:
        """Tell whether an agent has it."""
        return not self.done() and self.number in self.other.taken

    def running_s(self) -> float | None:
        """Return for how long a worker has been at it (s), None where none is, as far as is known."""
        begun_s = self.other.begun_s.get(self.number) if self.running() else None
        return None if begun_s is None else max(0.0, time.monotonic() - begun_s)


class Other:
    """Another sweep's spool, as it was seen last. ``tasks`` are those that are alive; None where that is not known."""

    def __init__(self, spool: Spool, jobs: Mapping[str, Mapping[str, Any]]) -> None:
        self.spool = spool
        self.owner = spool.owner()
        self.groups = {job: int(about.get("group", 0)) for job, about in jobs.items()}
        self.tasks: set[str] | None = None
        self.waiting: dict[int, int] = {}
        self.taken: dict[int, str] = {}
        self.keys: dict[str, int] = {}
        self.begun_s: dict[int, float] = {}
        """When the calls were begun that workers are at, by this machine's monotonic clock."""

    @property
    def where(self) -> str:
        """Say whose it is."""
        return str(self.owner.get("sweep_dir", self.spool.folder))

    def look(self) -> None:
        """See which calls wait and which are taken."""
        self.owner = self.spool.owner()
        keys, waiting = {}, {}
        for group in self.spool.groups():
            for call in self.spool.waiting(group):
                waiting[call.number] = group
                if call.key is not None:
                    keys[call.key] = call.number
        # After those that wait: a call that is taken meanwhile is seen twice, and not missed.
        claims = self.spool.claims()
        answered = set(self.spool.answered())
        self.taken = {claim.call.number: claim.agent for claim in claims if claim.call.number not in answered}
        self.waiting = waiting
        self.keys = keys | {
            claim.call.key: claim.call.number
            for claim in claims
            if claim.call.key is not None and claim.call.number in self.taken
        }

        self._note_starts()

    def _note_starts(self) -> None:
        starts = {number: at_s for number, at_s in self.spool.starts().items() if number in self.taken}
        begun_s = {number: self.begun_s[number] for number in starts if number in self.begun_s}
        if len(begun_s) < len(starts):
            with suppress(OSError):  # it is being removed
                offset_s = time.monotonic() - self.spool.now_s()
                begun_s = {number: at_s + offset_s for number, at_s in starts.items()} | begun_s
        self.begun_s = begun_s  # as a whole: other threads read it

    def take(self, found: Mapping[str, State]) -> None:
        """Take note of what the scheduler says of its tasks."""
        if self.tasks is not None:
            self.tasks = {task for task in self.tasks if not _has_ended(found.get(task))}

    def is_manned(self) -> bool:
        """Tell whether anybody will do something for it: an agent, or its owner."""
        return self.tasks is None or bool(self.tasks) or owner.lives(self.owner, self.spool.silence_s())

    def has(self, number: int) -> bool:
        """Tell whether a call is going to end there."""
        if owner.lives(self.owner, self.spool.silence_s()):
            return number in self.waiting or number in self.taken
        if number in self.taken:
            return self.tasks is None or task_of(self.taken[number]) in self.tasks
        if number not in self.waiting:
            return False
        group = self.waiting[number]
        return self.tasks is None or any(self.groups.get(task.partition("_")[0]) == group for task in self.tasks)


def _has_ended(state: State | None) -> bool:
    return state is not None and state.phase is Phase.ENDED


def _remove_remains(spool: Spool) -> None:
    """Delete what was not made, or not removed, to its end; not what is being made at this moment."""
    with suppress(OSError):
        if time.time() - os.stat(spool.folder).st_mtime > _REMAINS_S:
            spool.remove()


class Others:
    """All other spools in a folder. Not thread-safe: its owner holds a lock."""

    def __init__(self, folder: str, own: Spool) -> None:
        self._folder = folder
        self._own = own
        self._others: list[Other] = []

    @property
    def jobs(self) -> set[str]:
        """The scheduler's ids of all that they have submitted."""
        return {job for other in self._others for job in other.groups}

    def survey(self, cluster: Cluster) -> None:
        """Find them; delete what is left of those for which nobody will do anything any more."""
        found = []
        with suppress(FileNotFoundError):
            for name in sorted(os.listdir(self._folder)):
                spool = Spool(os.path.join(self._folder, name))
                if spool.folder == self._own.folder:
                    continue
                if name.startswith(".") or not spool.exists:
                    _remove_remains(spool)
                    continue
                jobs = spool.jobs()
                # Another cluster may use the same store: it knows what has become of its own jobs.
                if all(about.get("cluster") == cluster.name for about in jobs.values()):
                    found.append(Other(spool, jobs))
        self._others = found
        alive = cluster.alive(self.jobs) if self.jobs else set()
        for other in found:
            if alive is not None:
                other.tasks = {task for task in alive if task.partition("_")[0] in other.groups}
            other.look()
        for other in found:
            if not other.is_manned():
                other.spool.remove()
        self._others = [other for other in found if other.spool.exists]

    def attach(self, key: str | None) -> Attached | None:
        """Return a future for the call with a key that one of them has; None where none has."""
        for other in self._others if key is not None else ():
            number = other.keys.get(str(key))
            if number is not None and other.has(number):
                return Attached(other, number)
        return None

    def take(self, states: Mapping[str, State]) -> None:
        """Take note of what the scheduler says."""
        for other in self._others:
            other.take(states)

    def ended(self, attached: list[Attached]) -> list[Attached]:
        """Return those that have ended, or that nobody will end any more."""
        for other in {each.other for each in attached}:
            other.look()
        return [each for each in attached if not each.other.has(each.number)]

    def cancel(self, attached: list[Attached], cluster: Cluster) -> None:
        """End what was left by sweeps that were killed, and that this one has taken up."""
        for other in {each.other for each in attached}:
            if not other.owner.get("is_detached") and not owner.lives(other.owner, other.spool.silence_s()):
                with suppress(OSError):
                    other.spool.close(Closing.CANCEL)
                cluster.cancel(set(other.groups))
