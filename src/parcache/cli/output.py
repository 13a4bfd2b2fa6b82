"""Where text goes: plain into a pipe, in colours onto a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from parcache.report.text import Line


def show(lines: Iterable[Line]) -> None:
    """Write lines to standard output."""
    if sys.stdout.isatty():
        _show_in_colours(lines)
        return
    for line in lines:
        _write(line.text)
    sys.stdout.flush()


def show_json(data: Any) -> None:
    """Write JSON data to standard output."""
    _write(json.dumps(data, indent=2))
    sys.stdout.flush()


def failed(message: str) -> None:
    """Say on standard error what went wrong."""
    print(f"parcache: {message}", file=sys.stderr)


def _write(text: str) -> None:
    # Half a character, and what the locale cannot show, must not cost the rest.
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _show_in_colours(lines: Iterable[Line]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(Text(line.text.encode("utf-8", "backslashreplace").decode(), style=line.style))
