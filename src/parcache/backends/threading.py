"""Threads of the sweeping process: for jobs that wait, or whose work is done by libraries that release the lock.

Nothing is pickled and nothing starts anew. The price: a thread cannot be killed, and jobs share the process. What of
that can be kept apart the floors above keep apart.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar

from parcache.backends import machine
from parcache.backends.slots import THREAD_VARIABLES, check_workers, number_of_workers

R = TypeVar("R")


class ThreadingBackend:
    """Executes functions in threads of this process.

    ``workers`` is how many: None for as many as this process may use cores, -1 for the same, -2 for all but one and
    so on (joblib's convention).

    The threads are daemons, which those of ``concurrent.futures.ThreadPoolExecutor`` are not: the interpreter waits
    for these at its exit, so that one job that never ends would keep an interrupted sweep from ending.
    """

    # One job of a call at a time: handing a call to a thread costs next to nothing.
    jobs_per_call = 1
    # Functions run here, several at once: whoever submits them keeps them apart.
    shares_process = True
    executes_elsewhere = True

    def __init__(self, workers: int | None = None) -> None:
        check_workers(workers)
        self._asked = workers
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished: set[Future[Any]] = set()
        self._limits: _LibraryLimits | None = None

    @cached_property
    def capacity(self) -> int:
        """As many as there are threads."""
        return number_of_workers(self._asked, machine.cores(), 0)

    def start(self, initializer: Callable[[], None]) -> None:
        """Call the initializer here. Threads start with the first jobs."""
        initializer()
        self._calls = queue.SimpleQueue()
        self._limits = _LibraryLimits(self.capacity)

    def submit(self, function: Callable[[Any], R], argument: Any) -> Future[R]:
        """Queue the call. Whatever it raises, exits and interrupts included, goes into the future."""
        future: Future[R] = Future()
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        self._calls.put(_Call(future, function, argument, self._limits))
        # No more than ``capacity`` calls are awaited: one beyond that stands for one that was given up.
        if len(self._threads) < len(self._unfinished):
            name = f"parcache-{len(self._threads)}"
            thread = threading.Thread(target=_work, args=(self._calls,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def stop(self, *, cancel: bool) -> None:
        """Wait for the calls; with ``cancel``, forget those that have not begun, and wait for none: they end alone."""
        stuck = False
        if cancel:
            for future in list(self._unfinished):
                stuck = not future.cancel() or stuck
        threads, self._threads = self._threads, []
        for _ in threads:
            self._calls.put(None)
        if not stuck:
            for thread in threads:
                thread.join()
        if self._limits is not None:
            self._limits.lift()
            self._limits = None


class _Call:
    def __init__(
        self, future: Future[Any], function: Callable[[Any], Any], argument: Any, limits: _LibraryLimits | None
    ) -> None:
        self._future, self._function, self._argument, self._limits = future, function, argument, limits

    def execute(self) -> None:
        if not self._future.set_running_or_notify_cancel():
            return
        try:
            if self._limits is not None:
                with suppress(Exception):  # a library that cannot be limited is only slower
                    self._limits.impose()
            result = self._function(self._argument)
        except BaseException as error:
            self._future.set_exception(error)
            del error
        else:
            self._future.set_result(result)


def _work(calls: queue.SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        call.execute()
        del call  # its result is not to be kept while there is nothing to do


class _LibraryLimits:
    """Keeps numerical libraries from starting a thread for each core in each of the workers.

    By threadpoolctl, where that is installed. Libraries come with the modules that jobs import, and OpenMP counts for
    each thread by itself: the limit is imposed in each worker, and again where modules have come since.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._imposed: list[Any] = []
        self._here = threading.local()
        self._is_off = any(os.environ.get(name) for name in THREAD_VARIABLES)

    def impose(self) -> None:
        """Limit what is loaded now."""
        loaded = len(sys.modules)
        if getattr(self._here, "loaded", None) == loaded:
            return
        with self._lock:
            if self._is_off:
                return
            try:
                from threadpoolctl import threadpool_limits
            except ImportError:
                self._is_off = True
                return
            self._imposed.append(threadpool_limits(limits=max(1, machine.cores() // self._workers)))
        self._here.loaded = len(sys.modules)

    def lift(self) -> None:
        """Restore what was, the last first: later limits have found the earlier ones in force."""
        with self._lock:
            self._is_off = True
            while self._imposed:
                self._imposed.pop().restore_original_limits()
