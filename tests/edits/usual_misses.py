"""What every caching tool should notice: functions, classes, decorators."""

from __future__ import annotations

from tests.edits.case import miss

CASES = [
    miss(
        "helper_three_modules_deep",
        "import one",
        "one.f(cfg.x)",
        {
            "one.py": "from two import g\ndef f(x): return g(x)\n",
            "two.py": "import three\ndef g(x): return three.h(x)\n",
            "three.py": "def h(x): return x + 1\n",
        },
        {"three.py": ("x + 1", "x + 2")},
    ),
    miss(
        "constant_imported_under_another_name",
        "from consts import SCALE as factor",
        "factor * cfg.x",
        {"consts.py": "SCALE = 3\n"},
        {"consts.py": "SCALE = 4\n"},
    ),
    miss(
        "base_class_in_another_file",
        "from model import Model",
        "Model().go()",
        {
            "base.py": "class Base:\n    def go(self):\n        return 1\n",
            "model.py": "from base import Base\nclass Model(Base):\n    pass\n",
        },
        {"base.py": ("return 1", "return 2")},
    ),
    miss(
        "class_attribute",
        "from model import Model",
        "Model().go()",
        {"model.py": "class Model:\n    rate = 1\n    def go(self):\n        return self.rate\n"},
        {"model.py": ("rate = 1", "rate = 2")},
    ),
    miss(
        "dataclass_default",
        "from model import Options",
        "Options().rate",
        {"model.py": "from dataclasses import dataclass\n@dataclass\nclass Options:\n    rate: int = 1\n"},
        {"model.py": ("int = 1", "int = 2")},
    ),
    miss(
        "property",
        "from model import Model",
        "Model().rate",
        {"model.py": "class Model:\n    @property\n    def rate(self):\n        return 1\n"},
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "metaclass",
        "from model import Model",
        "Model().rate",
        {
            "model.py": """
                class Meta(type):
                    def __new__(mcs, name, bases, body):
                        body["rate"] = 1
                        return super().__new__(mcs, name, bases, body)
                class Model(metaclass=Meta):
                    pass
            """
        },
        {"model.py": ('body["rate"] = 1', 'body["rate"] = 2')},
    ),
    miss(
        "default_argument",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x, by=1): return x * by\n"},
        {"helper.py": ("by=1", "by=2")},
    ),
    miss(
        "decorator_body",
        "from helper import f",
        "f(cfg.x)",
        {
            "deco.py": """
                def twice(function):
                    def inner(*args):
                        return 2 * function(*args)
                    return inner
            """,
            "helper.py": "from deco import twice\n@twice\ndef f(x): return x\n",
        },
        {"deco.py": ("return 2 *", "return 3 *")},
    ),
    miss(
        "lambda_bound_to_a_global",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "f = lambda x: x + 1\n"},
        {"helper.py": ("x + 1", "x + 2")},
    ),
    miss(
        "value_in_a_module_level_partial",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "from functools import partial\ndef g(by, x): return by * x\nf = partial(g, 2)\n"},
        {"helper.py": ("partial(g, 2)", "partial(g, 3)")},
    ),
    miss(
        "nested_function",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x):\n    def inner():\n        return x + 1\n    return inner()\n"},
        {"helper.py": ("x + 1", "x + 2")},
    ),
    miss(
        "argument_of_a_closure_factory",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def make(by):\n    def f(x):\n        return by * x\n    return f\nf = make(2)\n"},
        {"helper.py": ("make(2)", "make(3)")},
    ),
    miss(
        "function_that_computes_a_constant",
        "from helper import TABLE",
        "TABLE[cfg.x]",
        {"helper.py": "def build():\n    return [n * 2 for n in range(9)]\nTABLE = build()\n"},
        {"helper.py": ("n * 2", "n * 3")},
    ),
    miss(
        "name_imported_inside_a_function",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": "def f(x):\n    from late import g\n    return g(x)\n",
            "late.py": "def g(x): return x + 1\n",
        },
        {"late.py": ("x + 1", "x + 2")},
    ),
    miss(
        "module_reached_by_getattr",
        "import helper",
        "getattr(helper, 'f' + str(cfg.x))()",
        {"helper.py": "def f1(): return 1\ndef f2(): return 2\n"},
        {"helper.py": ("return 1", "return 10")},
    ),
]
