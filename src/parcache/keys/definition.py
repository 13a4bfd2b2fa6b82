"""The definition in a module's text that a function in memory was made by."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import CodeType
from typing import NamedTuple


class Definition(NamedTuple):
    """``is_named``: its qualified name leads to it, and to nothing else in the module."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    is_named: bool


def find(text: bytes, code: CodeType, qualified_name: str) -> Definition | None:
    """Return the one definition that starts where the code does, or None."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if node.name == code.co_name and first == code.co_firstlineno:
                found.append(node)
    if len(found) != 1:
        return None
    return Definition(found[0], _leads_to(tree, qualified_name, found[0]))


def _leads_to(tree: ast.Module, qualified_name: str, node: ast.AST) -> bool:
    inside: ast.AST = tree
    for name in qualified_name.replace("<locals>.", "").split("."):
        named = [
            part
            for part in getattr(inside, "body", [])
            if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and part.name == name
        ]
        if len(named) != 1 or (inside is tree and sum(bound == name for bound in _bound(tree)) != 1):
            return False
        inside = named[0]
    return inside is node


def _bound(tree: ast.Module) -> Iterator[str]:
    """Yield the names that may be bound anywhere in a module, once for each time."""
    for part in ast.walk(tree):
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield part.name
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, ast.alias):
            yield part.asname or part.name.partition(".")[0]
