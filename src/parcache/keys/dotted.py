"""Names of modules and of what lies in them, as text: in strings, in configs, in the arguments of importers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

_DOTTED: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+", re.ASCII)
_EXTERNAL: Final = re.compile(r"(?:ext|cfg)://")  # in a logging config
_ENTRY_POINT: Final = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):(?!//)(\S+)", re.ASCII)
_FILE: Final = re.compile(r"[\w./-]*[\w-]\.py\b")
_TARGET: Final = re.compile(r"_target_['\"]?\s*[:=]\s*['\"]?([\w.]*)", re.ASCII)
_PROGRAM: Final = re.compile(r"(?:^|\s)-m\s*([^\W\d][\w.]*)", re.ASCII)
_PREFIX: Final = re.compile(r"((?:[^\W\d]\w*\.)+)(?:[{%].*)?", re.ASCII)


def dotted_names(text: str) -> Iterator[str]:
    """Yield the text if it reads like a dotted name of two parts or more, or a ``module:attribute`` as one."""
    text = _EXTERNAL.sub("", text, count=1) if "://" in text else text
    if _DOTTED.fullmatch(text):
        yield text
    entry_point = _ENTRY_POINT.fullmatch(text)
    if entry_point:
        module, attribute = entry_point.groups()
        yield f"{module}.{attribute}" if is_dotted(attribute) else module


def is_dotted(text: str) -> bool:
    """Tell whether a text is an identifier, or several with dots between them."""
    return all(part.isidentifier() for part in text.split("."))


def python_files(text: str) -> list[str]:
    """Return the names of Python files that stand in a text."""
    return _FILE.findall(text) if ".py" in text else []


def targets_named(text: str) -> list[str]:
    """Return what a text that is itself a config (``_target_: models.SVM``) names; ``""`` where it is not complete."""
    return _TARGET.findall(text)


def programs_named(text: str) -> list[str]:
    """Return the modules that a command line in a text runs, each as ``-m module``."""
    return [f"-m {name}" for name in _PROGRAM.findall(text)]


def package_prefix(text: str) -> str | None:
    """Return the package that a text, such as ``models.`` or ``models.{}``, is a beginning of names in, or None."""
    found = _PREFIX.fullmatch(text)
    return found.group(1).rstrip(".") if found else None


def constant_prefix(node: ast.expr | None) -> str | None:
    """Return the constant text that a computed module name is known to begin with, up to its last dot."""
    if isinstance(node, ast.JoinedStr) and node.values:
        return constant_prefix(node.values[0])
    if isinstance(node, ast.BinOp):
        return constant_prefix(node.left)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return constant_prefix(node.func.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
        text = re.split(r"[{%]", node.value, maxsplit=1)[0]
        return text[: text.rindex(".") + 1] if "." in text else None
    return None


def absolute_module(module: str | None, level: int, package: str) -> str | None:
    """Return the absolute name of what ``from ..module`` (``level`` dots) means in a package."""
    if level == 0:
        return module
    parts = package.split(".") if package else []
    if level - 1 >= len(parts):
        return module  # beyond the top level: Python will raise; count the name as it stands
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{module}" if module else base


def absolute_text(text: str, anchor: str | None) -> str | None:
    """Return the absolute name that a text given to ``import_module`` means, or None where it is no such name."""
    stripped = text.rstrip(".")
    if not text.startswith("."):
        return stripped if stripped and is_dotted(stripped) else None
    level = len(text) - len(text.lstrip("."))
    if anchor is None or level > anchor.count(".") + 1:
        return None
    return absolute_module(text.lstrip(".").rstrip(".") or None, level, anchor)
