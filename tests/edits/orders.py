"""Attacks by order: where it can be seen in what order things are defined, it counts."""

from __future__ import annotations

from tests.edits.case import miss

CASES = [
    miss(
        "class_moved_behind_another_base",
        "from helper import run",
        "run(cfg.x)",
        {
            "helper.py": """
                class Base: v = 1
                class C(Base): pass
                class Base: v = 2
                def run(x): return (C.v, Base.v)
            """,
        },
        {
            "helper.py": """
                class Base: v = 1
                class Base: v = 2
                class C(Base): pass
                def run(x): return (C.v, Base.v)
            """
        },
    ),
    miss(
        "function_moved_behind_another_decorator",
        "from helper import run",
        "run(cfg.x)",
        {
            "helper.py": """
                def deco(f): return lambda x: 1
                @deco
                def g(x): return 0
                def deco(f): return lambda x: 2
                def run(x): return g(x), deco(g)(x)
            """,
        },
        {
            "helper.py": """
                def deco(f): return lambda x: 1
                def deco(f): return lambda x: 2
                @deco
                def g(x): return 0
                def run(x): return g(x), deco(g)(x)
            """
        },
    ),
    miss(
        "constant_moved_before_what_hides_a_builtin",
        "from helper import run",
        "run(cfg.x)",
        {
            "helper.py": """
                from functools import partial
                N = partial(pow, len([1, 2, 3]))
                def len(x): return 5
                def run(x): return N(1), len(3)
            """,
        },
        {
            "helper.py": """
                from functools import partial
                def len(x): return 5
                N = partial(pow, len([1, 2, 3]))
                def run(x): return N(1), len(3)
            """
        },
    ),
    miss(
        "order_of_methods_seen_by_vars",
        "from helper import run",
        "run(cfg.x)",
        {
            "helper.py": """
                class P:
                    def step_a(self): return 'a'
                    def step_b(self): return 'b'
                def run(x): return [f(None) for n, f in vars(P).items() if n.startswith('step')]
            """,
        },
        {
            "helper.py": """
                class P:
                    def step_b(self): return 'b'
                    def step_a(self): return 'a'
                def run(x): return [f(None) for n, f in vars(P).items() if n.startswith('step')]
            """
        },
    ),
    miss(
        "order_of_methods_seen_by_dict",
        "from helper import run",
        "run(cfg.x)",
        {
            "helper.py": """
                class P:
                    def step_a(self): return 'a'
                    def step_b(self): return 'b'
                    def go(self): return [f(None) for n, f in type(self).__dict__.items() if n.startswith('step')]
                def run(x): return P().go()
            """,
        },
        {
            "helper.py": """
                class P:
                    def step_b(self): return 'b'
                    def step_a(self): return 'a'
                    def go(self): return [f(None) for n, f in type(self).__dict__.items() if n.startswith('step')]
                def run(x): return P().go()
            """
        },
    ),
    miss(
        "order_of_functions_seen_by_vars",
        "import steps",
        "[f(1) for n, f in vars(steps).items() if n.startswith('step')]",
        {
            "steps.py": "def step_a(x): return 'a'\ndef step_b(x): return 'b'\n",
        },
        {"steps.py": "def step_b(x): return 'b'\ndef step_a(x): return 'a'\n"},
    ),
    miss(
        "order_of_subclasses",
        "import steps",
        "[f.v for f in steps.Base.__subclasses__()]",
        {
            "steps.py": """
                class Base: pass
                class A(Base): v = 1
                class B(Base): v = 2
            """,
        },
        {
            "steps.py": """
                class Base: pass
                class B(Base): v = 2
                class A(Base): v = 1
            """
        },
    ),
    miss(
        "order_of_methods_seen_by_init_subclass",
        "import steps",
        "[f for f in steps.Base.seen]",
        {
            "steps.py": """
                class Base:
                    seen = []
                    def __init_subclass__(cls): Base.seen.append([n for n in vars(cls) if n[0] != '_'])
                class A(Base):
                    def a(self): pass
                    def b(self): pass
            """,
        },
        {
            "steps.py": """
                class Base:
                    seen = []
                    def __init_subclass__(cls): Base.seen.append([n for n in vars(cls) if n[0] != '_'])
                class A(Base):
                    def b(self): pass
                    def a(self): pass
            """
        },
    ),
    miss(
        "order_of_methods_seen_by_a_metaclass",
        "import steps",
        "steps.A.names",
        {
            "steps.py": """
                class M(type):
                    def __new__(m, n, b, ns):
                        ns['names'] = [k for k in ns if k[0] != '_']
                        return super().__new__(m, n, b, ns)
                class Base(metaclass=M): pass
                class A(Base):
                    def a(self): pass
                    def b(self): pass
            """,
        },
        {
            "steps.py": """
                class M(type):
                    def __new__(m, n, b, ns):
                        ns['names'] = [k for k in ns if k[0] != '_']
                        return super().__new__(m, n, b, ns)
                class Base(metaclass=M): pass
                class A(Base):
                    def b(self): pass
                    def a(self): pass
            """
        },
    ),
]
