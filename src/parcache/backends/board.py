"""What a worker and the sweeping process see of each other without a message: a few numbers in shared memory.

A message would cost the sweeping process a wake-up for every call that starts; and of a worker that has died, memory
still tells what it was at.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Final

_READY: Final = 0
_STARTED: Final = 1
_WITHDRAWN: Final = 2  # and the following: a place each for as many calls as can be on their way
_ON_THEIR_WAY: Final = 4
_SIZE_BYTES: Final = (_WITHDRAWN + _ON_THEIR_WAY) * 8


def board_file() -> int:
    """Return a file descriptor of an unnamed file that is fit for a board; the caller closes it."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("parcache-board")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.truncate(fd, _SIZE_BYTES)
    return fd


class Board:
    """Numbers that are each written by one side alone: the worker, but for those of withdrawn calls."""

    def __init__(self, fd: int) -> None:
        self._cells = memoryview(mmap.mmap(fd, _SIZE_BYTES)).cast("Q")

    @property
    def is_ready(self) -> bool:
        """Tell whether the worker has called its initializer."""
        return self._cells[_READY] == 1

    def tell_ready(self) -> None:
        """Say that the initializer has been called."""
        self._cells[_READY] = 1

    @property
    def started(self) -> int:
        """The place of the last call that the worker has begun, counted from 1; 0 before the first."""
        return self._cells[_STARTED]

    def begin(self, place: int) -> bool:
        """Say that the worker takes up a call; return False where it is not to be executed."""
        self._cells[_STARTED] = place
        return self._cells[_WITHDRAWN + place % _ON_THEIR_WAY] != place

    def withdraw(self, place: int) -> bool:
        """Take back a call; return False where the worker has begun it.

        Both sides write before they read, so at least one sees the other. Where both do, the worker passes the call
        over and answers that it has.
        """
        self._cells[_WITHDRAWN + place % _ON_THEIR_WAY] = place
        return self._cells[_STARTED] < place
