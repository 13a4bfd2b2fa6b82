"""The settings of the backend ``dask``, checked before anything of Dask is imported."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from parcache.backends import machine
from parcache.backends.slots import check_workers, number_of_workers, seconds, whole_number
from parcache.errors import BackendNotInstalledError, SettingError

PREFIX: Final = "hydra.launcher.backend"
REMEDY: Final = "Install it: pip install 'parcache[dask]'"
_LEVELS: Final = ("debug", "info", "warning", "error", "critical")


class Adapt(NamedTuple):
    """Between how many workers a cluster adapts; ``others`` goes to the cluster's ``adapt`` as it is."""

    minimum: int
    maximum: int
    others: Mapping[str, Any]


class Settings(NamedTuple):
    """What the user has set. Where neither ``address`` nor ``target`` is there, the cluster is a local one."""

    address: str | None
    target: str | None
    arguments: Mapping[str, Any]
    workers: int | None
    threads_per_worker: int
    memory_limit: str | int | None
    scale: int | None
    adapt: Adapt | None
    wait_s: float | None
    log_level: int

    @property
    def name(self) -> str:
        """What the cluster is called in messages."""
        return self.address or self.target or "the local Dask cluster"

    @property
    def is_ours(self) -> bool:
        """Tell whether the cluster is made, and closed, by this backend."""
        return self.address is None


def read_settings(
    *,
    address: object,
    cluster: object,
    workers: Any,
    threads_per_worker: object,
    memory_limit: Any,
    scale: object,
    adapt: object,
    wait_s: object,
    log_level: object,
) -> Settings:
    """Return the settings as values.

    Raises:
        SettingError: One of them is not what it can be, or two exclude each other.
        BackendNotInstalledError: The cluster's class comes from a package of the extra that is not installed.
    """
    if address is not None and (not isinstance(address, str) or not address.strip()):
        raise SettingError(f"{PREFIX}.address", address, "a scheduler's address such as tcp://HOST:8786, or null")
    target, arguments = _cluster(cluster)
    check_workers(workers)
    key = f"{PREFIX}.memory_limit"
    if type(memory_limit) is bool or not isinstance(memory_limit, (str, int, type(None))):
        raise SettingError(key, memory_limit, "a size such as 4GB, or null for no limit")
    adapted = _adapt(adapt)
    scaled = None if scale is None else whole_number(f"{PREFIX}.scale", scale)
    if address is not None and target is not None:
        raise SettingError(f"{PREFIX}.address", address, "null where cluster is set: jobs go to one of them")
    if address is not None and (scaled is not None or adapted is not None):
        name = "adapt" if scaled is None else "scale"
        raise SettingError(f"{PREFIX}.{name}", scale or adapt, "null where address is set: that cluster is not ours")
    if (address or target) is not None:
        for name, value in (("workers", workers), ("memory_limit", memory_limit)):
            if value is not None:
                raise SettingError(f"{PREFIX}.{name}", value, "null where address or cluster is set")
    elif scaled is not None:
        raise SettingError(f"{PREFIX}.scale", scale, "null without cluster; a local cluster has workers")
    if scaled is not None and adapted is not None:
        raise SettingError(f"{PREFIX}.scale", scale, "null where adapt is set")
    return Settings(
        None if address is None else address.strip(),
        target,
        arguments,
        workers,
        whole_number(f"{PREFIX}.threads_per_worker", threads_per_worker),
        memory_limit,
        scaled,
        adapted,
        None if wait_s is None else seconds(f"{PREFIX}.wait_s", wait_s),
        _level(log_level),
    )


def read_resources(key: str, found: object) -> dict[str, float]:
    """Return what a job takes of its worker's resources.

    Raises:
        SettingError: It is not a mapping of names to amounts.
    """
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise SettingError(key, found, "a mapping of resources to amounts, such as {GPU: 1}")
    for name, amount in found.items():
        if not isinstance(name, str) or type(amount) not in (int, float) or not amount >= 0:
            raise SettingError(key, found, "a mapping of resources to amounts, such as {GPU: 1}")
    return {name: amount for name, amount in found.items() if amount}


def number_of_local_workers(settings: Settings) -> int:
    """Return how many workers a local cluster has."""
    return number_of_workers(settings.workers, max(1, machine.cores() // settings.threads_per_worker), 0)


def threads_of_worker(settings: Settings) -> int:
    """Return how many threads a worker will have, as far as the settings tell before the first one is there."""
    if settings.target is None:
        return settings.threads_per_worker if settings.is_ours else 1
    given = settings.arguments
    threads = given.get("threads_per_worker")
    if type(threads) is not int and type(given.get("cores")) is int:  # dask-jobqueue shares them among its processes
        threads = given["cores"] // max(1, given.get("processes") or 1)
    return max(1, threads) if type(threads) is int else 1


def memory_bytes(settings: Settings) -> int | None:
    """Return what the jobs of one worker may use together; None for no limit.

    Raises:
        SettingError: It is no size.
    """
    from dask.utils import parse_bytes

    if settings.memory_limit is None:
        return None
    try:
        return int(parse_bytes(settings.memory_limit))
    except ValueError:
        raise SettingError(f"{PREFIX}.memory_limit", settings.memory_limit, "a size such as 4GB, or null") from None


def cluster_class(target: str) -> Any:
    """Return the class, or function, that a dotted path names.

    Raises:
        SettingError: There is none.
    """
    module, _, name = target.rpartition(".")
    try:
        with _keeping_signals():
            found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever its module does when it is imported
        expected = f"the dotted path of a cluster class ({type(error).__name__}: {error})"
        raise SettingError(f"{PREFIX}.cluster._target_", target, expected) from None
    if not callable(found):
        raise SettingError(f"{PREFIX}.cluster._target_", target, "the dotted path of a cluster class")
    return found


@contextmanager
def _keeping_signals() -> Iterator[None]:
    """Undo what dask-jobqueue 0.9 does when it is imported: it has a Ctrl-C end the program with exit code 0."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _cluster(found: object) -> tuple[str | None, Mapping[str, Any]]:
    key = f"{PREFIX}.cluster"
    if found is None:
        return None, {}
    target = found.get("_target_") if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not isinstance(target, str) or "." not in target:
        expected = "a mapping with the cluster class as _target_, such as {_target_: dask_jobqueue.SLURMCluster}"
        raise SettingError(key, found, expected)
    root = target.partition(".")[0]
    if root == "dask_jobqueue" and importlib.util.find_spec(root) is None:
        raise BackendNotInstalledError("dask", root, REMEDY)
    return target, {str(name): value for name, value in found.items() if name != "_target_"}


def _adapt(found: object) -> Adapt | None:
    key = f"{PREFIX}.adapt"
    if found is None:
        return None
    if not isinstance(found, Mapping) or "maximum" not in found:
        raise SettingError(key, found, "a mapping such as {minimum: 0, maximum: 10}")
    others = {str(name): value for name, value in found.items() if name not in ("minimum", "maximum")}
    minimum, maximum = found.get("minimum", 0), whole_number(f"{key}.maximum", found["maximum"])
    if type(minimum) is not int or not 0 <= minimum <= maximum:
        raise SettingError(f"{key}.minimum", minimum, f"a whole number from 0 to {maximum}")
    return Adapt(minimum, maximum, others)


def _level(found: object) -> int:
    text = str(found).lower()
    if text not in _LEVELS:
        raise SettingError(f"{PREFIX}.log_level", found, f"one of {', '.join(_LEVELS)}")
    return int(getattr(logging, text.upper()))
