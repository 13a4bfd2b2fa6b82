"""Two compositions of one job, compared in everything that a task, a launcher or a plugin can see of them.

``Hydra``'s own answer is the reference: ``Sweep.reference`` composes with a loader that has composed nothing before.
``compare`` takes a whole sweep, because what one job does to the next is half of what can go wrong.
"""

from __future__ import annotations

import copy
import functools
import os
import pickle
import re
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobRuntime
from hydra.types import RunMode
from omegaconf import Container, DictConfig, ListConfig, OmegaConf, open_dict, read_write
from omegaconf.base import Node
from omegaconf.grammar_parser import parse

# Set to "here" while jobs are composed: what `hydra.job.env_copy` may name.
COPIED_VARIABLE = "PARCACHE_TEST_COPIED"
_PATIENCE_S = 60.0
FLAGS = ("struct", "readonly", "allow_objects", "no_deepcopy_set_nodes", "convert", "HYDRA_REMOVE_TOP_LEVEL_DEFAULTS")


class Composer(Protocol):
    """What composes the jobs of a sweep."""

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig: ...


class Sweep:
    """Configs on disk and the master config of a multirun over them, made as Hydra makes it."""

    def __init__(self, folder: Path, files: Mapping[str, str], overrides: Sequence[str] = ()) -> None:
        self.folder = folder
        self.files = dict(files)
        self.overrides = list(overrides)
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("$FOLDER", str(folder)), encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.master = self.loader().load_configuration(
                config_name="config", overrides=self.overrides, run_mode=RunMode.MULTIRUN
            )
        # A launcher has read some of this before it composes the first job: what it said is in the master's cache.
        for key in ("hydra.sweep.dir", "stamp", "serial"):
            outcome(OmegaConf.select, self.master, key)

    def loader(self) -> ConfigLoaderImpl:
        """Return a loader that has loaded nothing yet."""
        return ConfigLoaderImpl(config_search_path=create_config_search_path(str(self.folder)))

    def compose(self, composer: Composer, overrides: Sequence[str]) -> DictConfig | Raised:
        """Compose a job; the list that the caller hands over is the caller's to change afterwards."""
        given = list(overrides)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = outcome(composer.load_sweep_config, self.master, given)
        if given != list(overrides):
            return Raised(((AssertionError, f"the caller's list became {given}", ()),))
        given[:] = ["changed=by,the,caller"]
        return result

    def reference(self, overrides: Sequence[str]) -> DictConfig | Raised:
        """Compose a job with Hydra alone."""
        return self.compose(self.loader(), overrides)

    def __str__(self) -> str:
        files = "".join(f"\n--- {name}\n{text}" for name, text in self.files.items())
        return f"hydra overrides {self.overrides}, files:{files}"


@dataclass(frozen=True)
class Raised:
    """An exception as a value: type, message and plain attributes of it and of its causes, as far as there are."""

    chain: tuple[tuple[type, str, tuple[tuple[str, str], ...]], ...]

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        links = []
        link: BaseException | None = error
        while link is not None and len(links) < 20:
            plain = {name: _where_ended(repr(value)) for name, value in vars(link).items() if _is_plain(value)}
            links.append((type(link), _where_ended(str(link)), tuple(sorted(plain.items()))))
            link = link.__cause__
        return cls(tuple(links))

    def without_texts(self) -> Raised:
        """Return what is the same each time where a message tells what a resolver returned that counts."""
        return Raised(tuple((kind, "", ()) for kind, _, _ in self.chain))

    def __str__(self) -> str:
        return " <- ".join(f"{kind.__name__}: {text!r} {dict(plain)}" for kind, text, plain in self.chain)


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns, or what it raises as a value."""
    try:
        return function(*arguments)
    except Exception as error:  # whatever it is, it is compared
        return Raised.of(error)


# Which call meets the end of the stack depends on how deep the stack was before: Hydra's own answers differ so, too.
_STACK_END = re.compile(r"(maximum recursion depth exceeded)(?: in \w+| while [\w ]+)?")


def _where_ended(message: str) -> str:
    return _STACK_END.sub(r"\1", message)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (str, int, float, bool, type))


# --- One config


def held(node: Node) -> dict[Any, Node]:
    """Return what a node holds by key; what a union wraps has the key None."""
    content = node.__dict__.get("_content")
    if isinstance(content, dict):
        return content
    if isinstance(content, (list, tuple)):
        return dict(enumerate(content))
    return {None: content} if isinstance(content, Node) else {}


def walk(node: Node, path: str = "$") -> Iterator[tuple[str, Node]]:
    """Yield every node of a config, containers before what they hold, unions before what they wrap."""
    yield path, node
    for key, child in held(node).items():
        yield from walk(child, path + ("|" if key is None else f".{key!r}"))


def nodes(config: Node) -> list[tuple[str, Any]]:
    """Return all there is to know about every node: its place, class, types, flags, cache, and value with its type."""
    found = []
    places: dict[int, str] = {}
    for path, node in walk(config):
        metadata = dict(vars(node._metadata))
        cache = {name: {key: _typed(v) for key, v in kept.items()} for name, kept in metadata["resolver_cache"].items()}
        metadata["resolver_cache"] = (type(metadata["resolver_cache"]).__name__, cache)
        metadata["flags"] = dict(metadata["flags"] or {})
        metadata["key"] = _typed(metadata["key"])
        content = node._value()
        if isinstance(content, (Node, dict, list, tuple)):
            value: Any = (type(content), len(content) if isinstance(content, (dict, list, tuple)) else None)
        else:
            value = _typed(content)
        # Two places of one config may share an object only where they do with Hydra.
        owned = {"node": node, "metadata": node._metadata, "flags": node._metadata.flags}
        twins = {name: places[id(part)] for name, part in owned.items() if part is not None and id(part) in places}
        places.update({id(part): path for part in owned.values()})
        others = {
            name: _typed(part)
            for name, part in vars(node).items()
            if name not in ("_metadata", "_parent", "_content", "_val", "_flags_cache")
        }
        effective = {flag: node._get_flag(flag) for flag in FLAGS}
        afresh = {flag: node._get_flag_no_cache(flag) for flag in FLAGS}
        found.append((path, (type(node), value, metadata, others, twins, effective, afresh)))
    return found


def parents(config: Node) -> list[str]:
    """Return the places of the containers that hold a node whose parent is another."""
    return [
        path for path, node in walk(config) for child in held(node).values() if child.__dict__["_parent"] is not node
    ]


def resolved(config: DictConfig) -> list[tuple[str, Any]]:
    """Return the value of every key, or the error that reading it raises: one bad key hides no other."""
    found: list[tuple[str, Any]] = []

    def read(container: Container, path: str) -> None:
        if container._is_none() or container._is_missing() or container._is_interpolation():
            return
        keys = range(len(container)) if not isinstance(container, DictConfig) else list(container)
        for key in keys:
            place = f"{path}.{key!r}"
            node = container._get_node(key)
            if isinstance(node, Container) and not node._is_interpolation() and not node._is_missing():
                read(node, place)
            else:
                found.append((place, outcome(lambda key=key: _plain(container[key]))))

    with in_force(config):
        read(config, "$")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Container):
        return type(value), OmegaConf.get_type(value), _typed(OmegaConf.to_container(value, resolve=True))
    return _typed(value)


def _typed(value: Any) -> Any:
    """Return a value in a form in which 1, 1.0 and True differ, and nan equals itself."""
    if isinstance(value, dict):
        return "dict", [(_typed(key), _typed(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [_typed(item) for item in value]
    return type(value), value if isinstance(value, type) else repr(value)


@contextmanager
def in_force(config: DictConfig) -> Iterator[None]:
    """Let ``${hydra:...}`` resolve against this config."""
    singleton = HydraConfig.instance()
    previous = singleton.cfg
    singleton.cfg = config
    try:
        # Parsing is most of the time that reading takes, and a text parses to the same whoever holds it.
        with mock.patch("omegaconf.base.parse", _parse):
            yield
    finally:
        singleton.cfg = previous


_parse = functools.lru_cache(maxsize=10_000)(parse)


def containers(config: DictConfig) -> list[tuple[str, Any]]:
    """Return the resolved form of each container at the top, or the error that stands against it."""
    with in_force(config):
        return [
            (repr(key), outcome(lambda node=node: _typed(OmegaConf.to_container(node, resolve=True))))
            for key, node in held(config).items()
            if isinstance(node, Container)
        ]


ASPECTS: dict[str, Callable[[DictConfig], Any]] = {
    "nodes": nodes,
    "type": type,  # of what has been touched
    "parents": parents,
    "plain": lambda config: _typed(OmegaConf.to_container(config, resolve=False)),
    "text": OmegaConf.to_yaml,
    "resolved": resolved,
    "resolved containers": containers,
    "nodes once resolved": nodes,  # what resolving left in the cache, and that it left the rest alone
}


def portrait(config: DictConfig) -> dict[str, Any]:
    """Return everything that is compared, as plain data."""
    return {name: outcome(aspect, config) for name, aspect in ASPECTS.items()}


# --- The first thing that is done to a config: it may be the moment at which it comes into being


def _load_and_dump(config: DictConfig) -> Any:
    return nodes(pickle.loads(pickle.dumps(config)))


def _in_force_for_good(config: DictConfig) -> Any:
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(config)
        return HydraConfig.get().job.name
    finally:
        HydraConfig.instance().cfg = before


TOUCHES: dict[str, Callable[[DictConfig], Any]] = {
    "nothing": lambda config: None,
    "deepcopy": lambda config: nodes(copy.deepcopy(config)),
    "pickle": _load_and_dump,
    "copy": lambda config: nodes(copy.copy(config)),
    "attribute": lambda config: str(config.hydra.job.name),
    "item": lambda config: type(config["hydra"]),
    "in": lambda config: ("hydra" in config, "nothing" in config),
    "len": len,
    "list": list,
    "keys": lambda config: list(config.keys()),
    "items": lambda config: [key for key, _ in config.items_ex(resolve=False)],
    "str": str,
    "bool": bool,
    "get": lambda config: config.get("nothing", 1),
    "missing attribute": lambda config: config.nothing,
    "isinstance": lambda config: (isinstance(config, DictConfig), isinstance(config, ListConfig)),
    "class": lambda config: config.__class__,
    "is_config": OmegaConf.is_config,
    "is_struct": OmegaConf.is_struct,
    "is_readonly": OmegaConf.is_readonly,
    "get_type": OmegaConf.get_type,
    "get_cache": lambda config: _typed(dict(OmegaConf.get_cache(config))),
    "select": lambda config: str(OmegaConf.select(config, "hydra.job.name")),
    "is_missing": lambda config: OmegaConf.is_missing(config, "hydra"),
    "missing_keys": OmegaConf.missing_keys,
    "to_yaml": OmegaConf.to_yaml,
    "to_container": lambda config: _typed(OmegaConf.to_container(config)),
    "masked_copy": lambda config: nodes(OmegaConf.masked_copy(config, ["hydra"])),
    "merge": lambda config: nodes(OmegaConf.merge(config, {})),
    "merge into": lambda config: nodes(OmegaConf.merge({}, config)),
    "create": lambda config: nodes(OmegaConf.create(config)),
    "equal": lambda config: config == copy.deepcopy(config),
    "equal to a dict": lambda config: config == {},
    "vars": lambda config: sorted(vars(config)),
    "content": lambda config: list(config.__dict__["_content"]),
    "metadata": lambda config: config._metadata.object_type,
    "set_struct": lambda config: OmegaConf.set_struct(config, False),
    "set_readonly": lambda config: OmegaConf.set_readonly(config, True),
    "assign": lambda config: config.__setitem__("nothing", 1),
    "open_dict": lambda config: _assign_open(config),
    "update": lambda config: OmegaConf.update(config, "hydra.job.num", 3),
    "resolve": lambda config: OmegaConf.resolve(config),
    # Not cleared: then the time would be read anew, at two different moments.
    "set_cache": lambda config: OmegaConf.set_cache(config, OmegaConf.get_cache(config)),
    "set_config": _in_force_for_good,
    "delete": lambda config: _delete(config),
    "parent": lambda config: config._get_parent(),
    "root": lambda config: config.hydra._get_root() is config,
}
QUIET_TOUCHES = ("nothing", "deepcopy", "pickle", "attribute", "in", "list", "str", "isinstance", "content", "to_yaml")


def _assign_open(config: DictConfig) -> None:
    with open_dict(config):
        config.hydra.job.num = 3
        config.nothing = 1


def _delete(config: DictConfig) -> str:
    with read_write(config), open_dict(config):
        del config["hydra"]
    return OmegaConf.to_yaml(config)


def spoil(config: DictConfig) -> None:
    """Change everything that can be changed about a config: values, keys, lists, flags, and the resolvers' cache."""
    OmegaConf.get_cache(config)["spoiled"] = {"by": "a job"}
    for kept in OmegaConf.get_cache(config).values():
        kept["spoiled"] = 1
    for _, node in list(walk(config)):
        node._set_flag(["readonly", "struct"], [False, False])
    for _, node in list(walk(config)):
        if isinstance(node, DictConfig) and isinstance(node.__dict__["_content"], dict):
            for key in list(node.__dict__["_content"]):
                if not isinstance(node._get_node(key), Container):
                    for value in (77, "RED", None, True, 7.5):
                        if outcome(node.__setitem__, key, value) is None:
                            break
            outcome(node.__setitem__, "spoiled", 1)
        elif isinstance(node, ListConfig) and isinstance(node.__dict__["_content"], list):
            for value in (77, "spoiled", {"spoiled": 1}):
                outcome(node.append, value)
    for _, node in list(walk(config)):
        node._set_flag(["readonly", "spoiled"], [True, True])


# --- Two configs


def difference(found: Any, wanted: Any, place: str = "") -> str | None:
    """Return the first difference between two plain values in words, or None."""
    if found == wanted:
        return None
    if isinstance(found, str) and isinstance(wanted, str):
        lines, others = found.splitlines(), wanted.splitlines()
        if lines != others and max(len(lines), len(others)) > 1:
            return difference(lines, others, place)
        return f"{place}: found {found!r}\n    wanted {wanted!r}"
    if type(found) is type(wanted) and isinstance(found, (list, tuple)):
        for number, (one, other) in enumerate(zip(found, wanted, strict=False)):
            if one != other:
                return difference(one, other, f"{place} {_name(one, other) or f'[{number}]'}")
        rest = (found + wanted)[min(len(found), len(wanted))] if not isinstance(found, tuple) else ""
        return f"{place}: found {len(found)} items, wanted {len(wanted)}: {rest}"
    if isinstance(found, dict) and isinstance(wanted, dict) and list(found) == list(wanted):
        return next(difference(found[key], wanted[key], f"{place} {key}") for key in found if found[key] != wanted[key])
    return f"{place}: found {found}\n    wanted {wanted}"


def _name(found: Any, wanted: Any) -> str | None:
    """Return what two items call themselves, if they are pairs with the same name."""
    pairs = isinstance(found, tuple) and isinstance(wanted, tuple) and found and found[:1] == wanted[:1]
    return found[0] if pairs and isinstance(found[0], str) else None


def compare(
    sweep: Sweep,
    composer: Composer,
    jobs: Sequence[Sequence[str]],
    touches: Sequence[str] = QUIET_TOUCHES,
    repeated: int = 2,
) -> list[str]:
    """Compose a sweep's jobs with a composer and with Hydra, and return all differences in words.

    Every job is composed before the first is looked at, and looked at when the process has moved elsewhere; job i is
    first touched by ``touches[i]`` (in turn). Then the first ``repeated`` jobs are spoiled in turn, and neither their
    neighbour nor what was and is composed of the same overrides may notice.
    """
    told: list[str] = []

    def tell(overrides: Sequence[str], subject: str, found: Any, wanted: Any) -> None:
        different = difference(found, wanted)
        if different is not None:
            told.append(f"{list(overrides)}: {subject}:{different}")

    master = nodes(sweep.master)
    found = [sweep.compose(composer, job) for job in jobs]
    twins = [sweep.compose(composer, job) for job in jobs[:repeated]]
    wanted = [sweep.reference(job) for job in jobs]
    unsteady = {
        number
        for number, (job, one, other) in enumerate(zip(jobs, found, wanted, strict=True))
        if isinstance(one, Raised) and isinstance(other, Raised) and one != other and sweep.reference(job) != other
    }

    def heard(number: int, result: Any) -> Any:
        """Return a composition; without its message where Hydra tells another each time (``~serial=1``)."""
        return result.without_texts() if number in unsteady and isinstance(result, Raised) else result

    looks = []
    with _elsewhere():
        for number, job in enumerate(jobs):
            touch = touches[number % len(touches)]
            pair = heard(number, found[number]), heard(number, wanted[number])
            looks.append(_compare_job(*pair, touch, functools.partial(tell, job)))
    for number, twin in enumerate(twins):
        if isinstance(found[number], DictConfig):
            spoil(found[number])
        later = sweep.compose(composer, jobs[number])
        for name, config in (("composed before", twin), ("composed after", later)):
            for aspect, value in _look(heard(number, config)).items():
                tell(jobs[number], f"{name} its twin was spoiled: {aspect}", value, looks[number].get(aspect))
        if number + 1 < len(jobs) and isinstance(found[number + 1], DictConfig) and "nodes" in looks[number + 1]:
            for aspect in ("nodes once resolved", "parents"):
                value = outcome(ASPECTS[aspect], found[number + 1])
                tell(jobs[number + 1], f"when its neighbour was spoiled: {aspect}", value, looks[number + 1][aspect])
    tell([], "the master config has changed", nodes(sweep.master), master)
    return told


def _compare_job(found: Any, wanted: Any, touch: str, tell: Callable[[str, Any, Any], None]) -> dict[str, Any]:
    """Tell the differences of one job, and return how it should look."""
    if isinstance(found, Raised) or isinstance(wanted, Raised):
        tell("outcome", *(str(it) if isinstance(it, Raised) else "a config" for it in (found, wanted)))
        return _look(wanted)
    tell(f"first touch: {touch}", outcome(TOUCHES[touch], found), outcome(TOUCHES[touch], wanted))
    look = _look(wanted)
    for aspect, value in _look(found).items():
        tell(f"{aspect} (first touch: {touch})", value, look[aspect])
    if not _is_endless(look):
        with suppress(_TakesHours):
            with _at_most(_PATIENCE_S):
                equals_itself = outcome(lambda: wanted == copy.deepcopy(wanted))
            tell("equal", outcome(lambda: found == wanted), equals_itself)
    return look


def _is_endless(look: dict[str, Any]) -> bool:
    """Tell whether an interpolation in it leads to itself: OmegaConf then compares two of them for hours."""
    return any("recursion" in str(look[name]) for name in ("resolved", "resolved containers"))


class _TakesHours(BaseException):  # OmegaConf passes it on
    """OmegaConf does not come to an end with a config of its own."""


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise _TakesHours

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _look(result: Any) -> dict[str, Any]:
    return {"outcome": str(result)} if isinstance(result, Raised) else portrait(result)


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Change what a composition reads of its process, for a config that comes into being too late to notice."""
    folder, name = Path.cwd(), JobRuntime().get("name")
    os.chdir("/")
    JobRuntime().set("name", "elsewhere")
    os.environ[COPIED_VARIABLE] = "elsewhere"
    try:
        yield
    finally:
        os.chdir(folder)
        JobRuntime().set("name", name)
        os.environ[COPIED_VARIABLE] = "here"
