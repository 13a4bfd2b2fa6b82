"""Compiled code: a form of what it does, and what it reads from the globals of its module.

For code that no source file tells about: typed at a prompt, into a notebook's cell, or made by ``exec``.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from importlib.util import resolve_name
from types import CodeType
from typing import Any, Final, NamedTuple

from parcache.keys.canonical import encode
from parcache.keys.dotted import dotted_names

_GLOBAL_READS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ATTRIBUTE_READS: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_FILLERS: Final = frozenset({"PUSH_NULL", "PRECALL", "CACHE", "EXTENDED_ARG", "NOP"})
_BY_VALUE: Final = frozenset({*dis.hasconst, *dis.hasname, *dis.haslocal, *dis.hasfree})
# What a class's body notes of where it stands (``__static_attributes__``: in no fixed order).
_WHERE_IT_STANDS: Final = frozenset({"__doc__", "__firstlineno__", "__static_attributes__"})
_HAS_DOCSTRING: Final = 0x4000000  # a flag, from Python 3.13 on


class Reads(NamedTuple):
    """What code reads by name: (global, attributes of it), and (module, attributes of it) that it imports."""

    names: frozenset[tuple[str, str]]
    imports: frozenset[tuple[str, str]]


def reads(code: CodeType, package: str = "") -> Reads:
    """Return what code reads, the code nested in it included. ``package`` is what its relative imports start from."""
    names: set[tuple[str, str]] = set()
    imports: set[tuple[str, str]] = set()
    for each in nested(code):
        steps = _steps(each)
        for index, step in enumerate(steps):
            if step.opname in _GLOBAL_READS:
                names.add((step.argval, _chain(steps, index + 1)))
            elif step.opname == "IMPORT_NAME":
                imports.update(_imported(steps, index, package))
    return Reads(frozenset(names), frozenset(imports))


def nested(code: CodeType) -> Iterator[CodeType]:
    """Yield code and all code in it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from nested(const)


def reads_docstrings(code: CodeType) -> bool:
    """Tell whether code asks for a docstring; that the body of a class stores its own is no question."""
    return any(
        step.argval == "__doc__" and step.opname != "STORE_NAME" for each in nested(code) for step in _steps(each)
    )


def dotted_constants(code: CodeType) -> Iterator[str]:
    """Yield the strings of code that read like dotted names."""
    for each in nested(code):
        for const in each.co_consts:
            for text in const if isinstance(const, tuple) else (const,):
                if isinstance(text, str):
                    yield from dotted_names(text)


def _steps(code: CodeType) -> list[dis.Instruction]:
    return [step for step in dis.get_instructions(code) if step.opname not in _FILLERS]


def _chain(steps: list[dis.Instruction], start: int) -> str:
    """Return the attributes that are read of what the step before has put onto the stack."""
    attributes: list[str] = []
    for step in steps[start:]:
        if step.opname not in _ATTRIBUTE_READS:
            break
        attributes.append(step.argval)
    return ".".join(attributes)


def _imported(steps: list[dis.Instruction], index: int, package: str) -> Iterator[tuple[str, str]]:
    level, wanted = steps[index - 2].argval, steps[index - 1].argval
    name = steps[index].argval
    if level:
        try:
            name = resolve_name("." * level + name, package)
        except ImportError:
            return
    if wanted:
        yield from ((name, "" if attribute == "*" else attribute) for attribute in wanted)
        return
    yield name, ""
    if "." in name:  # import a.b binds a
        yield name.partition(".")[0], ""


def code_form(code: CodeType) -> bytes:
    """Return a form of compiled code: what it does, without where it stands and what its docstring says.

    Constants and names count where they are used, not by their places in tables: a docstring takes one.
    """
    steps = _steps(code)
    form: list[Any] = []
    for index, step in enumerate(steps):
        following = steps[index + 1] if index + 1 < len(steps) else None
        if _stores_place(step) or (step.opcode in dis.hasconst and following is not None and _stores_place(following)):
            continue
        form.append(step.opname)
        form.append(_argument(step.argval) if step.opcode in _BY_VALUE else step.arg)
    arguments = code.co_argcount + code.co_kwonlyargcount
    signature = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & ~_HAS_DOCSTRING]
    names = [*code.co_varnames[: arguments + 2], "|", *code.co_freevars]
    return encode([code.co_name, form, getattr(code, "co_exceptiontable", b""), signature, names])


def _stores_place(step: dis.Instruction) -> bool:
    return step.opname == "STORE_NAME" and step.argval in _WHERE_IT_STANDS


def _argument(value: Any) -> Any:
    if isinstance(value, CodeType):
        return code_form(value)
    if isinstance(value, tuple):
        return ["tuple", *map(_argument, value)]
    if isinstance(value, frozenset):
        return ["frozenset", *sorted(encode(_argument(item)) for item in value)]
    return f"{type(value).__name__}:{value!r}".encode("utf-8", "backslashreplace")
