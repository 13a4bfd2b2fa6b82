"""Who sweeps: how a process is named in its spool, and whether the one so named still lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

# An owner gives a sign of life every 30 s.
SILENT_S: Final = 180.0


def this_process() -> dict[str, Any]:
    """Return what names this process, and no other one that there was or will be."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "boot": _boot(), "started": _started(os.getpid())}


def lives(owner: Mapping[str, Any], silence_s: float) -> bool:
    """Tell whether an owner lives; of one on another machine its silence tells."""
    if owner.get("is_detached"):
        return False
    if owner.get("host") != socket.gethostname() or owner.get("boot") != _boot():
        return silence_s < SILENT_S
    started = _started(int(owner.get("pid", 0)))
    return started is not None and started == owner.get("started")


def _boot() -> str | None:
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
    return None


def _started(pid: int) -> str | None:
    """Return when a process started, as its machine counts; None where there is none."""
    with suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[19].decode()
    if not os.path.isdir("/proc/self"):  # macOS has none
        with suppress(OSError):
            os.kill(pid, 0)
            return "?"
    return None
