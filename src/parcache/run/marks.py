"""Who runs what at this moment: each worker notes the unit that it starts, where the sweeping process finds it.

A worker that dies tells nothing any more, and a job that hangs tells nothing yet. So each thread that executes keeps
one small file in a folder of the sweep and writes, before a unit starts, one record over the last (native byte order,
one machine)::

    parcel      8 bytes, unsigned
    number      8 bytes, unsigned: the unit's
    started_s   8 bytes, double: time.monotonic(), which counts alike in all processes of one machine
    check       8 bytes, unsigned: parcel xor number xor the bits of started_s

Nothing is taken back: what a finished parcel left there is passed by, for parcels never come twice.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

_RECORD: Final = struct.Struct("=QQQQ")
_BITS: Final = struct.Struct("=d")
_WORD: Final = struct.Struct("=Q")


class Mark(NamedTuple):
    """A unit that was started; ``started_s`` by ``time.monotonic()``."""

    parcel: int
    number: int
    started_s: float


class Marker:
    """Notes what this process executes. Safe to use from several threads. Where it cannot write, nothing is known."""

    def __init__(self, folder: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._own = threading.local()

    def start(self, parcel: int, number: int) -> None:
        """Note that a unit starts now, in this thread."""
        descriptor: int | None = getattr(self._own, "descriptor", None)
        if descriptor is None:
            descriptor = self._own.descriptor = self._open()
        if descriptor < 0:
            return
        (bits,) = _WORD.unpack(_BITS.pack(self._clock()))
        record = _RECORD.pack(parcel, number, bits, parcel ^ number ^ bits)
        with suppress(OSError):
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, record)

    def _open(self) -> int:
        name = os.path.join(self._folder, f"{os.getpid()}-{threading.get_ident()}")
        try:
            return os.open(name, os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError:
            return -1


class Marks:
    """The folder of a sweep's marks, in the process that sweeps. Safe to use from several threads."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="parcache-marks-")
        # Also where a sweep is left that nobody closes: by an exception of its sweeper, between two batches.
        self._remove = weakref.finalize(self, _remove, self.folder, os.getpid())

    def read(self) -> dict[int, Mark]:
        """Return the marks by parcel, those of parcels that are long finished among them."""
        found: dict[int, Mark] = {}
        try:
            names = os.listdir(self.folder)
        except OSError:
            return found
        for name in names:
            mark = self._mark(os.path.join(self.folder, name))
            if mark is not None:
                found[mark.parcel] = mark
        return found

    def processes(self) -> set[int]:
        """Return the ids of the processes that have executed units, those that have ended among them."""
        with suppress(OSError):
            return {int(name.partition("-")[0]) for name in os.listdir(self.folder)}
        return set()

    def close(self) -> None:
        """Delete the folder. Later calls do nothing."""
        self._remove()

    def _mark(self, path: str) -> Mark | None:
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.read(_RECORD.size)
            parcel, number, bits, check = _RECORD.unpack(data)
        except (OSError, struct.error):
            return None
        if check != parcel ^ number ^ bits:
            return None  # it is being written
        return Mark(parcel, number, _BITS.unpack(_WORD.pack(bits))[0])


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # forks of the sweeping process end, too
        shutil.rmtree(folder, ignore_errors=True)
