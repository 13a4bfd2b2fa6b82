"""An app run in explain mode: the keys are those of a real run, because it is one, up to where jobs would start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Final, NamedTuple

from parcache.errors import AppFailedError
from parcache.run.record import EXPLAIN_RECORD, EXPLAIN_VARIABLE
from parcache.store.sweeps import Heading, SweepRecord, read_record

_WITH_VALUE: Final = ("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
_JOINED: Final = tuple(f"{name}=" for name in _WITH_VALUE)
_SHOWN_BYTES: Final = 4000


class App(NamedTuple):
    """How an app is started: the command, Hydra's flags, overrides that say how it runs, and where.

    Flags come first on a command line: Hydra does not take overrides before and after one.
    """

    command: tuple[str, ...]
    flags: tuple[str, ...]
    settings: tuple[str, ...]
    cwd: str


def app_of(heading: Heading) -> App:
    """Return the app of a recorded sweep, with that sweep's settings of Hydra and parcache, without its task's."""
    settings = [item for item in heading.arguments if _is_of_hydra(item) and not chooses_launcher(item)]
    chosen = f"hydra/launcher={heading.launcher}"
    return App(heading.command, tuple(_flags(heading.arguments)), (*settings, chosen), heading.cwd)


def app_named(script: str | None, module: str | None) -> App:
    """Return an app that the user names."""
    command = (sys.executable, *(("-m", str(module)) if script is None else (script,)))
    return App(command, (), ("hydra/launcher=parcache",), os.getcwd())


def explained_run(app: App, overrides: Sequence[str]) -> SweepRecord:
    """Run an app in explain mode and return the record of what it would do.

    Raises:
        AppFailedError: It ended without one.
        NewerFormatError: Its parcache is a newer one than this.
    """
    chosen = [item for item in app.settings if not (chooses_launcher(item) and any(map(chooses_launcher, overrides)))]
    folder = tempfile.mkdtemp(prefix="parcache-why-")
    try:
        command = [*app.command, "--multirun", *app.flags, *chosen, *overrides]
        shown = os.path.join(folder, "output.txt")
        with open(shown, "wb") as output:
            try:
                code = subprocess.run(  # noqa: S603 - the user's own app, as the user started it
                    command,
                    cwd=app.cwd,
                    env={**os.environ, EXPLAIN_VARIABLE: folder},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=False,
                ).returncode
            except OSError as error:
                raise AppFailedError(tuple(command), app.cwd, str(error), "") from None
        record = read_record(os.path.join(folder, EXPLAIN_RECORD))
        if record is None or code != 0:
            problem = f"it ended with exit code {code}" + (
                "" if code else " and without using parcache: is @hydra.main called, and the launcher parcache?"
            )
            raise AppFailedError(tuple(command), app.cwd, problem, tail(shown))
        return record
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def chooses_launcher(override: str) -> bool:
    """Tell whether an override chooses the launcher."""
    return override.lstrip("+~").startswith(("hydra/launcher=", "override hydra/launcher"))


def _flags(arguments: Sequence[str]) -> list[str]:
    """Return those of a sweep's arguments that are flags which name its config."""
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in _WITH_VALUE:
            kept += [argument, next(rest, "")]
        elif argument.startswith(_JOINED):
            kept.append(argument)
    return kept


def _is_of_hydra(override: str) -> bool:
    return override.lstrip("+~").startswith(("hydra.", "hydra/"))


def tail(path: str) -> str:
    """Return the end of what an app has printed into a file."""
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return text if len(text) <= _SHOWN_BYTES else "…" + text[-_SHOWN_BYTES:]
