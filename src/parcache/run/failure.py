"""Exceptions on their way between processes: type, message, traceback, notes and the chain of causes arrive whole.

Pickle keeps of an exception its class, arguments and attributes; it drops the traceback, the cause and the context.
Hydra 1.4 carries them for its own launchers, 1.3 loses them, so parcache carries them itself, the same on both. The
frames are rebuilt by tblib.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, Final

import cloudpickle

from parcache.errors import RemoteJobError

_MAX_CHAIN: Final = 64


@dataclass(frozen=True, slots=True)
class Frozen:
    """An exception as plain data. ``pickled`` is None where its class does not survive a round trip."""

    pickled: bytes | None
    type_name: str
    message: str
    frames: dict[str, Any] | None
    notes: tuple[str, ...]
    cause: Frozen | None
    context: Frozen | None
    suppress_context: bool
    members: tuple[Frozen, ...] = ()


def freeze(error: BaseException) -> Frozen:
    """Return an exception as plain data that pickles. Never raises."""
    return _freeze(error, set())


def thaw(frozen: Frozen) -> BaseException:
    """Return the exception again: of its own class where that can be rebuilt here, else a RemoteJobError."""
    error = _rebuild(frozen)
    if frozen.cause is not None:
        error.__cause__ = thaw(frozen.cause)
    if frozen.context is not None:
        error.__context__ = thaw(frozen.context)
    error.__suppress_context__ = frozen.suppress_context
    return error.with_traceback(_traceback(frozen.frames))


def _freeze(error: BaseException, seen: set[int]) -> Frozen:
    seen.add(id(error))
    cause, context = (_freeze_linked(linked, seen) for linked in (error.__cause__, error.__context__))
    members = getattr(error, "exceptions", ())
    grouped = isinstance(members, tuple) and all(isinstance(member, BaseException) for member in members)
    return Frozen(
        _pickled(error),
        f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        _message(error),
        _frames(error),
        tuple(str(note) for note in getattr(error, "__notes__", ())),
        cause,
        context,
        error.__suppress_context__,
        tuple(_freeze(member, set(seen)) for member in members) if grouped else (),
    )


def _freeze_linked(error: BaseException | None, seen: set[int]) -> Frozen | None:
    if error is None or id(error) in seen or len(seen) >= _MAX_CHAIN:
        return None
    return _freeze(error, seen)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as raised:
        return f"<its __str__ raised {type(raised).__name__}>"


def _pickled(error: BaseException) -> bytes | None:
    try:
        data: bytes = cloudpickle.dumps(error)
        again = pickle.loads(data)
    except BaseException:  # a foreign __reduce__ or __init__ may raise anything
        return None
    return data if type(again).__qualname__ == type(error).__qualname__ and _message(again) == _message(error) else None


def _rebuild(frozen: Frozen) -> BaseException:
    if frozen.pickled is not None:
        try:
            error = pickle.loads(frozen.pickled)
            if isinstance(error, BaseException):
                for member, data in zip(getattr(error, "exceptions", ()), frozen.members, strict=False):
                    _restore(member, data)
                return error
        except BaseException:  # noqa: S110 - what cannot be rebuilt is shown instead
            pass
    error = RemoteJobError(frozen.type_name, frozen.message)
    for note in frozen.notes:
        if hasattr(error, "add_note"):
            error.add_note(note)
    return error


def _restore(member: BaseException, frozen: Frozen) -> None:
    """Give a group's member, which was pickled with its group, back what pickle dropped."""
    whole = thaw(frozen)
    member.__cause__, member.__context__ = whole.__cause__, whole.__context__
    member.__suppress_context__ = frozen.suppress_context
    member.__traceback__ = whole.__traceback__


def _frames(error: BaseException) -> dict[str, Any] | None:
    from tblib import Traceback

    if error.__traceback__ is None:
        return None
    try:
        return dict(Traceback(error.__traceback__).to_dict())
    except Exception:  # a traceback is no reason to lose the error
        return None


def _traceback(frames: dict[str, Any] | None) -> Any:
    from tblib import Traceback

    return None if frames is None else Traceback.from_dict(frames).as_traceback()
