"""A report as lines of text, each with a style; jobs with one reason are told together."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

from parcache.progress.text import duration
from parcache.report.changes import ABSENT, EXECUTED, Change, Kind
from parcache.report.evidence import InputState
from parcache.report.verdicts import Mentions, Report, Verdict
from parcache.store.catalog import Head
from parcache.store.sweeps import Status

MAX_GROUPS: Final = 20
MAX_DIFF_LINES: Final = 40
_MAX_SHOWN: Final = 200
_MAX_VALUES: Final = 4
_MAX_CHANGES: Final = 30
_MAX_MENTIONS: Final = 10
_ORDER: Final = (
    Status.MISS,
    Status.FAILED,
    Status.REFUSED,
    Status.UNFINISHED,
    Status.UNCACHED,
    Status.DUPLICATE,
    Status.HIT,
)


class Line(NamedTuple):
    """A line and how it is shown on a terminal: the name of a style, or nothing."""

    text: str
    style: str = ""


def lines(report: Report) -> list[Line]:
    """Return a report as lines."""
    out = [*_heading(report)]
    groups = _groups(report.verdicts)
    for group in groups[:MAX_GROUPS]:
        out += [Line(""), *_group(group, report)]
    if len(groups) > MAX_GROUPS:
        out += [Line(""), Line(f"… and {len(groups) - MAX_GROUPS} more reasons; --json has them all", "dim")]
    out += _mentions(report.mentions, report.heading.cwd)
    if report.damaged:
        out += [
            Line(""),
            Line(f"The sweep's record is damaged in {report.damaged} places: jobs can be missing", "yellow"),
        ]
    return out


def headline(change: Change) -> str:
    """Return a difference in a few words."""
    if change.kind is Kind.DEFINITION:
        what = change.what
        if what.endswith(f".{EXECUTED}"):
            what = f"what {what.removesuffix(f'.{EXECUTED}')} executes on import"
        return f"{what} {_verb(change, 'changed', 'counts now', 'does not count any more')}"
    if change.kind is Kind.CONFIG:
        return f"{change.what} {_verb(change, 'differs', 'is new', 'is gone')}" if change.what else "the config differs"
    if change.kind is Kind.DISTRIBUTION:
        return f"{change.what} {_verb(change, 'has another version', 'counts now', 'does not count any more')}"
    if change.kind is Kind.INPUT:
        return f"file {change.what} {'is gone' if _is_gone(change.wanted) else 'changed'}"
    if change.kind is Kind.ENV:
        return f"${change.what} differs"
    return _HEADLINES[change.kind].format(change.what)


_HEADLINES: Final = {
    Kind.RECIPE: "another version of the key's rules",
    Kind.TASK: "another task function",
    Kind.PYTHON: "another Python",
    Kind.SALT: "another salt",
    Kind.ABSENT: "import {} leads elsewhere",
    Kind.REFERENCE: "{} leads elsewhere",
    Kind.CODE: "the code differs",
}
_LABELS: Final = {
    Kind.RECIPE: "rules",
    Kind.DEFINITION: "code",
    Kind.REFERENCE: "name",
    Kind.DISTRIBUTION: "package",
}


def shown(value: Any) -> str:
    """Return a value of a config as people read it, its type included: ``1``, ``"1"``, ``null``, ``(absent)``."""
    if value is ABSENT:
        return "(absent)"
    if isinstance(value, dict) and len(value) == 1:
        (name, content), *_ = value.items()
        if name == "<digest>":
            return f"(from outside the config, digest {str(content)[:8]})"
        if name == "<expression>":
            return f"{content} (counts as this expression)"
        if name == "<refused>":
            return f"(no stable form: {content})"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}… ({len(text)} characters)"


def ranges(numbers: Iterable[int]) -> str:
    """Return job numbers in short: ``0-3, 7``."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    parts = [f"{first}" if first == last else f"{first}-{last}" for first, last in spans]
    return ", ".join([*parts[:8], "…"] if len(parts) > 8 else parts)


def _heading(report: Report) -> Iterator[Line]:
    heading = report.heading
    if report.is_past:
        command = " ".join([*_short_command(heading.command), *heading.arguments])
        yield Line(f"Sweep of {_time(heading.started_ns)}: {command}", "bold")
        yield Line(f"in {heading.cwd}, results in {_relative(heading.sweep_dir, heading.cwd)}", "dim")
    else:
        yield Line("If it ran now:", "bold")
    counts = {status: sum(verdict.status is status for verdict in report.verdicts) for status in _ORDER}
    told = [f"{count} {_plural(status, count)}" for status, count in counts.items() if count]
    total = len(report.verdicts)
    yield Line(f"{total} job{'s' if total != 1 else ''}: {', '.join(told)}" if total else "no jobs")
    if heading.mode != "use":
        yield Line(f"cache.mode={heading.mode}: {_MODES.get(heading.mode, '')}", "yellow")


_MODES: Final = {
    "refresh": "every job runs, hits too",
    "readonly": "nothing is stored",
    "off": "nothing is looked up and nothing is stored",
}


def _plural(status: Status, count: int) -> str:
    if count != 1:
        return {Status.HIT: "hits", Status.MISS: "misses", Status.DUPLICATE: "duplicates"}.get(status, status.value)
    return status.value


def _groups(verdicts: Sequence[Verdict]) -> list[list[Verdict]]:
    found: dict[Any, list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault((verdict.status, _reason(verdict)), []).append(verdict)
    return sorted(found.values(), key=lambda group: (_ORDER.index(group[0].status), -len(group), group[0].number))


def _reason(verdict: Verdict) -> Any:
    if verdict.status in (Status.HIT, Status.DUPLICATE):
        return None
    # The values of config keys differ from job to job, and are no other reason.
    changes = tuple(
        (change.kind, change.what, None if change.kind is Kind.CONFIG else (change.wanted, change.found))
        for change in verdict.changes
    )
    return verdict.note, changes


def _group(group: list[Verdict], report: Report) -> Iterator[Line]:
    first = group[0]
    numbers = ranges(verdict.number for verdict in group)
    who = f"{len(group)} jobs ({numbers})" if len(group) > 1 else f"job {numbers}{_named(first)}"
    style = "green" if first.status in (Status.HIT, Status.DUPLICATE) else "bold red"
    if first.status is Status.HIT:
        yield Line(f"{who}: hit", style)
        if len(group) == 1:
            yield Line(f"  {_stored(first.entry, report)}" if first.entry is not None else f"  {first.note}")
        return
    if first.status is Status.DUPLICATE:
        yield Line(f"{who}: {first.note if len(group) == 1 else 'duplicates of other jobs of the sweep'}", style)
        return
    told = [headline(change) for change in first.changes]
    summary = ", ".join(told[:3]) + (f" and {len(told) - 3} more differences" if len(told) > 3 else "")
    if first.status is Status.MISS:
        yield Line(f"{who}: {summary or first.note}", style)
        if summary and first.note:
            yield Line(f"  {first.note}")
    else:
        yield Line(f"{who}: {': '.join(filter(None, (first.status.value, first.note)))}", style)
        if summary:
            yield Line(f"  it was no hit: {summary}")
    if first.entry is not None:
        others = f" (of job {first.number}{_named(first)})" if len(group) > 1 else ""
        yield Line(f"  nearest{others}: {_stored(first.entry, report)}", "dim")
    for index, change in enumerate(first.changes[:_MAX_CHANGES]):
        yield from _change(change, [verdict.changes[index] for verdict in group], report.heading.cwd)
    if len(first.changes) > _MAX_CHANGES:
        yield Line(f"  … and {len(first.changes) - _MAX_CHANGES} more differences; --json has them all", "dim")


def _named(verdict: Verdict) -> str:
    return f" {' '.join(verdict.overrides)}" if verdict.overrides else ""


def _stored(head: Head | None, report: Report) -> str:
    if head is None:
        return ""
    where = str(head.record.get("output_dir") or "an unknown directory")
    ran = duration(head.run_time_s)
    return f"stored {_time(head.created_ns)} by {_relative(where, report.heading.cwd)} (ran {ran})"


def _change(change: Change, alike: Sequence[Change], cwd: str) -> Iterator[Line]:
    label = _LABELS.get(change.kind, change.kind.value)
    place = f"  {_relative(change.file, cwd)}:{change.line}" if change.file and change.line else ""
    if change.kind is Kind.DEFINITION:
        yield Line(f"  {label} {headline(change)}{place}", "cyan")
    elif change.kind in (Kind.INPUT, Kind.ABSENT) or (not change.what and change.note):
        yield Line(f"  {headline(change)}", "cyan")
    if change.kind is Kind.INPUT:
        yield Line(f"    wanted {_input(change.wanted)}")
        yield Line(f"    found  {_input(change.found)}")
    elif change.kind not in (Kind.DEFINITION, Kind.ABSENT) and (change.what or not change.note):
        wanted, found = (_values(change.kind, [getattr(each, side) for each in alike]) for side in ("wanted", "found"))
        yield Line(f"  {label} {change.what}".rstrip() + f": wanted {wanted}, found {found}", "cyan")
    if change.note:
        yield Line(f"    {change.note}")
    for text in change.diff[:MAX_DIFF_LINES]:
        style = {"+": "green", "-": "red", "@": "magenta"}.get(text[:1], "")
        yield Line(f"    {text}", style)
    if len(change.diff) > MAX_DIFF_LINES:
        yield Line(f"    … {len(change.diff) - MAX_DIFF_LINES} more lines", "dim")


def _values(kind: Kind, values: Sequence[Any]) -> str:
    distinct = list(dict.fromkeys(_value(kind, value) for value in values))
    rest = f" and {len(distinct) - _MAX_VALUES} more" if len(distinct) > _MAX_VALUES else ""
    return ", ".join(distinct[:_MAX_VALUES]) + rest


def _value(kind: Kind, value: Any) -> str:
    if kind is Kind.ENV:
        return "(not named)" if value is ABSENT else "(unset)" if value is None else f"(digest {value})"
    if kind in (Kind.CONFIG, Kind.SALT):
        return shown(value)
    return "(absent)" if value is ABSENT else str(value)


def _input(value: Any) -> str:
    if _is_gone(value):
        return "(not there)"
    unit = "entries" if value.kind == "folder" else "bytes"
    return f"{value.size_bytes} {unit}, {_time(value.mtime_ns)}"


def _is_gone(value: Any) -> bool:
    return not isinstance(value, InputState) or value.kind == "absent"


def _verb(change: Change, edited: str, added: str, removed: str) -> str:
    if change.found is ABSENT:
        return added
    return removed if change.wanted is ABSENT else edited


def _mentions(mentions: Mentions, cwd: str) -> Iterator[Line]:
    if mentions.environ:
        yield Line("")
        yield Line("The code reads environment variables that do not count; name them if they should:", "yellow")
        yield Line(f"  hydra.launcher.cache.env=[{','.join(mentions.environ)}]")
    if mentions.dynamic:
        yield Line("")
        yield Line("Names are looked up dynamically here, so that more code counts than may be meant:", "yellow")
        for path, line, text in mentions.dynamic[:_MAX_MENTIONS]:
            yield Line(f"  {_relative(path, cwd)}:{line} {text}" if path else f"  config: {text}")
        if len(mentions.dynamic) > _MAX_MENTIONS:
            yield Line(f"  … and {len(mentions.dynamic) - _MAX_MENTIONS} more", "dim")


def _short_command(command: Sequence[str]) -> list[str]:
    return [os.path.basename(command[0]), *command[1:]] if command else []


def _relative(path: str, cwd: str) -> str:
    return os.path.relpath(path, cwd) if cwd and path.startswith(cwd + os.sep) else path


def _time(time_ns: int) -> str:
    try:
        return datetime.fromtimestamp(time_ns / 1e9, timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return "at an unknown time"
