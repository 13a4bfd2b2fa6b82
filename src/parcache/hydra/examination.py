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
from parcache.hydra.record import set_aside
from parcache.run import failure, probe
from parcache.run.probe import ASKED, FINDINGS, Finding, Level, Question

_POLL_S: Final = 0.2
# What a network file system may take to show a file that another machine has written.
_ARRIVAL_S: Final = 10.0


class Examination:
    """Stands in for running a sweep's jobs. ``folders`` are what both sides must see, by what they are to the user."""

    def __init__(self, folder: str, context: HydraContext, master: DictConfig) -> None:
        """Keep the sweeper from writing where the sweep would, and callbacks from hearing of it."""
        self._folder = folder
        with open(os.path.join(folder, ASKED)) as file:
            self._wait_s = float(json.load(file)["wait_s"])
        self._made: list[str] = []
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
        try:
            backend.start(probe.get_ready)
            future = _submitted(backend, about, question)
            there = self._awaited(future, started_s)
        except NotInTimeError:
            return [
                Finding(
                    Level.PROBLEM,
                    "backend",
                    f"the probe has not come back within {self._wait_s:g} s. Its job waits or hangs: look at the "
                    "queue, or give it more time: parcache doctor --wait-s SECONDS",
                )
            ]
        except Exception as error:  # whatever the backend's own libraries raise is what the user wants to know
            return [Finding(Level.PROBLEM, "backend", f"{type(error).__name__}: {failure.text(error)}")]
        finally:
            backend.stop(cancel=True)
        took_s = time.monotonic() - started_s
        first = Finding(Level.OK, "backend", f"a job ran on {there.host}, {took_s:.1f} s after it was asked for")
        arrived = self._arrived(question, there)
        return [first, *probe.findings(question, probe.answer(question), there, arrived)]

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


def _submitted(backend: Any, about: About, question: Question) -> Future[Any]:
    future: Future[Any]
    if not hasattr(backend, "submit_job"):
        future = backend.submit(probe.answer, question)
        return future
    future = backend.submit_job(probe.answer, question, about)
    if hasattr(backend, "flush"):
        backend.flush()
    return future
