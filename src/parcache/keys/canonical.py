"""The canonical form of a config: one byte string for all configs that mean the same to the task.

Input is a plain tree: dicts, lists, tuples and leaves, plus the markers below. Every value is written as a
type tag, its length and its content, so that no two different trees share a form:

====  =======================================================================================
tag   content
====  =======================================================================================
``N`` null
``T`` true, ``F`` false
``i`` integer in hexadecimal (decimal is refused by Python past 4300 digits)
``f`` float: 8 bytes big-endian, every NaN as the same one; -0.0 is not 0.0
``s`` string in UTF-8 (lone surrogates pass), ``b`` bytes, ``p`` a path as string
``e`` enum: class, member name and, where it has a form, the member's value
``l`` list or tuple: the two are one, since Hydra 1.3 and 1.4 differ in which they make
``d`` mapping: pairs sorted by the form of their keys
``r`` record: a structured config's class and its mapping
``?`` missing (``???``)
``x`` expression: a value that changes with every run counts as its text, and by what it reads besides
``u`` unresolvable: an interpolation that fails counts as its text
====  =======================================================================================

Changing any of this requires a new ``parcache.keys.recipe.RECIPE``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any, Final

from parcache.errors import UnkeyableConfigError
from parcache.keys.modules import qualified_name
from parcache.model import Slotted

DIGEST_BYTES: Final = 20
_MAX_DEPTH: Final = 200
_NAN: Final = struct.pack(">Q", 0x7FF8000000000000)


class _Missing(Enum):
    MISSING = "???"


MISSING: Final = _Missing.MISSING

# The markers are no named tuples: a tuple stands for a list of the config's.


class Expression(Slotted):
    """A value that changes with every run by construction: its text, and what else its resolution read."""

    __slots__ = ("reads", "text")

    def __init__(self, text: str, reads: tuple[Any, ...] = ()) -> None:
        self.text = text
        self.reads = reads


class Unresolvable(Slotted):
    """An interpolation that cannot be resolved: it fails when the task reads it, not before."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Refused(Slotted):
    """A value without a stable form: only where it stands, since it may stand below an ignored key."""

    __slots__ = ("problem",)

    def __init__(self, problem: str) -> None:
        self.problem = problem


class Record(Slotted):
    """A node that is typed by a class (a structured config)."""

    __slots__ = ("fields", "type_name")

    def __init__(self, type_name: str, fields: Mapping[str, Any]) -> None:
        self.type_name = type_name
        self.fields = fields


def digest(data: bytes) -> str:
    """Return the hexadecimal digest (BLAKE2b, 160 bits) that keys are made of."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def encode(tree: Any, path: str = "$") -> bytes:
    """Return the canonical form of a plain tree.

    Raises:
        UnkeyableConfigError: A value has no stable form, or the tree is nested deeper than 200 levels.
    """
    out: list[bytes] = []
    _write(tree, out, path, 0)
    return b"".join(out)


class Outline:
    """The canonical form of a tree in pieces, for the forms of many trees that differ from it in few places.

    A place is the tuple of the keys (as strings; indices for items of lists) that lead to it. Nothing here writes
    lengths over more than a leaf, so that a piece can be exchanged without a change to any other.
    """

    def __init__(self, tree: Any) -> None:
        self._pieces: list[bytes] = []
        self._spans: dict[tuple[str, ...], tuple[int, int]] = {}
        self._refusals: dict[tuple[str, ...], UnkeyableConfigError] = {}
        self._lay_out(tree, (), 0)

    def __contains__(self, place: tuple[str, ...]) -> bool:
        """Tell whether something stands at a place."""
        return place in self._spans

    def form(self, changes: Mapping[tuple[str, ...], Any]) -> bytes:
        """Return the canonical form of the tree with other values at some places.

        No place may lie below another one.

        Raises:
            UnkeyableConfigError: A value that remains, or a new one, has no stable form.
            KeyError: Nothing stands at a place.
        """
        pieces = self._pieces.copy()
        for place, value in changes.items():
            start, end = self._spans[place]
            leaf = _LEAVES.get(type(value))
            pieces[start] = leaf(value) if leaf is not None else encode(value, ".".join(("$", *place)))
            if end > start + 1:
                pieces[start + 1 : end] = [b""] * (end - start - 1)
        for refused, error in self._refusals.items():
            if not any(refused[: len(place)] == place for place in changes):
                raise error
        return b"".join(pieces)

    def _lay_out(self, value: Any, place: tuple[str, ...], depth: int) -> None:
        start = len(self._pieces)
        try:
            if depth > _MAX_DEPTH:
                raise _too_deep(".".join(("$", *place)))
            self._lay_out_inside(value, place, depth)
        except UnkeyableConfigError as error:
            del self._pieces[start:]
            self._refusals[place] = error
            self._pieces.append(b"")
        self._spans[place] = start, len(self._pieces)

    def _lay_out_inside(self, value: Any, place: tuple[str, ...], depth: int) -> None:
        path = ".".join(("$", *place))
        if isinstance(value, Record):
            self._pieces.append(_sized(b"r", _text(value.type_name)))
            self._lay_out_inside(value.fields, place, depth + 1)
        elif isinstance(value, Mapping):
            pairs = _sorted_pairs(value, path, depth)
            self._pieces.append(b"d%d;" % len(pairs))
            for form, key, item in pairs:
                self._pieces.append(form)
                self._lay_out(item, (*place, str(key)), depth + 1)
        elif isinstance(value, (list, tuple)):
            self._pieces.append(b"l%d;" % len(value))
            for index, item in enumerate(value):
                self._lay_out(item, (*place, str(index)), depth + 1)
        else:
            _write(value, self._pieces, path, depth)


def prune(tree: Any, patterns: Sequence[str]) -> Any:
    """Return the tree without the keys that a pattern names.

    A pattern is a dotted path from the root; ``*`` and the other shell wildcards match within one segment, list
    indices count as segments. What lies below a named key goes with it.
    """
    if not patterns:
        return tree
    return _prune(tree, [tuple(pattern.split(".")) for pattern in patterns])


def is_pruned(place: str, patterns: Sequence[str]) -> bool:
    """Tell whether ``prune`` would take away what stands at a place (``$.a.0.b``)."""
    segments = place.split(".")[1:]
    split = [pattern.split(".") for pattern in patterns]
    return any(
        len(pattern) <= len(segments) and all(map(fnmatchcase, segments, pattern)) for pattern in split if pattern
    )


def describe(tree: Any, hidden: Collection[str] = (), path: str = "$") -> Any:
    """Return a tree as JSON data for people to read and compare; not a canonical form.

    What stands at a hidden place shows only its digest: values out of the environment can be secrets.
    """
    if path in hidden:
        return {"<digest>": digest(encode(tree, path))}
    if isinstance(tree, Record):
        return {"<class>": tree.type_name, **describe(tree.fields, hidden, path)}
    if isinstance(tree, Mapping):
        named = ((key.name if isinstance(key, Enum) else str(key), key, item) for key, item in tree.items())
        return {str(name): describe(item, hidden, f"{path}.{key!s}") for name, key, item in named}
    if isinstance(tree, (list, tuple)):
        return [describe(item, hidden, f"{path}.{index}") for index, item in enumerate(tree)]
    if isinstance(tree, (Expression, Unresolvable)):
        return {"<expression>": tree.text}
    if isinstance(tree, Refused):
        return {"<refused>": tree.problem}
    if isinstance(tree, Enum):
        return tree.value if tree is MISSING else f"{qualified_name(type(tree))}.{tree.name}"
    return tree if isinstance(tree, (bool, int, float, str, type(None))) else str(tree)


def _prune(tree: Any, patterns: list[tuple[str, ...]]) -> Any:
    if isinstance(tree, Record):
        return Record(tree.type_name, _prune(tree.fields, patterns))
    if isinstance(tree, Mapping):
        items: Iterable[tuple[Any, Any]] = tree.items()
        kept = [(key, _prune(value, deeper)) for key, value, deeper in _survivors(items, patterns)]
        return dict(kept)
    if isinstance(tree, (list, tuple)):
        return [_prune(value, deeper) for _, value, deeper in _survivors(enumerate(tree), patterns)]
    return tree


def _survivors(
    items: Iterable[tuple[Any, Any]], patterns: list[tuple[str, ...]]
) -> Iterable[tuple[Any, Any, list[tuple[str, ...]]]]:
    for key, value in items:
        name = key.name if isinstance(key, Enum) else str(key)
        matching = [pattern for pattern in patterns if pattern and fnmatchcase(name, pattern[0])]
        if not any(len(pattern) == 1 for pattern in matching):
            yield key, value, [pattern[1:] for pattern in matching]


def _sized(tag: bytes, content: bytes) -> bytes:
    return b"%b%d:%b" % (tag, len(content), content)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _float(value: float) -> bytes:
    return b"f" + (_NAN if value != value else struct.pack(">d", value))


_LEAVES: Final[dict[type, Callable[[Any], bytes]]] = {
    type(None): lambda _: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: lambda value: b"i%x;" % value,
    float: _float,
    str: lambda value: _sized(b"s", _text(value)),
    bytes: lambda value: _sized(b"b", value),
    _Missing: lambda _: b"?",
    Unresolvable: lambda value: _sized(b"u", _text(value.text)),
}


def _write(value: Any, out: list[bytes], path: str, depth: int) -> None:
    leaf = _LEAVES.get(type(value))
    if leaf is not None:
        out.append(leaf(value))
        return
    if depth > _MAX_DEPTH:
        raise _too_deep(path)
    if isinstance(value, Refused):
        raise UnkeyableConfigError(path, value.problem)
    if isinstance(value, Enum):
        _write_enum(value, out, path, depth)
    elif isinstance(value, PurePath):
        out.append(_sized(b"p", _text(str(value))))
    elif isinstance(value, Record):
        out.append(_sized(b"r", _text(value.type_name)))
        _write(value.fields, out, path, depth + 1)
    elif isinstance(value, Expression):
        out.append(_sized(b"x", _text(value.text)))
        _write(value.reads, out, path, depth + 1)
    elif isinstance(value, Mapping):
        _write_mapping(value, out, path, depth)
    elif isinstance(value, (list, tuple)):
        out.append(b"l%d;" % len(value))
        for index, item in enumerate(value):
            _write(item, out, f"{path}.{index}", depth + 1)
    else:
        raise UnkeyableConfigError(path, f"{qualified_name(type(value))} objects have no stable form")


def _write_enum(value: Enum, out: list[bytes], path: str, depth: int) -> None:
    name = value.name or ""  # a flag's combination has none
    out.append(b"e" + _sized(b"s", _text(qualified_name(type(value)))) + _sized(b"s", _text(name)))
    inner: list[bytes] = []
    try:
        _write(value.value, inner, path, depth + 1)
    except UnkeyableConfigError:
        # The class's own code is in the fingerprint; a member whose value has no form is told apart by its name.
        inner.append(b"o")
    out.extend(inner)


def _write_mapping(value: Mapping[Any, Any], out: list[bytes], path: str, depth: int) -> None:
    pairs = _sorted_pairs(value, path, depth)
    out.append(b"d%d;" % len(pairs))
    for form, key, item in pairs:
        out.append(form)
        _write(item, out, f"{path}.{key}", depth + 1)


def _sorted_pairs(value: Mapping[Any, Any], path: str, depth: int) -> list[tuple[bytes, Any, Any]]:
    pairs: list[tuple[bytes, Any, Any]] = []
    for key, item in value.items():
        form: list[bytes] = []
        _write(key, form, path, depth + 1)
        pairs.append((b"".join(form), key, item))
    pairs.sort(key=lambda pair: pair[0])
    return pairs


def _too_deep(path: str) -> UnkeyableConfigError:
    return UnkeyableConfigError(path, f"it is nested deeper than {_MAX_DEPTH} levels, or contains itself")
