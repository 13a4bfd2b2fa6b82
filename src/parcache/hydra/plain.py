"""A composed task config as the plain tree that keys are made of.

Every value is resolved as the job will see it. While an interpolation is resolved, the resolvers that it reaches are
watched, through however many other keys: that tells which values change with every run by construction (they reach
``${now:}``, or a field of the ``hydra`` node that belongs to the run and not to the configuration) and count as their
expression; and which depend on something outside the config (``${oc.env:}``, custom resolvers), so that the worker
can check that it sees what was keyed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from omegaconf import AnyNode, DictConfig, OmegaConf
from omegaconf.base import Container, Node
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException

from parcache.errors import UnkeyableConfigError
from parcache.keys.canonical import MISSING, Expression, Record, Refused, Unresolvable, digest, encode
from parcache.keys.imports import dotted_names
from parcache.keys.modules import qualified_name

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
_BOUND_TO_RUN: Final = frozenset({"now", "hydra_override_dirname", "hydra_deprecated_override_dirname"})
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


@dataclass(frozen=True, slots=True)
class PlainConfig:
    """A task config in plain form.

    ``names`` are the dotted names in it (``_target_`` and other strings, classes of its nodes and values). ``open``
    are the values that depend on something outside the config: their place and the digest of their form.
    """

    tree: Any
    names: frozenset[str]
    open: tuple[tuple[str, str], ...]


def to_plain(config: DictConfig) -> PlainConfig:
    """Return the plain form of a task config (without the ``hydra`` node), resolved in the present surroundings.

    What cannot be keyed stands in it as ``Refused``: it may lie below an ignored key.
    """
    walker = _Walker()
    with _watched(walker.calls):
        tree = walker.node(config, "$", 0)
    return PlainConfig(tree, frozenset(walker.names), tuple(walker.open))


def drift(config: DictConfig, keyed: tuple[tuple[str, str], ...]) -> str | None:
    """Return the place of the first value that is not what it was when the job was keyed, or None."""
    if not keyed:
        return None
    now = dict(to_plain(config).open)
    return next((place for place, form in keyed if now.get(place) != form), None)


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

    def watch(name: str, resolver: Callable[..., Any]) -> Callable[..., Any]:
        def watched(config: Any, parent: Any, node: Any, args: tuple[Any, ...], args_str: tuple[str, ...]) -> Any:
            calls = recorder.current
            if calls is None:
                return resolver(config, parent, node, args, args_str)
            mark = calls.begin(name, args)
            result = resolver(config, parent, node, args, args_str)
            bound = calls.bound and any(recorder.reaches_the_run(text, parent) for text in args_str)
            calls.end(name, args, result, mark, bound_arguments=bound)
            return result

        return watched

    BaseContainer._resolvers = {name: watch(name, resolver) for name, resolver in original.items()}
    try:
        yield
    finally:
        BaseContainer._resolvers = original


class _Walker:
    def __init__(self) -> None:
        self.calls = _Recorder()
        self.names: set[str] = set()
        self.open: list[tuple[str, str]] = []
        self._above: list[Container] = []

    def node(self, node: Any, path: str, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            return Refused(f"it is nested deeper than {_MAX_DEPTH} levels")
        if not isinstance(node, Node):
            return self._value(node)
        if node._is_interpolation():
            return self._interpolation(node, path, depth)
        if node._is_missing():
            return MISSING
        if node._is_none():
            return None
        if not isinstance(node, Container):
            value = node._value()
            return self.node(value, path, depth + 1) if isinstance(value, Node) else self._value(value)  # of a Union
        if any(node is container for container in self._above):
            return Refused("it contains itself")
        self._above.append(node)
        try:
            return (self._mapping if isinstance(node, DictConfig) else self._items)(node, path, depth)
        finally:
            self._above.pop()

    def _interpolation(self, node: Node, path: str, depth: int) -> Any:
        text = str(node._value())
        calls = self.calls.current = _Calls()
        try:
            resolved = node._dereference_node()
        except (OmegaConfBaseException, RecursionError):
            resolved = None
        except Exception:  # a custom resolver may raise anything; so will the task that reads the value
            resolved = None
        finally:
            self.calls.current = None
        plain: Any = Unresolvable(text) if resolved is None else self.node(resolved, path, depth + 1)
        if calls.bound:
            plain = Expression(text, tuple(calls.reads))  # walked all the same, for the names in it
        if calls.open:
            with suppress(UnkeyableConfigError):  # it is refused where the whole is encoded, unless it is ignored
                self.open.append((path, digest(encode(plain, path))))
        return plain

    def _mapping(self, node: Any, path: str, depth: int) -> Any:
        fields: dict[Any, Any] = {}
        for key, item in node._content.items():
            if isinstance(key, str):
                self.names.update(dotted_names(key))
            fields[key] = self.node(item, f"{path}.{key!s}", depth + 1)
        kind = OmegaConf.get_type(node)
        if isinstance(kind, type) and kind is not dict and not issubclass(kind, DictConfig):
            self._note_class(kind)
            return Record(qualified_name(kind), fields)
        return fields

    def _items(self, node: Any, path: str, depth: int) -> list[Any]:
        content: Any = getattr(node, "_content", ())  # of a list, or of a tuple in Hydra 1.4
        return [self.node(item, f"{path}.{index}", depth + 1) for index, item in enumerate(content)]

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            self.names.update(dotted_names(value))
        elif isinstance(value, Enum):
            self._note_class(type(value))
        return value

    def _note_class(self, kind: type) -> None:
        for base in inspect.getmro(kind):
            if base.__module__ != "builtins":
                self.names.add(f"{base.__module__}.{base.__qualname__}")
