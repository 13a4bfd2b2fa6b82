"""Code without a source file: typed at a prompt, into a notebook's cells, or made by exec."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from parcache.errors import UnkeyableCodeError
from parcache.keys.fingerprint import Fingerprinter
from parcache.keys.task import identify
from tests.conftest import Project

SESSION = """
    import abc, collections, enum, functools, logging, math, os, re, typing
    from dataclasses import dataclass, field
    from functools import cached_property, lru_cache, partial
    from math import sqrt
    import numpy as np
    from numpy import exp

    log = logging.getLogger(__name__)
    SCALE = 3
    TABLE = {"a": [1, 2], (0, 1): 5}
    PATTERN = re.compile("a+")
    WEIGHTS = np.arange(6).reshape(2, 3)
    UNUSED = 1
    x = 1
    Alias = typing.Optional[int]
    double = partial(pow, 2)

    class Color(enum.Enum):
        RED = 1
        BLUE = 2

    @dataclass
    class Settings:
        size: int = 1
        names: typing.Optional[list[int]] = None
        more: list = field(default_factory=list)

    class Point(typing.NamedTuple):
        left: int = 4

    class Meta(type):
        def __call__(cls, *args):
            return super().__call__(*args)

    class Base(abc.ABC):
        @abc.abstractmethod
        def value(self): ...

    class Model(Base):
        "A model."
        weight = 1
        def __init__(self, k):
            super().__init__()
            self.k = k
        def value(self): return self.k * self.weight
        @cached_property
        def cached(self): return 5
        @property
        def shown(self): return 6
        @staticmethod
        def fixed(): return 7
        @classmethod
        def made(cls): return cls(8)

    class Other(metaclass=Meta):
        pass

    def make(k):
        def inner(): return k
        return inner

    adder = make(10)

    @lru_cache
    def fibonacci(n): return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    def odd(n): return even(n - 1) if n else False
    def even(n, *, base=True): return odd(n - 1) if n else base

    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args): return function(*args)
        return wrapper

    @decorate
    def wrapped(n): return n + 11

    def guarded(n):
        try:
            n = 1 / n
        except ZeroDivisionError:
            n = 12
        return n

    def unused(): return 13

    def task(cfg):
        "Run."
        from json import dumps
        models = [Model(i) for i in range(3)]
        class Local:
            "Made anew."
            size = 14
        log.info("running")
        if cfg is not None and cfg.x in {"red", "green"}:
            return missing
        return [
            SCALE, TABLE, PATTERN, WEIGHTS, Alias, double(3), Color.RED, Settings(), Point(), Other(), Local.size,
            sum(each.value() for each in models), adder(), fibonacci(3), odd(3), wrapped(1), guarded(0),
            sqrt(4), exp(0), np.sum([1]), math.pi, (lambda n: n + 15)(1), dumps({"x": 16.0}),
        ]
"""


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Return what types cells into a session, as a notebook does: each is compiled under a name of its own."""
    numbers = iter(range(1000))

    def run(*cells: str, into: ModuleType | None = None) -> ModuleType:
        module = ModuleType("session") if into is None else into
        monkeypatch.setitem(sys.modules, "session", module)
        for cell in cells:
            name = f"/tmp/ipykernel_{next(numbers)}/{next(numbers)}.py"
            exec(compile("\n" * next(numbers) + dedent(cell), name, "exec"), vars(module))
        return module

    return run


CHANGED = [
    ("SCALE = 3", "SCALE = 4"),
    ('"a": [1, 2]', '"a": [1, 3]'),
    ("(0, 1): 5", "(0, 2): 5"),
    ('compile("a+")', 'compile("a+", re.I)'),
    (".reshape(2, 3)", ".reshape(3, 2).T"),
    ("typing.Optional[int]\n    double", "typing.Optional[str]\n    double"),
    ("partial(pow, 2)", "partial(pow, 3)"),
    ("RED = 1", "RED = 3"),
    ("size: int = 1", "size: int = 2"),
    ("size: int = 1", "size: str = 1"),
    ("@dataclass\n", "@dataclass(order=True)\n"),
    ("left: int = 4", "left: int = 5"),
    ("return super().__call__(*args)", "return super().__call__()"),
    ("weight = 1", "weight = 2"),
    ("self.k * self.weight", "self.k + self.weight"),
    ("return 5", "return 25"),
    ("return 6", "return 26"),
    ("return 7", "return 27"),
    ("cls(8)", "cls(28)"),
    ("make(10)", "make(30)"),
    ("    @lru_cache\n", ""),
    ("n if n < 2", "n if n <= 2"),
    ("if n else False", "if n else None"),
    ("base=True", "base=1"),
    ("return function(*args)", "return (function(*args),)"),
    ("return n + 11", "return n + 31"),
    ("    n = 12\n", "    n = 32\n"),
    ("except ZeroDivisionError", "except Exception"),
    ("size = 14", "size = 34"),
    ("n + 15", "n + 35"),
    ("16.0", "16"),
    ("from math import sqrt", "from cmath import sqrt"),
    ('"running"', '"runs"'),
    ('"green"', '"blue"'),
    ("math.pi", "math.e"),
    ("from json import dumps", "from pprint import pformat as dumps"),
    ("    x = 1\n", "    missing = 1\n"),
    ("        def value(self): ...", "        def value(self): ...\n        def more(self): ..."),
]


@pytest.mark.parametrize("change", CHANGED, ids=lambda change: re.sub(r"\W+", "-", change[1]))
def test_identify_session_with_another_definition_is_another_task(
    session: Callable[..., ModuleType], change: tuple[str, str]
) -> None:
    """Every definition that the task reaches in its session counts, and so does a name that was not bound before."""
    assert SESSION.count(change[0]) >= 1
    first = identify(session(SESSION).task)
    assert identify(session(SESSION.replace(change[0], change[1], 1)).task) != first
    assert identify(session(SESSION).task) == first


UNCHANGED = [
    ("    x = 1\n", "    x = 2\n"),  # cfg.x is no global
    ("UNUSED = 1", "UNUSED = object()"),
    ("return 13", "return 33"),
    ('"Run."', '"Run it."'),
    ('        "Run."\n', ""),
    ('"A model."', '"The model."'),
    ('"Made anew."', '"Made again."'),
    ("    SCALE = 3\n", "    # a comment\n\n\n    SCALE = 3  # another\n"),
    ("def odd(n): return", "def odd(n):\n        # odd\n        return"),
]


@pytest.mark.parametrize("change", UNCHANGED, ids=lambda change: re.sub(r"\W+", "-", change[1]))
def test_identify_session_that_differs_in_nothing_that_counts_is_the_same_task(
    session: Callable[..., ModuleType], change: tuple[str, str]
) -> None:
    """Comments, docstrings, lines, cell numbers and what the task does not read do not count."""
    assert SESSION.count(change[0]) == 1
    assert identify(session(SESSION).task) == identify(session(SESSION.replace(*change)).task)


def test_identify_edited_cell_is_another_task_and_going_back_is_the_first(session: Callable[..., ModuleType]) -> None:
    """A cell that is run again after an edit replaces what it defined; run as it was, it is what it was."""
    module = session("def helper(x): return x * 2", "def task(cfg): return helper(cfg.x)")
    first = identify(module.task)
    assert identify(session("def helper(x): return x * 3", into=module).task) != first
    assert identify(session("# again\ndef helper(x): return x * 2", into=module).task) == first


@pytest.mark.parametrize(
    ("before", "after"),
    [("return 1", "return 2"), ("'doc'", "'another'")],
)
def test_identify_docstrings_count_where_session_reads_them(
    session: Callable[..., ModuleType], before: str, after: str
) -> None:
    """Where the code reads ``__doc__``, docstrings count."""
    text = "def helper():\n    'doc'\n    return 1\ndef task(cfg): return helper(), helper.__doc__"
    assert identify(session(text).task) != identify(session(text.replace(before, after)).task)


REFUSED = {
    "a lock": ("import threading\nlock = threading.Lock()", "lock", "task.<global lock> carries a _thread.lock"),
    "a generator": ("steps = (i for i in [])", "next(steps)", "task.<global steps> carries a builtins.generator"),
    "a lock in a list": ("import threading\nall_ = [threading.Lock()]", "all_", r"task.<global all_>\[0\] carries a"),
    "the session's names": ("", "globals()", "globals()"),
    "text as code": ("", "eval(cfg.x)", "eval()"),
    "all subclasses": ("class Base: pass", "Base.__subclasses__()", "__subclasses__"),
    "the session as a module": ("import session as own", "own", "module without a file"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_identify_session_without_a_stable_form_is_refused_by_name(
    session: Callable[..., ModuleType], what: str
) -> None:
    """What has no stable form, and what may read any name of the session, is named."""
    before, read, message = REFUSED[what]
    module = session(before, f"def task(cfg): return {read}")
    with pytest.raises(UnkeyableCodeError, match=message.replace("()", r"\(\)")):
        identify(module.task)


def _files(folder: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(folder))


READING = {
    "a function": ("from aside import used", "used()"),
    "a module's function": ("import aside", "aside.used()"),
    "an import inside": ("", "__import__('aside').used()"),
    "an import statement": ("def get():\n    from aside import used\n    return used", "get()()"),
    "a name in text": ("import importlib", "importlib.import_module(cfg)"),
    "a base class": ("from aside import Used\nclass Own(Used): pass", "Own()"),
    "a decorator": ("from aside import wrap\n@wrap\ndef own(): pass", "own()"),
}
ASIDE = "VALUE = 1\ndef used(): return VALUE\nclass Used:\n    a = VALUE\ndef wrap(f):\n    return lambda: (f, VALUE)\n"


@pytest.mark.parametrize("how", READING)
def test_fingerprint_of_a_session_counts_the_files_that_it_reads(
    session: Callable[..., ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """What a session imports counts by its source."""
    before, read = READING[how]

    def digest(value: int) -> str:
        _files(tmp_path, monkeypatch, aside=ASIDE.replace("VALUE = 1", f"VALUE = {value}"))
        module = session(before, f"def task(cfg): return {read}")
        return Fingerprinter(identify(module.task)).fingerprint().digest

    assert len({digest(value) for value in (1, 2)}) == 2
    assert digest(1) == digest(1)


@pytest.mark.parametrize("read", ["used()", "aside.used()"])
def test_fingerprint_of_a_session_leaves_out_what_it_does_not_read_of_a_module(
    session: Callable[..., ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    """A function that is not read does not count, though its module does."""

    def digest(more: str) -> str:
        _files(tmp_path, monkeypatch, aside=ASIDE + more)
        module = session("import aside\nfrom aside import used", f"def task(cfg): return {read}")
        return Fingerprinter(identify(module.task)).fingerprint().digest

    assert digest("") == digest("def unused(): return 1\n")


def test_fingerprint_of_a_session_counts_what_it_has_set_in_a_module(
    session: Callable[..., ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that a session assigns to a module counts where the module's functions read it."""

    def digest(change: str) -> str:
        _files(tmp_path, monkeypatch, aside=ASIDE)
        module = session(f"import aside\n{change}", "def task(cfg): return aside.used()")
        return Fingerprinter(identify(module.task)).fingerprint().digest

    found = [digest(change) for change in ("", "aside.VALUE = 2", "aside.used = lambda: 3", "aside.used = lambda: 4")]
    assert len(set(found)) == 4


CELLS = """
    import sys, types
    import hydra, parcache

    backend, config, *cells = sys.argv[1:]
    session = sys.modules["__main__"] = types.ModuleType("__main__")
    for number, cell in enumerate(cells):
        exec(compile(cell, f"<ipython-input-{number}-{id(cell)}>", "exec"), vars(session))
    with hydra.initialize_config_dir(sys.path[0] + "/conf", version_base=None):
        print("values", parcache.sweep(session.task, config, ["x=1,2"], backend=backend))
"""
HELPER_CELL = "FACTOR = 2\ndef twice(x): return x * FACTOR"
TASK_CELL = """
import os
import helper

def task(cfg):
    with open(os.environ["RUNS"], "a") as file:
        file.write(f"{cfg.x} ")
    return twice(helper.compute(cfg))
"""


def test_sweep_of_cells_hits_in_another_session(project: Project, backend: str) -> None:
    """Two sessions share results; an edited cell is a miss, a comment is not, and neither is what helps elsewhere."""
    project.write(cells=CELLS)

    def run(*cells: str) -> str:
        result = project.run(backend, "config", *cells, script="cells.py").check()
        values = next(line for line in result.out.splitlines() if line.startswith("values"))
        return f"{values}, {result.summary.split(': ')[1][:14]}"

    assert run(HELPER_CELL, TASK_CELL) == "values [20, 40], 0 hits, 2 miss"
    assert run("UNUSED = 1", f"# a comment\n{HELPER_CELL}", TASK_CELL) == "values [20, 40], 2 hits, 0 miss"
    assert run(HELPER_CELL.replace("= 2", "= 3"), TASK_CELL) == "values [30, 60], 0 hits, 2 miss"
    assert run(HELPER_CELL, TASK_CELL) == "values [20, 40], 2 hits, 0 miss"
    project.write(helper="def compute(cfg):\n    return cfg.x\n")
    assert run(HELPER_CELL, TASK_CELL) == "values [2, 4], 0 hits, 2 miss"


MODEL_CELL = "class Model:\n    def __init__(self, k): self.k = k\n    def value(self): return self.k + 1"
BUILD_CELL = "import hydra.utils\ndef task(cfg): return hydra.utils.instantiate(cfg.model).value() * cfg.x"


def test_sweep_whose_config_names_a_class_of_the_session_counts_its_members(project: Project) -> None:
    """``_target_: __main__.Model`` counts as the class that the session holds."""
    project.write(cells=CELLS, conf__model_yaml="x: 1\nmodel: {_target_: __main__.Model, k: 3}\n")

    def run(model: str) -> str:
        return project.run("serial", "model", model, BUILD_CELL, script="cells.py").check().summary

    assert "0 hits, 2 misses" in run(MODEL_CELL)
    assert "2 hits, 0 misses" in run(MODEL_CELL)
    assert "0 hits, 2 misses" in run(MODEL_CELL.replace("+ 1", "+ 2"))


def test_sweep_from_standard_input_and_from_a_prompt_share_results(project: Project) -> None:
    """What is piped into Python and what is typed at its prompt are the same code."""
    program = f"""
import hydra, parcache
def twice(x):
    return x * 2

def task(cfg):
    return twice(cfg.x)

with hydra.initialize_config_dir({str(project.folder / "conf")!r}, version_base=None):
    print("values", parcache.sweep(task, overrides=["x=1,2"]))

"""
    for mode, found in (("-", "0 hits, 2 misses"), ("-i", "2 hits, 0 misses"), ("-", "2 hits, 0 misses")):
        ran = subprocess.run(
            [sys.executable, mode], input=program, capture_output=True, text=True, cwd=project.folder, check=True
        )
        assert "values [2, 4]" in ran.stdout
        assert found in ran.stdout + ran.stderr
