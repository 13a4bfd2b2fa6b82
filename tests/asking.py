"""What the tests of ``parcache why`` share: asking, as text and as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import Project, Result

SWEEP = ("-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial")


def why(project: Project, *arguments: str, env: Mapping[str, str] | None = None, folder: Path | None = None) -> Result:
    """Ask, and return what was answered."""
    done = subprocess.run(
        [sys.executable, "-m", "parcache", "why", *arguments],
        cwd=folder or project.folder,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("PARCACHE_")},
            "RUNS": str(project.runs),
            **project.env,
            **(env or {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def told(project: Project, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
    """Ask for JSON, and return it."""
    return json.loads(why(project, "--json", *arguments, env=env).check().out)


def differences(project: Project, *arguments: str, env: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return what differs for the only job of an answer."""
    (job,) = told(project, *arguments, env=env)["jobs"]
    found: list[dict[str, Any]] = job["differences"]
    return found


def job_directory(project: Project, sweep: str, number: int) -> str:
    return str(project.folder / sweep / str(number))
