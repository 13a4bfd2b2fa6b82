"""Code that no source file tells about: typed at a prompt, into a notebook's cell, or made by ``exec``.

What is in memory counts: the compiled code and every global that it reads by name, each by what it holds now. So do the
members of classes made in the session. Globals and classes are referred to by name and listed once each, so that
functions may call each other in any way.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import sys
from collections import deque
from collections.abc import Callable, Iterator
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any, Final, get_args, get_origin

from parcache.errors import UnkeyableCodeError, UnkeyableConfigError
from parcache.keys.bytecode import code_form, dotted_constants, nested, reads, reads_docstrings
from parcache.keys.canonical import encode
from parcache.keys.globals import TOLD_BY_REPR
from parcache.keys.modules import MENTIONED, has_source, logical_name, qualified_name

Visit = Callable[[Any, str, int], Any]
_DESCRIPTORS: Final = (MemberDescriptorType, GetSetDescriptorType)
_WHOLE_SESSION: Final = ("eval", "exec", "globals")  # they may read any of its names
_WIDE_ATTRIBUTES: Final = frozenset({"__subclasses__", "__globals__", "f_globals", "f_back"})
_TUPLE_FIELD: Final = ("collections._tuplegetter", "_collections._tuplegetter")
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
        "__orig_bases__",
        "__abstractmethods__",
        "_abc_impl",
    }
)


class Memory:
    """What one task finds in memory. ``visit`` returns the form of a value; what has source is added to ``roots``."""

    def __init__(self, task: str, visit: Visit, roots: set[tuple[str, str]]) -> None:
        self._task = task
        self._visit = visit
        self._roots = roots
        self._spaces: dict[int, tuple[int, dict[str, Any]]] = {}  # namespaces, by identity: in the order of their use
        self._classes: dict[int, tuple[int, type]] = {}
        self._known: set[tuple[int, str]] = set()
        self._queue: deque[tuple[str, Any]] = deque()
        self._forms: list[Any] = []
        self._docs: list[Any] = []
        self._reads_docs = False

    def code(self, function: FunctionType) -> Any:
        """Return the form of a function's code, and note the globals that it reads."""
        space = function.__globals__
        number, _ = self._spaces.setdefault(id(space), (len(self._spaces), space))
        code = function.__code__
        found = reads(code, space.get("__package__") or "")
        self._roots.update(found.imports)
        self._docs.append([function.__qualname__, function.__doc__])
        self._reads_docs = self._reads_docs or reads_docstrings(code)
        for name in {name for each in nested(code) for name in each.co_names} & _WIDE_ATTRIBUTES:
            raise UnkeyableCodeError(self._task, f"it reads {name}, and so any name of the session")
        self._roots.update((text, MENTIONED) for text in dotted_constants(code))
        read = []
        for name, chain in sorted(found.names):
            self._global(number, space, name, chain)
            read.append([name, chain])
        if any(module == "__main__" for module, _ in found.imports) and not has_source("__main__"):
            raise UnkeyableCodeError(self._task, f"{function.__qualname__} imports __main__, which has no file")
        return ["in memory", number, code_form(code), read]

    def made_here(self, cls: type) -> Any:
        """Return what refers to a class made in the session; its members are listed once."""
        if id(cls) not in self._classes:
            self._classes[id(cls)] = len(self._classes), cls
            self._queue.append(("class", cls))
        return [qualified_name(cls), self._classes[id(cls)][0]]

    def rest(self) -> list[Any]:
        """Return the forms of all that was referred to."""
        while self._queue:
            kind, item = self._queue.popleft()
            if kind == "class":
                self._forms.append([qualified_name(item), self._members(item)])
            else:
                number, name, value = item
                self._forms.append([number, name, self._value(value, name)])
        return [*self._forms, self._docs if self._reads_docs else None]

    def _global(self, number: int, space: dict[str, Any], name: str, chain: str) -> None:
        if name not in space:
            if not hasattr(builtins, name):
                self._note(number, name, _Absent)
            elif name in _WHOLE_SESSION:
                raise UnkeyableCodeError(self._task, f"it calls {name}(), which may read any name of the session")
            elif name == "__import__":
                self._roots.add(("builtins", name))
            return
        value = space[name]
        if name.startswith("__") and name.endswith("__") and not callable(value):
            return  # __name__, __file__ and the like
        if isinstance(value, ModuleType):
            self._module(number, name, value, chain)
        else:
            self._note(number, name, value)

    def _module(self, number: int, name: str, module: ModuleType, chain: str) -> None:
        """Note what is read of a module: an attribute, of itself or of a module in it, or all of it."""
        attributes = chain.split(".") if chain else []
        if has_source(module.__name__):
            self._roots.add((module.__name__, chain))
            self._note(number, name, module)
        while attributes:
            value: Any = vars(module).get(attributes[0])
            name = f"{name}.{attributes.pop(0)}"
            if isinstance(value, ModuleType):
                module = value
                continue
            if not has_source(module.__name__):
                self._note(number, name, value)
            elif isinstance(value, (type, FunctionType)) and is_made_here(value):
                self._note(number, name, value)  # put there by the session
            return
        if not has_source(module.__name__):
            raise UnkeyableCodeError(self._task, f"task.<global {name}> is a module without a file, used as a whole")

    def _note(self, number: int, name: str, value: Any) -> None:
        if (number, name) not in self._known:
            self._known.add((number, name))
            self._queue.append(("global", (number, name, value)))

    def _value(self, value: Any, name: str) -> Any:
        if value is _Absent:
            return "absent"
        if isinstance(value, ModuleType):
            return ["module", logical_name(value.__name__)]
        named = _as_imported(value)
        if named is not None:
            self._roots.add((named[0], named[1].partition(".")[0]))
            return ["named", logical_name(named[0]), named[1]]
        try:
            return encode(self._visit(value, f"task.<global {name}>", 0))
        except UnkeyableConfigError as error:
            raise UnkeyableCodeError(self._task, f"task.<global {name}>{error.path[1:]}: {error.problem}") from None

    def _members(self, cls: type) -> Any:
        where = f"task.<class {cls.__qualname__}>"
        form: list[Any] = [self._visit(base, where, 0) for base in cls.__bases__]
        if type(cls) is not type:
            form.append(self._visit(type(cls), where, 0))
        form.append([[name, annotation_form(item)] for name, item in _own_annotations(cls).items()])
        self._docs.append([cls.__qualname__, cls.__doc__])
        for name, member in sorted(vars(cls).items()):
            if name not in _CLASS_BOOKKEEPING and type(member) not in _DESCRIPTORS and not _is_tuple_field(member):
                form.append([name, self._member(member, f"{where}.{name}", name)])
        return form

    def _member(self, member: Any, where: str, name: str) -> Any:
        if isinstance(member, (staticmethod, classmethod)):
            return [type(member).__name__, self._visit(member.__func__, where, 0)]
        if type(member) is property:
            parts = [member.fget, member.fset, member.fdel]
            return ["property", *(self._visit(part, where, 0) for part in parts)]
        if type(member) is functools.cached_property:  # it holds a lock, up to Python 3.11
            return ["cached_property", self._visit(member.func, where, 0)]
        if name == "__dataclass_fields__":
            return [[key, *self._field(field, where)] for key, field in member.items()]
        return self._visit(member, where, 0)

    def _field(self, field: Any, where: str) -> Iterator[Any]:
        """Yield the forms of what makes a dataclass's field; its type is among the annotations."""
        for name in ("default", "default_factory", "init", "repr", "hash", "compare", "metadata", "kw_only"):
            yield self._visit(getattr(field, name), f"{where}.{name}", 0)
        yield repr(field._field_type)


class _Absent:
    """Stands for a global that is not bound yet."""


def is_made_here(value: Any) -> bool:
    """Tell whether a class or function is one that no source file tells of, by where it says that it is from."""
    return not has_source(getattr(value, "__module__", None) or "")


def is_found_by_name(value: Any) -> bool:
    """Tell whether a class or function is what its module has under its name, so that the source tells all of it."""
    found: Any = sys.modules.get(value.__module__ or "")
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def leaf_form(value: Any) -> Any:
    """Return the form of immutable data that a session's globals hold and configs do not, or None."""
    kind = type(value)
    known = f"{kind.__module__}.{kind.__qualname__}"
    if known == "re.Pattern":
        return [known, value.pattern, value.flags]
    if kind in (complex, range, slice, bytearray, type(Ellipsis), type(NotImplemented)) or known in TOLD_BY_REPR:
        return [known, repr(value)]
    if kind.__module__ in ("typing", "types") and (get_origin(value) is not None or kind.__module__ == "typing"):
        return ["annotation", annotation_form(value)]
    return None


def annotation_form(value: Any) -> Any:
    """Return a form of an annotation by its names: code that looks into them sees little else."""
    if isinstance(value, type) and get_origin(value) is None:
        return qualified_name(value)
    origin = get_origin(value)
    if origin is None:
        return f"{type(value).__name__}:{value!r}".partition(" at 0x")[0]
    arguments = [list(map(annotation_form, each)) if isinstance(each, list) else each for each in get_args(value)]
    return [annotation_form(origin), *(each if isinstance(each, list) else annotation_form(each) for each in arguments)]


def _own_annotations(cls: type) -> dict[str, Any]:
    found = vars(cls).get("__annotations__")
    return found if isinstance(found, dict) else {}


def _is_tuple_field(member: Any) -> bool:
    return f"{type(member).__module__}.{type(member).__qualname__}" in _TUPLE_FIELD  # _fields has their order


def _as_imported(value: Any) -> tuple[str, str] | None:
    """Return module and name of what a module that has source, or is compiled, calls by that name."""
    name = _text(value, "__qualname__") or _text(value, "__name__")
    if name is None:
        return None
    if isinstance(value, FunctionType) and not has_source(value.__globals__.get("__name__") or ""):
        return None  # put into another module by the session
    own = _text(value, "__module__") or ""
    for module_name in dict.fromkeys((own, own.partition(".")[0], type(value).__module__.partition(".")[0])):
        module = sys.modules.get(module_name)
        if module is None or not has_source(module_name):
            continue
        found: Any = module
        for part in name.split("."):
            found = inspect.getattr_static(found, part, None)
        if found is value:
            return module_name, name
    return None


def _text(value: Any, name: str) -> str | None:
    """Return a string attribute; no ``__getattr__`` of anybody's is asked."""
    found = inspect.getattr_static(value, name, None)
    if isinstance(value, (type, FunctionType)) or isinstance(found, _DESCRIPTORS):
        found = getattr(value, name, None)
    return found if isinstance(found, str) else None
