"""Looking at a Dask cluster while calls are out: which workers it has, and whether there will be any."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from parcache.backends.dask import clusters
from parcache.backends.dask.calls import Calls
from parcache.backends.dask.groups import Groups
from parcache.backends.dask.refusals import refusal
from parcache.backends.dask.settings import Settings
from parcache.errors import DaskWorkersRefusedError, NoDaskResourcesError, NoDaskWorkerError

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger("parcache")

_LOOK_S: Final = 1.0
_SILENT_S: Final = 10.0
# Workers that are gone for so long are asked for again: a cluster of a fixed size does not do so itself. It takes them
# for gone only after a time of its own.
_REPLACE_S: Final = 5.0
_MOST_DOUBLINGS: Final = 6


class Watch:
    """Looks once a second. All but ``start`` and ``stop`` is for the client's event loop."""

    def __init__(
        self,
        client: Client,
        cluster: Any,
        calls: Calls,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._calls = calls
        self._settings = settings
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._without_s: float | None = None
        self._has_told = False
        self._fewer_s: float | None = None
        gone_after_s = _gone_after_s()
        self._replace_s = _REPLACE_S + gone_after_s
        self._answered = 0
        self._in_vain = 0
        self._groups = Groups(cluster, gone_after_s, clock)
        found = client.nthreads()
        self.workers = len(found)
        self.threads: int = sum(found.values())
        """Of all workers."""

    def start(self) -> None:
        """Begin; from any thread but the event loop's."""
        self._client.sync(self._begin)

    def stop(self) -> None:
        """End; from any thread but the event loop's."""
        with suppress(Exception):
            self._client.sync(self._end)

    async def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._look())

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look(self) -> None:
        while self._calls.problem is None:
            await asyncio.sleep(_LOOK_S)
            try:
                found = await self._client.nthreads()
                self.workers, self.threads = len(found), sum(found.values())
                self._calls.lose(set(found))
                await self._groups.forget_ended()
                await self._replace(len(found))
                if not found and (told := refusal(self._cluster)):
                    await self._give_up_refused(told)
                elif await self._is_hopeless(found):
                    await self._give_up(len(found))
            except Exception as error:  # where the scheduler is gone, the calls are told
                log.debug("The Dask cluster cannot be looked at: %s", error)

    async def _replace(self, workers: int) -> None:
        """Ask again for workers that have ended, as a batch system's do when their time is up.

        Whether the missing ones have ended or are still to come cannot be told: one that comes and ends between two
        looks is never seen. To ask again for those that are to come is to say the same again. Those that come and go,
        and no call is done by them, are asked for less and less often.
        """
        now_s, wanted = self._clock(), self._settings.scale
        if wanted is None or workers >= wanted or not self._calls.calls:
            self._fewer_s = None
            return
        if self._calls.answered != self._answered:
            self._answered, self._in_vain = self._calls.answered, 0
        if self._fewer_s is None:
            self._fewer_s = now_s
        elif now_s - self._fewer_s > self._replace_s * 2 ** min(self._in_vain, _MOST_DOUBLINGS):
            self._fewer_s = now_s
            self._in_vain += 1
            # Not in the event loop, which is the cluster's as well: some classes would wait for it, others for the net.
            with suppress(Exception):
                await asyncio.to_thread(self._cluster.scale, wanted)

    async def _is_hopeless(self, found: Mapping[str, int]) -> bool:
        """Tell whether calls have waited for too long for a worker that could execute one of them."""
        calls = list(self._calls.calls.values())
        waiting = [call for call in calls if call.worker is None]
        is_of_use = len(waiting) < len(calls)  # some run: all would fail with those that wait
        if not waiting or (found and (is_of_use or await self._has_any_of([call.resources for call in waiting]))):
            self._without_s = None
            return False
        now_s, limit_s = self._clock(), self._limit_s(found)
        self._without_s = now_s if self._without_s is None else self._without_s
        waited_s = now_s - self._without_s
        if waited_s > _SILENT_S and not self._has_told:
            self._has_told = True
            log.info("Jobs wait for a worker of %s, %s", self._settings.name, _patience(limit_s))
        return limit_s is not None and waited_s > limit_s

    def _limit_s(self, found: Mapping[str, int]) -> float | None:
        """Return how long to wait: not at all where workers are there that all others will be like."""
        is_local = self._settings.is_ours and self._settings.target is None
        return 0.0 if found and is_local else self._settings.wait_s

    async def _has_any_of(self, wanted: list[Mapping[str, float]]) -> bool:
        """Tell whether some worker has all resources that one of these takes."""
        if not all(wanted):
            return True
        try:
            told = await self._client.scheduler.identity(n_workers=-1)
        except TypeError:  # before 2025 there was no such argument
            told = await self._client.scheduler.identity()
        except Exception:
            return True
        present = [worker.get("resources", {}) for worker in told["workers"].values()]
        return any(
            all(each.get(name, 0) >= amount for name, amount in one.items()) for one in wanted for each in present
        )

    async def _give_up(self, workers: int) -> None:
        name, waited_s = self._settings.name, self._settings.wait_s or 0.0
        if workers:
            waiting = [call for call in list(self._calls.calls.values()) if call.worker is None]
            wanted = next((call.resources for call in waiting if call.resources), {})
            taken = " ".join(f"{resource}={amount:g}" for resource, amount in wanted.items())
            self._calls.fail_all(NoDaskResourcesError(name, workers, taken))
        else:
            told = await asyncio.to_thread(clusters.state, self._cluster)
            self._calls.fail_all(NoDaskWorkerError(name, waited_s, told))

    async def _give_up_refused(self, told: str) -> None:
        """Give up at once: what has been refused is not asked for again, whatever the time."""
        await asyncio.to_thread(clusters.tell_script, self._cluster)
        self._calls.fail_all(DaskWorkersRefusedError(self._settings.name, told))


def _patience(limit_s: float | None) -> str:
    return "as long as it takes" if limit_s is None else f"at most {limit_s:g} s (hydra.launcher.backend.wait_s)"


def _gone_after_s() -> float:
    import dask
    from dask.utils import parse_timedelta

    return float(parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout")))
