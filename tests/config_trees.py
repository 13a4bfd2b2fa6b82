"""Configs on disk and overrides of them, as users write them and worse: what the property tests of composing draw."""

from __future__ import annotations

import itertools
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Optional, Union
from unittest import mock

import hydra.version
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobRuntime, setup_globals
from hypothesis import strategies as st
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.base import Node

from tests.compositions import COPIED_VARIABLE, held

# --- Structured configs and resolvers


class Color(Enum):
    RED = 1
    GREEN = 2


@dataclass
class Inner:
    w: int = 1
    ratio: float = 0.5
    name: Optional[str] = None  # noqa: UP045 - what OmegaConf reads on every Python


@dataclass
class Typed:
    i: int = 1
    f: float = 0.1
    b: bool = False
    s: str = "s"
    e: Color = Color.RED
    oi: Optional[int] = None  # noqa: UP045
    od: Optional[float] = 1.5  # noqa: UP045
    li: list[int] = field(default_factory=lambda: [1, 2])
    lf: list[float] = field(default_factory=list)
    df: dict[str, float] = field(default_factory=lambda: {"x": 1.0})
    de: dict[Color, int] = field(default_factory=lambda: {Color.RED: 1})
    inner: Inner = field(default_factory=Inner)
    oinner: Optional[Inner] = None  # noqa: UP045
    lin: list[Inner] = field(default_factory=lambda: [Inner(), Inner(w=2)])
    din: dict[str, Inner] = field(default_factory=lambda: {"one": Inner()})
    u: Union[int, str] = 1  # noqa: UP007
    ou: Optional[Union[float, bool]] = None  # noqa: UP007, UP045
    p: Path = Path("a/b")
    data: bytes = b"\x00"
    any: Any = None
    absent: int = MISSING
    ref: str = "${.s}-${.i}"
    iref: int = "${.i}"  # type: ignore[assignment] # an interpolation


@dataclass(frozen=True)
class Frozen:
    i: int = 1
    li: list[int] = field(default_factory=lambda: [1])
    inner: Inner = field(default_factory=Inner)


@dataclass
class Root:
    lr: float = 0.1
    n: int = 3
    tag: Optional[str] = None  # noqa: UP045
    sub: Inner = field(default_factory=Inner)
    xs: list[int] = field(default_factory=lambda: [1, 2])
    model: Any = None
    opt: dict[str, Any] = field(default_factory=dict)
    typed: Typed = field(default_factory=Typed)
    db: Any = None
    stamp: str = "${now:%S-%f}"


@dataclass
class Database:
    driver: str = MISSING
    port: int = 1
    timeout_s: float = 0.5


def sealed() -> DictConfig:
    """Return a config with flags of its own, at the top and below."""
    config = OmegaConf.create({"a": 1, "b": {"c": 2, "d": [1, 2]}, "e": {"f": 1}})
    OmegaConf.set_readonly(config.b, True)
    OmegaConf.set_struct(config, True)
    OmegaConf.set_struct(config.e, False)
    return config


def store_schemas() -> None:
    store = ConfigStore.instance()
    store.store(name="root_schema", node=Root)
    store.store(group="shapes", name="typed", node=Typed)
    store.store(group="shapes", name="frozen", node=Frozen)
    store.store(group="shapes", name="sealed", node=sealed())
    store.store(group="db", name="base_db", node=Database)
    store.store(group="db", name="stored", node={"driver": "s", "port": 5, "defaults": ["_self_"]}, package="db.x")


# Each OmegaConf deprecates the other's name: 2.4 the long one, 2.3 the short one.
register: Callable[..., None] = getattr(
    OmegaConf, "register_new_resolver" if version("omegaconf").startswith("2.3") else "register_resolver"
)


@contextmanager
def surroundings() -> Iterator[None]:
    """Give a process schemas, resolvers and variables for the configs of this module, and take them back."""
    store = ConfigStore.instance()
    schemas = dict(store.repo)
    stored_db, base = dict(schemas.get("db", {})), hydra.version.VersionBase.instance().version_base
    setup_globals()
    JobRuntime().set("name", "app")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 1.4 deprecates what 1.3 needs to be told
        hydra.version.setbase(None)
    store_schemas()
    counter = itertools.count()
    register("double", lambda value: value * 2)
    register("join", lambda *values: "-".join(map(str, values)))
    register("listed", lambda *values: list(values))
    register("fail", lambda: 1 / 0)
    register("serial", lambda: next(counter), use_cache=True)
    register("cached", lambda value: str(value), use_cache=True)
    variables = {COPIED_VARIABLE: "here", "PARCACHE_TEST_A": "one", "PARCACHE_TEST_N": "3"}
    with mock.patch.dict(os.environ, variables):
        yield
    for name in ("root_schema.yaml", "shapes", "db"):
        store.repo.pop(name, None)
    store.repo.update({"db": stored_db} if stored_db else {})
    hydra.version.VersionBase.instance().version_base = base
    OmegaConf.clear_resolvers()
    setup_globals()


# --- Files


@dataclass(frozen=True)
class Tree:
    """The files of a project, its groups with their options, those that it uses, and the overrides of a sweep."""

    files: dict[str, str]
    groups: dict[str, tuple[str, ...]]
    chosen: tuple[str, ...]
    overrides: tuple[str, ...]


GROUPS = {
    "model": ("small", "big", "huge"),
    "opt": ("sgd", "adam"),
    "opt/sched": ("step", "cosine"),
    "db": ("mysql", "pg"),
    "my-set": ("one", "two"),
}
KEYS = ("a", "b", "c", "lr", "n", "x", "xs", "Up", "d-e", "f g", "ключ", "_u", "n1", 1)
PLAIN = (
    *(0, 1, -7, 10**20, 0.1, 1e-3, 1.0, float("inf"), float("nan"), True, False, None, "", "s", "two words", "a,b"),
    *("a: b", "'q'", "\\", "#c", "ü ключ 日本", "1", "1e-3", "true", "null", "???", "~", "line\nbreak", " x "),
    *([], {}, [1, 2, 3], ["a", None, 1.5], [[1], [2, [3]]], [{"a": 1}, {"a": 2, "b": ["x"]}], {1: "i", False: "b"}),
)
INTERPOLATIONS = (
    *("${lr}", "${a}", "${.a}", "${..a}", "${..lr}", "${.x}", "${a.b}", "${xs}", "${xs.0}", "${xs[1]}", "${b.c.a}"),
    *("${model}", "${model.a}", "${opt.lr}", "pre_${lr}", "${lr}_${n}", "${model.${which}}", "${${which}}", "${db}"),
    *("${oc.env:PARCACHE_TEST_A}", "${oc.env:PARCACHE_TEST_NONE,dflt}", "${oc.env:PARCACHE_TEST_NONE}"),
    *("${oc.decode:${oc.env:PARCACHE_TEST_N}}", "${oc.decode:'[1,2]'}", "${oc.select:a,1}", "${oc.select:no.such}"),
    *("${oc.dict.keys:model}", "${oc.dict.values:model}", "${oc.create:{a:1}}", "${double:${lr}}", "${join:${a},${n}}"),
    *("${listed:1,${n}}", "${fail:}", "${cached:${n}}", "${now:%Y}", "${hydra:job.name}", "${hydra:runtime.cwd}"),
    *("${hydra:runtime.choices.model}", "${hydra:job.num}", "${hydra.job.name}", "${hydra:job.override_dirname}"),
    *("${nowhere}", "${nothing:1}", r"\${a}", r"\\${lr}", "${typed.i}", "${typed}", "${typed.inner}"),
)
leaves = st.sampled_from(PLAIN) | st.sampled_from(INTERPOLATIONS)
keys = st.sampled_from(KEYS)


@st.composite
def contents(draw: st.DrawFn, depth: int = 3, least: int = 0) -> dict[Any, Any]:
    """Draw the content of a config, or of a dict in it."""
    made: dict[Any, Any] = {}
    for key in draw(st.lists(keys, min_size=least, max_size=5, unique=True)):
        kind = draw(st.integers(0, 9))
        if kind < 2 and depth > 1:
            made[key] = draw(contents(depth - 1))
        elif kind < 3 and depth > 1:
            made[key] = draw(st.lists(leaves | contents(1), max_size=3))
        else:
            made[key] = draw(leaves)
    return made


def write(content: dict[Any, Any], defaults: Sequence[Any] | None = None, header: str | None = None) -> str:
    """Return a config file."""
    body = {**({} if defaults is None else {"defaults": list(defaults)}), **content}
    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True) if body else ""
    return (f"# @package {header}\n" if header else "") + text


HEADERS = (None, None, None, None, None, "_global_", "_group_", "elsewhere.here", "model", "_group_.sub")
# What an option may bring along: packages below its own, so that it never meets what the primary config chose.
NESTED = (
    *({"/db@back": "pg"}, {"/db@_here_.d": "mysql"}, {"/model@inner_model": "big"}, {"optional /nothing@nn": "x"}),
    *({"/shapes@shape": "typed"}, {"/opt/sched@my_sched": "step"}, {"/db@_global_.glob": "pg"}),
)
HYDRA_NODES: tuple[dict[str, Any], ...] = (
    {"job": {"name": "named"}},
    {"job": {"name": "run_${lr}"}},
    {"sweep": {"dir": "out/${now:%H-%M-%S-%f}", "subdir": "${hydra.job.override_dirname}"}},
    {"sweep": {"subdir": "${hydra:job.num}_${lr}"}, "run": {"dir": "."}},
    {"job": {"env_set": {"ONE": "1", "TWO": "${lr}"}, "env_copy": [COPIED_VARIABLE]}},
    {"job": {"config": {"override_dirname": {"kv_sep": "-", "item_sep": "__", "exclude_keys": ["lr", "n"]}}}},
    {"searchpath": ["file://$FOLDER/extra"]},
    {"searchpath": ["file://$FOLDER/extra", "pkg://hydra.conf"], "verbose": True},
    {"output_subdir": None, "job": {"chdir": True}},
)


@st.composite
def primaries(draw: st.DrawFn, chosen: Sequence[str]) -> str:
    """Draw the primary config of a project that has these groups."""
    schema = draw(st.sampled_from((None, None, "shapes@typed", "shapes@typed", "shapes@more.typed", "root")))
    defaults: list[Any] = []
    for group in chosen:
        option = draw(st.sampled_from((*GROUPS[group] * 4, None, None, None, "???")))
        form = draw(st.sampled_from(("{}",) * 9 + ("optional {}", "{}@where.it", "{}@_global_", "")))
        if form and "/" not in group:
            defaults.append({form.format(group): option})
    if schema != "root" and draw(st.booleans()):
        flagged = draw(st.sampled_from(("frozen", "sealed")))
        defaults.append({f"shapes@{flagged}": flagged})
    if schema and schema != "root":
        defaults.insert(0, {schema: "typed"})
    # Absent, first, last, or anywhere: Hydra puts an absent one first in 1.1 and later, with a warning in between.
    place = draw(st.integers(-2, len(defaults)))
    if place > -2:
        defaults.insert(len(defaults) if place < 0 else place, "_self_")
    if schema == "root":
        defaults.insert(0, "root_schema")
    if draw(st.integers(0, 5)) == 0:
        defaults.append({"optional nothing": "x"})
    if draw(st.integers(0, 5)) == 0:
        defaults.append({"override hydra/job_logging": draw(st.sampled_from(("disabled", "stdout", "none")))})
    content: dict[Any, Any] = {"lr": draw(st.sampled_from((0.1, 1, "${n}"))), "n": 3, "xs": [1, 2]}
    if schema == "root":
        content["sub"] = {"w": draw(st.integers(0, 3))}
    else:
        content = {"which": "lr", **draw(contents(least=1)), **content, "stamp": "${now:%S-%f}", "serial": "${serial:}"}
        if schema == "shapes@typed":
            content["typed"] = {"i": 2, "s": "${stamp}", "inner": {"name": "n"}}
    for number in draw(st.lists(st.integers(0, len(HYDRA_NODES) - 1), max_size=2, unique=True)):
        content["hydra"] = {**content.get("hydra", {}), **HYDRA_NODES[number]}
    header = draw(st.sampled_from((None,) * 8 + ("_global_",)))
    return write(content, defaults if defaults or draw(st.booleans()) else None, header)


HYDRA_CHOICES = (
    *("hydra.job.name=given", "hydra.sweep.dir=out", "hydra.sweep.subdir=${hydra.job.override_dirname}"),
    *("++hydra.job.env_set.THREE=3", "+hydra.job.env_set={FOUR: '4'}", "hydra.verbose=[a,b]"),
    *("hydra/job_logging=disabled", "hydra/hydra_logging=none", "hydra.mode=MULTIRUN"),
)
# What a sweep goes over; of no effect on what its jobs are made of, but for the last ones, which Hydra applies to the
# sweep's own config alone.
SWEPT = (
    *("lr=0.1,0.2", "n=range(3)", "model=small,big", "xs=[1],[2]", "+new=1,2", "which='a,b',c", "opt=glob(*)"),
    *("lr=0.5", "+fresh=1", "model=big"),
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Draw a project."""
    files: dict[str, str] = {}
    chosen = draw(st.lists(st.sampled_from(tuple(GROUPS)), min_size=1, max_size=3, unique=True))
    for group in GROUPS:
        for option in GROUPS[group]:
            simple = group not in chosen
            content = {"a": 1, "name": option} if simple else {"name": option, **draw(contents(2))}
            nested = [] if simple else draw(st.lists(st.sampled_from(NESTED), max_size=1))
            if group == "opt" and draw(st.booleans()):
                nested.append({"sched": "step"})
            if group == "db" and draw(st.booleans()):
                nested = ["base_db"]
                content = {"driver": option, "port": 3306}
            if nested and draw(st.booleans()):
                nested.insert(draw(st.integers(1, len(nested))), "_self_")
            if group == "model" and any("inner_model" in str(item) for item in nested):
                nested = []  # a model in a model without end
            header = None if simple else draw(st.sampled_from(HEADERS))
            files[f"{group}/{option}.yaml"] = write(content, nested or None, header)
    files["extra/my-set/found.yaml"] = write({"a": 3})
    files["config.yaml"] = draw(primaries(chosen))
    overrides = draw(st.lists(st.sampled_from(HYDRA_CHOICES), max_size=2, unique=True))
    overrides += draw(st.lists(st.sampled_from(SWEPT), max_size=2, unique=True))
    return Tree(files, GROUPS, tuple(chosen), tuple(overrides))


# --- Overrides

NUMBERS = ("0", "1", "2", "3", "-1", "0.1", "0.5", "1e-3", "1E5", "1_000", "10", "100000000000000000000", "+1", "007")
# What most keys take: numbers, words and quoted strings, each in all spellings, interpolations, lists and casts.
FINE = (
    *NUMBERS,
    *("inf", "-inf", "nan", "NaN", "Inf", "1.", ".5", "0x10", "1:30", "2020-01-01", "true", "True", "TRUE", "false"),
    *("yes", "on", "off", "null", "Null", "NULL", "None", "a", "RED", "GREEN", "red", "a_b-c", "x/y.z", "/a/b"),
    *("'a b'", '"a b"', "'it\\'s'", '"say \\"x\\""', "'1'", '"true"', "'null'", "''", '""', "'a,b'", "'${lr}'"),
    *("'a\\\\'", r"a\ b", r"a\,b", r"\,", r"\\", r"\\\\", r"a\:b", r"\(x\)", r"\=", "a b c", "  pad  ", "a:b"),
    *("a@b", "'日 本'", "%x", "?", "???", "'???'", "-", "--x", "*", "a*b", "'a\nb'", "'\t'"),
    *("[]", "[1]", "[1,2,3]", "[a,'b c',null]", "[[1],[2,[3]]]", "[{a:1},{b:2}]", "[${lr},2]", "[1.5,null]", "", " "),
    *("int(3.2)", "int('4')", "float(1)", "str(1)", "bool(1)", "str([1])", "json_str({a:1})", "sort([3,1,2])"),
)
# What suits few keys, or none.
ODD = (
    *("{}", "{a:1}", "{a:{b:[1,2]}}", "{a:1,a:2}", "{w:5}", "{w:5,new:1}", "{x:2.5}", "{RED:2}", "{1:2}", "{a:${lr}}"),
    *("{'q r':1}", "1,2", "a,b,c", "[1],[2]", "choice(1,2)", "range(1,3)", "interval(0,1)", "glob(*)", "sort(3,1)"),
    *("tag(t,choice(1,2))", "extend_list(3)", "extend_list(3,4)", "int(1,2)", "int(x)", "nofunc(1)", "[1,2", "{a:1"),
    *("'open", "a)", "]", "${a", "a\\", "${", "$", "${}", "\\${lr}", "${lr }", "int(${n})", "x'y", "it's", "a[0]"),
    *("{a:", "[,]", "(1)", "1 2", r"\$", "~", "a=b", "ключ", "日本", "ü"),
)
FITTING = {
    "IntegerNode": ("0", "5", "-7", "'12'", "1_0", "null", "${n}", "1.0"),
    "FloatNode": ("0", "0.5", "1e-3", "inf", "nan", "'1.5'", "null", "${lr}"),
    "BooleanNode": ("true", "FALSE", "yes", "off", "1", "0", "null"),
    "StringNode": ("a", "1", "1.50", "1e3", "true", "null", "''", "a b", "x_${n}", "007"),
    "EnumNode": ("RED", "GREEN", "1", "2", "null", "'RED'", "Color.RED"),
    "PathNode": ("a/b", "/c", "''", "1", "null"),
    "BytesNode": ("null", "a", "???"),
    "UnionNode": ("1", "a", "1.5", "true", "null", "'1'"),
    "ListConfig": ("[]", "[1]", "[1,2]", "[${n}]", "[[1]]", "null", "${xs}", "???", "[{w:3}]", "[1.5]"),
    "DictConfig": ("{}", "{a:1}", "{w:3}", "null", "${model}", "???", "{x:1}", "1"),
}
alphabet = "ab1.,:'\"\\ ${}[]()=@+~-_/é\n"
# Hydra reads a nested interpolation only in quotes.
interpolations = st.sampled_from([f'"{text}"' if text.count("${") > 1 else text for text in INTERPOLATIONS])
fine = st.sampled_from(FINE) | st.integers(-1000, 1000).map(str) | st.floats().map(repr)
values = st.one_of(
    fine,
    interpolations,
    st.sampled_from(ODD),
    st.text(alphabet, max_size=6),
    st.tuples(st.sampled_from(FINE), st.sampled_from(ODD)).map(lambda pair: "[{},{}]".format(*pair)),
)
HYDRA_OVERRIDES = (
    *("hydra.job.name=other", "hydra.job.name=${lr}", "hydra.sweep.subdir=x_${lr}", "hydra.verbose=true"),
    *("hydra.job.chdir=false", "hydra.job.num=7", "hydra.job.id=x", "hydra.job.nothing=1", "+hydra.job.env_set.A=1"),
    *("hydra.job.env_set.ONE=2", "hydra.job.config.override_dirname.kv_sep=:", "hydra.mode=RUN", "hydra.mode=MULTIRUN"),
    *("hydra.job.config.override_dirname.exclude_keys=[n]", "hydra.job.env_copy=[NO_SUCH_VARIABLE]", "hydra={}"),
    *("hydra/job_logging=none", "hydra/job_logging=missing", "hydra/launcher=basic", "hydra.launcher.x=1"),
    *("hydra=null",),
    *("hydra.searchpath=[file:///nowhere]", "hydra.runtime.cwd=/x", "hydra.aliases.z=lr", "~hydra.job.name"),
    *("hydra.overrides.task=[]", "+hydra.overrides.task=[x]", "hydra.runtime.choices.model=x", "hydra.output_subdir=q"),
    *("hydra.sweep.dir=elsewhere", "hydra/nothing=x", "+hydra/env=x", "hydra.callbacks={}", "hydra_x=1", "hydra.=1"),
)
BROKEN = (
    *("", "=", "=1", "lr", "lr==1", "lr=1=2", "+lr", "~", "~=", "++", "+++lr=1", "lr =1", "lr= 1", " lr=1"),
    *("lr:1", "@"),
    *("a..b=1", ".a=1", "a.=1", "lr@x=1", "lr@x:y=1", "@x=1", "model@=big", "model@:x=big", "/model=big", "model/=big"),
    *("lr=1,2", "lr=[1", "lr='", "xs[0=1", "xs.[0]=1", "xs[]=1", "a b=1", "a,b=1", "$x=1", "${lr}=1", "a[b]=1", "?=1"),
    *("a\\=b=1", "'lr'=1", '"lr"=1', "lr=\x00", "lr\n=1", "--multirun", "-m", "lr=1\n", "LR=1", "Lr=2", "1=1"),
    *("true=1",),
)


def places(config: DictConfig) -> dict[str, str]:
    """Return the dotted keys of everything in the task part of a config, and the class of the node or "readonly"."""
    found: dict[str, str] = {}

    def read(node: Node, path: str) -> None:
        for key, child in held(node).items():
            name = path if key is None else f"{path}{key.name if isinstance(key, Enum) else key}"
            if name != "hydra" and key is not None:
                found[name] = "readonly" if child._get_flag("readonly") else type(child).__name__
                read(child, f"{name}.")

    read(config, "")
    return found


@st.composite
def nasty_overrides(draw: st.DrawFn, tree: Tree, keys: tuple[str, ...]) -> str:
    """Draw one override that is more than a new value for a key that there is."""
    key, value = draw(st.sampled_from(keys)), draw(values)
    group = draw(st.sampled_from(tuple(tree.groups)))
    option = draw(st.sampled_from((*tree.groups[group], "found", "missing", "null", "base_db", "''", "[a]", "1,2")))
    parent, _, last = key.rpartition(".")
    template = draw(
        st.sampled_from(
            (
                *("{group}={option}",) * 4,
                *("+{group}={option}", "++{group}={option}", "~{group}", "~{group}={option}", "{group}@where={option}"),
                *("+{group}@where={option}", "{group}@_global_={option}", "{group}@a:b={option}", "{group}.a={value}"),
                *("+shapes@{parent}new=typed", "+shapes@fresh=frozen", "+db@{group}.deep=stored", "{group}={{a:1}}"),
                *("+{key}={value}", "++{key}={value}", "+new={value}", "++new={value}", "+{key}.new={value}"),
                *("++{key}.new.er={value}", "~{key}", "~{key}={value}", "{key}.nothing={value}", "nothing={value}"),
                *("{upper}={value}", "{parent}[{last}]={value}", "{key}[0]={value}", "{key}.0={value}", "{key}[-1]=1"),
                *("{key}=${{{other}}}", "{key}=[${{{other}}}]", "{key}=x_${{{other}}}", "{other}={value}"),
                *("{key}", "{key}=", "{key}={value},{value}", "{key}:={value}", "{key}@p={value}", "+{key}[0]={value}"),
            )
        )
    )
    return template.format(
        group=group,
        option=option,
        key=key,
        value=value,
        upper=key.upper(),
        parent=parent,
        last=last,
        other=draw(st.sampled_from(keys)),
    )


_SPEAKABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")


@st.composite
def sweeps(draw: st.DrawFn, tree: Tree, kinds: Mapping[str, str], jobs: int) -> list[list[str]]:
    """Draw the override lists of a sweep: most of its jobs differ in the values of the same few keys."""
    everything = tuple(kinds)
    speakable = tuple(key for key in kinds if _SPEAKABLE.fullmatch(key))
    able = tuple(key for key in speakable if kinds[key] != "readonly")
    swept = draw(st.lists(st.sampled_from(able if draw(st.integers(0, 9)) else everything), min_size=1, max_size=3))

    def value(key: str) -> str:
        mood = draw(st.integers(0, 19))
        fitting = st.sampled_from(FITTING.get(kinds[key], FINE))
        return draw(fitting if mood < 13 else fine if mood < 16 else values if mood > 18 else interpolations)

    made = []
    for _ in range(jobs):
        job = [f"{key}={value(key)}" for key in swept]
        kind = draw(st.integers(0, 19))
        if kind >= 13:
            group = draw(st.sampled_from(tree.chosen or tuple(tree.groups)))
            choice = st.sampled_from(tree.groups[group]).map(lambda option, group=group: f"{group}={option}")
            other = st.one_of(
                choice,
                nasty_overrides(tree, everything if kind > 17 else speakable),
                nasty_overrides(tree, speakable),
                st.sampled_from(HYDRA_OVERRIDES),
                st.sampled_from(BROKEN) if kind == 19 else choice,
            )
            for override in draw(st.lists(other, min_size=1, max_size=2)):
                job.insert(draw(st.integers(0, len(job))), override)
            if kind == 18:
                job = draw(st.permutations(job))[:2]
        made.append(job)
    if jobs > 2 and draw(st.booleans()):
        made[-1] = list(made[0])  # the same job again
    return made
