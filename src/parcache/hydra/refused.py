"""How a sweep is refused."""

from __future__ import annotations

from hydra.errors import CompactHydraException

from parcache.errors import ParcacheError


class RefusedError(CompactHydraException):
    """A sweep that parcache refuses, as Hydra shows errors: without a traceback. ``error`` is the reason."""

    def __init__(self, error: ParcacheError) -> None:
        super().__init__(str(error))
        self.error = error
