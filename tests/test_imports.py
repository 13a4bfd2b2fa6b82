"""Which modules a job reaches: whatever could run for it counts, an unrelated module does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from parcache.keys.dotted import dotted_names
from parcache.keys.units import tabulate
from tests.fingerprints import Code, Server

pytestmark = pytest.mark.any_hydra

APP = "def main(cfg):\n    return cfg\n"
# What is edited is `hit.py` or what stands first here; each case is app.py and what else it needs.
REACHED: dict[str, dict[str, str]] = {
    "imported": {"hit.py": "", "app.py": "import hit\n"},
    "in a function": {"hit.py": "", "app.py": "def f():\n    import hit\n"},
    "three deep": {"hit.py": "", "b.py": "import hit", "a.py": "import b", "app.py": "import a\n"},
    "under an alias": {"hit.py": "", "app.py": "import hit as h\n"},
    "name from module": {"hit.py": "", "app.py": "from hit import x as y\n"},
    "submodule from package": {"p/hit.py": "", "p/__init__.py": "", "app.py": "from p import hit\n"},
    "parent package": {"p/__init__.py": "", "p/a.py": "", "app.py": "import p.a\n"},
    "grandparent of a target": {
        "p/__init__.py": "",
        "p/q/__init__.py": "",
        "p/q/a.py": "",
        "app.py": "X = 'p.q.a.F'\n",
    },
    "relative": {"p/hit.py": "", "p/a.py": "from . import hit", "p/__init__.py": "", "app.py": "import p.a\n"},
    "relative in package": {"p/hit.py": "", "p/__init__.py": "from .hit import x", "app.py": "import p\n"},
    "relative two up": {
        "p/hit.py": "",
        "p/__init__.py": "",
        "p/q/__init__.py": "",
        "p/q/a.py": "from ..hit import x",
        "app.py": "import p.q.a\n",
    },
    "star": {"p/hit.py": "", "p/__init__.py": "__all__ = ['hit']", "app.py": "from p import *\n"},
    "namespace package": {"ns/hit.py": "", "app.py": "def f():\n    import ns.hit\n"},
    "nested namespace package": {"ns/sub/hit.py": "", "app.py": "def f():\n    import ns.sub.hit\n"},
    "namespace package in a package": {
        "p/sub/hit.py": "",
        "p/__init__.py": "",
        "app.py": "def f():\n    import p.sub.hit\n",
    },
    "fallback": {"hit.py": "", "app.py": "try:\n    import absent\nexcept ImportError:\n    import hit\n"},
    "string": {"p/hit.py": "", "p/__init__.py": "", "app.py": "instantiate({'_target_': 'p.hit.F'})\n"},
    "string in a namespace": {"ns/sub/hit.py": "", "app.py": "X = 'ns.sub.hit.F'\n"},
    "entry point string": {"p/hit.py": "", "p/__init__.py": "", "app.py": "register(entry_point='p.hit:F')\n"},
    "entry point without package": {"hit.py": "", "app.py": "register(entry_point='hit:F')\n"},
    "lazy re-export": {
        "p/hit.py": "",
        "p/__init__.py": "def __getattr__(name):\n    return load(name)\n",
        "app.py": "import p\np.thing()\n",
    },
    "handed to a lazy loader": {
        "p/hit.py": "",
        "p/__init__.py": "import lazy\n__getattr__, __dir__, _ = lazy.attach(__name__, ['hit'])\n",
        "app.py": "import p\n",
    },
    "literal": {"hit.py": "", "app.py": "from importlib import import_module\nimport_module('hit')\n"},
    "literal dunder": {"hit.py": "", "app.py": "__import__('hit')\n"},
    "from-list": {"p/hit.py": "", "p/__init__.py": "", "app.py": "__import__('p', fromlist=['hit'])\n"},
    "f-string": {
        "p/hit.py": "",
        "p/__init__.py": "",
        "app.py": "import importlib\ndef f(n):\n    importlib.import_module(f'p.{n}')\n",
    },
    "concatenation": {
        "p/hit.py": "",
        "p/__init__.py": "",
        "app.py": "import importlib\ndef f(n):\n    importlib.import_module('p.' + n)\n",
    },
    "percent": {"p/hit.py": "", "p/__init__.py": "", "app.py": "def f(n):\n    import_module('p.%s' % n)\n"},
    "format": {"p/hit.py": "", "p/__init__.py": "", "app.py": "def f(n):\n    import_module('p.{}'.format(n))\n"},
    "relative literal": {
        "p/hit.py": "",
        "p/__init__.py": "import_module = print\nimport_module('.hit', __name__)",
        "app.py": "import p\n",
    },
    "relative f-string": {
        "p/hit.py": "",
        "p/__init__.py": "import importlib\nfor n in ():\n    importlib.import_module(f'.{n}', __package__)",
        "app.py": "import p\n",
    },
    "relative to another package": {
        "other/hit.py": "",
        "other/__init__.py": "",
        "app.py": "def f():\n    import_module('.hit', 'other')\n",
    },
    "relative to a computed package": {
        "other/hit.py": "",
        "other/__init__.py": "",
        "app.py": "def f(p):\n    import_module('.hit', p)\n",
    },
    "unknown name": {"hit.py": "", "app.py": "def f(n):\n    import_module(n)\n"},
    "unknown name below": {"p/q/hit.py": "", "p/__init__.py": "", "app.py": "def f(n):\n    import_module(n)\n"},
    "name that no import spells": {"p/0001_hit.py": "", "app.py": "def f(n):\n    import_module(n)\n"},
    "folder that no import spells": {"my-plugins/hit.py": "", "app.py": "def f(p):\n    runpy.run_path(p)\n"},
    "unknown name elsewhere on the path": {"lib/hit.py": "", "app.py": "def f(n):\n    import_module(n)\n"},
    "importer renamed": {"hit.py": "", "app.py": "from importlib import import_module as im\n"},
    "importer assigned": {"hit.py": "", "app.py": "import importlib\nload = importlib.import_module\n"},
    "importer by getattr": {"hit.py": "", "app.py": "import importlib\nload = getattr(importlib, 'import_module')\n"},
    "builtins": {"hit.py": "", "app.py": "import builtins\ndef f(n):\n    builtins.__import__(n)\n"},
    "builtins exec": {"hit.py": "", "app.py": "import builtins\ndef f(n):\n    builtins.exec(n)\n"},
    "exec": {"hit.py": "", "app.py": "def f(n):\n    exec(n)\n"},
    "exec renamed": {"hit.py": "", "app.py": "from builtins import exec as e\n"},
    "eval": {"hit.py": "", "app.py": "def f(n):\n    eval(n)\n"},
    "compiled": {"hit.py": "", "app.py": "def f(n):\n    return FunctionType(compile(n, '', 'exec'), {})\n"},
    "sys.modules": {"hit.py": "", "app.py": "import sys\ndef f(n):\n    sys.modules[n]\n"},
    "sys.modules imported": {"hit.py": "", "app.py": "from sys import modules\n"},
    "pkgutil": {"hit.py": "", "app.py": "import pkgutil\ndef f(p):\n    pkgutil.walk_packages(p)\n"},
    "entry points": {"hit.py": "", "app.py": "from importlib.metadata import entry_points\nentry_points()\n"},
    "loader": {"hit.py": "", "app.py": "def f(p):\n    spec_from_file_location('x', p)\n"},
    "own importer": {"hit.py": "", "app.py": "import sys\nsys.meta_path.append(None)\n"},
    "computed locator": {"hit.py": "", "app.py": "def f(a, b):\n    get_class(f'{a}.{b}')\n"},
    "computed target": {"hit.py": "", "app.py": "def f(a, b):\n    instantiate({'_target_': f'{a}.{b}'})\n"},
    "computed target keyword": {"hit.py": "", "app.py": "def f(a, b):\n    instantiate({}, _target_=a + b)\n"},
    "computed target set": {"hit.py": "", "app.py": "def f(c, a, b):\n    c._target_ = a + b\n"},
    "computed target item": {"hit.py": "", "app.py": "def f(c, a, b):\n    c['_target_'] = '.'.join(a)\n"},
    "script run by name": {"hit.py": "", "app.py": "run(['python', 'hit.py'])\n"},
    "script in a folder": {"scripts/hit.py": "", "app.py": "run('python scripts/hit.py --x')\n"},
    "script joined": {"scripts/hit.py": "", "app.py": "P = Path(__file__).parent / 'scripts' / 'hit.py'\n"},
    "module run by name": {"hit.py": "", "app.py": "run(['python', '-m', 'hit'])\n"},
    "package run by name": {"p/__main__.py": "", "p/__init__.py": "", "app.py": "run(['python', '-m', 'p'])\n"},
    "too deep to follow": {"hit.py": "", "app.py": f"def f():\n    import hit\nX = {' + '.join(['1'] * 500)}\n"},
    "far too big a number": {"hit.py": "", "app.py": f"def f():\n    import hit\nX = 0x1{'0' * 5000}\n"},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.fixture
def code(tmp_path: Path, server: Server) -> Code:
    return Code(tmp_path / "project", server)


def write_case(code: Code, files: dict[str, str]) -> str:
    """Write a case so that the task can be imported whatever it would do; return the file that is to be edited."""
    body = {**files, "app.py": "def never():\n" + "".join(f"    {line}\n" for line in files["app.py"].splitlines())}
    if "import *" in files["app.py"]:
        body["app.py"] = files["app.py"] + "def never():\n    pass\n"
    code.write({**body, "app.py": body["app.py"] + "def main(cfg):\n    return never()\n"})
    return next(iter(files))


@pytest.mark.parametrize("name", REACHED)
def test_imports_reached_file_edited_another_digest(code: Code, name: str) -> None:
    """An edit of a file that the task can reach in this way changes the fingerprint; taking it back restores it."""
    edited = write_case(code, REACHED[name])
    path = ("", "lib") if edited.startswith("lib/") else ("",)
    before = code.take(path=path)
    original = (code.folder / edited).read_text()
    code.write({edited: original + "\nassert True\n"})
    assert code.take(path=path).digest != before.digest
    code.write({edited: original})
    assert code.take(path=path).digest == before.digest


UNREACHED = {
    "unrelated": "import os\n",
    "dynamic elsewhere": "",
    "under type checking": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import hit\n",
    "in a function that nothing calls": "def f():\n    import hit\n",
    "named by a plain word": "X = 'hit'\n",
    "in a docstring": '"""See hit.py and p.hit."""\n',
    "in a comment": "# import hit\n",
    "logger in a package": "import p\n",
    "method called eval": "def f(model):\n    model.eval()\n",
    "re.compile": "import re\nX = re.compile('a')\n",
    "target from the config": "def f(cfg):\n    get_class(cfg.model._target_)\n    get_class(cfg['model'])\n",
    "module that is absent": "try:\n    import absent\nexcept ImportError:\n    pass\n",
}


@pytest.mark.parametrize("name", UNREACHED)
def test_imports_unrelated_file_edited_same_digest(code: Code, name: str) -> None:
    """An edit of a module that nothing leads to leaves the fingerprint as it is."""
    code.write(
        {
            "app.py": UNREACHED[name] + APP,
            "hit.py": "",
            "p/__init__.py": "import logging\nlog = logging.getLogger(__name__)\n",
            "p/hit.py": "",
            "elsewhere.py": "exec('')",
        }
    )
    before = code.take()
    code.write({"hit.py": "x = 1", "p/hit.py": "x = 1", "elsewhere.py": "exec('1')", "new.py": ""})
    assert code.take().digest == before.digest


def test_imports_dynamic_skips_what_jobs_left_behind(code: Code) -> None:
    """Copies of code in job folders do not count, even where everything counts."""
    code.write({"app.py": "def main(n):\n    __import__(n)\n"})
    before = code.take()
    code.write({"outputs/2024-01-01/app.py": "", "jobs/a/.hydra/config.yaml": "", "jobs/a/app.py": "", ".git/x.py": ""})
    assert code.take().digest == before.digest


def test_imports_dynamic_construct_reported_with_its_line(code: Code) -> None:
    """A dynamic construct is told with its file and line."""
    code.write({"app.py": "def main(n):\n    __import__(n)\n"})
    assert code.take().dynamic == [f"{code.folder / 'app.py'}:2 __import__(…)"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.b", ["a.b"]),
        ("a.b.C", ["a.b.C"]),
        ("a:b", ["a.b"]),
        ("a.b:C.d", ["a.b.C.d"]),
        ("a", []),
        ("", []),
        ("1.5", []),
        ("a..b", []),
        ("a.b ", []),
        ("http://x.y", []),
        ("a/b.py", []),
        ("key: value", []),
    ],
)
def test_dotted_names_text_yields_modules_that_it_names(text: str, names: list[str]) -> None:
    """A text names what it reads like: a dotted name, or the module of an entry point."""
    assert list(dotted_names(text)) == names


@pytest.mark.parametrize(
    ("source", "docs", "text"),
    [
        ("x = f.__doc__", True, False),
        ("print(__doc__)", True, False),
        ("getattr(f, '__doc__')", True, False),
        ("from inspect import getdoc", True, False),
        ("inspect.getsource(f)", False, True),
        ("import linecache", False, True),
        ("x = 1", False, False),
    ],
)
def test_scan_reader_of_source_is_noticed(source: str, docs: bool, text: bool) -> None:
    """Code that reads docstrings, or source text, is known to."""
    units = tabulate(source.encode(), "m", False).units
    assert (any(unit.reads_docs for unit in units), any(unit.reads_source for unit in units)) == (docs, text)
