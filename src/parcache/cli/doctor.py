"""``parcache doctor``: what is different where a profile's jobs run."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Final

from parcache.cli.output import show, show_json
from parcache.cli.rerun import chooses_launcher, tail
from parcache.errors import AppFailedError
from parcache.report.text import Line
from parcache.run.probe import ASKED, FINDINGS, Level
from parcache.run.record import DOCTOR_VARIABLE

_EPILOG: Final = """\
examples:
  parcache doctor hydra/launcher/backend=slurm_cpu
  parcache doctor hydra/launcher/backend=slurm hydra.launcher.backend.partition=gpu
  parcache doctor --app train.py hydra/launcher=cluster     with the app's own config, and what it defaults to
"""
_STYLES: Final = {Level.OK.value: "green", Level.NOTE.value: "yellow", Level.PROBLEM.value: "red"}


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "doctor",
        help="run a probe where a profile's jobs would run, and tell what is different there",
        description="Run a probe as a job of a profile, and compare Python, packages, folders and clock.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="the profile, and settings of it")
    app = parser.add_mutually_exclusive_group()
    app.add_argument("--app", metavar="SCRIPT", help="the app whose config the profile is for")
    app.add_argument("-m", "--module", metavar="MODULE", help="the same, as a module: python -m MODULE")
    parser.add_argument(
        "--config-dir", metavar="DIR", help="where profiles of your own lie (default: conf, if that is here)"
    )
    parser.add_argument(
        "--wait-s", type=float, default=300.0, metavar="S", help="how long the probe may wait in a queue (300)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Examine what is asked for; return 1 where there is a problem.

    Raises:
        AppFailedError: The app ended before its jobs.
    """
    found, said = _findings(_command(options), options.wait_s)
    is_well = all(level != Level.PROBLEM.value for level, _, _ in found)
    if options.json:
        keys = ("level", "subject", "text")
        findings = [dict(zip(keys, each, strict=True)) for each in found]
        show_json({"well": is_well, "findings": findings, "output": said})
    else:
        show(Line(f"{level:8} {subject}: {text}", _STYLES.get(level, "")) for level, subject, text in found)
        if not is_well and said.strip():
            show([Line(""), Line("What was logged meanwhile:"), *(Line(f"  {line}") for line in said.splitlines())])
    return 0 if is_well else 1


def _command(options: argparse.Namespace) -> list[str]:
    if options.app is not None:
        head = [sys.executable, options.app]
    else:
        head = [sys.executable, "-m", options.module or "parcache.hydra.bare_app"]
    folder = options.config_dir
    if folder is None and options.app is None and options.module is None and os.path.isdir("conf"):
        folder = "conf"
    flags = [] if folder is None else ["--config-dir", os.path.abspath(folder)]
    launcher = [] if any(map(chooses_launcher, options.overrides)) else ["hydra/launcher=parcache"]
    return [*head, "--multirun", *flags, *launcher, *options.overrides]


def _findings(command: list[str], wait_s: float) -> tuple[list[tuple[str, str, str]], str]:
    """Return what was found, and what the app printed."""
    folder = tempfile.mkdtemp(prefix="parcache-doctor-")
    try:
        with open(os.path.join(folder, ASKED), "w") as file:
            json.dump({"wait_s": wait_s}, file)
        shown = os.path.join(folder, "output.txt")
        with open(shown, "wb") as output:
            done = subprocess.run(  # noqa: S603 - the user's own app
                command,
                env={**os.environ, DOCTOR_VARIABLE: folder},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        said = tail(shown)
        path = os.path.join(folder, FINDINGS)
        if done.returncode or not os.path.exists(path):
            remedy = "Mend what it says, and ask again: parcache doctor OVERRIDE …"
            raise AppFailedError(command, os.getcwd(), f"it ended with exit code {done.returncode}", said, remedy)
        with open(path) as file:
            return [(level, subject, text) for level, subject, text in json.load(file)], said
    finally:
        shutil.rmtree(folder, ignore_errors=True)
