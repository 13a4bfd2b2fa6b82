"""What became of jobs and why: a record of a sweep held against what the store holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from parcache.report.changes import Change, Kind, changes
from parcache.report.evidence import CODE_OFF, Evidence, Side, config_values, inputs_of
from parcache.report.nearest import Neighbourhood, task_of
from parcache.run.record import parts_of
from parcache.store.catalog import Head, heads, read_head, read_without_value, versions
from parcache.store.paths import StorePaths
from parcache.store.sweeps import Heading, KeyParts, RecordedJob, Status, SweepRecord

_EXPLAINED = (Status.MISS, Status.FAILED, Status.REFUSED, Status.UNFINISHED)


class Verdict(NamedTuple):
    """One job. ``entry`` is its own (of a hit) or the nearest one, ``changes`` is what differs from that."""

    number: int
    status: Status
    key: str
    overrides: tuple[str, ...] = ()
    entry: Head | None = None
    changes: tuple[Change, ...] = ()
    note: str = ""


class Mentions(NamedTuple):
    """What else the jobs' code does that bears on their keys.

    ``environ`` are variables that it reads and that do not count, ``dynamic`` are (path, line, text) of the places
    that make more code count.
    """

    environ: tuple[str, ...] = ()
    dynamic: tuple[tuple[str, int, str], ...] = ()


class Report(NamedTuple):
    """All that ``why`` has to say. ``is_past`` tells a sweep that has run from jobs that would run now."""

    store: str
    heading: Heading
    is_past: bool
    verdicts: tuple[Verdict, ...]
    mentions: Mentions
    damaged: int


def report(paths: StorePaths, record: SweepRecord, *, is_past: bool, numbers: Iterable[int] | None = None) -> Report:
    """Return what there is to say about the jobs of a record, or about some of them.

    A miss is held against entries that were there before its sweep.
    """
    chosen = sorted(record.jobs if numbers is None else numbers)
    evidence = Evidence(paths, record.codes)
    judge = _Judge(paths, record.heading, evidence, is_past=is_past)
    verdicts = tuple(judge.verdict(record.jobs[number]) for number in chosen)
    mentions = _mentions((evidence.code(code) for code in sorted(judge.codes)), record.heading.env)
    return Report(paths.root, record.heading, is_past, verdicts, mentions, record.damaged)


class _Judge:
    def __init__(self, paths: StorePaths, heading: Heading, evidence: Evidence, *, is_past: bool) -> None:
        self._paths = paths
        self._heading = heading
        self._evidence = evidence
        self._is_past = is_past
        self._around: Neighbourhood | None = None
        self.codes: set[str] = set()

    def verdict(self, job: RecordedJob) -> Verdict:
        """Return what became of a job."""
        explanation = job.explanation or (self._evidence.explanation(job.key) if job.key else {})
        overrides = tuple(map(str, explanation.get("overrides") or ()))
        verdict = Verdict(job.number, job.status, job.key, overrides, note=job.reason)
        if job.status is Status.UNFINISHED and self._has_own_result(job):
            verdict = verdict._replace(status=Status.MISS)
        if job.status is Status.HIT:
            head = read_head(self._paths.entry(job.key))
            if head is None:
                return verdict._replace(note="its entry is not there any more, or damaged")
            if head.key.code != CODE_OFF:
                self.codes.add(head.key.code)
            return verdict._replace(entry=head)
        if job.status is Status.DUPLICATE:
            return verdict._replace(note=f"the same key as job {job.twin}")
        if job.status not in _EXPLAINED or not job.key:  # without a key nothing could have been a hit
            return verdict
        if job.parts is None:
            return verdict._replace(note=_joined(job.reason, "what its key is made of was not kept"))
        return self._explained(job, job.parts, verdict, explanation)

    def _explained(
        self, job: RecordedJob, parts: KeyParts, verdict: Verdict, explanation: Mapping[str, Any]
    ) -> Verdict:
        self.codes.update({parts.code} - {CODE_OFF})
        if self._heading.mode == "refresh" and self._is_past:
            return verdict._replace(note=_joined(job.reason, "cache.mode=refresh runs every job"))
        head = self._predecessor(job)
        if head is None and not self._is_past and os.path.exists(self._paths.entry(job.key)):
            return verdict._replace(note=f"its entry {self._paths.entry(job.key)} is damaged")
        code = self._evidence.code(parts.code) if parts.code != CODE_OFF else {}
        values = config_values(explanation)
        task = str((code or {}).get("task") or "")
        if head is None:
            head = self._neighbours().nearest(task, parts, job.config, values)
        if head is None:
            return verdict._replace(note=_joined(job.reason, "no other result was stored before"))
        if task and task_of(head) not in ("", task):
            return verdict._replace(entry=head, changes=(Change(Kind.TASK, "", task, task_of(head)),))
        whole = read_without_value(head.path, head.key.digest)
        own = (
            read_without_value(self._paths.entry(job.key), job.key)
            if self._is_past and job.status is Status.MISS
            else None
        )
        wanted = Side(parts, job.config, values, None if own is None else inputs_of(own, self._paths))
        theirs = self._evidence.explanation(head.key.digest)
        found = Side(parts_of(head.key), head.key.config, config_values(theirs), inputs_of(whole, self._paths))
        told = changes(wanted, found, self._evidence, self._heading.ignore, self._heading.cwd)
        note = job.reason
        if not told:
            damaged = "an entry of this very key is there, and could not be read: it is damaged, or its value needs "
            note = _joined(note, damaged + "what is not installed here")
        return verdict._replace(entry=head, changes=told, note=note)

    def _has_own_result(self, job: RecordedJob) -> bool:
        """Tell whether the job's worker has stored a result after all: the sweeping process died before it heard."""
        head = read_head(self._paths.entry(job.key))
        return head is not None and not self._was_there(head)

    def _predecessor(self, job: RecordedJob) -> Head | None:
        """Return an entry of the job's own key that was there before: its inputs differ, or it could not be read."""
        before = [head for head in versions(self._paths, job.key) if self._was_there(head)]
        return max(before, key=lambda head: head.created_ns, default=None)

    def _neighbours(self) -> Neighbourhood:
        if self._around is None:
            self._around = Neighbourhood((each for each in heads(self._paths) if self._was_there(each)), self._evidence)
        return self._around

    def _was_there(self, head: Head) -> bool:
        return head.created_ns < self._heading.started_ns


def _joined(*sentences: str) -> str:
    return "; ".join(sentence for sentence in sentences if sentence)


def _mentions(codes: Iterable[Mapping[str, Any] | None], named: tuple[str, ...]) -> Mentions:
    environ, dynamic = set[str](), set[tuple[str, int, str]]()
    for code in codes:
        try:
            environ.update(str(name) for name in (code or {}).get("environ", ()))
            dynamic.update((str(path), int(line), str(text)) for path, line, text in (code or {}).get("dynamic", ()))
        except (TypeError, ValueError):
            continue
    return Mentions(tuple(sorted(environ - set(named))), tuple(sorted(dynamic)))
