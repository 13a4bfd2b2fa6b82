"""What a sweep puts up with: how often a job is tried, how long it may run, when the sweep gives up."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Policy(Enum):
    """What the failure of a job does to the others."""

    CONTINUE = "continue"
    STOP = "stop"


class Limits(NamedTuple):
    """The settings below ``failures``.

    ``retries`` is how often a job that failed is run again, ``timeout_s`` how long it may run (s). After more than
    ``max_failures`` jobs have failed for good, none is started any more, whatever the policy.
    """

    policy: Policy = Policy.CONTINUE
    max_failures: int | None = None
    retries: int = 0
    timeout_s: float | None = None

    def are_reached(self, failed: int) -> bool:
        """Tell whether a sweep ends after so many failures."""
        if failed and self.policy is Policy.STOP:
            return True
        return self.max_failures is not None and failed > self.max_failures


NO_LIMITS: Final = Limits()
