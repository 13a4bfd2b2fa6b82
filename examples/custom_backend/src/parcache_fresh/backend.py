"""The backend: a thread for each process that may run at a time, which starts it, feeds it and waits for it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import cloudpickle


class WorkerDiedError(RuntimeError):
    """A job's process ended before it answered."""


class FreshBackend:
    """Executes each function in a new Python process; ``workers`` is how many run at a time."""

    jobs_per_call = 1  # a process for each job, however short

    def __init__(self, workers: int = 2) -> None:
        self.capacity = workers
        self._initializer = b""
        self._threads: ThreadPoolExecutor | None = None
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._cancelled = False

    def start(self, initializer: Callable[[], None]) -> None:
        """Get ready. Every process calls the initializer first: it brings the import path and the sweep's runner."""
        self._initializer = cloudpickle.dumps(initializer)
        self._threads = ThreadPoolExecutor(self.capacity)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Execute ``function(argument)`` in a process of its own."""
        if self._threads is None:
            raise RuntimeError("submit() was called before start()")
        return self._threads.submit(self._execute, function, argument)

    def stop(self, *, cancel: bool) -> None:
        """Wait for what runs, or with ``cancel`` end it."""
        if self._threads is None:
            return
        if cancel:
            self._cancelled = True
            for process in list(self._processes):
                process.kill()
        self._threads.shutdown(wait=True, cancel_futures=cancel)
        self._threads = None

    def _execute(self, function: Callable[[Any], Any], argument: Any) -> Any:
        call = cloudpickle.dumps((function, argument))
        # An answer of its own channel: what the job prints goes where the sweep prints.
        reading, writing = os.pipe()
        with open(reading, "rb") as answer:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-m", "parcache_fresh.worker", str(writing)],
                    stdin=subprocess.PIPE,
                    pass_fds=[writing],
                )
            finally:
                os.close(writing)
            self._processes.add(process)
            try:
                if self._cancelled:
                    process.kill()
                if process.stdin is not None:  # which it is not, having been asked for
                    with suppress(BrokenPipeError), process.stdin as work:  # it died early: no answer will say so
                        work.write(pickle.dumps((self._initializer, call)))
                data = answer.read()
            finally:
                process.wait()
                self._processes.discard(process)
        if not data:
            raise WorkerDiedError(f"the job's process ended with exit code {process.returncode} and no answer")
        succeeded, value = pickle.loads(data)
        if succeeded:
            return value
        raise value
