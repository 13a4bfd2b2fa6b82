"""The launcher's settings as values: read from the composed config once, checked, and never a DictConfig again."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from parcache.errors import SettingError
from parcache.keys.modules import AS_PLACED, Packages
from parcache.keys.scope import pattern_of
from parcache.progress.kinds import Progress
from parcache.run.limits import NO_LIMITS, Limits, Policy

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


class Audit(Enum):
    """Whether jobs are traced to find code that runs and is not in their keys, and what finding some does."""

    OFF = "off"
    REPORT = "report"
    FAIL = "fail"


class Inputs(NamedTuple):
    """What counts of what jobs read: all that they are seen to read, or nothing.

    ``named`` are config keys and paths that count besides, ``excluded`` patterns of paths that never do.
    """

    is_watched: bool
    named: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


class CacheSettings(NamedTuple):
    """The cache's settings; ``dir`` and ``root``, where the sweep was started, are absolute."""

    dir: str
    mode: Mode
    salt: str
    env: tuple[str, ...]
    ignore: tuple[str, ...]
    code: Code
    audit: Audit = Audit.OFF
    inputs: Inputs = Inputs(is_watched=True)
    packages: Packages = AS_PLACED
    root: str = ""


# ``root`` is not set by the user.
_CACHE_KEYS: Final = CacheSettings._fields[:-1]


class Order(Enum):
    """In which order jobs are started."""

    AUTO = "auto"
    GIVEN = "given"


class Settings(NamedTuple):
    """All that the launcher is told. ``backend`` are the backend's own settings, without its name.

    ``varying`` are the names of those that depend on the job; ``backend`` is without them.
    """

    backend_name: str
    backend: Mapping[str, Any]
    cache: CacheSettings
    limits: Limits = NO_LIMITS
    order: Order = Order.AUTO
    dry_run: bool = False
    progress: Progress = Progress.AUTO
    varying: tuple[str, ...] = ()


_KEYS: Final = ("backend", "cache", "failures", "order", "progress", "dry_run")
_FAILURES: Final = ("policy", "max_failures", "retries", "timeout_s")


def read_settings(
    config: DictConfig, environ: Mapping[str, str], per_job: Callable[[str], Collection[str]] = lambda _: ()
) -> Settings:
    """Return the settings in a sweep's composed config.

    ``per_job`` returns, for a backend's name, its settings that may depend on the job: where there is an interpolation.

    Raises:
        SettingError: A value is not one of the known ones.
    """
    launcher = config.hydra.launcher
    varying = varying_settings(launcher, per_job)
    try:
        raw: Any = _resolved(launcher, varying) if varying else OmegaConf.to_container(launcher, resolve=True)
    except OmegaConfBaseException as error:
        raise SettingError(_PREFIX, str(error).splitlines()[0], "values that can be resolved") from None
    if not isinstance(raw, dict):
        raise SettingError(_PREFIX, raw, "a mapping")
    _refuse_unknown(_PREFIX, raw, ("_target_", "_recursive_", *_KEYS))
    _refuse_absent(_PREFIX, raw, _KEYS[1:])
    cache: Any = raw["cache"]
    _refuse_unknown(f"{_PREFIX}.cache", cache, _CACHE_KEYS)
    _refuse_absent(f"{_PREFIX}.cache", cache, _CACHE_KEYS)
    if not isinstance(raw.get("backend"), dict):
        expected = "a backend; choose one with hydra/launcher/backend=NAME"
        raise SettingError(f"{_PREFIX}.backend", raw.get("backend"), expected)
    backend = dict(raw["backend"])
    backend.pop("_target_", None)
    name = backend.pop("name", None)
    if not isinstance(name, str):
        expected = "the name of a backend; choose one with hydra/launcher/backend=NAME"
        raise SettingError(f"{_PREFIX}.backend.name", name, expected)
    mode = _choice(Mode, f"{_PREFIX}.cache.mode", cache["mode"])
    if environ.get("PARCACHE_MODE"):
        mode = _choice(Mode, "PARCACHE_MODE", environ["PARCACHE_MODE"])
    folder = _text(f"{_PREFIX}.cache.dir", cache["dir"])
    if not folder:
        raise SettingError(f"{_PREFIX}.cache.dir", folder, "a directory (or cache.mode=off)")
    started_in = str(config.hydra.runtime.cwd)
    settings = CacheSettings(
        dir=os.path.join(started_in, os.path.expanduser(folder)),
        mode=mode,
        salt=_text(f"{_PREFIX}.cache.salt", cache["salt"]),
        env=_texts(f"{_PREFIX}.cache.env", cache["env"]),
        ignore=tuple(item.removeprefix("$.") for item in _texts(f"{_PREFIX}.cache.ignore", cache["ignore"])),
        code=_choice(Code, f"{_PREFIX}.cache.code", cache["code"]),
        audit=_choice(Audit, f"{_PREFIX}.cache.audit", cache["audit"]),
        packages=_packages(f"{_PREFIX}.cache.packages", cache["packages"]),
        inputs=_inputs(f"{_PREFIX}.cache.inputs", cache["inputs"], started_in),
        root=started_in,
    )
    return Settings(
        name,
        backend,
        _for_audit(settings),
        _limits(raw["failures"]),
        _choice(Order, f"{_PREFIX}.order", raw["order"]),
        _flag(f"{_PREFIX}.dry_run", raw["dry_run"]),
        _choice(Progress, f"{_PREFIX}.progress", raw["progress"]),
        varying,
    )


def varying_settings(launcher: Any, per_job: Callable[[str], Collection[str]]) -> tuple[str, ...]:
    """Return the names of the backend's settings that depend on the job."""
    backend = OmegaConf.select(launcher, "backend", throw_on_resolution_failure=False)
    if not isinstance(backend, DictConfig):
        return ()
    with_interpolations = [name for name in backend if _has_interpolation(backend, str(name))]
    if not with_interpolations or not isinstance(backend.get("name"), str):
        return ()
    known = per_job(backend.name)
    return tuple(str(name) for name in with_interpolations if name in known)


def _has_interpolation(config: Any, key: Any) -> bool:
    if OmegaConf.is_interpolation(config, key):
        return True
    if OmegaConf.is_missing(config, key):
        return False
    node = config[key]
    if not OmegaConf.is_config(node) or node._is_none():
        return False
    return any(_has_interpolation(node, each) for each in (node if OmegaConf.is_dict(node) else range(len(node))))


def _resolved(launcher: Any, varying: Collection[str]) -> dict[str, Any]:
    found = {str(name): _plain(launcher, name) for name in launcher if name != "backend"}
    backend = launcher.backend
    return {**found, "backend": {str(name): _plain(backend, name) for name in backend if name not in varying}}


def _plain(config: Any, name: Any) -> Any:
    value = config[name]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _limits(raw: Any) -> Limits:
    key = f"{_PREFIX}.failures"
    _refuse_unknown(key, raw, _FAILURES)
    _refuse_absent(key, raw, _FAILURES)
    timeout_s = raw["timeout_s"]
    if timeout_s is not None and (
        isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not 0 < timeout_s < math.inf
    ):
        raise SettingError(f"{key}.timeout_s", timeout_s, "a number of seconds above 0, or null for any time")
    most = raw["max_failures"]
    return Limits(
        _choice(Policy, f"{key}.policy", raw["policy"]),
        None if most is None else _count(f"{key}.max_failures", most),
        _count(f"{key}.retries", raw["retries"]),
        timeout_s,
    )


def _count(key: str, found: object) -> int:
    if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
        return found
    raise SettingError(key, found, "a whole number from 0")


def _flag(key: str, found: object) -> bool:
    if isinstance(found, bool):
        return found
    raise SettingError(key, found, "true or false")


def _for_audit(settings: CacheSettings) -> CacheSettings:
    """Return settings under which an audit sees something: every job runs, and every key holds code."""
    if settings.audit is Audit.OFF:
        return settings
    if settings.code is Code.OFF or not settings.mode.writes:
        off = "cache.code=off" if settings.code is Code.OFF else f"cache.mode={settings.mode.value}"
        expected = f"off with {off}: an audit runs every job and compares it with its key"
        raise SettingError(f"{_PREFIX}.cache.audit", settings.audit.value, expected)
    return settings._replace(mode=Mode.REFRESH)


def _packages(key: str, found: object) -> Packages:
    names = _texts(key, found)
    for name in names:
        if not name.removeprefix("!").isidentifier():
            raise SettingError(key, name, "the name of a top-level package, with a ! before it to leave it out")
    included = tuple(name for name in names if not name.startswith("!"))
    return Packages(included, tuple(name[1:] for name in names if name.startswith("!"))) if names else AS_PLACED


def _inputs(key: str, found: object, root: str) -> Inputs:
    if found is False or str(found).lower() == "off":  # YAML reads a bare `off` as false
        return Inputs(is_watched=False)
    if found == "auto":
        return Inputs(is_watched=True)
    if not isinstance(found, list) or not all(isinstance(item, str) and item.strip("!/ ") for item in found):
        raise SettingError(key, found, "auto, off, or a list of config keys, paths and !PATTERNs")
    excluded = tuple(item[1:] for item in found if item.startswith("!"))
    for item in excluded:
        try:
            pattern_of(item, root)
        except re.error as error:
            raise SettingError(key, f"!{item}", f"a pattern such as '!logs/*.txt' ({error})") from None
    return Inputs(True, tuple(item for item in found if not item.startswith("!")), excluded)


def _text(key: str, found: object) -> str:
    # YAML and the command line read a bare 2 as a number.
    if isinstance(found, (str, int, float)):
        return str(found)
    raise SettingError(key, found, "a string")


def _texts(key: str, found: object) -> tuple[str, ...]:
    if isinstance(found, list) and all(isinstance(item, (str, int, float)) for item in found):
        return tuple(map(str, found))
    raise SettingError(key, found, "a list of strings")


def _refuse_unknown(key: str, found: Any, known: tuple[str, ...]) -> None:
    """Refuse what was added with ``+`` or ``++``, or by a YAML of the user's own."""
    if not isinstance(found, dict):
        raise SettingError(key, found, "a mapping")
    for name in found:
        if name not in known:
            shown = ", ".join(item for item in known if not item.startswith("_"))
            raise SettingError(f"{key}.{name}", found[name], f"no such setting; known: {shown}")


def _refuse_absent(key: str, found: Mapping[str, Any], known: tuple[str, ...]) -> None:
    absent = [name for name in known if name not in found]
    if absent:
        raise SettingError(f"{key}.{absent[0]}", None, "a value; hydra/launcher=parcache has all of them")


def _choice(kind: type[E], key: str, found: object) -> E:
    # YAML reads a bare `off` as false.
    text = "off" if found is False else str(found).lower()
    for member in kind:
        if member.value == text:
            return member
    raise SettingError(key, found, "one of " + ", ".join(str(member.value) for member in kind))
