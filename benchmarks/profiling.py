"""Where the time of a warm sweep goes: cProfile from the program's first line, and the functions with most own time.

A profile inflates what calls much; take from it where to look, and times from ``sweeps``.
"""

from __future__ import annotations

import io
import pstats
import sys
from pathlib import Path
from typing import Final

from benchmarks.apps import write_small_app
from benchmarks.command import main
from benchmarks.options import Options
from benchmarks.series import Part

_FUNCTIONS_SHOWN: Final = 25
_PROGRAM: Final = '''\
"""The small app under a profiler where PROFILE names a file; the same program without one fills the store."""

import cProfile
import os

profiler = cProfile.Profile()
if os.environ.get("PROFILE"):
    profiler.enable()

import hydra


@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    """Do nothing."""


if __name__ == "__main__":
    main()
    if os.environ.get("PROFILE"):
        profiler.disable()
        profiler.dump_stats(os.environ["PROFILE"])
'''


def measure(options: Options, folder: Path) -> Part:
    """Fill a store, then profile a sweep in which every job is a hit."""
    part = Part("profiling")
    jobs = options.sizes[-1] if options.sizes else 100 if options.quick else 1000
    app = write_small_app(folder)
    (folder / "profiled.py").write_text(_PROGRAM)
    target = folder / "warm.prof"
    store = app.fresh("store")
    app.sweep_with_parcache(jobs, store=store, hits=0, program="profiled.py")
    app.sweep_with_parcache(jobs, store=store, hits=jobs, program="profiled.py", env={"PROFILE": str(target)})
    text = io.StringIO()
    stats = pstats.Stats(str(target), stream=text)
    stats.sort_stats("tottime").print_stats(_FUNCTIONS_SHOWN)
    part.notes.append(f"{jobs} jobs, all of them hits, by own time:\n{text.getvalue().strip()}")
    return part


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "profiling"))
