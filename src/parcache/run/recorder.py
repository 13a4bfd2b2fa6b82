"""Which files this process opens and which folders it lists, told by the interpreter's audit events.

The hook is added when the first recording starts, never where nothing is recorded, and cannot be removed; while nothing
is recorded, an event costs it one look at a global. It sees every thread. It does not see child processes, nor what
libraries in C open by themselves.

Where jobs share this process (``parcache.run.lanes``), a recording that was started in a job gets what this job's
strands open. Besides it gets

- what is read while a module is imported, by whichever job: it finds the module imported;
- what is opened by threads of no job, and of jobs that are over: nobody knows for whom;
- what a strand of another job opens that is still running when the recording stops, for it may serve several jobs.

See https://docs.python.org/3/library/audit_events.html. The events come before what they tell of is done, and also
where that fails.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, Final

from parcache.keys.digests import State, look
from parcache.keys.executions import who_reads
from parcache.keys.inputs import Sighting, Sightings
from parcache.keys.modules import Party, party_of
from parcache.keys.scope import is_below
from parcache.run.lanes import SHARING, Lane, Strand, current_lane, current_strand, is_importing
from parcache.run.surroundings import set_by_imports

# Who reads source files as code, or copies them as they are. Where anybody else opens one, it is data.
_READERS_OF_CODE: Final = frozenset(
    {"linecache", "tokenize", "inspect", "pkgutil", "py_compile", "compileall", "traceback", "pdb", "doctest"}
    | {"shutil", "zipfile", "tarfile", "zipimport"}
)
_LISTERS_OF_CODE: Final = frozenset({"pkgutil", "pkg_resources", "importlib_metadata", "zipimport"})
_SOURCE: Final = (".py", ".pyw")
_NEVER: Final = (".pyc", ".pyi")
_INSTALLED: Final = ("/site-packages/", "/dist-packages/", "/__pycache__/")
_DIRECTORY: Final = getattr(os, "O_DIRECTORY", 0)

_active: tuple[Recording, ...] = ()
_lock: Final = threading.Lock()
_is_on = False


class Recording:
    """What is opened and listed between ``start`` and ``stop``. Several may run at once.

    ``imported`` are paths that were read while a module was imported, below the frame whose code is ``boundary``.
    ``texts`` are source files that the project's own code has read as text.
    ``failed`` says what went wrong where the recording cannot be believed.
    """

    def __init__(self, boundary: CodeType | None = None) -> None:
        self.seen: dict[str, Sighting] = {}
        self.imported: set[str] = set()
        self.texts: set[str] = set()
        self.failed = ""
        self.boundary = boundary
        # What stood at a path before it was first written, and whether none of that is left.
        self._before: dict[str, tuple[State | None, bool]] = {}
        self._folders: set[str] = set()
        self._links: set[str] = set()
        self.lane: Lane | None = None
        # What other jobs' strands have opened meanwhile.
        self._others: dict[Strand, Recording] = {}

    def start(self) -> None:
        """Begin."""
        global _active
        enable()
        self.lane = current_lane()
        with _lock:
            _active = (*_active, self)

    def stop(self) -> None:
        """End. Later calls do nothing."""
        global _active
        with _lock:
            _active = tuple(each for each in _active if each is not self)
        for strand, other in self._others.copy().items():
            if strand.is_running:
                self.failed = self.failed or other.failed
                self.texts |= other.texts
                for path, sighting in other.seen.copy().items():
                    if path not in self._before:
                        self.seen.setdefault(path, sighting)
        self._others.clear()

    def of(self, strand: Strand) -> Recording:
        """Return the recording of what another job's strand opens in the time of this one."""
        found = self._others.get(strand)
        return self._others.setdefault(strand, Recording(self.boundary)) if found is None else found

    def sightings(self) -> Sightings:
        """Return what was recorded."""
        written = self._before.copy()  # in one step: other threads may be at it
        made = {path for path, (before, _) in written.items() if before is None} | self._folders
        return Sightings(self.seen.copy(), frozenset(made), frozenset(written))

    def opened(self, path: str, mode: Any, flags: int, frame: FrameType) -> None:
        """Take note of a file that is about to be opened."""
        if isinstance(mode, str):
            reads, writes = "r" in mode or "+" in mode, any(sign in mode for sign in "wax+")
            truncates, is_exclusive = "w" in mode, "x" in mode
        else:
            access = flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
            reads, writes = access != os.O_WRONLY, access != os.O_RDONLY
            truncates, is_exclusive = bool(flags & os.O_TRUNC), bool(flags & os.O_EXCL)
        path = self._resolved(path)
        if writes and not (is_exclusive and look(path) is not None):  # that open fails
            before, is_gone = self._before.get(path, (None, False))
            if path not in self._before:
                before = look(path)
            self._before[path] = before, is_gone or truncates
            if before is None or truncates:
                return
        if reads:
            self._read(path, frame)

    def _read(self, path: str, frame: FrameType) -> None:
        if path in self.seen:
            return
        found = look(path)
        if path in self._before:
            before, is_gone = self._before[path]
            if before is None:
                if found is not None:
                    return
            elif not is_gone:
                found = before  # something was added to it: the end of the job will tell
            elif found is not None and found != before:
                return
        elif self._is_in_own_folder(path):
            return
        self._note(path, Sighting(found), frame)

    def listed(self, path: str, frame: FrameType) -> None:
        """Take note of a folder that is about to be listed."""
        path = self._resolved(path)
        if path in self._folders or self._is_in_own_folder(path):
            return
        try:
            names: tuple[str, ...] | None = tuple(sorted(os.listdir(path)))
        except OSError:
            names = None
        earlier = self.seen.get(path)
        if earlier is None:
            self._note(path, Sighting(look(path), names), frame)
        elif names is not None and earlier.names is None and earlier.found is not None:
            self.seen[path] = Sighting(earlier.found, names)  # opened as a descriptor before

    def moved(self, source: str, target: str) -> None:
        """Take note of a file or folder that is about to get another name."""
        source, target = self._resolved(source), self._resolved(target)
        if source in self._folders:
            self._folders.add(target)
        elif source not in self._before and not self._is_in_own_folder(source):
            self._before.pop(target, None)  # not the job's: what stands there then is an input like any other
            return
        self._before.setdefault(target, (look(target), True))

    def made(self, path: str) -> None:
        """Take note of a folder that is about to be made."""
        path = self._resolved(path)
        if not os.path.lexists(path):
            self._folders.add(path)

    def linked(self, path: str) -> None:
        """Take note of a link that is about to be made: what is read through it is not the job's own."""
        self._links.add(path)

    def _note(self, path: str, sighting: Sighting, frame: FrameType) -> None:
        self.seen[path] = sighting
        if is_importing(frame, self.boundary):
            self.imported.add(path)

    def read_in_import(self, path: str) -> None:
        """Take note of what another job reads while it imports a module."""
        path = self._resolved(path)
        if path not in self._before and path not in self.seen:
            names = tuple(sorted(os.listdir(path))) if os.path.isdir(path) else None
            self.seen[path] = Sighting(look(path), names)
        self.imported.add(path)

    def _is_in_own_folder(self, path: str) -> bool:
        return bool(self._folders) and any(is_below(path, folder) for folder in self._folders)

    def _resolved(self, path: str) -> str:
        if self._links and any(is_below(path, link) for link in self._links):
            return os.path.realpath(path)
        return path


def enable() -> None:
    """Add the hook to this process, once."""
    global _is_on
    with _lock:
        if not _is_on:
            _is_on = True
            sys.addaudithook(_hook)


def is_on() -> bool:
    """Tell whether anything has ever been recorded here."""
    return _is_on


def imported_now() -> list[tuple[Recording, set[str]]]:
    """Return what imports have read in the recordings that run, those that have read nothing left out."""
    return [(each, each.imported.copy()) for each in _active if each.imported]


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _active and event in _EVENTS:
        _tell(event, args)


def _tell(event: str, args: tuple[Any, ...]) -> None:
    frame = sys._getframe(2)
    caller = frame.f_globals.get("__name__")
    if isinstance(caller, str) and (caller.startswith("parcache.") or caller == "parcache"):
        return
    try:
        _EVENTS[event](args, caller if isinstance(caller, str) else "", frame)
    except ValueError:  # no name of a file, such as one with a NUL: nothing is opened by it either
        return
    except Exception as error:  # out of stack, out of memory: what was opened is not known
        for recording in _listening():
            recording.failed = f"{type(error).__name__} at {args[0]!r}"


def _listening() -> Iterator[Recording]:
    """Yield the recordings that get what is opened here: see the module's docstring."""
    if not SHARING.is_on:
        yield from _active
        return
    strand = current_strand()
    if strand is None:
        is_home = threading.get_ident() == SHARING.home
        yield from (each for each in _active if each.lane is None or not is_home)
        return
    for recording in _active:
        if recording.lane is None or recording.lane is strand.lane or strand.lane.is_over:
            yield recording
        elif not strand.is_main:
            yield recording.of(strand)


def _tell_importers(path: str, frame: FrameType) -> None:
    """Tell the recordings of other jobs what an import reads."""
    strand = current_strand() if SHARING.is_on else None
    active = _active  # once: another thread's recording may end at any time
    if strand is not None and len(active) > 1 and is_importing(frame, active[0].boundary):
        for recording in active:
            if recording.lane is not strand.lane and recording.lane is not None:
                recording.read_in_import(path)


def _on_open(args: tuple[Any, ...], caller: str, frame: FrameType) -> None:
    name, mode, flags = args[:3]
    if isinstance(name, int) or name is None:
        return
    if mode is None and flags & _DIRECTORY:
        return
    if mode is None and caller in ("os", "shutil"):  # fwalk and rmtree: folders, relative to other descriptors
        return
    path = _absolute(name)
    if path.endswith(_NEVER) or any(part in path for part in _INSTALLED):
        return
    is_text = False
    if path.endswith(_SOURCE):
        reader = who_reads(frame)
        if reader is None and (caller in _READERS_OF_CODE or _is_import_system(caller)):
            return
        is_text = reader is not None and party_of(reader.f_code.co_filename) is Party.FIRST
    for recording in _listening():
        recording.opened(path, mode, flags, frame)
        if is_text:
            recording.texts.add(path)
    if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        _tell_importers(path, frame)


def _on_list(args: tuple[Any, ...], caller: str, frame: FrameType) -> None:
    name = args[0]
    if isinstance(name, int) or caller in _LISTERS_OF_CODE or _is_import_system(caller):
        return
    path = _absolute("." if name is None else name)
    for recording in _listening():
        recording.listed(path, frame)
    _tell_importers(path, frame)


def _on_rename(args: tuple[Any, ...], caller: str, frame: FrameType) -> None:
    if args[2] == args[3] == -1:
        source, target = _absolute(args[0]), _absolute(args[1])
        for recording in _listening():
            recording.moved(source, target)


def _on_mkdir(args: tuple[Any, ...], caller: str, frame: FrameType) -> None:
    if args[2] == -1:
        path = _absolute(args[0])
        for recording in _listening():
            recording.made(path)


def _on_link(args: tuple[Any, ...], caller: str, frame: FrameType) -> None:
    if args[-1] == -1:
        path = _absolute(args[1])
        for recording in _listening():
            recording.linked(path)


def _on_putenv(args: tuple[Any, ...], caller: str, frame: FrameType) -> None:
    active = _active
    if active and is_importing(frame, active[0].boundary):
        set_by_imports.add(os.fsdecode(args[0]))


_EVENTS: Final[dict[str, Callable[[tuple[Any, ...], str, FrameType], None]]] = {
    "open": _on_open,
    "os.listdir": _on_list,
    "os.scandir": _on_list,
    "os.rename": _on_rename,
    "os.mkdir": _on_mkdir,
    "os.symlink": _on_link,
    "os.link": _on_link,
    "os.putenv": _on_putenv,
}


def _is_import_system(caller: str) -> bool:
    return caller.startswith(("importlib.", "_frozen_importlib", "importlib_"))


def _absolute(name: Any) -> str:
    path = os.fsdecode(name)
    if "\0" in path:
        raise ValueError(path)
    if "/.." in path or path.startswith(".."):  # behind a link, .. is not the folder before it
        folder, last = os.path.split(os.path.join(os.getcwd(), path))
        return os.path.realpath(os.path.join(folder, last)) if last == ".." else f"{os.path.realpath(folder)}/{last}"
    return os.path.abspath(path)
