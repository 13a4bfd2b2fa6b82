"""All that the benchmarks use of parcache's inner parts, in one function: what changes inside changes here alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from parcache.hydra.compose import compose_job
from parcache.hydra.composer import SweepComposer
from parcache.hydra.keyring import Keyring
from parcache.hydra.settings import CacheSettings, Code, Mode
from parcache.keys.fingerprint import Fingerprinter
from parcache.keys.task import identify
from parcache.model import Job
from parcache.run.parts import Parts
from parcache.store.store import Store


@dataclass(frozen=True, slots=True)
class ParcacheSide:
    """What the sweeping process does for a job: make its key, and what travels to a worker."""

    key: Callable[[Sequence[str], int], Job]
    unit: Callable[[Sequence[str], int], Any]


def parcache_side(loader: ConfigLoader, master: DictConfig, store: Path) -> ParcacheSide:
    """Return parcache as it stands at the start of a sweep: nothing composed, nothing fingerprinted yet."""
    composer = SweepComposer(loader)
    cache = CacheSettings(str(store), Mode.USE, salt="", env=(), ignore=(), code=Code.CLOSURE)
    fingerprinter = Fingerprinter(identify(_task))
    keyring = Keyring(cache, Store.open(str(store), writable=True), fingerprinter, _refuse, Parts(), writes=True)

    def key(overrides: Sequence[str], number: int) -> Job:
        return keyring.job(compose_job(composer, master, overrides, number))

    def unit(overrides: Sequence[str], number: int) -> Any:
        composed = compose_job(composer, master, overrides, number)
        return keyring.unit(keyring.job(composed), composed)

    return ParcacheSide(key, unit)


def _task(config: DictConfig) -> None:
    """Do nothing: the task of the sweeps that never run."""


def _refuse(message: str, number: int) -> None:
    raise RuntimeError(f"job {number} has no key, so there is nothing to measure: {message}")
