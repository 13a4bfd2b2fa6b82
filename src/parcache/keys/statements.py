"""What the code of one statement refers to and does: names, calls at import, strings, dynamic constructs.

One pass over a syntax tree (``parcache.keys.scanner``, ``parcache.keys.definitions``).
"""

from __future__ import annotations

import ast
from typing import Any

from parcache.keys.constructs import RENAMED_WITH_CARE
from parcache.keys.definitions import annotation
from parcache.keys.dotted import absolute_module
from parcache.keys.findings import Found, Now, handed, sources
from parcache.keys.never import is_one_of
from parcache.keys.scanner import HANDLERS, Scanner, children


def scan(statement: ast.stmt, module: str, is_package: bool, never: frozenset[str] = frozenset()) -> Found:
    """Return what a module-level statement refers to and does. ``never`` are the conditions that never hold.

    Raises:
        RecursionError: It is nested too deeply to be walked.
    """
    return Scanner(module, is_package, statement, never).scan()


def _import(scanner: Scanner, node: ast.Import) -> None:
    for alias in node.names:
        scanner.imported(alias.name, "")
        if alias.asname:
            scanner.scopes.alias(alias.asname, alias.name, "")
        else:
            top = alias.name.partition(".")[0]
            scanner.scopes.alias(top, top, "")
        scanner.readers(alias.name)


def _import_from(scanner: Scanner, node: ast.ImportFrom) -> None:
    base = absolute_module(node.module, node.level, scanner.package)
    if base is None:
        return
    for alias in node.names:
        scanner.imported(base, alias.name)
        if alias.name == "*":
            scanner.found.stars.append(base)
            continue
        scanner.scopes.alias(alias.asname or alias.name, base, alias.name)
        renamed = alias.asname not in (None, alias.name)
        if renamed and alias.name in RENAMED_WITH_CARE:
            scanner.construct(node, f"{alias.name} imported as {alias.asname}")
        if (node.module, alias.name) == ("sys", "modules"):
            scanner.construct(node, "sys.modules")
        scanner.readers(alias.name)


def _global(scanner: Scanner, node: ast.Global) -> None:
    scanner.scopes.top.globals.update(node.names)
    scanner.found.refs.update(node.names)


def _nonlocal(scanner: Scanner, node: ast.Nonlocal) -> None:
    scanner.scopes.top.nonlocals.update(node.names)


def _assign(scanner: Scanner, node: ast.Assign) -> None:
    _member(scanner, node.targets, node.value)
    if node.value.__class__ is ast.GeneratorExp and not scanner.later:
        scanner.found.now.append(Now("call", "iter"))
    scanner.visit(node.value)
    for target in node.targets:
        if target.__class__ is ast.Name:  # as most are
            scanner.visit(target)
            continue
        if isinstance(target, (ast.Tuple, ast.List)):
            scanner.enters(node.value)
        named: object = target.attr if isinstance(target, ast.Attribute) else None
        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
            named = target.slice.value
        if named == "_target_":
            scanner.computed(node.value, "_target_")
        scanner.store(target)


def _member(scanner: Scanner, targets: list[ast.expr], value: ast.expr) -> None:
    """Take note of what a class's body binds, which may have a ``__set_name__``."""
    if scanner.later or scanner.scopes.top.kind != "class":
        return
    values = value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]
    for item in values if any(isinstance(target, (ast.Tuple, ast.List)) for target in targets) else [value]:
        scanner.enters(item, "member")
    makes = not any(True for _ in sources(value))
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        makes = value.func.id in ("property", "list", "dict", "set", "field")
    for target in targets:
        if isinstance(target, ast.Name):
            scanner.scopes.make(target.id, here=makes)


def _aug_assign(scanner: Scanner, node: ast.AugAssign) -> None:
    scanner.visit(node.value)
    if isinstance(node.target, ast.Name):
        scanner.load(node.target.id)
        name = node.target.id
        if not (scanner.later or name == "__all__" or scanner.scopes.is_made_here(name)):
            # A list grows where it is, whoever else holds it; an array is scaled.
            is_local = scanner.scopes.is_local(name)
            scanner.found.now.append(Now("store", "" if is_local else name, "nested" if is_local else ""))
    scanner.enters(node.value)
    scanner.store(node.target)


def _ann_assign(scanner: Scanner, node: ast.AnnAssign) -> None:
    scanner.quiet += 1
    annotation(scanner, node.annotation)
    scanner.quiet -= 1
    if node.value is not None:
        _member(scanner, [node.target], node.value)
        scanner.visit(node.value)
        scanner.store(node.target)
    elif not isinstance(node.target, ast.Name):
        scanner.visit(node.target)


def _delete(scanner: Scanner, node: ast.Delete) -> None:
    for target in node.targets:
        scanner.store(target)


def _for(scanner: Scanner, node: ast.For | ast.AsyncFor) -> None:
    scanner.enters(node.iter)
    scanner.visit(node.iter)
    scanner.store(node.target)
    _branches(scanner, node.body, node.orelse)


def _with(scanner: Scanner, node: ast.With | ast.AsyncWith) -> None:
    for item in node.items:
        scanner.enters(item.context_expr)
        scanner.visit(item.context_expr)
        if item.optional_vars is not None:
            scanner.store(item.optional_vars)
    _branches(scanner, node.body)


def _if(scanner: Scanner, node: ast.If) -> None:
    if scanner.never and is_one_of(node.test, scanner.never):
        _branches(scanner, node.orelse)
        return
    scanner.enters(node.test)
    scanner.visit(node.test)
    _branches(scanner, node.body, node.orelse)


def _while(scanner: Scanner, node: ast.While) -> None:
    scanner.enters(node.test)
    scanner.visit(node.test)
    _branches(scanner, node.body, node.orelse)


def _try(scanner: Scanner, node: Any) -> None:
    _branches(scanner, node.body)
    for handler in node.handlers:
        scanner.visit_all([handler.type])
        if handler.name:
            scanner.scopes.bind(handler.name)
        _branches(scanner, handler.body)
    _branches(scanner, node.orelse, node.finalbody)


def _branches(scanner: Scanner, *bodies: list[ast.stmt]) -> None:
    scanner.scopes.conditional += 1
    for body in bodies:
        scanner.visit_all(body)
    scanner.scopes.conditional -= 1


def _match(scanner: Scanner, node: ast.Match) -> None:
    scanner.enters(node.subject)
    children(scanner, node)


def _capture(scanner: Scanner, node: Any) -> None:  # of a match statement
    name = getattr(node, "name", None) or getattr(node, "rest", None)
    if name:
        scanner.scopes.bind(name)
    children(scanner, node)


def _expression(scanner: Scanner, node: ast.Expr) -> None:
    value = node.value
    if isinstance(value, ast.Constant):
        return
    if not scanner.later:
        if isinstance(value, ast.Call):
            scanner.note("statement", value.func, handed(value))
        else:
            scanner.note("statement", ast.Constant(None))
    scanner.visit(value)


def _alarm(scanner: Scanner, node: ast.Assert | ast.Raise) -> None:
    scanner.note("statement", ast.Constant(None))
    children(scanner, node)


HANDLERS.update(
    {
        ast.Import: _import,
        ast.ImportFrom: _import_from,
        ast.Global: _global,
        ast.Nonlocal: _nonlocal,
        ast.Assign: _assign,
        ast.AugAssign: _aug_assign,
        ast.AnnAssign: _ann_assign,
        ast.Delete: _delete,
        ast.For: _for,
        ast.AsyncFor: _for,
        ast.With: _with,
        ast.AsyncWith: _with,
        ast.If: _if,
        ast.While: _while,
        ast.Try: _try,
        ast.Match: _match,
        ast.MatchAs: _capture,
        ast.MatchStar: _capture,
        ast.MatchMapping: _capture,
        ast.Expr: _expression,
        ast.Assert: _alarm,
        ast.Raise: _alarm,
    }
)
if hasattr(ast, "TryStar"):  # Python 3.11
    HANDLERS[ast.TryStar] = _try
