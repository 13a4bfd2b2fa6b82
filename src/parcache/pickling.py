"""Objects as bytes on their way between processes: cloudpickle's, with the file that code was read from.

From 3.1.3 cloudpickle names the file of every function that travels by value ``<dynamic-code>``, so that equal
functions have equal bytes. Tracebacks would then show no line of the user's main script, and who asks which file a
piece of code comes from, as the recorder of inputs and the audit do, would learn nothing.

A main script's functions travel by value, and what the standard library wraps them in cannot: ``lru_cache`` goes by a
name that ``__main__`` of another process does not have, ``singledispatch`` holds weak references, ``cached_property``
holds a lock up to Python 3.11. These are made again from what they wrap, with empty caches.
"""

from __future__ import annotations

import io
import sys
from collections import ChainMap
from collections.abc import Callable
from functools import WRAPPER_ASSIGNMENTS, cache, cached_property, lru_cache
from types import CodeType
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

_CACHED: Final[type] = type(cache(len))
_NOT_OWN: Final = frozenset({*WRAPPER_ASSIGNMENTS, "__wrapped__", "cache_parameters"})


def dumps(value: Any) -> bytes:
    """Return an object as bytes that ``pickle.loads`` reads where parcache can be imported.

    Raises:
        Exception: Whatever the object or a part of it raises; most often a PicklingError or TypeError.
    """
    with io.BytesIO() as file:
        _pickler()(file).dump(value)
        return file.getvalue()


@cache
def _pickler() -> Any:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # untyped
        dispatch_table: ClassVar[Any] = ChainMap(_REDUCERS, cloudpickle.Pickler.dispatch_table)

    return Pickler


def _reduce_code(code: CodeType) -> tuple[Any, ...]:
    import cloudpickle

    constructor, arguments = cloudpickle.Pickler.dispatch_table[CodeType](code)
    return _remake, (constructor, arguments, code.co_filename)


def _remake(constructor: Callable[..., CodeType], arguments: tuple[Any, ...], filename: str) -> CodeType:
    return constructor(*arguments).replace(co_filename=filename)


def _reduce_cached(function: Any) -> str | tuple[Any, ...]:
    name: str = function.__qualname__
    if _is_found(function, name):
        return name
    own = {key: value for key, value in vars(function).items() if key not in _NOT_OWN}
    parameters = function.cache_parameters()
    return _remake_cached, (function.__wrapped__, parameters["maxsize"], parameters["typed"]), own or None


def _is_found(value: Any, name: str) -> bool:
    """Tell whether another process finds an object by its name: not in a main script, whose names are not there."""
    found: Any = sys.modules.get(value.__module__) if value.__module__ != "__main__" else None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def _remake_cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    return lru_cache(maxsize, typed)(function)


def _reduce_property(found: Any) -> tuple[Any, ...]:
    state = {key: value for key, value in vars(found).items() if key != "lock"}
    return cached_property, (found.func,), state


def _reduce_weak(found: Any) -> tuple[Any, ...]:
    return type(found), (dict(found),)


_REDUCERS: Final[dict[type, Callable[[Any], Any]]] = {
    CodeType: _reduce_code,
    _CACHED: _reduce_cached,
    cached_property: _reduce_property,
    WeakKeyDictionary: _reduce_weak,
    WeakValueDictionary: _reduce_weak,
}
