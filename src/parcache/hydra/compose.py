"""A job of a sweep on its way: composed, numbered, and with the directory that it will run in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from omegaconf import DictConfig

from parcache.hydra.base import Base, Variation, environment, job_environment, running_hydra_config
from parcache.hydra.composer import SweepComposer
from parcache.hydra.layout import layout_of


class ComposedJob(NamedTuple):
    """A job as Hydra composes it: a base, and what it has of its own."""

    base: Base
    variation: Variation

    @property
    def number(self) -> int:
        """Return the job's number in the sweep."""
        return int(self.variation.number or 0)

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return the job's task overrides."""
        return self.variation.overrides

    @property
    def output_dir(self) -> str:
        """Return the job's directory, an absolute path."""
        return str(self.variation.output_dir)

    def environment(self) -> AbstractContextManager[None]:
        """Return a context in which the environment variables are those that the job will see.

        Raises:
            OmegaConfBaseException: On entering, where ``hydra.job.env_set`` cannot be resolved.
        """
        layout = layout_of(self.base)
        if layout.env_set_varies:
            return job_environment(running_hydra_config(self.base.whole_config(self.variation)))
        return environment(layout.env_set)


def compose_job(composer: SweepComposer, master: DictConfig, overrides: Sequence[str], number: int) -> ComposedJob:
    """Compose one job of a sweep as Hydra's own launchers do.

    Raises:
        Exception: Whatever Hydra raises for overrides that do not compose.
    """
    composed = composer.compose(master, overrides)
    base, made = composed.base, composed.variation
    folder, cache = layout_of(base).folder(Variation(made.changes, made.overrides, made.dirname, number))
    placed = Variation(made.changes, made.overrides, made.dirname, number, folder, os.path.abspath(folder), cache)
    return ComposedJob(base, placed)
