"""The normal form of Python source: what is left when nothing that cannot change behaviour is kept.

Comments, formatting, positions and docstrings are gone, and so is the order of a class's methods. It is a serializer
of our own and not ``ast.dump``, whose
output differs between Python versions: empty fields are left out, so a field that a newer Python adds changes
nothing until it is used.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Final

from parcache.keys import canonical

_SKIPPED_FIELDS = frozenset({"ctx", "type_comment", "type_ignores", "kind"})
_BLIND_TO_ORDER = frozenset({"dataclass", "total_ordering", "final"})
_KINDS_OF_METHOD = frozenset({"staticmethod", "classmethod", "property"})
_DOCUMENTED = frozenset({ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef})
_LONG: Final = 64  # bytes
_Write = Callable[[bytes], None]


def normal_form(node: ast.AST, *, keep_docstrings: bool = False) -> bytes:
    """Return the normal form of a syntax tree.

    ``keep_docstrings`` is for code that reads ``__doc__``.

    Raises:
        RecursionError: The tree is nested too deeply to be walked.
    """
    out: list[bytes] = []
    _write_node(node, out.append, keep_docstrings)
    return b"".join(out)


def is_docstring(statement: ast.stmt) -> bool:
    """Tell whether a statement, as the first of a body, would be its docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


class _Names(dict[str, bytes]):
    """Names as they are written; a project has few, and they are half of all that is."""

    def __missing__(self, name: str) -> bytes:
        found = self[name] = b"(Name id=%b)" % _text(name)
        return found


class _Constants(dict[tuple[type, Any], bytes]):
    """Strings and whole numbers as they are written."""

    def __missing__(self, key: tuple[type, Any]) -> bytes:
        parts: list[bytes] = []
        _write_constant(key[1], parts.append)
        found = b"(Constant %b)" % b"".join(parts)
        if len(found) < _LONG:
            self[key] = found
        return found


class _Labels(dict[int, bytes]):
    """How a field begins that holds so many nodes."""

    def __init__(self, name: str) -> None:
        self.alone = b" " + name.encode() + b"="

    def __missing__(self, number: int) -> bytes:
        found = self[number] = b"%b[%d:" % (self.alone, number)
        return found


def _write_node(node: Any, write: _Write, keep_docstrings: bool) -> None:
    kind = node.__class__
    if kind is ast.Name:
        write(_names[node.id])
        return
    if kind is ast.Constant:
        _write_constant_node(node.value, write)
        return
    start, fields = _SHAPES[kind]
    write(start)
    if not fields:  # operators
        return
    for name, label in fields:
        value = getattr(node, name, None)
        if value is None:
            continue
        kind_of_value = value.__class__
        if kind_of_value is ast.Name:  # half of all nodes: without a call
            write(label.alone)
            write(_names[value.id])
        elif kind_of_value is list:
            if not value:
                continue
            if name == "body" and kind in _DOCUMENTED:
                value = _body(node, value, keep_docstrings)
                if not value:
                    continue
            write(label[len(value)])
            for item in value:
                if item.__class__ is ast.Name:
                    write(_names[item.id])
                elif isinstance(item, ast.AST):
                    _write_node(item, write, keep_docstrings)
                else:
                    _write_constant(item, write)
            write(b"]")
        else:
            write(label.alone)
            if isinstance(value, ast.AST):
                _write_node(value, write, keep_docstrings)
            else:
                _write_constant(value, write)
    write(b")")


def _body(node: ast.AST, body: list[ast.stmt], keep_docstrings: bool) -> list[ast.stmt]:
    """Return the statements of what may have a docstring, without what does not count."""
    if body and not keep_docstrings and is_docstring(body[0]):
        body = body[1:]
    return _without_order_of_methods(node, body) if isinstance(node, ast.ClassDef) else body


class _Shapes(dict[type[ast.AST], tuple[bytes, tuple[tuple[str, _Labels], ...]]]):
    """By kind of node: how it begins, and its fields with how each begins."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[bytes, tuple[tuple[str, _Labels], ...]]:
        fields = tuple((name, _Labels(name)) for name in kind._fields if name not in _SKIPPED_FIELDS)
        start = b"(" + kind.__name__.encode()
        found = self[kind] = start if fields else start + b")", fields
        return found


_SHAPES: Final = _Shapes()
_names: Final = _Names()
_constants: Final = _Constants()


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"s%d:%b" % (len(data), data)  # as canonical.encode does


def _without_order_of_methods(node: ast.ClassDef, body: list[ast.stmt]) -> list[ast.stmt]:
    """Return a class's statements with its plain methods last, by name.

    Those that are defined twice, or decorated by more than their kind, keep their place, and so does everything where a
    metaclass or a decorator may look at the order.
    """
    if node.keywords or any(_last_name(item) not in _BLIND_TO_ORDER for item in node.decorator_list):
        return body
    functions = [item for item in body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))]
    names = [item.name for item in functions]
    plain = [
        item
        for item in functions
        if names.count(item.name) == 1
        and all(isinstance(part, ast.Name) and part.id in _KINDS_OF_METHOD for part in item.decorator_list)
        and not item.args.defaults
        and not any(item.args.kw_defaults)
    ]
    kept = {id(item) for item in plain}
    return [item for item in body if id(item) not in kept] + sorted(plain, key=lambda item: item.name)


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _write_constant_node(value: Any, write: _Write) -> None:
    if value.__class__ is str or value.__class__ is int:
        write(_constants[value.__class__, value])
        return
    write(b"(Constant ")
    _write_constant(value, write)
    write(b")")


def _write_constant(value: Any, write: _Write) -> None:
    if value.__class__ is str:
        write(_text(value))
    elif value is Ellipsis:
        write(b"...")
    elif isinstance(value, complex):
        write(b"j")
        write(canonical.encode([value.real, value.imag]))
    elif isinstance(value, (tuple, frozenset)):  # only made by an optimising compiler, never by ast.parse
        write(type(value).__name__.encode())
        forms: list[list[bytes]] = []
        for item in value:
            forms.append([])
            _write_constant(item, forms[-1].append)
        joined = [b"".join(form) for form in forms]
        write(b"".join(joined if isinstance(value, tuple) else sorted(joined)))
    else:
        write(canonical.encode(value))
