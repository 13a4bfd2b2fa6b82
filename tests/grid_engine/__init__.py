"""A real Grid Engine on this machine, and the tests that need one."""

from __future__ import annotations

import os
import shutil

PACKAGES = ("gridengine-master", "gridengine-exec", "gridengine-client")


def why_not() -> str | None:
    """Return why no Grid Engine can be brought up here, None where one can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "a Grid Engine of one's own needs root"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in ("sge_qmaster", "sge_execd", "qsub", "qconf") if shutil.which(name, path=path) is None]
    if missing:
        return f"{', '.join(missing)} not found: python3 tools/dev.py slurm install"
    return None
