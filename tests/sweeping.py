"""What tests ask of a sweep that ran: its journal, its store, what it left behind."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.conftest import Project

ENDS = frozenset({"hit", "duplicate", "completed", "failed", "interrupted", "cancelled"})


def journal(sweep_dir: Path) -> list[dict[str, Any]]:
    """Return the lines of a sweep's journal, those that begin sweeps among them."""
    return [json.loads(line) for line in (sweep_dir / "journal.jsonl").read_text().splitlines()]


def ends(sweep_dir: Path) -> dict[int, list[str]]:
    """Return by job number the states in which it is said to have ended: one, if all is well."""
    found: dict[int, list[str]] = defaultdict(list)
    for line in journal(sweep_dir):
        if line.get("state") in ENDS:
            for number in line["jobs"]:
                found[number].append(line["state"])
    return dict(sorted(found.items()))


def numbers(sweep_dir: Path, state: str) -> list[int]:
    """Return the jobs that are said to have been in a state, once for each time."""
    return sorted(number for line in journal(sweep_dir) if line.get("state") == state for number in line["jobs"])


def processes_of(project: Project) -> list[int]:
    """Return the processes that know a project by their environment: those that a sweep of it has left behind."""
    wanted = b"RUNS=" + os.fsencode(project.runs) + b"\0"
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                data = Path(f"/proc/{name}/environ").read_bytes()
                state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if wanted in data and state != "Z":
                found.append(int(name))
    return found
