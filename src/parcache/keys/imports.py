"""What a module's source can pull in: its imports, the dotted strings in it, and where it imports dynamically.

Static and deliberately generous: an import counts wherever it stands (in a function, behind ``try``, under
``TYPE_CHECKING``), and so does any string that reads like a dotted name, because ``instantiate``, ``get_class``
and ``import_module`` take strings.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from parcache.keys.normal_form import is_docstring

_DOTTED: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+", re.ASCII)
_PREFIX: Final = re.compile(r"((?:[^\W\d]\w*\.)+)(?:[{%].*)?", re.ASCII)
_LITERAL_IMPORTERS: Final = frozenset({"import_module", "__import__"})
_DYNAMIC_NAMES: Final = frozenset({"exec", "eval", "__import__"})
_DYNAMIC_ATTRIBUTES: Final = frozenset(
    {
        "import_module",
        "run_path",
        "run_module",
        "spec_from_file_location",
        "module_from_spec",
        "SourceFileLoader",
        "SourcelessFileLoader",
        "ExtensionFileLoader",
        "exec_module",
        "load_module",
        "load_source",
        "walk_packages",
        "iter_modules",
        "resolve_name",
    }
)
_DOC_READERS: Final = frozenset({"__doc__", "getdoc", "getcomments", "getsource", "getsourcelines"})


@dataclass(frozen=True, slots=True)
class Dynamic:
    """A construct that can import what the source does not name."""

    line: int
    construct: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What one module can pull in.

    ``required`` are absolute names of imported modules; ``optional`` are names that are a submodule or merely an
    attribute; ``wholes`` are packages of which any submodule may be meant; ``strings`` are dotted names in string
    constants. ``reads_docs``: docstrings or source text can influence it.
    """

    required: frozenset[str]
    optional: frozenset[str]
    wholes: frozenset[str]
    strings: frozenset[str]
    dynamic: tuple[Dynamic, ...]
    reads_docs: bool


def dotted_names(text: str) -> Iterator[str]:
    """Yield the text if it reads like a dotted name of two parts or more."""
    if _DOTTED.fullmatch(text):
        yield text


def scan(tree: ast.Module, name: str, is_package: bool) -> Scan:
    """Return what a module of this absolute name can pull in."""
    scanner = _Scanner(name if is_package else name.rpartition(".")[0])
    scanner.visit(tree)
    return Scan(
        frozenset(scanner.required),
        frozenset(scanner.optional),
        frozenset(scanner.wholes),
        frozenset(scanner.strings),
        tuple(scanner.dynamic),
        scanner.reads_docs,
    )


class _Scanner(ast.NodeVisitor):
    def __init__(self, package: str) -> None:
        self.package = package
        self.required: set[str] = set()
        self.optional: set[str] = set()
        self.wholes: set[str] = set()
        self.strings: set[str] = set()
        self.dynamic: list[Dynamic] = []
        self.reads_docs = False

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.required.add(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self._absolute(node.module, node.level)
        if base is None:
            return
        self.required.add(base)
        for alias in node.names:
            if alias.name == "*":
                self.wholes.add(base)
                continue
            self.optional.add(f"{base}.{alias.name}")
            if alias.name in _DYNAMIC_ATTRIBUTES and alias.asname not in (None, alias.name):
                self._note(node, f"{alias.name} imported as {alias.asname}")
            if alias.name in _DOC_READERS:
                self.reads_docs = True

    def visit_Call(self, node: ast.Call) -> None:
        if _called_name(node.func) not in _LITERAL_IMPORTERS:
            self.generic_visit(node)
            return
        # The callee is accounted for here: visiting it would report it once more as an unknown reference.
        for child in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(child)
        target = node.args[0] if node.args else None
        if isinstance(target, ast.Constant) and isinstance(target.value, str):
            absolute = self._from_text(target.value, has_anchor=len(node.args) > 1 or bool(node.keywords))
            if absolute is not None:
                self.required.add(absolute)
                return
        prefix = _constant_prefix(target)
        if prefix is not None:
            absolute = self._from_text(prefix, has_anchor=len(node.args) > 1 or bool(node.keywords))
            if absolute:
                self.wholes.add(absolute)
                return
        self._note(node, f"{_called_name(node.func)}(…)")

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in _DYNAMIC_NAMES or (node.id in _DYNAMIC_ATTRIBUTES and isinstance(node.ctx, ast.Load)):
            self._note(node, node.id)
        if node.id in _DOC_READERS:
            self.reads_docs = True

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in _DYNAMIC_ATTRIBUTES or _is_sys_modules(node):
            self._note(node, node.attr if node.attr != "modules" else "sys.modules")
        if node.attr in _DOC_READERS:
            self.reads_docs = True
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, str):
            return
        self.strings.update(dotted_names(node.value))
        prefix = _PREFIX.fullmatch(node.value)
        if prefix:
            self.wholes.add(prefix.group(1).rstrip("."))

    def generic_visit(self, node: ast.AST) -> None:
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and is_docstring(body[0]):
            for name, value in ast.iter_fields(node):
                for child in value[1:] if name == "body" else _nodes(value):
                    self.visit(child)
            return
        super().generic_visit(node)

    def _absolute(self, module: str | None, level: int) -> str | None:
        if level == 0:
            return module
        parts = self.package.split(".") if self.package else []
        if level - 1 >= len(parts):
            return module  # beyond the top level: Python will raise; count the name as it stands
        base = ".".join(parts[: len(parts) - level + 1])
        return f"{base}.{module}" if module else base

    def _from_text(self, text: str, *, has_anchor: bool) -> str | None:
        stripped = text.rstrip(".")
        if not text.startswith("."):
            return stripped if stripped and all(part.isidentifier() for part in stripped.split(".")) else None
        if not has_anchor:
            return None
        level = len(text) - len(text.lstrip("."))
        return self._absolute(stripped.lstrip(".") or None, level)

    def _note(self, node: ast.AST, construct: str) -> None:
        self.dynamic.append(Dynamic(getattr(node, "lineno", 0), construct))


def _nodes(value: object) -> list[ast.AST]:
    if isinstance(value, list):
        return [item for item in value if isinstance(item, ast.AST)]
    return [value] if isinstance(value, ast.AST) else []


def _called_name(func: ast.expr) -> str | None:
    if isinstance(func, ast.Name):
        return func.id
    return func.attr if isinstance(func, ast.Attribute) else None


def _is_sys_modules(node: ast.Attribute) -> bool:
    return node.attr == "modules" and isinstance(node.value, ast.Name) and node.value.id == "sys"


def _constant_prefix(node: ast.expr | None) -> str | None:
    """Return the constant text that a computed module name is known to begin with, up to its last dot."""
    if isinstance(node, ast.JoinedStr) and node.values:
        return _constant_prefix(node.values[0])
    if isinstance(node, ast.BinOp):
        return _constant_prefix(node.left)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
        return node.value[: node.value.rindex(".") + 1]
    return None
