"""What one statement of a module refers to and does, as values; ``parcache.keys.statements`` finds it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, NamedTuple

# How much a dynamic construct may mean.
ANYTHING: Final = "anything"  # modules that nothing names
PROGRAMS: Final = "programs"  # those, and what they do when they run as programs
LOADED: Final = "loaded"  # any name of the modules that are imported anyway
SUBCLASSES: Final = "subclasses"  # any class of those


LAMBDA: Final = "<lambda>"
# What is handed over may come out of a file: then any name of the imported modules may be meant.
HANDED: Final = "handed"


class _Parts(dict[type[ast.AST], tuple[str, ...]]):
    """By kind of node the fields that may hold nodes which say more than their kind, as operators do not."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[str, ...]:
        found = self[kind] = tuple(name for name in kind._fields if name not in _BARE)
        return found


_BARE: Final = frozenset({"ctx", "op", "ops", "id", "attr", "arg", "kind", "type_comment"})
# To walk by these takes half as long as by ast.iter_child_nodes.
PARTS: Final = _Parts()


class Dynamic(NamedTuple):
    """A construct that can lead to what the source does not name, and how far."""

    line: int
    text: str
    reach: str


class Now(NamedTuple):
    """Something that happens when the statement is executed.

    ``what`` is one of: ``call`` (of ``chain``), ``statement`` (an expression that stands alone), ``store`` (to an
    attribute or an item of it, or in place), ``decorator`` (``chain`` is called with what is defined), ``base``,
    ``metaclass``, ``enter`` (its special methods are called: it is walked over, the context of a block, an operand),
    ``member`` (a class takes it for a member, and tells it so).
    ``style``: ``""`` the chain itself; ``nested`` what is got out of it by items, calls or more than one attribute;
    ``called`` its result. An empty chain is an expression that no name leads to. ``given`` are chains handed over
    (ending in ``()`` or ``[]`` where it is their result, or an item, that is), ``LAMBDA`` a function without a name.
    """

    what: str
    chain: str
    style: str = ""
    given: tuple[str, ...] = ()


class Found:
    """What one statement refers to and does; see the module."""

    def __init__(self) -> None:
        self.binds: set[str] = set()
        self.refs: set[str] = set()
        self.refs_now: set[str] = set()
        self.absolute: set[tuple[str, str]] = set()  # (module, chain in it), by imports inside functions
        self.aliases: list[tuple[str, str, str]] = []  # (name, module, attribute or "")
        self.stars: list[str] = []
        self.imports_now: dict[tuple[str, str], None] = {}  # (module, name in it or ""), as they come
        self.imports_later: set[tuple[str, str]] = set()
        self.now: list[Now] = []
        self.strings: set[str] = set()
        self.files: set[str] = set()
        self.wholes: set[str] = set()
        self.modules: set[str] = set()  # imported by a literal name given to an importer: any name in them may be meant
        self.dynamic: list[Dynamic] = []
        self.environ: set[str] = set()
        self.distributions: set[str] = set()  # whose version is asked for by a literal name
        self.members: set[str] = set()  # of a class at the top: the names that its body binds
        self.docs: list[str] = []  # docstrings
        self.orders: list[list[str]] = []  # of classes: their methods, as they stand
        self.own_names = False  # reads or writes the module's names by computed names
        self.reads_docs = False
        self.reads_order = False
        self.reads_source = False
        self.starts_python = False


# What makes a value of a plain type, or of what it is given, which is looked at by itself.
_MADE: Final = frozenset(
    [
        *(ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Lambda),
        *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.BinOp, ast.UnaryOp, ast.Compare),
    ]
)


def route(node: ast.expr) -> tuple[str, str]:
    """Return the chain that an expression starts from, and how it goes on from there; see ``Now``."""
    attributes: list[str] = []
    style = ""
    while True:
        if isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            attributes, style, node = [], "nested", node.value
        elif isinstance(node, ast.Call):
            attributes, style, node = [], "called", node.func
        elif isinstance(node, ast.Name):
            return ".".join([node.id, *reversed(attributes)]), style
        elif isinstance(node, (ast.Constant, ast.JoinedStr)) and attributes:
            return "str", "called"  # a method of a literal
        elif isinstance(node, (ast.List, ast.Dict, ast.Set, ast.Tuple, ast.ListComp, ast.DictComp, ast.SetComp)):
            return ("list", "called") if style != "nested" else ("", style)  # [T][0].update(…)
        else:
            return "", style


def sources(node: ast.expr) -> Iterator[ast.expr]:
    """Yield what an expression's value may come from; nothing where a display or an operator makes it."""
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, ast.IfExp):
            stack += [part.body, part.orelse]
        elif isinstance(part, ast.BoolOp):
            stack += part.values
        elif isinstance(part, (ast.NamedExpr, ast.Starred)):
            stack.append(part.value)
        elif part.__class__ not in _MADE:
            yield part


def unmarked(given: str) -> tuple[str, str]:
    """Return the chain and the style of what is handed over."""
    style = {"()": "called", "[]": "nested"}.get(given[-2:], "")
    return (given[:-2] if style else given), style


def handed(node: ast.Call) -> tuple[str, ...]:
    """Return the names that a call hands over, as they are or in calls and displays."""
    given: list[str] = []
    values: list[ast.expr] = [*node.args, *(keyword.value for keyword in node.keywords)]
    if isinstance(node.func, ast.Call):  # partial(register)(1)
        values += [*node.func.args, *(keyword.value for keyword in node.func.keywords)]
    while values:
        value = values.pop()
        if isinstance(value, ast.Call):
            values += [*value.args, *(keyword.value for keyword in value.keywords)]
            chain, _ = route(value.func)
            if chain:
                given.append(f"{chain}()")
        elif isinstance(value, (ast.List, ast.Tuple, ast.Set)):
            values += value.elts
        elif isinstance(value, ast.Dict):
            values += value.values
        elif isinstance(value, ast.IfExp):
            values += value.body, value.orelse
        elif isinstance(value, ast.BoolOp):
            values += value.values
        elif isinstance(value, (ast.NamedExpr, ast.Starred)):
            values.append(value.value)
        elif isinstance(value, ast.Lambda):
            if any(isinstance(part, (ast.Call, ast.NamedExpr)) for part in ast.walk(value.body)):
                given.append(LAMBDA)
        else:
            chain, style = route(value)
            if chain:
                given.append(chain + {"": "", "called": "()"}.get(style, "[]"))
    return tuple(dict.fromkeys(given))


def called_name(func: ast.expr) -> str | None:
    """Return the last part of the name of what is called, or None."""
    if isinstance(func, ast.Name):
        return func.id
    return func.attr if isinstance(func, ast.Attribute) else None


def is_environ(func: ast.expr) -> bool:
    """Tell whether a function that is called is ``os.getenv`` or a method of ``os.environ``."""
    if called_name(func) == "getenv":
        return True
    owner = func.value if isinstance(func, ast.Attribute) else None
    return owner is not None and called_name(owner) == "environ"
