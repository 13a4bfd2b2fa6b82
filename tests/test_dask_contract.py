"""The contract suite on Dask: whole sweeps as on every other backend, each on a local cluster of its own."""

from __future__ import annotations

import pytest

from tests.test_sweep import *  # noqa: F403 # what is collected here runs with the fixture below


@pytest.fixture
def backend() -> str:
    """Name the backend that is to hold the contract."""
    return "dask"
