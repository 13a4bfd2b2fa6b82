"""Dask schedulers and workers as processes of their own, for tests that lose some of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

DEADLINE_S = 120


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something that must happen: there is no other sign of it than that it has."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it never happened: {what}"
        time.sleep(0.02)
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and that nobody has asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def begun(printed: Path) -> set[int]:
    """Return the calls that a sweep with ``hydra.verbose=parcache`` knows to have begun.

    A Dask worker tells of a call a moment after it has begun, and not of one that has ended by then.
    """
    return {int(number) for number in re.findall(r"Call (\d+) runs on the Dask worker at ", printed.read_text())}


class Processes:
    """A scheduler and workers, started by Dask's own command line."""

    def __init__(self, folder: Path, *dashboard: str) -> None:
        self._folder = folder
        self.file = folder / "scheduler.json"
        self._started: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        shown = dashboard or ("--no-dashboard",)
        self.scheduler = self._start("scheduler", "--port", "0", *shown, "--scheduler-file", str(self.file))
        self.address: str = until(self._address, "the scheduler starts")

    def worker(self, *options: str, nthreads: int = 1) -> subprocess.Popen[bytes]:
        """Start a worker without a nanny: one that is killed does not come back."""
        common = ("--no-nanny", "--no-dashboard", "--nthreads", str(nthreads))
        place = ("--local-directory", str(self._folder), "--scheduler-file", str(self.file))
        started = self._start("worker", *common, *place, *options)
        self.workers.append(started)
        return started

    def close(self) -> None:
        """End all of them."""
        for process in reversed(self._started):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{len(self._started)}.log").open("wb") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments, "--host", "127.0.0.1"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(started)
        return started

    def _address(self) -> str:
        try:
            return str(json.loads(self.file.read_text())["address"])
        except (OSError, ValueError):
            return ""
