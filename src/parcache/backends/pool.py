"""Workers, one for each slot, that calls are handed to: every worker a process whose end is nobody else's.

One thread reads all answers. A call waits here until a worker is free, or is sent ahead to one that is about to be:
so that no worker waits for the sweeping process between two short jobs. A call that was sent ahead, and whose worker
turns out to be busy, is taken back as soon as another worker has nothing to do.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

from parcache.backends.child import Setup, new_setup
from parcache.backends.lineage import end_with_descendants
from parcache.backends.stagger import Stagger
from parcache.backends.worker import Answer, Call, Worker, death, tell
from parcache.errors import WorkerDiedError

# What a worker's exit handlers and left-over threads may take; jobs have no say in how long a sweep takes to end.
_ENDING_S: Final = 30.0
# Where the system does not tell of a process's end (macOS), it is asked this often.
_ASK_S: Final = 0.5
# So many workers may die getting ready for a call, where workers do get ready: who kills them is not the call.
_STARTS: Final = 3
_NOT_STARTED: Final = "it was stopped before it started"


class Pool:
    """Executes calls in one process for each of the environments. All methods may be called from any thread.

    Workers start with the calls that need them. With ``is_fresh``, each executes one call. A pool that only passes on
    what another process has made is given that one's setup in place of an initializer.
    """

    def __init__(
        self,
        environments: Sequence[Mapping[str, str]],
        initializer: Callable[[], None] | Setup,
        *,
        is_fresh: bool = False,
        stagger_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._around = dict(os.environ)  # what it is now, not what a job or a look at one makes of it meanwhile
        self._environments = environments
        self._setup: Setup | None = None
        self._initializer: Callable[[], None] | None = None
        if isinstance(initializer, Setup):
            self._setup = initializer
        else:
            self._initializer = initializer
        self._is_fresh = is_fresh
        self._stagger = Stagger(stagger_s, clock)
        self._clock = clock
        self._lock = threading.RLock()
        self._released = threading.Condition(self._lock)
        self._workers: dict[int, Worker] = {}  # by slot
        self._waiting: deque[Call] = deque()
        self._ends: list[tuple[Call, Answer]] = []
        self._calls = 0
        self._gets_ready = False
        # Whether the stagger has refused the slot that was looked for last. It comes to that only by a start, which
        # wakes the reading thread; that asks again, also where the gap has passed before it sees how long that is.
        self._is_postponed = False
        self._is_closing = False
        self._is_released = False
        self._was_cancelled = False
        self._thread: threading.Thread | None = None
        self._poll = select.poll()
        self._watched: dict[int, Worker] = {}
        self._wake_fd, self._waker_fd = os.pipe()
        os.set_blocking(self._wake_fd, False)
        os.set_blocking(self._waker_fd, False)
        self._poll.register(self._wake_fd, select.POLLIN)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Queue the call. What cannot be pickled fails the future alone.

        Raises:
            Exception: The initializer cannot be pickled.
            RuntimeError: The pool has been stopped.
        """
        from parcache.pickling import dumps

        try:
            data, error = dumps((function, argument)), None
        except Exception as raised:
            data, error = b"", raised
        return self._submit(data, error)

    def relay(self, call: bytes) -> Call:
        """Queue a call that is pickled already, ``(function, argument)``; the result is what the worker pickled.

        That is ``(True, result)`` or ``(False, exception)``. Nothing of either is unpickled in this process.

        Raises:
            RuntimeError: The pool has been stopped.
        """
        return self._submit(call, None, is_relayed=True)

    def _submit(self, data: bytes, error: Exception | None, *, is_relayed: bool = False) -> Call:
        with self._lock:
            if self._is_closing:
                raise RuntimeError("submit() was called after stop()")
            if self._setup is None and self._initializer is not None:
                self._setup = new_setup(self._initializer)
            self._calls += 1
            call = Call(self._calls, data, is_relayed=is_relayed)
            if error is not None:
                self._ends.append((call, error))
            else:
                self._waiting.append(call)
                self._dispatch()
                self._ensure_thread()
            ends = self._take_ends()
        tell(ends)
        return call

    def kill(self, future: Future[Any]) -> None:
        """End a call: where it waits it does not start, where it runs its worker ends with all that it has started."""
        if not isinstance(future, Call):
            raise TypeError("kill() takes a future that this backend has returned")
        with self._lock:
            worker = future.worker
            if future in self._waiting:
                self._waiting.remove(future)
                self._ends.append((future, WorkerDiedError(None, _NOT_STARTED)))
            elif worker is not None and worker.take_back(future):
                self._ends.append((future, WorkerDiedError(None, _NOT_STARTED)))
            elif worker is not None:
                self._kill([worker])
            ends = self._take_ends()
        tell(ends)

    def signal(self, number: int) -> None:
        """Send a signal to the worker processes that are ready, not to what they have started."""
        with self._lock:
            for worker in self._workers.values():
                if worker.is_ready and not worker.was_told_to_end:
                    worker.process.send_signal(number)

    def stop(self, *, cancel: bool) -> None:
        """End the workers: when they have done what was submitted, or with ``cancel`` at once, which fails that."""
        with self._lock:
            self._is_closing = True
            if cancel:
                self._was_cancelled = True
                self._ends += [(call, WorkerDiedError(None, _NOT_STARTED)) for call in self._waiting]
                self._waiting.clear()
                self._kill(list(self._workers.values()))
            if self._thread is None:
                self._release()
            else:
                self._wake()
            ends = self._take_ends()
        tell(ends)
        with self._lock:
            while self._thread is not None:
                self._released.wait()

    # The thread that reads.

    def _run(self) -> None:
        try:
            while self._is_needed():
                self._look(self._poll.poll(self._timeout_ms()))
        except BaseException as error:  # without this thread no future would ever end
            with self._lock:
                self._is_closing = True
                sent = [each.call for worker in self._workers.values() for each in worker.sent]
                self._kill(list(self._workers.values()))
                for worker in list(self._workers.values()):
                    worker.reap()
                ends = [*self._take_ends(), *((call, error) for call in (*sent, *self._waiting) if call is not None)]
                self._release()
            tell(ends)
            raise

    def _is_needed(self) -> bool:
        with self._lock:
            if not self._is_closing or self._workers or self._waiting:
                return True
            self._release()
            return False

    def _release(self) -> None:
        self._thread = None
        if not self._is_released:
            self._is_released = True
            os.close(self._wake_fd)
            os.close(self._waker_fd)
        self._released.notify_all()

    def _timeout_ms(self) -> float | None:
        with self._lock:
            waits_s = [
                worker.deadline_s - self._clock()
                for worker in self._workers.values()
                if worker.deadline_s is not None and not worker.was_killed
            ]
            if any(worker.death_fd is None for worker in self._workers.values()):
                waits_s.append(_ASK_S)
            if self._is_postponed:
                waits_s.append(self._stagger.wait_s())
        return max(0.0, min(waits_s)) * 1000 + 1 if waits_s else None

    def _look(self, events: Sequence[tuple[int, int]]) -> None:
        answered: list[tuple[Worker, Answer]] = []
        dead: set[Worker] = set()
        for fd, _ in events:
            worker = self._watched.get(fd)
            if worker is None:
                with suppress(BlockingIOError):
                    os.read(self._wake_fd, 4096)
            elif fd != worker.calls_fd and worker not in dead:
                has_died = fd == worker.death_fd
                # A dead process has written all that it will; of a living one, one answer at a time is enough.
                while (received := worker.receive()) is not None:
                    answered.append((worker, received))
                    if not has_died:
                        break
                if has_died or worker.is_ended:
                    dead.add(worker)
        with self._lock:
            for worker, answer in answered:
                self._take_up(worker, answer)
            now_s = self._clock()
            for worker in list(self._workers.values()):
                if worker in dead or (worker.death_fd is None and worker.process.poll() is not None):
                    self._bury(worker)
                elif worker.deadline_s is not None and now_s > worker.deadline_s and not worker.was_killed:
                    self._kill([worker])
            self._dispatch()
            for worker in self._workers.values():
                if worker.must_write:
                    worker.flush()
                    self._watch_room(worker)
            ends = self._take_ends()
        tell(ends)

    # What is called with the lock held.

    def _take_up(self, worker: Worker, answer: Answer) -> None:
        self._gets_ready = True
        call = worker.sent.popleft().call
        if call is not None:
            call.worker = None
            if isinstance(answer, bytes):  # passed over: it was to be taken back, and seemed to have begun
                self._waiting.appendleft(call)
            else:
                self._ends.append((call, answer))
        if self._is_fresh:
            self._end(worker)

    def _bury(self, worker: Worker) -> None:
        for fd in (worker.calls_fd, worker.answers_fd, worker.death_fd):
            if fd is not None and self._watched.get(fd) is worker:
                del self._watched[fd]
                self._poll.unregister(fd)
        if not worker.was_told_to_end:  # what it had started does not outlive a violent end
            end_with_descendants([worker.process.pid])
        error = death(worker.reap())
        worker.close()
        del self._workers[worker.slot]
        calls = [each.call for each in worker.sent if each.call is not None]
        begun = [call for call in calls if worker.has_started(call)]
        if worker.was_killed:
            error = WorkerDiedError(error.exit_code, "it was stopped")
        elif not worker.is_ready:
            error = WorkerDiedError(error.exit_code, f"{error.reason} while it got ready", was_ready=False)
            begun = [call for call in calls[:1] if call.starts == _STARTS or not self._gets_ready]
        if self._was_cancelled:
            begun = calls
        for call in reversed(calls):
            call.worker = None
            if call in begun:
                self._ends.append((call, error))
            else:  # another worker takes it
                self._waiting.appendleft(call)

    def _kill(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            worker.was_killed = True
        if workers:
            end_with_descendants(worker.process.pid for worker in workers)

    def _dispatch(self) -> None:
        """Give work to all who have none, the oldest call first; send what is left ahead."""
        while True:
            worker, slot = self._idle_worker(), self._free_slot()
            if worker is None and slot is None:
                break
            call = self._next_call(is_for_ready=worker is not None and worker.is_ready)
            if call is None:
                break
            if call.worker is None:
                self._waiting.popleft()
            elif not call.worker.take_back(call):
                continue  # it has begun
            if worker is None and slot is not None:
                worker = self._start(slot, call)
            if worker is not None:
                self._send(worker, call)
        for worker in self._workers.values():
            if self._waiting and len(worker.sent) == 1 and not self._is_fresh and not worker.was_killed:
                self._send(worker, self._waiting.popleft())
        if self._is_closing and not self._waiting:
            for worker in self._workers.values():
                if not worker.sent:
                    self._end(worker)

    def _idle_worker(self) -> Worker | None:
        idle = [each for each in self._workers.values() if not (each.sent or each.was_told_to_end or each.was_killed)]
        return max(idle, key=lambda worker: worker.is_ready, default=None)

    def _free_slot(self) -> int | None:
        is_full = len(self._workers) == len(self._environments)
        self._is_postponed = not is_full and self._stagger.wait_s() > 0
        if is_full or self._is_postponed:
            return None
        return next(slot for slot in range(len(self._environments)) if slot not in self._workers)

    def _next_call(self, *, is_for_ready: bool) -> Call | None:
        """Return the oldest call that another worker would begin sooner than the one that has it, if any has."""
        found = [self._waiting[0]] if self._waiting else []
        for worker in self._workers.values():
            if len(worker.sent) > 1 or (is_for_ready and not worker.is_ready):
                call = worker.unstarted()
                if call is not None and not worker.was_killed:
                    found.append(call)
        return min(found, key=lambda call: call.number, default=None)

    def _start(self, slot: int, call: Call) -> Worker | None:
        if self._setup is None:
            raise RuntimeError("a worker was to start before the first submit()")
        try:
            worker = Worker(slot, {**self._around, **self._environments[slot]}, self._setup)
        except OSError as error:  # no more processes, or files
            self._ends.append((call, error))
            return None
        call.starts += 1
        self._stagger.take()
        self._workers[slot] = worker
        for fd in (worker.answers_fd, worker.death_fd):
            if fd is not None:
                self._watched[fd] = worker
                self._poll.register(fd, select.POLLIN)
        self._wake()
        return worker

    def _send(self, worker: Worker, call: Call) -> None:
        worker.send(call)
        self._watch_room(worker)

    def _watch_room(self, worker: Worker) -> None:
        """Let the reading thread write what a full pipe has not taken, as soon as that has room."""
        is_watched = self._watched.get(worker.calls_fd) is worker
        if worker.must_write and not is_watched:
            self._watched[worker.calls_fd] = worker
            self._poll.register(worker.calls_fd, select.POLLOUT)
            self._wake()
        elif is_watched and not worker.must_write:
            del self._watched[worker.calls_fd]
            self._poll.unregister(worker.calls_fd)

    def _end(self, worker: Worker) -> None:
        if not worker.was_told_to_end:
            worker.end()
            worker.deadline_s = self._clock() + _ENDING_S

    def _ensure_thread(self) -> None:
        if self._thread is None:
            # A daemon: the interpreter would wait for any other before it gets to what calls stop().
            self._thread = threading.Thread(target=self._run, name="parcache-pool", daemon=True)
            self._thread.start()

    def _wake(self) -> None:
        if self._thread is not None and threading.current_thread() is not self._thread:
            with suppress(BlockingIOError):
                os.write(self._waker_fd, b"\0")

    def _take_ends(self) -> list[tuple[Call, Answer]]:
        ends, self._ends = self._ends, []
        return ends
