"""The walk over the syntax tree of one statement: names, calls and other expressions.

How each kind of node is walked stands in ``HANDLERS``; those of definitions and of statements are added by the modules
that import this one. Code runs *now*, when the statement is executed, or *later*, when a function in it is called.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final

from parcache.keys.constructs import LITERAL_IMPORTERS, NOTABLE, Constructs
from parcache.keys.findings import PARTS, PROGRAMS, Found, Now, called_name, handed, route, sources
from parcache.keys.normal_form import is_docstring
from parcache.keys.scopes import Scope, Scopes


class Scanner(Constructs):
    """Walks a statement, and takes note of what it refers to and does."""

    def __init__(self, module: str, is_package: bool, statement: ast.stmt, never: frozenset[str]) -> None:
        super().__init__(module, is_package)
        self.scopes = Scopes(self.found)
        self.statement = statement
        self.never = never  # conditions that never hold
        self.quiet = 0  # inside what is evaluated now, but whose order cannot matter: annotations, bases
        self.annotating = False  # inside an annotation

    def scan(self) -> Found:
        """Return what there is to be found.

        Raises:
            RecursionError: It is nested too deeply to be walked.
        """
        self.visit(self.statement)
        self.scopes.close()
        if self.found.starts_python and not self.found.files:
            self.construct(self.statement, "sys.executable", PROGRAMS)
        return self.found

    # --- Walking

    def visit(self, node: ast.AST) -> None:
        """Walk a node as its kind is walked."""
        HANDLERS[node.__class__](self, node)

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        """Walk several nodes; None is none."""
        for node in nodes:
            HANDLERS[node.__class__](self, node)

    def body(self, statements: list[ast.stmt]) -> None:
        """Walk the body of what may have a docstring."""
        if statements and is_docstring(statements[0]):
            docstring: Any = statements[0]
            self.found.docs.append(docstring.value.value)
            statements = statements[1:]
        self.visit_all(statements)

    def enter(self, kind: str, node: ast.AST | None = None) -> Scope:
        """Open a scope, with the type parameters of what is defined."""
        scope = self.scopes.enter(kind)
        if kind == "function":
            self.later += 1
        for parameter in getattr(node, "type_params", ()):
            scope.binds.add(parameter.name)
            self.visit_all([getattr(parameter, "bound", None), getattr(parameter, "default_value", None)])
        return scope

    def exit(self) -> None:
        """Close the innermost scope."""
        if self.scopes.exit().kind == "function":
            self.later -= 1

    # --- What happens now

    def load(self, chain: str) -> None:
        """Take note of a chain of names that is read."""
        if self.scopes.load(chain) and not self.later and not self.quiet:
            self.found.refs_now.add(chain.partition(".")[0])

    def note(self, what: str, node: ast.expr, given: tuple[str, ...] = ()) -> None:
        """Take note of something that happens, where it happens now."""
        if self.later:
            return
        chain, style = route(node)
        root = chain.partition(".")[0]
        if chain and self.scopes.is_local(root):
            if what in ("enter", "member") and self.scopes.is_made_here(root):
                return
            # A function or a class defined inside the statement, or a variable of a comprehension.
            chain, style = "", "nested"
        self.found.now.append(Now(what, chain, style, given))

    def enters(self, node: ast.expr, what: str = "enter") -> None:
        """Take note that special methods of an expression's value are called, where that is now."""
        if not self.later:
            for source in sources(node):
                self.note(what, source)

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
        root = chain.partition(".")[0]
        if chain and self.scopes.is_local(root):
            if self.scopes.is_made_here(root):
                return
            chain, style = "", "nested"  # a name in a class for what others hold as well
        elif not chain:
            style = "nested"
        elif isinstance(target, ast.Attribute) and not style:
            chain, style = f"{chain}.{target.attr}", "attribute"
        elif style or "." in chain:
            style = "nested"
        self.found.now.append(Now("store", chain, style))


Handler = Callable[[Scanner, Any], None]


def children(scanner: Scanner, node: ast.AST) -> None:
    """Walk all that a node holds."""
    for name in PARTS[node.__class__]:
        value: Any = getattr(node, name, None)
        if value.__class__ is list:
            for item in value:
                HANDLERS[item.__class__](scanner, item)
        else:
            HANDLERS[value.__class__](scanner, value)


def _nothing(scanner: Scanner, node: object) -> None:
    pass


class _Handlers(dict[type, Handler]):
    """By kind of node; what a field holds that is no node leads nowhere."""

    def __missing__(self, kind: type) -> Handler:
        handler = children if issubclass(kind, ast.AST) and PARTS[kind] else _nothing
        self[kind] = handler
        return handler


# --- Expressions


def _name(scanner: Scanner, node: ast.Name) -> None:
    name = node.id
    if node.ctx.__class__ is not ast.Load:
        scanner.scopes.bind(name)
        return
    top = scanner.scopes.top
    if scanner.later and top.kind != "class":  # as most are
        top.loads.add(name)
    else:
        scanner.load(name)
    if name in NOTABLE:
        if name in ("locals", "vars"):
            scanner.scopes.read_whole()
        scanner.constructs_of_name(node)


def _attribute(scanner: Scanner, node: ast.Attribute) -> None:
    if node.attr in NOTABLE:
        scanner.constructs_of_attribute(node)
    attributes = [node.attr]
    inner = node.value
    while inner.__class__ is ast.Attribute:
        link: Any = inner
        if link.attr in NOTABLE:
            scanner.constructs_of_attribute(link)
        attributes.append(link.attr)
        inner = link.value
    if isinstance(inner, ast.Name):
        scanner.load(".".join([inner.id, *reversed(attributes)]))
        if inner.id in NOTABLE:
            scanner.constructs_of_name(inner)
    else:
        scanner.visit(inner)


def _subscript(scanner: Scanner, node: ast.Subscript) -> None:
    if isinstance(node.value, ast.Attribute) and node.value.attr == "environ":
        scanner.variable(node.slice)
    if not scanner.later and not scanner.quiet and isinstance(node.ctx, ast.Load):
        scanner.enters(node.value)
    children(scanner, node)


def _call(scanner: Scanner, node: ast.Call) -> None:
    called = called_name(node.func)
    if not scanner.later:
        scanner.note("call", node.func, handed(node))
        for keyword in node.keywords:
            if keyword.arg is None:
                scanner.enters(keyword.value)
    if called in LITERAL_IMPORTERS:
        scanner.literal_import(node, called)
        if not isinstance(node.func, ast.Name):  # where the importer comes from
            scanner.load(route(node.func)[0] or "importlib")
        scanner.visit_all(node.args)
        scanner.visit_all(keyword.value for keyword in node.keywords)
        return
    scanner.constructs_of_call(node, called)
    if called == "vars" and isinstance(node.func, ast.Name) and node.args:
        scanner.found.reads_order = True
        scanner.visit_all(node.args)  # a module that is handed to it is one of which any name may be meant
        return
    children(scanner, node)


def _operation(scanner: Scanner, node: ast.BinOp) -> None:
    scanner.enters(node.left)
    scanner.enters(node.right)
    scanner.visit(node.left)
    scanner.visit(node.right)


def _compare(scanner: Scanner, node: ast.Compare) -> None:
    if not scanner.later and not all(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops):
        for operand in (node.left, *node.comparators):
            scanner.enters(operand)
    children(scanner, node)


def _operand(scanner: Scanner, node: Any) -> None:  # of what has one: a sign, an asterisk, a field of a string
    value = node.operand if isinstance(node, ast.UnaryOp) else node.value
    if node.__class__ is not ast.Starred or node.ctx.__class__ is ast.Load:
        scanner.enters(value)
    children(scanner, node)


def _choice(scanner: Scanner, node: ast.BoolOp | ast.IfExp) -> None:
    for tested in [node.test] if isinstance(node, ast.IfExp) else node.values[:-1]:
        scanner.enters(tested)
    children(scanner, node)


def _constant(scanner: Scanner, node: ast.Constant) -> None:
    value = node.value
    if value.__class__ is not str:
        return
    if scanner.annotating:  # what stands in quotes is read by whoever asks for type hints
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            scanner.visit(ast.parse(value, mode="eval").body)
    scanner.names_in_text(node, value)


def _dictionary(scanner: Scanner, node: ast.Dict) -> None:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "_target_":
            scanner.computed(value, "_target_")
        elif key is None:
            scanner.enters(value)
    children(scanner, node)


def _sequence(scanner: Scanner, node: ast.List | ast.Tuple) -> None:
    values = [item.value if isinstance(item, ast.Constant) else None for item in node.elts]
    for flag, value in pairwise(values):
        if flag == "-m" and isinstance(value, str):
            scanner.found.files.add(f"-m {value}")  # a command line: python -m module
        elif flag in ("-m", "-c"):
            scanner.construct(node, f"python {flag} …", PROGRAMS)
    children(scanner, node)


def _comprehension(scanner: Scanner, node: Any) -> None:
    first, *others = node.generators
    scanner.enters(first.iter)
    scanner.visit(first.iter)
    scanner.enter("comprehension")
    scanner.store(first.target)
    if isinstance(first.target, ast.Name) and _is_literal(first.iter):
        scanner.scopes.top.made[first.target.id] = True
    scanner.visit_all(first.ifs)
    for generator in others:
        scanner.enters(generator.iter)
        scanner.store(generator.target)
        scanner.visit(generator.iter)
        scanner.visit_all(generator.ifs)
    scanner.visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
    scanner.exit()


def _is_literal(node: ast.expr) -> bool:
    """Tell whether what is walked over is a range, or a display of constants."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "range"
    return isinstance(node, (ast.List, ast.Tuple, ast.Set)) and all(
        isinstance(item, ast.Constant) for item in node.elts
    )


def _walrus(scanner: Scanner, node: ast.NamedExpr) -> None:
    scanner.visit(node.value)
    scanner.scopes.bind_around(node.target.id)


HANDLERS: Final = _Handlers(
    {
        ast.Name: _name,
        ast.Attribute: _attribute,
        ast.Subscript: _subscript,
        ast.Call: _call,
        ast.BinOp: _operation,
        ast.UnaryOp: _operand,
        ast.Starred: _operand,
        ast.FormattedValue: _operand,
        ast.Compare: _compare,
        ast.BoolOp: _choice,
        ast.IfExp: _choice,
        ast.Constant: _constant,
        ast.Dict: _dictionary,
        ast.List: _sequence,
        ast.Tuple: _sequence,
        ast.ListComp: _comprehension,
        ast.SetComp: _comprehension,
        ast.DictComp: _comprehension,
        ast.GeneratorExp: _comprehension,
        ast.NamedExpr: _walrus,
    }
)
