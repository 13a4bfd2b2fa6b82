"""The agent: what one task of an array runs. It takes calls from the spool, one after the other or side by side.

Each call runs in a worker process of the agent's own pool: one that crashes costs its own job. Slurm announces the end
of an allocation by signals. On SIGUSR2 (a time limit, or a preemption, as submitit has it) the agent has its workers
told, gives back what they were at and is requeued through submitit's checkpoint hook. On SIGTERM the allocation ends
in any case: the agent's calls stay taken, and whoever comes next finds them, a requeued agent or the sweep.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import sys
import time
import traceback
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from parcache.backends import checkpoints
from parcache.backends.pool import Pool
from parcache.backends.slurm.logs import AGAIN, error_log, last_words, told_by
from parcache.backends.slurm.shares import environments
from parcache.backends.slurm.spool import Call, Claim, Closing, Spool, agent_name, restart_of, task_of
from parcache.backends.slurm.states import Phase, State
from parcache.errors import SlurmEndedError, WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIN_PAUSE_S: Final = 0.02
_MAX_PAUSE_S: Final = 0.25
_MAX_BUSY_PAUSE_S: Final = 2.0
# Calls that run for longer than this are noted as started: of shorter ones nobody asks.
_NOTED_S: Final = 0.2
# Slurm signals a whole allocation, but not all of its processes at the same moment.
_SIGNALS_APART_S: Final = 0.5
# For how long calls are taken that others may have taken meanwhile, before it is looked again what waits.
_SEEN_S: Final = 1.0
_ASK_S: Final = 3.0
_OWNER_SILENT_S: Final = 180.0
_LAST_S: Final = 5.0
# Slurm announces the end of a time limit up to a minute early; who began within the first tenth had it all.
_EARLY_S: Final = 65.0
_LATE: Final = 0.1
_REQUEUED: Final = State(Phase.ENDED, "REQUEUED", "it was preempted, or its node failed")
_BY_SIGNAL: Final = frozenset({checkpoints.EXIT_CODE, -signal.SIGTERM, -signal.SIGKILL, -signal.SIGUSR2})


class Orders(NamedTuple):
    """How the agents of a group work, as far as it is written in the spool.

    ``limit`` is how many calls an agent takes at most, None for as many as there are. ``processes`` are how many
    processes of this kind an allocation has.
    """

    parallel: int = 1
    limit: int | None = None
    idle_s: float = 10.0
    retries: int = 0
    timeout_s: float | None = None
    signal_delay_s: int = 90
    threads: Mapping[str, str] = {}
    processes: int = 1

    @staticmethod
    def of(found: Mapping[str, Any]) -> Orders:
        """Return what is written; a newer version may have written more."""
        return Orders(**{name: found[name] for name in Orders._fields if name in found})


class Wish(Enum):
    """What has been announced."""

    REQUEUE = "requeue"
    END = "end"


class Agent:
    """One agent. ``task`` is the scheduler's id of the array task; ``logs`` is the folder that it writes to."""

    def __init__(self, spool: Spool, group: int, task: str, logs: str) -> None:
        self._logs = logs
        self._spool = spool
        self._group = group
        self._task = task
        self._orders = Orders()
        self._name = agent_name(task, 0)
        self._pool: Pool | None = None
        self._running: dict[Future[Any], Claim] = {}
        self._begun_s: dict[int, float] = {}
        self._noted: set[int] = set()
        self._dead: list[tuple[float, Claim, WorkerDiedError]] = []
        self._taken_s: dict[int, float] = {}
        self._seen: deque[Call] = deque()
        self._seen_s = 0.0
        self._longest_s = 0.0
        self._started_s = time.monotonic()
        self._wish: Wish | None = None
        self._asked_s, self._found_alone = float("-inf"), False
        self._wake_fd, self._waker_fd = os.pipe()
        os.set_blocking(self._wake_fd, False)
        os.set_blocking(self._waker_fd, False)
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)

    def listen(self) -> None:
        """Take note of signals from now on. Call it in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # No more than this: whatever the main thread is at, it may hold a lock.
        if self._wish is not Wish.END:
            self._wish = Wish.REQUEUE if number == signal.SIGUSR2 else Wish.END
        self._wake()

    def __call__(self) -> bool:
        """Work until nothing is left to do; return whether the task is to be requeued for what is."""
        spool = self._spool
        if not spool.exists:
            return False
        try:
            self._enter()
            return self._work()
        except FileNotFoundError:  # the sweep is over, and its spool gone
            if self._spool.exists:
                raise
            return False
        finally:
            if self._pool is not None:
                self._pool.stop(cancel=self._wish is not None)

    def _enter(self) -> None:
        """Learn how to work, take the next name of this task's agents, and have workers ready."""
        spool = self._spool
        orders = self._orders = Orders.of(spool.orders(self._group))
        before = [each for each in spool.agents() if task_of(each) == self._task]
        self._name = agent_name(self._task, 1 + max((restart_of(each) for each in before), default=-1))
        spool.greet(self._name, {"host": socket.gethostname(), "pid": os.getpid(), "group": self._group})
        self._adopt(frozenset(before))
        setup = pickle.loads(spool.read_setup())._replace(parent=os.getpid())
        self._pool = Pool(environments(orders.parallel, orders.threads, os.environ), setup)

    def checkpoint(self, *_: Any) -> Any:
        """Return what submitit is to run when the task has been requeued: this agent, made anew by its command."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(_nothing)

    def _work(self) -> bool:
        pause_s, idle_since_s = _MIN_PAUSE_S, time.monotonic()
        while True:
            if self._wish is None and self._time_is_over():
                self._wish = Wish.REQUEUE  # Slurm's signal does not reach what runs without srun
            if self._wish is not None:
                return self._end()
            closing = self._spool.closing()
            if closing is Closing.CANCEL and self._running:
                self._wish = Wish.END
                continue
            self._tend()
            took = self._take_up() if closing is None else False
            if took or self._running or self._dead:
                idle_since_s = time.monotonic()
            elif closing is not None or not self._may_take() or time.monotonic() - idle_since_s > self._patience_s():
                self._spool.leave(self._name)
                if closing is not None or not self._may_take() or not self._spool.waiting(self._group):
                    return self._is_short_of_time() and self._is_alone() and bool(self._spool.waiting(self._group))
                self._spool.stay(self._name)
                continue
            is_busy = len(self._running) >= self._orders.parallel
            pause_s = _MIN_PAUSE_S if took else min(pause_s * 1.5, _MAX_BUSY_PAUSE_S if is_busy else _MAX_PAUSE_S)
            self._sleep(_MIN_PAUSE_S if self._dead else pause_s)

    def _patience_s(self) -> float:
        return self._orders.idle_s if not self._is_alone() else 0.0

    def _is_alone(self) -> bool:
        """Tell whether nobody is there who would submit anything; asked now and then."""
        if time.monotonic() - self._asked_s > _ASK_S:
            self._asked_s = time.monotonic()
            self._found_alone = self._has_no_owner()
        return self._found_alone

    def _has_no_owner(self) -> bool:
        return bool(self._spool.owner().get("is_detached")) or self._spool.silence_s() > _OWNER_SILENT_S

    def _may_take(self) -> bool:
        limit = self._orders.limit
        return (limit is None or len(self._taken_s) < limit) and not self._is_short_of_time()

    def _time_is_over(self) -> bool:
        return time.monotonic() > self._over_s

    def _is_short_of_time(self) -> bool:
        """Tell whether another call like the longest so far would not come to its end."""
        return bool(self._taken_s) and time.monotonic() + self._longest_s > self._over_s

    @property
    def _over_s(self) -> float:
        """When the end of the task's time is announced, as far as its limit is known."""
        orders = self._orders
        if orders.timeout_s is None:
            return float("inf")
        return self._started_s + orders.timeout_s - orders.signal_delay_s

    def _take_up(self) -> bool:
        """Take as many calls as there are free workers; return whether there was one."""
        free = self._orders.parallel - len(self._running)
        if free <= 0 or not self._may_take():
            return False
        took = False
        while free and self._may_take():
            call = self._next()
            if call is None:
                break
            data = self._spool.claim(self._group, call, self._name)
            if data is not None:
                self._start(Claim(call, self._name), data)
                took = True
                free -= 1
        return took

    def _next(self) -> Call | None:
        """Return the next call that waits, or has waited a moment ago: thousands are not listed for each."""
        if not self._seen or time.monotonic() - self._seen_s > _SEEN_S:
            self._seen_s = time.monotonic()
            self._seen = deque(self._spool.waiting(self._group))
        return self._seen.popleft() if self._seen else None

    def _start(self, claim: Claim, data: bytes) -> None:
        if self._pool is None:
            raise RuntimeError("a call was to start before its worker could")
        self._taken_s[claim.call.number] = time.monotonic()
        future = self._pool.relay(data)
        self._running[future] = claim
        future.add_done_callback(self._ended)

    def _ended(self, future: Future[Any]) -> None:
        """Tell what became of a call, in the thread of the pool; the main thread may be asleep."""
        claim = self._running[future]
        error = future.exception()
        try:
            if error is None:
                self._spool.answer(claim, future.result())
            elif isinstance(error, WorkerDiedError) and (self._wish is not None or error.exit_code in _BY_SIGNAL):
                self._dead.append((time.monotonic(), claim, error))
            else:
                self._fail(claim, error)
        except OSError:  # a full disk, or the spool is gone: that the call has no answer tells as much
            traceback.print_exc()
        finally:
            del self._running[future]
            self._wake()

    def _fail(self, claim: Claim, error: BaseException) -> None:
        self._spool.answer(claim, pickle.dumps((False, error)))

    def _tend(self) -> None:
        """Look after what runs: note what has started, end what is to be ended, tell of what has died."""
        now_s = time.monotonic()
        for future, claim in list(self._running.items()):
            number = claim.call.number
            if not future.running():
                continue
            begun_s = self._begun_s.setdefault(number, now_s)
            self._longest_s = max(self._longest_s, now_s - begun_s)
            if number not in self._noted and now_s - begun_s > _NOTED_S:
                self._noted.add(number)
                with suppress(OSError):
                    self._spool.note_start(number)
        killed = self._spool.kills() if self._running else frozenset()
        for future, claim in list(self._running.items()):
            if claim.call.number in killed and self._pool is not None:
                self._pool.kill(future)
        for item in [each for each in self._dead if now_s - each[0] > _SIGNALS_APART_S]:
            self._dead.remove(item)
            _, claim, error = item
            if error.exit_code == checkpoints.EXIT_CODE:
                error = WorkerDiedError(error.exit_code, "its process was told to end by a signal")
            self._fail(claim, error)

    def _end(self) -> bool:
        """End what runs, as its allocation ends; return whether to be requeued."""
        if self._pool is None:
            return False
        if self._spool.closing() is not Closing.CANCEL:
            self._pool.signal(signal.SIGUSR2)
            deadline_s = time.monotonic() + max(1.0, self._orders.signal_delay_s - _LAST_S)
            while self._running and time.monotonic() < deadline_s:
                self._sleep(_MIN_PAUSE_S)
        self._pool.stop(cancel=True)
        if self._wish is Wish.REQUEUE:
            for _, claim, _ in self._dead:
                self._settle(claim)
            if self._spool.closing() is None and self._spool.waiting(self._group):
                return True
            self._spool.leave(self._name)
        else:
            self._spool.obey(self._name)
        return False

    def _settle(self, claim: Claim) -> None:
        """Give a call back that an announced end has cut short, or tell that it was given back often enough."""
        call, now_s, orders = claim.call, time.monotonic(), self._orders
        limit_s = orders.timeout_s
        is_timeout = limit_s is not None and self._started_s + limit_s - now_s <= orders.signal_delay_s + _EARLY_S
        if is_timeout and self._taken_s.get(call.number, 0.0) - self._started_s > _LATE * (limit_s or 0.0):
            # Others had used up the time: that does not count.
            self._spool.give_back(self._group, claim, attempt=call.attempt)
        elif call.attempt < orders.retries:
            self._spool.give_back(self._group, claim, attempt=call.attempt + 1)
        else:
            limit = "" if limit_s is None else f"the task's limit is {limit_s / 60:g} min"
            end = ("TIMEOUT", limit) if is_timeout else ("PREEMPTED", "Slurm has announced the end of its allocation")
            self._fail(claim, SlurmEndedError(self._task, *end))

    def _adopt(self, before: frozenset[str]) -> None:
        """Take up what an agent of this task left that was killed, before the task was requeued."""
        if not before:
            return
        end = told_by(last_words(error_log(self._logs, self._task))) or _REQUEUED
        print(AGAIN, file=sys.stderr, flush=True)
        answered = frozenset(self._spool.answered())
        for claim in self._spool.claims():
            if claim.agent not in before:
                continue
            if claim.call.number in answered:
                self._spool.drop(claim)
            elif claim.call.attempt < self._orders.retries:
                self._spool.give_back(self._group, claim, attempt=claim.call.attempt + 1)
            else:
                self._fail(claim, SlurmEndedError(self._task, end.name, end.reason))

    def _wake(self) -> None:
        with suppress(OSError):
            os.write(self._waker_fd, b"\0")

    def _sleep(self, for_s: float) -> None:
        if self._poll.poll(for_s * 1000):
            with suppress(BlockingIOError):
                os.read(self._wake_fd, 4096)


def _nothing() -> None:
    pass
