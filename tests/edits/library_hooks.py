"""Attacks by what the standard library calls, or finds by a name, without the project's code doing so."""

from __future__ import annotations

from tests.edits.case import SITE, miss

CASES = [
    miss(
        "match_args_of_a_class",
        """
                from points import P
                def f(p):
                    match p:
                        case P(a): return a
            """,
        "f(P(cfg.x))",
        {
            "points.py": """
                class P:
                    __match_args__ = ('a',)
                    def __init__(self, a): self.a, self.b = a, a + 1
            """
        },
        {"points.py": ("('a',)", "('b',)")},
    ),
    miss(
        "reducer_registered_with_copyreg",
        "import copy, shapes",
        "copy.copy(shapes.S(cfg.x)).a",
        {
            "shapes.py": """
                import copyreg
                class S:
                    def __init__(self, a): self.a = a
                def reduce(s): return S, (s.a + 1,)
                copyreg.pickle(S, reduce)
            """
        },
        {"shapes.py": ("+ 1", "+ 2")},
    ),
    miss(
        "context_variable_set_at_import",
        """
                import side
                from ctx import V
            """,
        "V.get() + cfg.x",
        {
            "ctx.py": """
                import contextvars
                V = contextvars.ContextVar('v', default=1)
            """,
            "side.py": """
                from ctx import V
                V.set(5)
            """,
        },
        {"side.py": ("5", "6")},
    ),
    miss(
        "profiler_set_at_import",
        """
                import side, seen
                def f(x): return x
            """,
        "f(cfg.x) + len(seen.S) * 0 + sum(seen.S)",
        {
            "seen.py": """
                S = []
            """,
            "side.py": """
                import sys, seen
                def p(frame, event, arg):
                    if frame.f_code.co_name == 'f' and event == 'call': seen.S.append(1)
                sys.setprofile(p)
            """,
        },
        {"side.py": ("append(1)", "append(2)")},
    ),
    miss(
        "entry_point_of_the_project_itself",
        """
                from importlib.metadata import entry_points
                def run(x):
                    return next(iter(entry_points(group='own.plugins'))).load()(x)
            """,
        "run(cfg.x)",
        {
            "plugin.py": """
                def f(x): return x + 1
            """,
            "own.egg-info/PKG-INFO": """
                Metadata-Version: 2.1
                Name: own
                Version: 1
            """,
            "own.egg-info/entry_points.txt": """
                [own.plugins]
                f = plugin:f
            """,
        },
        {"plugin.py": ("+ 1", "+ 2")},
    ),
    miss(
        "external_object_of_a_logging_config",
        """
                import logging, logging.config
                CONF = {'version': 1, 'handlers': {'h': {'()': 'own.make', 'n': 'ext://numbers_of.LIMIT'}}, 'root': {'handlers': ['h']}}
                def run(x):
                    logging.config.dictConfig(CONF)
                    return logging.getLogger().handlers[0].n + x
            """,
        "run(cfg.x)",
        {
            "numbers_of.py": """
                LIMIT = 3
            """,
            "own.py": """
                import logging
                def make(n):
                    h = logging.NullHandler()
                    h.n = n
                    return h
            """,
        },
        {"numbers_of.py": ("3", "4")},
    ),
    miss(
        "class_string_of_a_logging_config",
        """
                import logging, logging.config
                CONF = {'version': 1, 'handlers': {'h': {'class': 'own.H'}}, 'root': {'handlers': ['h']}}
                def run(x):
                    logging.config.dictConfig(CONF)
                    return logging.getLogger().handlers[0].n + x
            """,
        "run(cfg.x)",
        {
            "own.py": """
                import logging
                class H(logging.NullHandler):
                    n = 3
            """
        },
        {"own.py": ("3", "4")},
    ),
    miss(
        "string_that_mock_patches",
        """
                import helper
                from unittest import mock
                def run(x):
                    with mock.patch('other.f', helper.g):
                        import other
                        return other.f(x)
            """,
        "run(cfg.x)",
        {
            "other.py": """
                def f(x): return x
            """,
            "helper.py": """
                def g(x): return x + 1
            """,
        },
        {"helper.py": ("+ 1", "+ 2")},
    ),
    miss(
        "dict_that_mock_patches",
        """
                import user
                from unittest import mock
                def run(x):
                    with mock.patch.dict('table.T', {'b': 2}):
                        return user.total() + x
            """,
        "run(cfg.x)",
        {
            "table.py": """
                T = {'a': 1}
            """,
            "user.py": """
                def total():
                    import table
                    return sum(table.T.values())
            """,
        },
        {"table.py": ("'a': 1", "'a': 10")},
    ),
    miss(
        "module_located_by_one_word",
        "from pydoc import locate",
        "locate('helper').f(cfg.x)",
        {
            "helper.py": """
                def f(x): return x + 1
            """
        },
        {"helper.py": ("+ 1", "+ 2")},
    ),
    miss(
        "module_of_one_word_got_by_hydra",
        "from hydra.utils import get_object",
        "get_object('helper').f(cfg.x)",
        {
            "helper.py": """
                def f(x): return x + 1
            """
        },
        {"helper.py": ("+ 1", "+ 2")},
    ),
    miss(
        "module_of_one_word_in_the_config",
        "from pydoc import locate",
        "locate(cfg.m).f(cfg.x)",
        {
            "helper.py": """
                def f(x): return x + 1
            """
        },
        {"helper.py": ("+ 1", "+ 2")},
        jobs=("x=1", "+m=helper"),
        may_refuse=True,
    ),
    miss(
        "importer_found_in_the_builtins",
        "import builtins",
        "vars(builtins)['__import__']('helper').f(cfg.x)",
        {
            "helper.py": """
                def f(x): return x + 1
            """
        },
        {"helper.py": ("+ 1", "+ 2")},
        may_refuse=True,
    ),
    miss(
        "value_made_by_the_base_of_an_enum",
        "from colors import C",
        "C.B.value + cfg.x",
        {
            "colors.py": """
                from enum import auto
                from base import Base
                class C(Base):
                    A = auto()
                    B = auto()
            """,
            "base.py": """
                from enum import Enum
                class Base(Enum):
                    def _generate_next_value_(name, start, count, last): return count * 10
            """,
        },
        {"base.py": ("* 10", "* 20")},
    ),
    miss(
        "dataclass_made_by_a_function",
        "from made import D",
        "D().a + cfg.x",
        {
            "made.py": """
                from dataclasses import make_dataclass, field
                from numbers_of import N
                D = make_dataclass('D', [('a', int, field(default=N))])
            """,
            "numbers_of.py": """
                N = 1
            """,
        },
        {"numbers_of.py": ("1", "2")},
    ),
    miss(
        "hook_of_a_decoder",
        """
                import json
                from hooks import h
            """,
        "json.loads('{\"a\": 1}', object_hook=h) + cfg.x",
        {
            "hooks.py": """
                def h(d): return d['a'] + 1
            """
        },
        {"hooks.py": ("+ 1", "+ 2")},
    ),
    miss(
        "search_path_of_a_package_grown",
        """
                import pack
                def run(x):
                    from pack import extra
                    return extra.f(x)
            """,
        "run(cfg.x)",
        {
            "pack/__init__.py": """
                import os
                __path__.append(os.path.join(os.path.dirname(__file__), '..', 'more'))
            """,
            "more/extra.py": """
                def f(x): return x + 1
            """,
        },
        {"more/extra.py": ("+ 1", "+ 2")},
        may_refuse=True,
    ),
    miss(
        "instance_check_of_a_metaclass",
        "from kinds import K",
        "isinstance(cfg.x, K)",
        {
            "kinds.py": """
                from meta import M
                class K(metaclass=M): pass
            """,
            "meta.py": """
                class M(type):
                    def __instancecheck__(cls, o): return o > 0
            """,
        },
        {"meta.py": ("> 0", "> 5")},
    ),
    miss(
        "finalizer_of_an_object",
        """
                import things
                def run(x):
                    t = things.T()
                    del t
                    return things.LOG[-1] + x
            """,
        "run(cfg.x)",
        {
            "things.py": """
                import weakref
                LOG = [0]
                class T:
                    def __init__(self): weakref.finalize(self, gone, 1)
                def gone(n): LOG.append(n)
            """
        },
        {"things.py": ("append(n)", "append(n + 1)")},
    ),
    miss(
        "class_of_a_module_changed",
        "import mod",
        "mod.value + cfg.x",
        {
            "mod.py": """
                import sys, types
                class M(types.ModuleType):
                    @property
                    def value(self): return 1
                sys.modules[__name__].__class__ = M
            """
        },
        {"mod.py": ("return 1", "return 2")},
    ),
    miss(
        "warning_hook",
        """
                import side, warnings, seen
                def run(x):
                    warnings.simplefilter('always')
                    warnings.warn('x')
                    return seen.S[-1] + x
            """,
        "run(cfg.x)",
        {
            "seen.py": """
                S = []
            """,
            "side.py": """
                import warnings, seen
                def show(*a, **k): seen.S.append(1)
                warnings.showwarning = show
            """,
        },
        {"side.py": ("append(1)", "append(2)")},
    ),
    miss(
        "type_of_an_argument_parser",
        "import cli",
        "cli.parser.parse_args(['--n', '1']).n + cfg.x",
        {
            "cli.py": """
                import argparse
                def number(s): return int(s) + 1
                parser = argparse.ArgumentParser()
                parser.add_argument('--n', type=number)
            """
        },
        {"cli.py": ("+ 1", "+ 2")},
    ),
    miss(
        "version_of_a_distribution_that_is_only_asked_for",
        "from importlib.metadata import version",
        "version('asked') + str(cfg.x)",
        {
            SITE + "/asked-1.dist-info/METADATA": """
                Metadata-Version: 2.1
                Name: asked
                Version: 1
            """
        },
        {SITE + "/asked-1.dist-info/METADATA": ("Version: 1", "Version: 2")},
        sites=(SITE,),
    ),
    miss(
        "import_of_main_in_a_helper",
        """
                import helper
                RATE = 2
            """,
        "helper.f(cfg.x)",
        {
            "helper.py": """
                def f(x):
                    import __main__
                    return x * __main__.RATE
            """
        },
        {"train.py": ("RATE = 2", "RATE = 3")},
    ),
    miss(
        "mixin_found_by_super_of_an_instance_from_the_config",
        "from hydra.utils import instantiate",
        "instantiate(cfg.m).run(cfg.x)",
        {
            "m.py": """
                from b import B
                class A(B):
                    def run(self, x): return super().run(x)
            """,
            "b.py": """
                class B:
                    def run(self, x): return x + 1
            """,
        },
        {"b.py": ("+ 1", "+ 2")},
        jobs=("x=1", "+m={_target_: m.A}"),
    ),
]
