"""Settings of a backend that depend on the job: each is what the job's own config makes of its interpolations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from parcache.errors import SettingError
from parcache.hydra.base import in_force, live_hydra_config
from parcache.hydra.compose import ComposedJob


def settings_per_job(jobs: Sequence[ComposedJob], names: Sequence[str]) -> dict[int, Mapping[str, Any]]:
    """Return these settings of each job, by its number.

    Raises:
        SettingError: One cannot be resolved.
    """
    found: dict[int, Mapping[str, Any]] = {}
    if not names:
        return found
    last: tuple[int, frozenset[Any]] | None = None
    config: Any = None
    for job in jobs:
        # Cloning a whole config takes some 8 ms, and most jobs of a sweep change the same places.
        kind = id(job.base), frozenset(job.variation.changes)
        if config is None or kind != last:
            config = job.base.whole_config(job.variation)
        else:
            OmegaConf.set_readonly(config.hydra, None)
            job.base.refit(config, job.variation)
        last = kind
        found[job.number] = _resolved(job, config, names)
    return found


def _resolved(job: ComposedJob, config: DictConfig, names: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    with job.environment(), in_force(live_hydra_config(config)):
        backend = config.hydra.launcher.backend
        for name in names:
            try:
                value = backend[name]
                values[name] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            except OmegaConfBaseException as error:
                problem = f"{str(error).splitlines()[0]} (job {job.number})"
                raise SettingError(f"hydra.launcher.backend.{name}", problem, "a value in each job's config") from None
    return values
