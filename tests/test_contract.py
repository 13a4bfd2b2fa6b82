"""The contract of all backends holds on each that is built in; tests/slurm holds it on a real Slurm."""

from __future__ import annotations

import pytest

from parcache.testing import BackendContract


class TestSerial(BackendContract):
    overrides = ("hydra/launcher/backend=serial",)
    has_processes = False


class TestThreading(BackendContract):
    overrides = ("hydra/launcher/backend=threading", "hydra.launcher.backend.workers=2")
    has_processes = False


class TestProcess(BackendContract):
    overrides = ("hydra/launcher/backend=process", "hydra.launcher.backend.workers=2")


class TestSlurmsLocalExecutor(BackendContract):
    overrides = (
        "hydra/launcher/backend=slurm",
        "hydra.launcher.backend.cluster=local",
        "hydra.launcher.backend.tasks=2",
    )


class TestDask(BackendContract):
    overrides = ("hydra/launcher/backend=dask", "hydra.launcher.backend.workers=2")


@pytest.mark.parametrize("name", ["TestSlurmsLocalExecutor", "TestDask"])
def test_contract_is_that_of_all_tests(name: str) -> None:
    """No backend of a cluster is spared a test."""
    given = globals()[name]
    assert not [each for each in vars(given) if each.startswith("test_")]
    assert given.has_processes
