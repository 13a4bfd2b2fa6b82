"""Proof that the code in memory is the code that was fingerprinted.

The fingerprint is taken from files; what runs is what the process imported, and a file can be edited in between.
Storing the old code's result under the new code's key would be a wrong hit for ever after. A module counts as
proven when one of these holds, the first two at a moment at which its file has the fingerprinted content:

- the file has not changed since the process started (so it cannot have been imported from anything else);
- the file has not changed since a moment at which the module was not imported yet;
- what its import has executed was seen (``parcache.keys.executions``), and is what the content compiles to.

Once proven, a loaded module stays proven for that content, whatever happens to its file later: that is what lets a
sweep go on storing its results while its code is being edited. A reload makes a new module spec and voids the
proof. Modules that are not loaded prove nothing and need no proof.

Change times are the file system's own (the later of modification and change time, which no tool sets back). One more
trap is closed in ``parcache.keys.loading``: bytecode that is valid and wrong.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Container, Iterable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, Final, NamedTuple

from parcache.keys.code import Signature, Source, content_digest, signature
from parcache.keys.loading import has_content, is_made_of, links_changed_ns, runs_stale_bytecode
from parcache.keys.modules import Party, is_own, party_of

# File times tick with the kernel's clock (up to 10 ms) and so does a process's start; an interpreter needs longer
# than this before it reads its first source file.
_TICK_NS: Final = 10_000_000
_IMPORTED_IN: Final = os.getpid()
# Two clocks were read together where no more passed between.
_TOGETHER_NS: Final = 1_000_000
_MAX_READINGS: Final = 20
_MAX_SETTLED: Final = 256


def process_start_ns(pid: int | None = None) -> int | None:
    """Return when a process (this one by default) started, in ns since the epoch, or None where nothing tells.

    What is wrong with it makes it too early: a start that is too late would prove what was edited before.
    """
    pid = os.getpid() if pid is None else pid
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        ticks = int(fields[19])  # starttime, field 22 of proc(5)
        return _boot_ns() + ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    import subprocess

    try:
        shown = subprocess.run(  # noqa: S603
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=True
        ).stdout.strip()
        return int(time.mktime(time.strptime(shown, "%a %b %d %H:%M:%S %Y"))) * 1_000_000_000
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def _boot_ns() -> int:
    """Return when the system started, in ns since the epoch; too early by what passed between reading two clocks."""
    found = []
    for _ in range(_MAX_READINGS):
        before = time.time_ns()
        age = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        after = time.time_ns()
        passed = abs(after - before)  # this clock can be set back
        found.append((passed, min(before, after) - age))
        if passed < _TOGETHER_NS:
            break
    return min(found)[1]


class Loaded(NamedTuple):
    """What was in ``sys.modules`` at one moment."""

    names: frozenset[str]
    modules: list[ModuleType]


class Seen(NamedTuple):
    """What a job leaves to be said: files that are ``unproven``, first-party files that no source stands for."""

    unproven: tuple[str, ...]
    strangers: tuple[str, ...]


NOTHING: Final = Seen((), ())


class _Settled(NamedTuple):
    """Sources that a look proved; the modules that stood for them, with their specs; what was loaded by their names."""

    sources: tuple[Source, ...]
    specs: tuple[tuple[ModuleType, Any], ...]
    names: tuple[tuple[str, ModuleType | None], ...]


class Witness:
    """Watches one process's modules. One is enough for each process; see ``of_this_process``. Thread-safe.

    A look at all loaded modules takes milliseconds, and most jobs change nothing. After a look that proved all
    sources, the same sources stay proven while ``sys.modules`` holds the very same modules in the same order and no
    module that stands for a source, by its file or by its name, has another spec: what is proven stays proven
    whatever happens to its file, a module that comes, goes or is replaced changes ``sys.modules``, and a reload
    changes the spec. What was observed of a file that is not loaded is then not renewed: an older observation
    proves less, never more.
    """

    def __init__(self, started_ns: int | None) -> None:
        self.started_ns = started_ns
        self._proven: dict[tuple[str, bytes], list[tuple[ModuleType, Any]]] = {}
        self._unloaded: dict[str, Signature | None] = {}
        self._covered: set[str] = set()
        self._strangers: set[str] = set()
        self._loaded = Loaded(frozenset(), [])
        self._settled: dict[int, _Settled] = {}
        self._lock = threading.RLock()

    def observe(self, sources: Sequence[Source]) -> None:
        """Look at the sources now: note what is not loaded yet, prove what can be proven."""
        self.unproven(sources)

    def unproven(self, sources: Sequence[Source]) -> list[str]:
        """Return the files whose loaded modules are not known to have the fingerprinted content."""
        with self._lock:
            return [] if self._is_settled(sources) else self._look(sources)

    def contents(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return, of the files that modules are imported from, what content is known to have been imported.

        Those that are not loaded, or of which nothing is known, are left out.
        """
        with self._lock:
            by_path = _by_path(sys.modules.copy().values())
            found = {path: self._content(path, by_path[path]) for path in paths if path in by_path}
            return {path: content for path, content in found.items() if content is not None}

    def _content(self, path: str, modules: Sequence[ModuleType]) -> bytes | None:
        for (proven_path, content), known in list(self._proven.items()):
            if proven_path == path and all(
                any(each is module and spec is getattr(module, "__spec__", None) for each, spec in known)
                for module in modules
            ):
                return content
        try:
            before = signature(path)
            with open(path, "rb") as file:
                present = Source("", path, content_digest(file.read()), before)
        except OSError:
            return None
        return present.content if all(self._is_module_proven(present, module, ()) for module in modules) else None

    def begin(self, sources: Sequence[Source]) -> Loaded:
        """Look at the sources before a job; return what is loaded, for ``end``."""
        with self._lock:
            self.unproven(sources)
            return self._loaded

    def end(
        self,
        before: Loaded,
        sources: Sequence[Source],
        excluded: Sequence[str] = (),
        of_others: Callable[[], Container[str]] = tuple,
    ) -> Seen:
        """Return what is to be said after a job that began with ``before``.

        A stranger that no fingerprint ever covered stays one for later jobs: they find it imported already. Modules of
        ``excluded`` top-level packages are none. Nor are those that ``of_others`` returns, modules that other jobs have
        imported in this one's time, where the fingerprint of any job covers them. It is asked when the loaded modules
        are listed: what another thread imports afterwards is not among these.
        """
        with self._lock:
            if before is self._loaded and not self._strangers and self._is_settled(sources):
                return NOTHING
            new = {name for name in set(sys.modules) - before.names if name.partition(".")[0] not in excluded}
            strangers = self._new_strangers(new, sources, of_others())
            return Seen(tuple(self.unproven(sources)), tuple(strangers))

    def _is_settled(self, sources: Sequence[Source]) -> bool:
        # By identity: a worker gets one tuple for all jobs that share it, and comparing long ones takes time.
        settled = self._settled.get(id(sources))
        if settled is None or settled.sources is not sources or list(sys.modules.values()) != self._loaded.modules:
            return False
        return all(getattr(module, "__spec__", None) is spec for module, spec in settled.specs) and all(
            sys.modules.get(name) is module for name, module in settled.names
        )

    def _look(self, sources: Sequence[Source]) -> list[str]:
        modules = sys.modules.copy()  # in one step: other threads may be importing
        now = list(modules.values())
        files = {source.path for source in sources}
        self._covered |= files
        by_path = _by_path(now)
        names = tuple((source.module, modules.get(source.module)) for source in sources)
        standing = [
            *(module for path in files for module in by_path.get(path, ())),
            *(module for _, module in names if module is not None),
        ]
        specs = tuple((module, getattr(module, "__spec__", None)) for module in standing)
        making = [module for module in standing if _is_being_made(module)]
        self._note_unloaded(files.difference(by_path), now)
        missing = [
            source.path
            for source in sources
            if not (
                all(self._is_module_proven(source, module, making) for module in by_path.get(source.path, ()))
                and _stands_for_its_name(source, files, modules)
            )
        ]
        if now != self._loaded.modules:
            self._settled.clear()
            self._loaded = Loaded(frozenset(modules), now)
        if not missing and not making and isinstance(sources, tuple):
            if len(self._settled) >= _MAX_SETTLED:
                self._settled.clear()
            self._settled[id(sources)] = _Settled(sources, specs, names)
        return missing

    def _note_unloaded(self, files: Iterable[str], modules: list[ModuleType]) -> None:
        found: dict[str, Signature | None] = {}
        for path in files:
            try:
                found[path] = signature(path)
            except OSError:
                found[path] = None
        # A module is listed before its file is read: had another thread begun to import one meanwhile, it would show.
        if list(sys.modules.values()) == modules:
            self._unloaded.update(found)

    def _new_strangers(self, names: Iterable[str], sources: Iterable[Source], of_others: Container[str]) -> list[str]:
        covered = {source.path for source in sources}
        found = set()
        for name in names:
            path = getattr(sys.modules.get(name), "__file__", None)
            if not isinstance(path, str) or is_own(name) or party_of(path) is not Party.FIRST:
                continue
            path = os.path.abspath(path)
            if name not in of_others or path not in self._covered:
                found.add(path)
        self._covered |= covered
        self._strangers |= found
        self._strangers -= self._covered
        return sorted((found | self._strangers) - covered)

    def _is_module_proven(self, source: Source, module: ModuleType, making: Sequence[ModuleType]) -> bool:
        try:
            now: Signature | None = signature(source.path)
        except OSError:
            now = None
        spec = getattr(module, "__spec__", None)
        proven = self._proven.setdefault((source.path, source.content), [])
        if any(known is module and known_spec is spec for known, known_spec in proven):
            return True
        if not self._is_proven_by_times(source, module, now) and not is_made_of(spec, source.content):
            return False
        if module not in making:  # another thread may be about to read the file: it can still change before
            proven.append((module, spec))
        return True

    def _is_proven_by_times(self, source: Source, module: ModuleType, now: Signature | None) -> bool:
        if now is None or not has_content(source, now):
            return False
        changed_ns = max(now[2], now[3], links_changed_ns(source.path))
        before_start = self.started_ns is not None and changed_ns <= self.started_ns + _TICK_NS
        if not before_start and self._unloaded.get(source.path) != now:
            return False
        return not runs_stale_bytecode(module, source.path, changed_ns)


@lru_cache(maxsize=1)
def of_this_process() -> Witness:
    """Return this process's witness.

    A forked child goes on with its parent's: the modules that it inherits were imported before it started. Where
    the parent had none the child's start proves nothing about them.
    """
    return Witness(process_start_ns() if os.getpid() == _IMPORTED_IN else None)


def _is_being_made(module: ModuleType) -> bool:
    """Tell whether a module is being imported and its file may not have been read yet.

    Its namespace gets its builtins when its code, which has been read by then, begins to run. What imports the module
    may go on for long after that: a sweep that a module starts at its top stands in its import. A reload runs in the
    namespace that there is.
    """
    if any(each is module for each in tuple(_reloading().values())):
        return True
    is_initializing = bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
    return is_initializing and "__builtins__" not in getattr(module, "__dict__", ())


def _reloading() -> dict[str, ModuleType]:
    return getattr(importlib, "_RELOADING", {})  # of CPython; by name, for as long as importlib.reload runs


def _file_of(module: ModuleType | None) -> str | None:
    path = getattr(module, "__file__", None)
    return os.path.abspath(path) if isinstance(path, str) else None


def _by_path(modules: Iterable[ModuleType]) -> dict[str, list[ModuleType]]:
    """Return loaded modules by file. One file can be loaded under several names, and under a wrong one."""
    found: dict[str, list[ModuleType]] = {}
    for module in modules:
        path = _file_of(module)
        if path is not None:
            found.setdefault(path, []).append(module)
    return found


def _stands_for_its_name(source: Source, files: set[str], modules: dict[str, ModuleType]) -> bool:
    """Tell whether no code that is not fingerprinted is loaded under the source's name: its file may have moved."""
    path = _file_of(modules.get(source.module)) if source.module != "__main__" else None
    return path is None or path == source.path or path in files or party_of(path) is not Party.FIRST


def refusal(unproven: Sequence[str]) -> str:
    """Return why results of code that is not proven are not stored, or an empty string where all of it is."""
    if not unproven:
        return ""
    return (
        f"{', '.join(unproven)} changed after this process may have imported the earlier text. "
        "Start the command again to store results of the code as it is now"
    )
