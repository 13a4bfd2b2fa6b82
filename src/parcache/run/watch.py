"""What stands around the call of the task function: its time, the proof of what ran, the result's way to the store."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from parcache.keys import executions, witness
from parcache.keys.distributions import versions
from parcache.keys.doubts import doubt
from parcache.model import NOT_ASKED, Stored, Storing, Trace
from parcache.run import imports
from parcache.run.reading import UNWATCHED, Reading, reading_unstored
from parcache.run.unit import Brief, Ticket
from parcache.store.entry import pack_explanation

if TYPE_CHECKING:
    from parcache.run.audit import Auditor, Closure


class Watch:
    """Stands around the call of the task function: takes its time, checks what ran, publishes the result."""

    def __init__(self, ticket: Ticket | None, brief: Brief | None, auditor: Auditor | None = None) -> None:
        """Take up a unit's ticket and the brief that it names; without both nothing is published or audited."""
        self._ticket = ticket
        self._brief = brief
        self._auditor = auditor
        self._since = 0
        self.trace: Trace | None = None
        self.run_time_s = 0.0
        self.stored = NOT_ASKED

    def refuse(self, reason: str) -> None:
        """Do not publish this result."""
        if self._ticket is not None:
            self._ticket = None
            self.stored = Stored(Storing.REFUSED, reason)

    def call(self, task: Callable[[Any], Any], config: Any, directory: str = "") -> Any:
        """Return ``task(config)``; publish the value before anybody else sees it. ``directory`` is the job's."""
        ticket, brief, own = self._ticket, self._brief, task
        if self._auditor is not None and brief is not None and brief.closure is not None:
            task = partial(self._audited, self._auditor, brief.closure, task)
        if ticket is None or brief is None:
            with reading_unstored(own, directory, _BOUNDARY):
                return self._timed(task, config)
        sources = brief.sources
        watcher = witness.of_this_process()
        if sources is not None:
            executions.of_this_process().enable()
            self._since = executions.of_this_process().now()
        before = watcher.begin(sources) if sources is not None else None
        reading = None
        if brief.scope is not None:
            reading = Reading(brief.scope, brief.store, ticket.output_dir, ticket.named, sources or (), _BOUNDARY)
            reading.start(own)
        seen = witness.NOTHING
        try:
            value = self._timed(task, config)
        finally:
            # Also after a failure: what a failed job has imported stays for the jobs that follow it here.
            if reading is not None:
                reading.stop()
            if sources is not None and before is not None:
                seen = watcher.end(before, sources, brief.excluded, imports.of_others)
        if self._ticket is not None:  # else it was refused meanwhile
            self.stored = self._publish(ticket, brief, seen, reading, value)
        return value

    def _timed(self, task: Callable[[Any], Any], config: Any) -> Any:
        own = os.getpid()
        started = time.perf_counter()
        try:
            value = task(config)
        except BaseException as error:
            _end_fork_of(own, error)
            raise
        else:
            _end_fork_of(own, None)
            return value
        finally:
            self.run_time_s = time.perf_counter() - started

    def _audited(self, auditor: Auditor, closure: Closure, task: Callable[[Any], Any], config: Any) -> Any:
        try:
            with auditor.tracing(closure) as recording:
                return task(config)
        finally:
            self.trace = auditor.trace(closure, recording)

    def _publish(self, ticket: Ticket, brief: Brief, seen: witness.Seen, reading: Reading | None, value: Any) -> Stored:
        reason = (
            brief.refusal
            or _unproven_refusal(brief, ticket, seen)
            or _doubt(brief, self._since)
            or _strangers_refusal(seen.strangers)
            or _distributions_refusal(brief.distributions)
            or _audit_refusal(self.trace)
        )
        if reason:
            return Stored(Storing.REFUSED, reason)
        read = UNWATCHED if reading is None else reading.result(self.run_time_s)
        if read.refusal:
            return Stored(Storing.REFUSED, read.refusal)
        try:
            shared = _packed_explanation(brief)
        except (TypeError, ValueError, RecursionError) as error:
            return Stored(Storing.REFUSED, f"what explains its key is no JSON data: {type(error).__name__}: {error}")
        return brief.store.publish(
            ticket.key,
            value,
            run_time_s=self.run_time_s,
            record={**brief.record, "output_dir": ticket.output_dir},
            explanation=ticket.explanation,
            shared=shared,
            watched=read.watched,
            variant=read.variant,
        )


def _end_fork_of(own: int, error: BaseException | None) -> None:
    """End this process if the task has forked it: what is left to do is its parent's, and so is the sweep."""
    if os.getpid() == own:
        return
    code = 0
    with suppress(BaseException):
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            code = 1
            sys.excepthook(type(error), error, error.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)


_BOUNDARY: Final = Watch._timed.__code__


def _unproven_refusal(brief: Brief, ticket: Ticket, seen: witness.Seen) -> str:
    if seen.unproven and brief.asked is not None and brief.sources is not None:
        from parcache.keys.retaken import of_witness  # only where somebody edits: all that walks is loaded

        if of_witness(witness.of_this_process()).is_same(brief.asked, ticket.key.code, brief.sources):
            return ""
    return witness.refusal(seen.unproven)


def _doubt(brief: Brief, since: int) -> str:
    if brief.sources is None:
        return ""
    started_ns = witness.of_this_process().started_ns
    return doubt(brief.sources, by_hand=brief.executes_files, started_ns=started_ns, since=since)


def _strangers_refusal(strangers: Sequence[str]) -> str:
    if not strangers:
        return ""
    return (
        f"{', '.join(strangers)} was imported in a way that the code fingerprint does not follow. "
        "Import it by its literal name in a module that the task function uses"
    )


def _audit_refusal(trace: Trace | None) -> str:
    if trace is None or not trace.strays:
        return ""
    return "cache.audit saw code run that is not in their code closure"


@lru_cache(maxsize=64)
def _distributions_refusal(keyed: tuple[tuple[str, str], ...]) -> str:
    """Compare the versions that the key was made of with those that this worker finds, once a process."""
    here = versions(name for name, _ in keyed)
    differing = [f"{name} {version} (here {here.get(name)})" for name, version in keyed if here.get(name) != version]
    if not differing:
        return ""
    return f"a worker's packages are not those of the sweeping process: {', '.join(differing)}. Use one environment"


@lru_cache(maxsize=64)
def _packed_explanation(brief: Brief) -> bytes:
    # By the brief's identity: its mapping is the base config, which would take longer to compare than to pack.
    return pack_explanation(brief.explanation)
