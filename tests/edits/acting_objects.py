"""Attacks by what objects do while modules are imported: methods called on them, operators, blocks, members of classes.

All of it happens in modules that the task imports by itself, so that no value of a global can show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.edits.case import SITE, Case, Change, distribution, hit, miss

_LAZY = """
def go(x):
    import side
    from helper import f
    return f(x)
"""


def lazy(name: str, helper: str, side: str, change: tuple[str, str], where: str = "side.py", **more: Any) -> Case:
    """Return a case whose task imports ``side``, then ``helper``, and calls ``f`` of it."""
    extra: Mapping[str, str] = more.pop("files", {})
    edit: dict[str, Change] = {where: change}
    return miss(name, _LAZY, "go(cfg.x)", {"helper.py": helper, "side.py": side, **extra}, edit, **more)


_PLACES = """
T = {'r': 2}
class P:
    def __init__(self, v):
        self.v = v
    def __enter__(self):
        T['r'] = self.v
    def __exit__(self, *a):
        pass
    def __iter__(self):
        T['r'] = self.v
        return iter((1, 2))
    def __invert__(self):
        T['r'] = self.v
    def __lt__(self, other):
        T['r'] = self.v
    def __rshift__(self, other):
        T['r'] = self.v + other.v
def f(x):
    return T['r'] * x
"""

CASES = [
    lazy(
        "array_of_another_module_scaled_in_place",
        "import numpy as np\nW = np.ones(3)\ndef f(x): return float(W.sum())\n",
        "from helper import W\nW *= 2\n",
        ("*= 2", "*= 3"),
    ),
    lazy(
        "pipeline_of_another_module_grown_by_text",
        """
            class Pipe:
                def __init__(self): self.steps = []
                def __iadd__(self, name):
                    self.steps.append(name)
                    return self
            PIPE = Pipe()
            def f(x): return PIPE.steps
        """,
        "from helper import PIPE\nPIPE += 'crop'\n",
        ("crop", "flip"),
    ),
    lazy(
        "function_handed_to_an_executor",
        "T = {}\ndef register(n, v): T[n] = v\ndef f(x): return T['a']\n",
        """
            from concurrent.futures import ThreadPoolExecutor
            from helper import register
            ex = ThreadPoolExecutor(1)
            fut = ex.submit(register, 'a', 2)
            ex.shutdown()
        """,
        ("2)", "3)"),
    ),
    lazy(
        "block_entered_by_an_exit_stack",
        _PLACES,
        """
            from contextlib import ExitStack
            from helper import P
            stack = ExitStack()
            stack.enter_context(P(5))
        """,
        ("P(5)", "P(6)"),
    ),
    lazy(
        "method_of_a_list_that_is_mapped",
        "T = []\n_ = list(map(T.append, [1, 2]))\ndef f(x): return sum(T)\n",
        "",
        ("[1, 2]", "[1, 3]"),
        "helper.py",
    ),
    lazy(
        "method_of_a_list_of_another_module_that_is_mapped",
        "T = []\ndef f(x): return sum(T)\n",
        "from helper import T\n_ = list(map(T.append, [1, 2]))\n",
        ("[1, 2]", "[1, 3]"),
    ),
    lazy(
        "registrar_made_by_a_function_that_is_mapped",
        """
            T = {}
            def registrar(kind):
                def add(name): T[name] = kind
                return add
            def f(x): return sorted(T)
        """,
        "from helper import registrar\n_ = list(map(registrar('svm'), ['a', 'b']))\n",
        ("'b'", "'c'"),
    ),
    lazy(
        "registrar_out_of_a_table_that_is_mapped",
        "T = {}\ndef add(name): T[name] = 1\nHOW = {'add': add}\ndef f(x): return sorted(T)\n",
        "from helper import HOW\n_ = list(map(HOW['add'], ['a', 'b']))\n",
        ("'b'", "'c'"),
    ),
    lazy("block_of_an_object_made_for_it", _PLACES, "from helper import P\nwith P(5):\n    pass\n", ("P(5)", "P(6)")),
    lazy(
        "comprehension_over_an_object",
        _PLACES,
        "from helper import P\nALL = [y for y in P(5)]\n",
        ("P(5)", "P(6)"),
    ),
    lazy("list_of_an_object", _PLACES, "from helper import P\nALL = sorted(P(5))\n", ("P(5)", "P(6)")),
    lazy("object_unpacked", _PLACES, "from helper import P\na, b = P(5)\n", ("P(5)", "P(6)")),
    lazy(
        "object_unpacked_in_a_display",
        _PLACES,
        "from helper import P\np = P(5)\nALL = [1]\n",
        ("[1]", "[1, *p]"),
    ),
    lazy(
        "module_imported_by_its_name_and_changed",
        "rate = 2\ndef f(x): return rate * x\n",
        "import importlib\nhelper = importlib.import_module('helper')\nhelper.rate = 5\n",
        ("= 5", "= 6"),
    ),
    lazy(
        "table_located_by_its_name_and_changed",
        "T = {'r': 2}\ndef f(x): return T['r']\n",
        "import pydoc\nt = pydoc.locate('helper.T')\nt['r'] = 5\n",
        ("= 5", "= 6"),
    ),
    lazy(
        "operator_between_objects_made_for_it",
        _PLACES,
        "from helper import P\nlast = P(1) >> P(5)\n",
        ("P(5)", "P(6)"),
    ),
    lazy("sign_of_an_object", _PLACES, "from helper import P\nA = ~P(5)\n", ("P(5)", "P(6)")),
    lazy("comparison_of_an_object", _PLACES, "from helper import P\nn = P(5)\nA = n < 2\n", ("P(5)", "P(6)")),
    lazy(
        "object_of_a_library_shared_by_its_name",
        "from fakelib import channel\nch = channel('a')\ndef f(x): return [g() for g in ch.fs]\n",
        """
            from fakelib import channel
            ch = channel('a')
            def on(): return 2
            ch.connect(on)
        """,
        ("return 2", "return 3"),
        files=distribution(
            "1",
            """
                class Channel:
                    def __init__(self): self.fs = []
                    def connect(self, f): self.fs.append(f)
                _ALL = {}
                def channel(name): return _ALL.setdefault(name, Channel())
            """,
        ),
        sites=(SITE,),
    ),
    lazy(
        "globals_of_a_function_updated",
        "rate = 2\ndef g(): pass\ndef f(x): return rate\n",
        "import helper\nhelper.g.__globals__.update(rate=5)\n",
        ("=5", "=6"),
    ),
    lazy(
        "function_without_effects_that_walks_over_an_object",
        _PLACES,
        "from helper import P\np = P(5)\ndef total(): return sum(p)\nA = total()\n",
        ("P(5)", "P(6)"),
    ),
    lazy(
        "iterator_over_other_data_that_a_loop_uses_up",
        "ROWS = [1, 2, 3]\nIT = iter(ROWS)\nfor A in IT:\n    break\nfor B in IT:\n    break\ndef f(x): return B\n",
        "",
        ("for A in IT:\n    break\n", ""),
        "helper.py",
    ),
    lazy(
        "function_got_out_of_a_table_and_called",
        "R = {}\nT = {}\ndef add(v): T[v] = 1\nR['add'] = add\ndef f(x): return sorted(T)\n",
        "from helper import R\n_ = R.get('add')('a')\n",
        ("'a'", "'b'"),
    ),
    lazy(
        "function_put_into_a_table_and_mapped",
        "R = {}\nT = {}\ndef add(v): T[v] = 1\nR['add'] = add\ndef f(x): return sorted(T)\n",
        "from helper import R\n_ = list(map(R['add'], ['a']))\n",
        ("'a'", "'b'"),
    ),
    lazy(
        "function_instantiated_by_its_name",
        "T = {}\ndef register(v):\n    T[v] = 1\n    return T\ndef f(x): return sorted(T)\n",
        "from hydra.utils import instantiate\nunused = instantiate({'_target_': 'helper.register', 'v': 'a'})\n",
        ("'a'", "'b'"),
    ),
    hit(
        "unused_statements_whose_objects_are_plain",
        _LAZY,
        "go(cfg.x)",
        {
            "helper.py": "def f(x): return x\n",
            "side.py": """
                import os
                from abc import ABC, abstractmethod
                from collections import UserDict
                from dataclasses import dataclass, field
                from enum import Enum
                from pathlib import Path
                import numpy as np
                from omegaconf import OmegaConf
                BASE = 2
            """,
        },
        {
            "side.py": """
                import os
                from abc import ABC, abstractmethod
                from collections import UserDict
                from dataclasses import dataclass, field
                from enum import Enum
                from pathlib import Path
                import numpy as np
                from omegaconf import OmegaConf
                BASE = 2
                HERE = Path(__file__).parent / "data"
                SIZES = [BASE * n for n in range(3)]
                LARGER = BASE * 2
                LARGEST = -LARGER if LARGER > 2 and not BASE == 3 else BASE
                NAMES = ["a", *"bc", f"{2}"]
                FIRST, *REST = NAMES
                TABLE = {"a": {**{"b": 1}}, "c": 1}
                SORTED = sorted(NAMES)
                TABLE.update(d=2)
                NAMES += ["z"]
                W = np.ones(3) / 2
                W *= 2
                class Model(ABC):
                    SIZE = 3
                    BOTH = SIZE * 2
                    tags: dict = {}
                    tags["a"] = 1
                    @property
                    def rate(self): return 1
                    @rate.setter
                    def rate(self, value): pass
                    @abstractmethod
                    def go(self): ...
                class Rows(UserDict):
                    pass
                class Kind(Enum):
                    A = 1
                @dataclass
                class Config:
                    rate: float = 0.1
                    steps: list = field(default_factory=list)
                    color: object = Kind.A
                class Color(Enum):
                    RED = 1
                    def __init__(self, value): self.rate = value
                DEFAULT = Config()
                CONF = OmegaConf.create({"a": 1})
            """
        },
    ),
]
