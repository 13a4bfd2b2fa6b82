"""The task function as a root of the fingerprint: which code it is, and the state that it carries along.

A task is a function, a lambda, a partial, a bound method or any callable object. What it carries (closure cells,
partial arguments, an instance's attributes) decides its results as much as its code does, and is not in the
source; so it counts by value, or the task cannot be keyed.
"""

from __future__ import annotations

import ast
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
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, Final, NamedTuple

from parcache.errors import UnkeyableCodeError, UnkeyableConfigError
from parcache.keys.arrays import array_form
from parcache.keys.canonical import encode
from parcache.keys.globals import read_globals
from parcache.keys.modules import Party, logical_name, party_of, qualified_name
from parcache.keys.normal_form import normal_form

_PLAIN: Final = (type(None), bool, int, float, str, bytes)
_MAX_DEPTH: Final = 50
_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_POINTER_BYTES: Final = struct.calcsize("P")
_CACHED: Final = type(functools.lru_cache(len))
_DESCRIPTORS: Final = (MemberDescriptorType, GetSetDescriptorType)
_CLASS_BOOKKEEPING: Final = frozenset(
    {
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__annotations__",
        "__annotations_cache__",
        "__annotate__",
        "__annotate_func__",
        "__conditional_annotations__",
        "__firstlineno__",
        "__static_attributes__",
        "__abstractmethods__",
        "_abc_impl",
    }
)


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
        UnkeyableCodeError: It has no source in a file, or carries state that has no stable form.
    """
    inspector = _Inspector(_display_name(task))
    try:
        read = read_globals(task)
        form = encode([inspector.visit(task, "task", 0), read.values])
    except UnkeyableConfigError as error:
        raise UnkeyableCodeError(inspector.name, f"{error.path}: {error.problem}") from None
    return TaskIdentity(inspector.name, form, frozenset(inspector.roots) | read.roots)


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
            return ["class", self._class(value, where, depth)]
        if isinstance(value, BuiltinFunctionType):
            return self._builtin(value, where, depth)
        if isinstance(value, _CACHED):
            return ["cached", self.visit(value.__wrapped__, where, depth)]
        if isinstance(value, Enum):
            kind = self._class(type(value), where, depth)
            return ["enum", kind, value.name, self.visit(value.value, where, depth)]
        return self._data(value, where, depth)

    def _class(self, cls: type, where: str, depth: int) -> Any:
        """Note a class and its bases; those that cannot be found by name count with what they are made of."""
        self.roots.update((base.__module__, base.__qualname__.partition(".")[0]) for base in cls.__mro__)
        made_here = []
        for base in cls.__mro__:
            if _is_found_by_name(base):
                continue
            members = []
            for name, member in sorted(vars(base).items()):
                if name not in _CLASS_BOOKKEEPING and type(member) not in _DESCRIPTORS:
                    members.append([name, self._member(member, f"{where}.{name}", depth)])
            made_here.append([qualified_name(base), members])
        return [qualified_name(cls), *made_here]

    def _member(self, member: Any, where: str, depth: int) -> Any:
        if isinstance(member, (staticmethod, classmethod)):
            return [type(member).__name__, self.visit(member.__func__, where, depth)]
        if type(member) is property:
            parts = [member.fget, member.fset, member.fdel]
            return ["property", *(self.visit(part, where, depth) for part in parts)]
        return self.visit(member, where, depth)

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
        return self._instance(value, where, depth)

    def _pairs(self, items: Iterable[tuple[Any, Any]], where: str, depth: int) -> list[Any]:
        pairs = []
        for key, item in items:
            if type(key) not in _PLAIN:
                raise UnkeyableCodeError(self.name, f"{where} has a key of type {qualified_name(type(key))}")
            pairs.append([key, self.visit(item, f"{where}[{key!r}]", depth)])
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
        return ["instance", self._class(cls, where, depth), content, fields]

    def _function(self, function: FunctionType, where: str, depth: int) -> Any:
        module = function.__globals__.get("__name__") or function.__module__ or "builtins"
        first = function.__qualname__.partition(".")[0]
        self.roots.add((module, f"{first}@{function.__code__.co_firstlineno}"))
        form: list[Any] = [
            "function",
            logical_name(module),
            function.__qualname__,
            self._own_code(function, module),
        ]
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
            if not _is_found_by_name(function):
                raise
            return "in the source"

    def _own_code(self, function: FunctionType, module_name: str) -> bytes:
        """Tell a function from others of the same name, and make sure that it comes from a file."""
        module = sys.modules.get(module_name)
        path = getattr(module, "__file__", None)
        code = function.__code__
        if path is None or not _is_same_file(code.co_filename, path):
            problem = f"it was not read from a source file (it comes from {code.co_filename!r})"
            raise UnkeyableCodeError(self.name, problem)
        if party_of(path) is not Party.FIRST:
            return _code_form(code)
        node = _definition(path, code)
        return normal_form(node) if node is not None else _code_form(code)


def _is_found_by_name(value: Any) -> bool:
    """Tell whether a class or function is what its module has under its name, so that the source tells all of it."""
    found: Any = sys.modules.get(value.__module__ or "")
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


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


def _definition(path: str, code: CodeType) -> ast.AST | None:
    """Find the one definition that starts where the code does, or None."""
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return None
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if node.name == code.co_name and first == code.co_firstlineno:
                found.append(node)
    return found[0] if len(found) == 1 else None


def _code_form(code: CodeType) -> bytes:
    """Return a form of compiled code: what it does, without where it stands."""
    consts = []
    for const in code.co_consts:
        if isinstance(const, CodeType):
            consts.append(_code_form(const))
        elif isinstance(const, frozenset):
            consts.append(repr(sorted(map(repr, const))).encode())
        else:
            consts.append(f"{type(const).__name__}:{const!r}".encode())
    table = getattr(code, "co_exceptiontable", b"")
    flags = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
    names = [*code.co_names, "|", *code.co_varnames, "|", *code.co_freevars, "|", *code.co_cellvars]
    return encode([code.co_name, code.co_code, consts, table, flags, names])
