"""Backends by name.

Built-in names are listed here and imported only when chosen. Others come from installed packages, by the entry-point
group ``parcache.backends``; such a package cannot take a built-in's name.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from parcache.backends.protocol import Backend
from parcache.errors import (
    BackendNotInstalledError,
    BackendSettingError,
    InvalidBackendError,
    UnknownBackendError,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "parcache.backends"
_BUILT_IN: Final[Mapping[str, str]] = {
    "serial": "parcache.backends.serial:SerialBackend",
    "process": "parcache.backends.process:ProcessBackend",
    "slurm": "parcache.backends.slurm.backend:SlurmBackend",
    "threading": "parcache.backends.threading:ThreadingBackend",
    "dask": "parcache.backends.dask.backend:DaskBackend",
}
# What a built-in backend needs, and the extra that brings it.
_NEEDS: Final[Mapping[str, tuple[str, str]]] = {
    "dask": ("distributed", "dask"),
    "slurm": ("submitit", "slurm"),
}
_METHODS: Final = ("start", "submit", "stop")

Factory = Callable[..., Backend]


def known_names() -> tuple[str, ...]:
    """Return the names of all backends that are built in or registered by an installed package."""
    return tuple(sorted({*_BUILT_IN, *(point.name for point in _entry_points())}))


def create(name: str, settings: Mapping[str, Any]) -> Backend:
    """Return a new backend of this name, not started yet.

    Raises:
        UnknownBackendError: Nothing of this name is known.
        BackendNotInstalledError: It is known, but needs a package that is not installed.
        InvalidBackendError: What is registered does not follow the protocol.
        BackendSettingError: It does not take one of these settings.
    """
    factory, source = _load(name)
    _check_settings(name, factory, settings)
    backend = factory(**settings)
    absent = _absent_methods(backend)
    if absent:
        raise InvalidBackendError(name, source, f"it has no {', no '.join(absent)}")
    capacity = 1 if name in _BUILT_IN else getattr(backend, "capacity", None)  # asking can cost: leave it for the start
    if not isinstance(capacity, int) or capacity < 1:
        raise InvalidBackendError(name, source, f"its capacity is {capacity!r}, not a number of 1 or more")
    return backend


def per_job_settings(name: str) -> Collection[str]:
    """Return the names of the settings of a backend that may differ from job to job.

    Raises:
        UnknownBackendError: Nothing of this name is known.
        BackendNotInstalledError: It is known, but needs a package that is not installed.
        InvalidBackendError: What is registered does not follow the protocol.
    """
    found: Collection[str] = getattr(_load(name)[0], "per_job", ())
    return found


def _load(name: str) -> tuple[Factory, str]:
    if name in _BUILT_IN:
        _check_installed(name)
        source = _BUILT_IN[name]
        module, _, attribute = source.partition(":")
        return getattr(importlib.import_module(module), attribute), source
    found = [point for point in _entry_points() if point.name == name]
    if not found:
        raise UnknownBackendError(name, known_names())
    return _load_entry_point(found[0]), found[0].value


def _check_installed(name: str) -> None:
    package, extra = _NEEDS.get(name, ("", ""))
    if package and importlib.util.find_spec(package) is None:
        raise BackendNotInstalledError(name, package, f"Install it: pip install 'parcache[{extra}]'")


def _entry_points() -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # 7 ms that the built-in ones do without

    return tuple(entry_points(group=GROUP))


def _load_entry_point(point: EntryPoint) -> Factory:
    try:
        factory = point.load()
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        remedy = f"Install it: pip install {missing.partition('.')[0]}"
        raise BackendNotInstalledError(point.name, missing, remedy) from error
    except Exception as error:  # a package that breaks when it is imported
        raise InvalidBackendError(point.name, point.value, f"{type(error).__name__}: {error}") from error
    if not callable(factory):
        raise InvalidBackendError(point.name, point.value, f"it is a {type(factory).__name__}, not a class")
    absent = _absent_methods(factory) if isinstance(factory, type) else []
    if absent:
        raise InvalidBackendError(point.name, point.value, f"it has no {', no '.join(absent)}")
    return factory  # type: ignore[no-any-return] # an entry point loads as Any; its shape was checked above


def _absent_methods(backend: object) -> list[str]:
    return [method for method in _METHODS if not callable(getattr(backend, method, None))]


def _check_settings(name: str, factory: Factory, settings: Mapping[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    unknown = sorted(set(settings) - set(parameters))
    if unknown:
        raise BackendSettingError(name, unknown, tuple(parameters))
