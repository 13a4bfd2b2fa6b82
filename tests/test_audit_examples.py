"""No example and no app of the tests runs code that is not in its closure: a finding here is a hole in the fingerprint.

A project that shows a new way of reaching code belongs into ``APPS``; a list of projects as data, such as cases of
edits, goes through ``tests.audits.audited`` in the same way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import test_bad_input, test_composing_once, test_fidelity, test_jobs_apart, test_rule_nine
from tests.audits import App, Report, audit, audited
from tests.conftest import APP, Project

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
HELPER = "def compute(cfg):\n    return cfg.x * 10\n"
CONFIG = "x: 1\n"
# Code that is reached in every way that Python has, as a task function: what it calls is what counts.
WAYS = """
    import asyncio, contextlib, dataclasses, enum, functools, threading
    import hydra
    from hydra.utils import get_method, instantiate
    import registry
    from ways import *
    from ways import deep as shallow

    @contextlib.contextmanager
    def opened(x):
        yield x

    @dataclasses.dataclass
    class Options:
        sizes: list = dataclasses.field(default_factory=lambda: [default()])

    def default():
        return 1

    @hydra.main(config_path="conf", config_name="config", version_base=None)
    def main(cfg):
        import late
        results = [late.compute(cfg.x), shallow(cfg.x), Options().sizes, Colour.RED.shade(), TABLE["f"](cfg.x)]
        with opened(cfg.x) as value:
            results.append(asyncio.run(awaited(value)))
        thread = threading.Thread(target=lambda: results.append(registry.call("square", cfg.x)))
        thread.start()
        thread.join()
        results += [Model(cfg.x) + Model(1), Model(2).rate, dispatched(1), dispatched("a"), list(numbers(2)), bound(3)]
        results += [instantiate(cfg.layer).go(), get_method(cfg.method)(cfg.x), [len(item) for item in cfg.list]]
        results += [instantiate(cfg.list), eval("deep(2)"), FACTORY(4), sorted([2, 1], key=KEY)]
        return [str(result) for result in results]

    if __name__ == "__main__":
        main()
"""
WAYS_FILES = {
    "app.py": WAYS,
    "late.py": "import later\nVALUE = later.made()\ndef compute(x): return x + VALUE\n",
    "later.py": "def made(): return 3\nclass Unused:\n    size = sum(i for i in range(3))\n",
    "registry.py": """
        REGISTRY = {}
        def register(name):
            def keep(function):
                REGISTRY[name] = function
                return function
            return keep
        def call(name, x):
            return REGISTRY[name](x)
        import registered
        """,
    "registered.py": "import registry\n@registry.register('square')\ndef square(x): return x * x\n",
    "ways/__init__.py": "from .parts import *\nfrom .parts import deep, Model\n",
    "ways/parts.py": """
        import enum, functools
        from .base import Base

        def deep(x): return x + 1
        async def awaited(x): return deep(x)
        def numbers(count):
            for number in range(count):
                yield deep(number)
        class Meta(type):
            def __call__(cls, *args):
                made = super().__call__(*args)
                made.size = 2
                return made
        class Model(Base, metaclass=Meta):
            def __add__(self, other): return self.x + other.x + self.size
        class Colour(enum.Enum):
            RED = 1
            def shade(self): return self.value
        @functools.singledispatch
        def dispatched(x): return None
        @dispatched.register
        def _(x: int): return deep(x)
        @dispatched.register(str)
        def _text(x): return x
        TABLE = {"f": lambda x: deep(x)}
        bound = functools.partial(pow, 2)
        def factory(start):
            def add(x): return start + x
            return add
        FACTORY = factory(2)
        KEY = lambda x: -x
        """,
    "ways/base.py": """
        class Rate:
            def __get__(self, instance, owner): return 0.5
        class Base:
            rate = Rate()
            def __init_subclass__(cls, **more): cls.known = True
            def __init__(self, x): self.x = x
        """,
    "layers/__init__.py": "",
    "layers/a.py": "from layers.common import size\nclass A:\n    def go(self): return size()\n",
    "layers/b.py": "class B:\n    def go(self): return 2\n",
    "layers/common.py": "def size(): return 1\ndef method(x): return size() + x\n",
    "conf/config.yaml": """
        x: 1
        layer: {_target_: layers.a.A}
        method: layers.common.method
        list: [{_target_: layers.b.B}]
        """,
}
STUDY = """
    import sys
    import hydra, parcache
    from app import main

    with hydra.initialize(config_path="conf", version_base=None):
        print(parcache.sweep(main, overrides=[item for item in sys.argv[1:] if item != "-m"]))
"""
APPS = {
    "small": App({"app.py": APP, "helper.py": HELPER, "conf/config.yaml": CONFIG}),
    "ways": App(WAYS_FILES),
    "ways_by_target": App(WAYS_FILES, ("layer._target_=layers.a.A,layers.b.B", "x=1,2")),
    "spied": App(
        {"app.py": APP, "helper.py": HELPER, "spy.py": test_fidelity.SPY, "conf/config.yaml": test_fidelity.CONFIG}
    ),
    "resolvers": App(
        {
            "app.py": test_jobs_apart.APP,
            "conf/config.yaml": "x: 1\ny: ${square:${x}}\nn: ${jobnum:}\nt: ${told:}\nu: ${unique:}\n",
        }
    ),
    "late": App(
        {"app.py": test_rule_nine.APP, "late.py": "def compute(cfg):\n    return 1\n", "conf/config.yaml": CONFIG}
    ),
    "editing": App(
        {
            "app.py": test_composing_once.EDITING,
            "conf/config.yaml": "defaults: [{model: a}, _self_]\nx: 1\nround: 1\nboth: ${round}-${inner.round}\n",
            "conf/model/a.yaml": "# @package _global_\nkind: a\ninner: {round: 1}\n",
            "conf/model/b.yaml": "# @package _global_\nkind: b\ninner: {round: 1}\n",
        },
        ("model=a,b", "x=0,1"),
    ),
    "typed": App({"app.py": test_bad_input.TYPED}),
    "study": App(
        {"app.py": APP, "helper.py": HELPER, "study.py": STUDY, "conf/config.yaml": CONFIG},
        command=("study.py",),
    ),
}


@pytest.mark.parametrize("name", APPS)
def test_audit_of_a_test_app_finds_nothing(name: str, tmp_path: Path, backend: str) -> None:
    """Whatever way the app reaches its code, all that runs is in its closure."""
    report = audited(APPS[name], tmp_path / "project", backend)
    assert report.findings == ()
    assert report.traced >= 2


def digits(folder: Path, backend: str) -> Report:
    shutil.copytree(EXAMPLES / "digits", folder, ignore=shutil.ignore_patterns("multirun", ".parcache", "__pycache__"))
    few = ["seed=1", "folds=2", "model=svm,forest", "blur=true,false"]
    return audit(Project(folder), *few, script="train.py", backend=backend)


def custom_backend(folder: Path, backend: str) -> Report:
    metadata = folder / "installed" / "parcache_fresh-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: parcache-fresh\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[parcache.backends]\nfresh = parcache_fresh.backend:FreshBackend\n"
        "[hydra.plugins]\nparcache_fresh = hydra_plugins.parcache_fresh_searchpath:FreshSearchPath\n"
    )
    example = EXAMPLES / "custom_backend"
    path = ":".join(map(str, [metadata.parent, example / "src", example]))
    project = Project(folder / "project", {"PYTHONPATH": path})
    project.write(app=APP, helper=HELPER, conf__config_yaml=CONFIG)
    return audit(project, "x=1,2", backend=backend)


def cluster_profiles(folder: Path, backend: str) -> Report:
    shutil.copytree(EXAMPLES / "cluster_profiles", folder, ignore=shutil.ignore_patterns("multirun", ".parcache"))
    return audit(Project(folder), "model=small,large", script="train.py", backend=backend)


AUDITS = [(digits, "serial"), (digits, "process"), (custom_backend, "fresh"), (cluster_profiles, "serial")]


def test_audits_leave_no_example_out() -> None:
    """Every folder of examples is one that the test below runs."""
    assert {run.__name__ for run, _ in AUDITS} == {path.name for path in EXAMPLES.iterdir() if path.is_dir()}


@pytest.mark.parametrize(("run", "backend"), AUDITS)
def test_audit_of_an_example_finds_nothing(run: Callable[[Path, str], Report], backend: str, tmp_path: Path) -> None:
    """All that an example runs is in its closure."""
    report = run(tmp_path / "example", backend)
    assert report.findings == ()
    assert report.traced >= 2
