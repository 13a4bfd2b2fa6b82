"""Functions and classes that do nothing but return something when they are called: by their source alone.

A module that calls one while it is imported has not changed anything by it. Most decorators are of this kind: they
define a wrapper and return it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any, Final

from parcache.keys.findings import PARTS

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
# What these have that changes what it is given, or calls it.
_IMPURE: Final = frozenset({"reduce", "call", "setitem", "delitem"})
_PURE_IMPORTED: Final = frozenset({"wraps", "partial", "update_wrapper", "lru_cache", "cache", "cached_property"})
_CONSTRUCTION: Final = frozenset(
    {"__new__", "__post_init__", "__init_subclass__", "__set_name__", "__init__", "__setattr__", "__getattribute__"}
)
_PLAIN_CLASS_DECORATORS: Final = frozenset({"dataclass", "dataclasses", "total_ordering", "final", "unique"})
_MEANT: Final = PURE_BUILTINS | _PURE_MODULES | _PURE_IMPORTED | _PLAIN_CLASS_DECORATORS
_MEANT_BY: Final = frozenset(
    {*_PURE_MODULES, "builtins", "dataclasses", "enum", "typing", "typing_extensions", "pydantic.dataclasses"}
)


_STATEMENTS: Final = frozenset(
    [
        *(ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.Return, ast.Expr, ast.If, ast.While, ast.For),
        *(ast.Pass, ast.Break, ast.Continue),
    ]
)
_LEAVES: Final = frozenset({ast.Name, ast.Constant, type(None), str, int})
_PLACES: Final = frozenset({ast.Subscript, ast.Attribute})
_TELLING: Final = _PLACES | {ast.Lambda, ast.Call, ast.Await, ast.Yield, ast.YieldFrom}


def are_names_plain(binds: Iterable[str], aliases: Iterable[tuple[str, str, str]]) -> bool:
    """Tell whether the names by which calls are known to change nothing mean what they say in a module."""
    imported = {name for name, module, _ in aliases if module in _MEANT_BY}
    elsewhere = {name for name, module, _ in aliases if module not in _MEANT_BY}
    return _MEANT.isdisjoint(elsewhere | (set(binds) - imported))


def calm_depth(node: ast.stmt) -> int:
    """Return how many calls in a row change nothing: 0, 1 (of it), or 2 (of what it returns, too)."""
    if isinstance(node, ast.FunctionDef):
        if not _is_calm_function(node):
            return 0
        inner = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        names = {part.name for part in inner}
        makes = all(isinstance(value, ast.Name) and value.id in names for value in _returned(node.body))
        return 2 if inner and makes and all(map(_is_calm_function, inner)) else 1
    if isinstance(node, ast.ClassDef):
        return 1 if _is_calm_class(node) else 0
    return 0


def _returned(body: Iterable[ast.stmt]) -> Iterator[ast.expr | None]:
    """Yield what a function returns, not what the functions in it do."""
    for part in body:
        if isinstance(part, ast.Return):
            yield part.value
        elif isinstance(part, (ast.If, ast.For, ast.While)):
            yield from _returned([*part.body, *part.orelse])


def _is_calm_function(node: ast.FunctionDef) -> bool:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    if not _MEANT.isdisjoint(argument.arg for argument in arguments if argument is not None):
        return False
    made_here = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    return _are_calm(node.body, made_here)


def _is_calm_class(node: ast.ClassDef) -> bool:
    if node.keywords or not all(_last_name(item) in _PLAIN_CLASS_DECORATORS for item in node.decorator_list):
        return False
    set_by = {"*"} if any(_last_name(item) == "dataclass" for item in node.decorator_list) else _set_in_init(node)
    for member in node.body:
        if isinstance(member, (ast.Assign, ast.AnnAssign)) and (_has_factory(member) or _may_be_set(member, set_by)):
            return False
        if not isinstance(member, ast.FunctionDef):
            continue
        if any(_last_name(item) == "setter" for item in member.decorator_list):
            return False
        if member.name in _CONSTRUCTION:
            own = {member.args.args[0].arg} if member.args.args else set()
            if member.name != "__init__" or not _are_calm(member.body, own):
                return False
    return True


def _set_in_init(node: ast.ClassDef) -> set[str]:
    """Return the attributes that are assigned where an instance is made."""
    return {
        part.attr
        for member in node.body
        if isinstance(member, ast.FunctionDef) and member.name == "__init__"
        for part in ast.walk(member)
        if isinstance(part, ast.Attribute) and not isinstance(part.ctx, ast.Load)
    }


def _may_be_set(member: ast.Assign | ast.AnnAssign, set_by: set[str]) -> bool:
    """Tell whether a member may be an object with a ``__set__`` that making an instance calls."""
    value = member.value
    if not isinstance(value, (ast.Call, ast.Name, ast.Attribute, ast.Subscript)):
        return False
    if isinstance(value, ast.Call) and (_last_name(value) in ("field", "Field") or _is_pure(value.func)):
        return _last_name(value) == "property"
    targets = member.targets if isinstance(member, ast.Assign) else [member.target]
    is_field = "*" in set_by and isinstance(member, ast.AnnAssign) and isinstance(value, ast.Call)
    return is_field or any(isinstance(target, ast.Name) and target.id in set_by for target in targets)


def _has_factory(node: ast.AST) -> bool:
    """Tell whether a field's value is made by a call when an instance is made."""
    return any(
        isinstance(part, ast.keyword)
        and part.arg in ("default_factory", "factory")
        and not _is_plain_factory(part.value)
        for part in ast.walk(node)
    )


def _is_plain_factory(node: ast.expr) -> bool:
    if isinstance(node, ast.Lambda):
        return _is_calm_expression(node.body)
    return isinstance(node, ast.Name) and node.id in PURE_BUILTINS


def _are_calm(body: list[ast.stmt], owned: set[str]) -> bool:
    return _have_calm_kinds(body) and all(_is_calm(statement, owned) for statement in body)


def _have_calm_kinds(body: list[ast.stmt]) -> bool:
    """Tell whether statements can be calm by their kinds: most that cannot show it by these, and soon."""
    for part in body:
        if part.__class__ not in _STATEMENTS:
            return False
        if isinstance(part, (ast.If, ast.For, ast.While)) and not _have_calm_kinds([*part.body, *part.orelse]):
            return False
    return True


def _is_calm(node: ast.stmt, owned: set[str]) -> bool:
    if isinstance(node, ast.FunctionDef):  # what it does when it is called is another question
        parts = [*node.decorator_list, *node.args.defaults, *(item for item in node.args.kw_defaults if item)]
        return all(map(_is_calm_expression, parts))
    if isinstance(node, (ast.Assign, ast.AnnAssign)):  # an augmented one may change a list that somebody else holds
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(_is_own(target, owned) for target in targets) and _is_calm_expression(node.value)
    if isinstance(node, (ast.Return, ast.Expr)):
        return _is_calm_expression(node.value)
    if isinstance(node, (ast.If, ast.While)):
        return _is_calm_expression(node.test) and all(_is_calm(part, owned) for part in (*node.body, *node.orelse))
    if isinstance(node, ast.For):
        return (
            _is_own(node.target, owned)
            and _is_calm_expression(node.iter)
            and all(_is_calm(part, owned) for part in (*node.body, *node.orelse))
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
    stack: list[Any] = [node]
    while stack:
        part = stack.pop()
        kind = part.__class__
        if kind in _LEAVES:
            continue
        if kind in _TELLING:
            if kind is ast.Lambda:  # called later, if at all
                stack += [*part.args.defaults, *part.args.kw_defaults]
                continue
            if kind is ast.Call:
                if not _is_pure(part.func) or (_last_name(part.func) == "type" and len(part.args) != 1):
                    return False  # to make a class may tell somebody
            elif kind not in _PLACES or part.ctx.__class__ is not ast.Load:
                return False  # it gives control away, or is the target of a comprehension
        for name in PARTS[kind]:
            value = getattr(part, name, None)
            if value.__class__ is list:
                stack += value
            else:
                stack.append(value)
    return True


def _is_pure(func: ast.expr) -> bool:
    if isinstance(func, ast.Call):  # functools.wraps(f)(g), lru_cache(None)(g)
        return _last_name(func) in _PURE_IMPORTED
    if isinstance(func, ast.Name):
        return func.id in PURE_BUILTINS or func.id in _PURE_IMPORTED
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
        is_in_place = (
            func.value.id == "operator" and func.attr[0] == "i" and func.attr not in ("index", "inv", "invert")
        )
        return func.value.id in _PURE_MODULES and func.attr not in _IMPURE and not is_in_place
    return False


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
