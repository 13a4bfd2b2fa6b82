"""What the tests of the audit share: fingerprints made by hand, small apps as data, and auditing an app."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Protocol

from parcache.keys.code import WHOLE, Definition, Details, Fingerprint, Source
from tests.conftest import Project

# How code is seen: on Python 3.12 and later both ways are there.
MECHANISMS = ["monitoring", "profile"] if hasattr(sys, "monitoring") else ["profile"]


def fingerprint(files: Mapping[Path, tuple[str, ...]]) -> Fingerprint:
    """Return a fingerprint of these sources that holds of each only the definitions of these (qualified) names."""
    sources, definitions = [], []
    for path, names in files.items():
        sources.append(Source(path.stem, str(path), b"", (0, 0, 0, 0)))
        places = (
            {WHOLE: (1, 1), **_places(ast.parse(path.read_bytes()), "")} if path.suffix == ".py" else {WHOLE: (1, 1)}
        )
        definitions += [Definition(path.stem, name, str(path), places[name], "") for name in names]
    return Fingerprint("", "", tuple(sources), (), Details(tuple(definitions)))


def _places(scope: ast.AST, prefix: str) -> dict[str, tuple[int, int]]:
    found = {}
    for node in getattr(scope, "body", ()):
        decorators = [item.lineno for item in getattr(node, "decorator_list", ())]
        lines = min([node.lineno, *decorators]), node.end_lineno
        names = [node.name] if hasattr(node, "name") else []
        names += [target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)]
        found.update({prefix + name: lines for name in names})
        if isinstance(node, ast.ClassDef):
            found.update(_places(node, f"{prefix}{node.name}."))
    return found


class Swept(Protocol):
    """A small project and a sweep of it: what runs, and its overrides; tests/edits has cases that are such."""

    @property
    def files(self) -> Mapping[str, str]: ...
    @property
    def jobs(self) -> tuple[str, ...]: ...
    @property
    def command(self) -> tuple[str, ...]: ...
    @property
    def env(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class App:
    """An app as data."""

    files: Mapping[str, str]
    jobs: tuple[str, ...] = ("x=1,2",)
    command: tuple[str, ...] = ("app.py",)
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What an audit said: a line for each finding, and how many jobs it saw."""

    findings: tuple[str, ...]
    traced: int


def report_of(out: str) -> Report:
    """Return what the audits said in the output of a command that ran with ``cache.audit=report``."""
    lines = re.findall(r"Audit: (.*)$", out, re.MULTILINE)
    counts = [re.match(r"(\d+) jobs traced", line) for line in lines]
    assert any(counts), out
    findings = [line for line, count in zip(lines, counts, strict=True) if count is None]
    return Report(tuple(findings), sum(int(count[1]) for count in counts if count is not None))


def audited(swept: Swept, folder: Path, backend: str = "serial") -> Report:
    """Write a project's files into a folder, run its sweep under the audit, and return what that said.

    This is the way to put a list of projects under the audit: ``@pytest.mark.parametrize("case", CASES)``,
    ``assert audited(case, tmp_path).findings == ()``.
    """
    for name, text in swept.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    project = Project(folder, {"SEEN": str(folder / "seen.txt"), "PROJECT": str(folder), **swept.env})
    return audit(project, *swept.command[1:], *swept.jobs, script=swept.command[0], backend=backend)


def audit(project: Project, *overrides: str, script: str = "app.py", backend: str = "serial") -> Report:
    """Run one sweep of a project under the audit."""
    chosen = [f"hydra/launcher/backend={backend}", "hydra.launcher.cache.audit=report"]
    if backend == "threading":
        chosen.append("hydra.launcher.backend.workers=1")
    result = project.run("-m", "hydra/launcher=parcache", *chosen, *overrides, script=script)
    return report_of(result.out + result.err)
