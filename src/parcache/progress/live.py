"""Progress on a terminal: a few live lines below whatever is printed."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TextIO

from parcache.progress.plain import PeriodicDisplay, line_display
from parcache.progress.snapshot import Snapshot
from parcache.progress.terminal import Terminal
from parcache.progress.text import harmless

log = logging.getLogger("parcache")

DELAY_S: Final = 0.3
PERIOD_S: Final = 0.25
# More of a job's overrides, and more jobs, than any terminal shows.
_LONGEST: Final = 500
_MOST: Final = 50


class LiveDisplay:
    """Shows a bar, counts and running jobs below what is printed, from ``DELAY_S`` after a batch has started.

    Standard output and standard error are led through ``Terminal`` meanwhile. Where that cannot be, lines are shown.
    """

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        self._stdout, self._stderr = stdout, stderr
        self._terminal: Terminal | None = None
        self._lines: PeriodicDisplay | None = None
        self._snapshot: Callable[[], Snapshot] | None = None
        self._over = threading.Event()
        self._is_shown = False
        self._thread: threading.Thread | None = None

    def start(self, snapshot: Callable[[], Snapshot]) -> None:
        """Show a batch from now on. Before workers start: they are to inherit where output leads."""
        self.stop()
        self._flush()
        self._snapshot = snapshot  # before anything is to be undone
        try:
            if self._terminal is None:
                self._terminal = Terminal(self._stdout.encoding or "utf-8")
            self._terminal.take()
        except OSError as error:
            log.debug("Progress is shown as plain lines: there is no pseudo-terminal: %s", error)
            self._snapshot = None
            self._lines = self._lines or line_display(self._stderr)
            self._lines.start(snapshot)
            return
        _watch_input(self._terminal)
        self._over = threading.Event()
        self._is_shown = False
        self._thread = threading.Thread(
            target=self._run, args=(self._terminal, snapshot), name="parcache-progress", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Leave the last counts on the terminal, and lead output where it led before."""
        if self._lines is not None:
            self._lines.stop()
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is None or self._terminal is None:
            return
        _watch_input(None)
        self._over.set()
        try:
            if self._thread is not None:
                self._thread.join()
            self._flush()
            last = self._message(snapshot) if self._is_shown else None
            self._terminal.send({"last": last or {}})
            self._terminal.say("stop")
            self._terminal.await_answer()
        finally:  # a second Ctrl-C gets here, too
            self._terminal.give_back()

    def close(self) -> None:
        """Stop, and let go of the pseudo-terminal."""
        self.stop()
        terminal, self._terminal = self._terminal, None
        if terminal is not None:
            terminal.close()

    def _run(self, terminal: Terminal, snapshot: Callable[[], Snapshot]) -> None:
        pause_s = DELAY_S
        while not self._over.wait(pause_s):
            message = self._message(snapshot)
            if message is None:
                return
            terminal.send({"show": message})
            self._is_shown = True
            pause_s = PERIOD_S

    @staticmethod
    def _message(snapshot: Callable[[], Snapshot]) -> dict[str, Any] | None:
        try:
            return _as_json(snapshot())
        except Exception:  # what is wrong with counting must not end the sweep
            log.debug("No progress can be shown", exc_info=True)
            return None

    def _flush(self) -> None:
        for stream in (self._stdout, self._stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # closed meanwhile, or a full disk: its user will be told by the next print
                continue


def _as_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot as what JSON can hold, with ages instead of times."""
    now_s = time.monotonic()
    oldest = sorted(snapshot.running, key=lambda job: job.started_s)[:_MOST]
    jobs = [[job.number, harmless(job.overrides)[:_LONGEST], now_s - job.started_s] for job in oldest]
    return {**snapshot._asdict(), "running": jobs, "running_count": len(snapshot.running)}


_asked: Terminal | None = None
_is_hooked = False


def _watch_input(terminal: Terminal | None) -> None:
    """Have the live lines hidden while the program asks its user something by ``input``, as pdb does, too."""
    global _asked, _is_hooked
    _asked = terminal
    if terminal is not None and not _is_hooked and sys.stdin is not None and sys.stdin.isatty():
        _is_hooked = True
        sys.addaudithook(_hear)


def _hear(event: str, _: object) -> None:
    # Hooks cannot be removed: an idle one is to be one comparison.
    if event[:14] == "builtins.input" and _asked is not None:
        with contextlib.suppress(OSError):  # it is the user's input() that would fail
            _asked.say("ask" if event == "builtins.input" else "go on")
