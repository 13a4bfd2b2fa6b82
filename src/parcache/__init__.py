"""Run Hydra sweeps in parallel and never run the same configuration of the same code twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parcache.errors import ParcacheError

if TYPE_CHECKING:
    from parcache.api import sweep

__version__ = "0.1.0"
__all__ = ["ParcacheError", "__version__", "sweep"]


def __getattr__(name: str) -> object:
    """Import the Python API when it is first asked for: it pulls in Hydra."""
    if name == "sweep":
        from parcache.api import sweep

        return sweep
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
