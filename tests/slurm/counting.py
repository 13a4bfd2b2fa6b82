"""Counting how often Slurm is asked: a folder on PATH with programs that note their call and become the real ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

COMMANDS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo", "srun", "sacctmgr")
QUERIES = ("squeue", "sacct", "scontrol", "sinfo")


class Calls:
    """The calls of Slurm's commands by all that runs with ``env``."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "calls.txt"
        programs = folder / "counting"
        programs.mkdir(parents=True)
        for name in COMMANDS:
            real = shutil.which(name)
            if real is None:
                continue
            program = programs / name
            program.write_text(f"#!/bin/sh\necho \"{name} $*\" >> '{self._log}'\nexec '{real}' \"$@\"\n")
            program.chmod(0o755)
        self.env = {"PATH": f"{programs}:{os.environ['PATH']}"}

    def lines(self, *names: str) -> list[str]:
        """Return the calls of these commands, or of all, with their arguments, in the order in which they came."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [line for line in lines if not names or line.partition(" ")[0] in names]

    def count(self, *names: str) -> int:
        """Return how often these commands were called."""
        return len(self.lines(*names))

    @property
    def queries(self) -> int:
        """Return how often Slurm was asked for anything."""
        return self.count(*QUERIES)
