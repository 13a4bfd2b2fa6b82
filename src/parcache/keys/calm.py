"""Functions and classes that do nothing but return something when they are called: by their source alone.

A module that calls one while it is imported has not changed anything by it. Most decorators are of this kind: they
define a wrapper and return it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Final

# Builtins that change nothing, whatever they are given. Not those that call what they are given.
PURE_BUILTINS: Final = frozenset(
    [
        "abs",
        "bool",
        "bytes",
        "callable",
        "classmethod",
        "complex",
        "dict",
        "divmod",
        "enumerate",
        "float",
        "frozenset",
        "hasattr",
        "hash",
        "id",
        "int",
        "isinstance",
        "issubclass",
        "len",
        "list",
        "object",
        "property",
        "range",
        "repr",
        "reversed",
        "round",
        "set",
        "slice",
        "staticmethod",
        "str",
        "sum",
        "super",
        "tuple",
        "type",
        "zip",
    ]
)
_PURE_MODULES: Final = frozenset({"math", "cmath", "functools", "operator", "itertools"})
_PURE_IMPORTED: Final = frozenset({"wraps", "partial", "update_wrapper", "lru_cache", "cache", "cached_property"})
_CONSTRUCTION: Final = frozenset({"__new__", "__post_init__", "__init_subclass__", "__set_name__", "__init__"})
_PLAIN_CLASS_DECORATORS: Final = frozenset({"dataclass", "dataclasses", "total_ordering", "final", "unique"})


def calm_depth(node: ast.stmt) -> int:
    """Return how many calls in a row change nothing: 0, 1 (of it), or 2 (of what it returns, too)."""
    if isinstance(node, ast.FunctionDef):
        if not _is_calm_function(node):
            return 0
        inner = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        return 2 if all(map(_is_calm_function, inner)) else 1
    if isinstance(node, ast.ClassDef):
        return 1 if _is_calm_class(node) else 0
    return 0


def _is_calm_function(node: ast.FunctionDef) -> bool:
    made_here = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    return _are_calm(node.body, made_here)


def _is_calm_class(node: ast.ClassDef) -> bool:
    if node.keywords or not all(_last_name(item) in _PLAIN_CLASS_DECORATORS for item in node.decorator_list):
        return False
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name in _CONSTRUCTION:
            own = {member.args.args[0].arg} if member.args.args else set()
            if member.name != "__init__" or not _are_calm(member.body, own):
                return False
    return True


def _are_calm(body: Iterable[ast.stmt], owned: set[str]) -> bool:
    return all(_is_calm(statement, owned) for statement in body)


def _is_calm(node: ast.stmt, owned: set[str]) -> bool:
    if isinstance(node, ast.FunctionDef):  # what it does when it is called is another question
        parts = [*node.decorator_list, *node.args.defaults, *(item for item in node.args.kw_defaults if item)]
        return all(map(_is_calm_expression, parts))
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(_is_own(target, owned) for target in targets) and _is_calm_expression(node.value)
    if isinstance(node, (ast.Return, ast.Expr)):
        return _is_calm_expression(node.value)
    if isinstance(node, (ast.If, ast.While)):
        return _is_calm_expression(node.test) and _are_calm(node.body, owned) and _are_calm(node.orelse, owned)
    if isinstance(node, ast.For):
        return (
            _is_own(node.target, owned)
            and _is_calm_expression(node.iter)
            and _are_calm(node.body, owned)
            and _are_calm(node.orelse, owned)
        )
    return isinstance(node, (ast.Pass, ast.Break, ast.Continue))


def _is_own(target: ast.expr, owned: set[str]) -> bool:
    """Tell whether assigning to a target changes only what is made here."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(_is_own(item, owned) for item in target.elts)
    if isinstance(target, ast.Attribute):
        return isinstance(target.value, ast.Name) and target.value.id in owned
    return isinstance(target, ast.Name)


def _is_calm_expression(node: ast.expr | None) -> bool:
    if node is None:
        return True
    stack: list[ast.AST] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, (ast.Await, ast.Yield, ast.YieldFrom)):
            return False
        if isinstance(part, ast.Lambda):  # called later, if at all
            stack += [item for item in (*part.args.defaults, *part.args.kw_defaults) if item is not None]
            continue
        if isinstance(part, ast.Call) and not _is_pure(part.func):
            return False
        for value in part.__dict__.values():  # ast.iter_child_nodes takes three times as long
            if isinstance(value, ast.AST):
                stack.append(value)
            elif isinstance(value, list):
                stack += [item for item in value if isinstance(item, ast.AST)]
    return True


def _is_pure(func: ast.expr) -> bool:
    if isinstance(func, ast.Call):  # functools.wraps(f)(g), lru_cache(None)(g)
        return _last_name(func) in _PURE_IMPORTED
    if isinstance(func, ast.Name):
        return func.id in PURE_BUILTINS or func.id in _PURE_IMPORTED
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
        return func.value.id in _PURE_MODULES and func.attr != "reduce"
    return False


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
