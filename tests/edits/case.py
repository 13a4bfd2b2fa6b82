"""What a case is: a small project, its sweep, an edit, and which jobs run again after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

# Of an edit: a file's new text, what to replace (once) by what, or None for a file that goes.
Change = str | tuple[str, str] | None
ALL: Final = ("*",)
NONE: Final[tuple[str, ...]] = ()
SITE: Final = "env/lib/site-packages"

_TRAIN: Final = """
import json
import os
import hydra
from hydra.core.hydra_config import HydraConfig
{top}


@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    value = {value}
    with open(os.environ["RUNS"], "a") as file:
        file.write(json.dumps([" ".join(HydraConfig.get().overrides.task), repr(value)]) + "\\n")
    return value


if __name__ == "__main__":
    main()
"""


@dataclass
class Scene:
    """Where a case plays; an action may change any of it. ``folder`` is the project's, ``aside`` one beside it."""

    folder: Path
    aside: Path
    env: dict[str, str]
    overrides: list[str]


Action = Callable[[Scene], Any]


@dataclass(frozen=True)
class Case:
    """One edit. ``again`` are the jobs that run again after it, each by its overrides: all of them, or none."""

    name: str
    files: Mapping[str, str]
    edit: Mapping[str, Change] | Action
    again: tuple[str, ...]
    jobs: tuple[str, ...] = ("x=1",)
    command: tuple[str, ...] = ("train.py",)
    env: Mapping[str, str] = field(default_factory=dict)
    sites: tuple[str, ...] = ()
    prepare: Action | None = None
    """Makes what is no text file; done again when the edit is taken back."""
    backend: str = "serial"
    afresh: bool = False
    """Whether each run takes a fresh process instead of a forked one."""
    same_value: bool = False
    """Whether the jobs that run again return what they returned before: a rule says that they run, no value does."""
    may_refuse: bool = False
    """Whether no analysis of source can see what the jobs run, so that not caching them, and saying so, will do."""
    plain: bool = True
    """Whether a plain call of the task could show the same: then other caching tools are asked as well."""


def train(top: str, value: str) -> str:
    """Return an app whose task returns the value of an expression of ``cfg``, and notes it when it runs."""
    return _TRAIN.format(top=dedent(top).strip(), value=value)


def _case(
    name: str,
    top: str,
    value: str,
    files: Mapping[str, str],
    edit: Mapping[str, Change] | Action,
    again: tuple[str, ...],
    more: Mapping[str, Any],
) -> Case:
    whole = {"conf/config.yaml": "x: 1\n", "train.py": train(top, value)}
    whole.update((path, dedent(text).lstrip("\n")) for path, text in files.items())
    return Case(name, whole, edit if callable(edit) else dict(edit), again, **more)


def miss(
    name: str,
    top: str,
    value: str,
    files: Mapping[str, str],
    edit: Mapping[str, Change] | Action,
    *,
    again: tuple[str, ...] = ALL,
    **more: Any,
) -> Case:
    """Return a case whose jobs, or some of them, must run again."""
    return _case(name, top, value, files, edit, again, more)


def hit(
    name: str, top: str, value: str, files: Mapping[str, str], edit: Mapping[str, Change] | Action, **more: Any
) -> Case:
    """Return a case whose jobs must all be served."""
    return _case(name, top, value, files, edit, NONE, more)


def edited(case: Case, path: str, change: Change) -> str | None:
    """Return a file's text after a change, None where it goes.

    Raises:
        ValueError: What is to be replaced is not there exactly once.
    """
    if isinstance(change, str):
        return dedent(change).lstrip("\n")
    if change is None:
        return None
    old, new = change
    if case.files[path].count(old) != 1:
        raise ValueError(f"{case.name}: {path} has {case.files[path].count(old)} times {old!r}")
    return case.files[path].replace(old, new)


def distribution(version: str, body: str, *, name: str = "fakelib", requires: str = "") -> dict[str, str]:
    """Return the files of an installed third-party distribution of one package."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    return {
        f"{SITE}/{name}/__init__.py": body,
        f"{SITE}/{name}-1.dist-info/METADATA": metadata,
        f"{SITE}/{name}-1.dist-info/RECORD": f"{name}/__init__.py,,\n{name}-1.dist-info/RECORD,,\n",
    }
