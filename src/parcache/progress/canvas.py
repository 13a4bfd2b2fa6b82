"""What a terminal is told so that a few live lines stay below everything that is printed: bytes in, bytes out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from parcache.progress.text import cells

# A line that is longer than this and not ended is passed on as it comes.
LONGEST_LINE: Final = 65536
_LONGEST_BAR: Final = 4096
# Colours and cursor movements, titles and links, other escapes.
_ESCAPES: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")
_PLAIN: Final = b"\x1b[0m"


class LiveRow(NamedTuple):
    """A live line: the bytes that show it, without an end of line, and how many columns they take."""

    shown: bytes
    cells: int


class Canvas:
    """Keeps live lines at the bottom of what a terminal shows.

    While they are shown, only whole lines are passed on, so that whatever is written in pieces stays in one piece; the
    line that is not ended yet (a bar that is drawn again and again, say) is shown above the live lines. While they
    are not, everything is passed on as it comes. Every method returns what is to be written to the terminal now.
    """

    def __init__(self, width: int, encoding: str = "utf-8") -> None:
        self.width = max(1, width)
        self._encoding = encoding
        self._rows: Sequence[LiveRow] = ()
        self._drawn: list[int] = []  # the columns of each line that is to be taken away; the cursor is below them
        self._waiting = b""  # whole lines
        self._tail = b""  # the line that is not ended
        self._is_hidden = False

    @property
    def is_live(self) -> bool:
        """Tell whether live lines are on the terminal."""
        return bool(self._drawn)

    @property
    def waiting_bytes(self) -> int:
        """Return how much output waits for the next ``update``."""
        return len(self._waiting)

    def feed(self, data: bytes) -> bytes:
        """Take output."""
        lines, end, tail = data.rpartition(b"\n")
        if not self.is_live:
            self._tail = _bounded(tail if end else self._tail + tail)
            return data
        if end:
            self._waiting += self._tail + lines + end
            self._tail = b""
        self._tail = _trimmed(self._tail + tail)
        if len(self._tail) > LONGEST_LINE:
            return self._pass_on()
        return b""

    def show(self, rows: Sequence[LiveRow]) -> bytes:
        """Show these lines from now on."""
        self._rows = rows
        return self.update()

    def update(self) -> bytes:
        """Pass on the whole lines that wait, and draw the live lines again."""
        # A long line that is not ended is passed on as it comes: nothing can be drawn before its end.
        if self._is_hidden or not self._rows or (not self.is_live and len(self._tail) > LONGEST_LINE):
            return b""
        out = self._erase() + self._take_waiting()
        rows = list(self._rows)
        tail = self._tail_row()
        if tail is not None:
            rows.insert(0, tail)
        self._drawn = [row.cells for row in rows]
        # The cursor waits below them: so what others write (^C, a shell's prompt) does not begin amid them.
        return out + b"".join(_PLAIN + row.shown + b"\r\n" for row in rows)

    def hide(self, *, erases: bool = True) -> bytes:
        """Take the live lines away and pass everything on as it comes, until ``reveal``.

        Without ``erases`` they stay where they are: something else has been written below them.
        """
        self._is_hidden = True
        return self._pass_on(erases=erases)

    def reveal(self) -> None:
        """Show the live lines again, from the next ``update``."""
        self._is_hidden = False

    def start_line(self) -> None:
        """Take note that the cursor is at the start of a line for another reason than output: somebody typed."""
        if not self.is_live:
            self._tail = b""

    def finish(self, rows: Sequence[LiveRow] = ()) -> bytes:
        """Take the live lines away for good and leave ``rows`` above the line that is not ended."""
        shown = b"".join(_PLAIN + row.shown + b"\r\n" for row in rows)
        if self.is_live:
            shown = self._erase() + self._take_waiting() + shown + self._tail
        elif shown and self._tail:
            shown = b"\r\n" + shown
            self._tail = b""
        self._rows, self._drawn, self._is_hidden = (), [], False
        return shown

    def _pass_on(self, *, erases: bool = True) -> bytes:
        if not self.is_live:
            return b""
        out = self._erase() if erases else b""
        self._drawn = []
        return out + self._take_waiting() + self._tail

    def _erase(self) -> bytes:
        """Return what takes away all lines that are drawn, or the line that is not ended."""
        if self._drawn:
            # A terminal that has become narrower has wrapped them.
            up = sum(max(1, -(-each // self.width)) for each in self._drawn)
        elif self._tail:
            up = self._wrapped(self._text(self._tail)) - 1
        else:
            return b""
        return b"\r" + (b"\x1b[%dA" % up if up else b"") + _PLAIN + b"\x1b[J"

    def _take_waiting(self) -> bytes:
        waiting, self._waiting = self._waiting, b""
        return waiting

    def _tail_row(self) -> LiveRow | None:
        text = self._text(self._tail).expandtabs()
        if not text:
            return None
        while cells(text) > self.width - 1:
            text = text[: min(len(text) - 1, self.width)]
        return LiveRow(text.encode(self._encoding, "replace"), cells(text))

    def _text(self, line: bytes) -> str:
        """Return what a line shows that is drawn over itself: its last part, without escapes."""
        last = _ESCAPES.sub(b"", line).rstrip(b"\r").rpartition(b"\r")[2]
        text = last.decode(self._encoding, "ignore")
        return text if text.isprintable() else "".join(each for each in text if each.isprintable() or each == "\t")

    def _wrapped(self, text: str) -> int:
        """Return how many lines of the terminal a text takes.

        A wide letter does not fit into the last column, and a tab goes no further than that.
        """
        height, column = 1, 0
        for each in text:
            width = cells(each)
            if each == "\t":
                column = min(self.width - 1, (column // 8 + 1) * 8)
            elif column + width > self.width:
                height, column = height + 1, width
            else:
                column += width
        return height


def _trimmed(tail: bytes) -> bytes:
    # A bar is drawn thousands of times over itself. The last two: the last one may be half there.
    if len(tail) > _LONGEST_BAR and b"\r" in tail:
        parts = tail.rsplit(b"\r", 2)
        return b"\r" + b"\r".join(parts[-2:])
    return tail


def _bounded(tail: bytes) -> bytes:
    trimmed = _trimmed(tail)
    return trimmed if len(trimmed) <= LONGEST_LINE else trimmed[: LONGEST_LINE + 1]
