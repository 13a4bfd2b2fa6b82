"""Edits of statements that bind what nothing reached uses."""

from __future__ import annotations

from tests.edits.case import hit

CASES = [
    hit(
        "unused_type_variable",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                from typing import TypeVar
                T = TypeVar('T')
                def f(x): return x
            """
        },
        {"helper.py": ("'T')", "'T', bound=int)")},
    ),
    hit(
        "unused_lock",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                import threading
                L = threading.Lock()
                def f(x): return x
            """
        },
        {"helper.py": ("Lock", "RLock")},
    ),
    hit(
        "unused_argument_parser",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                import argparse
                p = argparse.ArgumentParser()
                p.add_argument('--n')
                def f(x): return x
            """
        },
        {"helper.py": ("--n", "--m")},
    ),
    hit(
        "version_of_the_package",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                __version__ = '1'
                __author__ = 'me'
                def f(x): return x
            """
        },
        {"helper.py": ("'1'", "'2'")},
    ),
    hit(
        "names_that_star_imports_bring",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                __all__ = ['f']
                def f(x): return x
                def g(x): return x
            """
        },
        {"helper.py": ("['f']", "['f', 'g']")},
    ),
    hit(
        "unused_named_tuple_and_enum",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                from typing import NamedTuple
                from enum import Enum
                class P(NamedTuple):
                    a: int = 1
                class E(Enum):
                    A = 1
                def f(x): return x
            """
        },
        {
            "helper.py": (
                "A = 1",
                "A = 1\n    B = 2",
            )
        },
    ),
    hit(
        "unused_new_type",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                from typing import NewType
                U = NewType('U', int)
                def f(x): return x
            """
        },
        {"helper.py": ("'U', int", "'U', str")},
    ),
    hit(
        "unused_overload",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                from typing import overload
                def f(x): return x
                @overload
                def g(x: int): ...
                @overload
                def g(x: str): ...
                def g(x): return x
            """
        },
        {"helper.py": ("x: str", "x: bytes")},
    ),
    hit(
        "unused_context_manager",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                from contextlib import contextmanager
                @contextmanager
                def c():
                    yield 1
                def f(x): return x
            """
        },
        {"helper.py": ("yield 1", "yield 2")},
    ),
    hit(
        "unused_abstract_class",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                from abc import ABC, abstractmethod
                class A(ABC):
                    @abstractmethod
                    def a(self): ...
                def f(x): return x
            """
        },
        {"helper.py": ("def a(self)", "def b(self)")},
    ),
    hit(
        "unused_single_dispatch_added",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                import functools
                def f(x): return x
            """
        },
        {
            "helper.py": """
                import functools
                def f(x): return x
                @functools.singledispatch
                def w(a): return 1
                class W:
                    @functools.singledispatchmethod
                    def go(self, a): return 1
            """
        },
    ),
]
