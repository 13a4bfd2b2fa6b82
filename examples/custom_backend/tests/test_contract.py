"""The contract of parcache's backends, on this one. To be run where the package is installed."""

from __future__ import annotations

from parcache.testing import BackendContract


class TestFresh(BackendContract):
    overrides = ("hydra/launcher/backend=fresh",)
