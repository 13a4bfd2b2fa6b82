"""Progress as lines of text: on a pipe, in CI, in a notebook."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, TextIO

from parcache.progress.snapshot import Snapshot
from parcache.progress.text import plain_line

log = logging.getLogger("parcache")

FIRST_S: Final = 10.0
SECOND_S: Final = 30.0
GROWTH: Final = 1.5
LONGEST_S: Final = 300.0


def pauses(first_s: float = FIRST_S, second_s: float = SECOND_S) -> Callable[[], float]:
    """Return what tells the pause before each line: they grow, so that a day's log has 300 lines and not 3000."""
    coming = [first_s, second_s]

    def pause() -> float:
        due = coming.pop(0)
        if not coming:
            coming.append(min(due * GROWTH, LONGEST_S))
        return due

    return pause


class NoDisplay:
    """Shows nothing."""

    def start(self, snapshot: Callable[[], Snapshot]) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class PeriodicDisplay:
    """Shows a line now and then, from a thread of its own. A batch that is over before the first is due shows none."""

    def __init__(
        self, show: Callable[[str], None], new_pauses: Callable[[], Callable[[], float]], *, shows_end: bool = False
    ) -> None:
        self._show = show
        self._new_pauses = new_pauses
        self._shows_end = shows_end
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, snapshot: Callable[[], Snapshot]) -> None:
        """Show a line when the first pause is over."""
        self.stop()
        self._over = threading.Event()
        # A daemon: it must not keep a program from ending whose sweep was left by some exception.
        self._thread = threading.Thread(
            target=self._run, args=(snapshot, self._over), name="parcache-progress", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Show no more."""
        thread, self._thread = self._thread, None
        self._over.set()
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Show no more."""
        self.stop()

    def _run(self, snapshot: Callable[[], Snapshot], over: threading.Event) -> None:
        pause = self._new_pauses()
        is_shown = False
        try:
            while not over.wait(pause()):
                self._show(plain_line(snapshot()))
                is_shown = True
            if is_shown and self._shows_end:
                self._show(plain_line(snapshot()))
        except (OSError, ValueError):  # the pipe's reader has gone, or the stream is closed: nobody looks
            return
        except Exception:  # what is wrong with counting must not end the sweep
            log.debug("No progress can be shown", exc_info=True)


def line_display(stream: TextIO, new_pauses: Callable[[], Callable[[], float]] = pauses) -> PeriodicDisplay:
    """Return what writes lines to a stream.

    It is standard error: standard output is the program's own, and a logger would write into the log of whichever job
    runs in the sweeping process at the time.
    """

    def show(line: str) -> None:
        stream.write(f"[parcache] {line}\n")
        stream.flush()

    return PeriodicDisplay(show, new_pauses)


def notebook_display(
    display: Callable[..., Any], new_pauses: Callable[[], Callable[[], float]] = lambda: lambda: 1.0
) -> PeriodicDisplay:
    """Return what updates one line below a notebook's cell. ``display`` is ``IPython.display.display``."""
    handles: list[Any] = []

    def show(line: str) -> None:
        data = {"text/plain": line}
        if not handles:
            handles.append(display(data, raw=True, display_id=True))
        elif handles[0] is not None:  # None outside a notebook
            handles[0].update(data, raw=True)

    return PeriodicDisplay(show, new_pauses, shows_end=True)
