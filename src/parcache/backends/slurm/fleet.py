"""The agents of a sweep: how many there are, what has become of them, whether more are needed.

Not thread-safe: its owner holds a lock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from parcache.backends.slurm import states
from parcache.backends.slurm.agent import Orders
from parcache.backends.slurm.clusters import Cluster, command_of
from parcache.backends.slurm.logs import error_log, last_words, reason_in, told_by
from parcache.backends.slurm.settings import Resources, Settings
from parcache.backends.slurm.shares import thread_limits
from parcache.backends.slurm.spool import Spool
from parcache.backends.slurm.states import Phase, State
from parcache.errors import NeverStartsError, NoWorkerError, ParcacheError, SlurmEndedError, SubmissionError

log = logging.getLogger("parcache")

# So many agents in a row ended before they had taken a call.
_MAX_STILLBORN: Final = 3
# A task that Slurm has never shown is not taken for lost before this: accounting is written with delay.
_UNSEEN_S: Final = 60.0
# Nor is one whose agent has ended as it was told to; accounting that has lost its end would call it running for good.
_WORD_S: Final = 60.0

# Slurm says this for a moment of what it is about to requeue.
_MAY_COME_BACK: Final = frozenset({"PREEMPTED", "NODE_FAIL", "BOOT_FAIL"})
_REQUEUEING_S: Final = 8.0
# It starts tasks on the nodes, as the jobs do: a run in the sweeping process would not show what is wrong there.
_EXAMINATION: Final = "Ask what is wrong there, with the overrides that choose the backend: parcache doctor OVERRIDE …"
_VAGUE: Final = frozenset({"FAILED", "COMPLETED", "UNKNOWN", "REQUEUED"})


class Group(NamedTuple):
    """Calls that need the same resources."""

    number: int
    resources: Resources


class Task:
    """An agent as far as the scheduler knows it."""

    __slots__ = ("doubted_s", "group", "id", "is_buried", "job", "state", "submitted_s", "told_s", "waiting_for")

    def __init__(self, id: str, job: str, group: int, submitted_s: float) -> None:
        self.id, self.job, self.group, self.submitted_s = id, job, group, submitted_s
        self.state: State | None = None
        self.is_buried = False
        self.doubted_s: float | None = None
        self.told_s: float | None = None
        self.waiting_for: tuple[str, float] = ("", 0.0)

    def waits(self, reason: str, now_s: float) -> float:
        """Take note of why it waits, empty where that is not told; return for how long it has been so (s)."""
        # The accounting, which is asked in turns with the queue, knows no reasons.
        if reason and reason != self.waiting_for[0]:
            self.waiting_for = (reason, now_s)
        return now_s - self.waiting_for[1] if reason else 0.0

    def told(self, is_so: bool, now_s: float) -> float:
        """Take note of whether its agent has ended as it was told to; return for how long that has been known (s)."""
        if not is_so:
            self.told_s = None
        elif self.told_s is None:
            self.told_s = now_s
        return 0.0 if self.told_s is None else now_s - self.told_s

    @property
    def is_running(self) -> bool:
        """Tell whether it has started, and not ended, as far as is known."""
        return self.state is not None and self.state.phase is Phase.RUNNING

    @property
    def has_ended(self) -> bool:
        """Tell whether it is over, as far as is known."""
        return self.state is not None and self.state.phase is Phase.ENDED


class Fleet:
    """The agents that a sweep has submitted."""

    def __init__(
        self,
        spool: Spool,
        cluster: Cluster,
        settings: Settings,
        logs: str,
        *,
        retries: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._cluster = cluster
        self._settings = settings
        self._logs = logs
        self._retries = retries
        self._clock = clock
        self._groups: dict[str, Group] = {}
        self._stillborn: dict[int, int] = {}
        self._told: set[str] = set()
        self.tasks: dict[str, Task] = {}

    @property
    def alive(self) -> list[Task]:
        """What has not ended, as far as is known."""
        return [task for task in self.tasks.values() if not task.has_ended]

    @property
    def jobs(self) -> list[str]:
        """The scheduler's ids of what has not ended."""
        return sorted({task.job for task in self.alive})

    def group_of(self, resources: Resources) -> Group:
        """Return the group of the calls that need these resources."""
        group = self._groups.get(resources.identity)
        if group is None:
            settings = self._settings
            limit = None if settings.jobs_per_task is None else settings.jobs_per_task * settings.parallel
            orders = Orders(
                parallel=settings.parallel,
                limit=limit,
                idle_s=settings.idle_s,
                retries=self._retries,
                timeout_s=resources.timeout_s,
                signal_delay_s=resources.signal_delay_s,
                threads=thread_limits(settings.threads, resources.cpus, settings.parallel),
                processes=resources.processes,
            )
            group = Group(len(self._groups), resources)
            self._spool.add_group(group.number, orders._asdict())
            self._groups[resources.identity] = group
        return group

    def man(self) -> dict[int, ParcacheError]:
        """Submit the agents that the waiting calls need; return by group why there can be none."""
        problems: dict[int, ParcacheError] = {}
        # Not who was told to end: whether somebody does not want it or it comes back, Slurm says in a moment.
        left = self._spool.left()
        for group in self._groups.values():
            waiting = len(self._spool.waiting(group.number))
            live = [task for task in self.tasks.values() if self._is_live(task, group.number, left)]
            if not waiting or (live and self._settings.jobs_per_task is not None and self._has_budget(live, waiting)):
                continue
            number = self._settings.agents(waiting, len(live))
            problem = None if live else self._hopeless(group.number)
            if problem is not None:
                problems[group.number] = problem
            elif number:
                try:
                    self._submit(group, number)
                except SubmissionError as error:
                    if not live:
                        # It says all: where in parcache it was caught is of no use to anybody.
                        problems[group.number] = error.with_traceback(None)
        return problems

    def _has_budget(self, live: list[Task], waiting: int) -> bool:
        """Tell whether agents that have not started yet will take all that waits."""
        started = set(self._spool.tasks())
        fresh = sum(task.id not in started for task in live)
        return fresh * (self._settings.jobs_per_task or 1) * self._settings.parallel >= waiting or fresh < len(live)

    def _submit(self, group: Group, number: int) -> None:
        command = command_of(self._settings, self._spool.folder, group.number, self._logs)
        for submitted in self._cluster.submit(group.resources, command, number):
            about = {"cluster": self._cluster.name, "tasks": len(submitted.tasks), "group": group.number}
            self._spool.add_job(submitted.job, about)
            now_s = self._clock()
            for id in submitted.tasks:
                self.tasks[id] = Task(id, submitted.job, group.number, now_s)

    @staticmethod
    def _is_live(task: Task, group: int, left: set[str]) -> bool:
        return task.group == group and not task.has_ended and task.id not in left

    def _hopeless(self, group: int) -> ParcacheError | None:
        """Return why it would be no use to submit more for a group of which nobody is left."""
        ended = [task for task in self.tasks.values() if task.group == group and task.state is not None]
        cancelled = [task for task in ended if task.state is not None and task.state.name == "CANCELLED"]
        if cancelled and len(cancelled) == len(ended):
            return SlurmEndedError(
                cancelled[0].id, "CANCELLED", cancelled[0].state.reason if cancelled[0].state else ""
            )
        if self._stillborn.get(group, 0) >= _MAX_STILLBORN:
            last = max(ended, key=lambda task: task.submitted_s)
            said = f"{last.state.name} {last.state.reason}".strip() if last.state else "it ended"
            return NoWorkerError(
                self._stillborn[group], f"Slurm job {last.id}: {said}{self._log_of(last)}", _EXAMINATION
            )
        return None

    def _log_of(self, task: Task) -> str:
        """Return what a task has said last, and where the rest is."""
        path = error_log(self._logs, task.id)
        reason = reason_in(last_words(path))
        return f"; {reason!r} in {path}" if reason else ""

    def end_of(self, task: Task) -> State:
        """Return how a task that has ended did so; what Slurm says of it as a whole can be less than its log does."""
        state = task.state or states.GONE
        if state.name not in _VAGUE:
            return state
        return told_by(last_words(error_log(self._logs, task.id))) or state

    def take(self, found: Mapping[str, State]) -> dict[int, ParcacheError]:
        """Take note of what the scheduler says; return the groups whose calls wait for what will never start."""
        problems: dict[int, ParcacheError] = {}
        started, told = set(self._spool.tasks()), self._spool.told()
        for task in self.tasks.values():
            if task.has_ended:
                continue
            state = found.get(task.id)
            if task.told(task.id in told, self._clock()) > _WORD_S and (state is None or state.phase is Phase.RUNNING):
                state = states.SILENT
            if state is None:
                if task.state is not None or self._clock() - task.submitted_s < _UNSEEN_S:
                    continue
                state = states.GONE
            if state.name in _MAY_COME_BACK:
                if task.doubted_s is None:
                    task.doubted_s = self._clock()
                if self._clock() - task.doubted_s < _REQUEUEING_S:
                    continue
            else:
                task.doubted_s = None
            if state != task.state:
                log.debug("Slurm job %s: %s %s", task.id, state.name, state.reason)
            task.state = state
            if state.phase is not Phase.PENDING:
                task.waiting_for = ("", 0.0)
            if state.phase is Phase.ENDED:
                born = task.id in started
                self._stillborn[task.group] = 0 if born else self._stillborn.get(task.group, 0) + 1
            elif state.phase is Phase.PENDING:
                shown_s = task.waits(state.reason, self._clock())
                if states.is_usual(state.reason):
                    continue
                self._tell(task, state)
                if states.is_final(state.reason, shown_s):
                    problems[task.group] = NeverStartsError(task.id, state.reason, states.remedy(state.reason))
        # A partition or a limit was changed meanwhile: those that have started before take what waits.
        at_work = {task.group for task in self.tasks.values() if task.is_running}
        return {group: problem for group, problem in problems.items() if group not in at_work}

    def _tell(self, task: Task, state: State) -> None:
        if state.reason not in self._told:
            self._told.add(state.reason)
            log.warning("Slurm job %s waits: %s. %s", task.job, state.reason, states.remedy(state.reason))

    def fallen(self) -> Iterable[Task]:
        """Return the tasks that have ended and not been buried."""
        return [task for task in self.tasks.values() if task.has_ended and not task.is_buried]

    @property
    def waits(self) -> bool:
        """Tell whether something has not started, as far as is known."""
        return any(task.state is None or task.state.phase is Phase.PENDING for task in self.tasks.values())
