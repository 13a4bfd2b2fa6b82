"""What jobs leave in the memory of their process: a table that one of them reads and keeps serves all that follow.

``functools.lru_cache`` around a loader, a global that is filled once, an attribute of a class: the next job of the
process uses the data and opens no file. So where anything of the kind has changed while a job ran, what the job has
read counts for the later ones as well (see ``parcache.run.reading``).

Looked at are the globals of first-party modules and of the task function, a few levels deep: caches of ``functools``,
containers, attributes of classes, instances and functions, closures and defaults. A number that becomes another number
is a counter, no data. Of a module that was imported meanwhile nobody knows how it was: what its source binds to None or
to an empty container was that.
"""

from __future__ import annotations

import ast
import functools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

from parcache.keys.modules import Party, is_own, party_of

_CACHED: Final[type] = type(functools.lru_cache(len))
_NUMBERS: Final = (bool, int, float, complex)
_CONTAINERS: Final = (dict, list, set, deque)
_MAX_DEPTH: Final = 4
_MAX_ITEMS: Final = 64
_INSTALLED: Final = ("/site-packages/", "/dist-packages/")
_MAX_WRAPPERS: Final = 32
_WRAPPED: Final = ("__wrapped__", "func", "__func__")
_EMPTY_CALLS: Final = frozenset({"dict", "list", "set", "defaultdict", "OrderedDict", "deque", "Counter"})

State = Mapping[str, Any]


class Retained:
    """Tells whether the state of this process has changed. For several jobs at a time, in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, State] = {}
        self._changes = 0

    def begin(self, task: Callable[..., Any]) -> int:
        """Take note of how things are before the first job; return what ``has_changed`` is to be asked with."""
        with self._lock:
            if not self._known:
                self._known = {name: _state(space) for name, space in _spaces(task)}
            else:
                for name, space in _own(task):
                    if name not in self._known:
                        self._known[name] = _state(space)
            return self._changes

    def has_changed(self, task: Callable[..., Any], since: int) -> bool:
        """Tell whether anything has changed since ``begin`` returned this."""
        with self._lock:
            for name, space in _spaces(task):
                found = _state(space)
                known = self._known.get(name)
                if found != known if known is not None else _is_filled(name, space):
                    self._changes += 1
                self._known[name] = found
            return self._changes != since


def _spaces(task: Callable[..., Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the namespaces that count, by the names of their modules."""
    modules: list[tuple[str, Any]] = list(sys.modules.items())
    for name, module in modules:
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and _is_project(name, path) and isinstance(module, ModuleType):
            yield name, vars(module)
    yield from _own(task)


def _own(task: Callable[..., Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the globals of a task that came to a worker by value: no module there has them."""
    found = _globals_of(task)
    name = str(found.get("__name__"))
    if found and vars(sys.modules.get(name, sys)) is not found:
        yield f"<{name}>", found


def _globals_of(task: Any) -> dict[str, Any]:
    for _ in range(_MAX_WRAPPERS):
        inner = next((found for name in _WRAPPED if (found := getattr(task, name, None)) is not None), None)
        if isinstance(task, FunctionType) and not isinstance(inner, FunctionType):
            return task.__globals__
        task = getattr(type(task), "__call__", None) if inner is None else inner  # noqa: B004 # to look into it
    return {}


@functools.lru_cache(maxsize=16384)
def _is_project(name: str, path: str) -> bool:
    if name.partition(".")[0] in sys.stdlib_module_names and name != "__main__":
        return False
    if any(folder in path for folder in _INSTALLED) or is_own(name):
        return False
    return party_of(path) is Party.FIRST


def _state(space: dict[str, Any]) -> State:
    return {name: _of(value, 0) for name, value in list(space.items()) if not name.startswith("__")}


def _of(value: Any, depth: int) -> Any:
    """Return what differs where something was put into a value, or another in its place."""
    kind = type(value)
    if kind in _NUMBERS or value is None:
        return kind
    if kind is _CACHED:
        return id(value), value.cache_info().misses
    if depth >= _MAX_DEPTH or kind is str or isinstance(value, ModuleType):
        return id(value)
    inner = _inner(value, kind)
    return id(value) if inner is None else (id(value), _size(value), *[_of(item, depth + 1) for item in inner])


def _size(value: Any) -> int:
    return len(value) if type(value) in _CONTAINERS else 0


def _inner(value: Any, kind: type) -> list[Any] | None:
    """Return what is to be looked at in a value; None: nothing."""
    if isinstance(value, _CONTAINERS):
        return _first(dict.values(value) if isinstance(value, dict) else value) + _attributes(value)
    if isinstance(value, tuple):
        return _first(value)
    if kind is FunctionType:
        return [*_enclosed(value), *(value.__kwdefaults__ or {}).values(), *vars(value).values()]
    if kind is MethodType or isinstance(value, (staticmethod, classmethod)):
        return [value.__func__]
    if isinstance(value, type):
        return _members(value)
    return _attributes(value) or None


def _first(values: Any) -> list[Any]:
    try:
        return [item for item, _ in zip(values, range(_MAX_ITEMS), strict=False)]
    except RuntimeError:  # a thread is at it
        return []


def _attributes(value: Any) -> list[Any]:
    try:
        found = object.__getattribute__(value, "__dict__")
    except Exception:
        return []
    return _first(dict.values(found)) if isinstance(found, dict) else []


def _members(cls: type) -> list[Any]:
    path = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if isinstance(path, str) and not _is_project(cls.__module__, path):
        return []
    return [item for name, item in list(vars(cls).items()) if not name.startswith("__")]


def _enclosed(function: FunctionType) -> list[Any]:
    """Return what a function finds in its closure and in its defaults."""
    found: list[Any] = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # an empty one
            found.append(cell.cell_contents)
    return [*found, *(function.__defaults__ or ())]


def _is_filled(name: str, space: dict[str, Any]) -> bool:
    """Tell whether a module that is new holds what its import has not put there."""
    values = list(space.values())
    members = [item for value in values if isinstance(value, type) for item in _members(value)]
    if any(_is_kept_by_call(item) for item in (*values, *members)):
        return True
    try:
        with open(space["__file__"], "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return any(_is_something(found.get(bound)) for bound, found in _emptied(tree.body, space))


def _is_kept_by_call(value: Any) -> bool:
    """Tell whether calls have left something in what was called."""
    value = getattr(value, "__func__", value) if isinstance(value, (staticmethod, classmethod)) else value
    if type(value) is _CACHED:
        return bool(value.cache_info().misses)  # type: ignore[attr-defined] # its type has no name
    if type(value) is not FunctionType:
        return False
    held = [*_enclosed(value), *(item for key, item in vars(value).items() if key != "__wrapped__")]
    return any(_is_something(item) for item in held if isinstance(item, _CONTAINERS))


def _emptied(body: list[ast.stmt], space: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the names that the source of a module or a class binds to nothing, and where they are."""
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            cls = space.get(statement.name)
            if isinstance(cls, type):
                yield from _emptied(statement.body, vars(cls))
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)) and _binds_nothing(statement.value):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id, space


def _binds_nothing(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        called = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        return called in _EMPTY_CALLS
    if isinstance(value, ast.Dict):
        return all(isinstance(item, ast.Constant) and item.value is None for item in value.values)
    return (isinstance(value, ast.Constant) and value.value is None) or (isinstance(value, ast.List) and not value.elts)


def _is_something(value: Any) -> bool:
    if isinstance(value, dict):
        return any(item is not None for item in list(dict.values(value)))
    return bool(len(value)) if isinstance(value, _CONTAINERS) else value is not None
