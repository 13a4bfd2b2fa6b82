"""What a job's ``hydra`` node says about where and how it runs, worked out once a base and filled in for each job."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from hydra import version
from hydra.core.utils import JobRuntime
from omegaconf import OmegaConf

from parcache.hydra.base import Base, Variation, in_force, live_hydra_config, resolves_env_set
from parcache.hydra.dotfiles import YamlText, overrides_text
from parcache.hydra.nodes import Place, find
from parcache.hydra.values import InvolvedError

_LOGGING: Final = ("hydra", "job_logging")
_FILE_NAME: Final = ("handlers", "filename")
_DIRECTORY: Final = (("hydra", "sweep", "dir"), ("hydra", "sweep", "subdir"))


def layout_of(base: Base) -> Layout:
    """Return the layout of a base's jobs; one for each base."""
    found: Layout | None = base.known.get(Layout)
    if found is None:
        found = base.known[Layout] = Layout(base)
    return found


class Layout:
    """Directories, files, logging and environment of one base's jobs. Not thread-safe."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def folder(self, variation: Variation) -> tuple[str, dict[str, Any] | None]:
        """Return a job's directory, as ``run_job`` puts it together: relative to where the sweep was started.

        Where that took the job's own config, what resolvers returned meanwhile comes with it: Hydra resolves the
        directory in the config that the job gets, which keeps such values.
        """
        try:
            parts = [self._base.simple_setting(place, variation) for place in _DIRECTORY]
            return os.path.join(*map(str, parts)), None
        except InvolvedError:
            pass
        config = self._base.whole_config(variation)
        with in_force(live_hydra_config(config)):
            parts = [OmegaConf.select(config, ".".join(place)) for place in _DIRECTORY]
        return os.path.join(*map(str, parts)), OmegaConf.get_cache(config)

    def changes_directory(self, variation: Variation) -> bool:
        """Tell whether the job runs in its directory."""
        chdir = self._setting(("hydra", "job", "chdir"), variation)
        return bool(self._changes_by_default if chdir is None else chdir)

    def warns_of_chdir(self, variation: Variation) -> bool:
        """Tell whether Hydra (1.3 without ``version_base``) warns that this will not be the default for ever."""
        return self._setting(("hydra", "job", "chdir"), variation) is None and self.changes_directory(variation)

    @cached_property
    def _changes_by_default(self) -> bool:
        base_at_least: Any = getattr(version, "base_at_least", None)  # 1.4 has none, and this default no more
        return base_at_least is not None and not base_at_least("1.2")

    @cached_property
    def task_name(self) -> str:
        """Return the name of the app."""
        return str(JobRuntime.instance().get("name"))

    def verbose(self, variation: Variation) -> Any:
        """Return ``hydra.verbose``: a bool, a logger's name or a list of names."""
        return self._setting(("hydra", "verbose"), variation)

    def _setting(self, place: Place, variation: Variation) -> Any:
        if place not in self._settled:
            node: Any = find(self._base.config, place)
            varies = node is None or any(True for _ in _interpolations(node, ()))
            value = None if varies else OmegaConf.select(self._base.config, ".".join(place))
            self._settled[place] = varies, OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        varies, value = self._settled[place]
        return self._base.setting(place, variation) if varies else value

    @cached_property
    def _settled(self) -> dict[Place, tuple[bool, Any]]:
        return {}

    def files(self, variation: Variation, hydra_config: Any) -> dict[str, str]:
        """Return what ``run_job`` writes for a job: text by the names of files in ``files_folder``.

        ``hydra_config`` is what the job's JobReturn has as ``hydra_cfg``; looked at where its ``env_set`` is resolved.
        """
        if self.env_set_varies and resolves_env_set():
            hydra = OmegaConf.to_yaml(hydra_config)
        else:
            hydra = self._hydra_text(variation).with_values(variation.hydra_values())
        return {
            "config.yaml": self._task_text.with_values(variation.changes),
            "hydra.yaml": hydra,
            "overrides.yaml": overrides_text(variation.overrides),
        }

    def logging(self, variation: Variation) -> Mapping[str, Any] | None:
        """Return ``hydra.job_logging``, resolved; the same object for every job, filled in anew."""
        conf, varying = self._logging
        if conf is None:
            return None
        own = variation.own_values()
        try:
            for place in varying:
                value = self._base.values.get((*_LOGGING, *place), own)
                target = conf
                for key in place[:-1]:
                    target = target[key]
                target[place[-1]] = value
        except InvolvedError:
            resolved: Mapping[str, Any] | None = self._base.setting(_LOGGING, variation)
            return resolved
        filled: Mapping[str, Any] = conf
        return filled

    @cached_property
    def log_files(self) -> Mapping[str, Any] | None:
        """Return by handler the files of ``hydra.job_logging``: what is their name, or the place of one that varies.

        None where anything else in there varies.
        """
        conf, varying = self._logging
        found: dict[str, Place | str] = {}
        for place in varying:
            if len(place) != 3 or (place[0], place[2]) != _FILE_NAME:
                return None
            found[place[1]] = (*_LOGGING, *place)
        handlers = conf.get("handlers") if type(conf) is dict else None
        if type(handlers) is not dict:
            return None
        for name, about in handlers.items():
            if type(name) is not str or type(about) is not dict:
                return None
            if name not in found and "filename" in about:
                found[name] = about["filename"]
        return found

    def log_file(self, place: Place, own: Mapping[Place, Any]) -> Any:
        """Return the name of a file of ``hydra.job_logging`` for a job with these values of its own.

        Raises:
            InvolvedError: It takes the job's own config.
        """
        return self._base.values.get(place, own)

    def files_folder(self, variation: Variation) -> str | None:
        """Return ``hydra.output_subdir``: where those files lie in the job's directory, None where there are none."""
        found = self._setting(("hydra", "output_subdir"), variation)
        return None if found is None else str(found)

    @cached_property
    def env_set(self) -> dict[str, str]:
        """Return ``hydra.job.env_set`` where it does not vary, else nothing."""
        return {} if self.env_set_varies else dict(self._base.config.hydra.job.env_set)

    @cached_property
    def env_set_varies(self) -> bool:
        """Tell whether ``hydra.job.env_set`` holds interpolations or ``???``: each job reads them in its own config."""
        node: Any = find(self._base.config, ("hydra", "job", "env_set"))
        content = node.__dict__["_content"]
        return not isinstance(content, dict) or any(
            item._is_interpolation() or item._is_missing() for item in content.values()
        )

    @cached_property
    def _task_text(self) -> YamlText:
        return YamlText(self._base.task_config(Variation()))

    def _hydra_text(self, variation: Variation) -> YamlText:
        if "hydra.yaml" not in self._base.known:
            self._base.known["hydra.yaml"] = YamlText(self._base.hydra_config(variation))
        text: YamlText = self._base.known["hydra.yaml"]
        return text

    @cached_property
    def _logging(self) -> tuple[Any, tuple[Place, ...]]:
        node: Any = find(self._base.config, _LOGGING)
        if node is None or node._is_none():
            return None, ()
        varying = tuple(_interpolations(node, ()))
        conf: Any = OmegaConf.to_container(node, resolve=False) if not node._is_interpolation() else {}
        return conf, varying


def _interpolations(node: Any, place: Place) -> Iterator[Place]:
    """Yield where interpolations stand; what lies in a list counts as not to be told (its place leads nowhere)."""
    if node._is_interpolation():
        yield place
        return
    content = node.__dict__.get("_content")
    if isinstance(content, dict):
        for key, item in content.items():
            yield from _interpolations(item, (*place, key))
    elif isinstance(content, (list, tuple)):
        for index, item in enumerate(content):
            yield from _interpolations(item, (*place, f"{index}"))
