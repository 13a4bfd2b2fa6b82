"""The ways to show progress."""

from __future__ import annotations

from enum import Enum


class Progress(Enum):
    """How progress is shown: ``auto`` is ``rich`` on a terminal, else ``plain``."""

    AUTO = "auto"
    RICH = "rich"
    PLAIN = "plain"
    OFF = "off"
