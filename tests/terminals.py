"""Programs under a pseudo-terminal, and what a person would see there."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import pyte
import pytest

DEADLINE_S = 300.0

# What a shell is to a program: the leader of the session, which gives it the terminal, takes it back and outlives it.
_SHELL = """
import fcntl, os, signal, sys, termios
steps, report = int(os.environ["STEPS"]), int(os.environ["REPORT"])
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.close(report)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
while True:
    status = os.waitpid(child, os.WUNTRACED)[1]
    os.tcsetpgrp(0, os.getpgrp())
    if not os.WIFSTOPPED(status):
        break
    print("\\nstopped", flush=True)
    os.read(steps, 1)
    os.tcsetpgrp(0, child)
    os.killpg(child, signal.SIGCONT)
os.write(report, b"%d" % os.waitstatus_to_exitcode(status))
os.read(steps, 1)
"""
_PRELUDE = """
import os, sys, time
STEPS = int(os.environ["STEPS"])
def step():
    "Wait until the test says so."
    if not os.read(STEPS, 1):
        raise SystemExit("the test has gone")
"""


class Seen:
    """A program that runs under a pseudo-terminal, with a terminal emulator at the other end."""

    def __init__(self, program: str, folder: Path, env: Mapping[str, str], columns: int, lines: int) -> None:
        path = folder / "program.py"
        path.write_text(_PRELUDE + textwrap.dedent(program))
        self.master, self.slave = os.openpty()
        self._screen = pyte.HistoryScreen(columns, lines, history=100_000)
        self._stream = pyte.ByteStream(self._screen)
        self.resize(columns, lines)
        self.raw = b""
        steps, self._steps = os.pipe()
        self._report, report = os.pipe()
        surroundings = {
            name: value
            for name, value in os.environ.items()
            if name not in ("CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES") and not name.startswith("PYTEST")
        }
        surroundings.update({"TERM": "xterm-256color", "STEPS": str(steps), "REPORT": str(report)})
        surroundings.update({"PYTHONWARNINGS": "ignore", **env})
        self._shell = subprocess.Popen(
            [sys.executable, "-c", _SHELL, str(path)],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            pass_fds=(steps, report),
            env=surroundings,
            cwd=folder,
        )
        os.close(steps)
        os.close(report)

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        os.close(self._steps)
        try:
            self._shell.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._shell.kill()  # the terminal hangs up, which ends the program as well
            self._shell.wait()
        for fd in (self._report, self.slave, self.master):
            os.close(fd)

    @property
    def screen(self) -> list[str]:
        """Return the lines that are on the screen, without the empty ones at its end."""
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def scrolled(self) -> list[str]:
        """Return all lines that have ever scrolled off the screen, and those on it."""
        width = self._screen.columns
        above = ["".join(line[column].data for column in range(width)).rstrip() for line in self._screen.history.top]
        return above + self.screen

    @property
    def cursor(self) -> tuple[int, int]:
        """Return the line and the column of the cursor."""
        return self._screen.cursor.y, self._screen.cursor.x

    def resize(self, columns: int, lines: int) -> None:
        """Change the terminal's size."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.resize(lines, columns)

    def modes(self) -> list[object]:
        """Return how the terminal is set."""
        return termios.tcgetattr(self.slave)

    def step(self) -> None:
        """Let the program go on from where it waits."""
        os.write(self._steps, b".")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode())

    def await_sight(self, is_seen: Callable[[Seen], bool]) -> None:
        """Read until something is to be seen."""
        self._until(lambda: is_seen(self), "never seen")

    def await_text(self, *texts: str) -> None:
        """Read until all these are on the screen."""
        self.await_sight(lambda seen: all(any(text in line for line in seen.screen) for text in texts))

    def finish(self) -> int:
        """Read to the program's end and return its exit code, negative where a signal ended it."""
        self._until(lambda: bool(select.select([self._report], [], [], 0.0)[0]), "the program does not end")
        while self._read(0.0):
            pass
        return int(os.read(self._report, 16))

    def _until(self, is_so: Callable[[], bool], problem: str) -> None:
        end_s = time.monotonic() + DEADLINE_S
        while not is_so():
            if time.monotonic() > end_s:
                pytest.fail(f"{problem}; there was:\n" + "\n".join(self.scrolled))
            self._read(0.05)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self.master], [], [], max(0.0, timeout_s))[0]:
            return False
        data = os.read(self.master, 65536)
        self.raw += data
        self._stream.feed(data)
        return True


# A batch of eight jobs of which two run, and its display.
_BATCH = """
from parcache.progress.choose import choose_display
from parcache.progress.kinds import Progress
from parcache.progress.snapshot import RunningJob, Snapshot

jobs = (RunningJob(3, ("lr=0.1",), time.monotonic()), RunningJob(4, ("lr=[red]0.2",), time.monotonic()))
now = Snapshot(8, 2, 0, 1, 0, 0, jobs, 3, 5000.0, 9.0)
display = choose_display(Progress.AUTO, os.environ, sys.stdout, sys.stderr)

def finish():
    global now
    now = now._replace(completed=5, failed=1, running=(), waiting=0)
"""
# What is on the screen while the live lines are, and what is left of them when the batch is over.
LIVE = "lr=[red]0.2"
LAST = ["8/8 " + "━" * 60 + " 1:23:20", "2 hits, 5 done, 1 failed; 4.3 jobs/h"]

Displayed = Callable[..., Seen]


def program_of_a_batch(folder: Path, program: str, *, columns: int = 100, lines: int = 30, **env: str) -> Seen:
    """Start a program that has a batch, ``now``, and its ``display``."""
    return Seen(_BATCH + textwrap.dedent(program), folder, env, columns, lines)
