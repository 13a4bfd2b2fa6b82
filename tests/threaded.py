"""Sweeps in threads: how they are run, and what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

THREADS = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=threading"]

CALL = """
    import json, sys
    import hydra, parcache
    from app import main

    with hydra.initialize(config_path="conf", version_base=None):
        values = parcache.sweep(main, overrides=sys.argv[1:], backend="threading")
    print("values", json.dumps(values))
"""


def values(out: str) -> Any:
    """Return what the sweep returned."""
    (line,) = (line for line in out.splitlines() if line.startswith("values "))
    return json.loads(line.removeprefix("values "))


def lines(path: Path) -> list[str]:
    """Return the messages in a job's log."""
    return [line.partition("] - ")[2] for line in path.read_text().splitlines()]
