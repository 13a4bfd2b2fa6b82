"""What runs in this process besides what its modules were imported from, told by the interpreter's audit events.

A module is proven by its file's times (``parcache.keys.witness``). Code comes by other ways as well, which leave no
module behind, or leave a proven one as it was: files executed as they are (``exec``, ``runpy``), modules that a loader
executes when it is asked to, source that is read as text. Each of these leaves a note of the content that the file had,
for as long as the process lives: what was executed may be in use for ever. And programs that are started import for
themselves, at any time.

What an import executes is noted with the module's spec: it proves a module whose file has changed since.

The hook is added where results are to be stored, cannot be removed, and sees every thread. Notes are bounded: 20 bytes
for each content of each file, the body of each module, and where there are more than fit nothing more is believed. They
are made without a lock, which a fork would leave locked.

See https://docs.python.org/3/library/audit_events.html.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from itertools import count
from types import CodeType, FrameType
from typing import Any, Final

from parcache.keys.code import Source, content_digest
from parcache.keys.modules import Party, party_of

_SOURCE: Final = (".py", ".pyw")
# Their callers read, not they.
_BETWEEN: Final = frozenset({"linecache", "tokenize", "inspect", "pkgutil", "io", "codecs", "pathlib", "importlib"})
# Who reads source to show it, to copy it or to compile it for later, and executes nothing.
_ONLY_LOOK: Final = frozenset(
    {"traceback", "warnings", "pdb", "bdb", "doctest", "logging", "py_compile", "compileall", "shutil", "zipfile"}
    | {"tarfile", "zipimport", "filecmp"}
)
# Imported with the first program that they start, of which no event tells.
_SILENT_STARTERS: Final = (
    "multiprocessing.popen_spawn_posix",
    "multiprocessing.popen_forkserver",
    "joblib.externals.loky.backend.popen_loky_posix",
    "loky.backend.popen_loky_posix",
)
_STARTERS: Final = frozenset({"subprocess", "os", "pty", "platform", "multiprocessing", "asyncio", "concurrent"})
# How an import executes a module, and a reload: what these do shows in ``sys.modules`` and in specs.
_IMPORT: Final = frozenset({"_load_unlocked", "_exec"})
_FOR_ITSELF: Final = _IMPORT | {"get_code", "exec_module", "load_module"}
# What a loader's way from a file to code is made of.
_WAY: Final = ("get_code", "source_to_code", "get_data", "path_stats", "exec_module")
_MAX_FILES: Final = 10_000
_MAX_CONTENTS: Final = 32


class Executions:
    """The notes of one process; see ``of_this_process``. Thread-safe.

    ``is_full``: there was more than could be noted. ``is_early``: the hook was added before any of the project's code
    was imported.
    """

    def __init__(self) -> None:
        self.is_full = False
        self.is_early = False
        self._is_on = False
        self._has_started = False
        self._executes_texts = False
        self._executed: dict[str, set[bytes | None]] = {}
        self._read: dict[str, dict[bytes | None, int]] = {}  # by content, when it was last read
        self._imported: dict[int, tuple[Any, CodeType]] = {}  # by the id of a module's spec, which is kept with it
        self._transformed: set[str] = set()
        self._clock = count()
        self._lock = threading.Lock()

    def enable(self, *, is_early: bool = False) -> None:
        """Add the hook to this process, once."""
        with self._lock:
            if not self._is_on:
                self._is_on, self.is_early = True, is_early
                party_of(__file__)  # asks sysconfig, whose own first import the hook is not to find half done
                sys.addaudithook(self._hear)

    @property
    def starts_programs(self) -> bool:
        """Tell whether this process has started others; these may still run."""
        return self._has_started or any(name in sys.modules for name in _SILENT_STARTERS)

    def now(self) -> int:
        """Return a moment, for ``differing``."""
        return next(self._clock)

    def differing(self, sources: Sequence[Source], since: int) -> list[str]:
        """Return the files that were executed with another content than the fingerprinted one, or read since a moment.

        Whatever was read counts where texts are executed that are nobody's file.
        """
        if not self._executed and not self._read:
            return []
        return [source.path for source in sources if not self._contents(source.path, since) <= {source.content}]

    def _contents(self, path: str, since: int) -> set[bytes | None]:
        read = self._read.get(path, {}).copy()
        counts = {content for content, moment in read.items() if self._executes_texts or moment >= since}
        return counts | self._executed.get(path, set())

    def code_of(self, spec: Any) -> CodeType | None:
        """Return what the import of the module with this spec has executed, as far as it is known."""
        known = self._imported.get(id(spec))
        return known[1] if known is not None and known[0] is spec else None

    def is_transformed(self, path: str) -> bool:
        """Tell whether a module's code was made in a way that a patch has changed."""
        return path in self._transformed or _is_patched()

    # --- Events

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        handler = _EVENTS.get(event)
        if handler is None:
            return
        try:
            handler(self, args, sys._getframe(1))
        except Exception:  # out of stack, out of memory: what happens now is not known
            self.is_full = True

    def _opened(self, args: tuple[Any, ...], frame: FrameType) -> None:
        name, mode = args[:2]
        if isinstance(name, int) or name is None or (isinstance(mode, str) and mode[:1] not in ("r", "U")):
            return
        path = os.fsdecode(name)
        if path.endswith(_SOURCE) and _by_whom(frame, _BETWEEN, _ONLY_LOOK):
            path = os.path.abspath(path)
            if self._has_room(path, self._read):
                noted = self._read.setdefault(path, {})
                content = _content(path)
                if content in noted or len(noted) < _MAX_CONTENTS:
                    noted[content] = next(self._clock)
                else:
                    self.is_full = True

    def _ran(self, args: tuple[Any, ...], frame: FrameType) -> None:
        code = args[0]
        if not isinstance(code, CodeType) or code.co_name != "<module>":
            return
        path = code.co_filename
        if path[:1] == "<":
            if not self._executes_texts and party_of(frame.f_code.co_filename) is not Party.PLATFORM:
                self._executes_texts = True
            return
        path = os.path.abspath(path)
        if _by_whom(frame, frozenset(), frozenset()):
            if self._has_room(path, self._executed):
                noted = self._executed.setdefault(path, set())
                if len(noted) < _MAX_CONTENTS:  # two are too many already
                    noted.add(_content(path))
            return
        if _is_patched():
            self._transformed.add(path)
        space = frame.f_locals.get("args", (None, None))[-1]
        spec = space.get("__spec__") if isinstance(space, dict) else None
        if spec is not None and len(self._imported) < _MAX_FILES and party_of(path) is Party.FIRST:
            self._imported[id(spec)] = spec, code

    def _started(self, args: tuple[Any, ...], frame: FrameType) -> None:
        if _by_whom(frame, _STARTERS, frozenset()):
            self._has_started = True

    def _has_room(self, path: str, noted: Mapping[str, Any]) -> bool:
        if path not in noted and len(noted) >= _MAX_FILES:
            self.is_full = True
        return not self.is_full and party_of(path) is Party.FIRST


_EVENTS: Final[dict[str, Callable[[Executions, tuple[Any, ...], FrameType], None]]] = {
    "open": Executions._opened,
    "exec": Executions._ran,
    **dict.fromkeys(
        ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty", "os.system", "os.spawn"),
        Executions._started,
    ),
}


@lru_cache(maxsize=1)
def of_this_process() -> Executions:
    """Return this process's notes. A forked child goes on with its parent's, whose hook it has."""
    return Executions()


def _by_whom(frame: FrameType | None, between: frozenset[str], harmless: frozenset[str]) -> bool:
    """Tell whether something is done by code that counts: by no import, no parcache, and no ``harmless`` module."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            if frame.f_code.co_name in _IMPORT:
                return False
        else:
            name = frame.f_globals.get("__name__")
            top = name.partition(".")[0] if isinstance(name, str) else ""
            if top not in between and frame.f_code.co_filename[:8] != "<frozen ":
                return top != "parcache" and top not in harmless
        frame = frame.f_back
    return False


def who_reads(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the code that reads source as text, or None where it is read to be executed or shown."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib") and code.co_name in _FOR_ITSELF:
            return None
        name = frame.f_globals.get("__name__")
        top = name.partition(".")[0] if isinstance(name, str) else ""
        if top in ("parcache", "runpy", "linecache") or top in _ONLY_LOOK:
            return None
        if top not in _BETWEEN and code.co_filename[:8] != "<frozen ":
            return frame
        frame = frame.f_back
    return None


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return content_digest(file.read())
    except OSError:
        return None


def _ways() -> list[Any]:
    return [getattr(SourceFileLoader, name, None) for name in _WAY]


_UNPATCHED: Final = _ways()


def _is_patched() -> bool:
    return any(now is not then for now, then in zip(_ways(), _UNPATCHED, strict=True))
