"""The canonical forms of all jobs of one base, each at the cost of what differs.

The base's task config is brought into plain form once. For a job, only its own values and the interpolations that
they reach are looked at again: simple ones by ``Values``, the others by OmegaConf, on a copy of the base into which
the job's values are put for that moment.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.base import Node

from parcache.hydra.base import (
    Base,
    Variation,
    environment,
    in_force,
    job_environment,
    live_hydra_config,
    running_hydra_config,
)
from parcache.hydra.layout import layout_of
from parcache.hydra.nodes import Place, clone, find, put
from parcache.hydra.plain import PlainConfig, Reading, plain_parts, shown, to_plain
from parcache.hydra.values import InvolvedError, Values
from parcache.keys.canonical import Outline, describe, digest, encode, prune
from parcache.keys.dotted import dotted_names

T = TypeVar("T")
# What a job's number and directory are does not matter to a key, but interpolations that use them have to resolve.
_SOME_JOB: Final = Variation(number=0, folder=".", output_dir="/")
_OVERRIDES: Final = ("hydra", "overrides", "task")
_CONTAINERS: Final = (dict, list, tuple)


class JobForm(NamedTuple):
    """What a job's key is made of, and what explains it.

    ``explanation`` is JSON data: with ``changes``, by place, where the base's ``description`` holds for the rest; with
    ``config`` where it does not. ``open`` are the values that the worker has to confirm.
    """

    digest: str
    names: frozenset[str]
    open: tuple[tuple[Place, str], ...]
    explanation: Callable[[], dict[str, Any]]


class BaseForms:
    """Makes the forms of one base's jobs. Not thread-safe."""

    def __init__(self, base: Base, ignore: Sequence[str]) -> None:
        self._base = base
        self._ignore = tuple(ignore)
        self._task = base.task_config(_SOME_JOB)
        self._whole = base.whole_config(_SOME_JOB)
        self._live = live_hydra_config(self._whole)
        self._values = Values(base.task_config(_SOME_JOB))
        self._affected: dict[frozenset[Place], tuple[Place, ...]] = {}
        self._names: dict[frozenset[Place], frozenset[str]] = {}
        self._caches = copy.deepcopy(OmegaConf.get_cache(self._task)), copy.deepcopy(OmegaConf.get_cache(self._whole))
        layout = layout_of(base)
        self._env_set = layout.env_set
        self._can_vary = not layout.env_set_varies
        with self._surroundings():
            self._plain = to_plain(self._task)
        self._outline = Outline(prune(self._plain.tree, self._ignore))
        readings = self._plain.readings.values()
        # A resolver of the user's may ask HydraConfig what it likes: such jobs are looked at in full.
        alone = any(reading.is_custom or _reads_overrides(reading) for reading in readings)
        self._can_vary &= not alone and not _has_special_keys(self._task)

    @property
    def is_open(self) -> bool:
        """Tell whether something in it depends on the surroundings, which may have changed since."""
        return bool(self._plain.open)

    @cached_property
    def description(self) -> dict[str, Any]:
        """Return the base's own config, for people to read, as JSON data."""
        return dict(self._described(self._plain))

    def form(self, variation: Variation) -> JobForm:
        """Return a job's form.

        Raises:
            UnkeyableConfigError: A value that is not ignored has no stable form.
        """
        changes = variation.changes
        if not self._can_vary or variation.cache is not None:
            return self._alone(variation)
        if not changes:
            return self._whole_form(self._plain)
        changed = frozenset(changes)
        parts = self._parts(changes, changed)
        values = {place: part.tree for place, part in parts.items() if place in self._outline}
        if self._ignore and any(isinstance(value, _CONTAINERS) for value in values.values()):
            return self._alone(variation)  # something within may be ignored
        replaced = frozenset(parts)
        names = self._left(replaced).union(*(part.all_names for part in parts.values()))
        is_open = [item for part in parts.values() for item in part.open]
        if self._plain.open:
            is_open += [item for item in self._plain.open if not _is_below(item[0], replaced)]
        hidden = frozenset(place for place, _ in is_open)

        def explanation() -> dict[str, Any]:
            hidden_names = {shown(place) for place in hidden}
            return {
                "changes": {
                    shown(place): describe(value, hidden_names, shown(place)) for place, value in values.items()
                }
            }

        return JobForm(digest(self._outline.form(values)), names, tuple(is_open), explanation)

    def _parts(self, changes: Mapping[Place, Any], changed: frozenset[Place]) -> dict[Place, PlainConfig]:
        """Return the plain form of what differs from the base: the changed values, and what they reach."""
        parts: dict[Place, PlainConfig] = {}
        involved: list[Place] = []
        for place, value in changes.items():
            if isinstance(value, Node):
                involved.append(place)
            else:
                parts[place] = _plain_leaf(place, value)
        for place in self._reached(changed):
            try:
                parts[place] = _plain_leaf(place, self._values.get(place, changes))
            except InvolvedError:
                involved.append(place)
        if involved:
            with self._varied(changes), self._surroundings():
                parts.update(plain_parts((place, find(self._task, place)) for place in involved))
        return parts

    def _reached(self, changed: frozenset[Place]) -> tuple[Place, ...]:
        """Return the interpolations that a change at these places can change."""
        found = self._affected.get(changed)
        if found is None:
            found = self._affected[changed] = tuple(
                place
                for place, reading in self._plain.readings.items()
                if find(self._task, place) is not None  # an item of a list is looked at with its list
                and not _is_below(place, changed)
                and any(reading.is_touched_by(item) for item in changed)
            ) + tuple(self._reached_lists(changed))
        return found

    def _reached_lists(self, changed: frozenset[Place]) -> Iterator[Place]:
        seen: set[Place] = set()
        for place, reading in self._plain.readings.items():
            if find(self._task, place) is None and any(reading.is_touched_by(item) for item in changed):
                top = next(place[:size] for size in range(1, len(place)) if find(self._task, place[: size + 1]) is None)
                if top not in seen and not _is_below(top, changed):
                    seen.add(top)
                    yield top

    def _left(self, replaced: frozenset[Place]) -> frozenset[str]:
        """Return the names in the base that stand at none of these places, nor below them."""
        found = self._names.get(replaced)
        if found is None:
            left = (names for place, names in self._plain.names.items() if not _is_below(place, replaced))
            found = self._names[replaced] = frozenset[str]().union(*left)
        return found

    def _alone(self, variation: Variation) -> JobForm:
        """Return a job's form without the help of the base."""
        live = running_hydra_config(self._base.whole_config(variation))
        with job_environment(live):
            return self._whole_form(to_plain(self._base.task_config(variation)))

    def _whole_form(self, plain: PlainConfig) -> JobForm:
        form = encode(prune(plain.tree, self._ignore))
        return JobForm(digest(form), plain.all_names, plain.open, lambda: {"config": self._described(plain)})

    def _described(self, plain: PlainConfig) -> Any:
        return describe(prune(plain.tree, self._ignore), {shown(place) for place, _ in plain.open})

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Resolve as the job will: with its ``hydra`` node, with ``env_set``, and with nothing resolved before."""
        OmegaConf.set_cache(self._task, self._caches[0])
        OmegaConf.set_cache(self._whole, self._caches[1])
        with in_force(self._live), environment(self._env_set):
            yield

    @contextmanager
    def _varied(self, changes: Mapping[Place, Any]) -> Iterator[None]:
        """Put a job's values into the copies of the base, for a moment."""
        undo: list[tuple[DictConfig, Place, Any]] = []
        try:
            for place, value in changes.items():
                for config in (self._task, self._whole):
                    node = clone(value) if isinstance(value, Node) else value
                    undo.append((config, place, put(config, place, node)))
            yield
        finally:
            for config, place, before in reversed(undo):
                put(config, place, before)


def _plain_leaf(place: Place, value: Any) -> PlainConfig:
    if type(value) is not str:
        return PlainConfig(value, {}, (), {})
    names = frozenset(dotted_names(value)) if "." in value or ":" in value else frozenset[str]()
    return PlainConfig(value, {place: names} if names else {}, (), {})


def _is_below(place: Place, places: frozenset[Place]) -> bool:
    return any(place[:size] in places for size in range(len(place) + 1))


def _reads_overrides(reading: Reading) -> bool:
    """Tell whether a value follows from the job's list of overrides, and so from how the others got there."""
    return any(place[:3] == _OVERRIDES[: len(place)] or place[:3] == _OVERRIDES for place in reading.places)


def _has_special_keys(config: DictConfig) -> bool:
    """Tell whether a key could be mistaken for a path."""
    content = config.__dict__.get("_content")
    if not isinstance(content, dict):
        return False
    return any(
        not isinstance(key, str) or not key.replace("_", "a").replace("-", "a").isalnum() or _has_special_keys(item)
        for key, item in content.items()
    )
