"""The verbs and their arguments. Exit codes: 0 done, 2 wrong usage, 1 anything else."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from parcache import __version__
from parcache.cli import doctor, why
from parcache.cli.output import failed
from parcache.errors import ParcacheError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="parcache", description="Look into the store of sweeps that ran with hydra/launcher=parcache."
    )
    parser.add_argument("--version", action="version", version=f"parcache {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    why.add_parser(verbs)
    doctor.add_parser(verbs)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except ParcacheError as error:
        failed(str(error))
        return 1
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
