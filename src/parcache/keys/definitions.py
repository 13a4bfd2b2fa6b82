"""What functions, lambdas, classes and type aliases refer to when they are defined, and when they are called."""

from __future__ import annotations

import ast
from typing import Any, Final

from parcache.keys.findings import called_name, handed, route
from parcache.keys.scanner import HANDLERS, Scanner

# Decorators got from a member of the same class, which they change and nothing else.
_OF_ITS_OWN: Final = frozenset({"setter", "getter", "deleter", "register"})
# Decorators that hand back what is nobody else's.
_MAKING: Final = _OF_ITS_OWN | {
    *("property", "cached_property", "abstractproperty", "abstractmethod", "singledispatchmethod", "singledispatch"),
    *("staticmethod", "classmethod", "overload", "override", "final", "wraps"),
}


def annotation(scanner: Scanner, node: ast.expr | None) -> None:
    """Walk an annotation: what stands in quotes in it names something, too."""
    if node is None:
        return
    outer, scanner.annotating = scanner.annotating, True
    scanner.visit(node)
    scanner.annotating = outer


def _function(scanner: Scanner, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    for decorator in node.decorator_list:
        _decorator(scanner, decorator)
    arguments = _defaults(scanner, node.args)
    scanner.quiet += 1
    for argument in arguments:
        annotation(scanner, argument.annotation)
    annotation(scanner, node.returns)
    scanner.quiet -= 1
    scanner.scopes.bind(node.name)
    scanner.scopes.make(node.name, here=all(_last_name(item) in _MAKING for item in node.decorator_list))
    if node.name == "__getattr__" and scanner.scopes.depth == 1 and scanner.is_package:
        scanner.found.wholes.add(scanner.package)  # PEP 562: the usual place for submodules that load when asked for
    scope = scanner.enter("function", node)
    scope.binds.update([argument.arg for argument in arguments])
    scanner.body(node.body)
    scanner.exit()


def _lambda(scanner: Scanner, node: ast.Lambda) -> None:
    arguments = _defaults(scanner, node.args)
    scope = scanner.enter("function")
    scope.binds.update([argument.arg for argument in arguments])
    scanner.visit(node.body)
    scanner.exit()


def _defaults(scanner: Scanner, node: ast.arguments) -> list[ast.arg]:
    """Walk the defaults; return all arguments."""
    scanner.visit_all(node.defaults)
    scanner.visit_all(node.kw_defaults)
    every = [*node.posonlyargs, *node.args, *node.kwonlyargs]
    every += [argument for argument in (node.vararg, node.kwarg) if argument is not None]
    return every


def _decorator(scanner: Scanner, node: ast.expr) -> None:
    target = node.func if isinstance(node, ast.Call) else node
    chain = route(target)[0]
    if not (called_name(target) in _OF_ITS_OWN and scanner.scopes.is_made_here(chain.partition(".")[0])):
        scanner.note("decorator", target, ("()", *handed(node)) if isinstance(node, ast.Call) else ())
    scanner.quiet += 1
    scanner.visit(target)
    scanner.quiet -= 1
    if isinstance(node, ast.Call):  # calling it is accounted for
        scanner.visit_all(node.args)
        scanner.visit_all(keyword.value for keyword in node.keywords)
        scanner.constructs_of_call(node, called_name(target))


def _last_name(decorator: ast.expr) -> str | None:
    return called_name(decorator.func if isinstance(decorator, ast.Call) else decorator)


def _class(scanner: Scanner, node: ast.ClassDef) -> None:
    for decorator in node.decorator_list:
        _decorator(scanner, decorator)
    scanner.quiet += 1
    for base in node.bases:
        scanner.note("base", base)
        scanner.visit(base)
    for keyword in node.keywords:
        if keyword.arg in ("metaclass", None):
            scanner.note("metaclass", keyword.value)
        scanner.visit(keyword.value)
    scanner.quiet -= 1
    scopes, found = scanner.scopes, scanner.found
    scopes.bind(node.name)
    scopes.make(node.name, here=not node.decorator_list)
    methods = [item.name for item in node.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))]
    if len(methods) > 1:
        found.orders.append(methods)
    scanner.enter("class", node)
    outer, scopes.conditional = scopes.conditional, 0
    scanner.body(node.body)
    scopes.conditional = outer
    if scopes.depth == 2:
        found.members |= scopes.top.binds
    scanner.exit()


def _type_alias(scanner: Scanner, node: Any) -> None:
    scanner.scopes.bind(node.name.id)
    scanner.enter("function", node)
    scanner.visit(node.value)
    scanner.exit()


HANDLERS.update(
    {ast.FunctionDef: _function, ast.AsyncFunctionDef: _function, ast.Lambda: _lambda, ast.ClassDef: _class}
)
if hasattr(ast, "TypeAlias"):  # Python 3.12
    HANDLERS[ast.TypeAlias] = _type_alias
