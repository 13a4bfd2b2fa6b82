"""The text of ``.hydra/config.yaml``, ``hydra.yaml`` and ``overrides.yaml`` without dumping them anew for every job.

Hydra writes ``OmegaConf.to_yaml`` of each job's config: 14 ms in PyYAML's Python emitter for Hydra's own node alone.
The jobs of a sweep share one config and differ in a few values, so the config is dumped once and a job's text is that
text with the lines of those values exchanged: it is dumped with a mark in their places. That rests on one property of
the emitter: the lines of an entry of a block mapping depend on its indentation, its key and its value, and on nothing
beside them, but for YAML anchors (one object in two places). So where a place holds more than a plain value, or
there are anchors, the config is dumped once more as it is, and only where the text around the marks and the
entries' own lines (from the real dumper, each entry alone under the same keys) join to that is anything exchanged;
else each job's config is dumped whole. Formatting a value by hand is confined to numbers and to words that no
reader could take for anything else, and is compared with the installed OmegaConf on samples before its first use.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from omegaconf import (
    AnyNode,
    BooleanNode,
    DictConfig,
    FloatNode,
    IntegerNode,
    ListConfig,
    OmegaConf,
    StringNode,
    ValueNode,
    open_dict,
    read_write,
)
from omegaconf.base import Container, Node

from parcache.hydra.nodes import Place, clone

_MARK: Final = "parcache-mark-"
_MAX_CACHED: Final = 4096
_MAX_WORD: Final = 64  # PyYAML writes keys of more than 128 characters in another way
_NESTED: Final = 4
_NONE: Final = type(None)
_SCALARS: Final = frozenset({_NONE, bool, int, float, str})
_ANYTHING: Final = _SCALARS | {list}
_TYPED: Final[dict[type, frozenset[type]]] = {
    StringNode: frozenset({str}),
    IntegerNode: frozenset({int}),
    FloatNode: frozenset({float}),
    BooleanNode: frozenset({bool}),
}

# No space, so never folded; no indicator of YAML where it would count as one; no `$`, `?` or backslash, which mean
# something to OmegaConf. The words left out are the ones that are null, a bool or a float, in any capitals.
_WORD: Final = re.compile(
    r"(?!(?:y|yes|n|no|true|false|on|off|null|nan|inf|infinity)\Z)[a-z_/](?:[a-z0-9_./=+,:\[\]-]*[a-z0-9_./=+,\[\]-])?\Z",
    re.IGNORECASE | re.ASCII,
)
_ANCHOR: Final = re.compile("&id[0-9]{3}")
_WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,18}\Z")
_SAMPLES: Final[list[Any]] = [
    *(None, True, False, 0, -7, 10**30, 0.1, 1e-05, 1e16, -2.5e300, float("inf"), float("-inf"), float("nan")),
    *("a", "lr=0.1", "/a/b-c_d.e", "cuda:0", "x=[1,2]", "a:b:c", "_", "x" * 200, "12", "-3", "007"),
]


class YamlText:
    """The YAML of a config as ``OmegaConf.to_yaml`` writes it, with places that can be given other values."""

    def __init__(self, config: DictConfig | ListConfig) -> None:
        self._config = clone(config)
        self._slots: dict[Place, _Slot | None] = {}
        self._templates: dict[tuple[Place, ...], _Template | None] = {}

    @functools.cached_property
    def _text(self) -> str:
        return OmegaConf.to_yaml(self._config)

    def with_values(self, values: Mapping[Place, Any]) -> str:
        """Return what ``OmegaConf.to_yaml`` returns of the config with these places assigned.

        Values are what an assignment takes: None, numbers, strings, enums, lists, or an OmegaConf node. Cheap are
        places that exist and plain values; anything else is right too, but costs a dump.

        Raises:
            What the assignment raises, for a value or a key that the config refuses.
        """
        if not values:
            return self._text
        places = tuple(values)
        if places not in self._templates:
            _bound(self._templates)
            self._templates[places] = self._template(places)
        template = self._templates[places]
        if template is None:
            return self._dumped(values)
        parts = [template.before]
        for slot, after in template.slots:
            lines = slot.lines(values[slot.place])
            if lines is None:
                return self._dumped(values)
            parts += lines, after
        return "".join(parts)

    def _dumped(self, values: Mapping[Place, Any]) -> str:
        config = clone(self._config)
        for place, value in values.items():
            parent: Any = config
            for key in place[:-1]:
                parent = parent[key]
            _assign(parent, place[-1], value)
        return OmegaConf.to_yaml(config)

    def _template(self, places: tuple[Place, ...]) -> _Template | None:
        """Return the text without the lines of these places; None where it cannot be shown to be just that."""
        slots = [self._slot(place) for place in places]
        marked = clone(self._config)
        marks = []
        for number, slot in enumerate(slots):
            if slot is None or not slot.is_learned:
                return None
            mark = f"{_MARK}{number}"
            marks.append(slot.lines_of_word(mark))
            parent: Any = marked
            for key in slot.place[:-1]:
                parent = parent._content[key]
                if not isinstance(parent, DictConfig) or not isinstance(parent._content, dict):
                    return None  # one place is inside another
            node = AnyNode(mark, key=slot.place[-1], parent=parent)
            parent._content[slot.place[-1]] = node
        text = OmegaConf.to_yaml(marked)
        found: list[tuple[int, int, _Slot]] = []
        for mark, slot in zip(marks, slots, strict=True):
            if slot is None or text.count(mark) != 1:
                return None
            start = text.index(mark)
            found.append((start, start + len(mark), slot))
        found.sort(key=lambda item: item[0])
        starts = [start for start, _, _ in found[1:]] + [len(text)]
        rest = [(slot, text[end:after]) for (_, end, slot), after in zip(found, starts, strict=True)]
        template = _Template(text[: found[0][0]], tuple(rest))
        if not _ANCHOR.search(text) and all(slot.has_plain_value for slot, _ in rest):
            return template
        # With the lines that the dumper writes for what is there, it must be the text again.
        own = [slot.own_lines() for slot, _ in rest]
        return template if None not in own and template.filled(own) == self._text else None

    def _slot(self, place: Place) -> _Slot | None:
        if place not in self._slots:
            parent, node = self._node(place[:-1]), self._node(place)
            if isinstance(parent, DictConfig) and node is not None:  # an empty node is false
                self._slots[place] = _Slot(place, parent, node)
            else:
                self._slots[place] = None
        return self._slots[place]

    def _node(self, place: Place) -> Node | None:
        node: Any = self._config
        for key in place:
            if not isinstance(node, DictConfig) or not isinstance(node._content, dict):
                return None
            # Elsewhere a string may be taken for a key of another type.
            if node._metadata.key_type not in (Any, str) or type(key) is not str:
                return None
            node = node._content.get(key)
        return node if isinstance(node, Node) else None


def overrides_text(overrides: Sequence[str]) -> str:
    """Return what ``OmegaConf.to_yaml`` returns of the overrides as a list."""
    lines = [_item(item) if type(item) is str else OmegaConf.to_yaml(ListConfig([item])) for item in overrides]
    return "".join(lines) or "[]\n"


class _Template(NamedTuple):
    before: str
    slots: tuple[tuple[_Slot, str], ...]  # each with the text that follows it

    def filled(self, lines: Sequence[str | None]) -> str:
        """Return the text with these lines in the slots."""
        parts = [self.before]
        for taken, (_, after) in zip(lines, self.slots, strict=True):
            parts += taken or "", after
        return "".join(parts)


class _Slot:
    """A place and the lines that it takes for a value."""

    def __init__(self, place: Place, parent: DictConfig, node: Node) -> None:
        self.place = place
        self._parent = parent
        self._node = node
        self._items = frozenset({str}) if _is_list_of_strings(node) else _SCALARS
        self._taken, self._lead, self._heading, self._bullet = frozenset[type](), "", "", ""
        self._cache: dict[Hashable, str | None] = {}
        if _is_formatting_known():
            self._learn(_taken_as_they_are(parent, node))

    @property
    def is_learned(self) -> bool:
        """Tell whether a string can be put here."""
        return bool(self._lead)

    def lines_of_word(self, word: str) -> str:
        """Return the lines for a word that needs no quotes, whatever the place takes."""
        return f"{self._lead}{word}\n"

    @property
    def has_plain_value(self) -> bool:
        """Tell whether what is there can have no part in an anchor."""
        content = self._node.__dict__.get("_content")
        items = content if isinstance(self._node, ListConfig) and isinstance(content, list) else [self._node]
        return all(isinstance(item, ValueNode) and type(item.__dict__.get("_val")) in _SCALARS for item in items)

    def own_lines(self) -> str | None:
        """Return the lines for what is there."""
        return _entry(self.place, clone(self._node))

    def lines(self, value: Any) -> str | None:
        """Return the lines for a value; None for one whose lines may depend on other places."""
        kind = type(value)
        if kind is list and list in self._taken:
            if not value:
                return f"{self._lead}[]\n"
            texts = [_scalar(item) if type(item) in self._items else None for item in value]
            if None not in texts:
                bullet = self._bullet
                return self._heading + "".join([f"{bullet}{text}\n" for text in texts])
        elif kind in self._taken and (text := _scalar(value)) is not None:
            return f"{self._lead}{text}\n"
        try:
            key = _frozen(value)
        except _UnknownKindError:
            return None
        if key not in self._cache:
            _bound(self._cache)
            self._cache[key] = self._dumped(value)
        return self._cache[key]

    def _dumped(self, value: Any) -> str | None:
        parent = clone(self._parent, self._parent._get_parent())
        _assign(parent, self.place[-1], value)
        return _entry(self.place, _child(parent, self.place[-1]))

    def _learn(self, taken: frozenset[type]) -> None:
        """Learn from the dumper what stands before a value of this place, and before an item of a list in it."""
        if all(map(_is_word, self.place)) and _is_nesting_known():  # three dumps less
            self._lead, self._heading, self._bullet = _before(self.place)
            self._taken = taken
            return
        null, one = _entry(self.place, AnyNode(None)), _entry(self.place, ListConfig(["a"]))
        if null is None or one is None or not null.endswith(": null\n"):
            return
        lead = null.removesuffix("null\n")
        heading = f"{lead.rstrip(' ')}\n"
        if one.startswith(heading) and one[len(heading) :].lstrip(" ") == "- a\n":  # not so after `? a long key`
            self._lead, self._heading, self._bullet = lead, heading, one[len(heading) :].removesuffix("a\n")
            self._taken = taken


def _taken_as_they_are(parent: DictConfig, node: Any) -> frozenset[type]:
    """Return the types of which a place holds the very value that is assigned to it."""
    if not node._has_ref_type() and parent._metadata.element_type is Any:
        return _ANYTHING if isinstance(node, Container) or type(node) is AnyNode else frozenset()
    if isinstance(node, ListConfig) and node._metadata.element_type in (Any, str):
        return frozenset({list})
    return _TYPED.get(type(node), frozenset())


def _is_list_of_strings(node: Any) -> bool:
    """Tell whether a place turns the items of a list that is assigned to it into strings."""
    return isinstance(node, ListConfig) and node._has_ref_type() and node._metadata.element_type is str


def _child(parent: Any, key: Any) -> Node:
    node: Node = parent._content[key]
    return node


def _assign(parent: Any, key: str, value: Any) -> None:
    with read_write(parent), open_dict(parent):
        if (
            key.isidentifier()
        ):  # as Hydra does with an override: OmegaConf 2.4 warns of converting in a plain assignment
            OmegaConf.update(parent, key, value, merge=False)
        else:
            parent[key] = value


def _entry(place: tuple[Any, ...], node: Node) -> str | None:
    """Return the lines that the dumper writes for a node at a place; None where they cannot be told from others."""
    other = "a" if place[-1] != "a" else "b"
    before = _nest_text(place[:-1], other)
    nest = inner = _nest(place[:-1], other)
    for key in place[:-1]:
        inner = inner._content[key]
    inner._content[place[-1]] = node  # not assigned: the node stays where it is, and as it is
    lines = OmegaConf.to_yaml(nest)
    return lines[len(before) :] if lines.startswith(before) else None


@functools.lru_cache(maxsize=256)
def _nest_text(place: Place, other: str) -> str:
    return OmegaConf.to_yaml(_nest(place, other))


def _nest(place: Place, other: str) -> Any:
    """Return a config that holds nothing but a place and in it one other key."""
    tree: dict[str, Any] = {other: None}
    for key in reversed(place):
        tree = {key: tree}
    return DictConfig(tree)


class _UnknownKindError(Exception):
    """A value that the dumper may write with a tag or an anchor."""


def _frozen(value: Any) -> Hashable:
    """Return what tells a value from others that are written or converted differently."""
    kind = type(value)
    if kind is float:
        return (kind, repr(value))
    if kind in _SCALARS:
        return (kind, value)
    if isinstance(value, Enum):
        return (kind, value.name)
    if kind is list or kind is tuple:
        return (kind, *[_frozen(item) for item in value])
    if kind is dict:
        return (kind, *[(_frozen(key), _frozen(item)) for key, item in value.items()])
    if not isinstance(value, Node):
        raise _UnknownKindError
    about: Any = value._metadata
    if isinstance(value, ValueNode):
        return (kind, about.ref_type, about.optional, _frozen(value._value()))
    content = value.__dict__["_content"]
    types = (kind, about.ref_type, about.object_type, about.optional, getattr(about, "element_type", Any))
    if isinstance(content, dict):
        return (types, about.key_type, *[(_frozen(key), _frozen(item)) for key, item in content.items()])
    return (types, *map(_frozen, content)) if isinstance(content, (list, tuple)) else (types, _frozen(content))


def _scalar(value: Any) -> str | None:
    """Return a value as the dumper writes it, on any line and at any depth; None where that takes the dumper."""
    kind = type(value)
    if kind is str:
        if _WORD.match(value):
            text: str = value
            return text
        return f"'{value}'" if _WHOLE_NUMBER.match(value) else None
    if kind is int:
        return str(value)
    if kind is float:
        if value - value != 0.0:
            return ".nan" if value != value else ".inf" if value > 0 else "-.inf"
        # YAML 1.1 has no float without a point: PyYAML's own rule.
        text = repr(value)
        return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text
    return "null" if value is None else "true" if value is True else "false" if value is False else None


def _item(item: str) -> str:
    text = _scalar(item) if _is_formatting_known() else None
    return f"- {text}\n" if text is not None else _dumped_item(item)


@functools.lru_cache(maxsize=_MAX_CACHED)
def _dumped_item(item: str) -> str:
    return OmegaConf.to_yaml(ListConfig([item]))


@functools.cache
def _is_formatting_known() -> bool:
    """Tell whether the installed OmegaConf writes samples the way it is done here."""
    return OmegaConf.to_yaml(ListConfig(_SAMPLES)) == "".join(f"- {_scalar(item)}\n" for item in _SAMPLES)


def _is_word(key: Any) -> bool:
    return type(key) is str and key.isidentifier() and len(key) < _MAX_WORD and _WORD.match(key) is not None


def _before(place: Place) -> tuple[str, str, str]:
    """Return what stands before a value at a place of words, above the items of a list there, and before each item."""
    indent = "  " * (len(place) - 1)
    return f"{indent}{place[-1]}: ", f"{indent}{place[-1]}:\n", f"{indent}- "


@functools.cache
def _is_nesting_known() -> bool:
    """Tell whether the installed OmegaConf nests mappings and lists the way it is done here."""
    place: Place = ()
    text, tree = "", dict[str, Any]()
    inner = tree
    for _ in range(_NESTED):
        inner |= {"x": None, "z": ["a", "b"], "Ab_1": {}}
        _, heading, bullet = _before((*place, "z"))
        text += f"{_before((*place, 'x'))[0]}null\n{heading}{bullet}a\n{bullet}b\n{_before((*place, 'Ab_1'))[1]}"
        place, inner = (*place, "Ab_1"), inner["Ab_1"]
    inner["x"] = 1
    return OmegaConf.to_yaml(DictConfig(tree)) == f"{text}{_before((*place, 'x'))[0]}1\n"


def _bound(cache: dict[Any, Any]) -> None:
    if len(cache) >= _MAX_CACHED:
        cache.clear()
