"""The task function as a root of the fingerprint: which code it is, and the state that it carries along.

A task is a function, a lambda, a partial, a bound method or any callable object. What it carries (closure cells,
partial arguments, an instance's attributes) decides its results as much as its code does, and is not in the
source; so it counts by value, or the task cannot be keyed.
"""

from __future__ import annotations

import functools
import logging
import os
import struct
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, Final, NamedTuple

from parcache.errors import UnkeyableCodeError, UnkeyableConfigError
from parcache.keys import texts, witness
from parcache.keys.arrays import array_form
from parcache.keys.bytecode import code_form
from parcache.keys.canonical import encode
from parcache.keys.definition import find
from parcache.keys.globals import read_globals
from parcache.keys.memory import Memory, is_found_by_name, leaf_form
from parcache.keys.modules import Party, has_source, logical_name, party_of, qualified_name
from parcache.keys.normal_form import normal_form

_PLAIN: Final = (type(None), bool, int, float, str, bytes)
_MAX_DEPTH: Final = 50
_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_POINTER_BYTES: Final = struct.calcsize("P")
_CACHED: Final = type(functools.lru_cache(len))


class _Bare:
    """As large as an instance of a Python class without slots."""


class TaskIdentity(NamedTuple):
    """What a task is: a readable name, its form, and where its code begins (see ``parcache.keys.closure``)."""

    name: str
    form: bytes
    roots: frozenset[tuple[str, str]]


def identify(task: Any) -> TaskIdentity:
    """Return what a task is.

    Raises:
        UnkeyableCodeError: It carries state that has no stable form, or has no source and reads such state.
    """
    inspector = _Inspector(_display_name(task))
    try:
        read = read_globals(task)
        form = encode([inspector.visit(task, "task", 0), inspector.memory.rest(), read.values])
    except UnkeyableConfigError as error:
        raise UnkeyableCodeError(inspector.name, f"{error.path}: {error.problem}") from None
    return TaskIdentity(inspector.name, form, frozenset(inspector.roots) | read.roots)


def identify_named(name: str) -> TaskIdentity | None:
    """Return what a config means by ``__main__.NAME`` where the program has no file; None if nothing has the name.

    Raises:
        UnkeyableCodeError: It carries or reads state that has no stable form.
    """
    found: Any = sys.modules.get("__main__")
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    return None if found is None or isinstance(found, ModuleType) else identify(found)


def _display_name(task: Any) -> str:
    inner = task
    while isinstance(inner, functools.partial):
        inner = inner.func
    module = getattr(inner, "__module__", None) or type(inner).__module__
    return f"{logical_name(module)}:{getattr(inner, '__qualname__', type(inner).__qualname__)}"


class _Inspector:
    def __init__(self, name: str) -> None:
        self.name = name
        self.roots: set[tuple[str, str]] = set()
        self.memory = Memory(name, self.visit, self.roots)
        self._open: dict[int, int] = {}

    def visit(self, value: Any, where: str, depth: int) -> Any:
        """Return a value's plain form and note the modules that its code lies in."""
        if type(value) in _PLAIN or isinstance(value, PurePath):
            return value
        if id(value) in self._open:
            return ["seen above", depth - self._open[id(value)]]
        if depth > _MAX_DEPTH:
            raise UnkeyableCodeError(self.name, f"{where} lies deeper than {_MAX_DEPTH} levels")
        self._open[id(value)] = depth
        try:
            return self._visit(value, where, depth + 1)
        finally:
            del self._open[id(value)]

    def _visit(self, value: Any, where: str, depth: int) -> Any:
        if isinstance(value, functools.partial):
            parts = [value.func, value.args, value.keywords]
            return ["partial", *(self.visit(part, where, depth) for part in parts)]
        if isinstance(value, FunctionType):
            return self._function(value, where, depth)
        if isinstance(value, MethodType):
            return ["method", self.visit(value.__func__, where, depth), self.visit(value.__self__, where, depth)]
        if isinstance(value, ModuleType):
            self.roots.add((value.__name__, ""))
            return ["module", logical_name(value.__name__)]
        if isinstance(value, type):
            return ["class", self._class(value)]
        if isinstance(value, BuiltinFunctionType):
            return self._builtin(value, where, depth)
        if isinstance(value, _CACHED):
            return ["cached", self.visit(value.__wrapped__, where, depth)]
        if isinstance(value, Enum):
            kind = self._class(type(value))
            return ["enum", kind, value.name, self.visit(value.value, where, depth)]
        return self._data(value, where, depth)

    def _class(self, cls: type) -> Any:
        """Note a class and its bases; those that no source tells of count with what they are made of."""
        made_here = []
        for base in cls.__mro__:
            if has_source(base.__module__):
                self.roots.add((base.__module__, base.__qualname__.partition(".")[0]))
                if is_found_by_name(base):
                    continue
            made_here.append(self.memory.made_here(base))
        return [qualified_name(cls), *made_here]

    def _builtin(self, value: Any, where: str, depth: int) -> Any:
        owner = value.__self__
        if owner is not None and not isinstance(owner, ModuleType):
            return ["builtin", value.__name__, self.visit(owner, where, depth)]
        self.roots.add((value.__module__ or "builtins", value.__qualname__.partition(".")[0]))
        return ["builtin", value.__module__ or "builtins", value.__qualname__]

    def _data(self, value: Any, where: str, depth: int) -> Any:
        if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "types", "collections"):
            # In its order: unlike a config's, a dict in the code's hands may mean something by it.
            factory = self.visit(getattr(value, "default_factory", None), where, depth)
            return ["mapping", type(value).__name__, factory, self._pairs(value.items(), where, depth)]
        if type(value) in (list, tuple):
            return [type(value).__name__, *(self.visit(v, f"{where}[{i}]", depth) for i, v in enumerate(value))]
        if type(value) in (set, frozenset):
            forms = sorted(encode(self.visit(item, where, depth)) for item in value)
            return [type(value).__name__, *forms]
        if isinstance(value, logging.Logger):
            return ["logger", value.name]
        array = array_form(value)
        if array is not None:
            return array
        leaf = leaf_form(value)
        if leaf is not None:
            return leaf
        return self._instance(value, where, depth)

    def _pairs(self, items: Iterable[tuple[Any, Any]], where: str, depth: int) -> list[Any]:
        pairs = []
        for key, item in items:
            shown = f"{where}[{key!r}]" if type(key) in _PLAIN else f"{where}[…]"
            pairs.append([self.visit(key, f"a key of {where}", depth), self.visit(item, shown, depth)])
        return pairs

    def _instance(self, value: Any, where: str, depth: int) -> Any:
        cls = type(value)
        content: list[Any] = []
        if isinstance(value, (tuple, list)):
            plain = tuple.__iter__(value) if isinstance(value, tuple) else list.__iter__(value)
            content = [self.visit(item, f"{where}[{index}]", depth) for index, item in enumerate(plain)]
        elif isinstance(value, dict):
            content = self._pairs(dict.items(value), where, depth)
        elif _has_hidden_state(cls):
            raise UnkeyableCodeError(self.name, f"{where} carries a {qualified_name(cls)}, which has no stable form")
        state = dict(getattr(value, "__dict__", None) or {})
        for base in cls.__mro__:
            for name, member in vars(base).items():
                if type(member) is MemberDescriptorType:  # a slot, by whatever name mangling made of it
                    with suppress(AttributeError):
                        state[f"{base.__qualname__}.{name}"] = member.__get__(value)
        fields = {name: self.visit(item, f"{where}.{name}", depth) for name, item in state.items()}
        return ["instance", self._class(cls), content, fields]

    def _function(self, function: FunctionType, where: str, depth: int) -> Any:
        module = function.__globals__.get("__name__") or function.__module__ or "builtins"
        form: list[Any] = ["function", logical_name(module), function.__qualname__, self._own_code(function, module)]
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            try:
                content = cell.cell_contents
            except ValueError:
                form.append([name, "empty"])
                continue
            form.append([name, self.visit(content, f"{where}.{name}", depth)])
        form.append(self._defaults(function, where, depth))
        for name, item in sorted(vars(function).items()):
            form.append([name, self.visit(item, f"{where}.{name}", depth)])  # __wrapped__ among them
        return form

    def _defaults(self, function: FunctionType, where: str, depth: int) -> Any:
        """Return a form of the defaults: a loop or an enclosing function may have made them."""
        try:
            defaults = [function.__defaults__, function.__kwdefaults__]
            return [self.visit(item, f"{where}'s defaults", depth) for item in defaults]
        except UnkeyableCodeError:
            if not is_found_by_name(function):
                raise
            return "in the source"

    def _own_code(self, function: FunctionType, module_name: str) -> Any:
        """Tell a function from others of the same name, and note where its code begins."""
        code = function.__code__
        module = sys.modules.get(module_name)
        path = getattr(module, "__file__", None)
        first = function.__qualname__.partition(".")[0]
        if isinstance(path, str) and _is_same_file(code.co_filename, path):
            found = find(_text(path), code, function.__qualname__) if party_of(path) is Party.FIRST else None
            by_line = "" if found is not None and found.is_named else f"@{code.co_firstlineno}"
            self.roots.add((module_name, f"{first}{by_line}"))
            return normal_form(found.node) if found is not None else code_form(code)
        if has_source(module_name):
            self.roots.add((module_name, ""))  # what made it: exec somewhere in it, or a decorator
            is_foreign = not isinstance(path, str) or party_of(path) is not Party.FIRST
            if is_foreign and function.__globals__ is vars(module):
                return code_form(code)
        return self.memory.code(function)


def _has_hidden_state(cls: type) -> bool:
    """Tell whether instances keep something that neither their ``__dict__`` nor their slots show."""
    slots = 0
    for base in cls.__mro__:
        if base is not object and not base.__flags__ & _HEAP_TYPE:
            return True  # made in C
        slots += sum(type(member) is MemberDescriptorType for member in vars(base).values())
    return cls.__basicsize__ > _Bare.__basicsize__ + slots * _POINTER_BYTES


def _is_same_file(first: str, second: str) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False


def _text(path: str) -> bytes:
    """Return the text that a loaded file was imported from, as far as that is known, else what stands there."""
    known = witness.of_this_process().contents([os.path.abspath(path)])
    for content in known.values():
        text = texts.of_this_process().get(content)
        if text is not None:
            return text
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
