"""What a test that needs a cluster does where there can be none."""

from __future__ import annotations

import os

import pytest


def need(reason: str | None) -> None:
    """Skip where there is a reason, or fail where skipping is forbidden."""
    if reason is not None and os.environ.get("PARCACHE_REQUIRE_SLURM") == "1":
        pytest.fail(f"PARCACHE_REQUIRE_SLURM=1, but {reason}")
    if reason is not None:
        pytest.skip(reason)
