"""What differs between a job's key and a stored one, as values."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from parcache.keys.canonical import is_pruned
from parcache.keys.code import WHOLE
from parcache.report.evidence import CODE_OFF, Evidence, InputState, Side, as_text, input_on_disk

EXECUTED: Final = "<import>"
_HUNK: Final = re.compile(r"^@@ -(\d+)((?:,\d+)?) \+(\d+)((?:,\d+)?) @@$")
_MAX_DIFFED_LINES: Final = 20_000


class Kind(Enum):
    """What kind of thing differs."""

    RECIPE = "recipe"
    TASK = "task"
    PYTHON = "python"
    SALT = "salt"
    ENV = "env"
    CONFIG = "config"
    DEFINITION = "definition"
    DISTRIBUTION = "distribution"
    ABSENT = "absent import"
    REFERENCE = "reference"
    CODE = "code"
    INPUT = "input"


class Absent(Enum):
    """Stands for what is not there, which is not null."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class Change(NamedTuple):
    """One thing that differs: as the job has it (``wanted``) and as the stored entry has it (``found``).

    ``line`` and ``file`` say where it stands, ``diff`` are the lines of a unified diff from found to wanted, ``note``
    is what else there is to say.
    """

    kind: Kind
    what: str
    wanted: Any = ABSENT
    found: Any = ABSENT
    file: str = ""
    line: int = 0
    diff: tuple[str, ...] = ()
    note: str = ""


def changes(
    wanted: Side, found: Side, evidence: Evidence, ignore: Sequence[str] = (), cwd: str = ""
) -> tuple[Change, ...]:
    """Return all that differs.

    ``ignore`` are the patterns of config keys that do not count for the job, ``cwd`` is where its sweep was started.
    """
    ours, theirs = wanted.parts, found.parts
    out: list[Change] = []
    same_rules = ours.recipe == theirs.recipe
    if not same_rules:
        note = "parcache makes keys by other rules than when the entry was stored: such entries are not found any more"
        out.append(Change(Kind.RECIPE, "", ours.recipe, theirs.recipe, note=note))
    if ours.python != theirs.python:
        out.append(Change(Kind.PYTHON, "", ours.python, theirs.python))
    if ours.salt != theirs.salt:
        out.append(Change(Kind.SALT, "", ours.salt, theirs.salt))
    out += _env(dict(ours.env), dict(theirs.env))
    if wanted.config_digest != found.config_digest:
        out += _config(wanted.config, found.config, ignore, is_known_to_differ=same_rules)
    if ours.code != theirs.code and same_rules:
        out += _code(ours.code, theirs.code, evidence)
    out += _inputs(wanted.inputs, found.inputs or {}, cwd)
    return tuple(out)


def _env(ours: Mapping[str, str | None], theirs: Mapping[str, str | None]) -> Iterator[Change]:
    for name in sorted({*ours, *theirs}):
        wanted, found = ours.get(name, ABSENT), theirs.get(name, ABSENT)
        if wanted == found:
            continue
        note = ""
        if ABSENT in (wanted, found):
            note = "cache.env named it then" if wanted is ABSENT else "cache.env names it now"
        yield Change(Kind.ENV, name, wanted, found, note=note)


def _config(
    ours: Mapping[str, Any] | None,
    theirs: Mapping[str, Any] | None,
    ignore: Sequence[str],
    *,
    is_known_to_differ: bool,
) -> Iterator[Change]:
    if ours is None or theirs is None:
        if is_known_to_differ:
            whose = "the job" if ours is None else "the stored entry"
            yield Change(Kind.CONFIG, "", note=f"which keys differ is not known: the config of {whose} was not kept")
        return
    any_differs = False
    for place in sorted({*ours, *theirs}):
        wanted, found = ours.get(place, ABSENT), theirs.get(place, ABSENT)
        if wanted is not ABSENT and found is not ABSENT and as_text(wanted) == as_text(found):
            continue
        any_differs = True
        ignored = wanted is ABSENT and is_pruned(f"$.{place}", ignore)
        note = "ignored now by cache.ignore" if ignored else ""
        yield Change(Kind.CONFIG, place, wanted, found, note=note)
    if not any_differs and is_known_to_differ:
        note = "all values look alike: what differs is a type, such as a path and a string, or an enum and its name"
        yield Change(Kind.CONFIG, "", note=note)


def _code(ours: str, theirs: str, evidence: Evidence) -> Iterator[Change]:
    if CODE_OFF in (ours, theirs):
        wanted, found = ("off" if code == CODE_OFF else "closure" for code in (ours, theirs))
        yield Change(Kind.CODE, "cache.code", wanted, found)
        return
    wanted_code, found_code = evidence.code(ours), evidence.code(theirs)
    try:
        if wanted_code is None or found_code is None:
            raise LookupError
        told = list(_described(wanted_code, found_code, evidence))
    except (LookupError, TypeError, ValueError, AttributeError):
        lost = theirs if wanted_code is not None else ours
        note = f"what differs is not known: {evidence.paths.code(lost)} is not there, or damaged"
        yield Change(Kind.CODE, "", note=note)
        return
    if not told:
        note = (
            "no definition differs: what does are values that the task carries or that its code reads from globals; "
            "they count as they are when the sweep starts"
        )
        told = [Change(Kind.CODE, "", note=note)]
    yield from told


def _described(ours: Mapping[str, Any], theirs: Mapping[str, Any], evidence: Evidence) -> Iterator[Change]:
    yield from _definitions(ours, theirs, evidence)
    yield from _mapped(Kind.DISTRIBUTION, ours["distributions"], theirs["distributions"])
    for name in sorted(set(theirs["absent"]) - set(ours["absent"])):
        yield Change(Kind.ABSENT, name, note="it led nowhere then, and does not stand among the absent ones now")
    for name in sorted(set(ours["absent"]) - set(theirs["absent"])):
        yield Change(Kind.ABSENT, name, note="it leads nowhere now")
    yield from _mapped(Kind.REFERENCE, _references(ours), _references(theirs))


def _references(code: Mapping[str, Any]) -> dict[str, str]:
    return {f"{where}: {name}": leads_to for where, name, leads_to in code.get("references", ())}


def _mapped(kind: Kind, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted({*ours, *theirs}):
        wanted, found = ours.get(name, ABSENT), theirs.get(name, ABSENT)
        if wanted != found:
            yield Change(kind, name, wanted, found)


class _Piece(NamedTuple):
    path: str
    lines: tuple[int, int]
    form: str
    content: str


def _definitions(ours: Mapping[str, Any], theirs: Mapping[str, Any], evidence: Evidence) -> Iterator[Change]:
    wanted, found = _pieces(ours), _pieces(theirs)
    for module, name in sorted({*wanted, *found}):
        mine, other = wanted.get((module, name)), found.get((module, name))
        what = module if name == WHOLE else f"{module}.{name}"
        if mine is not None and other is not None:
            if mine.form != other.form:
                yield _edited(what, mine, other, evidence)
        elif mine is not None:
            yield Change(Kind.DEFINITION, what, wanted=mine.form, file=mine.path, line=mine.lines[0])
        elif other is not None:
            yield Change(Kind.DEFINITION, what, found=other.form, file=other.path, line=other.lines[0])


def _pieces(code: Mapping[str, Any]) -> dict[tuple[str, str], _Piece]:
    files = code["files"]
    pieces = {}
    for module, name, path, (first, last), form in code["definitions"]:
        content = files.get(path)
        digest = str(content[1]) if content else ""
        pieces[str(module), str(name)] = _Piece(str(path), (int(first), int(last)), str(form), digest)
    return pieces


def _edited(what: str, mine: _Piece, other: _Piece, evidence: Evidence) -> Change:
    change = Change(Kind.DEFINITION, what, mine.form, other.form, mine.path, mine.lines[0])
    now, then = evidence.text(mine.path, mine.content), evidence.text(other.path, other.content)
    if now is None or then is None:
        return change._replace(note=f"no diff: its text {'now' if now is None else 'then'} was not kept, or is damaged")
    old, new = _cut(then, other.lines), _cut(now, mine.lines)
    if len(old) + len(new) > _MAX_DIFFED_LINES:
        return change._replace(note="no diff: it is too long")
    diff = difflib.unified_diff(old, new, "stored", "now", n=2, lineterm="")
    shifts = other.lines[0] - 1, mine.lines[0] - 1
    placed = tuple(_HUNK.sub(lambda found: _shifted(found, shifts), text) for text in diff)
    if not placed:
        return change._replace(note="its text is the same: what counts of it has changed")
    return change._replace(diff=placed)


def _shifted(found: re.Match[str], shifts: tuple[int, int]) -> str:
    """Return the head of a hunk with line numbers of the file instead of the definition."""
    first, old, second, new = found.groups()
    return f"@@ -{int(first) + shifts[0]}{old} +{int(second) + shifts[1]}{new} @@"


def _cut(text: list[str], lines: tuple[int, int]) -> list[str]:
    first, last = lines
    return text[max(first - 1, 0) : last]


def _inputs(ours: Mapping[str, InputState] | None, theirs: Mapping[str, InputState], cwd: str) -> Iterator[Change]:
    """Compare what the stored job had read with the same files as the job read them, or as they are now."""
    for path, found in sorted(theirs.items()):
        if ours is None:
            wanted = input_on_disk(os.path.join(cwd, path), found.kind)
        elif path in ours:
            wanted = ours[path]
        else:
            continue  # what the job did not read cannot have mattered to it
        if wanted[:3] == found[:3] or (wanted.digest and wanted.digest == found.digest):
            continue
        is_touched = not wanted.digest and wanted[:2] == found[:2]
        note = "its size is the same: it counts only if its content has changed" if is_touched else ""
        yield Change(Kind.INPUT, path, wanted, found, file=path, note=note)
