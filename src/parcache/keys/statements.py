"""What the code of one statement refers to and does: names, calls at import, strings, dynamic constructs.

One pass over a syntax tree. Code runs *now*, when the statement is executed, or *later*, when a function in it is
called.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, Final

from parcache.keys.constructs import LITERAL_IMPORTERS, RENAMED_WITH_CARE, Constructs
from parcache.keys.dotted import absolute_module
from parcache.keys.findings import PARTS, PROGRAMS, Found, Now, called_name, handed, route
from parcache.keys.normal_form import is_docstring
from parcache.keys.scopes import Scope, Scopes

# Decorators got from a member of the same class, which they change and nothing else.
_OF_ITS_OWN: Final = frozenset({"setter", "getter", "deleter", "register"})


def scan(statement: ast.stmt, module: str, is_package: bool) -> Found:
    """Return what a module-level statement refers to and does.

    Raises:
        RecursionError: It is nested too deeply to be walked.
    """
    scanner = _Scanner(module, is_package)
    scanner.statement = statement
    scanner.visit(statement)
    return scanner.close()


class _Scanner(Constructs):
    def __init__(self, module: str, is_package: bool) -> None:
        super().__init__(module, is_package)
        self.scopes = Scopes(self.found)
        self.statement: ast.stmt
        self.quiet = 0  # inside what is evaluated now, but whose order cannot matter: annotations, bases

    def close(self) -> Found:
        """Settle the module's own scope."""
        self.scopes.close()
        if self.found.starts_python and not self.found.files:
            self.construct(self.statement, "sys.executable", PROGRAMS)
        return self.found

    # --- Walking

    def visit(self, node: ast.AST) -> None:
        handler = _HANDLERS.get(node.__class__)
        if handler is not None:
            handler(self, node)
        else:
            self.children(node)

    def children(self, node: ast.AST) -> None:
        for name in PARTS[node.__class__]:
            value: Any = getattr(node, name, None)
            if value.__class__ is list:
                for item in value:
                    if isinstance(item, ast.AST):
                        self.visit(item)
            elif isinstance(value, ast.AST):
                self.visit(value)

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def body(self, statements: list[ast.stmt]) -> None:
        if statements and is_docstring(statements[0]):
            docstring: Any = statements[0]
            self.found.docs.append(docstring.value.value)
            statements = statements[1:]
        for statement in statements:
            self.visit(statement)

    # --- Names

    def load(self, chain: str) -> None:
        if self.scopes.load(chain) and not self.later and not self.quiet:
            self.found.refs_now.add(chain.partition(".")[0])

    # --- What happens now

    def note(self, what: str, node: ast.expr, given: tuple[str, ...] = ()) -> None:
        if self.later:
            return
        chain, style = route(node)
        if chain and self.scopes.is_local(chain.partition(".")[0]):
            # A function or a class defined inside the statement, or a variable of a comprehension.
            chain, style = "", "nested"
        self.found.now.append(Now(what, chain, style, given))

    def store(self, target: ast.expr) -> None:
        """Take note of what is assigned to, where that is no plain name."""
        if isinstance(target, (ast.Attribute, ast.Subscript)):
            if not self.later:
                self._stored(target)
            self.visit(target)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for item in target.elts:
                self.store(item)
        elif isinstance(target, ast.Starred):
            self.store(target.value)
        else:
            self.visit(target)

    def _stored(self, target: ast.Attribute | ast.Subscript) -> None:
        chain, style = route(target.value)
        if chain and self.scopes.is_local(chain.partition(".")[0]):
            return
        if isinstance(target, ast.Attribute) and not style:
            chain, style = f"{chain}.{target.attr}", "attribute"
        elif style or "." in chain:
            style = "nested"
        self.found.now.append(Now("store", chain, style))

    # --- Statements

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.decorator(decorator)
        self.defaults(node.args)
        self.quiet += 1
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        for argument in every:
            if argument is not None:
                self.annotation(argument.annotation)
        self.annotation(node.returns)
        self.quiet -= 1
        self.scopes.bind(node.name)
        if node.name == "__getattr__" and self.scopes.depth == 1 and self.is_package:
            self.found.wholes.add(self.package)  # PEP 562: the usual place for submodules that load when asked for
        scope = self.enter("function", node)
        scope.binds.update(argument.arg for argument in every if argument is not None)
        self.body(node.body)
        self.exit()

    def enter(self, kind: str, node: ast.AST | None = None) -> Scope:
        scope = self.scopes.enter(kind)
        if kind == "function":
            self.later += 1
        for parameter in getattr(node, "type_params", ()):
            scope.binds.add(parameter.name)
            self.visit_all([getattr(parameter, "bound", None), getattr(parameter, "default_value", None)])
        return scope

    def exit(self) -> None:
        if self.scopes.exit().kind == "function":
            self.later -= 1

    def defaults(self, arguments: ast.arguments) -> None:
        self.visit_all(arguments.defaults)
        self.visit_all(arguments.kw_defaults)

    def decorator(self, node: ast.expr) -> None:
        target = node.func if isinstance(node, ast.Call) else node
        chain = route(target)[0]
        if not (called_name(target) in _OF_ITS_OWN and self.scopes.is_local(chain.partition(".")[0])):
            self.note("decorator", target, ("()", *handed(node)) if isinstance(node, ast.Call) else ())
        self.quiet += 1
        self.visit(target)
        self.quiet -= 1
        if isinstance(node, ast.Call):  # calling it is accounted for
            self.visit_all(node.args)
            self.visit_all(keyword.value for keyword in node.keywords)
            self.constructs_of_call(node, called_name(target))

    def annotation(self, node: ast.expr | None) -> None:
        if node is None:
            return
        if isinstance(node, ast.Name):  # as most are
            self.visit(node)
            return
        for part in ast.walk(node):  # what stands in quotes is read by whoever asks for type hints
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                try:
                    self.visit(ast.parse(part.value, mode="eval").body)
                except (SyntaxError, ValueError, RecursionError, MemoryError):
                    continue
        self.visit(node)

    def lambda_(self, node: ast.Lambda) -> None:
        self.defaults(node.args)
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        scope = self.enter("function")
        scope.binds.update(argument.arg for argument in every if argument is not None)
        self.visit(node.body)
        self.exit()

    def class_(self, node: ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            self.decorator(decorator)
        self.quiet += 1
        for base in node.bases:
            self.note("base", base)
            self.visit(base)
        for keyword in node.keywords:
            if keyword.arg in ("metaclass", None):
                self.note("metaclass", keyword.value)
            self.visit(keyword.value)
        self.quiet -= 1
        self.scopes.bind(node.name)
        methods = [item.name for item in node.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))]
        if len(methods) > 1:
            self.found.orders.append(methods)
        self.enter("class", node)
        outer, self.scopes.conditional = self.scopes.conditional, 0
        self.body(node.body)
        self.scopes.conditional = outer
        if self.scopes.depth == 2:
            self.found.members |= self.scopes.top.binds
        self.exit()

    def comprehension(self, node: Any) -> None:
        first, *others = node.generators
        self.visit(first.iter)
        self.enter("comprehension")
        self.visit(first.target)
        self.visit_all(first.ifs)
        for generator in others:
            self.visit(generator.target)
            self.visit(generator.iter)
            self.visit_all(generator.ifs)
        self.visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self.exit()

    def walrus(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.scopes.bind_around(node.target.id)

    def import_(self, node: ast.Import) -> None:
        for alias in node.names:
            self.imported(alias.name, "")
            if alias.asname:
                self.scopes.alias(alias.asname, alias.name, "")
            else:
                top = alias.name.partition(".")[0]
                self.scopes.alias(top, top, "")
            self.readers(alias.name)

    def import_from(self, node: ast.ImportFrom) -> None:
        base = absolute_module(node.module, node.level, self.package)
        if base is None:
            return
        for alias in node.names:
            self.imported(base, alias.name)
            if alias.name == "*":
                self.found.stars.append(base)
                continue
            self.scopes.alias(alias.asname or alias.name, base, alias.name)
            renamed = alias.asname not in (None, alias.name)
            if renamed and alias.name in RENAMED_WITH_CARE:
                self.construct(node, f"{alias.name} imported as {alias.asname}")
            if (node.module, alias.name) == ("sys", "modules"):
                self.construct(node, "sys.modules")
            self.readers(alias.name)

    def global_(self, node: ast.Global) -> None:
        self.scopes.top.globals.update(node.names)
        self.found.refs.update(node.names)

    def nonlocal_(self, node: ast.Nonlocal) -> None:
        self.scopes.top.nonlocals.update(node.names)

    def operation(self, node: ast.BinOp) -> None:
        for operand in (node.left, node.right):
            if isinstance(operand, (ast.Name, ast.Attribute)):
                self.note("enter", operand)
        self.children(node)

    def assign(self, node: ast.Assign) -> None:
        if self.scopes.top.kind == "class" and isinstance(node.value, ast.Name):
            self.note("enter", node.value)  # it may have a __set_name__
        self.visit(node.value)
        for target in node.targets:
            named: object = target.attr if isinstance(target, ast.Attribute) else None
            if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                named = target.slice.value
            if named == "_target_":
                self.computed(node.value, "_target_")
            self.store(target)

    def aug_assign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if isinstance(node.target, ast.Name):
            self.load(node.target.id)
            name, value = node.target.id, node.value
            is_number = isinstance(value, ast.Constant) and isinstance(value.value, (int, float, str))
            if not (self.later or is_number or name == "__all__" or self.scopes.is_local(name)):
                self.found.now.append(Now("store", name))  # a list grows where it is, whoever else holds it
        self.store(node.target)

    def ann_assign(self, node: ast.AnnAssign) -> None:
        self.quiet += 1
        self.annotation(node.annotation)
        self.quiet -= 1
        if node.value is not None:
            self.visit(node.value)
            self.store(node.target)
        elif not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self.store(target)

    def for_(self, node: ast.For | ast.AsyncFor) -> None:
        self.note("enter", node.iter)
        self.visit(node.iter)
        self.store(node.target)
        self.branches(node.body, node.orelse)

    def with_(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.note("enter", item.context_expr)
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self.store(item.optional_vars)
        self.branches(node.body)

    def if_(self, node: ast.If) -> None:
        if is_type_checking(node.test):
            self.branches(node.orelse)
            return
        self.visit(node.test)
        self.branches(node.body, node.orelse)

    def while_(self, node: ast.While) -> None:
        self.visit(node.test)
        self.branches(node.body, node.orelse)

    def try_(self, node: Any) -> None:
        self.branches(node.body)
        for handler in node.handlers:
            self.visit_all([handler.type])
            if handler.name:
                self.scopes.bind(handler.name)
            self.branches(handler.body)
        self.branches(node.orelse, node.finalbody)

    def branches(self, *bodies: list[ast.stmt]) -> None:
        self.scopes.conditional += 1
        for body in bodies:
            self.visit_all(body)
        self.scopes.conditional -= 1

    def capture(self, node: Any) -> None:  # of a match statement
        name = getattr(node, "name", None) or getattr(node, "rest", None)
        if name:
            self.scopes.bind(name)
        self.children(node)

    def expression(self, node: ast.Expr) -> None:
        value = node.value
        if isinstance(value, ast.Constant):
            return
        if isinstance(value, ast.Call):
            self.note("statement", value.func, handed(value))
        else:
            self.note("statement", ast.Constant(None))
        self.visit(value)

    def alarm(self, node: ast.Assert | ast.Raise) -> None:
        self.note("statement", ast.Constant(None))
        self.children(node)

    # --- Expressions

    def name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.scopes.bind(node.id)
            return
        self.load(node.id)
        self.constructs_of_name(node)

    def attribute(self, node: ast.Attribute) -> None:
        self.constructs_of_attribute(node)
        attributes = [node.attr]
        inner = node.value
        while isinstance(inner, ast.Attribute):
            self.constructs_of_attribute(inner)
            attributes.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            if not isinstance(node.ctx, ast.Load) and len(attributes) == 1:
                attributes.pop()  # of a module's attribute that is assigned nothing is read
                self.load(inner.id + "." + node.attr)
            else:
                self.load(".".join([inner.id, *reversed(attributes)]))
            self.constructs_of_name(inner)
        else:
            self.visit(inner)

    def subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.value, ast.Attribute) and node.value.attr == "environ":
            self.variable(node.slice)
        if isinstance(node.ctx, ast.Load) and not self.quiet:
            self.note("enter", node.value)
        self.children(node)

    def call(self, node: ast.Call) -> None:
        called = called_name(node.func)
        if not self.later:
            self.note("call", node.func, handed(node))
        if called in LITERAL_IMPORTERS and self.literal_import(node, called):
            if not isinstance(node.func, ast.Name):  # where the importer comes from
                self.load(route(node.func)[0] or "importlib")
            self.visit_all(node.args)
            self.visit_all(keyword.value for keyword in node.keywords)
            return
        self.constructs_of_call(node, called)
        if called == "vars" and isinstance(node.func, ast.Name) and node.args:
            self.found.reads_order = True
            self.visit_all(node.args)  # a module that is handed to it is one of which any name may be meant
            return
        self.children(node)

    def dictionary(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "_target_":
                self.computed(value, "_target_")
        self.children(node)

    def sequence(self, node: ast.List | ast.Tuple) -> None:
        values = [item.value if isinstance(item, ast.Constant) else None for item in node.elts]
        for flag, value in pairwise(values):
            if flag == "-m" and isinstance(value, str):
                self.found.files.add(f"-m {value}")  # a command line: python -m module
            elif flag in ("-m", "-c"):
                self.construct(node, f"python {flag} …", PROGRAMS)
        self.children(node)


def is_type_checking(test: ast.expr) -> bool:
    """Tell whether a condition is ``TYPE_CHECKING``: what hangs on it never runs."""
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return name == "TYPE_CHECKING"


_Handler = Callable[[_Scanner, Any], None]
_HANDLERS: Final[dict[type[ast.AST], _Handler]] = {
    ast.FunctionDef: _Scanner.function,
    ast.AsyncFunctionDef: _Scanner.function,
    ast.Lambda: _Scanner.lambda_,
    ast.ClassDef: _Scanner.class_,
    ast.ListComp: _Scanner.comprehension,
    ast.SetComp: _Scanner.comprehension,
    ast.DictComp: _Scanner.comprehension,
    ast.GeneratorExp: _Scanner.comprehension,
    ast.NamedExpr: _Scanner.walrus,
    ast.Import: _Scanner.import_,
    ast.ImportFrom: _Scanner.import_from,
    ast.Global: _Scanner.global_,
    ast.Nonlocal: _Scanner.nonlocal_,
    ast.BinOp: _Scanner.operation,
    ast.Assign: _Scanner.assign,
    ast.AugAssign: _Scanner.aug_assign,
    ast.AnnAssign: _Scanner.ann_assign,
    ast.Delete: _Scanner.delete,
    ast.For: _Scanner.for_,
    ast.AsyncFor: _Scanner.for_,
    ast.With: _Scanner.with_,
    ast.AsyncWith: _Scanner.with_,
    ast.If: _Scanner.if_,
    ast.While: _Scanner.while_,
    ast.Try: _Scanner.try_,
    ast.MatchAs: _Scanner.capture,
    ast.MatchStar: _Scanner.capture,
    ast.MatchMapping: _Scanner.capture,
    ast.Expr: _Scanner.expression,
    ast.Assert: _Scanner.alarm,
    ast.Raise: _Scanner.alarm,
    ast.Name: _Scanner.name,
    ast.Attribute: _Scanner.attribute,
    ast.Subscript: _Scanner.subscript,
    ast.Call: _Scanner.call,
    ast.Constant: _Scanner.constant,
    ast.Dict: _Scanner.dictionary,
    ast.List: _Scanner.sequence,
    ast.Tuple: _Scanner.sequence,
}
if hasattr(ast, "TryStar"):  # Python 3.11
    _HANDLERS[ast.TryStar] = _Scanner.try_
if hasattr(ast, "TypeAlias"):  # Python 3.12

    def _type_alias(scanner: _Scanner, node: Any) -> None:
        scanner.scopes.bind(node.name.id)
        scanner.enter("function", node)
        scanner.visit(node.value)
        scanner.exit()

    _HANDLERS[ast.TypeAlias] = _type_alias
