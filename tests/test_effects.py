"""What executing a statement changes besides the names that it binds, and what is known to change nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from parcache.keys.calm import calm_depth
from tests.fingerprints import Code, Server

pytestmark = pytest.mark.any_hydra

CALM = {
    "returns what it is given": ("def f(x): return x", 1),
    "pure builtins": ("def f(xs): return [len(x) for x in xs]", 1),
    "may return what it is given": ("def f(n):\n def d(g): return g\n if n: return n\n return d", 1),
    "changes what it is given in place": ("def f(g, seen=SEEN):\n seen += [g]\n return g", 0),
    "binds an item in a comprehension": ("def f(g): return [g for REG[0] in [g]]", 0),
    "changes by a function of operator": ("def f(g): operator.setitem(REG, 0, g)", 0),
    "parameter that hides a builtin": ("def f(type): return type(1)", 0),
    "decorator": ("def f(g):\n def w(*a): return g(*a)\n return w", 1),
    "decorator with wraps": (
        "def f(g):\n @functools.wraps(g)\n def w(*a):\n  print(a)\n  return g(*a)\n w.calls = 0\n return w",
        1,
    ),
    "decorator with arguments": ("def f(n):\n def d(g):\n  def w(): return g() * n\n  return w\n return d", 2),
    "calls its argument": ("def f(g): return g()", 0),
    "changes a global": ("def f(g):\n REG[g.__name__] = g\n return g", 0),
    "changes what it is given": ("def f(g):\n g.seen = True\n return g", 0),
    "imports": ("def f(g):\n import helper\n return g", 0),
    "yields": ("def f(g):\n yield g", 0),
    "plain class": ("class C:\n x = 1\n def __init__(self, a):\n  self.a = a", 1),
    "class that does things when it is made": ("class C:\n def __init__(self): REG.append(self)", 0),
    "class with a metaclass": ("class C(metaclass=M): pass", 0),
    "class that watches its attributes": ("class C:\n def __setattr__(self, n, v): REG.append(v)", 0),
    "class with a setter": ("class C:\n @x.setter\n def x(self, v): REG.append(v)", 0),
    "class with a plain factory": ("class C:\n x: list = field(default_factory=list)", 1),
    "class with a factory that does things": ("class C:\n x: list = field(default_factory=make)", 0),
}


@pytest.mark.parametrize("name", CALM)
def test_calm_depth_tells_how_many_calls_change_nothing(name: str) -> None:
    """A function is calm where its source shows that calling it changes nothing."""
    source, depth = CALM[name]
    assert calm_depth(ast.parse(source).body[0]) == depth


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


# What a module that is imported, and of which nothing is used, says: does an edit of `1` count?
ACTS = {
    "call": "len([1])",
    "assert": "assert 1",
    "seed": "import random\nrandom.seed(1)",
    "seed in an assignment": "import random\n_ = random.seed(1)",
    "environment": "import os\nos.environ['A'] = '1'",
    "patch of a module": "import json\njson.A = 1",
    "setattr": "import json\nsetattr(json, 'A', 1)",
    "own function": "STATE = []\ndef f(x): STATE.append(x)\ny = f(1)",
    "own decorator": "STATE = []\ndef d(g):\n    STATE.append(g)\n    return g\n@d\ndef f(): return 1",
    "own class": "STATE = []\nclass C:\n    def __init__(self, x): STATE.append(x)\nc = C(1)",
    "subclass that is announced": "class B:\n    def __init_subclass__(cls): pass\nclass C(B):\n    x = 1",
    "metaclass": "class M(type): pass\nclass C(metaclass=M):\n    x = 1",
    "subclass of one with a metaclass": "class M(type): pass\nclass B(metaclass=M): pass\nclass C(B):\n    x = 1",
    "function handed to map": "STATE = []\ndef f(x): STATE.append(x)\nlist(map(f, [1]))",
    "loop": "for n in range(1):\n    len([n])",
    "condition": "if True:\n    len([1])",
    "registered with somebody else's registry": "import atexit\n@atexit.register\ndef f(): return 1",
    "alias of what another module holds": "import core\nR = core.REG\nR['a'] = 1",
}
BINDS = {
    "constant": "X = 1",
    "function": "def f(): return 1",
    "class": "class C:\n    x = 1",
    "library's call": "import collections\nX = collections.Counter('1')",
    "library's decorator": "import functools\n@functools.lru_cache\ndef f(): return 1",
    "dataclass": "from dataclasses import dataclass, field\n@dataclass\nclass C:\n    x: list = field(default=1)",
    "logger": "import logging\nlog = logging.getLogger('1')",
    "calm decorator": "def d(g):\n    def w(): return g()\n    return w\n@d\ndef f(): return 1",
    "calm call": "def f(x): return [x]\ny = f(1)",
    "calm class": "class C:\n    def __init__(self, x): self.x = x\nc = C(1)",
    "own registry that nobody reads": "REG = {}\nREG['a'] = 1",
    "method of an own list": "XS = []\nXS.append(1)",
    "guard": "if __name__ == '__main__':\n    len([1])",
    "type checking": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    X = 1",
}


def is_noticed(code: Code, text: str) -> bool:
    code.write(
        {
            "app.py": "import side\nimport core\n\ndef main(cfg):\n    return core.REG\n",
            "core.py": "REG = {}\n",
            "side.py": text,
        }
    )
    before = code.take().digest
    code.write({"side.py": text.replace("1", "2")})
    return code.take().digest != before


@pytest.mark.parametrize("name", ACTS)
def test_effect_of_an_unused_module_counts(tmp_path: Path, server: Server, name: str) -> None:
    """What importing a module changes elsewhere counts, though nothing of the module is used."""
    assert is_noticed(Code(tmp_path / "project", server), dedent(ACTS[name]))


@pytest.mark.parametrize("name", BINDS)
def test_effect_of_a_mere_binding_does_not_count(tmp_path: Path, server: Server, name: str) -> None:
    """What only binds names of an imported module does not count while nothing uses them."""
    assert not is_noticed(Code(tmp_path / "project", server), dedent(BINDS[name]))
