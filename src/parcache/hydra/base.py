"""A base: one config that Hydra composed, and the jobs that differ from it in values only.

Of a job, only its ``Variation`` is kept, compared and sent to a worker; its configs are copied off the base when
somebody looks at them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any, Final, NamedTuple

from hydra.core import utils as core_utils
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write
from omegaconf.base import Node
from omegaconf.errors import OmegaConfBaseException

from parcache.hydra.nodes import Place, clone, find, put
from parcache.hydra.plain import Reading, plain_parts
from parcache.hydra.values import InvolvedError, Values

_NUMBER: Final = ("hydra", "job", "num")
_ID: Final = ("hydra", "job", "id")
_OUTPUT_DIR: Final = ("hydra", "runtime", "output_dir")
_DIRNAME: Final = ("hydra", "job", "override_dirname")
_TASK_OVERRIDES: Final = ("hydra", "overrides", "task")
# Resolvers that return the same for the same arguments and the same config and environment.
_REPEATABLE: Final = frozenset({"oc.env", "oc.decode", "oc.coerce", "hydra", "python_version"})


class Variation(NamedTuple):
    """What a job has of its own.

    ``changes`` are the new values of leaves (primitives), or whole nodes, by their places in the task config.
    ``overrides`` are the job's task overrides. ``dirname`` is its ``hydra.job.override_dirname`` where Hydra sets that
    as a string (1.3), else None. Of a job that is not launched yet the rest is None: its ``number``, its directory as
    ``hydra.sweep`` has it (``folder``, perhaps relative to where the sweep was started) and that as an absolute path.
    """

    changes: Mapping[Place, Any] = {}
    overrides: tuple[str, ...] = ()
    dirname: str | None = None
    number: int | None = None
    folder: str | None = None
    output_dir: str | None = None
    cache: dict[str, Any] | None = None
    """What resolvers returned while the directory was worked out, where that took the job's own config."""

    def own_values(self) -> dict[Place, Any]:
        """Return the leaves of the whole config, the ``hydra`` node's among them, that are this job's own."""
        return {**self.changes, **self._own_in_hydra()}

    def hydra_values(self) -> dict[Place, Any]:
        """Return what is this job's own in the ``hydra`` node."""
        return {_TASK_OVERRIDES: list(self.overrides), **self._own_in_hydra()}

    def _own_in_hydra(self) -> dict[Place, Any]:
        values: dict[Place, Any] = {}
        if self.dirname is not None:
            values[_DIRNAME] = self.dirname
        if self.number is not None:
            values[_NUMBER] = self.number
            values[_ID] = str(self.number)
        if self.output_dir is not None:
            values[_OUTPUT_DIR] = self.output_dir
        return values


class _Constant(NamedTuple):
    """A setting's value, what it follows from, and the environment variables among that."""

    reading: Reading
    value: Any
    variables: Mapping[str, str | None]

    def holds(self) -> bool:
        return all(os.environ.get(name) == value for name, value in self.variables.items())


class Base:
    """A composed config (task and ``hydra`` node, struct mode set), never changed. Picklable; not thread-safe."""

    def __init__(self, config: DictConfig, *, is_shared: bool = True) -> None:
        """Take up a config; ``is_shared``: more than one job can be made of it."""
        self.config = config
        self.is_shared = is_shared

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "is_shared": self.is_shared}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.config = state["config"]
        self.is_shared = state["is_shared"]

    @cached_property
    def values(self) -> Values:
        """Return the values of the leaves."""
        return Values(self.config)

    @cached_property
    def _constants(self) -> dict[Place, _Constant | None]:
        return {}

    @cached_property
    def known(self) -> dict[Any, Any]:
        """Return a place for what others find out about this base, each under a key of its own."""
        return {}

    def whole_config(self, variation: Variation) -> DictConfig:
        """Return a job's whole config as the composition, the launcher and ``run_job`` leave it; the caller's own."""
        config: DictConfig = clone(self.config)
        self.refit(config, variation)
        return config

    def refit(self, config: DictConfig, variation: Variation) -> None:
        """Make a job's whole config of another one's; of one whose variation changes the same places."""
        _set_cache(config, variation)
        for place, value in variation.changes.items():
            put(config, place, clone(value) if isinstance(value, Node) else value)
        self._set_overrides(config, variation)
        if variation.number is not None:
            with open_dict(config):
                config.hydra.job.id = str(variation.number)
                config.hydra.job.num = variation.number
        if variation.output_dir is not None:
            with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
                config.hydra.runtime.output_dir = variation.output_dir

    def task_config(self, variation: Variation) -> DictConfig:
        """Return what the task function gets; the caller's own."""
        config: DictConfig = clone(self._task_template)
        _set_cache(config, variation)
        for place, value in variation.changes.items():
            put(config, place, clone(value) if isinstance(value, Node) else value)
        return config

    def hydra_config(self, variation: Variation) -> DictConfig:
        """Return what a JobReturn has as ``hydra_cfg``; the caller's own."""
        copied: DictConfig = clone(running_hydra_config(self.whole_config(variation)))
        return copied

    def setting(self, place: Place, variation: Variation) -> Any:
        """Return what stands at a place of the whole config, resolved, as plain data.

        Raises:
            OmegaConfBaseException: It cannot be resolved.
        """
        try:
            return self.simple_setting(place, variation)
        except InvolvedError:
            pass
        config = self.whole_config(variation)
        with in_force(live_hydra_config(config)):
            value = OmegaConf.select(config, ".".join(place))
            return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value

    def simple_setting(self, place: Place, variation: Variation) -> Any:
        """Return what stands at a place of the whole config where that takes no config of the job's own.

        Raises:
            InvolvedError: It does.
        """
        if place not in self._constants:
            self._constants[place] = self._constant(place)
        constant = self._constants[place]
        if constant is not None:
            if not constant.reading.places and not constant.variables:
                return constant.value
            own = (*variation.own_values(), _TASK_OVERRIDES)
            if constant.holds() and not any(map(constant.reading.is_touched_by, own)):
                return constant.value
        return self.values.get(place, variation.own_values())

    def _constant(self, place: Place) -> _Constant | None:
        """Return what stands at a place for every job that changes nothing that it reads; None where that varies."""
        config = self.whole_config(Variation(overrides=tuple(listed_overrides(self.config.hydra.overrides.task))))
        node = find(config, place)
        if node is None:
            return None
        known = OmegaConf.get_cache(self.config).get("now", {})
        with in_force(live_hydra_config(config)):
            reading = plain_parts([(place, node)])[place].readings.get(place, Reading())
            settled = all(name in _REPEATABLE or (name == "now" and args in known) for name, args in reading.calls)
            if reading.always or not settled:
                return None
            try:
                value = OmegaConf.select(config, ".".join(place))
            except OmegaConfBaseException:
                return None
        variables = {args[0]: os.environ.get(args[0]) for name, args in reading.calls if name == "oc.env" and args}
        return None if OmegaConf.is_config(value) else _Constant(reading, value, variables)

    @cached_property
    def _task_template(self) -> DictConfig:
        config: DictConfig = clone(self.config)
        with open_dict(config):  # as the launcher does for every job
            pass
        return without_hydra(config)

    @staticmethod
    def _set_overrides(config: DictConfig, variation: Variation) -> None:
        shown = config.hydra.overrides.task
        if listed_overrides(shown) != list(variation.overrides):
            shown.__dict__["_content"] = []
            for text in variation.overrides:
                shown.append(text)
        if variation.dirname is not None:
            config.hydra.job.override_dirname = variation.dirname


def _set_cache(config: DictConfig, variation: Variation) -> None:
    if variation.cache is not None:
        OmegaConf.set_cache(config, variation.cache)  # makes a deep copy


@cache
def resolves_env_set() -> bool:
    """Tell whether this Hydra resolves ``hydra.job.env_set`` in the job's config (1.4 does, 1.3 does not)."""
    return hasattr(core_utils, "_run_job")


def listed_overrides(overrides: ListConfig) -> list[str]:
    """Return overrides as they were written: an interpolation in one is its text."""
    written: Any = OmegaConf.to_container(overrides, resolve=False)
    return [str(item) for item in written]


def without_hydra(config: DictConfig) -> DictConfig:
    """Take the ``hydra`` node out of a config as ``run_job`` does, and return the config."""
    with read_write(config), open_dict(config):
        del config["hydra"]
    return config


def live_hydra_config(config: DictConfig) -> DictConfig:
    """Return what ``HydraConfig`` holds for a job; its interpolations reach into the job's whole config."""
    # As HydraConfig.set_config does, but for two deep copies of the node (5 ms each); a test compares the two.
    OmegaConf.set_readonly(config.hydra, True)
    live = DictConfig({})
    live.__dict__["_content"]["hydra"] = clone(config._get_node("hydra"), config)
    return live


def running_hydra_config(config: DictConfig) -> DictConfig:
    """Return what ``HydraConfig`` holds while the job runs."""
    live = live_hydra_config(config)
    if resolves_env_set() and live.hydra.job.env_set:
        with in_force(live), read_write(live.hydra.job.env_set):
            OmegaConf.resolve(live.hydra.job.env_set)
    return live


@contextmanager
def in_force(live: DictConfig) -> Iterator[None]:
    """Let ``${hydra:...}`` resolve against a ``live_hydra_config``."""
    singleton = HydraConfig.instance()
    previous = singleton.cfg
    singleton.cfg = live  # type: ignore[assignment]  # Hydra itself keeps a DictConfig there
    try:
        yield
    finally:
        singleton.cfg = previous


@contextmanager
def environment(env_set: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables one after the other, as ``run_job`` does, and put all back at the end.

    Raises:
        OmegaConfBaseException: A value of ``env_set``, a config, cannot be resolved.
    """
    before = {name: os.environ.get(name) for name in env_set}
    try:
        for name in env_set:
            os.environ[name] = env_set[name]  # 1.3 resolves it here: it may read those set before
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def job_environment(live: DictConfig) -> Iterator[None]:
    """Put a ``running_hydra_config`` in force, and its ``hydra.job.env_set``.

    Raises:
        OmegaConfBaseException: A value of that cannot be resolved.
    """
    with in_force(live), environment(clone(live).hydra.job.env_set):
        yield
