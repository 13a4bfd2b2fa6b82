"""The base of a sweep's jobs, taken from the sweep's own config: Hydra composed that of the same files a moment ago.

What Hydra makes of no overrides but those of ``hydra.*`` (40 ms) is what it made for the sweep itself, where every
task override of the sweep is one to sweep over: Hydra applies none of those. Four things differ then, and are put
right here: the list of task overrides, ``hydra.job.override_dirname`` (1.3), the flag by which 1.4 protects the
``hydra`` node, and the resolvers' cache, which a job copies. One more may: a sweep skips a ``???`` in a defaults list,
a job fails by it. So the defaults lists are looked through, Hydra's own and parcache's excepted.

Nothing is taken where anybody could have changed the sweep's config since (callbacks, other sweepers), or where the
surroundings have.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

from hydra._internal import config_loader_impl
from hydra.conf import HydraConf
from hydra.core.default_element import ConfigDefault, GroupDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from parcache.hydra.nodes import clone, find

_BASIC_SWEEPER: Final = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
_MISSING: Final = "???"


class _UnlikeError(Exception):
    """A job of no task overrides may be composed otherwise than the sweep."""


def without_task_overrides(master: DictConfig, hydra_overrides: Sequence[Override], repository: Any) -> Any:
    """Return what ``load_sweep_config(master, [])`` returns, as a new config; None where that is not certain.

    ``hydra_overrides`` are the sweep's, parsed, ``repository`` is where its configs are.
    """
    try:
        _check_untouched(master)
        _check_overrides(master, hydra_overrides)
        for path, group in _files(master):
            _check_file(repository, path, group, set())
    except _UnlikeError:
        return None
    config = clone(master)
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.overrides.task.__dict__["_content"] = []
    if hasattr(config_loader_impl, "get_overrides_dirname"):  # 1.4 works it out where it is read
        config.hydra.job.override_dirname = ""
    return config


def _check_untouched(master: DictConfig) -> None:
    hydra = find(master, ("hydra",))
    if type(hydra) is not DictConfig or OmegaConf.get_type(hydra) is not HydraConf:
        raise _UnlikeError
    target = find(hydra, ("sweeper", "_target_"))
    callbacks = find(hydra, ("callbacks",))
    copied = find(hydra, ("job", "env_copy"))
    if (
        (target is None or target._value() != _BASIC_SWEEPER)
        or (callbacks is None or callbacks._value())
        or (copied is None or copied._value())  # the environment may have changed
        or hydra.runtime.cwd != os.getcwd()
    ):
        raise _UnlikeError


def _check_overrides(master: DictConfig, hydra_overrides: Sequence[Override]) -> None:
    listed = OmegaConf.to_container(master.hydra.overrides.task, resolve=False)
    for override in OverridesParser.create().parse_overrides(listed):  # type: ignore[arg-type]
        if not override.is_sweep_override():
            raise _UnlikeError
    modes = [item.input_line for item in hydra_overrides if item.key_or_group in {"hydra", "hydra.mode"}]
    if master.hydra.mode is not None and modes != ["hydra.mode=MULTIRUN"]:  # 1.4 fills in what is null
        raise _UnlikeError
    for override in hydra_overrides:
        if override.is_sweep_override() or "overrides" in str(override.input_line):
            raise _UnlikeError
        if isinstance(override.value(), list) and "/" in override.key_or_group:  # several options of one group
            raise _UnlikeError


def _files(master: DictConfig) -> Iterator[tuple[str, str]]:
    """Yield the configs that the sweep's is made of, and the group each is an option of, but for ``ConfigDefault``s."""
    config_name = master.hydra.job.config_name
    if config_name is not None:
        yield config_name, config_name.rpartition("/")[0]
    for key, node in master.hydra.runtime.choices._content.items():
        option = node._value()
        if option is None:
            continue
        if not isinstance(key, str) or not isinstance(option, str) or option.endswith(_MISSING):
            raise _UnlikeError
        group = key.partition("@")[0]
        yield f"{group}/{option}", group


def _check_file(repository: Any, path: str, group: str, above: set[str]) -> None:
    if path in above or "overrides" in path:
        raise _UnlikeError
    source = next((source for source in repository.get_sources() if source.is_config(path)), None)
    if source is None or (source.provider, source.path) == ("hydra", "hydra.conf") or source.provider == "parcache":
        return
    loaded = repository.load_config(path)
    if type(loaded.config) is not DictConfig or "overrides" in str(loaded.header.get("package")):
        raise _UnlikeError
    for key in map(str, loaded.config):
        # What the files say of hydra.overrides cannot be told from what Hydra has listed there.
        if key == "overrides" or find(loaded.config, (key, "overrides")) is not None:
            raise _UnlikeError
    for default in loaded.defaults_list or ():
        if "overrides" in str(default.package):
            raise _UnlikeError
        if default.is_self():
            continue
        element = copy.copy(default)
        element.update_parent(group, "")
        if element.is_interpolation() or element.is_missing():
            raise _UnlikeError
        if isinstance(element, ConfigDefault):
            inner = element.get_config_path()
            if inner.endswith(_MISSING):
                raise _UnlikeError
            _check_file(repository, inner, element.get_group_path(), {*above, path})
        elif not isinstance(element, GroupDefault) or element.is_options():
            raise _UnlikeError
