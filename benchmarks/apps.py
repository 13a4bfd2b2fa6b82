"""The apps that are swept: as small as an app can be, with the config of a real project, and one whose jobs sleep."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks import folders
from benchmarks.clock import FailedRunError, Run, run_program

SMALL_CONFIG: Final = "lr: 0.1\nseed: 1\nmodel: small\n"
WIDE_GROUPS: Final = ("model", "data", "optimizer", "schedule", "trainer", "report")
_SUMMARY: Final = re.compile(r"(\d+) jobs: (\d+) hits, (\d+) misses, (\d+) failed")
_PROGRAM: Final = '''\
"""An app that does nothing."""

import hydra


@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    """Do nothing."""


if __name__ == "__main__":
    main()
'''
_SLEEPING: Final = '''\
"""An app whose jobs sleep, each as long as it is told."""

import time

import hydra

SECONDS = {seconds!r}


@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    """Sleep."""
    time.sleep(SECONDS[cfg.lr - 1])


if __name__ == "__main__":
    main()
'''


@dataclass(frozen=True, slots=True)
class App:
    """An app in a folder of its own: ``app.py``, ``conf/``, and what its runs leave, which is removed after each."""

    folder: Path
    python: str = sys.executable
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self, kind: str) -> Path:
        """Return a path that does not exist yet."""
        return self.folder / "scratch" / f"{kind}-{next(self._numbers)}"

    def start(self) -> Run:
        """Run the app once, without a sweep."""
        target = self.fresh("run")
        try:
            return run_program([self.python, "app.py", f"hydra.run.dir={target}"], self.folder)
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def sweep(self, jobs: int, *overrides: str, keep: Path | None = None) -> Run:
        """Sweep over as many values of ``lr`` with a launcher of choice, into a fresh folder or the one to keep.

        Raises:
            FailedRunError: The program fails, or not every job has its folder afterwards.
        """
        return self._sweep("app.py", jobs, overrides, {}, keep)

    def sweep_with_parcache(
        self,
        jobs: int,
        *overrides: str,
        store: Path,
        hits: int,
        program: str = "app.py",
        env: dict[str, str] | None = None,
        keep: Path | None = None,
    ) -> Run:
        """Sweep with parcache and a store of choice.

        Raises:
            FailedRunError: As above, or there were more or fewer hits, or failures.
        """
        surroundings = {"PARCACHE_DIR": str(store), **(env or {})}
        run = self._sweep(program, jobs, ("hydra/launcher=parcache", *overrides), surroundings, keep)
        found = [tuple(map(int, match)) for match in _SUMMARY.findall(run.output)]
        if found != [(jobs, hits, jobs - hits, 0)]:
            raise FailedRunError(
                f"expected {hits} hits of {jobs} jobs, the summary says {found}:\n{run.output[-2000:]}"
            )
        return run

    def job_folder(self) -> Path:
        """Return what a job leaves behind, made by Hydra's own launcher: the template of ``folders``."""
        kept = self.fresh("template")
        self.sweep(1, "hydra/launcher=basic", keep=kept)
        return kept / "0"

    def write_folders(self, template: Path, jobs: int, processes: int = 1) -> float:
        """Return the seconds in which as many jobs' folders and files are written, by one process or several."""
        target = self.fresh("folders")
        command = [self.python, str(folders.__file__), str(template), str(target), str(jobs), str(processes)]
        try:
            return float(run_program(command, self.folder).output)
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def _sweep(
        self, program: str, jobs: int, overrides: tuple[str, ...], env: dict[str, str], keep: Path | None
    ) -> Run:
        target = keep or self.fresh("sweep")
        swept = f"lr=range(1,{jobs + 1})"
        command = [self.python, program, "-m", swept, f"hydra.sweep.dir={target}", *overrides]
        try:
            run = run_program(command, self.folder, env)
            missing = [
                number for number in range(jobs) if not (target / str(number) / ".hydra" / "config.yaml").exists()
            ]
        finally:
            if keep is None:
                shutil.rmtree(target, ignore_errors=True)
        if missing:
            raise FailedRunError(f"{' '.join(command)} left no folder for jobs {missing[:5]}:\n{run.output[-2000:]}")
        return run


def write_small_app(folder: Path) -> App:
    """Write an app with a config of three lines and an empty task."""
    _write(folder / "app.py", _PROGRAM)
    _write(folder / "conf" / "config.yaml", SMALL_CONFIG)
    return App(folder)


def write_sleeping_app(folder: Path, seconds: Sequence[float]) -> App:
    """Write an app whose jobs, in the order of the sweep, sleep for so many seconds."""
    _write(folder / "app.py", _SLEEPING.format(seconds=list(seconds)))
    _write(folder / "conf" / "config.yaml", SMALL_CONFIG)
    return App(folder)


def write_wide_app(folder: Path) -> App:
    """Write an app whose config has 60 keys in six groups, one of each group's an interpolation into the next."""
    _write(folder / "app.py", _PROGRAM)
    defaults = ["_self_", *({group: "base"} for group in WIDE_GROUPS)]
    _write(folder / "conf" / "config.yaml", yaml.safe_dump({"defaults": defaults}))
    for group, following in zip(WIDE_GROUPS, (*WIDE_GROUPS[1:], WIDE_GROUPS[0]), strict=True):
        _write(folder / "conf" / group / "base.yaml", yaml.safe_dump(_wide_group(following), sort_keys=False))
    return App(folder)


def _wide_group(following: str) -> dict[str, Any]:
    return {
        "name": "base",
        "width": 256,
        "depth": 4,
        "rate": 0.001,
        "decay": 0.9,
        "enabled": True,
        "limit": None,
        "sizes": [64, 128, 256],
        "path": "data/base",
        "linked": f"${{{following}.rate}}",
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
