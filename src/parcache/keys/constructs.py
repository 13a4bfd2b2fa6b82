"""Constructs by which code names other code in strings, or by names that it computes.

A string that reads like a dotted name counts wherever it stands: ``instantiate``, ``get_class`` and ``import_module``
take strings. Where a name is computed, the construct is *dynamic*, and everything that it may mean counts. A value that
comes out of an attribute or a subscript is taken for one of the config's, whose strings count anyway.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from parcache.keys.dotted import (
    absolute_text,
    constant_prefix,
    dotted_names,
    package_prefix,
    programs_named,
    python_files,
    targets_named,
)
from parcache.keys.findings import (
    ANYTHING,
    HANDED,
    LOADED,
    PROGRAMS,
    SUBCLASSES,
    Dynamic,
    Found,
    is_environ,
)

LITERAL_IMPORTERS: Final = frozenset({"import_module", "__import__"})
_LOCATORS: Final = frozenset({"get_class", "get_method", "get_static_method", "get_object", "locate", "_locate"})
_METADATA_READERS: Final = frozenset({"version", "distribution", "metadata", "requires", "get_distribution"})
_RUNNERS: Final = frozenset({"run_path", "run_module"})
_EXECUTORS: Final = frozenset({"exec", "eval", "compile", "__import__"})
# A package that hands these to somebody else lets it import submodules (lazy_loader.attach, catalogue, stevedore).
_HANDLES: Final = frozenset({"__name__", "__path__", "__spec__", "__package__"})
_HARMLESS_TAKERS: Final = frozenset({"getLogger", "get_logger", "version", "files", "print", "is_file"})
_IMPORTERS: Final = frozenset(
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
# These lead from any object to all names of its module, or to all objects there are.
_GLOBALS_READERS: Final = frozenset({"f_globals", "__globals__", "get_objects", "get_referrers", "f_locals"})
_UNPICKLERS: Final = frozenset(
    {"Unpickler", "read_pickle", "unsafe_load", "unsafe_load_all", "UnsafeLoader", "CUnsafeLoader"}
)
# Of importlib.resources and pkgutil: they import the package that they are given.
_RESOURCE_READERS: Final = frozenset({"files", "get_data", "open_text", "open_binary", "read_binary", "contents"})
# Dangerous under another name.
RENAMED_WITH_CARE: Final = _IMPORTERS | _EXECUTORS | _LOCATORS
_DOC_READERS: Final = frozenset({"__doc__", "getdoc"})
_SOURCE_READERS: Final = frozenset(
    {"getcomments", "getsource", "getsourcelines", "findsource", "getblock", "linecache", "co_code"}
)
# A command line, or the program in a list of its words.
_PYTHON: Final = re.compile(r"(?:\S*/)?python[\d.]*(?:\s|$)")
# All of these, and what else a name or an attribute may be called that counts for more than itself.
NOTABLE: Final = frozenset({"executable", "globals", "locals", "vars", "modules", "__dict__", "__subclasses__"}).union(
    _IMPORTERS, _EXECUTORS, _UNPICKLERS, _GLOBALS_READERS, _DOC_READERS, _SOURCE_READERS
)


class Constructs:
    """Takes note of what a statement names in these ways; the walk over the statement is a subclass's."""

    def __init__(self, module: str, is_package: bool) -> None:
        self.module = module
        self.package = module if is_package else module.rpartition(".")[0]
        self.is_package = is_package
        self.found = Found()
        self.later = 0  # how many functions, which run later, are around what is visited

    def imported(self, module: str, name: str) -> None:
        """Take note of an import of a module, or of a name in it that may be a submodule."""
        if self.later:
            self.found.imports_later.add((module, name))
        else:
            self.found.imports_now[module, name] = None

    def construct(self, node: ast.AST, text: str, reach: str = ANYTHING) -> None:
        """Take note of a dynamic construct."""
        self.found.dynamic.append(Dynamic(getattr(node, "lineno", 0), text, reach))

    def literal_import(self, node: ast.Call, called: str | None) -> None:
        """Account for an importer that is given a literal name, or one that begins with a literal package."""
        target = node.args[0] if node.args else None
        anchor = self.anchor(node)
        if called == "__import__" and (len(node.args) > 1 or node.keywords):
            self.construct(node, f"{called}(…)")  # its from-list and level change what it imports
            return
        if isinstance(target, ast.Constant) and isinstance(target.value, str):
            name = absolute_text(target.value, anchor)
            if name is not None:
                self.imported(name, "")
                self.found.modules.add(name)
                return
        else:
            prefix = constant_prefix(target)
            package = None if prefix is None else absolute_text(prefix, anchor)
            if package:
                self.found.wholes.add(package)
                return
        self.construct(node, f"{called}(…)")

    def constructs_of_name(self, node: ast.Name) -> None:
        """Take note of what a name stands for that is read and is one of ``NOTABLE``."""
        if node.id in _EXECUTORS or node.id in _IMPORTERS:
            self.construct(node, node.id, PROGRAMS if node.id in _RUNNERS else ANYTHING)
        elif node.id == "executable":
            self.found.starts_python = True
        elif node.id == "globals" or (node.id in ("locals", "vars") and not self.later):
            self.found.own_names = self.found.reads_order = True
        elif node.id == "vars":
            self.found.reads_order = True
        elif node.id in _UNPICKLERS:
            self.construct(node, node.id, LOADED)
        self.readers(node.id)

    def constructs_of_attribute(self, node: ast.Attribute) -> None:
        """Take note of what an attribute stands for, whoever's it is, that is one of ``NOTABLE``."""
        attr = node.attr
        if attr in _IMPORTERS or attr == "__import__":
            self.construct(node, attr, PROGRAMS if attr in _RUNNERS else ANYTHING)
        elif attr == "__subclasses__":
            self.construct(node, attr, SUBCLASSES)
        elif attr in _GLOBALS_READERS or attr in _UNPICKLERS:
            self.construct(node, attr, LOADED)
        elif isinstance(node.value, ast.Name):
            if node.value.id == "sys" and attr == "modules":
                self.construct(node, "sys.modules")
            elif node.value.id == "sys" and attr == "executable":
                self.found.starts_python = True
            elif node.value.id == "builtins" and attr in _EXECUTORS:
                self.construct(node, attr)
        if attr in ("__dict__", "__subclasses__"):
            self.found.reads_order = True
        self.readers(attr)

    def constructs_of_call(self, node: ast.Call, called: str | None) -> None:
        """Take note of what a call is given to look up."""
        if called == "getattr" and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.Constant) and name.value in _IMPORTERS | _EXECUTORS:
                self.construct(node, f"getattr(…, {name.value!r})")
        elif called in _LOCATORS and node.args:
            self.located(node.args[0], f"{called}(…)")
        elif called == "instantiate" and node.args:
            if not isinstance(node.args[0], (ast.Attribute, ast.Subscript, ast.Dict)):
                self.construct(node, "instantiate(…)", HANDED)
        elif called in _RESOURCE_READERS and node.args:
            package = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            if isinstance(package, str) and all(part.isidentifier() for part in package.split(".")):
                self.imported(package, "")
        elif called in _METADATA_READERS and node.args:
            self.asked_for(node.args[0])
        elif called in ("getenv", "get", "setdefault", "pop") and node.args and is_environ(node.func):
            self.variable(node.args[0])
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle" and not (
                isinstance(keyword.value, ast.Constant) and not keyword.value.value
            ):
                self.construct(node, "allow_pickle=…", LOADED)
            if keyword.arg == "_target_" or (called in _LOCATORS and keyword.arg == "path"):
                self.computed(keyword.value, f"{called}({keyword.arg}=…)")
        if self.is_package and called not in _HARMLESS_TAKERS:
            handed = (item.value if isinstance(item, ast.keyword) else item for item in (*node.args, *node.keywords))
            if any(isinstance(item, ast.Name) and item.id in _HANDLES for item in handed):
                self.found.wholes.add(self.package)

    def located(self, value: ast.expr, text: str) -> None:
        """Take note of a name that is given to a locator: of one word, it is a module's."""
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.isidentifier():
            self.imported(value.value, "")
            self.found.modules.add(value.value)
        else:
            self.computed(value, text)

    def asked_for(self, value: ast.expr) -> None:
        """Take note of a distribution whose metadata are asked for by a literal name."""
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            self.found.distributions.add(value.value)

    def computed(self, value: ast.expr, text: str) -> None:
        """Take note of a name for something to import that is made up by the code.

        What comes out of an attribute or a subscript is taken for one of the config's, whose strings count anyway.
        """
        if isinstance(value, (ast.Constant, ast.Attribute, ast.Subscript)):
            return
        prefix = constant_prefix(value)
        package = None if prefix is None else absolute_text(prefix, None)
        if package:
            self.found.wholes.add(package)
        else:
            self.construct(value, text)

    def names_in_text(self, node: ast.Constant, value: str) -> None:
        """Take note of the names in a string."""
        if "_target_" in value:
            for name in targets_named(value):
                if name.endswith("."):
                    self.found.wholes.add(name.rstrip("."))
                elif name:
                    self.found.strings.add(name)
                else:
                    self.construct(node, "_target_: …")
        if "-m" in value:
            self.found.files.update(programs_named(value))
        if "python" in value and _PYTHON.match(value):
            self.found.starts_python = True
        if "." in value or ":" in value:
            self.found.strings.update(dotted_names(value))
            self.found.files.update(python_files(value))
            package = package_prefix(value)
            if package:
                self.found.wholes.add(package)
        self.readers(value)

    def readers(self, name: str) -> None:
        """Take note of a name by which docstrings or source text are read."""
        if name in _DOC_READERS:
            self.found.reads_docs = True
        elif name in _SOURCE_READERS:
            self.found.reads_source = True

    def variable(self, node: ast.expr) -> None:
        """Take note of an environment variable that is read by a literal name."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.found.environ.add(node.value)

    def anchor(self, node: ast.Call) -> str | None:
        """Return the package that a relative name given to ``import_module`` starts from, where it can be told."""
        given = node.args[1] if len(node.args) > 1 else None
        given = next((keyword.value for keyword in node.keywords if keyword.arg == "package"), given)
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            return given.value
        if isinstance(given, ast.Name) and given.id in ("__package__", "__name__"):
            return self.package if given.id == "__package__" else self.module
        return None
