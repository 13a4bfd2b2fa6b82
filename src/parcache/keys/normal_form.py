"""The normal form of Python source: what is left when nothing that cannot change behaviour is kept.

Comments, formatting, positions and docstrings are gone, and so is the order of a class's methods. It is a serializer
of our own and not ``ast.dump``, whose
output differs between Python versions: empty fields are left out, so a field that a newer Python adds changes
nothing until it is used.
"""

from __future__ import annotations

import ast
from typing import Any

from parcache.keys import canonical

_SKIPPED_FIELDS = frozenset({"ctx", "type_comment", "type_ignores", "kind"})
_BLIND_TO_ORDER = frozenset({"dataclass", "total_ordering", "final"})
_KINDS_OF_METHOD = frozenset({"staticmethod", "classmethod", "property"})
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def normal_form(node: ast.AST, *, keep_docstrings: bool = False) -> bytes:
    """Return the normal form of a syntax tree.

    ``keep_docstrings`` is for code that reads ``__doc__``.

    Raises:
        RecursionError: The tree is nested too deeply to be walked.
    """
    out: list[bytes] = []
    _write_node(node, out, keep_docstrings)
    return b"".join(out)


def is_docstring(statement: ast.stmt) -> bool:
    """Tell whether a statement, as the first of a body, would be its docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _write_node(node: ast.AST, out: list[bytes], keep_docstrings: bool) -> None:
    kind = node.__class__
    if kind is ast.Constant:
        out.append(b"(Constant ")
        _write_constant(node.value, out)  # type: ignore[attr-defined] # every constant has one
        out.append(b")")
        return
    shape = _SHAPES.get(kind) or _shape(kind)
    out.append(shape[0])
    for name, label in shape[1]:
        value = getattr(node, name, None)
        if value is None or value == []:
            continue
        if name == "body" and kind in _DOCUMENTED:
            if not keep_docstrings and is_docstring(value[0]):
                value = value[1:]
            if isinstance(node, ast.ClassDef):
                value = _without_order_of_methods(node, value)
            if not value:
                continue
        out.append(label)
        if isinstance(value, list):
            out.append(b"[%d:" % len(value))
            for item in value:
                if isinstance(item, ast.AST):
                    _write_node(item, out, keep_docstrings)
                else:
                    _write_constant(item, out)
            out.append(b"]")
        elif isinstance(value, ast.AST):
            _write_node(value, out, keep_docstrings)
        else:
            _write_constant(value, out)
    out.append(b")")


# By kind of node: how it begins, and its fields with how each begins.
_SHAPES: dict[type[ast.AST], tuple[bytes, tuple[tuple[str, bytes], ...]]] = {}


def _shape(kind: type[ast.AST]) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    fields = tuple((name, b" " + name.encode() + b"=") for name in kind._fields if name not in _SKIPPED_FIELDS)
    found = _SHAPES[kind] = b"(" + kind.__name__.encode(), fields
    return found


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


def _write_constant(value: Any, out: list[bytes]) -> None:
    if value.__class__ is str:
        data = value.encode("utf-8", "surrogatepass")
        out.append(b"s%d:%b" % (len(data), data))  # as canonical.encode does: half of all that is written
    elif value is Ellipsis:
        out.append(b"...")
    elif isinstance(value, complex):
        out.append(b"j")
        out.append(canonical.encode([value.real, value.imag]))
    elif isinstance(value, (tuple, frozenset)):  # only made by an optimising compiler, never by ast.parse
        out.append(type(value).__name__.encode())
        forms: list[list[bytes]] = []
        for item in value:
            forms.append([])
            _write_constant(item, forms[-1])
        joined = [b"".join(form) for form in forms]
        out.extend(joined if isinstance(value, tuple) else sorted(joined))
    else:
        out.append(canonical.encode(value))
