"""Run each of Hydra's launcher tests twice in the same place: cold, then with the store that the first left behind."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
from hydra.core.singleton import Singleton


def _entries() -> set[Path]:
    return set(Path(os.environ["PARCACHE_DIR"]).glob("entries/*/*.entry"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Call the test cold and warm; warm, nothing may be computed that the store already holds."""
    names = pyfuncitem._fixtureinfo.argnames
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}
    cold = {name: copy.deepcopy(value) if isinstance(value, list) else value for name, value in arguments.items()}
    state = copy.deepcopy(Singleton.get_state())
    pyfuncitem.obj(**cold)
    written = _entries()
    times = {path: path.stat().st_mtime_ns for path in written}
    Singleton.set_state(state)
    if "to_absolute_path" in pyfuncitem.name:
        # Two programs write the same file, so what a hit leaves untouched would be the other one's: in a folder of
        # its own the task is another one, and the store must not take it for the first.
        pyfuncitem.obj(**{**arguments, "tmpdir": arguments["tmpdir"].mkdir("warm")})
        assert len(_entries()) == 2 * len(written)
        return True
    pyfuncitem.obj(**arguments)
    assert _entries() == written, "the warm run stored what the cold run had not"
    assert {path: path.stat().st_mtime_ns for path in written} == times, "the warm run computed a stored result again"
    if "sweep_1_job" in pyfuncitem.name and "bad_key" not in pyfuncitem.name:
        assert written, "the cold run stored nothing: the warm run proves nothing"
    return True
