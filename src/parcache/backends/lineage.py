"""Ending processes with all that descends from them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple

_PROC: Final = "/proc"


class _Process(NamedTuple):
    """``leader`` is the process whose session, or group, it belongs to."""

    pid: int
    parent: int
    leader: int


def end_with_descendants(roots: Iterable[int]) -> None:
    """Kill processes that lead sessions of their own, what belongs to these sessions, and all descendants.

    They are stopped before they are killed, until no new one is found: what a process starts meanwhile does not get
    away. Loky asks psutil or the program ``pgrep``; without either it ends the worker alone. What has left both its
    session and its parents, as daemons do, is not found.
    """
    wanted = set(roots)
    ended: set[int] = set()
    while found := _family(wanted) - ended:
        for pid in found:
            _signal(pid, signal.SIGSTOP)
        ended |= found
    for pid in ended | wanted:
        _signal(pid, signal.SIGKILL)


def _family(roots: set[int]) -> set[int]:
    family = set(roots)
    processes = list(_processes())
    while more := {
        each.pid for each in processes if each.pid not in family and (each.parent in family or each.leader in roots)
    }:
        family |= more
    return family


def _processes() -> Iterator[_Process]:
    try:
        names = [name for name in os.listdir(_PROC) if name.isdigit()]
    except OSError:  # macOS has none
        names = []
    for name in names:
        with suppress(OSError), open(f"{_PROC}/{name}/stat", "rb") as file:
            # pid (name) state parent group session: a name may hold spaces and brackets
            fields = file.read().rpartition(b")")[2].split()
            yield _Process(int(name), int(fields[1]), int(fields[3]))
    if not names:
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,pgid="],  # noqa: S607 # where it lies differs
            capture_output=True,
            text=True,
            check=False,
        )
        for line in listed.stdout.splitlines():
            pid, parent, group = map(int, line.split())
            yield _Process(pid, parent, group)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
