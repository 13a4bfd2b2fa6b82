"""A small process beside each Dask worker that ends what the worker's jobs are when the worker has died.

A Dask worker that is killed tells nobody, and the jobs that it had taken on run again elsewhere: what is left of them
must not go on beside that. They are found by a mark in their environment, which programs that they start inherit.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from contextlib import suppress
from typing import Final

from parcache.backends.lineage import end_with_descendants
from parcache.home import HOME

VARIABLE: Final = "PARCACHE_DASK_WORKER"
_PROC: Final = "/proc"
_CHECK_S: Final = 1.0
_ENDING_S: Final = 10.0


class Guard:
    """The process, as the Dask worker sees it. It ends when it is closed, or when the Dask worker is gone."""

    def __init__(self, mark: str) -> None:
        code = f"import sys; sys.path[0] = {HOME!r}; from parcache.backends.dask.guard import main; main({mark!r})"
        self._process = subprocess.Popen(  # noqa: S603 # this very Python
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        """End it, and with it whatever has the mark."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main(mark: str) -> None:
    """Wait for the end of the process that has started this one, then end all that has the mark."""
    parent = os.getppid()
    # The end of the pipe tells at once, unless a fork of the Dask worker holds it open.
    while not select.select([sys.stdin], [], [], _CHECK_S)[0] and os.getppid() == parent:
        pass
    while found := _marked(mark):
        end_with_descendants(found)


def _marked(mark: str) -> list[int]:
    wanted, found = os.fsencode(f"{VARIABLE}={mark}\0"), []
    try:
        names = [name for name in os.listdir(_PROC) if name.isdigit() and int(name) != os.getpid()]
    except OSError:  # macOS: what runs then runs to its end
        return []
    for name in names:
        with suppress(OSError), open(f"{_PROC}/{name}/environ", "rb") as file:  # a process that has ended has none
            if wanted in file.read():
                found.append(int(name))
    return found
