"""The launcher's settings as values: read from the composed config once, checked, and never a DictConfig again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from parcache.errors import SettingError

_PREFIX = "hydra.launcher"
E = TypeVar("E", bound=Enum)


class Mode(Enum):
    """What the cache does."""

    USE = "use"
    REFRESH = "refresh"
    READONLY = "readonly"
    OFF = "off"

    @property
    def reads(self) -> bool:
        """Tell whether stored results are served."""
        return self in (Mode.USE, Mode.READONLY)

    @property
    def writes(self) -> bool:
        """Tell whether results are stored."""
        return self in (Mode.USE, Mode.REFRESH)


class Code(Enum):
    """Which code belongs to a key."""

    CLOSURE = "closure"
    OFF = "off"


class CacheSettings(NamedTuple):
    """The cache's settings; ``dir`` is absolute."""

    dir: str
    mode: Mode
    salt: str
    env: tuple[str, ...]
    ignore: tuple[str, ...]
    code: Code


class Settings(NamedTuple):
    """All that the launcher is told. ``backend`` are the backend's own settings, without its name."""

    backend_name: str
    backend: Mapping[str, Any]
    cache: CacheSettings


def read_settings(config: DictConfig, environ: Mapping[str, str]) -> Settings:
    """Return the settings in a sweep's composed config.

    Raises:
        SettingError: A value is not one of the known ones.
    """
    try:
        raw = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    except OmegaConfBaseException as error:
        raise SettingError(_PREFIX, str(error).splitlines()[0], "values that can be resolved") from None
    if not isinstance(raw, dict):
        raise SettingError(_PREFIX, raw, "a mapping")
    _refuse_unknown(_PREFIX, raw, ("_target_", "backend", "cache"))
    _refuse_unknown(f"{_PREFIX}.cache", raw["cache"], CacheSettings._fields)
    if not isinstance(raw["backend"], dict):
        raise SettingError(
            f"{_PREFIX}.backend", raw["backend"], "a backend; choose one with hydra/launcher/backend=NAME"
        )
    cache, backend = raw["cache"], dict(raw["backend"])
    backend.pop("_target_", None)
    name = backend.pop("name", None)
    if not isinstance(name, str):
        expected = "the name of a backend; choose one with hydra/launcher/backend=NAME"
        raise SettingError(f"{_PREFIX}.backend.name", name, expected)
    mode = _choice(Mode, f"{_PREFIX}.cache.mode", cache["mode"])
    if environ.get("PARCACHE_MODE"):
        mode = _choice(Mode, "PARCACHE_MODE", environ["PARCACHE_MODE"])
    if not cache["dir"]:
        raise SettingError(f"{_PREFIX}.cache.dir", cache["dir"], "a directory (or cache.mode=off)")
    started_in = str(config.hydra.runtime.cwd)
    settings = CacheSettings(
        dir=os.path.join(started_in, os.path.expanduser(cache["dir"])),
        mode=mode,
        salt=cache["salt"],
        env=tuple(cache["env"]),
        ignore=tuple(pattern.removeprefix("$.") for pattern in cache["ignore"]),
        code=_choice(Code, f"{_PREFIX}.cache.code", cache["code"]),
    )
    return Settings(name, backend, settings)


def _refuse_unknown(key: str, found: Any, known: tuple[str, ...]) -> None:
    """Refuse what was added to the schema with ``+`` or ``++``."""
    if not isinstance(found, dict):
        raise SettingError(key, found, "a mapping")
    for name in found:
        if name not in known:
            shown = ", ".join(item for item in known if not item.startswith("_"))
            raise SettingError(f"{key}.{name}", found[name], f"no such setting; known: {shown}")


def _choice(kind: type[E], key: str, found: object) -> E:
    # YAML reads a bare `off` as false, which a string field turns into "False".
    text = "off" if found in (False, "False", "false") else str(found).lower()
    for member in kind:
        if member.value == text:
            return member
    raise SettingError(key, found, "one of " + ", ".join(str(member.value) for member in kind))
