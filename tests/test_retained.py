"""What a job reads and leaves in memory counts for the jobs that find it there."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parcache.run.retained import Retained
from tests.conftest import Project

pytestmark = pytest.mark.any_hydra

# By name: a module, and how often load() of it is called before anything is looked at.
KEEPS = {
    "cached function": "import functools\n@functools.lru_cache\ndef load(): return 'data'\n",
    "cached method": "import functools\nclass A:\n    @functools.cache\n    def of(self): return 'data'\n"
    "A_ = A()\ndef load(): return A_.of()\n",
    "global": "D = None\ndef load():\n    global D\n    D = D or 'data'\n    return D\n",
    "number": "D = None\ndef load():\n    global D\n    D = 3.5\n",
    "dict": "D = {}\ndef load(): return D.setdefault('a', 'data')\n",
    "key of a dict": "D = {'a': None}\ndef load():\n    D['a'] = D['a'] or 'data'\n",
    "nested dict": "D = {'a': {}}\ndef load(): return D['a'].setdefault('b', 'data')\n",
    "list": "L = []\ndef load(): L.append('data')\n",
    "class attribute": "class A:\n    data = None\n    @classmethod\n    def get(cls): cls.data = 'data'\n"
    "def load(): A.get()\n",
    "instance": "class A:\n    def __init__(self): self.kept = {}\nA_ = A()\ndef load(): A_.kept['a'] = 'data'\n",
    "attribute of a function": "def load(): load.data = 'data'\n",
    "default": "def load(kept={}): kept['a'] = 'data'\n",
    "closure": "def memo(f):\n    kept = {}\n    def inner(): return kept.setdefault('a', f())\n    return inner\n"
    "@memo\ndef load(): return 'data'\n",
}
KEEPS_NOTHING = {
    "nothing": "def load(): return 'data'\n",
    "counter": "N = 0\ndef load():\n    global N\n    N += 1\n",
    "counter in a dict": "N = {'n': 0}\ndef load():\n    N['n'] += 1\n",
    "instance of its own": "class A:\n    def __init__(self): self.kept = {'a': 'data'}\ndef load(): A()\n",
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return what writes a module and imports it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "keeps_something"

    def write(text: str) -> types.ModuleType:
        (tmp_path / f"{name}.py").write_text(text)
        return importlib.import_module(name)

    yield write
    sys.modules.pop(name, None)


@pytest.mark.parametrize("kept", [*KEEPS, *KEEPS_NOTHING])
def test_state_of_a_loaded_module_is_seen_to_change_once(module: Any, kept: str) -> None:
    """What is put into memory is noticed when it is put there; what is there already is no change."""
    loaded = module({**KEEPS, **KEEPS_NOTHING}[kept])
    retained = Retained()
    since = retained.begin(print)
    loaded.load()
    assert retained.has_changed(print, since) == (kept in KEEPS)
    since = retained.begin(print)
    assert not retained.has_changed(print, since)


@pytest.mark.parametrize("kept", [*KEEPS, *KEEPS_NOTHING])
def test_state_of_a_module_that_a_job_imports_is_told_by_its_source(module: Any, kept: str) -> None:
    """A module that comes late is compared with what its source says; what instances hold nobody can tell."""
    retained = Retained()
    since = retained.begin(print)
    loaded = module({**KEEPS, **KEEPS_NOTHING}[kept])
    loaded.load()
    told = kept in KEEPS and kept not in {"instance", "nested dict", "attribute of a function"}
    assert retained.has_changed(print, since) == told


def test_state_in_the_globals_of_a_task_that_travelled_is_seen() -> None:
    """A main script's globals, which come to a worker by value, are looked at through the task."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec("D = {}\ndef task(cfg): D[cfg] = 'data'\n", space)
    retained = Retained()
    since = retained.begin(space["task"])
    space["task"](1)
    assert retained.has_changed(space["task"], since)


def test_change_in_the_time_of_two_jobs_is_told_to_both(module: Any) -> None:
    """Whichever ends first: nobody knows whose it is."""
    loaded = module(KEEPS["dict"])
    retained = Retained()
    one, two = retained.begin(print), retained.begin(print)
    loaded.load()
    assert retained.has_changed(print, one)
    assert retained.has_changed(print, two)


CHOSEN = ("-m", "hydra/launcher=parcache", "hydra.launcher.backend.workers=1")
READER = 'return open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "data.txt")).read()'


@pytest.mark.parametrize(
    ("backend", "where"), [("process", "helper"), ("process", "app"), ("serial", "helper"), ("threading", "helper")]
)
def test_data_that_a_job_keeps_in_memory_counts_for_those_after_it(
    project: Project, launcher: list[str], backend: str, where: str
) -> None:
    """Where a loader is cached, each job misses after an edit of what the first one alone has opened."""
    loader = f"@functools.lru_cache\ndef load():\n    {READER}\n"
    compute = "def compute(cfg):\n    return load() + str(cfg.x)\n"
    if where == "helper":
        project.write(helper="import functools, os\n" + loader + compute)
    else:
        app = (project.folder / "app.py").read_text()
        project.write(app=f"import functools, os\n{loader}{app}".replace("helper.compute(cfg)", "(load(), cfg.x)"))
    data = project.folder / "data.txt"
    one_worker = [] if backend == "serial" else ["hydra.launcher.backend.workers=1"]
    for text, expected in [("one", "0 hits, 3 misses"), ("two", "0 hits, 3 misses"), ("one", "3 hits, 0 misses")]:
        data.write_text(text)
        assert expected in project.run(*launcher, *one_worker, "x=1,2,3").check().summary


def test_data_that_each_job_reads_for_itself_counts_for_it_alone(project: Project) -> None:
    """Where nothing is kept, an edit of one job's file is a miss of that job."""
    project.write(helper="def compute(cfg):\n    return open(f'{cfg.x}.txt').read()\n")
    for number in (1, 2, 3):
        (project.folder / f"{number}.txt").write_text("one")
    assert "3 misses" in project.run(*CHOSEN, "x=1,2,3").check().summary
    (project.folder / "1.txt").write_text("two")
    assert "2 hits, 1 misses" in project.run(*CHOSEN, "x=1,2,3").check().summary


def test_file_that_the_first_job_makes_for_the_others_goes_on_counting(project: Project) -> None:
    """Prepared data: the first job looks in vain and writes it, the others read it, all keep something in memory."""
    project.write(
        helper="""
        import os
        DONE = []
        def compute(cfg):
            if not os.path.isfile("prepared") or not open("prepared").read():
                try:
                    open("prepared").close()
                except FileNotFoundError:
                    with open("prepared", "w") as file:
                        file.write("data")
            DONE.append(str(cfg.x))
            return open("prepared").read()
        """
    )
    first = project.run(*CHOSEN, "x=1,2,3").check()
    assert "3 misses" in first.summary
    assert "not stored" not in first.out
    assert "3 hits" in project.run(*CHOSEN, "x=1,2,3").check().summary
