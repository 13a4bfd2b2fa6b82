"""What a sweep's record says of its start, and the explain mode, in which a sweep ends where it would run jobs.

``parcache why`` runs an app with ``PARCACHE_EXPLAIN`` naming a folder. The launcher then composes, keys and plans as
ever and writes a record of that (``parcache.store.sweeps``) to ``record.log`` in the folder; it runs no job, makes no
directory of the sweep, stores nothing, and ends the process with exit code 0.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, read_write

from parcache.hydra.settings import CacheSettings
from parcache.model import Job, Plan
from parcache.run.record import EXPLAIN_RECORD, Explained, Recorder
from parcache.store.sweeps import Heading

BASIC_SWEEPER: Final = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def heading(master: DictConfig, cache: CacheSettings, started_ns: int, *, is_app: bool) -> Heading:
    """Return what a record begins with. ``is_app``: the sweep was started from a command line."""
    hydra: Any = master.hydra
    command, arguments = _command_line()
    sources = [source.path for source in hydra.runtime.config_sources if source.provider == "main"]
    return Heading(
        started_ns,
        command,
        arguments,
        str(hydra.runtime.cwd),
        os.path.abspath(str(hydra.sweep.dir)),
        str(hydra.runtime.choices.get("hydra/launcher", "parcache")),
        str(hydra.job.config_name or ""),
        sources[0] if sources else "",
        cache.mode.value,
        cache.ignore,
        cache.env,
        is_app,
        cache.dir,
    )


def _command_line() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what starts the app, interpreter and its options included, and what the user gave it."""
    given = tuple(sys.argv[1:])
    whole = tuple(sys.orig_argv)
    head = whole[: len(whole) - len(given)]
    if len(head) < 2 or whole[len(head) :] != given:  # the program has changed its arguments
        head = (sys.executable, *sys.argv[:1])
    return (sys.executable, *head[1:]), given


def set_aside(context: HydraContext, master: DictConfig, sweep_dir: str) -> bool:
    """Keep the sweeper from writing where the sweep would, and callbacks from hearing of it.

    Returns whether the sweeper can be returned to without results.
    """
    context.callbacks.callbacks.clear()
    with read_write(master), read_write(master.hydra):
        master.hydra.sweep.dir = sweep_dir
    return str(master.hydra.sweeper.get("_target_")) == BASIC_SWEEPER


def placeholders(count: int) -> list[JobReturn]:
    """Return what stands for the results of jobs that are not run."""
    return [JobReturn(status=JobStatus.COMPLETED) for _ in range(count)]


class ExplainMode:
    """Stands in for running a sweep's jobs."""

    def __init__(self, folder: str, context: HydraContext, master: DictConfig) -> None:
        """Keep the sweeper from writing where the sweep would, and callbacks from hearing of it."""
        self._folder = folder
        self._recorder: Recorder | None = None
        self._comes_back = set_aside(context, master, os.path.join(folder, "sweep"))

    def finish(
        self,
        start: Heading,
        jobs: Sequence[Job],
        plan: Plan,
        reasons: Mapping[int, str],
        explain: Callable[[int], Explained | None],
        codes: Mapping[str, Any],
    ) -> list[JobReturn]:
        """Record one batch. Returns to a sweeper that does not look at results; with any other, the process ends."""
        if self._recorder is None:
            self._recorder = Recorder(start, self._create)
        self._recorder.planned(jobs, plan, reasons)
        self._recorder.explained([job.number for job in jobs], explain, codes)
        if not self._comes_back:
            self.end()
        return placeholders(len(jobs))

    def end(self) -> None:
        """End the process after the sweep: what the app does then is not asked for."""
        if self._recorder is not None and sys.exc_info()[0] is None:
            self._recorder = None
            raise SystemExit(0)

    def _create(self, data: bytes) -> str:
        path = os.path.join(self._folder, EXPLAIN_RECORD)
        with open(path, "xb") as file:
            file.write(data)
        return path
