"""The audit of one job: whatever first-party code runs and is not in its closure is named, and nothing else."""

from __future__ import annotations

import cProfile
import importlib.util
import py_compile
import sys
import threading
from collections.abc import Callable, Iterator
from operator import methodcaller
from pathlib import Path
from textwrap import dedent
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from parcache.keys.code import WHOLE
from parcache.model import Trace
from parcache.run.audit import Auditor, closure_of
from parcache.run.tracing import Tracer
from parcache.run.unit import Brief
from parcache.run.watch import Watch
from parcache.store.paths import StorePaths
from parcache.store.store import Store
from tests.audits import MECHANISMS, fingerprint

pytestmark = pytest.mark.any_hydra


@pytest.fixture(params=MECHANISMS)
def mechanism(request: pytest.FixtureRequest) -> Iterator[str]:
    """Name each way of seeing code; without ``sys.monitoring`` there are no tool ids, as there are none here."""
    monitoring: Any = getattr(sys, "monitoring", None)
    taken = []
    if request.param == "profile" and monitoring is not None:
        taken = [tool for tool in range(6) if monitoring.get_tool(tool) is None]
    for tool in taken:
        monitoring.use_tool_id(tool, "taken")
    yield str(request.param)
    for tool in taken:
        monitoring.free_tool_id(tool)


@pytest.fixture
def auditor(mechanism: str) -> Auditor:
    return Auditor(Tracer())


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """A function that writes a module's text and imports it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def load(text: str, name: str = "subject") -> ModuleType:
        (tmp_path / f"{name}.py").write_text(dedent(text))
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield load
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def run(auditor: Auditor, subject: Any, files: dict[Path, tuple[str, ...]], task: str = "run") -> Trace:
    """Call a function as a worker does, and return what the audit saw."""
    brief = Brief(Store(StorePaths("unused")), None, (), {}, {}, closure=closure_of(fingerprint(files)))
    watch = Watch(None, brief, auditor)
    watch.call(methodcaller(task), subject)
    assert watch.trace is not None
    return watch.trace


def names(trace: Trace) -> list[str]:
    assert trace.problem == ""
    return sorted(f"{stray.module}:{stray.name}" for stray in trace.strays)


# A module, the definitions that its closure holds besides `run`, and what runs outside them when `run` is called.
CASES: dict[str, tuple[str, tuple[str, ...], list[str]]] = {
    "function": ("def run(): hidden()\ndef hidden(): pass", (), ["hidden"]),
    "function_that_counts": ("def run(): helper()\ndef helper(): pass", ("helper",), []),
    "generator": ("def run(): list(hidden())\ndef hidden(): yield 1", (), ["hidden"]),
    "generator_started_before": (
        "def hidden():\n    while True: yield 1\nG = hidden()\nnext(G)\ndef run(): next(G)",
        ("G",),
        ["hidden"],
    ),
    "coroutine": (
        "import asyncio\ndef run(): asyncio.run(hidden())\nasync def hidden(): await asyncio.sleep(0)",
        (),
        ["hidden"],
    ),
    "async_generator": (
        "import asyncio\ndef run():\n    async def main():\n        async for _ in hidden(): pass\n"
        "    asyncio.run(main())\nasync def hidden(): yield 1",
        (),
        ["hidden"],
    ),
    "lambda_of_a_global": ("hidden = lambda: 1\ndef run(): hidden()", (), ["<lambda>"]),
    "lambda_of_a_global_that_counts": ("helper = lambda: 1\ndef run(): helper()", ("helper",), []),
    "lambda_in_a_dict": ("TABLE = {\n  'a': lambda: 1,\n}\ndef run(): TABLE['a']()", (), ["<lambda>"]),
    "nested_function": ("def run():\n    def inner(): return [x for x in (1, 2)]\n    inner()", (), []),
    "closure_factory": (
        "def make():\n    def made(): pass\n    return made\nF = make()\ndef run(): F()",
        ("F",),
        ["make.<locals>.made"],
    ),
    "decorator": (
        "def deco(f):\n    def wrapper(): return f()\n    return wrapper\n@deco\ndef run():\n    pass",
        (),
        ["deco.<locals>.wrapper"],
    ),
    "decorated_function": (
        "import functools\n@functools.lru_cache\n@functools.wraps(print)\ndef helper():\n    pass\ndef run(): helper()",
        ("helper",),
        [],
    ),
    "property": ("class A:\n    @property\n    def p(self): return 1\ndef run(): A().p", (), ["A.p"]),
    "method_beside_one_that_counts": (
        "class A:\n    def f(self): self.g()\n    def g(self): pass\ndef run(): A().f()",
        ("A.f",),
        ["A.g"],
    ),
    "metaclass": (
        "class M(type):\n    def __call__(cls): return 1\nclass A(metaclass=M): pass\ndef run(): A()",
        ("A",),
        ["M.__call__"],
    ),
    "descriptor": (
        "class D:\n    def __get__(self, a, b): return 1\nclass A:\n    d = D()\ndef run(): A().d",
        ("A",),
        ["D.__get__"],
    ),
    "operator": ("class A:\n    def __add__(self, o): return 1\ndef run(): A() + A()", (), ["A.__add__"]),
    "subclass_hook": (
        "class A:\n    def __init_subclass__(cls): pass\ndef run():\n    class B(A): pass",
        (),
        ["A.__init_subclass__"],
    ),
    "class_in_a_function": (
        "def run(): hidden()\ndef hidden():\n    class Local:\n        x = [i for i in (1,)]",
        (),
        [
            "hidden",
            "hidden.<locals>.Local",
            *(["hidden.<locals>.Local.<listcomp>"] if sys.version_info < (3, 12) else []),
        ],
    ),
    "singledispatch": (
        "import functools\n@functools.singledispatch\ndef f(x): pass\n"
        "@f.register\ndef _(x: int): pass\ndef run(): f(1)",
        ("f",),
        ["_"],
    ),
    "context_manager": (
        "import contextlib\n@contextlib.contextmanager\ndef hidden(): yield\ndef run():\n    with hidden(): pass",
        (),
        ["hidden"],
    ),
    "default_factory": (
        "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: list = dataclasses.field(\n"
        "        default_factory=lambda: [])\ndef run(): A()",
        (),
        ["A.<lambda>"],
    ),
    "thread": (
        "import threading\ndef run():\n    t = threading.Thread(target=hidden)\n    t.start()\n    t.join()\n"
        "def hidden(): pass",
        (),
        ["hidden"],
    ),
    "pool_of_threads": (
        "from concurrent.futures import ThreadPoolExecutor\ndef run():\n    with ThreadPoolExecutor(2) as pool:\n"
        "        list(pool.map(hidden, [1, 2]))\ndef hidden(x): pass",
        (),
        ["hidden"],
    ),
    "call_made_by_a_library": ("def run(): sorted([2, 1], key=hidden)\ndef hidden(x): return x", (), ["hidden"]),
    "callback_given_to_a_library": (
        "import re\ndef run(): re.sub('a', hidden, 'aa')\ndef hidden(m): return 'b'",
        (),
        ["hidden"],
    ),
    "function_called_by_code_made_of_text": ("def run(): exec('hidden()')\ndef hidden(): pass", (), ["hidden"]),
    "code_under_the_guard": (
        "HOOKS = []\nif True:\n    HOOKS.append(\n        lambda: 1)\ndef run(): HOOKS[0]()",
        ("HOOKS",),
        ["<lambda>"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_audit_of_a_job_names_what_runs_outside_its_closure(
    auditor: Auditor, load: Callable[..., ModuleType], case: str
) -> None:
    """Every piece of code that starts and lies in no definition of the closure is a stray, by its qualified name."""
    text, counted, strays = CASES[case]
    module = load(text)
    trace = run(auditor, module, {Path(str(module.__file__)): ("run", *counted)})
    assert names(trace) == sorted(f"subject:{name}" for name in strays)


def test_audit_stray_says_where_it_lies_and_who_called_it(auditor: Auditor, load: Callable[..., ModuleType]) -> None:
    """A stray has the file and line of its definition, and those of the first call."""
    module = load("def run():\n    hidden()\n\n\ndef hidden(): pass\n")
    path = str(module.__file__)
    (stray,) = run(auditor, module, {Path(path): ("run",)}).strays
    assert (stray.module, stray.name, stray.path, stray.line) == ("subject", "hidden", path, 5)
    assert stray.caller == f"{path}:2"
    assert str(stray) == f"subject:hidden ({path}:5), called from {path}:2"


def test_audit_of_a_whole_module_reports_nothing_of_it(auditor: Auditor, load: Callable[..., ModuleType]) -> None:
    """Where all of a module counts, every line of it does."""
    module = load("def run(): hidden()\n" + "\n" * 50 + "def hidden(): pass\n")
    assert names(run(auditor, module, {Path(str(module.__file__)): (WHOLE,)})) == []


def test_audit_of_an_import_names_modules_and_functions_that_do_not_count(
    auditor: Auditor, load: Callable[..., ModuleType], tmp_path: Path
) -> None:
    """A module imported by the job is a stray with all that it runs, unless its file is among the sources."""
    (tmp_path / "known.py").write_text(
        "def make(): return 1\nclass Unused:\n    x = tuple(i for i in [1])\nV = make()\n"
    )
    (tmp_path / "unknown.py").write_text("import known\nclass C: pass\n")
    module = load("def run():\n    import unknown\n")
    sources = {Path(str(module.__file__)): ("run",), tmp_path / "known.py": ("V",)}
    assert names(run(auditor, module, sources)) == ["known:make", "unknown:<module>", "unknown:C"]


def test_audit_of_a_later_job_remembers_what_an_import_has_run(
    auditor: Auditor, load: Callable[..., ModuleType], tmp_path: Path
) -> None:
    """What an earlier job's import executed is in force for later ones: a stray of theirs too, unless it counts."""
    (tmp_path / "lazy.py").write_text("def patch(): pass\npatch()\n")
    module = load("def run():\n    import lazy\n    hidden()\ndef hidden(): pass\ndef other(): pass\n")
    here, lazy = Path(str(module.__file__)), tmp_path / "lazy.py"
    first = run(auditor, module, {here: ("run",), lazy: ()})
    assert names(first) == ["lazy:patch", "subject:hidden"]
    assert names(run(auditor, module, {here: ("other",), lazy: ()}, "other")) == ["lazy:patch"]
    assert names(run(auditor, module, {here: ("other",), lazy: ("patch",)}, "other")) == []


def test_audit_of_what_arrived_names_what_the_closure_has_called(
    auditor: Auditor, load: Callable[..., ModuleType], tmp_path: Path
) -> None:
    """Of what a worker ran before its jobs, a stray is what a closure's code called or what lies in its files."""
    (tmp_path / "patching.py").write_text("def patch(): deeper()\ndef deeper(): pass\n")
    (tmp_path / "plugin.py").write_text("def register(): pass\nregister()\n")
    with auditor.arriving():
        module = load("import patching\npatching.patch()\ndef register(): pass\nregister()\ndef run(): pass\n")
        importlib.import_module("plugin")
    trace = run(auditor, module, {Path(str(module.__file__)): ("run",)})
    expected = ["patching:<module>", "patching:deeper", "patching:patch", "subject:register"]
    assert names(trace) == expected


def test_audit_of_equal_code_in_two_files_tells_them_apart(
    auditor: Auditor, load: Callable[..., ModuleType], tmp_path: Path
) -> None:
    """Two files whose code objects are equal are two files."""
    text = "def run(): pass\n"
    first, second = load(text, "first"), load(text, "second")
    assert first.run.__code__ == second.run.__code__ or sys.version_info >= (3, 13)

    def both() -> None:
        first.run()
        second.run()

    trace = run(auditor, SimpleNamespace(run=both), {Path(str(first.__file__)): ("run",), Path(__file__): (WHOLE,)})
    assert names(trace) == ["second:run"]


def test_audit_of_code_made_of_text_counts_it_and_names_it_not(
    auditor: Auditor, load: Callable[..., ModuleType], tmp_path: Path
) -> None:
    """Code without a file, or compiled under a template's name, is counted; a notebook's cell is somebody's code."""
    template = tmp_path / "page.html"
    template.write_text("<p>")
    module = load(
        f"""
        def run():
            for name in ("<string>", {str(template)!r}, "/tmp/ipykernel_7/12.py", "<ipython-input-3-ab>"):
                space = {{"__name__": "__main__"}}
                exec(compile("def f(): pass", name, "exec"), space)
                space["f"]()
        """
    )
    trace = run(auditor, module, {Path(str(module.__file__)): ("run",)})
    assert trace.made == 4  # a body and a function of two
    assert {stray.path for stray in trace.strays} == {"/tmp/ipykernel_7/12.py", "<ipython-input-3-ab>"}


def test_audit_of_a_module_without_source_goes_by_its_bytecode(
    auditor: Auditor, load: Callable[..., ModuleType], tmp_path: Path
) -> None:
    """A module of bytecode alone keeps its source's name, which is not there: it is known by where it lies."""
    source = tmp_path / "elsewhere" / "bare.py"
    source.parent.mkdir()
    source.write_text("def run(): pass\n")
    py_compile.compile(str(source), str(tmp_path / "bare.pyc"), doraise=True)
    source.unlink()
    importlib.invalidate_caches()
    module = importlib.import_module("bare")
    assert names(run(auditor, module, {tmp_path / "bare.pyc": (WHOLE,)})) == []
    (stray,) = run(auditor, module, {Path(__file__): ()}).strays
    assert stray.path == str(tmp_path / "bare.pyc")
    del sys.modules["bare"]


def test_audit_of_installed_code_and_of_parcache_names_neither(auditor: Auditor) -> None:
    """The standard library, installed packages and parcache itself are in no closure and no strays."""

    def task() -> None:
        import json

        json.loads("[1]")
        pytest.approx(1.0)
        closure_of(fingerprint({}))

    assert {stray.path for stray in run(auditor, SimpleNamespace(run=task), {}).strays} == {
        __file__,
        str(Path(__file__).parent / "audits.py"),
    }


def test_audit_of_a_job_that_raises_is_kept(auditor: Auditor, load: Callable[..., ModuleType]) -> None:
    """What ran before a failure is named."""
    module = load("def run():\n    hidden()\n    raise KeyError('no')\ndef hidden(): pass\n")
    closure = closure_of(fingerprint({Path(str(module.__file__)): ("run",)}))
    watch = Watch(None, Brief(Store(StorePaths("unused")), None, (), {}, {}, closure=closure), auditor)
    with pytest.raises(KeyError):
        watch.call(methodcaller("run"), module)
    assert watch.trace is not None
    assert names(watch.trace) == ["subject:hidden"]


def test_audit_of_each_job_starts_afresh(auditor: Auditor, load: Callable[..., ModuleType]) -> None:
    """The same code is seen again in every job."""
    module = load("def run(): hidden()\ndef hidden(): pass\n")
    sources = {Path(str(module.__file__)): ("run",)}
    assert [names(run(auditor, module, sources)) for _ in range(3)] == [["subject:hidden"]] * 3


def test_audits_of_two_jobs_at_once_each_see_everything(auditor: Auditor, load: Callable[..., ModuleType]) -> None:
    """Jobs that share a process share what is seen: rather reported of both than of neither."""
    module = load("def run(): hidden()\ndef hidden(): pass\n")
    closure = closure_of(fingerprint({Path(str(module.__file__)): ("run",)}))
    with auditor.tracing(closure) as outer:
        module.run()
        with auditor.tracing(closure) as inner:
            module.run()
    for recording in (outer, inner):
        assert names(auditor.trace(closure, recording)) == ["subject:hidden"]


def test_audit_leaves_another_profile_function_in_force(auditor: Auditor, load: Callable[..., ModuleType]) -> None:
    """A profile function that is set goes on seeing calls, on new threads too, and is in place afterwards."""
    here = threading.get_ident()
    seen: set[tuple[bool, str]] = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        seen.add((threading.get_ident() == here, frame.f_code.co_name))

    module = load(
        "import threading\ndef run():\n    t = threading.Thread(target=hidden, name='another')\n    t.start()\n"
        "    t.join()\n    hidden()\ndef hidden(): pass\n"
    )
    before = sys.getprofile(), threading.getprofile()
    sys.setprofile(note)
    threading.setprofile(note)
    try:
        trace = run(auditor, module, {Path(str(module.__file__)): ("run",)})
        after = sys.getprofile(), threading.getprofile()
    finally:
        sys.setprofile(before[0])
        threading.setprofile(before[1])  # type: ignore[arg-type] # None takes it away
    assert names(trace) == ["subject:hidden"]
    assert after == (note, note)
    assert {(True, "hidden"), (False, "hidden")} <= seen


def test_audit_leaves_cprofile_in_force(load: Callable[..., ModuleType]) -> None:
    """A profiler made in C is on again afterwards, at the latest."""
    module = load("def run(): hidden()\ndef hidden(): pass\ndef later(): pass\n")
    profile = cProfile.Profile()
    profile.enable()
    try:
        trace = run(Auditor(Tracer()), module, {Path(str(module.__file__)): ("run",)})
        module.later()
    finally:
        profile.disable()
    assert names(trace) == ["subject:hidden"]
    assert "later" in {getattr(item.code, "co_name", "") for item in profile.getstats()}


def test_audit_gives_back_what_it_took(auditor: Auditor, load: Callable[..., ModuleType]) -> None:
    """Afterwards no tool id is taken and no profile function set that was not before."""

    def state() -> tuple[Any, ...]:
        monitoring: Any = getattr(sys, "monitoring", None)
        tools = [monitoring.get_tool(tool) for tool in range(6)] if monitoring is not None else []
        return sys.getprofile(), threading.getprofile(), tools

    before = state()
    run(auditor, load("def run(): pass\n"), {})
    assert state() == before


def test_audit_of_a_job_with_a_profiler_of_its_own_says_what_it_missed(
    auditor: Auditor, mechanism: str, load: Callable[..., ModuleType]
) -> None:
    """A job that takes the one place for a profiler is not taken for one that was seen whole."""
    module = load("import sys\ndef run():\n    sys.setprofile(None)\n    hidden()\ndef hidden(): pass\n")
    trace = run(auditor, module, {Path(str(module.__file__)): ("run",)})
    if mechanism == "profile":
        assert "sys.setprofile" in trace.problem
    else:
        assert names(trace) == ["subject:hidden"]


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="sys.monitoring comes with Python 3.12")
@pytest.mark.parametrize("taken", range(6))
def test_audit_takes_a_tool_id_that_nobody_has(load: Callable[..., ModuleType], taken: int) -> None:
    """Whichever ids coverage, a debugger or a profiler have, the audit takes another and leaves theirs alone."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined] # known from Python 3.12
    module = load("def run(): hidden()\ndef hidden(): pass\n")
    had = monitoring.get_tool(taken)
    if had is None:
        monitoring.use_tool_id(taken, "theirs")
    try:
        trace = run(Auditor(Tracer()), module, {Path(str(module.__file__)): ("run",)})
        assert monitoring.get_tool(taken) == (had or "theirs")
    finally:
        if had is None:
            monitoring.free_tool_id(taken)
    assert names(trace) == ["subject:hidden"]
