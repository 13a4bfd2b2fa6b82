"""Names of modules and of what lies in them, as text: in strings, in configs, in the arguments of importers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

# Compiled where they are needed first: together they take a millisecond.
_DOTTED: Final = r"(?a)[^\W\d]\w*(?:\.[^\W\d]\w*)+"
_EXTERNAL: Final = r"(?:ext|cfg)://"  # in a logging config
_ENTRY_POINT: Final = r"(?a)([^\W\d]\w*(?:\.[^\W\d]\w*)*):(?!//)(\S+)"
_FILE: Final = r"[\w./-]*[\w-]\.py\b"
_TARGET: Final = r"(?a)_target_['\"]?\s*[:=]\s*['\"]?([\w.]*)"
_PROGRAM: Final = r"(?a)(?:^|\s)-m\s*([^\W\d][\w.]*)"
_PREFIX: Final = r"(?a)((?:[^\W\d]\w*\.)+)(?:[{%].*)?"


def dotted_names(text: str) -> Iterator[str]:
    """Yield the text if it reads like a dotted name of two parts or more, or a ``module:attribute`` as one."""
    if "." not in text and ":" not in text:
        return
    if "://" in text:
        text = re.sub(_EXTERNAL, "", text, count=1)
    if re.fullmatch(_DOTTED, text):
        yield text
    entry_point = re.fullmatch(_ENTRY_POINT, text)
    if entry_point:
        module, attribute = entry_point.groups()
        yield f"{module}.{attribute}" if is_dotted(attribute) else module


def is_dotted(text: str) -> bool:
    """Tell whether a text is an identifier, or several with dots between them."""
    return all(part.isidentifier() for part in text.split("."))


def python_files(text: str) -> list[str]:
    """Return the names of Python files that stand in a text."""
    return re.findall(_FILE, text) if ".py" in text else []


def targets_named(text: str) -> list[str]:
    """Return what a text that is itself a config (``_target_: models.SVM``) names; ``""`` where it is not complete."""
    return re.findall(_TARGET, text)


def programs_named(text: str) -> list[str]:
    """Return the modules that a command line in a text runs, each as ``-m module``."""
    return [f"-m {name}" for name in re.findall(_PROGRAM, text)]


def package_prefix(text: str) -> str | None:
    """Return the package that a text, such as ``models.`` or ``models.{}``, is a beginning of names in, or None."""
    found = re.fullmatch(_PREFIX, text)
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
