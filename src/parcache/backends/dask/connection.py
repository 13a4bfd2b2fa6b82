"""A Dask cluster for as long as a sweep needs it: made or found, and left in order on every way out."""

from __future__ import annotations

import asyncio
import logging
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

from parcache.backends.dask import clusters, dashboard, relay
from parcache.backends.dask.address import find_scheduler
from parcache.backends.dask.calls import Calls
from parcache.backends.dask.quiet import quieten
from parcache.backends.dask.settings import PREFIX, Settings
from parcache.backends.dask.watch import Watch
from parcache.errors import DaskVersionError, SettingError, WorkerDiedError

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger("parcache")

_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 15.0


class Connection:
    """An open connection; ``close`` may be called from any thread, and more than once.

    Raises:
        SettingError: The cluster cannot be made or reached with these settings.
        DaskVersionError: Its scheduler or a worker has another Python.
    """

    def __init__(self, settings: Settings, topic: str, assigned: relay.Assignment) -> None:
        self._settings = settings
        self._topic = topic
        self._lock = threading.Lock()
        self._exits = ExitStack()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Dask about its own settings, such as a port that is taken
                self._open(assigned)
        except BaseException:
            self.close()
            raise

    def _open(self, assigned: relay.Assignment) -> None:
        import dask
        import distributed  # noqa: F401 # configures its logging when it is imported, not later

        self._exits.callback(quieten(self._settings.log_level))
        own = {
            # A call whose worker is lost is not run again by Dask: that is decided above the backends.
            "distributed.scheduler.allowed-failures": 0,
            "distributed.admin.large-graph-warning-threshold": "1TB",
        }
        self._exits.enter_context(dask.config.set(own))
        cluster = clusters.make_cluster(self._settings, self._exits.callback) if self._settings.is_ours else None
        client = self._client = self._connect(cluster)
        self.calls = Calls(client, self._topic)
        self._exits.callback(self._leave)
        if cluster is not None:
            with suppress(Exception):  # a scheduler may let nobody in
                client.run_on_scheduler(_allow_no_failures)
        _check_versions(self._ask(lambda: client.get_versions(packages=["parcache"])), assigned.versions)
        client.subscribe_topic(self._topic, self.calls.take)
        client.register_plugin(relay.plugin(assigned))
        if cluster is not None:
            clusters.scale(cluster, self._settings)
        self.watch = Watch(client, cluster, self.calls, self._settings)
        self._exits.callback(self.watch.stop)
        self.watch.start()
        with suppress(Exception):  # the link may have a form of the user's own, with variables that are not set
            if dashboard.is_shown(client):
                log.info("Dask dashboard: %s", client.dashboard_link)

    def close(self) -> None:
        """End what runs, and the cluster if it is ours. What has not ended fails."""
        with self._lock:
            self._exits.close()

    def _connect(self, cluster: Any) -> Client:
        from distributed import Client

        address = self._settings.address
        target = cluster if address is None else find_scheduler(address, _CONNECT_S)
        try:
            client = Client(target, set_as_default=False, timeout=_CONNECT_S)
        except (OSError, ValueError, TypeError) as error:
            if cluster is not None:
                raise
            expected = f"the address of a running Dask scheduler ({type(error).__name__}: {error})"
            raise SettingError(f"{PREFIX}.address", address, expected) from error
        self._exits.callback(_tolerating(lambda: client.close(timeout=_ANSWER_S)))
        return client

    def _leave(self) -> None:
        """Take back what is ours: with the plugin the workers lose the processes that run our calls."""
        if self._client.status == "running":
            with suppress(Exception):
                self._ask(lambda: self._client.unregister_worker_plugin(self._topic))
            with suppress(Exception):
                self._ask(lambda: self._client.run_on_scheduler(_forget, self._topic))
        self.calls.fail_all(WorkerDiedError(None, "it was stopped"))

    def _ask(self, question: Callable[[], Any]) -> Any:
        async def answer() -> Any:
            return await asyncio.wait_for(question(), _ANSWER_S)

        return self._client.sync(answer)


def _allow_no_failures(dask_scheduler: Any) -> None:
    dask_scheduler.allowed_failures = 0


def _forget(topic: str, dask_scheduler: Any) -> None:
    """Drop what a scheduler keeps of a topic that nobody will ask for again; no interface of Dask's does.

    Nor is the topic given up by the client before: that message, on its way by itself, would make it anew.
    """
    broker = getattr(dask_scheduler, "_broker", None)
    getattr(broker, "_topics", {}).pop(topic, None)


def _check_versions(found: Mapping[str, Any], here: Mapping[str, str]) -> None:
    """Refuse what calls cannot travel to; what else differs the workers tell themselves."""
    places = {"Dask scheduler": found.get("scheduler") or {}}
    places |= {f"Dask worker at {address}": told for address, told in (found.get("workers") or {}).items()}
    for place, told in places.items():
        python = ".".join(str(told.get("host", {}).get("python", here["python"])).split(".")[:2])
        if python != here["python"]:
            raise DaskVersionError(place, f"Python {python}", f"Python {here['python']}")
        if place != "Dask scheduler" and not told.get("packages", {}).get("parcache"):
            raise DaskVersionError(place, "no parcache", f"parcache {here['parcache']}")


def _tolerating(function: Callable[[], object]) -> Callable[[], None]:
    def tolerating() -> None:
        with suppress(Exception):
            function()

    return tolerating
