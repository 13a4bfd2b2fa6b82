"""What looks after a sweep's calls: reads answers, asks the scheduler now and then, tells what is lost.

The spool comes first: an answer is an answer, whatever Slurm says of the task that it came from. Slurm is asked for
all jobs by one command, at growing intervals, in a thread of its own: it can take a minute to answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from parcache.backends.slurm.clusters import Cluster
from parcache.backends.slurm.fleet import Fleet, Task
from parcache.backends.slurm.others import Attached, Others
from parcache.backends.slurm.spool import Call, Spool, task_of
from parcache.backends.slurm.states import State
from parcache.backends.worker import settle
from parcache.errors import ElsewhereError, ParcacheError, SlurmEndedError

log = logging.getLogger("parcache")

_MIN_PAUSE_S: Final = 0.02
_MAX_PAUSE_S: Final = 0.25
_FIRST_LOOK_S: Final = 2.0
_MIN_LOOK_S: Final = 1.0
_MAX_LOOK_S: Final = 10.0
_LOOK_GROWTH: Final = 1.5
_ALIVE_S: Final = 30.0
_STARTS_S: Final = 0.5
_OTHERS_S: Final = 0.5
# Between the end of a task and what it has written last: a file server shows that with some delay.
_SETTLING_S: Final = 2.0


class Sent(Future[Any]):
    """A call that was submitted. Ended by the watch alone, and by ``kill``."""

    def __init__(self, call: Call, group: int, is_running: Callable[[int], bool]) -> None:
        super().__init__()
        self.call = call
        self.group = group
        self._is_running = is_running
        self.set_running_or_notify_cancel()

    def running(self) -> bool:
        """Tell whether a worker has begun it."""
        return not self.done() and self._is_running(self.call.number)


class Watch:
    """Watches over calls until they have ended. ``lock`` guards the fleet and the other sweeps."""

    def __init__(self, spool: Spool, cluster: Cluster, fleet: Fleet, others: Others, lock: threading.RLock) -> None:
        self._spool = spool
        self._others = others
        self._attached: list[Attached] = []
        self._cluster = cluster
        self._fleet = fleet
        self._lock = lock
        self._sent: dict[int, Sent] = {}
        self._begun_s: dict[int, float] = {}
        self._ended_s: dict[str, float] = {}
        self._found: dict[str, State] | None = None
        self._asking: threading.Thread | None = None
        self._look_at_s = 0.0
        self._look_pause_s = _MIN_LOOK_S
        self._wake = threading.Event()
        self._is_over = False
        self._thread: threading.Thread | None = None

    def add(self, sent: Sent) -> None:
        """Watch over a call."""
        with self._lock:
            self._sent[sent.call.number] = sent

    def attach(self, key: str | None) -> Attached | None:
        """Watch over another sweep's call with a key, if there is one."""
        with self._lock:
            attached = self._others.attach(key)
            if attached is not None:
                self._attached.append(attached)
            return attached

    def attached(self) -> list[Attached]:
        """Return the calls of other sweeps that have not ended."""
        with self._lock:
            return list(self._attached)

    def let_go(self, attached: Attached, error: BaseException) -> None:
        """Wait no more for another sweep's call: end it here by an error."""
        with self._lock:
            if attached not in self._attached:
                return
            self._attached.remove(attached)
        attached.set_exception(error)

    def start(self) -> None:
        """Begin, or begin to look more often again: something was submitted."""
        self._look_at_s = time.monotonic() + _FIRST_LOOK_S
        self._look_pause_s = _MIN_LOOK_S
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="parcache-slurm", daemon=True)
            self._thread.start()
        self._wake.set()

    def stop(self) -> None:
        """End. Calls that have not ended stay as they are."""
        self._is_over = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def has_begun(self, number: int) -> bool:
        """Tell whether a worker has begun a call."""
        return number in self._begun_s

    def running_s(self, sent: Sent) -> float | None:
        """Return for how long a worker has been at a call."""
        begun_s = self._begun_s.get(sent.call.number)
        return None if begun_s is None or sent.done() else max(0.0, time.monotonic() - begun_s)

    def unfinished(self) -> list[Sent]:
        """Return the calls that have not ended."""
        with self._lock:
            return list(self._sent.values())

    def fail(self, sent: Sent, error: BaseException) -> None:
        """End a call by an error."""
        with self._lock:
            if self._sent.pop(sent.call.number, None) is None:
                return
        sent.set_exception(error)

    def give_up(self, problems: dict[int, ParcacheError]) -> None:
        """Fail the calls that wait in groups that nobody will ever serve."""
        for group, problem in problems.items():
            waiting = {call.number: call for call in self._spool.waiting(group)}
            for sent in self.unfinished():
                call = waiting.get(sent.call.number)
                if call is not None and self._spool.withdraw(group, call):
                    self.fail(sent, problem)

    def withdraw(self, sent: Sent, error: BaseException) -> bool:
        """End a call by an error if it waits; return False where it does not."""
        for call in self._spool.waiting(sent.group):
            if call.number == sent.call.number and self._spool.withdraw(sent.group, call):
                self.fail(sent, error)
                return True
        return False

    # The thread.

    def _run(self) -> None:
        alive_s = starts_s = others_s = changed_s = time.monotonic()
        while not self._is_over:
            try:
                if self._read():
                    changed_s = time.monotonic()
                now_s = time.monotonic()
                if now_s - alive_s > _ALIVE_S:
                    alive_s = now_s
                    self._spool.touch()
                if now_s - starts_s > _STARTS_S and self._sent:
                    starts_s = now_s
                    self._note_starts()
                if self._attached and now_s - others_s > _OTHERS_S:
                    others_s = now_s
                    self._look_at_others()
                self._look(now_s)
                self._bury(now_s)
            except Exception:  # without this thread no call would ever end
                log.exception("Watching over jobs on Slurm goes on after an error")
                time.sleep(_MIN_LOOK_S)
            pause_s = min(_MAX_PAUSE_S, max(_MIN_PAUSE_S, 0.05 * (time.monotonic() - changed_s)))
            self._wake.wait(pause_s if self._sent or self._attached else _MAX_LOOK_S)
            self._wake.clear()

    def _read(self) -> bool:
        """Hand out the answers that there are; return whether there was one."""
        numbers = self._spool.answered() if self._sent else []
        for number in numbers:
            data = self._spool.take_answer(number)
            with self._lock:
                sent = self._sent.pop(number, None)
            if data is None or sent is None:
                continue
            settle(sent, data)
        return bool(numbers)

    def _note_starts(self) -> None:
        """Learn how long calls have been running: by the file server's clock, set against this machine's."""
        starts = {number: at_s for number, at_s in self._spool.starts().items() if number in self._sent}
        if any(number not in self._begun_s for number in starts):
            offset_s = time.monotonic() - self._spool.now_s()
            for number, at_s in starts.items():
                self._begun_s.setdefault(number, at_s + offset_s)
        for number in [number for number in self._begun_s if number not in starts]:
            del self._begun_s[number]  # it has ended, or was given back

    def _look_at_others(self) -> None:
        """End what another sweep's calls stand for here when they have ended there."""
        with self._lock:
            ended = self._others.ended(self._attached)
        for attached in ended:
            self.let_go(attached, ElsewhereError(attached.other.where))

    def _look(self, now_s: float) -> None:
        """Ask the scheduler if it is time to; take note of what it said."""
        found, self._found = self._found, None
        if found is not None:
            self._look_pause_s = min(_MAX_LOOK_S, self._look_pause_s * _LOOK_GROWTH)
            self._look_at_s = now_s + self._look_pause_s
            with self._lock:
                self._others.take(found)
                problems = self._fleet.take(found)
                for number, problem in self._fleet.man().items():
                    problems.setdefault(number, problem)
            self.give_up(problems)
        if self._asking is not None and self._asking.is_alive():
            return
        with self._lock:
            jobs = {*self._fleet.jobs, *(job for each in self._attached for job in each.other.groups)}
            waits = self._fleet.waits
        if (self._sent or self._attached) and now_s >= self._look_at_s:
            self._look_at_s = now_s + self._look_pause_s
            if not jobs:  # nobody is left, and calls wait
                self._found = {}
                return
            self._asking = threading.Thread(
                target=self._ask, args=(jobs, waits), name="parcache-slurm-ask", daemon=True
            )
            self._asking.start()

    def _ask(self, jobs: set[str], waits: bool) -> None:
        found = self._cluster.look(jobs, waits)
        if found is not None:
            self._found = found
            self._wake.set()

    def _bury(self, now_s: float) -> None:
        """Tell of the calls that tasks which have ended were at."""
        with self._lock:
            due: dict[str, Task] = {}
            for task in self._fleet.fallen():
                if now_s - self._ended_s.setdefault(task.id, now_s) >= _SETTLING_S:
                    task.is_buried = True
                    due[task.id] = task
        if not due:
            return
        claims = [claim for claim in self._spool.claims() if task_of(claim.agent) in due]
        self._read()
        for claim in claims:
            self._spool.drop(claim)
            sent = self._sent.get(claim.call.number)
            if sent is not None:
                state = self._fleet.end_of(due[task_of(claim.agent)])
                self.fail(sent, SlurmEndedError(task_of(claim.agent), state.name, state.reason))
        self._look_at_s = now_s  # are there still enough?
