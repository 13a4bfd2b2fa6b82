"""Exceptions on their way between processes: type, message, traceback, notes and the chain of causes arrive whole.

Pickle keeps of an exception its class, arguments and attributes; it drops the traceback, the cause and the context.
Hydra 1.4 carries them for its own launchers, 1.3 loses them, so parcache carries them itself, the same on both. The
frames are rebuilt by tblib.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from types import SimpleNamespace, TracebackType
from typing import Any, Final, NamedTuple

from parcache.errors import RemoteJobError

_MAX_CHAIN: Final = 1000
_ADDRESS: Final = re.compile(r"\b0x[0-9a-fA-F]+")


class Frame(NamedTuple):
    """One line of a traceback. ``file`` is the module's, which an interactive traceback reads the source by."""

    filename: str
    function: str
    line: int
    module: str
    file: str | None


class Link(NamedTuple):
    """One exception of a chain as plain data; ``cause``, ``context`` and ``members`` are places in the chain.

    ``pickled`` is None where neither its class nor its arguments survive a round trip.
    """

    pickled: bytes | None
    type_name: str
    message: str
    frames: tuple[Frame, ...]
    notes: tuple[str, ...]
    cause: int | None
    context: int | None
    suppress_context: bool
    members: tuple[int, ...] = ()


class Frozen(NamedTuple):
    """An exception, first in the chain, and all that hangs on it. Flat: no chain is too long, no cycle too tight."""

    chain: tuple[Link, ...]


def freeze(error: BaseException) -> Frozen:
    """Return an exception as plain data that pickles. Never raises."""
    chain = [error]
    places = {id(error): 0}

    def place(linked: BaseException | None) -> int | None:
        if linked is None:
            return None
        if id(linked) not in places:
            if len(chain) >= _MAX_CHAIN:
                return None
            places[id(linked)] = len(chain)
            chain.append(linked)
        return places[id(linked)]

    # The loop sees what `place` appends meanwhile.
    return Frozen(tuple([_freeze(linked, place) for linked in chain]))


def thaw(frozen: Frozen, locals_of: Callable[[Frame], dict[str, Any]] = lambda _: {}) -> BaseException:
    """Return the exception again: of its own class where that can be rebuilt here, else a RemoteJobError.

    ``locals_of`` tells what somebody who reads its tracebacks is to find among a frame's local variables.
    """
    built: dict[int, BaseException] = {}

    def build(number: int) -> BaseException:
        if number not in built:
            link = frozen.chain[number]
            built[number] = _rebuild(link, [build(member) for member in link.members])
        return built[number]

    for number, link in enumerate(frozen.chain):
        error = build(number)
        error.__cause__ = None if link.cause is None else build(link.cause)
        error.__context__ = None if link.context is None else build(link.context)
        error.__suppress_context__ = link.suppress_context
        error.__traceback__ = _traceback(link.frames, locals_of)
    return built[0]


def _freeze(error: BaseException, place: Callable[[BaseException | None], int | None]) -> Link:
    notes = getattr(error, "__notes__", ())
    return Link(
        _pickled(error),
        f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        text(error),
        _frames(error.__traceback__),
        tuple(text(note) for note in notes) if isinstance(notes, (list, tuple)) else (),
        place(error.__cause__),
        place(error.__context__),
        error.__suppress_context__,
        tuple(number for member in _members(error) if (number := place(member)) is not None),
    )


def _members(error: BaseException) -> tuple[BaseException, ...]:
    # By name: Python 3.10 has no such class, only its backport.
    if all(base.__name__ != "BaseExceptionGroup" for base in type(error).__mro__):
        return ()
    members: tuple[BaseException, ...] = error.exceptions  # type: ignore[attr-defined] # every group has them
    return members


def text(value: object) -> str:
    """Return ``str(value)``, or what stands for it where that raises."""
    try:
        return str(value)
    except Exception as raised:
        return f"<its __str__ raised {type(raised).__name__}>"


class _Own:
    """Pickles an exception as its class says, whatever ``copyreg`` has been told of it.

    tblib's reducers, which ``import distributed`` registers for every exception class there is, take a whole traceback
    along and lose what a class keeps beside its ``args``, as UnicodeDecodeError does.
    """

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> str | tuple[Any, ...]:
        return self._error.__reduce_ex__(pickle.DEFAULT_PROTOCOL)


class _Bare:
    """Pickles an exception without its ``__init__``, whose parameters are often not its ``args``."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake, (type(self._error), self._error.args, dict(self._error.__dict__))


def _remake(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class _Group(NamedTuple):
    """An exception group without its members, which travel as links of the chain."""

    kind: type[BaseException]
    message: str
    state: dict[str, Any]

    def of(self, members: list[BaseException]) -> BaseException:
        error = self.kind.__new__(self.kind, self.message, members)  # as in _Bare
        error.__dict__.update(self.state)
        return error


def _pickled(error: BaseException) -> bytes | None:
    kind = type(error)
    attempts: tuple[object, ...] = (_Own(error), error, _Bare(error))
    if _members(error):
        message = text(getattr(error, "message", error))
        attempts = (_Group(kind, message, dict(error.__dict__)), _Group(kind, message, {}))
    from parcache.pickling import dumps

    for attempt in attempts:
        try:
            data: bytes = dumps(attempt)
            again = pickle.loads(data)
        except BaseException:  # noqa: S112 - a foreign __reduce__ or __init__ may raise anything
            continue
        if isinstance(again, _Group) or _is_like(again, error):
            return data
    return None


def _is_like(again: object, error: BaseException) -> bool:
    # Addresses in a message (the repr of an argument) differ between any two objects.
    texts = {_ADDRESS.sub("0x", text(each)) for each in (again, error)}
    return type(again).__qualname__ == type(error).__qualname__ and len(texts) == 1


def _rebuild(link: Link, members: list[BaseException]) -> BaseException:
    if link.pickled is not None:
        try:
            error = pickle.loads(link.pickled)
            if isinstance(error, _Group):
                return error.of(members)
            if isinstance(error, BaseException):
                return error
        except BaseException:  # noqa: S110 - what cannot be rebuilt is shown instead
            pass
    error = RemoteJobError(link.type_name, link.message)
    for note in link.notes:
        if hasattr(error, "add_note"):
            error.add_note(note)
    return error


def without_frames_of(folder: str, traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of files below a folder."""
    kept = []
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(folder + os.sep):
            kept.append(traceback)
        traceback = traceback.tb_next
    following = None
    for item in reversed(kept):
        following = TracebackType(following, item.tb_frame, item.tb_lasti, item.tb_lineno)
    return following


def _frames(traceback: TracebackType | None) -> tuple[Frame, ...]:
    frames = []
    while traceback is not None:
        names, code = traceback.tb_frame.f_globals, traceback.tb_frame.f_code
        module, file = names.get("__name__"), names.get("__file__")
        # A frame's own line number is None now and then (bpo-42634); the traceback's is what is shown.
        line = traceback.tb_lineno or code.co_firstlineno
        frames.append(Frame(code.co_filename, code.co_name, line, str(module), file if isinstance(file, str) else None))
        traceback = traceback.tb_next
    return tuple(frames)


def _traceback(frames: tuple[Frame, ...], locals_of: Callable[[Frame], dict[str, Any]]) -> TracebackType | None:
    from tblib import Traceback

    following = None
    for frame in reversed(frames):  # tblib's own dicts nest: a RecursionError's traceback would be too deep for pickle
        names = {"__name__": frame.module, **({} if frame.file is None else {"__file__": frame.file})}
        code = SimpleNamespace(co_filename=frame.filename, co_name=frame.function)
        stub = SimpleNamespace(f_globals=names, f_locals=locals_of(frame), f_code=code, f_lineno=frame.line)
        following = SimpleNamespace(tb_frame=stub, tb_lineno=frame.line, tb_next=following)
    if following is None:
        return None
    traceback: TracebackType | None = Traceback(following, get_locals=lambda stub: stub.f_locals).as_traceback()
    items = []
    while traceback is not None:
        items.append(traceback)
        traceback = traceback.tb_next
    for item in reversed(items):  # without an instruction: tblib's own code tells nothing of columns in the user's line
        traceback = TracebackType(traceback, item.tb_frame, -1, item.tb_lineno)
    return traceback
