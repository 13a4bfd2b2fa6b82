"""The other processes of an allocation that has several: each executes what the agent, its first one, has taken.

That is how a job on several nodes, or with several tasks on one, is started: one process for each rank, which find each
other by what Slurm puts into their environment. The first one's answer counts.
"""

from __future__ import annotations

import os
import pickle
import time
from typing import Final

from parcache.backends.pool import Pool
from parcache.backends.slurm.agent import Orders
from parcache.backends.slurm.shares import environments
from parcache.backends.slurm.spool import Call, Spool, task_of

_PAUSE_S: Final = 0.05
# As long as the agent may take to start, from the moment at which this process has.
_ALONE_S: Final = 60.0


class Follower:
    """One such process. ``task`` is the array task that it belongs to."""

    def __init__(self, spool: Spool, group: int, task: str) -> None:
        self._spool = spool
        self._group = group
        self._task = task
        self._seen: set[Call] = set()

    def __call__(self) -> None:
        """Execute what the agent takes until that has left, or is not there."""
        spool = self._spool
        try:
            orders = Orders.of(spool.orders(self._group))
            setup = pickle.loads(spool.read_setup())._replace(parent=os.getpid())
            pool = Pool(environments(1, orders.threads, os.environ), setup)
        except FileNotFoundError:  # the sweep is over
            return
        started_s = time.monotonic()
        try:
            while spool.closing() is None and not self._has_left(started_s):
                self._follow(pool)
                time.sleep(_PAUSE_S)
        finally:
            pool.stop(cancel=True)

    def _has_left(self, started_s: float) -> bool:
        agents = {agent: left for agent, left in self._spool.agents().items() if task_of(agent) == self._task}
        return all(agents.values()) if agents else time.monotonic() - started_s > _ALONE_S

    def _follow(self, pool: Pool) -> None:
        for claim in self._spool.claims():
            if task_of(claim.agent) == self._task and claim.call not in self._seen:
                self._seen.add(claim.call)
                data = self._spool.peek(claim)
                if data is not None:
                    pool.relay(data)
