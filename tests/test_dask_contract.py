"""The contract suite on Dask: whole sweeps as on every other backend.

Each has a local cluster of its own, for its workers are to find the environment of their sweep. The Dask workers are
threads of the sweeping process here, which start in a third of the time; jobs run in processes beside them as ever.
"""

from __future__ import annotations

from inspect import signature

import pytest

from tests.test_fidelity import *  # noqa: F403 # what is collected here runs with the fixtures below
from tests.test_jobs_apart import *  # noqa: F403
from tests.test_misfortunes import *  # noqa: F403
from tests.test_sweep import *  # noqa: F403

CLUSTER = "{_target_: distributed.LocalCluster, n_workers: 2, threads_per_worker: 1, processes: false}"


@pytest.fixture
def backend() -> str:
    """Name the backend that is to hold the contract."""
    return "dask"


@pytest.fixture
def launcher() -> list[str]:
    """Return the overrides that choose it."""
    chosen = ["hydra/launcher=parcache", "hydra/launcher/backend=dask", f"hydra.launcher.backend.cluster={CLUSTER}"]
    return ["-m", *chosen]


# What does not ask for a backend has run where it stands.
for _name, _value in list(globals().items()):
    if _name.startswith("test_") and not {"backend", "launcher", "apart"} & set(signature(_value).parameters):
        del globals()[_name]
