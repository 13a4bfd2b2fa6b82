"""The journal of a sweep: what became of its jobs, appended as it happens to a file in the sweep's directory.

``journal.jsonl`` is made of lines, each a JSON object. A sweep begins with::

    {"journal": 1, "time": T, "backend": NAME, "host": HOST, "pid": PID}

and everything else is of the form ``{"time": T, "state": STATE, "jobs": [NUMBER, …], …}``, where T is in s since the
epoch and the states are

    planned       composed and keyed, and about to be looked up or run
    hit           served by the store
    duplicate     served by the entry of another job of the batch
    running       given to the backend; several that travel together run one after the other
    completed     ran to its end; "run_time_s" is the task function's own time; "recovered": its report was lost, its
                  result was not
    failed        for good; "error" says by what
    retry         failed, or its worker died, and runs again; "attempt" counts from 1, "error" says why
    interrupted   was running when the sweep ended early
    cancelled     had not started when the sweep ended early
    left          had not ended when the sweep detached: it is the backend's to run

A journal belongs to one sweep directory; a command that is run again with the same directory appends to it.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

log = logging.getLogger(__name__)

FORMAT: Final = 1
NAME: Final = "journal.jsonl"
_JSON: Final = json.JSONEncoder(separators=(",", ":"))


class Journal:
    """Appends to one journal. What cannot be written is no reason to stop a sweep: it is said once, at debug level."""

    def __init__(self, folder: str, heading: dict[str, Any], *, clock: Callable[[], float] = time.time) -> None:
        self._path = os.path.join(folder, NAME)
        self._clock = clock
        self._heading: dict[str, Any] | None = {"journal": FORMAT, "time": round(clock(), 3), **heading}
        self._descriptor: int | None = None

    def note(self, state: str, jobs: Iterable[int], **more: Any) -> None:
        """Append one line, if there are jobs."""
        numbers = list(jobs)
        if not numbers:
            return
        self._write({"time": round(self._clock(), 3), "state": state, "jobs": numbers, **more})

    def close(self) -> None:
        """Close the file. What is noted later opens it again."""
        if self._descriptor is not None and self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = None

    def _ends_a_line(self) -> bool:
        """Tell whether what was written before, on a disk that was full perhaps, is whole."""
        with open(self._path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            return file.read(1) in (b"", b"\n")

    def _write(self, line: dict[str, Any]) -> None:
        text = _JSON.encode(line) + "\n"
        if self._heading is not None:
            text = f"{_JSON.encode(self._heading)}\n{text}"
            self._heading = None
        try:
            if self._descriptor is None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
                self._descriptor = os.open(self._path, flags, 0o666)
                if not self._ends_a_line():
                    text = "\n" + text
            if self._descriptor >= 0:
                os.write(self._descriptor, text.encode("ascii"))
        except OSError as error:
            log.debug("cannot write the sweep's journal: %s", error)
            self._descriptor = -1
