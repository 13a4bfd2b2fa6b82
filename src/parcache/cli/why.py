"""``parcache why``: hit or miss, and what differs from the nearest stored entry."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from typing import Any, Final

from parcache.cli.output import show, show_json
from parcache.cli.places import Found, last_sweep, sweep_in
from parcache.report.data import data
from parcache.report.text import Line, lines
from parcache.report.verdicts import Report, report

_EPILOG: Final = """\
examples:
  parcache why                          the last sweep
  parcache why lr=0.1 model=svm         a job given by its overrides, of the last sweep's app; nothing is run
  parcache why --app train.py lr=0.1,1  the same of another app (or: -m pkg.train)
  parcache why multirun/2026-11-22/17-12-31/3   a job by its directory; a sweep's directory works as well
"""


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "why",
        help="tell why jobs were hits or misses",
        description="Tell for each job whether it is a hit, and for a miss what differs from the nearest stored entry.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("what", nargs="*", metavar="OVERRIDE|DIRECTORY", help="a job; without any: the last sweep")
    app = parser.add_mutually_exclusive_group()
    app.add_argument("--app", metavar="SCRIPT", help="the app that the overrides are for, instead of the last sweep's")
    app.add_argument("-m", "--module", metavar="MODULE", help="the same, as a module: python -m MODULE")
    parser.add_argument("--config-name", metavar="NAME", help="passed on to the app")
    parser.add_argument("--config-path", metavar="PATH", help="passed on to the app")
    parser.add_argument("--config-dir", metavar="DIR", help="passed on to the app")
    parser.add_argument("--store", metavar="DIR", help="the store (default: $PARCACHE_DIR, or .parcache here)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Explain what is asked for.

    Raises:
        ParcacheError: It cannot be explained.
    """
    reports = _reports(options)
    if options.json:
        found = [data(each) for each in reports]
        show_json(found[0] if len(found) == 1 else found)
        return 0
    for index, each in enumerate(reports):
        show([*([Line("")] if index else []), *lines(each)])
    return 0


def _reports(options: argparse.Namespace) -> list[Report]:
    what: Sequence[str] = options.what
    folders = [item for item in what if os.path.isdir(item)]
    names_app = options.app is not None or options.module is not None
    if folders and len(folders) == len(what):
        return [_past(sweep_in(folder, options.store)) for folder in folders]
    unknown = [item for item in what if "=" not in item and not item.startswith("~")]
    if unknown:
        options.parser.error(f"{unknown[0]!r} is neither an override (key=value) nor a directory that exists")
    if what or names_app:
        return [_now(options, what)]
    return [_past(last_sweep(options.store))]


def _quoted(text: str) -> str:
    """Return a text as Hydra's override grammar reads it back."""
    # Backslashes count only where they stand before a quote, or at the end.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


def _past(found: Found) -> Report:
    numbers = None if found.number is None else [found.number]
    return report(found.paths, found.record, is_past=True, numbers=numbers)


def _now(options: argparse.Namespace, overrides: Sequence[str]) -> Report:
    from parcache.cli.rerun import app_named, app_of, explained_run
    from parcache.store.paths import StorePaths

    if options.app is not None or options.module is not None:
        app = app_named(options.app, options.module)
    else:
        app = app_of(last_sweep(options.store, of_app=True).record.heading)
    flags = [
        f"{flag}={value}"
        for flag, value in (
            ("--config-name", options.config_name),
            ("--config-path", options.config_path),
            ("--config-dir", options.config_dir),
        )
        if value is not None
    ]
    store = [f"hydra.launcher.cache.dir={_quoted(os.path.abspath(options.store))}"] if options.store else []
    record = explained_run(app._replace(flags=(*app.flags, *flags)), [*store, *overrides])
    return report(StorePaths(record.heading.store), record, is_past=False)
