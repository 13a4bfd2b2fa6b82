"""A report as JSON data. Members are only added to it; what is not there is absent, which is not null."""

from __future__ import annotations

from typing import Any, Final

from parcache.report.changes import ABSENT, Change
from parcache.report.evidence import InputState
from parcache.report.verdicts import Report, Verdict
from parcache.store.catalog import Head

VERSION: Final = 1


def data(report: Report) -> dict[str, Any]:
    """Return a report as JSON data. Times are in ns since the epoch, sizes in bytes, run times in s."""
    heading = report.heading
    sweep: dict[str, Any] = {
        "started_ns": heading.started_ns,
        "command": [*heading.command, *heading.arguments],
        "cwd": heading.cwd,
        "launcher": heading.launcher,
        "config_dir": heading.config_dir,
        "config_name": heading.config_name,
        "mode": heading.mode,
    }
    if report.is_past:
        sweep["sweep_dir"] = heading.sweep_dir
    return {
        "version": VERSION,
        "store": report.store,
        "is_past": report.is_past,
        "sweep": sweep,
        "jobs": [_job(verdict) for verdict in report.verdicts],
        "environ": list(report.mentions.environ),
        "dynamic": [{"path": path, "line": line, "text": text} for path, line, text in report.mentions.dynamic],
        "damaged_lines": report.damaged,
    }


def _job(verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = {
        "number": verdict.number,
        "status": verdict.status.value,
        "overrides": list(verdict.overrides),
    }
    if verdict.key:
        found["key"] = verdict.key
    if verdict.note:
        found["note"] = verdict.note
    if verdict.entry is not None:
        found["entry"] = _entry(verdict.entry)
    found["differences"] = [_difference(change) for change in verdict.changes]
    return found


def _entry(head: Head) -> dict[str, Any]:
    return {
        "path": head.path,
        "key": head.key.digest,
        "created_ns": head.created_ns,
        "run_time_s": head.run_time_s,
        "output_dir": head.record.get("output_dir"),
    }


def _difference(change: Change) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": change.kind.value}
    for name, value in (("what", change.what), ("file", change.file), ("line", change.line), ("note", change.note)):
        if value:
            found[name] = value
    for name, value in (("wanted", change.wanted), ("found", change.found)):
        if value is not ABSENT:
            found[name] = value._asdict() if isinstance(value, InputState) else value
    if change.diff:
        found["diff"] = list(change.diff)
    return found
