"""The audit: which first-party code ran for a job although the job's code closure does not hold it.

The code closure is found by reading; the audit finds what reading missed. A piece of code is covered when its first
line lies within one of the closure's definitions. Covered too is what a module executes when it is imported (its
body, the bodies of its classes, comprehensions in them), where the closure counts any of the module's file: whether a
statement of it can matter is for the closure to say, and functions that it calls are seen by themselves.

What counts as run for a job is all that starts to execute while its task function runs, on any thread, and what
an import executed earlier in the same process: in another job, or when the worker took up what it was sent. Of the
latter only what the closure's own code called, or what lies in the closure's own files: Hydra imports plugins and
callbacks in a worker, too.

Not seen: other processes that a job starts, code made in C, and what ran in the sweeping process before the sweep.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import CodeType, FrameType
from typing import Final, NamedTuple

from parcache.keys.code import WHOLE, Fingerprint
from parcache.keys.modules import Party, is_own, party_of
from parcache.model import Stray, Trace
from parcache.run import tracing

_MODULE: Final = "<module>"
_COMPREHENSIONS: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
_NEW_LOCALS: Final = 0x2  # CO_NEWLOCALS: every function has it, no body of a module or class does
_EVERY_LINE: Final = (0, 2**31)
_CELLS: Final = ("<ipython-input-", "<python-input-", "<stdin>")
_PYTHON: Final = frozenset({".py", ".pyw", ".pyc"})
# Stands for the file of code that was made from text and lies in none.
_MADE: Final = ""


class Closure(NamedTuple):
    """The code closure of a job as an audit needs it: the lines that count, by the real path of each source."""

    spans: Mapping[str, tuple[tuple[int, int], ...]]

    def is_within(self, path: str, code: CodeType) -> bool:
        """Tell whether code lies within a definition, or is the body of a source."""
        spans = self.spans.get(path)
        if spans is None:
            return False
        return code.co_name == _MODULE or any(first <= code.co_firstlineno <= last for first, last in spans)

    def covers(self, path: str, code: CodeType) -> bool:
        """Tell whether code counts. May read the source."""
        if self.is_within(path, code):
            return True
        return path in self.spans and _layout(path).get((code.co_name, code.co_firstlineno), _UNKNOWN).at_import


def closure_of(fingerprint: Fingerprint) -> Closure:
    """Return the code closure that a fingerprint was taken of."""
    spans: dict[str, list[tuple[int, int]]] = {os.path.realpath(source.path): [] for source in fingerprint.sources}
    for definition in fingerprint.definitions:
        lines = _EVERY_LINE if definition.name == WHOLE else definition.lines
        spans.setdefault(os.path.realpath(definition.path), []).append(lines)
    return Closure({path: tuple(found) for path, found in spans.items()})


class Sighting:
    """Code that was seen starting: ``callers`` are the nearest first-party code on the stack, each with its file.

    ``is_certain`` says that it ran for a job, whoever called it; ``is_import`` that an import was under way.
    """

    __slots__ = ("callers", "code", "is_certain", "is_import", "module", "path", "place")

    def __init__(self, code: CodeType, path: str, frame: FrameType, *, is_certain: bool) -> None:
        self.code, self.path, self.is_certain = code, path, is_certain
        self.module = str(frame.f_globals.get("__name__"))
        self.callers: dict[int, tuple[CodeType, str]] = {}
        self.place = ""
        self.is_import = code.co_name == _MODULE or any(each.f_code.co_name == _MODULE for each in _below(frame))

    def called_in(self, frame: FrameType) -> None:
        """Take note of who called it this time."""
        for below in _below(frame):
            path = _file_of(below)
            if path:
                self.callers[id(below.f_code)] = below.f_code, path
                self.place = self.place or f"{path}:{below.f_lineno}"
                return

    def stray(self) -> Stray:
        """Return what is reported of it."""
        code = self.code
        place = _layout(self.path).get((code.co_name, code.co_firstlineno), _UNKNOWN)
        name = getattr(code, "co_qualname", place.name or code.co_name)  # Python 3.10 has no such attribute
        return Stray(self.module, name, self.path, code.co_firstlineno, self.place)


class Auditor:
    """Audits the jobs that one process runs for one sweep."""

    def __init__(self, tracer: tracing.Tracer | None = None) -> None:
        self._tracer = tracer if tracer is not None else tracing.of_this_process()
        # By the code's id, which its sighting keeps alive: two files' code objects can be equal.
        self._lasting: dict[int, Sighting] = {}

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """See what is executed while this process takes up what it was sent: unpickling imports modules."""
        with self._tracer.telling(_Arrivals(self._lasting)):
            yield

    @contextmanager
    def tracing(self, closure: Closure) -> Iterator[_Recording]:
        """See what is executed in a job."""
        recording = _Recording(closure)
        with self._tracer.telling(recording):
            yield recording

    def trace(self, closure: Closure, recording: _Recording) -> Trace:
        """Return what an audit has to say of a job that has ended."""
        found = [sighting for sighting in recording.sightings if not closure.covers(sighting.path, sighting.code)]
        earlier = _guilty(self._lasting.copy().values(), closure)
        strays = {(each.path, each.line, each.name): each for each in (sighting.stray() for sighting in found)}
        for stray in (sighting.stray() for sighting in earlier):
            strays.setdefault((stray.path, stray.line, stray.name), stray)
        self._lasting.update((id(sighting.code), sighting) for sighting in found if sighting.is_import)
        return Trace(tuple(strays.values()), recording.made, recording.problem)


class _Recording:
    """Listens to one job: keeps what its closure does not hold at first sight."""

    def __init__(self, closure: Closure) -> None:
        self._closure = closure
        self._seen: dict[int, CodeType] = {}
        self.sightings: list[Sighting] = []
        self.made = 0
        self.problem = ""

    def see(self, code: CodeType, frame: FrameType) -> bool:
        """Look at code the first time that it starts."""
        if id(code) in self._seen:
            return True
        self._seen[id(code)] = code
        try:
            self._look(code, frame)
        except Exception as error:  # it would end the job
            self.lose(f"looking at {code.co_name} of {code.co_filename} raised {type(error).__name__}: {error}")
        return True

    def lose(self, problem: str) -> None:
        """Keep the first problem."""
        self.problem = self.problem or problem

    def _look(self, code: CodeType, frame: FrameType) -> None:
        path = _file_of(frame)
        if path == _MADE and os.path.realpath(code.co_filename) in self._closure.spans:  # a program of any suffix
            path = os.path.realpath(code.co_filename)
        if path == _MADE:
            self.made += 1
        elif path is not None and not self._closure.is_within(path, code):
            sighting = Sighting(code, path, frame, is_certain=True)
            sighting.called_in(frame)
            self.sightings.append(sighting)


class _Arrivals:
    """Listens while no job runs, and no closure says yet what counts: keeps all first-party code and who called it."""

    def __init__(self, sightings: dict[int, Sighting]) -> None:
        self._sightings = sightings
        self._others: dict[int, CodeType] = {}

    def see(self, code: CodeType, frame: FrameType) -> bool:
        """Look at code each time that it starts: of its callers any may turn out to count."""
        if id(code) in self._others:
            return True
        try:
            path = _file_of(frame)
            if not path:
                self._others[id(code)] = code
                return True
            sighting = self._sightings.get(id(code))
            if sighting is None:
                sighting = self._sightings[id(code)] = Sighting(code, path, frame, is_certain=False)
            sighting.called_in(frame)
        except Exception:
            return True  # it would end the worker; what follows from it is seen in the jobs
        return False

    def lose(self, problem: str) -> None:
        """Do nothing: unpickling sets no profiler."""


def _guilty(sightings: Iterable[Sighting], closure: Closure) -> list[Sighting]:
    """Return what the closure does not hold of what ran before the job: see the module's docstring."""
    suspects = [sighting for sighting in sightings if not closure.covers(sighting.path, sighting.code)]
    guilty: dict[int, Sighting] = {}
    is_growing = True
    while is_growing:
        is_growing = False
        for sighting in suspects:
            if id(sighting.code) in guilty or not _counts(sighting, closure, guilty):
                continue
            guilty[id(sighting.code)] = sighting
            is_growing = True
    return [sighting for sighting in suspects if id(sighting.code) in guilty]


def _counts(sighting: Sighting, closure: Closure, guilty: Mapping[int, Sighting]) -> bool:
    if sighting.is_certain or sighting.path in closure.spans:
        return True
    return any(id(code) in guilty or closure.covers(path, code) for code, path in sighting.callers.values())


def _below(frame: FrameType) -> Iterator[FrameType]:
    """Yield the frames that called a frame, nearest first, down to parcache's own."""
    below = frame.f_back
    while below is not None and not is_own(str(below.f_globals.get("__name__"))):
        yield below
        below = below.f_back


def _file_of(frame: FrameType) -> str | None:
    """Return the real path of first-party code's file, an empty string where it lies in none; None of others' code."""
    names = frame.f_globals
    if is_own(str(names.get("__name__"))):
        return None
    module_file = names.get("__file__")
    return _located(frame.f_code.co_filename, module_file if isinstance(module_file, str) else "")


@lru_cache(maxsize=8192)
def _located(named: str, module_file: str) -> str | None:
    if named.startswith(_CELLS):
        return named
    if named.startswith("<frozen "):
        return None
    suffix = os.path.splitext(named)[1]
    if not os.path.exists(named):
        # Bytecode without its source keeps the name that this had where it was compiled; a name may be relative, too.
        if os.path.exists(module_file) and _stem(module_file) == _stem(named):
            named = module_file
        elif not os.path.isabs(named) or suffix not in _PYTHON:
            return _MADE
    elif suffix and suffix not in _PYTHON:
        return _MADE  # a template that was compiled under its own name
    real = os.path.realpath(named)
    return real if party_of(real) is Party.FIRST else None


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


class _Place(NamedTuple):
    """What a source says of a piece of code: its qualified name, and whether importing the module executes it."""

    name: str
    at_import: bool


_UNKNOWN: Final = _Place("", False)


@lru_cache(maxsize=256)
def _layout(path: str) -> Mapping[tuple[str, int], _Place]:
    """Return where code lies in a source, by its bare name and first line; nothing where it does not compile."""
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = compile(file.read(), path, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[tuple[str, int], _Place] = {}
    open_codes = [(whole, "", True)]
    while open_codes:
        code, prefix, at_import = open_codes.pop()
        for inner in code.co_consts:
            if not isinstance(inner, CodeType):
                continue
            is_body = not inner.co_flags & _NEW_LOCALS
            runs_with_outer = is_body or inner.co_name in _COMPREHENSIONS or inner.co_name.startswith("<generic ")
            place = _Place(prefix + inner.co_name, at_import and runs_with_outer)
            found.setdefault((inner.co_name, inner.co_firstlineno), place)
            open_codes.append((inner, f"{place.name}." if is_body else f"{place.name}.<locals>.", place.at_import))
    return found
