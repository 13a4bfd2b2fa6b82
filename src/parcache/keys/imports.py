"""What a module's source can pull in: its imports, the dotted strings in it, and where it imports dynamically.

Static and deliberately generous: an import counts wherever it stands (in a function, behind ``try``, under
``TYPE_CHECKING``), and so does any string that reads like a dotted name, because ``instantiate``, ``get_class``
and ``import_module`` take strings.

Where what is imported is computed, the construct is *dynamic* and everything it may mean counts. A value that comes
out of an attribute or a subscript is taken for one of the config's, whose strings count anyway.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from parcache.keys.normal_form import is_docstring

_DOTTED: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+", re.ASCII)
_ENTRY_POINT: Final = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):(?!//)\S+", re.ASCII)
_FILE: Final = re.compile(r"[\w./-]*[\w-]\.py\b")
_PREFIX: Final = re.compile(r"((?:[^\W\d]\w*\.)+)(?:[{%].*)?", re.ASCII)
_LITERAL_IMPORTERS: Final = frozenset({"import_module", "__import__"})
_LOCATORS: Final = frozenset({"get_class", "get_method", "get_static_method", "get_object", "locate", "_locate"})
_DYNAMIC_NAMES: Final = frozenset({"exec", "eval", "compile", "__import__"})
# A package that hands these to somebody else lets it import submodules (lazy_loader.attach, catalogue, stevedore).
_HANDLES: Final = frozenset({"__name__", "__path__", "__spec__", "__package__"})
_HARMLESS_TAKERS: Final = frozenset({"getLogger", "get_logger", "version", "files", "print"})
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
        "entry_points",
        "iter_entry_points",
        "meta_path",
        "path_hooks",
    }
)
_DOC_READERS: Final = frozenset({"__doc__", "getdoc"})
_SOURCE_READERS: Final = frozenset(
    {"getcomments", "getsource", "getsourcelines", "findsource", "getblock", "linecache"}
)


class Dynamic(NamedTuple):
    """A construct that can import what the source does not name."""

    line: int
    construct: str


class Scan(NamedTuple):
    """What one module can pull in.

    ``required`` are absolute names of imported modules; ``optional`` are names that are a submodule or merely an
    attribute; ``wholes`` are packages of which any submodule may be meant; ``strings`` are dotted names in string
    constants, ``files`` names of Python files in them. ``reads_docs``, ``reads_source``: docstrings, or the very text
    of the source, can influence what it does.
    """

    required: frozenset[str]
    optional: frozenset[str]
    wholes: frozenset[str]
    strings: frozenset[str]
    dynamic: tuple[Dynamic, ...]
    reads_docs: bool
    files: frozenset[str] = frozenset()
    reads_source: bool = False


def dotted_names(text: str) -> Iterator[str]:
    """Yield the text if it reads like a dotted name of two parts or more, or the module of a ``module:attribute``."""
    if _DOTTED.fullmatch(text):
        yield text
    entry_point = _ENTRY_POINT.fullmatch(text)
    if entry_point:
        yield entry_point.group(1)


def scan(tree: ast.Module, name: str, is_package: bool) -> Scan:
    """Return what a module of this absolute name can pull in."""
    scanner = _Scanner(name, name if is_package else name.rpartition(".")[0])
    try:
        scanner.visit(tree)
    except RecursionError:
        # Python compiles what this visitor is too shallow for. Its imports are statements and are found without depth.
        scanner.dynamic.append(Dynamic(0, "source nested too deeply to be followed"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                scanner.visit(node)
    return Scan(
        frozenset(scanner.required),
        frozenset(scanner.optional),
        frozenset(scanner.wholes),
        frozenset(scanner.strings),
        tuple(scanner.dynamic),
        scanner.reads_docs,
        frozenset(scanner.files),
        scanner.reads_source,
    )


class _Scanner(ast.NodeVisitor):
    def __init__(self, name: str, package: str) -> None:
        self.name = name
        self.package = package
        self.required: set[str] = set()
        self.optional: set[str] = set()
        self.wholes: set[str] = set()
        self.strings: set[str] = set()
        self.dynamic: list[Dynamic] = []
        self.files: set[str] = set()
        self.reads_docs = False
        self.reads_source = False

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.required.add(alias.name)
            self._note_reader(alias.name)

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
            renamed = alias.asname not in (None, alias.name)
            if renamed and alias.name in _DYNAMIC_ATTRIBUTES | _DYNAMIC_NAMES | _LOCATORS:
                self._note(node, f"{alias.name} imported as {alias.asname}")
            if (node.module, alias.name) == ("sys", "modules"):
                self._note(node, "sys.modules")
            self._note_reader(alias.name)

    def visit_Call(self, node: ast.Call) -> None:
        called = _called_name(node.func)
        if called not in _LITERAL_IMPORTERS:
            self._check_call(node, called)
            self.generic_visit(node)
            return
        # The callee is accounted for here: visiting it would report it once more as an unknown reference.
        for child in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(child)
        target = node.args[0] if node.args else None
        anchor = self._anchor(node)
        if called == "__import__" and (len(node.args) > 1 or node.keywords):
            pass  # its from-list and level change what it imports
        elif isinstance(target, ast.Constant) and isinstance(target.value, str):
            absolute = self._from_text(target.value, anchor)
            if absolute is not None:
                self.required.add(absolute)
                return
        else:
            prefix = _constant_prefix(target)
            absolute = None if prefix is None else self._from_text(prefix, anchor)
            if absolute:
                self.wholes.add(absolute)
                return
        self._note(node, f"{called}(…)")

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in _DYNAMIC_NAMES or (node.id in _DYNAMIC_ATTRIBUTES and isinstance(node.ctx, ast.Load)):
            self._note(node, node.id)
        self._note_reader(node.id)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name == "__getattr__" and self.name == self.package:
            self.wholes.add(self.package)  # PEP 562: the usual place for submodules that load when they are asked for
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "_target_":
                self._check_computed(value, "_target_")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            named: object = target.attr if isinstance(target, ast.Attribute) else None
            if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                named = target.slice.value
            if named == "_target_":
                self._check_computed(node.value, "_target_")
        self.generic_visit(node)

    def visit_List(self, node: ast.List) -> None:
        self._check_command(node.elts)
        self.generic_visit(node)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        self._check_command(node.elts)
        self.generic_visit(node)

    def _check_command(self, items: list[ast.expr]) -> None:
        values = [item.value if isinstance(item, ast.Constant) else None for item in items]
        for flag, value in pairwise(values):
            if flag == "-m" and isinstance(value, str):
                self.strings.update((value, f"{value}.__main__"))  # a command line: python -m module

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in _DYNAMIC_ATTRIBUTES or _is_member(node, "sys", {"modules"}):
            self._note(node, node.attr if node.attr != "modules" else "sys.modules")
        elif node.attr == "__import__" or _is_member(node, "builtins", _DYNAMIC_NAMES):
            self._note(node, node.attr)
        self._note_reader(node.attr)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, str):
            return
        self.strings.update(dotted_names(node.value))
        self.files.update(_FILE.findall(node.value))
        self._note_reader(node.value)
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

    def _check_call(self, node: ast.Call, called: str | None) -> None:
        if called == "getattr" and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.Constant) and name.value in _DYNAMIC_ATTRIBUTES | {"exec", "__import__"}:
                self._note(node, f"getattr(…, {name.value!r})")
        elif called in _LOCATORS and node.args:
            self._check_computed(node.args[0], f"{called}(…)")
        for keyword in node.keywords:
            if keyword.arg == "_target_" or (called in _LOCATORS and keyword.arg == "path"):
                self._check_computed(keyword.value, f"{called}({keyword.arg}=…)")
        handed = (item.value if isinstance(item, ast.keyword) else item for item in (*node.args, *node.keywords))
        is_handed_over = any(isinstance(item, ast.Name) and item.id in _HANDLES for item in handed)
        if is_handed_over and self.name == self.package and called not in _HARMLESS_TAKERS:
            self.wholes.add(self.package)

    def _check_computed(self, value: ast.expr, construct: str) -> None:
        """Note a name for something to import that is made up by the code."""
        if isinstance(value, (ast.Constant, ast.Attribute, ast.Subscript)):
            return
        prefix = _constant_prefix(value)
        absolute = None if prefix is None else self._from_text(prefix, None)
        if absolute:
            self.wholes.add(absolute)
        else:
            self._note(value, construct)

    def _note_reader(self, name: str) -> None:
        self.reads_docs |= name in _DOC_READERS
        self.reads_source |= name in _SOURCE_READERS

    def _anchor(self, node: ast.Call) -> str | None:
        """Return the package that a relative name given to ``import_module`` starts from, where it can be told."""
        given = node.args[1] if len(node.args) > 1 else None
        given = next((keyword.value for keyword in node.keywords if keyword.arg == "package"), given)
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            return given.value
        if isinstance(given, ast.Name) and given.id in ("__package__", "__name__"):
            return self.package if given.id == "__package__" else self.name
        return None

    def _from_text(self, text: str, anchor: str | None) -> str | None:
        stripped = text.rstrip(".")
        if not text.startswith("."):
            return stripped if stripped and all(part.isidentifier() for part in stripped.split(".")) else None
        level = len(text) - len(text.lstrip("."))
        if anchor is None or level > anchor.count(".") + 1:
            return None
        base = anchor.split(".")
        rest = text.lstrip(".").rstrip(".")
        return ".".join([*base[: len(base) - level + 1], *([rest] if rest else [])])

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


def _is_member(node: ast.Attribute, module: str, names: Container[str]) -> bool:
    return node.attr in names and isinstance(node.value, ast.Name) and node.value.id == module


def _constant_prefix(node: ast.expr | None) -> str | None:
    """Return the constant text that a computed module name is known to begin with, up to its last dot."""
    if isinstance(node, ast.JoinedStr) and node.values:
        return _constant_prefix(node.values[0])
    if isinstance(node, ast.BinOp):
        return _constant_prefix(node.left)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
        return node.value[: node.value.rindex(".") + 1]
    return None
