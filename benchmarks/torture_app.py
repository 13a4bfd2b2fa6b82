"""The app that is tortured, its deeds, and the sweeper that counts what comes back to it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

OUTSIDE: Final = "outside"
# The deed by the name of its function, and how it is shown.
DEEDS: Final = {
    "killed": "killed by SIGKILL",
    "segfault": "segfault (ctypes)",
    "os_exit": "os._exit(1)",
    "sys_exit": "sys.exit(1)",
    "unpicklable_result": "result cannot be pickled",
    "hostile_exception": "exception cannot be unpickled",
    OUTSIDE: "worker killed from outside",
}
_DEEDS: Final = '''\
"""What jobs do: nothing for a moment, or something terrible."""

import ctypes
import os
import signal
import sys
import threading
import time


class PickyError(Exception):
    """An exception that pickle writes and cannot read."""

    def __init__(self, one, two):
        super().__init__(one)


def mark(name):
    """Leave a mark for the benchmark."""
    os.close(os.open(os.path.join(os.environ["MARKS"], name), os.O_CREAT | os.O_WRONLY))


def killed(cfg):
    os.kill(os.getpid(), signal.SIGKILL)


def segfault(cfg):
    ctypes.string_at(0)


def os_exit(cfg):
    os._exit(1)


def sys_exit(cfg):
    sys.exit(1)


def unpicklable_result(cfg):
    return threading.Lock()


def hostile_exception(cfg):
    raise PickyError("one", "two")


def outside(cfg):
    """Ask to be killed, once; do as the healthy do when run again."""
    asked = os.environ["OUTSIDE"] + "-asked"
    if not os.path.exists(asked):
        os.mkdir(asked)
        with open(os.environ["OUTSIDE"], "w") as pipe:
            pipe.write(f"{os.getpid()}\\n")
        time.sleep(600)
    return healthy(cfg)


def healthy(cfg):
    time.sleep(0.1)
    mark(f"ended-{cfg.n}")
    return cfg.n
'''
_PROGRAM: Final = '''\
"""Jobs, one of which is the victim."""

import deeds
import hydra


@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    """Do the deed, or be well."""
    return getattr(deeds, cfg.deed if cfg.n == cfg.victim else "healthy")(cfg)


if __name__ == "__main__":
    main()
'''
_CONFIG: Final = """\
defaults:
  - _self_
  - override hydra/sweeper: counting
n: 0
deed: healthy
victim: -1
"""
_SWEEPER: Final = '''\
"""Hydra's basic sweeper, which notes the jobs that come back to it as completed."""

import os
import re

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobStatus


class CountingSweeper(BasicSweeper):
    def setup(self, **parts):
        super().setup(**parts)
        launch = self.launcher.launch

        def counted(*arguments, **options):
            returned = launch(*arguments, **options)
            for job in returned:
                if job.status is JobStatus.COMPLETED:
                    number = re.search(r"\\bn=(\\d+)", " ".join(job.overrides))[1]
                    open(os.path.join(os.environ["MARKS"], f"returned-{number}"), "w").close()
            return returned

        self.launcher.launch = counted
'''
_FILES: Final = {
    "app.py": _PROGRAM,
    "deeds.py": _DEEDS,
    "conf/config.yaml": _CONFIG,
    "conf/hydra/sweeper/counting.yaml": "_target_: hydra_plugins.counting_sweeper.CountingSweeper\n"
    "max_batch_size: null\nparams: null\n",
    "hydra_plugins/counting_sweeper.py": _SWEEPER,
}


def write_tortured_app(folder: Path) -> None:
    """Write the app: ``deed`` is what the job whose ``n`` is ``victim`` does."""
    for name, text in _FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
