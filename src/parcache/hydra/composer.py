"""The sweep composer: what composes every job of a sweep, in Hydra's place and with Hydra's results.

Hydra needs 100 ms for each job of a sweep, and each is composed twice (once by the sweeper, which validates, once
by the launcher). The jobs of a sweep mostly differ in values of the task config. The composer lets Hydra compose
one base for each set of overrides that can do anything else (config groups, ``hydra.*``, deletions, mappings,
packages, ...) and makes the jobs as variations of it. An override counts as a mere value when

- it is ``key=value`` on a key that exists in the base below mappings only (no list, no interpolation on the way),
  the value is no mapping, and OmegaConf accepts it there (it is asked once for each typed key and value); or
- it is ``+key=value`` or ``++key=value`` with a number, bool or plain string: the keys are added to the base in
  their order, which therefore is one base for each sequence of such keys; ``+`` only where nothing stands at the
  key;
- no two overrides of the job overlap, and those that are no mere values are about config groups or ``hydra.*``: any
  other could reach, through an interpolation, a key that another one assigns.

Everything else, and everything that OmegaConf refuses, goes to Hydra as a whole: so its errors are Hydra's own.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.types import Override
from omegaconf import AnyNode, BooleanNode, DictConfig, FloatNode, IntegerNode, OmegaConf, StringNode
from omegaconf.errors import OmegaConfBaseException

from parcache.hydra.base import Base, Variation, listed_overrides
from parcache.hydra.master import without_task_overrides
from parcache.hydra.nodes import PRIMITIVES, Deferred, Place, clone, find, put
from parcache.hydra.overrides import Assignment, Manner, OtherOverride, read_override
from parcache.hydra.repository import ReadOnceRepository

_LEAVES: Final = (AnyNode, StringNode, IntegerNode, FloatNode, BooleanNode)
_MAX_REMEMBERED: Final = 100_000
_MAX_FOOTINGS: Final = 256  # each holds a whole config (150 kB)


class Composition(NamedTuple):
    """A job as it was composed: a base, and what differs from it."""

    base: Base
    variation: Variation

    def config(self) -> DictConfig:
        """Return the whole config; the caller's own."""
        return self.base.whole_config(self.variation)


class _Footing:
    """A base and what is needed to vary it: a copy on which OmegaConf is tried, and what it made of values."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.trial: DictConfig | None = None
        self.takes: dict[Place, bool] = {}
        """By place: a plain value that is assigned there is what it holds."""
        self.made: dict[tuple[str, Any], Any] = {}


class _NotPlainError(Exception):
    """The job has to go to Hydra as a whole."""


class SweepComposer(ConfigLoader):
    """Stands in for Hydra's config loader during one sweep. Not thread-safe."""

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader: Any = _read_once(loader)
        self._given = loader
        self._read: dict[str, Assignment | OtherOverride] = {}
        self._groups: dict[str, bool] = {}
        self._footings: dict[Any, _Footing | None] = {}
        self._whole: dict[tuple[str, ...], Composition] = {}
        self._asked: dict[tuple[str, ...], Composition] = {}  # by the sweeper, not by the launcher yet
        self._master: DictConfig | None = None
        self._repository: Any = None
        self._hydra_overrides: list[Override] = []

    def __getattr__(self, name: str) -> Any:
        """Hand everything else over to Hydra's loader."""
        if name == "_loader":  # while it is being unpickled
            raise AttributeError(name)
        return getattr(self._loader, name)

    @property
    def loader(self) -> Any:
        """Return the loader in whose place this stands."""
        return self._given

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Return a job's config as Hydra does; it is made when it is looked at.

        Raises:
            Exception: Whatever Hydra raises for these overrides.
        """
        composed = self.compose(master_config, sweep_overrides)
        if len(self._asked) >= _MAX_REMEMBERED:
            self._asked.clear()
        self._asked[tuple(sweep_overrides)] = composed
        return Deferred(composed.config)

    def compose(self, master: DictConfig, overrides: Sequence[str]) -> Composition:
        """Return a job of the sweep; what the sweeper has asked for before, to validate it, is not composed again.

        Raises:
            Exception: Whatever Hydra raises for these overrides.
        """
        if master is not self._master:
            self._take_up(master)
        key = tuple(overrides)
        asked = self._asked.pop(key, None)
        if asked is not None:
            return asked
        try:
            return self._varied(master, key)
        except _NotPlainError:
            pass
        if key not in self._whole:
            config = self._loader.load_sweep_config(master, list(overrides))
            shown = tuple(listed_overrides(config.hydra.overrides.task))
            self._whole[key] = Composition(Base(config, is_shared=False), Variation(overrides=shown))
        return self._whole[key]

    def forget(self) -> None:
        """Drop what is kept of single jobs: their batch is over."""
        self._whole.clear()
        self._asked.clear()

    def keeps(self, base: Base) -> bool:
        """Tell whether later jobs can be variations of this base."""
        return any(footing is not None and footing.base is base for footing in self._footings.values())

    def _take_up(self, master: DictConfig) -> None:
        self._master = master
        self._footings.clear()
        self._whole.clear()
        self._asked.clear()
        self._groups.clear()
        overrides = listed_overrides(master.hydra.overrides.hydra)
        config_name = master.hydra.job.config_name
        try:
            made = self._loader._parse_overrides_and_create_caching_repo(config_name, overrides)
        except Exception:  # then nothing counts as plain
            self._repository = None
            return
        self._hydra_overrides, self._repository = made
        if self._loader is not self._given:
            self._lend(made, config_name, overrides)

    def _lend(self, made: Any, config_name: Any, overrides: list[str]) -> None:
        """Let the first composition have what has just been made in the same way as its own: 5 ms."""
        usual = self._loader._parse_overrides_and_create_caching_repo

        def make(name: Any, wanted: list[str], *others: Any) -> Any:  # others: what 1.4 has parsed before
            del self._loader._parse_overrides_and_create_caching_repo
            is_the_same = (name, wanted) == (config_name, overrides) and not others
            return made if is_the_same else usual(name, wanted, *others)

        self._loader._parse_overrides_and_create_caching_repo = make

    def _varied(self, master: DictConfig, overrides: Sequence[str]) -> Composition:
        assignments: list[Assignment] = []
        others: list[OtherOverride] = []
        for text in overrides:
            item = self._reading(text)
            if isinstance(item, OtherOverride):
                others.append(item)
            elif self._is_group(item.key):
                others.append(OtherOverride(text, item.key))
            else:
                assignments.append(item)
        _check_order(assignments, others, self._is_group)
        footing = self._footing(master, assignments, tuple([item.text for item in others]) if others else ())
        changes: dict[Place, Any] = {}
        for item in assignments:
            changes[item.place] = self._made(footing, item)
        task = tuple(overrides)
        if others:
            hydras = {item.text for item in others if item.is_hydra}
            task = tuple(text for text in overrides if text not in hydras)
        return Composition(footing.base, Variation(changes, task, self._dirname(footing.base, task)))

    def _reading(self, text: str) -> Assignment | OtherOverride:
        found = self._read.get(text)
        if found is None:
            if len(self._read) >= _MAX_REMEMBERED:
                self._read.clear()
            found = self._read[text] = read_override(text)
        return found

    def _is_group(self, key: str) -> bool:
        found = self._groups.get(key)
        if found is None:
            if self._repository is None:
                raise _NotPlainError
            found = self._groups[key] = bool(self._repository.group_exists(key))
        return found

    def _footing(self, master: DictConfig, assignments: list[Assignment], others: tuple[str, ...]) -> _Footing:
        added = tuple([(item.manner, item.key) for item in assignments if item.manner is not Manner.CHANGE])
        signature = (others, added)
        if signature not in self._footings:
            if len(self._footings) >= _MAX_FOOTINGS:
                del self._footings[next(iter(self._footings))]
            self._footings[signature] = None
            if added:
                bare = self._footing(master, [], others)
                additions = [item for item in assignments if item.manner is not Manner.CHANGE]
                self._footings[signature] = _with_added(bare, additions)
            else:
                self._footings[signature] = self._composed(master, others)
        found = self._footings[signature]
        if found is None:
            raise _NotPlainError
        return found

    def _composed(self, master: DictConfig, others: tuple[str, ...]) -> _Footing | None:
        config = None
        if not others and self._repository is not None and type(self._given) is ConfigLoaderImpl:
            config = without_task_overrides(master, self._hydra_overrides, self._repository)
        try:
            if config is None:
                config = self._loader.load_sweep_config(master, list(others))
        except Exception:  # so will the job itself, and with the same error
            return None
        told, is_shared = [], True
        for text in others:
            item = self._reading(text)
            if not (isinstance(item, OtherOverride) and item.is_hydra):
                told.append(text)
                # A mapping or a deletion differs from job to job; a group or a setting of Hydra's serves many.
                is_shared &= self._is_group(str(item.key).partition("@")[0])
        if not _can_vary(config) or listed_overrides(config.hydra.overrides.task) != told:
            return None
        return _Footing(Base(config, is_shared=is_shared))

    @staticmethod
    def _made(footing: _Footing, item: Assignment) -> Any:
        """Return what an override makes of its key: the leaf's new value, or a node.

        Raises:
            _NotPlainError: There is no such key, or OmegaConf refuses the value.
        """
        value, place = item.value, item.place
        takes = footing.takes.get(place)
        if takes is None:
            takes = footing.takes[place] = _takes_anything(footing.base.config, place)
        if takes and _is_settled(value):
            return value
        known = (item.text, type(value))
        if known not in footing.made:
            if len(footing.made) >= _MAX_REMEMBERED:
                footing.made.clear()
            if footing.trial is None:
                footing.trial = clone(footing.base.config)
            footing.made[known] = _tried(footing.trial, item)
        made = footing.made[known]
        if made is _NotPlainError:
            raise _NotPlainError
        return made

    def _dirname(self, base: Base, overrides: tuple[str, ...]) -> str | None:
        """Return ``hydra.job.override_dirname`` where Hydra sets it as a string (1.3)."""
        if "dirname" not in base.known:
            base.known["dirname"] = _dirname_settings(base.config)
        settings = base.known["dirname"]
        if settings is None:
            return None
        kv_sep, item_sep, excluded = settings
        lines = [text for text in overrides if self._key(text) not in excluded] if excluded else list(overrides)
        lines.sort()
        joined = item_sep.join(lines)
        return joined if kv_sep == "=" else re.sub("[=]", kv_sep, joined)

    def _key(self, text: str) -> str | None:
        return self._reading(text).key

    # What the interface asks for is the loader's own.

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        """See Hydra."""
        config: DictConfig = self._loader.load_configuration(*args, **kwargs)
        return config

    def get_search_path(self) -> ConfigSearchPath:
        """See Hydra."""
        path: ConfigSearchPath = self._loader.get_search_path()
        return path

    def get_sources(self) -> Any:
        """See Hydra."""
        return self._loader.get_sources()

    def list_groups(self, parent_name: str) -> Any:
        """See Hydra."""
        return self._loader.list_groups(parent_name)

    def get_group_options(self, *args: Any, **kwargs: Any) -> Any:
        """See Hydra."""
        return self._loader.get_group_options(*args, **kwargs)

    def compute_defaults_list(self, *args: Any, **kwargs: Any) -> Any:
        """See Hydra."""
        return self._loader.compute_defaults_list(*args, **kwargs)

    def ensure_main_config_source_available(self) -> None:
        """See Hydra."""
        self._loader.ensure_main_config_source_available()


def _read_once(loader: ConfigLoader) -> ConfigLoader:
    if not hasattr(loader, "repository"):  # not Hydra's own: then its files are its own affair
        return loader
    careful: Any = copy.copy(loader)
    careful.repository = ReadOnceRepository(careful.repository)
    return careful  # type: ignore[no-any-return]


def _check_order(assignments: list[Assignment], others: list[OtherOverride], is_group: Any) -> None:
    """Refuse a job whose result could depend on the order in which its overrides are applied."""
    if len(assignments) > 1:
        places = sorted(item.place for item in assignments)
        for before, after in pairwise(places):
            if after[: len(before)] == before:
                raise _NotPlainError
    for item in others:
        if item.key is None:
            raise _NotPlainError
        if item.is_hydra or item.key == "hydra" or (is_group(item.key.partition("@")[0]) and "=" in item.text):
            continue
        if assignments:  # through an interpolation it may reach what another one assigns, whatever its key
            raise _NotPlainError


def _can_vary(config: DictConfig) -> bool:
    """Tell whether jobs can be made of this config: Hydra fills in some fields according to the job's overrides."""
    hydra = config._get_node("hydra")
    options = find(config, ("hydra", "job", "config", "override_dirname"))
    if type(hydra) is not DictConfig or type(options) is not DictConfig:
        return False
    return not any(node._is_interpolation() for node in _nodes(options))


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    content = node.__dict__.get("_content")
    children = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    for child in children:
        yield from _nodes(child)


def _dirname_settings(config: DictConfig) -> tuple[str, str, frozenset[str]] | None:
    if not hasattr(config_loader_impl, "get_overrides_dirname"):  # 1.4 works it out where it is read
        return None
    options = config.hydra.job.config.override_dirname
    return str(options.kv_sep), str(options.item_sep), frozenset(str(key) for key in options.exclude_keys)


def _with_added(bare: _Footing, additions: list[Assignment]) -> _Footing | None:
    config = clone(bare.base.config)
    for item in additions:
        if not _can_be_added(config, item):
            return None
        try:
            OmegaConf.update(config, item.key, item.value, merge=True, force_add=True)
        except OmegaConfBaseException:
            return None
    return _Footing(Base(config))


def _can_be_added(config: DictConfig, item: Assignment) -> bool:
    for size in range(1, len(item.place) + 1):
        node = find(config, item.place[:size])
        if node is None:
            return True
        if size == len(item.place):
            return item.manner is Manner.FORCE_ADD and type(node) in _LEAVES
        if type(node) is not DictConfig or type(node.__dict__["_content"]) is not dict:
            return False
    return False


def _takes_anything(config: DictConfig, place: Place) -> bool:
    """Tell whether the leaf at a place is untyped.

    Raises:
        _NotPlainError: There is none.
    """
    node = find(config, place)
    if node is None:
        raise _NotPlainError
    return type(node) is AnyNode and not node._get_flag("readonly")


def _is_settled(value: Any) -> bool:
    """Tell whether an untyped leaf takes a value as it is."""
    if type(value) is str:
        return "$" not in value and value != "???"
    return type(value) in PRIMITIVES


def _tried(trial: DictConfig, item: Assignment) -> Any:
    """Let OmegaConf apply an override to the trial config; return what it made, and put back what was there."""
    before = find(trial, item.place)
    kept = clone(before)
    try:
        OmegaConf.update(trial, item.key, item.value, merge=True, force_add=item.manner is not Manner.CHANGE)
        made = find(trial, item.place)
    except Exception:
        made = None
    put(trial, item.place, kept)
    if made is None:
        return _NotPlainError
    if type(made) is type(kept) and type(made) in _LEAVES and made._metadata == kept._metadata:
        value = made.__dict__["_val"]
        if _is_settled(value):
            return value
    return clone(made)
