"""The task function as a root: which code it is, and what it carries along."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from parcache.errors import UnkeyableCodeError
from parcache.keys.task import TaskIdentity, identify

pytestmark = pytest.mark.any_hydra

SOURCE = """
    import collections, enum, functools, threading
    from other import wrap

    def task(cfg): return cfg
    def task2(cfg): return cfg
    def add(cfg, x=0, **more): return x
    def make(x):
        def inner(cfg): return x
        return inner
    def make_with_default(x):
        def inner(cfg, *, y=x): return y
        return inner
    first, second = lambda cfg: 1, lambda cfg: 2
    looped = []
    for i in range(2):
        def loop(cfg, i=i): return i
        looped.append(loop)
    wrapped = wrap(task)
    wrapped2 = wrap(task2)
    cached = functools.lru_cache(task)
    class State:
        def __init__(self, x): self.x = x
        def __call__(self, cfg): return self.x
        def method(self, cfg): return self.x
        @classmethod
        def by_class(cls, cfg): return cls
    class Slots:
        __slots__ = ("x", "__hidden")
        def __init__(self, x, hidden=0): self.x, self.__hidden = x, hidden
        def __call__(self, cfg): return self.x
    class Child(State): pass
    Options = collections.namedtuple("Options", "lr")
    class Number(int): pass
    class Real(float):
        def __init__(self, x): self.note = 1
    class Table(dict):
        def __init__(self, *args): super().__init__(*args); self.note = 1
    class Many(list): pass
    class Color(enum.Enum):
        RED = 1
        BLUE = 2
    def make_class(x):
        class Local:
            y = x
            def __call__(self, cfg): return x
            @property
            def z(self): return x
        return Local
    def attributed(x):
        def inner(cfg): return inner.x
        inner.x = x
        return inner
    def chain(length, x):
        for _ in range(length): x = [x]
        return x
    def cycle(back):
        top = []; middle = [top]; leaf = [middle]
        leaf.append((top, middle)[back]); top.append(leaf)
        return top
    class Frozen:
        lock = threading.Lock()
        def __init__(self): self.lock = threading.Lock()
        def __call__(self, cfg): pass
    namespace = {"__name__": __name__}
    exec("def executed(cfg): return 1", namespace)
    executed = namespace["executed"]
    exec("def executed(cfg): return 2", namespace)
    executed2 = namespace["executed"]
"""
OTHER = """
    import functools
    def wrap(f):
        @functools.wraps(f)
        def wrapper(*args): return f(*args)
        return wrapper
"""


@pytest.fixture(scope="module")
def m(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Import a module of tasks from a folder of its own."""
    folder = tmp_path_factory.mktemp("tasks")
    for name, text in {"tasks": SOURCE, "other": OTHER}.items():
        (folder / f"{name}.py").write_text(dedent(text))
    sys.path.insert(0, str(folder))
    yield importlib.import_module("tasks")
    sys.path.remove(str(folder))
    for name in ("tasks", "other"):
        del sys.modules[name]


def partial(m: ModuleType, *args: Any, **keywords: Any) -> Any:
    return m.functools.partial(m.add, *args, **keywords)


DIFFERENT: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "functions": lambda m: (m.task, m.task2),
    "partial argument": lambda m: (partial(m, 1), partial(m, 2)),
    "partial keyword": lambda m: (partial(m, x=1), partial(m, x=2)),
    "partial argument type": lambda m: (partial(m, 1), partial(m, True)),
    "partial and function": lambda m: (partial(m), m.add),
    "partial's function": lambda m: (m.functools.partial(m.task), m.functools.partial(m.task2)),
    "partial's array": lambda m: (partial(m, np.eye(2)), partial(m, np.zeros((2, 2)))),
    "partial's named tuple": lambda m: (partial(m, m.Options(1)), partial(m, m.Options(2))),
    "partial's int subclass": lambda m: (partial(m, m.Many([1])), partial(m, m.Many([2]))),
    "partial's dict subclass": lambda m: (partial(m, m.Table({"a": 1})), partial(m, m.Table({"a": 2}))),
    "partial's default factory": lambda m: (
        partial(m, m.collections.defaultdict(m.task)),
        partial(m, m.collections.defaultdict(m.task2)),
    ),
    "partial's dict order": lambda m: (partial(m, {"a": 1, "b": 2}), partial(m, {"b": 2, "a": 1})),
    "partial's dict key type": lambda m: (partial(m, {1: 0}), partial(m, {"1": 0})),
    "partial's tuple and list": lambda m: (partial(m, (1,)), partial(m, [1])),
    "partial's set": lambda m: (partial(m, {"a", "b"}), partial(m, {"a", "c"})),
    "partial's enum": lambda m: (partial(m, m.Color.RED), partial(m, m.Color.BLUE)),
    "partial's class": lambda m: (partial(m, m.State), partial(m, m.Child)),
    "partial's module": lambda m: (partial(m, sys), partial(m, m)),
    "partial's path": lambda m: (partial(m, Path("a")), partial(m, "a")),
    "partial's cycle": lambda m: (partial(m, m.cycle(0)), partial(m, m.cycle(1))),
    "closure": lambda m: (m.make(1), m.make(2)),
    "closure of functions": lambda m: (m.make(m.task), m.make(m.task2)),
    "nested default": lambda m: (m.make_with_default(1), m.make_with_default(2)),
    "lambdas on one line": lambda m: (m.first, m.second),
    "default from a loop": lambda m: (m.looped[0], m.looped[1]),
    "wrapped": lambda m: (m.wrapped, m.wrapped2),
    "wrapper and wrapped": lambda m: (m.wrapped, m.task),
    "cached": lambda m: (m.cached, m.functools.lru_cache(m.task2)),
    "function attribute": lambda m: (m.attributed(1), m.attributed(2)),
    "instance": lambda m: (m.State(1), m.State(2)),
    "instance class": lambda m: (m.State(1), m.Child(1)),
    "instance array": lambda m: (m.State(np.array([1])), m.State(np.array([1.0]))),
    "instance of instances": lambda m: (m.State(m.State(1)), m.State(m.State(2))),
    "slots": lambda m: (m.Slots(1), m.Slots(2)),
    "hidden slot": lambda m: (m.Slots(1, 1), m.Slots(1, 2)),
    "bound method": lambda m: (m.State(1).method, m.State(2).method),
    "class method": lambda m: (m.State.by_class, m.Child.by_class),
    "made by exec": lambda m: (m.executed, m.executed2),
    "partial of exec": lambda m: (m.functools.partial(m.executed), m.functools.partial(m.executed2)),
    "closure over exec": lambda m: (m.make(m.executed), m.make(m.executed2)),
    "partial's dict key": lambda m: (partial(m, {(1, 2): 1}), partial(m, {(1, 3): 1})),
    "local class": lambda m: (m.make_class(1)(), m.make_class(2)()),
    "local class as value": lambda m: (partial(m, m.make_class(1)), partial(m, m.make_class(2))),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_identify_other_state_or_code_another_form(m: Any, name: str) -> None:
    """Two tasks that can return different results have different forms."""
    first, second = DIFFERENT[name](m)
    assert identify(first).form != identify(second).form


SAME: dict[str, Callable[[Any], Any]] = {
    "function": lambda m: m.task,
    "partial": lambda m: partial(m, 1, a={"b": {"z", "y", "x"}}),
    "closure": lambda m: m.make([1, m.task]),
    "instance": lambda m: m.State({"a": np.arange(3)}),
    "slots": lambda m: m.Slots(1),
    "method": lambda m: m.State(1).method,
    "local class": lambda m: m.make_class(1)(),
    "enum": lambda m: partial(m, m.Color.RED),
    "named tuple": lambda m: partial(m, m.Options(1)),
    "made by exec": lambda m: m.executed,
    "scalar": lambda m: partial(m, np.float64(0.1)),
    "cycle": lambda m: partial(m, m.cycle(0)),
}


@pytest.mark.parametrize("name", SAME)
def test_identify_made_again_same_form(m: Any, name: str) -> None:
    """A task that is made again in the same way has the same form."""
    assert identify(SAME[name](m)) == identify(SAME[name](m))


REFUSED: dict[str, Callable[[Any], Any]] = {
    "lock": lambda m: m.Frozen(),
    "generator": lambda m: partial(m, (i for i in [])),
    "object array": lambda m: partial(m, np.array([object()])),
    "masked array": lambda m: partial(m, np.ma.array([1, 2])),
    "matrix": lambda m: partial(m, np.ma.array([1]).view(np.matrix)),
    "int subclass": lambda m: partial(m, m.Number(1)),
    "float subclass with state": lambda m: partial(m, m.Real(1)),
    "too deep": lambda m: partial(m, m.chain(100, 1)),
    "dict key": lambda m: partial(m, {m.Number(1): 1}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_identify_no_stable_form_refused(m: Any, name: str) -> None:
    """A task whose code or state has no stable form is refused."""
    with pytest.raises(UnkeyableCodeError):
        identify(REFUSED[name](m))


def test_identify_function_by_exec_counts_its_module() -> None:
    """Whatever code of a module has made a function by exec counts."""
    namespace: dict[str, Any] = {"__name__": __name__}
    exec("def task(cfg): return 1", namespace)
    assert (__name__, "") in identify(namespace["task"]).roots


def test_identify_wrapper_both_modules_count(m: Any) -> None:
    """Of a wrapped task, the wrapper's module counts and the wrapped one's."""
    assert {"tasks", "other"} <= {module for module, _ in identify(m.wrapped).roots}


@pytest.mark.parametrize("name", ["State", "Child"])
def test_identify_instance_modules_of_all_bases_count(m: Any, name: str) -> None:
    """The modules of an instance's class and its bases count."""
    assert ("tasks", name) in identify(getattr(m, name)(1)).roots


def array_form(m: Any, value: Any) -> TaskIdentity:
    return identify(partial(m, value))


def test_identify_array_and_its_transpose_differ(m: Any) -> None:
    """An array and its transpose are two values, though they share their memory."""
    array = np.arange(6).reshape(2, 3)
    square = np.arange(4).reshape(2, 2)
    assert array_form(m, array) != array_form(m, array.T)
    assert array_form(m, square) != array_form(m, square.T)


def test_identify_view_counts_by_its_content(m: Any) -> None:
    """A view counts as what it shows, not as what lies beneath."""
    array = np.arange(10)
    assert array_form(m, array[2:5]) == array_form(m, np.array([2, 3, 4]))
    assert array_form(m, array[2:5]) != array_form(m, array[3:6])


def test_identify_array_dtype_shape_and_fields_count(m: Any) -> None:
    """The type, the shape and the field names of an array count."""
    forms = [
        array_form(m, np.zeros(2, kind)).form
        for kind in ("i4", "u4", ">i4", "f4", [("a", "i2"), ("b", "i2")], [("a", "i2"), ("c", "i2")], "M8[s]", "M8[D]")
    ]
    forms += [array_form(m, np.zeros((2, 1), "i4")).form, array_form(m, np.float32(0)).form]
    assert len(set(forms)) == len(forms)


def test_identify_name_is_module_and_qualified_name(m: Any) -> None:
    """A task goes by its module and qualified name, a partial by its function's."""
    assert identify(m.functools.partial(m.task)).name == "tasks:task"


class _Proxy:
    """Like a proxy that stands for what is not there yet."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"working outside of a context: {name}")


PROXY = _Proxy()


def _uses_a_proxy(cfg: Any) -> Any:
    return PROXY, cfg


def test_identify_task_with_a_global_that_refuses_to_be_looked_at() -> None:
    """No attribute of the user's objects is asked for by __getattr__."""
    assert identify(_uses_a_proxy).name.endswith(":_uses_a_proxy")


SHAPES = {
    "plain": "X = K",
    "partial": "def f(k): return k\nX = functools.partial(f, k=K)",
    "partial argument": "def f(k): return k\nX = functools.partial(f, K)",
    "closure": "def make(k):\n    def f(): return k\n    return f\nX = make(K)",
    "default": "def X(k=K): return k",
    "keyword default": "def X(*, k=K): return k",
    "bound method": "class S:\n    def __init__(self, k): self.k = k\n    def f(self): return self.k\nX = S(K).f",
    "namespace": "X = types.SimpleNamespace(k=K)",
    "arguments": "X = argparse.Namespace(k=[K])",
    "named tuple": "P = collections.namedtuple('P', 'k')\nX = P(K)",
    "ordered dict": "X = collections.OrderedDict(k=K)",
    "decimal": "X = decimal.Decimal(K)",
    "date": "X = datetime.date(2020, 1, K)",
    "numpy scalar": "X = numpy.float64(K)",
    "array": "X = numpy.full(3, K)",
    "array in a dict": "X = {'a': numpy.full(3, K)}",
    "list of instances": "class S:\n    def __init__(self, k): self.k = k\nX = [S(K)]",
    "dict with a function": "def f(): return 1\nX = {'f': f, 'k': K}",
    "instance in an instance": "class S:\n    def __init__(self, k): self.k = k\nX = S(S(K))",
    "wrapped": "def f(k=K): return k\nX = functools.lru_cache(f)",
    "key of an enum": "class M(enum.Enum):\n    A = 3\n    B = 4\nX = {M(K): 1}",
    "set of an enum": "class M(enum.Enum):\n    A = 3\n    B = 4\nX = {M(K)}",
    "key that is a dataclass": "@dataclasses.dataclass(frozen=True)\nclass P:\n    k: int\nX = {P(K): abs}",
    "set of dataclasses": "@dataclasses.dataclass(frozen=True)\nclass P:\n    k: int\nX = {P(K)}",
    "slots": "class S:\n    __slots__ = ('k', 'empty')\n    def __init__(self, k): self.k = k\nX = S(K)",
    "subclass of a number": "class N(int): pass\nX = N(K)",
    "deque": "X = collections.deque([K])",
    "path": "X = pathlib.Path(f'r{K}')",
    "range": "X = range(K)",
    "pattern": "X = re.compile('a' * K)",
    "bytearray": "X = bytearray(b'a' * K)",
    "mapping proxy": "X = types.MappingProxyType({'a': K})",
}
# What cannot be asked for anything, or answers with nonsense.
HARD = {
    "dead proxy": "class A: pass\na = A()\nX = weakref.proxy(a)\ndel a",
    "dict that is none": "class A:\n    __dict__ = property(lambda self: {'a': 1})\nX = A()",
    "attributes of any type": "class A: pass\nX = A()\nX.__dict__[1] = X.__dict__['a'] = 2",
    "namespace of any type": "X = types.SimpleNamespace()\nX.__dict__[1] = X.__dict__['a'] = 2",
    "class that raises": "class A:\n    @property\n    def __class__(self): raise ValueError\nX = A()",
}


IMPORTS = (
    "import argparse, collections, dataclasses, datetime, decimal, enum, functools, os, pathlib, re, types, weakref\n"
    "import numpy\n"
)


@pytest.mark.parametrize("shape", HARD)
def test_identify_takes_what_raises_when_it_is_asked(shape: str, tmp_path: Path, monkeypatch: Any) -> None:
    """A global that cannot be looked into costs the task nothing but its value."""
    (tmp_path / "hard.py").write_text(f"{IMPORTS}{HARD[shape]}\ndef task(cfg): return X\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hard", raising=False)
    assert identify(importlib.import_module("hard").task).form
    del sys.modules["hard"]


@pytest.mark.parametrize("shape", SHAPES)
def test_identify_counts_what_globals_hold_in_any_shape(shape: str, tmp_path: Path, monkeypatch: Any) -> None:
    """The same source with another value in a global is another task, and with the same value the same."""
    source = f"{IMPORTS}K = int(os.environ['K'])\n{SHAPES[shape]}\ndef task(cfg): return X\n"
    (tmp_path / "holding.py").write_text(source)

    def form(value: str) -> bytes:
        monkeypatch.setenv("K", value)
        spec = importlib.util.spec_from_file_location("holding", tmp_path / "holding.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "holding", module)
        spec.loader.exec_module(module)
        return identify(module.task).form

    assert form("3") == form("3")
    assert form("3") != form("4")
