"""Composing jobs: each once, in the sweeping process. What is composed here is what is keyed, shipped and run."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import env_override
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from parcache.hydra.plain import PlainConfig, to_plain


@dataclass(frozen=True, slots=True)
class ComposedJob:
    """A job's whole config (task and ``hydra`` node) as Hydra composed it, and the task overrides that led to it."""

    number: int
    overrides: tuple[str, ...]
    config: DictConfig
    output_dir: str


def compose_job(context: HydraContext, master: DictConfig, overrides: Sequence[str], number: int) -> ComposedJob:
    """Compose one job of a sweep, exactly as Hydra's own launcher does.

    Raises:
        Exception: Whatever Hydra raises for overrides that do not compose.
    """
    config: DictConfig = context.config_loader.load_sweep_config(master, list(overrides))
    with open_dict(config):
        config.hydra.job.id = str(number)
        config.hydra.job.num = number
    shown = tuple(str(item) for item in OmegaConf.to_container(config.hydra.overrides.task) or ())
    with _in_force(config):
        output_dir = os.path.join(
            str(OmegaConf.select(config, "hydra.sweep.dir")), str(OmegaConf.select(config, "hydra.sweep.subdir"))
        )
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = os.path.abspath(output_dir)
    return ComposedJob(number, shown, config, output_dir)


def task_config(config: DictConfig) -> DictConfig:
    """Return the part of a job's config that its task function gets, as a copy."""
    task: DictConfig = copy.deepcopy(config)
    with read_write(task), open_dict(task):
        del task["hydra"]
    return task


def plain_config(job: ComposedJob) -> PlainConfig:
    """Return the plain form of a job's task config, resolved as the job will see it.

    Raises:
        UnkeyableConfigError: It is nested too deeply.
    """
    # env_set is in force while the task reads its config, so it is while the config is keyed.
    with _in_force(job.config), env_override(dict(job.config.hydra.job.env_set)):
        return to_plain(task_config(job.config))


@contextmanager
def _in_force(config: DictConfig) -> Iterator[None]:
    """Let ``${hydra:...}`` resolve against this config."""
    singleton = HydraConfig.instance()
    previous = singleton.cfg
    singleton.set_config(config)
    try:
        yield
    finally:
        singleton.cfg = previous
