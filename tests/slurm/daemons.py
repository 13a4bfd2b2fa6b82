"""Programs that run beside the tests: each has a file with its process's number, and nobody else's is ever ended.

Standard library only: ``tools/dev.py slurm`` runs before there is any environment.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

# In the environment of every daemon, and of what it starts for itself, such as slurmd's slurmstepd.
MARK = "PARCACHE_TEST_CLUSTER"

_PORTS = range(21_000, 30_000)  # below those that the kernel gives to whoever asks for any


class ClusterError(RuntimeError):
    """A cluster cannot be brought up, or does not do what it is told."""


def wait_for(condition: Callable[[], object], what: str, timeout_s: float, interval_s: float = 0.05) -> None:
    """Return as soon as the condition holds.

    Raises:
        ClusterError: It does not hold in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {timeout_s:g} s")
        time.sleep(interval_s)


class Daemons:
    """The programs that belong to one folder. The files in it outlive the process that started them."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.env = dict(env)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a program that stays in the foreground; what it prints goes to ``NAME.out``."""
        env = {**self.env, MARK: str(self.folder), MARK + "_DAEMON": name}
        with (self.folder / f"{name}.out").open("ab") as output:
            process = subprocess.Popen(
                list(command),
                env=env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        for pid in [pid for pid, child in _children.items() if child.poll() is not None]:
            del _children[pid]
        _children[process.pid] = process
        (self.folder / f"{name}.pid").write_text(f"{process.pid} {started_at(process.pid)}\n")

    def pid(self, name: str) -> int | None:
        """Return a program's process number, None where it does not run: another process may have its number now."""
        try:
            number, _, start = (self.folder / f"{name}.pid").read_text().strip().partition(" ")
        except FileNotFoundError:
            return None
        return int(number) if start and started_at(int(number)) == start else None

    def names(self) -> list[str]:
        """Return the names of all that were started and not stopped."""
        return sorted(path.stem for path in self.folder.glob("*.pid"))

    def stop(self, name: str, number: int = signal.SIGTERM, patience_s: float = 5.0) -> None:
        """End a program with a signal, and with SIGKILL where that takes too long; return when it is gone."""
        pid = self.pid(name)
        if pid is not None:
            end_process(pid, number, patience_s)
        (self.folder / f"{name}.pid").unlink(missing_ok=True)

    def log(self, name: str, lines: int = 15) -> str:
        """Return the end of what a program printed."""
        try:
            text = (self.folder / f"{name}.out").read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def strays(self, name: str | None = None) -> list[int]:
        """Return what the daemons, or one of them, have started, with all that descends from it, and themselves."""
        marks = {f"{MARK}={self.folder}".encode()} | ({f"{MARK}_DAEMON={name}".encode()} if name else set())
        found = [pid for pid in process_numbers() if marks <= set(_environment(pid))]
        return sorted({pid for root in found for pid in (root, *descendants(root))})


# Children of this process have to be waited for, or they stay as zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


def end_process(pid: int, number: int, patience_s: float) -> None:
    """End a process: by the signal, else by SIGKILL."""
    start = started_at(pid)
    for attempt in (number, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, attempt)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if started_at(pid) != start:
                if pid in _children:
                    _children.pop(pid).wait()
                return
            time.sleep(0.02)


def started_at(pid: int) -> str:
    """Return when a process started, in ticks since boot; empty where there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def process_numbers() -> Iterator[int]:
    """Yield the numbers of all processes."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def descendants(pid: int) -> list[int]:
    """Return the numbers of a process's children, theirs, and so on."""
    parents: dict[int, list[int]] = {}
    for other in process_numbers():
        with contextlib.suppress(OSError, ValueError):
            fields = Path(f"/proc/{other}/stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(other)
    found, ahead = [], [pid]
    while ahead:
        children = parents.get(ahead.pop(), [])
        found += children
        ahead += children
    return found


def free_ports(number: int) -> list[int]:
    """Choose ports that nobody listens on, from a place that differs between processes."""
    start = _PORTS.start + (os.getpid() * 100) % len(_PORTS)
    free = (port for port in (*range(start, _PORTS.stop), *range(_PORTS.start, start)) if not answers(port))
    return list(itertools.islice(free, number))


def answers(port: int) -> bool:
    """Tell whether somebody listens on a port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
