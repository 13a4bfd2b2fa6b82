"""Attacks by looking names up, in whatever way."""

from __future__ import annotations

from tests.edits.case import Scene, hit, miss

_MODELS = {
    "models/__init__.py": "",
    "models/a.py": "def go(): return 1\n",
    "models/b.py": "def go(): return 2\n",
}

_A = {"models/a.py": ("return 1", "return 10")}

_WHICH = {"conf/config.yaml": "x: 1\nname: a\n"}


def store_instance(scene: Scene) -> None:
    """Store a pickled instance of a class of the project."""
    (scene.folder / "shape.pkl").write_bytes(b"cshapes\nShape\n)R}S'size'\nI2\nsb.")


CASES = [
    miss(
        "getattr_with_a_name_from_the_config",
        "import helper",
        "getattr(helper, cfg.name)()",
        {**_WHICH, "helper.py": "def a(): return 1\ndef b(): return 2\n"},
        {"helper.py": ("return 1", "return 10")},
        plain=False,
    ),
    miss(
        "getattr_with_a_literal_name",
        "import helper",
        "getattr(helper, 'a')()",
        {"helper.py": "def a(): return 1\ndef b(): return 2\n"},
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "getattr_inside_another_function",
        "import helper\nfrom pick import pick",
        "pick(helper, 'a')()",
        {"helper.py": "def a(): return 1\n", "pick.py": "def pick(where, what): return getattr(where, what)\n"},
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "vars_of_a_module",
        "import helper",
        "vars(helper)['a']()",
        {"helper.py": "def a(): return 1\n"},
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "dict_of_a_module",
        "import helper",
        "helper.__dict__['a' + '']()",
        {"helper.py": "def a(): return 1\n"},
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "globals_of_a_module",
        "from helper import pick",
        "pick('a')()",
        {"helper.py": "def a(): return 1\ndef pick(name): return globals()[name]\n"},
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "globals_of_a_function",
        "from helper import f",
        "f.__globals__['a']()",
        {"helper.py": "def a(): return 1\ndef f(): pass\n"},
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "table_of_modules",
        "import sys, helper",
        "sys.modules['hel' + 'per'].a()",
        {"helper.py": "def a(): return 1\n"},
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "module_of_a_class",
        "import sys\nfrom helper import Model",
        "sys.modules[Model.__module__].a()",
        {"helper.py": "class Model:\n    pass\ndef a(): return 1\n"},
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "inspect_members",
        "import inspect, helper",
        "dict(inspect.getmembers(helper, inspect.isfunction))['a']()",
        {"helper.py": "def a(): return 1\n"},
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "names_listed_by_dir",
        "import helper",
        "[n for n in dir(helper) if n.startswith('test_')]",
        {"helper.py": "def test_a(): return 1\n"},
        {"helper.py": "def test_a(): return 1\ndef test_b(): return 1\n"},
    ),
    miss(
        "module_passed_to_a_function",
        "import helper\nfrom user import use",
        "use(helper)",
        {"helper.py": "def a(): return 1\n", "user.py": "def use(module): return module.a()\n"},
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "module_kept_in_a_table",
        "from helper import TABLE",
        "TABLE['m'].a()",
        {"helper.py": "import other\nTABLE = {'m': other}\n", "other.py": "def a(): return 1\n"},
        {"other.py": ("return 1", "return 10")},
    ),
    miss(
        "module_under_another_name",
        "from helper import m",
        "m.a()",
        {"helper.py": "import other\nm = other\n", "other.py": "def a(): return 1\n"},
        {"other.py": ("return 1", "return 10")},
    ),
    miss(
        "module_returned_by_a_function",
        "from helper import module",
        "module().a()",
        {"helper.py": "def module():\n    import other\n    return other\n", "other.py": "def a(): return 1\n"},
        {"other.py": ("return 1", "return 10")},
    ),
    miss(
        "attrgetter_with_dots",
        "import operator, pack.sub",
        "operator.attrgetter('sub.Model.rate')(pack)",
        {"pack/__init__.py": "", "pack/sub.py": "class Model:\n    rate = 1\n"},
        {"pack/sub.py": ("rate = 1", "rate = 2")},
    ),
    miss(
        "methodcaller",
        "import operator\nfrom helper import Model",
        "operator.methodcaller('go')(Model())",
        {"helper.py": "class Model:\n    def go(self): return 1\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "methodcaller_on_a_module",
        "import operator, helper",
        "operator.methodcaller('g' + 'o')(helper)",
        {"helper.py": "def go(): return 1\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "eval_of_text",
        "import helper",
        "eval('helper.' + 'go')()",
        {"helper.py": "def go(): return 1\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "eval_of_a_name_in_its_module",
        "from helper import run",
        "run('go()')",
        {"helper.py": "def go(): return 1\ndef run(text): return eval(text)\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "exec_that_imports",
        "",
        "(space := {}, exec('from helper import go', space), space['go']())[2]",
        {"helper.py": "def go(): return 1\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "exec_of_text_from_the_config",
        "",
        "(space := {}, exec(cfg.code, space), space['go']())[2]",
        {"conf/config.yaml": "x: 1\ncode: from helper import go\n", "helper.py": "def go(): return 1\n"},
        {"helper.py": ("return 1", "return 2")},
        plain=False,
    ),
    miss(
        "pickled_instance_of_a_class",
        "import pickle\nfrom pathlib import Path",
        "pickle.loads(Path(__file__).with_name('shape.pkl').read_bytes()).area()",
        {"shapes.py": "class Shape:\n    def area(self): return self.size\n"},
        {"shapes.py": ("self.size", "self.size * 2")},
        prepare=store_instance,
        may_refuse=True,
        plain=False,
    ),
    miss(
        "instance_in_a_yaml_file",
        "import yaml\nfrom shapes import other",
        "yaml.unsafe_load(open('a.yaml')).area()",
        {
            "shapes.py": "class S:\n    def area(self): return 2\ndef other(): return 0\n",
            "a.yaml": "!!python/object:shapes.S {}\n",
        },
        {"shapes.py": ("return 2", "return 3")},
        plain=False,
    ),
    miss(
        "names_resolved_by_pkgutil",
        "import pkgutil",
        "pkgutil.resolve_name('models.' + cfg.name + ':go')()",
        {**_MODELS, **_WHICH},
        _A,
        plain=False,
    ),
    miss(
        "class_found_by_its_name_among_subclasses",
        "from base import make",
        "make(cfg.name)",
        {
            **_WHICH,
            "base.py": """
                import importlib
                class Base:
                    pass
                def make(name):
                    importlib.import_module("kinds." + name)
                    return [cls.rank for cls in Base.__subclasses__()]
            """,
            "kinds/__init__.py": "",
            "kinds/a.py": "from base import Base\nclass A(Base):\n    rank = 1\n",
        },
        {"kinds/a.py": ("rank = 1", "rank = 2")},
        plain=False,
    ),
    miss(
        "entry_in_a_table_of_dotted_strings",
        "from helper import load",
        "load('quick')()",
        {
            "helper.py": """
                import importlib
                TABLE = {"quick": "models.a:go", "slow": "models.b:go"}
                def load(key):
                    module, _, name = TABLE[key].partition(":")
                    return getattr(importlib.import_module(module), name)
            """,
            **_MODELS,
        },
        _A,
    ),
    miss(
        "string_joined_across_lines",
        "import importlib",
        "importlib.import_module('mod' 'els.' 'a').go()",
        _MODELS,
        _A,
    ),
    miss(
        "method_found_by_a_computed_name",
        "from helper import Model",
        "Model().run('a')",
        {
            "helper.py": """
                class Model:
                    def run(self, kind):
                        return getattr(self, "run_" + kind)()
                    def run_a(self):
                        return 1
            """
        },
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "method_found_by_a_computed_name_in_a_mixin",
        "from helper import Model",
        "Model().run('a')",
        {
            "mixin.py": "class Mixin:\n    def run_a(self): return 1\n",
            "helper.py": """
                from mixin import Mixin
                class Model(Mixin):
                    def run(self, kind):
                        return getattr(self, "run_" + kind)()
            """,
        },
        {"mixin.py": ("return 1", "return 2")},
    ),
    miss(
        "visitor_class_of_the_standard_library",
        "import ast\nfrom helper import Visitor",
        "Visitor().visit(ast.parse('1', mode='eval').body)",
        {
            "helper.py": """
                import ast
                class Visitor(ast.NodeVisitor):
                    def visit_Constant(self, node):
                        return node.value + 1
            """
        },
        {"helper.py": ("value + 1", "value + 2")},
    ),
    miss(
        "callback_given_to_the_standard_library",
        "from helper import order",
        "sorted([1, 2, 3], key=order)",
        {"helper.py": "def order(x): return x\n"},
        {"helper.py": ("return x", "return -x")},
    ),
    miss(
        "default_factory_of_a_dict",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from collections import defaultdict
                def make(): return 1
                TABLE = defaultdict(make)
                def f(x): return TABLE[x]
            """
        },
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "weak_reference_to_a_function",
        "from helper import REF",
        "REF()()",
        {"helper.py": "import weakref\ndef f(): return 1\nREF = weakref.ref(f)\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "function_rebuilt_from_its_code",
        "from helper import g",
        "g(cfg.x)",
        {
            "helper.py": """
                import types
                RATE = 2
                def f(x): return RATE * x
                g = types.FunctionType(f.__code__, {"RATE": 3})
            """
        },
        {"helper.py": ('"RATE": 3', '"RATE": 4')},
    ),
    miss(
        "stack_inspection",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                import sys
                def look():
                    return sys._getframe(1).f_globals["RATE"]
                RATE = 2
                def f(x):
                    return look() * x
            """
        },
        {"helper.py": ("RATE = 2", "RATE = 3")},
    ),
    miss(
        "string_format_with_an_attribute",
        "from helper import Model",
        "'{0.rate}'.format(Model())",
        {"helper.py": "class Model:\n    @property\n    def rate(self): return 1\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "line_numbers_read",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x):\n    import inspect\n    return inspect.getsource(f)\n"},
        {"helper.py": "def f(x):\n    # why\n    import inspect\n    return inspect.getsource(f)\n"},
    ),
    miss(
        "submodule_that_star_import_brings_by_all",
        "from pack import *",
        "part.go()",
        {"pack/__init__.py": "__all__ = ['part']\n", "pack/part.py": "def go(): return 1\n"},
        {"pack/part.py": ("return 1", "return 2")},
    ),
    miss(
        "lazy_loader",
        "from helper import part",
        "part.go()",
        {
            "helper.py": """
                class Lazy:
                    def __init__(self, name):
                        self._name = name
                    def __getattr__(self, attribute):
                        import importlib
                        return getattr(importlib.import_module(self._name), attribute)
                part = Lazy("models.a")
            """,
            **_MODELS,
        },
        _A,
    ),
    hit(
        "module_beside_a_package_that_is_imported_by_computed_names",
        "import importlib",
        "importlib.import_module(f'models.{cfg.name}').go()",
        {**_MODELS, **_WHICH, "other/__init__.py": "", "other/c.py": "X = 1\n", "single.py": "X = 1\n"},
        {"other/c.py": "X = 2\n", "single.py": "X = 2\n"},
        plain=False,
    ),
    hit(
        "other_function_beside_a_literal_getattr",
        "import helper",
        "getattr(helper, 'a')()",
        {"helper.py": "def a(): return 1\n", "other.py": "def b(): return 2\n"},
        {"other.py": ("return 2", "return 20")},
    ),
]
