"""A composed task config as the plain tree that keys are made of.

Every value is resolved as the job will see it. While an interpolation is resolved, the resolvers that it reaches are
watched, through however many other keys: that tells which values change with every run by construction (they reach
``${now:}``, or a field of the ``hydra`` node that belongs to the run and not to the configuration) and count as their
expression; and which depend on something outside the config (``${oc.env:}``, custom resolvers), so that the worker
can check that it sees what was keyed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import omegaconf.base
from omegaconf import AnyNode, DictConfig, OmegaConf, grammar_parser
from omegaconf._utils import split_key
from omegaconf.base import Container, Node
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException

from parcache.errors import UnkeyableConfigError
from parcache.hydra.nodes import Place
from parcache.keys.canonical import MISSING, Expression, Record, Refused, Unresolvable, digest, encode
from parcache.keys.dotted import dotted_names
from parcache.keys.modules import qualified_name
from parcache.model import Slotted

_MAX_DEPTH: Final = 200
# Fields that belong to a run. `runtime.choices`, `job.env_set`, `job.config_name` and the like are configuration: they
# are the same in every run of the same command, and a task that is told them can depend on them.
_RUN_FIELDS: Final = (
    "runtime.output_dir",
    "runtime.cwd",
    "runtime.config_sources",
    "job.name",
    "job.id",
    "job.num",
    "job.override_dirname",
    "sweep",
    "run",
)
_OF_OVERRIDES: Final = frozenset({"hydra_override_dirname", "hydra_deprecated_override_dirname"})
_BOUND_TO_RUN: Final = _OF_OVERRIDES | {"now"}
# Resolvers whose result follows from the config alone.
_CLOSED: Final = frozenset(
    {
        "oc.coerce",
        "oc.create",
        "oc.decode",
        "oc.deprecated",
        "oc.dict.keys",
        "oc.dict.values",
        "oc.select",
        "python_version",
        "hydra",
    }
)


# Resolvers that read the config, or may, in a way that is not seen.
_FREE_READERS: Final = frozenset({"oc.select", "oc.dict.keys", "oc.dict.values", "oc.deprecated"})


class Reading(Slotted):
    """What the value of an interpolation depends on: the places that it read, and perhaps more (``always``).

    ``calls`` are the resolvers that were called, with their arguments as text.
    """

    __slots__ = ("always", "calls", "places")

    def __init__(self) -> None:
        self.places: set[Place] = set()
        self.always = False
        self.calls: set[tuple[str, tuple[str, ...]]] = set()

    @property
    def is_custom(self) -> bool:
        """Tell whether a resolver had a part in it that is not OmegaConf's or Hydra's own: it may read anything."""
        return any(name not in _CLOSED and name not in _BOUND_TO_RUN and name != "oc.env" for name, _ in self.calls)

    def is_touched_by(self, changed: Place) -> bool:
        """Tell whether a change at a place can change the value."""
        return self.always or any(
            place[: len(changed)] == changed or changed[: len(place)] == place for place in self.places
        )


class PlainConfig(NamedTuple):
    """A task config, or a part of it, in plain form.

    ``names`` are the dotted names in it (``_target_`` and other strings, classes of its nodes and values), by where
    they stand. ``open`` are the values that depend on something outside the config: their place and the digest of their
    form. ``readings`` say what the interpolations depend on. What an interpolation leads to counts as standing where
    the interpolation stands.
    """

    tree: Any
    names: Mapping[Place, frozenset[str]]
    open: tuple[tuple[Place, str], ...]
    readings: Mapping[Place, Reading]

    @property
    def all_names(self) -> frozenset[str]:
        """Return the dotted names without their places."""
        return frozenset().union(*self.names.values())


def to_plain(config: DictConfig) -> PlainConfig:
    """Return the plain form of a task config (without the ``hydra`` node), resolved in the present surroundings.

    What cannot be keyed stands in it as ``Refused``: it may lie below an ignored key.
    """
    return plain_parts([((), config)])[()]


def plain_parts(nodes: Iterable[tuple[Place, Any]]) -> dict[Place, PlainConfig]:
    """Return the plain form of what stands at some places of a task config."""
    parts: dict[Place, PlainConfig] = {}
    recorder = _Recorder()
    with _watched(recorder):
        for place, node in nodes:
            walker = _Walker(recorder)
            tree = walker.node(node, place)
            names = {where: frozenset(found) for where, found in walker.names.items()}
            parts[place] = PlainConfig(tree, names, tuple(walker.open), walker.readings)
    return parts


def drift(config: DictConfig, keyed: tuple[tuple[Place, str], ...]) -> Place | None:
    """Return the place of the first value that is not what it was when the job was keyed, or None."""
    for place, form in keyed:
        node = _node_at(config, place)
        if node is None or dict(plain_parts([(place, node)])[place].open).get(place) != form:
            return place
    return None


def shown(place: Place) -> str:
    """Return a place as messages show it."""
    return ".".join(("$", *map(str, place)))


def _node_at(config: Any, place: Place) -> Any:
    node = config
    for key in place:
        content = getattr(node, "_content", None)
        if isinstance(content, dict):
            node = next((item for name, item in content.items() if str(name) == key), None)
        elif isinstance(content, (list, tuple)) and key.isdecimal() and int(key) < len(content):
            node = content[int(key)]
        else:
            return None
    return node


class _Calls:
    """What the resolution of one interpolation called."""

    def __init__(self) -> None:
        self.open = False
        self.reads: list[Any] = []
        self._bound_calls = 0

    @property
    def bound(self) -> bool:
        """Tell whether it reached a value of the run."""
        return self._bound_calls > 0

    def begin(self, name: str, args: tuple[Any, ...]) -> int:
        """Note a call before it is made: it may fail. Return a mark for ``end``."""
        mark = self._bound_calls
        self._bound_calls += _is_bound(name, args)
        self.open |= name not in _CLOSED and name not in _BOUND_TO_RUN
        return mark

    def end(self, name: str, args: tuple[Any, ...], result: Any, mark: int, *, bound_arguments: bool) -> None:
        """Note what a call returned, unless the run has a part in it."""
        if self._bound_calls == mark and not bound_arguments:
            self.reads.append([name, [str(arg) for arg in args], _readable(result)])


class _Recorder:
    def __init__(self) -> None:
        self.current: _Calls | None = None
        self.reading: Reading | None = None

    def note_call(self, name: str, args: tuple[Any, ...]) -> None:
        """Note what a call of a resolver may read."""
        if self.reading is None:
            return
        self.reading.calls.add((name, tuple(map(str, args))))
        if name == "hydra" and args:
            self.reading.places.add(("hydra", *str(args[0]).split(".")))
        elif name in _OF_OVERRIDES:
            self.reading.places.add(("hydra", "overrides", "task"))
        if _is_bound(name, args):
            return
        custom = name not in _CLOSED and name != "oc.env"
        own = name == "hydra" and (not args or str(args[0]).partition(".")[0] == "overrides")
        self.reading.always |= custom or own or name in _FREE_READERS

    def note_node(self, container: Any, key: str) -> None:
        """Note that an interpolation reads a node."""
        if self.reading is None:
            return
        try:
            root, rest = container._resolve_key_and_root(key)
            self.reading.places.add(tuple(split_key(root._get_full_key(rest))))
        except Exception:  # it fails in a moment
            self.reading.always = True

    def reaches_the_run(self, text: str, parent: Any) -> bool:
        """Tell whether an argument, as it was written, reaches a value of the run: resolve it by itself."""
        if "${" not in text:
            return False
        outer, self.current = self.current, _Calls()
        try:
            node = AnyNode(text)
            node._set_parent(parent)
            node._dereference_node()
        except Exception:  # noqa: S110 - what it reached until it failed counts
            pass
        finally:
            inner, self.current = self.current, outer
        return inner.bound


def _is_bound(name: str, args: tuple[Any, ...]) -> bool:
    if name in _BOUND_TO_RUN:
        return True
    if name != "hydra" or not args:
        return False
    path = str(args[0])
    return any(path == field or path.startswith(field + ".") or field.startswith(path + ".") for field in _RUN_FIELDS)


def _readable(value: Any) -> Any:
    if isinstance(value, Container):
        return str(value)
    try:
        encode(value)
    except UnkeyableConfigError as error:
        return Refused(error.problem)
    return value


@contextmanager
def _watched(recorder: _Recorder) -> Iterator[None]:
    """Let the recorder see every call of a resolver."""
    original = BaseContainer._resolvers
    omega: Any = omegaconf.base
    resolve_node = Container._resolve_node_interpolation
    parse = omega.parse

    def watched_node(container: Any, inter_key: str, *args: Any, **kwargs: Any) -> Any:
        recorder.note_node(container, inter_key)
        return resolve_node(container, inter_key, *args, **kwargs)

    def watch(name: str, resolver: Callable[..., Any]) -> Callable[..., Any]:
        def watched(config: Any, parent: Any, node: Any, args: tuple[Any, ...], args_str: tuple[str, ...]) -> Any:
            calls = recorder.current
            if calls is None:
                return resolver(config, parent, node, args, args_str)
            recorder.note_call(name, args)
            mark = calls.begin(name, args)
            result = resolver(config, parent, node, args, args_str)
            bound = calls.bound and any(recorder.reaches_the_run(text, parent) for text in args_str)
            calls.end(name, args, result, mark, bound_arguments=bound)
            return result

        return watched

    BaseContainer._resolvers = {name: watch(name, resolver) for name, resolver in original.items()}
    omega.Container._resolve_node_interpolation = watched_node
    omega.parse = _parsed_once
    try:
        yield
    finally:
        BaseContainer._resolvers = original
        omega.Container._resolve_node_interpolation = resolve_node
        omega.parse = parse


_parsed_once = lru_cache(maxsize=4096)(grammar_parser.parse)


class _Walker:
    def __init__(self, recorder: _Recorder) -> None:
        self.calls = recorder
        self.names: dict[Place, set[str]] = {}
        self.open: list[tuple[Place, str]] = []
        self.readings: dict[Place, Reading] = {}
        self._above: list[Container] = []
        self._outermost: Place | None = None  # the interpolation that led here
        self._hops = 0  # over interpolations

    def node(self, node: Any, place: Place) -> Any:
        if len(place) + self._hops > _MAX_DEPTH:
            return Refused(f"it is nested deeper than {_MAX_DEPTH} levels")
        if not isinstance(node, Node):
            return self._value(node, place)
        if node._is_interpolation():
            return self._interpolation(node, place)
        if node._is_missing():
            return MISSING
        if node._is_none():
            return None
        if not isinstance(node, Container):
            value = node._value()
            return self.node(value, place) if isinstance(value, Node) else self._value(value, place)  # of a Union
        if any(node is container for container in self._above):
            return Refused("it contains itself")
        self._above.append(node)
        try:
            return (self._mapping if isinstance(node, DictConfig) else self._items)(node, place)
        finally:
            self._above.pop()

    def _interpolation(self, node: Node, place: Place) -> Any:
        text = str(node._value())
        outermost = self._outermost
        if outermost is None:
            self._outermost = place
            self.calls.reading = self.readings[place] = Reading()
        try:
            return self._resolved(node, text, place)
        finally:
            if outermost is None:
                self._outermost = self.calls.reading = None

    def _resolved(self, node: Any, text: str, place: Place) -> Any:
        calls = self.calls.current = _Calls()
        try:
            resolved = node._dereference_node()
        except (OmegaConfBaseException, RecursionError):
            resolved = None
        except Exception:  # a custom resolver may raise anything; so will the task that reads the value
            resolved = None
        finally:
            self.calls.current = None
        plain: Any = Unresolvable(text) if resolved is None else self._led_to(resolved, place)
        if calls.bound:
            plain = Expression(text, tuple(calls.reads))  # walked all the same, for the names in it
        if calls.open:
            with suppress(UnkeyableConfigError):  # it is refused where the whole is encoded, unless it is ignored
                self.open.append((place, digest(encode(plain, shown(place)))))
        return plain

    def _led_to(self, resolved: Any, place: Place) -> Any:
        self._hops += 1
        try:
            return self.node(resolved, place)
        finally:
            self._hops -= 1

    def _mapping(self, node: Any, place: Place) -> Any:
        fields: dict[Any, Any] = {}
        for key, item in node._content.items():
            if isinstance(key, str):
                self._note(dotted_names(key), place)
            fields[key] = self.node(item, (*place, str(key)))
        kind = OmegaConf.get_type(node)
        if isinstance(kind, type) and kind is not dict and not issubclass(kind, DictConfig):
            self._note_class(kind, place)
            return Record(qualified_name(kind), fields)
        return fields

    def _items(self, node: Any, place: Place) -> list[Any]:
        content: Any = getattr(node, "_content", ())  # of a list, or of a tuple in Hydra 1.4
        return [self.node(item, (*place, str(index))) for index, item in enumerate(content)]

    def _value(self, value: Any, place: Place) -> Any:
        if isinstance(value, str):
            self._note(dotted_names(value), place)
        elif isinstance(value, Enum):
            self._note_class(type(value), place)
        return value

    def _note(self, names: Any, place: Place) -> None:
        found = set(names)
        if found:
            where = place if self._outermost is None else self._outermost
            self.names.setdefault(where, set()).update(found)

    def _note_class(self, kind: type, place: Place) -> None:
        bases = (base for base in inspect.getmro(kind) if base.__module__ != "builtins")
        self._note({f"{base.__module__}.{base.__qualname__}" for base in bases}, place)
