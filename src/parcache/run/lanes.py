"""Jobs that are in flight at once in one process, and which of them code runs for.

Each such job has a *lane*. A *strand* is what executes for it: the thread that runs the job, a thread that the job
starts, a call that it gives to a pool of threads. Which one is executing is a context variable, so that it follows
``asyncio`` and ``contextvars`` as well. A thread started by ``_thread.start_new_thread``, or by C, has none.

Where jobs run one at a time there are no lanes, and every question here is answered by one look at a context
variable.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final, Protocol


class Lane:
    """What one job has of its own in a process that it shares.

    ``attributes`` are its values of attributes that ``PerLane`` keeps apart. ``at_end`` is called, the last first,
    when the job has ended, in the thread that ran it and while the lane is still open; ``after_end`` is called in the
    same way when it is over: threads of the job may live on, but nothing runs for it any more.
    """

    def __init__(self) -> None:
        self.is_over = False
        self.attributes: dict[Any, dict[Any, Any]] = {}
        self.at_end: list[Callable[[], None]] = []
        self.after_end: list[Callable[[], None]] = []


class Strand:
    """Something that executes for a lane; ``is_main``: it is the very thread that runs the job."""

    __slots__ = ("is_main", "is_running", "lane")

    def __init__(self, lane: Lane, *, is_main: bool = False) -> None:
        self.lane = lane
        self.is_main = is_main
        self.is_running = True


_strand: ContextVar[Strand | None] = ContextVar("parcache_strand", default=None)


def current_strand() -> Strand | None:
    """Return what executes this code; None outside jobs, or where jobs do not share the process."""
    return _strand.get()


def current_lane() -> Lane | None:
    """Return the lane of the job that this code runs for; None outside, and after the job's end."""
    strand = _strand.get()
    return None if strand is None or strand.lane.is_over else strand.lane


@contextmanager
def following(strand: Strand) -> Iterator[None]:
    """Execute for a lane."""
    token = _strand.set(strand)
    try:
        yield
    finally:
        strand.is_running = False
        _strand.reset(token)


class Patch(Protocol):
    """Something of this process that is changed while jobs share it."""

    def apply(self) -> None:
        """Change it."""

    def undo(self) -> None:
        """Put it back."""


class Sharing:
    """The state of this process as to lanes: shared from the first ``hold`` to the last ``release``.

    Holders are the sweeps whose backend runs jobs at once in this process, and their jobs: one that goes on after its
    sweep was given up keeps what it needs.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._holders = 0
        self._patches: list[Patch] = []
        self._lanes: list[Lane] = []
        self.home: int | None = None
        self.is_crowded = False
        """Several jobs can be in flight, not just one beside the sweeping thread."""

    @property
    def is_on(self) -> bool:
        """Tell whether jobs have lanes now."""
        return self._holders > 0

    @property
    def lanes(self) -> Sequence[Lane]:
        """Return the lanes that are open."""
        return tuple(self._lanes)

    def hold(self, patches: Sequence[Patch] = ()) -> None:
        """Share the process. ``patches`` are applied unless it is shared already; this thread is the sweeping one."""
        with self._lock:
            if patches:
                self.home = threading.get_ident()
            self._holders += 1
            if self._holders > 1:
                return
            try:
                for patch in patches:
                    patch.apply()
                    self._patches.append(patch)
            except BaseException:
                self.release()
                raise

    def release(self) -> None:
        """Undo one ``hold``."""
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                while self._patches:
                    self._patches.pop().undo()

    def _hold_again(self) -> bool:
        if not self.is_on:  # as it nearly always is, without the lock
            return False
        with self._lock:
            if self.is_on:
                self.hold()
            return self.is_on

    @contextmanager
    def lane(self) -> Iterator[None]:
        """Give the job that runs in this thread a lane, if jobs share this process."""
        if not self._hold_again():
            yield
            return
        lane = Lane()
        self._lanes.append(lane)
        try:
            with following(Strand(lane, is_main=True)):
                try:
                    yield
                finally:
                    _call(lane.at_end)
                    lane.is_over = True
                    _call(lane.after_end)
        finally:
            self._lanes.remove(lane)
            self.release()


def _call(calls: Sequence[Callable[[], None]]) -> None:
    for call in reversed(calls):
        with suppress(Exception):
            call()


SHARING: Final = Sharing()


class PerLane:
    """Stands in a class for an attribute of its instances: while a job runs in a lane, it reads and writes its own.

    What it has not written it reads as it is outside, or, with ``fresh``, as its own copy made by that from the
    value outside, which it may change in place. With ``is_lasting`` a thread that outlives its job keeps its values. An
    assignment while a module is being imported counts outside as well, for the items for which ``spreads`` is true:
    a module is imported once for all.
    """

    def __init__(
        self,
        name: str,
        fresh: Callable[[Any], Any] | None = None,
        *,
        is_lasting: bool = False,
        spreads: Callable[[Any], bool] = lambda _: False,
    ) -> None:
        self.name = name
        self._fresh = fresh
        self._is_lasting = is_lasting
        self._spreads = spreads

    def __get__(self, item: Any, owner: type | None = None) -> Any:
        if item is None:
            raise AttributeError(self.name)
        strand = _strand.get()
        if strand is not None and (self._is_lasting or not strand.lane.is_over):
            own = strand.lane.attributes.setdefault(self, {})
            if item in own:
                return own[item]
            if self._fresh is not None:
                return own.setdefault(item, self._fresh(item.__dict__.get(self.name)))
        try:
            return item.__dict__[self.name]
        except KeyError:
            raise AttributeError(self.name) from None

    def __set__(self, item: Any, value: Any) -> None:
        strand = _strand.get()
        if strand is None or strand.lane.is_over:
            item.__dict__[self.name] = value
            return
        own = strand.lane.attributes.setdefault(self, {})
        outside = item.__dict__
        if self.name not in outside:  # the item is being made
            outside[self.name] = self._fresh(value) if self._fresh is not None else value
        elif self._fresh is None and item not in own and outside[self.name] is value:
            return
        elif self._spreads(item) and is_importing(sys._getframe(1)):
            outside[self.name] = value
        own[item] = value


class Attribute:
    """Puts something in the place of an attribute of a class or module."""

    def __init__(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """``make`` gets what is there, None where nothing is, and returns what is to be there."""
        self._owner, self._name, self._make = owner, name, make
        self._before: Any = None
        self._made: Any = None
        self._was_there = False

    def apply(self) -> None:
        """Replace it."""
        self._was_there = self._name in vars(self._owner)
        self._before = vars(self._owner).get(self._name)
        self._made = self._make(self._before)
        setattr(self._owner, self._name, self._made)

    def undo(self) -> None:
        """Put back what was there, unless somebody has put something else in its place meanwhile."""
        if vars(self._owner).get(self._name) is not self._made:
            return
        if self._was_there:
            setattr(self._owner, self._name, self._before)
        else:
            delattr(self._owner, self._name)


def is_importing(frame: FrameType | None, boundary: object = None) -> bool:
    """Tell whether a frame, or one below it down to the one whose code is ``boundary``, is part of an import."""
    while frame is not None and frame.f_code is not boundary:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
