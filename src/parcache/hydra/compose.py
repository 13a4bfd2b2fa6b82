"""A job of a sweep on its way: composed, numbered, and with the directory that it will run in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

from omegaconf import DictConfig

from parcache.hydra.base import Base, Variation, environment, job_environment, running_hydra_config
from parcache.hydra.composer import SweepComposer
from parcache.hydra.layout import layout_of

_NO_NAMES: Final = frozenset({"", ".", ".."})


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
    return _composed(composer, master, overrides, number, {})


def compose_jobs(
    composer: SweepComposer, master: DictConfig, batch: Sequence[Sequence[str]], first: int
) -> list[ComposedJob]:
    """Compose the jobs of one batch; ``first`` is the number of the first.

    Raises:
        Exception: Whatever Hydra raises for the first overrides that do not compose.
    """
    known: dict[str, str] = {}
    return [_composed(composer, master, overrides, number, known) for number, overrides in enumerate(batch, first)]


def _composed(
    composer: SweepComposer, master: DictConfig, overrides: Sequence[str], number: int, known: dict[str, str]
) -> ComposedJob:
    base, made = composer.compose(master, overrides)
    changes, task, dirname, *_ = made
    folder, cache = layout_of(base).folder(Variation(changes, task, dirname, number))
    return ComposedJob(base, Variation(changes, task, dirname, number, folder, _absolute(folder, known), cache))


def _absolute(folder: str, known: dict[str, str]) -> str:
    """Return the absolute path of a folder; ``known`` keeps those of the folders that it lies in."""
    above, _, name = folder.rpartition("/")
    if not above or name in _NO_NAMES or os.sep != "/":
        return os.path.abspath(folder)
    found = known.get(above)
    if found is None:
        found = known[above] = os.path.abspath(above)
    return f"{found}/{name}" if found.strip("/") else os.path.abspath(folder)
