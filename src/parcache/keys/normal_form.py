"""The normal form of Python source: what is left when nothing that cannot change behaviour is kept.

Comments, formatting, positions and docstrings are gone. It is a serializer of our own and not ``ast.dump``, whose
output differs between Python versions: empty fields are left out, so a field that a newer Python adds changes
nothing until it is used.
"""

from __future__ import annotations

import ast
from typing import Any

from parcache.keys import canonical

_SKIPPED_FIELDS = frozenset({"ctx", "type_comment", "type_ignores", "kind"})
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def normal_form(node: ast.AST, *, keep_docstrings: bool = False) -> bytes:
    """Return the normal form of a syntax tree.

    ``keep_docstrings`` is for code that reads ``__doc__``.

    Raises:
        RecursionError: The tree is nested too deeply to be walked.
    """
    out: list[bytes] = []
    _write(node, out, keep_docstrings)
    return b"".join(out)


def is_docstring(statement: ast.stmt) -> bool:
    """Tell whether a statement, as the first of a body, would be its docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _write(value: Any, out: list[bytes], keep_docstrings: bool) -> None:
    if isinstance(value, ast.Constant):
        out.append(b"(Constant ")
        _write_constant(value.value, out)
        out.append(b")")
    elif isinstance(value, ast.AST):
        _write_node(value, out, keep_docstrings)
    elif isinstance(value, list):
        out.append(b"[%d:" % len(value))
        for item in value:
            _write(item, out, keep_docstrings)
        out.append(b"]")
    else:
        _write_constant(value, out)


def _write_node(node: ast.AST, out: list[bytes], keep_docstrings: bool) -> None:
    out.append(b"(" + type(node).__name__.encode())
    for name in node._fields:
        if name in _SKIPPED_FIELDS:
            continue
        value = getattr(node, name, None)
        if name == "body" and not keep_docstrings and isinstance(node, _DOCUMENTED) and value:
            value = value[1:] if is_docstring(value[0]) else value
        if value is None or value == []:
            continue
        out.append(b" " + name.encode() + b"=")
        _write(value, out, keep_docstrings)
    out.append(b")")


def _write_constant(value: Any, out: list[bytes]) -> None:
    if value is Ellipsis:
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
