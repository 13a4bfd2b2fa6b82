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
# Those whose addresses are a host and a port; what others have, such as inproc, is for Dask to read.
_WITH_PORT: Final = frozenset({"tcp", "tls", "ws", "wss", "ucx"})


def find_scheduler(setting: str, limit_s: float, clock: Callable[[], float] = time.monotonic) -> str:
    """Return a scheduler's address. Its file may be written only now: it is waited for, as long as for an answer.

    Dask's own client would wait for that file without an end, in a thread that hears of no signal.

    Raises:
        SettingError: There is no such file, or no such address can be.
    """
    address = _told_by_file(setting, limit_s, clock) if setting.endswith(".json") else setting
    problem = _problem(address)
    if problem:
        origin = "" if address == setting else f" in place of {address}, which its file names"
        raise SettingError(_KEY, setting, f"a scheduler's address such as tcp://HOST:8786{origin} ({problem})")
    return address


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


def _problem(address: str) -> str:
    """Say why Dask could not read an address; empty where it can.

    Dask's client would say it too, but leaves what it has begun with such a one to a finalizer that takes 20 s.
    """
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.comm.registry import get_backend

    try:
        scheme, place = parse_address(address)
        get_backend(scheme)
        if scheme in _WITH_PORT:
            parse_host_port(place)
    except (ValueError, ImportError) as error:
        return str(error)
    return ""
