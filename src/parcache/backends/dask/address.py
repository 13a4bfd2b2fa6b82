"""Where a Dask scheduler is that runs already: at an address, or at the one that its scheduler file tells."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Final

from parcache.backends.dask.settings import PREFIX
from parcache.errors import SettingError

log = logging.getLogger("parcache")

_KEY: Final = f"{PREFIX}.address"
_POLL_S: Final = 0.1


def find_scheduler(setting: str, limit_s: float, clock: Callable[[], float] = time.monotonic) -> str:
    """Return a scheduler's address. Its file may be written only now: it is waited for, as long as for an answer.

    Dask's own client would wait for that file without an end, in a thread that hears of no signal.

    Raises:
        SettingError: There is no such file.
    """
    return _told_by_file(setting, limit_s, clock) if setting.endswith(".json") else setting


def _told_by_file(path: str, limit_s: float, clock: Callable[[], float]) -> str:
    until_s = clock() + limit_s
    has_told = False
    while True:
        try:
            with open(path, encoding="utf-8") as file:
                return str(json.load(file)["address"])
        except OSError as error:
            problem = error.strerror or str(error)
        except (ValueError, KeyError, TypeError):
            problem = "it is no JSON with an address"
        if clock() > until_s:
            remedy = f"({problem}, for {limit_s:g} s). Start one: dask scheduler --scheduler-file {path}"
            raise SettingError(_KEY, path, f"the file of a running Dask scheduler {remedy}")
        if not has_told:
            has_told = True
            log.info("Waiting %g s at most for the scheduler file %s", limit_s, path)
        time.sleep(_POLL_S)
