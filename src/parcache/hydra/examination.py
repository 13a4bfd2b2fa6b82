"""The doctor's mode: a sweep in which a probe runs on the backend in place of the jobs.

``parcache doctor`` runs an app with ``PARCACHE_DOCTOR`` naming a folder, in which ``asked.json`` says for how many
seconds to wait. The launcher composes one job, has the backend run a probe as it would run the job, writes to
``findings.json`` there a list of ``[level, subject, text]``, and ends the process with exit code 0.
"""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTimeError
from concurrent.futures import wait as wait_for
from contextlib import suppress
from typing import Any, Final, NoReturn

from hydra.types import HydraContext
from omegaconf import DictConfig

from parcache.backends import About, Backend
from parcache.errors import NoWorkerError
from parcache.hydra.record import set_aside
from parcache.run import failure, probe
from parcache.run.probe import ASKED, FINDINGS, Finding, Level, Question

_POLL_S: Final = 0.2
# What a network file system may take to show a file that another machine has written.
_ARRIVAL_S: Final = 10.0
_MAX_SAID: Final = 500
SWEEP: Final = "the sweep's directory"
"""What the folder is to the user that the backend takes for the sweep's."""


class Examination:
    """Stands in for running a sweep's jobs. ``folders`` are what both sides must see, by what they are to the user."""

    def __init__(self, folder: str, context: HydraContext, master: DictConfig) -> None:
        """Keep the sweeper from writing where the sweep would, and callbacks from hearing of it."""
        self._folder = folder
        with open(os.path.join(folder, ASKED)) as file:
            self._wait_s = float(json.load(file)["wait_s"])
        self._made: list[str] = []
        self.keeps = False
        """Whether what the backend has left in the sweep's directory is to stay: a finding names it."""
        set_aside(context, master, os.path.join(folder, "sweep"))

    def examine(self, backend: Backend, about: About, folders: dict[str, str]) -> NoReturn:
        """Ask a backend that is not started yet, in a job ``about`` which it is told this, and end the process.

        Raises:
            SystemExit: Always.
        """
        question = Question(os.urandom(16).hex(), f".parcache-probe-{os.urandom(4).hex()}", folders)
        self._made = [path for folder in folders.values() for path in _missing(folder)]
        try:
            self._end(self._findings(question, backend, about))
        finally:
            probe.clear(question)

    def tidy(self) -> None:
        """Remove the folders that were made for the probe, as far as nobody else has found use for them."""
        for path in self._made:
            with suppress(OSError):
                os.rmdir(path)

    def _end(self, found: list[Finding]) -> NoReturn:
        with open(os.path.join(self._folder, FINDINGS), "w") as file:
            json.dump([(each.level.value, each.subject, each.text) for each in found], file)
        raise SystemExit(0)

    def _findings(self, question: Question, backend: Backend, about: About) -> list[Finding]:
        problems = probe.lay_out(question)
        if problems:
            return [Finding(Level.PROBLEM, label, f"{label}: {text}") for label, text in problems.items()]
        started_s = time.monotonic()
        said = ""
        try:
            backend.start(probe.get_ready)
            future = _submitted(backend, about, question)
            there: probe.Answer | Finding = self._awaited(future, started_s)
            said = _said(backend)
        except NotInTimeError:
            said = _said(backend)
            there = self._late()
        except Exception as error:  # whatever the backend's own libraries raise is what the user wants to know
            there = Finding(Level.PROBLEM, "backend", f"{type(error).__name__}: {_text(error)}")
        finally:
            backend.stop(cancel=True)
        took_s = time.monotonic() - started_s
        remarks = [Finding(Level.NOTE, "output", f"the task writes to its standard error: {said}")] if said else []
        if isinstance(there, Finding):
            return [there, *remarks, *self._left(question)]
        first = Finding(Level.OK, "backend", f"a job ran on {there.host}, {took_s:.1f} s after it was asked for")
        arrived = self._arrived(question, there)
        return [first, *remarks, *probe.findings(question, probe.answer(question), there, arrived)]

    def _late(self) -> Finding:
        return Finding(
            Level.PROBLEM,
            "backend",
            f"the probe has not come back within {self._wait_s:g} s. Its job waits or hangs: look at the "
            "queue, or give it more time: parcache doctor --wait-s SECONDS",
        )

    def _left(self, question: Question) -> list[Finding]:
        """Keep what a backend that failed has written, as what it says may name that."""
        folder = question.folders[SWEEP]
        found = [name for name in _names(folder) if name != question.scratch and _has_files(os.path.join(folder, name))]
        self.keeps = bool(found)
        text = f"{folder} is kept, with what the backend and its tasks have written. Delete it when you have seen it"
        return [Finding(Level.NOTE, "files", text)] if found else []

    def _awaited(self, future: Future[Any], started_s: float) -> probe.Answer:
        while not future.done():
            if time.monotonic() - started_s > self._wait_s:
                raise NotInTimeError
            wait_for([future], timeout=_POLL_S)
        found: probe.Answer = future.result()
        return found

    def _arrived(self, question: Question, there: probe.Answer) -> dict[str, bool]:
        until_s = time.monotonic() + min(_ARRIVAL_S, self._wait_s)
        while True:
            arrived = probe.seen_here(question, there)
            if all(arrived.values()) or time.monotonic() > until_s:
                return arrived
            time.sleep(_POLL_S)


def _missing(folder: str) -> list[str]:
    """Return which of a path's folders do not exist, the innermost first."""
    found = []
    while not os.path.exists(folder):
        found.append(folder)
        folder = os.path.dirname(folder)
    return found


def _names(folder: str) -> list[str]:
    with suppress(OSError):
        return sorted(os.listdir(folder))
    return []


def _has_files(path: str) -> bool:
    return not os.path.isdir(path) or any(files for _, _, files in os.walk(path))


def _said(backend: Backend) -> str:
    """Return what the tasks of a backend that knows it have written to their standard error, as one line."""
    complaints = getattr(backend, "complaints", None)
    lines = complaints().splitlines() if complaints is not None else []
    text = "; ".join(line.strip() for line in lines if line.strip())
    return text if len(text) <= _MAX_SAID else f"…{text[-_MAX_SAID:]}"


def _text(error: Exception) -> str:
    if isinstance(error, NoWorkerError):  # its remedy is what is being done
        return str(NoWorkerError(error.deaths, error.problem, "Mend that, and ask again."))
    return failure.text(error)


def _submitted(backend: Any, about: About, question: Question) -> Future[Any]:
    future: Future[Any]
    if not hasattr(backend, "submit_job"):
        future = backend.submit(probe.answer, question)
        return future
    future = backend.submit_job(probe.answer, question, about)
    if hasattr(backend, "flush"):
        backend.flush()
    return future
