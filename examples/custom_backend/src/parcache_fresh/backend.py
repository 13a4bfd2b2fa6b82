"""The backend: a thread for each process that may run at a time, which starts it, feeds it and waits for it."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import cloudpickle

from parcache.errors import WorkerDiedError


class Call:
    """One job's process, once it has one."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.is_killed = False

    def kill(self) -> None:
        """End the process with all that it has started."""
        self.is_killed = True
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


class FreshBackend:
    """Executes each function in a new Python process; ``workers`` is how many run at a time."""

    jobs_per_call = 1  # a process for each job, however short
    executes_elsewhere = True  # submit() returns at once

    def __init__(self, workers: int = 2) -> None:
        self.capacity = workers
        self._initializer = b""
        self._threads: ThreadPoolExecutor | None = None
        self._calls: dict[Future[Any], Call] = {}

    def start(self, initializer: Callable[[], None]) -> None:
        """Get ready. Every process calls the initializer first: it brings the import path and the sweep's runner."""
        self._initializer = cloudpickle.dumps(initializer)
        self._threads = ThreadPoolExecutor(self.capacity)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Execute ``function(argument)`` in a process of its own."""
        if self._threads is None:
            raise RuntimeError("submit() was called before start()")
        call = Call()
        future = self._threads.submit(self._execute, call, function, argument)
        self._calls[future] = call
        future.add_done_callback(lambda done: self._calls.pop(done, None))
        return future

    def kill(self, future: Future[Any]) -> None:
        """End one job, running or not. A backend that has this lets jobs be stopped after ``failures.timeout_s``."""
        call = self._calls.get(future)
        if not future.cancel() and call is not None:
            call.kill()

    def stop(self, *, cancel: bool) -> None:
        """Wait for what runs, or with ``cancel`` end it."""
        if self._threads is None:
            return
        if cancel:
            for call in list(self._calls.values()):
                call.kill()
        self._threads.shutdown(wait=True, cancel_futures=cancel)
        self._threads = None

    def _execute(self, call: Call, function: Callable[[Any], Any], argument: Any) -> Any:
        data = cloudpickle.dumps((function, argument))
        # An answer of its own channel: what the job prints goes where the sweep prints.
        reading, writing = os.pipe()
        with open(reading, "rb") as answer:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-m", "parcache_fresh.worker", str(writing)],
                    stdin=subprocess.PIPE,
                    pass_fds=[writing],
                    start_new_session=True,  # Ctrl-C is for the sweeping process, and kill() for the whole group
                )
            finally:
                os.close(writing)
            call.process = process
            try:
                if call.is_killed:
                    call.kill()
                if process.stdin is not None:  # which it is not, having been asked for
                    with suppress(BrokenPipeError), process.stdin as work:  # it died early: no answer will say so
                        work.write(pickle.dumps((self._initializer, data)))
                data = answer.read()
            finally:
                process.wait()
        if not data:  # the sweep runs such a job once more: anybody may have killed the process
            raise WorkerDiedError(process.returncode, "its process ended without an answer")
        succeeded, value = pickle.loads(data)
        if succeeded:
            return value
        raise value
