"""What the task's code reads from the globals of its modules, by value.

The source says what a module binds; a script's loop, an argument parser or an assignment from outside
(``train.LR = 3``) says something else. So plain data that the task function, and what it calls by name, finds in
globals and class attributes counts as it is when the sweep starts; and so does a function that somebody has put in
another's place (``train.loss = my_loss``).

What holds some of it beside other things is looked through: partials, bound methods, closures, defaults, containers,
instances of first-party classes.

Left out: what is no plain data (its code counts), instances of other people's classes, dunder names and absolute
paths (``ROOT = Path(__file__).parent`` must not bind results to a folder).
"""

from __future__ import annotations

import collections
import enum
import functools
import inspect
import os
import re
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import PosixPath, PurePosixPath
from types import (
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, Final, NamedTuple

from parcache.errors import UnkeyableConfigError
from parcache.keys.arrays import array_form
from parcache.keys.bytecode import reads
from parcache.keys.canonical import encode
from parcache.keys.modules import Party, has_source, is_own, logical_name, party_of, qualified_name

_LEAVES: Final = (type(None), bool, int, float, str, bytes, complex)
_CONTAINERS: Final = (list, tuple, set, frozenset)
_MAX_DEPTH: Final = 20
# By name: most programs have imported none of them.
TOLD_BY_REPR: Final = frozenset(
    {"decimal.Decimal", "fractions.Fraction", "uuid.UUID"}
    | {f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")}
)
_SUBCLASSED: Final[tuple[Any, ...]] = (int, float, str, bytes)
_OTHER_FORMS: Final[dict[type, Callable[[Any], Any]]] = {
    **dict.fromkeys((PosixPath, PurePosixPath), str),
    collections.deque: list,
    bytearray: bytes,
    MappingProxyType: dict,
    range: repr,
    re.Pattern: lambda pattern: [pattern.pattern, pattern.flags],
}
_PROXIES: Final = (weakref.ProxyType, weakref.CallableProxyType)
_NAMESPACES: Final = frozenset({"types.SimpleNamespace", "argparse.Namespace"})
_CONFIGS: Final = frozenset({"omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"})
_DESCRIPTORS: Final = (MemberDescriptorType, GetSetDescriptorType)


class Read(NamedTuple):
    """What the task's code finds in globals.

    ``values`` are (qualified name, form) of plain data, ``roots`` of the closure functions that are not in the places
    that their source gives them.
    """

    values: list[tuple[str, bytes]]
    roots: frozenset[tuple[str, str]]


def read_globals(task: Any) -> Read:
    """Return what the task's code reads from globals and class attributes."""
    walk = _Walk()
    walk.callable(task)
    return Read(sorted(walk.values.items()), frozenset(walk.roots))


class _Walk:
    """One walk from a task. What is reached under several names counts under the first; the order is fixed."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.roots: set[tuple[str, str]] = set()
        self._seen: set[int] = set()
        self._kept: list[Any] = []  # so that no id is used again

    def callable(self, value: Any, name: str = "task") -> None:
        """Walk whatever can be called: its code, what it carries, and all that it wraps."""
        if not self._is_new(value):
            return
        if isinstance(value, functools.partial):
            self.found(f"{name}.func", value.func)
            for number, part in enumerate(value.args):
                self.found(f"{name}.args[{number}]", part)
            for key, part in sorted(value.keywords.items()):
                self.found(f"{name}.keywords[{key}]", part)
        elif isinstance(value, MethodType):
            self.callable(value.__func__, f"{name}.__func__")
            self.found(f"{name}.__self__", value.__self__)
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        else:
            wrapped = _held(value, "__wrapped__")
            if callable(wrapped):
                self.callable(wrapped, f"{name}.__wrapped__")

    def found(self, name: str, value: Any) -> None:
        """Take what a name stands for: note plain data, walk code, and look for both in what holds them."""
        if not _is_what_it_is(value):
            return
        if isinstance(value, FunctionType):
            self._placed(name, value)
        if (
            isinstance(value, (FunctionType, MethodType, type, functools.partial))
            or _held(value, "__wrapped__") is not None
        ):
            self.callable(value, name)
        elif not isinstance(value, ModuleType):
            form = _form(value)
            if form is not None:
                self._note(name, form)
            elif self._is_new(value):
                self._inside(name, value)

    def _inside(self, name: str, value: Any) -> None:
        """Look for what counts in something that is no plain data as a whole."""
        if isinstance(value, dict):
            forms = [_key(key) for key in list(value)]
            self._note(f"{name}.<keys>", encode([None if form is _NOT_PLAIN else [form] for form in forms]))
            for form, item in zip(forms, list(dict.values(value)), strict=False):
                if form is not _NOT_PLAIN:
                    self.found(f"{name}[{form!r}]", item)
        elif isinstance(value, (list, tuple)):
            for number, item in enumerate(list(value)):
                self.found(f"{name}[{number}]", item)
        if _is_first_party(type(value).__module__):
            self.callable(type(value), f"{name}.__class__")
            for base in _SUBCLASSED:
                if isinstance(value, base):
                    self._note(f"{name}.<{base.__name__}>", encode(base.__getnewargs__(value)[0]))
            for attribute, item in sorted(_attributes(value), key=_text):
                self.found(f"{name}.{attribute}", item)

    def _placed(self, name: str, function: FunctionType) -> None:
        """Note a function that stands under another name than its own: somebody may have put it there by hand."""
        module = function.__globals__.get("__name__") or ""
        own = f"{logical_name(function.__module__ or module)}.{function.__qualname__}"
        if own != name and has_source(module) and _is_first_party(module, function.__globals__.get("__file__")):
            self._note(f"{name}.<is>", encode(own))
            first = function.__qualname__.partition(".")[0]
            self.roots.add((module, f"{first}@{function.__code__.co_firstlineno}"))

    def _note(self, name: str, form: bytes) -> None:
        unique, number = name, 1
        while self.values.get(unique, form) != form:  # two functions can share a name
            number += 1
            unique = f"{name}#{number}"
        self.values[unique] = form

    def _is_new(self, value: Any) -> bool:
        if id(value) in self._seen:
            return False
        self._seen.add(id(value))
        self._kept.append(value)
        return True

    def _function(self, function: FunctionType) -> None:
        module = function.__globals__.get("__name__") or ""
        names = set(_names(function.__code__))
        read = names
        if module not in sys.modules and "__file__" not in function.__globals__:
            read = {name for name, _ in reads(function.__code__).names}
        elif not _is_first_party(module, function.__globals__.get("__file__")):
            return
        elif not has_source(module):
            read = {name for name, _ in reads(function.__code__).names}
        for name in sorted(read):
            if name.startswith("__") or name not in function.__globals__:
                continue
            value = function.__globals__[name]
            self.found(f"{logical_name(module)}.{name}", value)
            if issubclass(type(value), ModuleType) and _is_first_party(
                value.__name__, getattr(value, "__file__", None)
            ):
                for attribute in sorted(names & vars(value).keys()):
                    if not attribute.startswith("__"):
                        self.found(f"{logical_name(value.__name__)}.{attribute}", vars(value)[attribute])
        own = f"{logical_name(module)}.{function.__qualname__}"
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            try:
                self.found(f"{own}.<{variable}>", cell.cell_contents)
            except ValueError:
                continue
        for number, default in enumerate(function.__defaults__ or ()):
            self.found(f"{own}.<default {number}>", default)
        for parameter, default in sorted((function.__kwdefaults__ or {}).items()):
            self.found(f"{own}.<default {parameter}>", default)
        wrapped = getattr(function, "__wrapped__", None)
        if callable(wrapped):
            self.callable(wrapped, f"{own}.__wrapped__")

    def _module(self, module: ModuleType, names: set[str]) -> None:
        if not _is_first_party(module.__name__, getattr(module, "__file__", None)):
            return
        for attribute in sorted(names & vars(module).keys()):
            if not attribute.startswith("__"):
                self.found(f"{logical_name(module.__name__)}.{attribute}", vars(module)[attribute])

    def _class(self, cls: type) -> None:
        for base in cls.__mro__:
            if not _is_first_party(base.__module__):
                continue
            for name, member in sorted(vars(base).items()):
                inner = _held(member, "__func__") or _held(member, "fget") or member
                if isinstance(inner, FunctionType):
                    self._placed(f"{qualified_name(base)}.{name}", inner)
                    self.callable(inner, f"{qualified_name(base)}.{name}")
                elif not name.startswith("__"):
                    self.found(f"{qualified_name(base)}.{name}", member)


def _attributes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what an instance holds, in its ``__dict__`` and in slots, without asking its class for anything."""
    held = _held(value, "__dict__")
    if type(held) is dict:
        yield from held.items()
    for base in type(value).__mro__:
        for name, member in vars(base).items():
            if type(member) is MemberDescriptorType:
                with suppress(AttributeError):  # an empty slot
                    yield name, member.__get__(value)


def _is_what_it_is(value: Any) -> bool:
    """Tell whether a value can be asked for its class: what a weak proxy stands for may be gone."""
    if type(value) in _PROXIES:
        return False
    try:
        return isinstance(value.__class__, type)
    except Exception:
        return False


def _text(item: tuple[Any, Any]) -> str:
    return str(item[0])  # an object's __dict__ takes keys of any type


def _held(value: Any, name: str) -> Any:
    """Return an attribute, or None; no ``__getattr__`` of anybody's is asked: it may import, or raise what it likes."""
    found = inspect.getattr_static(value, name, None)
    if isinstance(found, _DESCRIPTORS):
        return found.__get__(value, type(value))
    return found


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names(const)


def _is_first_party(module_name: str, path: Any = None) -> bool:
    if is_own(module_name):
        return False
    if path is None:
        module = sys.modules.get(module_name)
        if module is not None and not has_source(module_name):
            return True
        path = getattr(module, "__file__", None)
    return isinstance(path, str) and party_of(path) is Party.FIRST


def _form(value: Any) -> bytes | None:
    """Return the form of plain data, or None."""
    try:
        tree = _plain(value, 0)
        return None if tree is _NOT_PLAIN else encode(tree)
    except (UnkeyableConfigError, RecursionError, RuntimeError):  # also: changed by a thread meanwhile
        return None


_NOT_PLAIN: Final = object()


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str and os.path.isabs(value):
        return "<path>"
    if kind is complex:
        return ["complex", value.real, value.imag]
    if kind in _LEAVES:
        return value
    known = f"{kind.__module__}.{kind.__qualname__}"
    if known in TOLD_BY_REPR:
        return [known, repr(value)]
    array = array_form(value)
    if array is not None:
        return array
    if depth > _MAX_DEPTH:
        return _NOT_PLAIN
    if kind in _OTHER_FORMS:
        return [kind.__name__, _plain(_OTHER_FORMS[kind](value), depth + 1)]
    if known in _CONFIGS:
        try:
            return _plain([known, sys.modules["omegaconf"].OmegaConf.to_container(value, resolve=False)], depth + 1)
        except Exception:
            return _NOT_PLAIN
    if known in _NAMESPACES:
        return _plain([known, dict(sorted(vars(value).items(), key=_text))], depth + 1)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _plain([qualified_name(kind), *tuple.__iter__(value)], depth + 1)
    if kind is collections.OrderedDict:
        return _plain([kind.__qualname__, *map(list, value.items())], depth + 1)
    if kind is dict:
        pairs = [[_key(key, depth + 1), _plain(item, depth + 1)] for key, item in value.items()]
        return _NOT_PLAIN if _has_foreign(pairs) else ["dict", pairs]
    if kind in _CONTAINERS:
        of_item = _key if kind in (set, frozenset) else _plain
        items = [of_item(item, depth + 1) for item in value]
        if any(item is _NOT_PLAIN for item in items):
            return _NOT_PLAIN
        return [kind.__name__, sorted(map(encode, items)) if kind in (set, frozenset) else items]
    return _NOT_PLAIN


def _key(value: Any, depth: int = 0) -> Any:
    """Return the plain form of a key of a dict or a member of a set: of an enum's member or a dataclass as well."""
    form = _plain(value, depth)
    if form is not _NOT_PLAIN or depth > _MAX_DEPTH:
        return form
    if isinstance(value, enum.Enum):
        return [qualified_name(type(value)), _held(value, "_name_")]
    if "__dataclass_fields__" not in vars(type(value)):
        return _NOT_PLAIN
    held = {name: _key(item, depth + 1) for name, item in sorted(_attributes(value), key=_text)}
    return _NOT_PLAIN if _NOT_PLAIN in held.values() else [qualified_name(type(value)), held]


def _has_foreign(pairs: list[list[Any]]) -> bool:
    return any(part is _NOT_PLAIN for pair in pairs for part in pair)
