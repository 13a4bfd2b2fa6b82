"""Run each of Hydra's launcher tests twice in the same place: cold, then with the store that the first left behind.

Jobs that run at once in threads cannot each have a working directory. On Hydra 1.3 that is the suites' default, so
there the cases with two jobs stay where they were started, and those that tell jobs by their working directory run
them one after the other.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.test_utils import launcher_common_tests

from tests.conftest import HYDRA_13

TWO_JOBS = {
    "test_sweep_2_jobs",
    "test_sweep_2_optimizers",
    "test_sweep_over_unspecified_mandatory_default",
    "test_sweep_and_override",
}


def _entries() -> set[Path]:
    return set(Path(os.environ["PARCACHE_DIR"]).glob("entries/*/*.entry"))


@pytest.fixture(autouse=True)
def _threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Hydra 1.3's suites fit for jobs in threads."""
    if not HYDRA_13 or "overrides" not in request.fixturenames or "threading" not in request.node.callspec.id:
        return
    overrides: list[str] = request.getfixturevalue("overrides")
    if request.node.originalname in TWO_JOBS:
        monkeypatch.setattr(launcher_common_tests, "verify_dir_outputs", _verify_dir_outputs)
        overrides = [*overrides, "hydra.job.chdir=false"]
    elif "2_batches" in request.node.originalname:
        overrides = [*overrides, "hydra.launcher.backend.workers=1"]
    request.node.funcargs["overrides"] = overrides


def _verify_dir_outputs(job_return: JobReturn, overrides: list[str] | None = None) -> None:
    """Look where 1.4's own does: 1.3's looks in the working directory."""
    job_return.working_dir = job_return.hydra_cfg.hydra.runtime.output_dir
    VERIFY(job_return, overrides)


VERIFY = launcher_common_tests.verify_dir_outputs


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
