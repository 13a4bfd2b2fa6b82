"""Conditions that never hold: what hangs on ``typing.TYPE_CHECKING`` is for type checkers, and never runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, Final

_NAME: Final = "TYPE_CHECKING"
_TYPING: Final = frozenset({"typing", "typing_extensions"})


def never_true(data: bytes, tree: ast.Module) -> frozenset[str]:
    """Return the conditions of a module that never hold: as a name, or with the name of its module."""
    if _NAME.encode() not in data:
        return frozenset()
    found: set[str] = set()
    otherwise: set[str] = set()
    for node in _at_the_top(tree.body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                (found if alias.name in _TYPING else otherwise).add(f"{name}.{_NAME}")
        elif isinstance(node, ast.ImportFrom):
            is_typing = node.module in _TYPING and not node.level
            for alias in node.names:
                name = alias.asname or alias.name
                (found if is_typing and alias.name == _NAME else otherwise).add(name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            is_false = isinstance(node.value, ast.Constant) and not node.value.value
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                # Some say so themselves, to spare the import.
                (found if is_false and isinstance(target, ast.Name) and target.id == _NAME else otherwise).update(
                    part.id if isinstance(part, ast.Name) else ast.unparse(part)
                    for part in ast.walk(target)
                    if isinstance(part, (ast.Name, ast.Attribute))
                )
    return frozenset(found - otherwise)


def is_one_of(test: ast.expr, never: frozenset[str]) -> bool:
    """Tell whether a condition is one of those that never hold."""
    if isinstance(test, ast.Name):
        return test.id in never
    return isinstance(test, ast.Attribute) and isinstance(test.value, ast.Name) and _dotted(test) in never


def _dotted(test: Any) -> str:
    return f"{test.value.id}.{test.attr}"


def _at_the_top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, not those of its functions and classes."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        yield node
        for name in ("body", "orelse", "finalbody"):
            yield from _at_the_top(getattr(node, name, []))
        for handler in getattr(node, "handlers", ()):
            yield from _at_the_top(handler.body)
