"""Attacks by what modules change when they are imported, in ways that look as if they did nothing."""

from __future__ import annotations

from tests.edits.case import miss

# What is registered shows in a state of the standard library, of which no value is looked at.
_STATE = """
import decimal
def register(f, *more):
    n = f if isinstance(f, int) else f(3) if callable(f) else len(str(f))
    decimal.getcontext().prec += n + 1
    return f
class Holder:
    pass
class Items:
    append = staticmethod(register)
HOLD = Holder()
HOLD.items = Items()
def run(x):
    return str(decimal.Decimal(1) / 3)
"""
_SIDE = "import side\nfrom state import run"

CASES = [
    miss(
        "registration_by_a_decorator_that_is_a_partial",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": """
                from functools import partial
                from state import register
                @partial(register)
                def f(x): return x + 1
            """,
        },
        {"side.py": ("+ 1", "+ 2")},
    ),
    miss(
        "registration_by_a_lambda_that_is_mapped",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": "from state import HOLD\n_ = list(map(lambda v: HOLD.items.append(v), [1]))\n",
        },
        {"side.py": ("[1]", "[2]")},
    ),
    miss(
        "registration_by_a_partial_that_is_mapped",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": """
                from functools import partial
                from state import register
                _ = list(map(partial(register), [1]))
            """,
        },
        {"side.py": ("[1]", "[2]")},
    ),
    miss(
        "registration_by_a_function_that_is_reduced",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": """
                from functools import reduce
                from state import register
                _ = reduce(register, [1, 2], 5)
            """,
        },
        {"side.py": ("5)", "6)")},
    ),
    miss(
        "registrar_that_a_function_hands_back",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": """
                from state import register
                def same(f): return f
                _ = same(register)(1)
            """,
        },
        {"side.py": (")(1)", ")(2)")},
    ),
    miss(
        "effect_of_a_with_block",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": """
                from state import register
                class C:
                    def __enter__(self):
                        register(1)
                    def __exit__(self, *a): pass
                c = C()
                with c:
                    pass
            """,
        },
        {"side.py": ("register(1)", "register(2)")},
    ),
    miss(
        "effect_of_walking_over_an_object",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": """
                from state import register
                class C:
                    def __iter__(self):
                        register(1)
                        return iter(())
                c = C()
                for _ in c:
                    pass
            """,
        },
        {"side.py": ("register(1)", "register(2)")},
    ),
    miss(
        "list_of_another_module_grown_in_place",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": "import tables\ndef run(x): return [t.__name__ for t in tables.T]\n",
            "side.py": """
                from tables import T
                T += [len]
                T += [abs]
            """,
            "tables.py": "T = []\n",
        },
        {"side.py": ("[abs]", "[repr]")},
    ),
    miss(
        "decorator_that_registers_by_operator_setitem",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": "import tables\ndef run(x): return tables.T['k'](x)\n",
            "side.py": """
                import operator
                from tables import T
                def deco(f):
                    operator.setitem(T, 'k', f)
                    return f
                @deco
                def f(x): return x + 1
            """,
            "tables.py": "T = {}\n",
        },
        {"side.py": ("+ 1", "+ 2")},
    ),
    miss(
        "registrar_under_the_name_of_a_known_function",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": """
                from deco import mark
                @mark
                def f(x): return x + 1
            """,
            "deco.py": """
                from state import register as cache
                def mark(f):
                    return cache(f)
            """,
        },
        {"side.py": ("+ 1", "+ 2")},
    ),
    miss(
        "decorator_that_grows_its_default",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": "import tables\ndef run(x): return tables.T[0](x)\n",
            "side.py": """
                from tables import mark
                @mark
                def f(x): return x + 1
            """,
            "tables.py": """
                T = []
                def mark(f, t=T):
                    t += [f]
                    return f
            """,
        },
        {"side.py": ("+ 1", "+ 2")},
    ),
    miss(
        "constructor_of_a_class_that_watches_its_attributes",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": "from tables import Box\n_ = Box(1)\n",
            "tables.py": """
                from state import register
                class Box:
                    def __setattr__(self, n, v): register(v)
                    def __init__(self, v): self.v = v
            """,
        },
        {"side.py": ("Box(1)", "Box(2)")},
    ),
    miss(
        "constructor_that_calls_a_setter",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": "from tables import Box\n_ = Box(1)\n",
            "tables.py": """
                from state import register
                class Box:
                    @property
                    def v(self): return 1
                    @v.setter
                    def v(self, v): register(v)
                    def __init__(self, v): self.v = v
            """,
        },
        {"side.py": ("Box(1)", "Box(2)")},
    ),
    miss(
        "constructor_with_a_factory_that_registers",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": "from tables import Box\n_ = Box()\n",
            "tables.py": """
                from dataclasses import dataclass, field
                from state import register
                @dataclass
                class Box:
                    v: int = field(default_factory=lambda: register(1))
            """,
        },
        {"side.py": ("_ = Box()\n", "_ = [Box(), Box()]\n")},
    ),
    miss(
        "set_name_of_a_shared_descriptor",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": """
                from tables import FIELD
                class A:
                    x = FIELD
            """,
            "tables.py": """
                from state import register
                class F:
                    def __set_name__(self, owner, name): register(name)
                FIELD = F()
            """,
        },
        {"side.py": ("    x = ", "    yyy = ")},
    ),
    miss(
        "environment_under_another_name",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": "import os\ndef run(x): return os.environ.get('A_RATE')\n",
            "side.py": """
                import os
                env = os.environ
                env['A_RATE'] = '1'
            """,
        },
        {"side.py": ("'1'", "'2'")},
    ),
    miss(
        "context_of_the_standard_library_under_another_name",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": "import decimal\ndef run(x): return str(decimal.Decimal(1) / 3)\n",
            "side.py": """
                import decimal
                ctx = decimal.getcontext()
                ctx.prec = 5
            """,
        },
        {"side.py": ("= 5", "= 6")},
    ),
    miss(
        "method_of_what_a_decorator_returned",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": """
                from tables import Hooked
                @Hooked
                def unused(x): return x
                unused.install(1)
            """,
            "tables.py": """
                from state import register
                class Hooked:
                    def __init__(self, f): self.f = f
                    def install(self, v): register(v)
            """,
        },
        {"side.py": ("(1)", "(2)")},
    ),
    miss(
        "shared_iterator_advanced",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": "import tables\ndef run(x): return next(tables.IDS)\n",
            "side.py": "from tables import IDS\nUNUSED = next(IDS)\n",
            "tables.py": "import itertools\nIDS = itertools.count()\n",
        },
        {"side.py": ("next(IDS)", "[next(IDS), next(IDS)]")},
    ),
    miss(
        "effect_of_class_getitem",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": "from tables import Reg\nA = Reg[1]\n",
            "tables.py": """
                from state import register
                class Reg:
                    def __class_getitem__(cls, v): register(v)
            """,
        },
        {"side.py": ("Reg[1]", "Reg[2]")},
    ),
    miss(
        "effect_of_an_operator",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": "from tables import reg\nA = reg | 1\n",
            "tables.py": """
                from state import register
                class Reg:
                    def __or__(self, v): register(v)
                reg = Reg()
            """,
        },
        {"side.py": ("| 1", "| 2")},
    ),
    miss(
        "parameter_of_the_name_of_a_known_function",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": _STATE,
            "side.py": """
                from tables import go
                from state import register
                _ = go(register)
            """,
            "tables.py": "def go(partial):\n    return partial(1)\n",
        },
        {"side.py": ("go(register)", "[go(register), go(register)]")},
    ),
    miss(
        "method_called_through_its_class",
        _SIDE,
        "run(cfg.x)",
        {
            "state.py": "import tables\ndef run(x): return tables.T['k'](-1)\n",
            "side.py": "from tables import T\n_ = dict.update(T, {'k': abs})\n",
            "tables.py": "T = {}\n",
        },
        {"side.py": ("abs", "float")},
    ),
]
