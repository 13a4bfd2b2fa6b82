"""Proof that the code in memory is the code that was fingerprinted.

The fingerprint is taken from files; what runs is what the process imported, and a file can be edited in between.
Storing the old code's result under the new code's key would be a wrong hit for ever after. A module counts as
proven when one of these holds at a moment at which its file has the fingerprinted content:

- the file has not changed since the process started (so it cannot have been imported from anything else);
- the file has not changed since a moment at which the module was not imported yet.

Once proven, a loaded module stays proven for that content, whatever happens to its file later: that is what lets a
sweep go on storing its results while its code is being edited. A reload makes a new module spec and voids the
proof. Modules that are not loaded prove nothing and need no proof.

Change times are the file system's own (the later of modification and change time, which no tool sets back). One more
trap is closed: CPython validates cached bytecode by the source's size and its modification time in whole seconds,
so an edit of the same length within one second runs the old code. Bytecode older than its source is compared.
"""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import lru_cache
from types import CodeType, ModuleType
from typing import Any, Final

from parcache.keys.fingerprint import Signature, Source, content_digest, signature
from parcache.keys.modules import Party, is_own, party_of

# File times tick with the kernel's clock (up to 10 ms) and so does a process's start; an interpreter needs longer
# than this before it reads its first source file.
_TICK_NS: Final = 10_000_000


@lru_cache(maxsize=1)
def process_start_ns(pid: int | None = None) -> int | None:
    """Return when a process (this one by default) started, in ns since the epoch, or None where nothing tells."""
    pid = os.getpid() if pid is None else pid
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        ticks = int(fields[19])  # starttime, field 22 of proc(5)
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return time.time_ns() - int(age_s * 1e9)
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    try:
        shown = subprocess.run(  # noqa: S603
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=True
        ).stdout.strip()
        return int(time.mktime(time.strptime(shown, "%a %b %d %H:%M:%S %Y"))) * 1_000_000_000
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


class Witness:
    """Watches one process's modules. One is enough for each process; see ``of_this_process``. Not thread-safe."""

    def __init__(self, started_ns: int | None) -> None:
        self._started_ns = started_ns
        self._proven: dict[tuple[str, bytes], tuple[ModuleType, Any]] = {}
        self._unloaded: dict[str, Signature | None] = {}

    def observe(self, sources: Iterable[Source]) -> None:
        """Look at the sources now: note what is not loaded yet, prove what can be proven."""
        for source in sources:
            self._is_proven(source)

    def unproven(self, sources: Iterable[Source]) -> list[str]:
        """Return the files whose loaded modules are not known to have the fingerprinted content."""
        return [source.path for source in sources if not self._is_proven(source)]

    def _is_proven(self, source: Source) -> bool:
        module = _loaded(source)
        try:
            now: Signature | None = signature(source.path)
        except OSError:
            now = None
        if module is None:
            self._unloaded[source.path] = now
            return True
        token = (module, getattr(module, "__spec__", None))
        known = self._proven.get((source.path, source.content))
        if known is not None and known[0] is token[0] and known[1] is token[1]:
            return True
        if now is None or not _has_content(source, now):
            return False
        changed_ns = max(now[2], now[3])
        before_start = self._started_ns is not None and changed_ns <= self._started_ns + _TICK_NS
        if not before_start and self._unloaded.get(source.path) != now:
            return False
        if _runs_stale_bytecode(module, source.path, changed_ns):
            return False
        self._proven[(source.path, source.content)] = token
        return True


_WITNESSES: dict[int, Witness] = {}


def of_this_process() -> Witness:
    """Return this process's witness; a forked child gets its own."""
    pid = os.getpid()
    if pid not in _WITNESSES:
        _WITNESSES[pid] = Witness(process_start_ns(pid))
    return _WITNESSES[pid]


def uncovered(names: Iterable[str], sources: Iterable[Source]) -> list[str]:
    """Return the first-party files among these loaded modules that no source stands for."""
    covered = {source.path for source in sources}
    found = []
    for name in names:
        path = getattr(sys.modules.get(name), "__file__", None)
        if not isinstance(path, str) or is_own(name) or party_of(path) is not Party.FIRST:
            continue
        if os.path.abspath(path) not in covered:
            found.append(os.path.abspath(path))
    return sorted(found)


def _loaded(source: Source) -> ModuleType | None:
    for name in (source.module, "__main__"):
        module = sys.modules.get(name)
        path = getattr(module, "__file__", None)
        if module is not None and isinstance(path, str) and os.path.abspath(path) == source.path:
            return module
    return None


def _has_content(source: Source, now: Signature) -> bool:
    if now == source.signature:
        return True
    try:
        with open(source.path, "rb") as file:
            data = file.read()
        return content_digest(data) == source.content and signature(source.path) == now
    except OSError:
        return False


def _runs_stale_bytecode(module: ModuleType, path: str, changed_ns: int) -> bool:
    cached = getattr(module, "__cached__", None)
    if not isinstance(cached, str) or not path.endswith(".py"):
        return False
    try:
        if os.stat(cached).st_mtime_ns > changed_ns + _TICK_NS:
            return False
        with open(cached, "rb") as file:
            header, body = file.read(16), file.read()
        found = os.stat(path)
        fresh = int.from_bytes(header[8:12], "little") == int(found.st_mtime) & 0xFFFFFFFF
        if header[4:8] != b"\0\0\0\0" or not fresh or int.from_bytes(header[12:16], "little") != found.st_size:
            return False  # not what Python would have taken
        with open(path, "rb") as file:
            compiled = compile(file.read(), path, "exec", dont_inherit=True)
        stored = marshal.loads(body)  # noqa: S302 - the interpreter itself has run it
    except (OSError, ValueError, EOFError, TypeError, SyntaxError):
        return False
    return not isinstance(stored, CodeType) or stored != compiled
