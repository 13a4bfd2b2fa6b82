"""The values of a config's leaves where they follow from other leaves in a simple way.

Resolving one interpolation through OmegaConf takes 0.4 ms, most of it for parsing. Those that consist of text and
``${absolute.paths}`` to leaves are resolved here, in microseconds and for each job of a sweep anew; for everything else
``InvolvedError`` says that OmegaConf has to be asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

from omegaconf import AnyNode, DictConfig, StringNode

from parcache.hydra.nodes import PRIMITIVES, Place, find

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE: Final = re.compile(rf"\$\{{({_NAME}(?:\.{_NAME})*)\}}")
_KEYWORDS: Final = frozenset({"true", "false", "null", "inf", "nan"})
_MAX_READERS: Final = 4096

# Reads a value off what was changed.
_Reader = Callable[[Mapping[Place, Any]], Any]


class InvolvedError(Exception):
    """The value cannot be told without OmegaConf."""


class _Template(NamedTuple):
    """Text and references in turn; ``is_text``: the result is a string whatever it refers to."""

    parts: tuple[str | Place, ...]
    is_text: bool


def references(text: str) -> tuple[str | Place, ...] | None:
    """Split an interpolation into text and the absolute places that it refers to; None where it is less simple."""
    parts: list[str | Place] = []
    end = 0
    for match in _REFERENCE.finditer(text):
        parts.append(text[end : match.start()])
        place = tuple(match.group(1).split("."))
        if _KEYWORDS.intersection(part.lower() for part in place):
            return None
        parts.append(place)
        end = match.end()
    parts.append(text[end:])
    if any("$" in part or "\\" in part for part in parts if isinstance(part, str)):
        return None
    return tuple(part for part in parts if part != "")


class Values:
    """The leaves of one config. ``config`` is not changed while this is in use. Not thread-safe."""

    def __init__(self, config: DictConfig) -> None:
        self._config = config
        self._known: dict[Place, Any] = {}
        self._readers: dict[tuple[Place, tuple[Place, ...]], _Reader | None] = {}
        self._reach: dict[Place, frozenset[Place] | None] = {}

    def get(self, place: Place, changes: Mapping[Place, Any]) -> Any:
        """Return the value of the leaf at a place, resolved, with some leaves changed.

        Raises:
            InvolvedError: The value cannot be told without OmegaConf.
        """
        wanted = place, tuple(changes)
        try:
            reader = self._readers[wanted]
        except KeyError:
            if len(self._readers) >= _MAX_READERS:
                self._readers.clear()
            reader = self._readers[wanted] = self._reader(place, changes)
        if reader is None:
            raise InvolvedError
        return reader(changes)

    def reach(self, place: Place) -> frozenset[Place] | None:
        """Return the places whose change can change the value at a place (parents count), itself left out.

        None where that cannot be told.
        """
        if place not in self._reach:
            self._reach[place] = None  # stands where it refers to itself
            self._reach[place] = self._reached(place)
        return self._reach[place]

    def _reached(self, place: Place) -> frozenset[Place] | None:
        try:
            leaf = self._leaf(place)
        except InvolvedError:
            return None
        found: set[Place] = set()
        if isinstance(leaf, _Template):
            for part in leaf.parts:
                if isinstance(part, tuple):
                    inner = self.reach(part)
                    if inner is None:
                        return None
                    found |= inner
                    found.update(part[:size] for size in range(1, len(part) + 1))
        return frozenset(found)

    def _reader(self, place: Place, changed: Collection[Place]) -> _Reader | None:
        """Return what reads a leaf's value off the changes at these places; None where OmegaConf has to be asked."""
        try:
            found = self._read(place, changed, ())
        except InvolvedError:
            return None
        return found if callable(found) else lambda _: found

    def _read(self, place: Place, changed: Collection[Place], above: tuple[Place, ...]) -> Any:
        """Return a leaf's value, or what reads it where it depends on a change."""
        if place in changed:
            return _own(place)
        if any(place[:size] in changed for size in range(1, len(place))):
            raise InvolvedError
        leaf = self._leaf(place)
        if not isinstance(leaf, _Template):
            return leaf
        if place in above:
            raise InvolvedError
        within = (*above, place)
        parts = [self._read(part, changed, within) if isinstance(part, tuple) else part for part in leaf.parts]
        return _filling(leaf, parts) if any(map(callable, parts)) else _filled(leaf, parts)

    def _leaf(self, place: Place) -> Any:
        """Return the value at a place, or the template that makes it."""
        if place not in self._known:
            self._known[place] = self._compiled(place)
        known = self._known[place]
        if known is InvolvedError:
            raise InvolvedError
        return known

    def _compiled(self, place: Place) -> Any:
        node = find(self._config, place)
        value = node.__dict__.get("_val") if node is not None else None
        if type(value) not in PRIMITIVES or value == "???":
            return InvolvedError
        if type(value) is not str or "${" not in value:
            return InvolvedError if type(value) is str and "\\$" in value else value
        parts = references(value)
        # Nodes of other types check and convert what an interpolation yields.
        if parts is None or type(node) not in (AnyNode, StringNode):
            return InvolvedError
        return _Template(parts, type(node) is StringNode)


def _own(place: Place) -> _Reader:
    def read(changes: Mapping[Place, Any]) -> Any:
        value = changes[place]
        if type(value) not in PRIMITIVES or (type(value) is str and ("$" in value or value == "???")):
            raise InvolvedError
        return value

    return read


def _filling(template: _Template, parts: list[Any]) -> _Reader:
    def read(changes: Mapping[Place, Any]) -> Any:
        return _filled(template, [part(changes) if callable(part) else part for part in parts])

    return read


def _filled(template: _Template, parts: list[Any]) -> Any:
    value = parts[0] if len(parts) == 1 and not template.is_text else "".join(map(str, parts))
    if type(value) is str and ("$" in value or "\\" in value or value == "???"):
        raise InvolvedError
    return value
