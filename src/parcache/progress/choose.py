"""Which display fits where the output goes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

from parcache.progress.kinds import Progress
from parcache.progress.plain import NoDisplay, line_display, notebook_display
from parcache.progress.snapshot import Display

log = logging.getLogger("parcache")


def choose_display(kind: Progress, environ: Mapping[str, str], stdout: TextIO | None, stderr: TextIO | None) -> Display:
    """Return what shows progress: live on a terminal, an updated line in a notebook, else lines on standard error.

    A stream that the process does not have is None, as in ``sys``.
    """
    if kind is Progress.OFF or stderr is None:
        return NoDisplay()
    if kind is Progress.RICH or (kind is Progress.AUTO and not is_ci(environ)):
        obstacle = obstacle_to_live(environ, stdout)
        if stdout is not None and not obstacle:
            from parcache.progress.live import LiveDisplay  # on a terminal alone

            return LiveDisplay(stdout, stderr)
        if kind is Progress.RICH:
            log.debug("Progress is shown as plain lines: %s", obstacle)
        if is_notebook(stdout):
            from IPython.display import display

            return notebook_display(display)
    return line_display(stderr)


def obstacle_to_live(environ: Mapping[str, str], stdout: TextIO | None) -> str:
    """Return why there can be no live display, as a clause; empty where there can."""
    if os.name != "posix":
        return "there are no pseudo-terminals on this system"
    if not is_terminal(stdout):
        return "standard output is no terminal"
    try:
        os.tcgetpgrp(1)
    except OSError:  # such as that of a sweep within a job of a sweep, which has live lines already
        return "the terminal of standard output is not the one that controls this process"
    if environ.get("TERM", "") in ("", "dumb", "unknown"):
        return f"the terminal is {environ.get('TERM') or 'of no known kind'}"
    if getattr(sys, "frozen", False) or not sys.executable:
        return "this program has no Python interpreter of its own"
    return ""


def is_terminal(stdout: TextIO | None) -> bool:
    """Tell whether a stream is the process's standard output, and that a terminal."""
    try:
        return stdout is not None and stdout.fileno() == 1 and os.isatty(1)
    except (OSError, ValueError, AttributeError):  # closed, or somebody's own object
        return False


def is_notebook(stdout: TextIO | None) -> bool:
    """Tell whether a stream goes into a notebook's cell."""
    kernel = sys.modules.get("ipykernel.iostream")
    return kernel is not None and isinstance(stdout, kernel.OutStream)


def is_ci(environ: Mapping[str, str]) -> bool:
    """Tell whether this is continuous integration: terminals that nobody watches are common there."""
    return environ.get("CI", "").lower() not in ("", "0", "false")
