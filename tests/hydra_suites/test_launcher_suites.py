"""Hydra's own suites for launchers, for each backend."""

from __future__ import annotations

import pytest
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

BACKENDS = ["serial", "process", "threading"]


@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("parcache", [f"hydra/launcher/backend={name}"]) for name in BACKENDS],
    ids=BACKENDS,
)
class TestLauncher(LauncherTestSuite):
    """Single batches."""


@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("parcache", [f"hydra/launcher/backend={name}", "hydra.sweeper.max_batch_size=2"]) for name in BACKENDS],
    ids=BACKENDS,
)
class TestBatchedSweeper(BatchedSweeperTestSuite):
    """Several batches."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({}, ["-m", "hydra/launcher=parcache", f"hydra/launcher/backend={name}"]) for name in BACKENDS],
    ids=BACKENDS,
)
class TestIntegration(IntegrationTestSuite):
    """Whole programs. Warm, their task is a hit: what it printed lies where the cold run left it."""
