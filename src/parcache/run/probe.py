"""What a place where jobs run is like: asked there and here alike, then compared.

The sweeping process leaves a token in each folder that both must see. Whoever is asked reads it, leaves one of its own,
and tries what the store relies on: a rename that replaces a file, and a link that does not.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import Final, NamedTuple

# What travels is pickled by these, or made of their classes.
_CORE: Final = ("parcache", "hydra-core", "omegaconf", "cloudpickle")
_MAX_NAMED: Final = 12
_CLOCK_S: Final = 2.0
_TOKEN_FILE: Final = "asked"  # noqa: S105 # a file's name
ASKED: Final = "asked.json"
FINDINGS: Final = "findings.json"


class Level(Enum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One thing that was looked at; ``text`` is a sentence for the user."""

    level: Level
    subject: str
    text: str


class Question(NamedTuple):
    """What is asked. ``folders`` are absolute paths by what they are to the user.

    ``scratch`` is a name for a folder in each, ``token`` what the sweeping process has left in these.
    """

    token: str
    scratch: str
    folders: Mapping[str, str]


class Folder(NamedTuple):
    """How a folder looks from one place; ``problem`` is empty where it can be read and written.

    ``clock_s`` is by how much the place's clock is ahead of the one that stamps files (s).
    """

    is_there: bool
    token: str = ""
    problem: str = ""
    renames: bool = False
    links: bool = False
    clock_s: float = 0.0


class Answer(NamedTuple):
    """What was found at one place. ``versions`` are those of all installed distributions."""

    host: str
    python: str
    executable: str
    versions: Mapping[str, str]
    folders: Mapping[str, Folder]


def get_ready() -> None:
    """Do what a worker does before its first question: nothing."""


def lay_out(question: Question) -> dict[str, str]:
    """Leave the tokens; return what could not be made, by what it is to the user."""
    problems = {}
    for label, path in question.folders.items():
        scratch = os.path.join(path, question.scratch)
        try:
            os.makedirs(scratch, exist_ok=True)
            with open(os.path.join(scratch, _TOKEN_FILE), "w") as file:
                file.write(question.token)
        except OSError as error:
            problems[label] = str(error)
    return problems


def clear(question: Question) -> None:
    """Remove the tokens and all else that was left beside them."""
    for path in question.folders.values():
        shutil.rmtree(os.path.join(path, question.scratch), ignore_errors=True)


def answer(question: Question) -> Answer:
    """Look around in this process."""
    from importlib.metadata import distributions

    found: dict[str, str] = {}
    for each in distributions():
        with suppress(Exception):  # one that is broken has no name
            found.setdefault(each.metadata["Name"].lower().replace("_", "-"), each.version)
    return Answer(
        socket.gethostname(),
        platform.python_version(),
        sys.executable,
        found,
        {label: _folder(os.path.join(path, question.scratch)) for label, path in question.folders.items()},
    )


def seen_here(question: Question, there: Answer) -> dict[str, bool]:
    """Tell, by folder, whether what was written there has arrived here."""
    name = _own_name(there.host)
    return {
        label: os.path.exists(os.path.join(path, question.scratch, name)) for label, path in question.folders.items()
    }


def findings(question: Question, here: Answer, there: Answer, arrived: Mapping[str, bool]) -> list[Finding]:
    """Compare two places; ``arrived`` is what ``seen_here`` returned."""
    return [
        _python(here, there),
        *_packages(here.versions, there.versions),
        *(
            each
            for label, path in question.folders.items()
            for each in _of_folder(question, label, path, there.folders[label], arrived[label])
        ),
        _clocks(here, there),
    ]


def _own_name(host: str) -> str:
    return f"from-{host}"


def _folder(scratch: str) -> Folder:
    if not os.path.isdir(os.path.dirname(scratch)):
        return Folder(is_there=False)
    token = ""
    with suppress(OSError), open(os.path.join(scratch, _TOKEN_FILE)) as file:
        token = file.read()
    name = os.path.join(scratch, _own_name(socket.gethostname()))
    try:
        os.makedirs(scratch, exist_ok=True)
        for target in (name, f"{name}.new"):
            with open(target, "w") as file:
                file.write(target)
        ahead_s = time.time() - os.stat(name).st_mtime
        os.replace(f"{name}.new", name)
        with open(name) as file:
            renames = file.read() == f"{name}.new"
    except OSError as error:
        return Folder(is_there=True, token=token, problem=str(error))
    return Folder(True, token, "", renames, _links(name), ahead_s)


def _links(name: str) -> bool:
    """Tell whether a second link of one name is refused: that is how a name is taken by one process alone."""
    target = f"{name}.link"
    try:
        with suppress(FileNotFoundError):
            os.unlink(target)
        os.link(name, target)
        try:
            os.link(name, target)
        except FileExistsError:
            return True
    except OSError:
        return False
    return False


def _python(here: Answer, there: Answer) -> Finding:
    if here.python.rpartition(".")[0] != there.python.rpartition(".")[0]:
        return Finding(
            Level.PROBLEM,
            "python",
            f"Python {there.python} there ({there.executable}), {here.python} here ({here.executable}): functions and "
            "results would not survive the way. Name the same one: hydra.launcher.backend.python, or the workers' own.",
        )
    if here.python != there.python:
        return Finding(Level.NOTE, "python", f"Python {there.python} there, {here.python} here")
    return Finding(Level.OK, "python", f"Python {there.python}, as here ({there.executable})")


def _packages(here: Mapping[str, str], there: Mapping[str, str]) -> list[Finding]:
    other = [name for name in sorted(here) if there.get(name) != here[name]]
    core = [name for name in other if name in _CORE]
    found = []
    if core:
        text = f"{_listed(core, here, there)}: install the same versions, or use one environment that both see"
        found.append(Finding(Level.PROBLEM, "packages", text))
    rest = [name for name in other if name not in _CORE]
    if rest:
        text = (
            f"{_listed(rest, here, there)}. A key holds the versions of this process: results would be stored as theirs"
        )
        found.append(Finding(Level.NOTE, "packages", text))
    return found or [Finding(Level.OK, "packages", f"the same {len(here)} distributions")]


def _listed(names: Sequence[str], here: Mapping[str, str], there: Mapping[str, str]) -> str:
    shown = [f"{name} {there.get(name, 'is not installed')} there, {here[name]} here" for name in names[:_MAX_NAMED]]
    return "; ".join(shown) + (f"; and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else "")


def _of_folder(question: Question, label: str, path: str, found: Folder, has_arrived: bool) -> list[Finding]:
    if not found.is_there:
        return [Finding(Level.PROBLEM, label, f"{path} is not there. Put it on a file system that the workers share")]
    if found.token != question.token:
        text = f"{path} is another folder there: what was written here is not in it. Put it on a shared file system"
        return [Finding(Level.PROBLEM, label, text)]
    if found.problem:
        return [Finding(Level.PROBLEM, label, f"{path} cannot be written there: {found.problem}")]
    if not has_arrived:
        return [Finding(Level.PROBLEM, label, f"{path}: what is written there does not arrive here within seconds")]
    if not found.renames:
        return [Finding(Level.PROBLEM, label, f"{path}: a rename does not replace a file, which publishing relies on")]
    if not found.links:
        text = f"{path}: hard links are not exclusive: two sweeps may run one job twice. Results stay right"
        return [Finding(Level.NOTE, label, text)]
    return [Finding(Level.OK, label, f"{path}: seen, written, renamed and linked on both sides")]


def _clocks(here: Answer, there: Answer) -> Finding:
    both = [label for label, found in there.folders.items() if found.renames and here.folders[label].renames]
    if not both:
        return Finding(Level.NOTE, "clock", "could not be compared: there is no folder that both sides write")
    apart_s = there.folders[both[0]].clock_s - here.folders[both[0]].clock_s
    if abs(apart_s) > _CLOCK_S:
        way = "ahead of" if apart_s > 0 else "behind"
        text = f"the clock there is {abs(apart_s):.0f} s {way} this one: times in journals and timeouts are off by it"
        return Finding(Level.NOTE, "clock", text)
    return Finding(Level.OK, "clock", f"within {_CLOCK_S:g} s of this one, by the times of files that both write")
