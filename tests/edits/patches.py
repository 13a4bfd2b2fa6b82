"""Attacks by modules that replace, when they are imported, what others call."""

from __future__ import annotations

from tests.edits.case import miss

CASES = [
    miss(
        "attribute_of_a_function",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return f.rate * x\nf.rate = 2\n"},
        {"helper.py": ("f.rate = 2", "f.rate = 3")},
    ),
    miss(
        "defaults_of_a_function_replaced",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x, by=1): return by * x\nf.__defaults__ = (2,)\n"},
        {"helper.py": ("(2,)", "(3,)")},
    ),
    miss(
        "code_of_a_function_replaced",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return x\ndef g(x): return x + 1\nf.__code__ = g.__code__\n"},
        {"helper.py": ("x + 1", "x + 2")},
    ),
    miss(
        "function_set_into_another_module",
        "import helper, late",
        "helper.f(cfg.x)",
        {
            "helper.py": "def f(x): return x\n",
            "late.py": "import helper\ndef better(x): return x + 1\nsetattr(helper, 'f', better)\n",
        },
        {"late.py": ("x + 1", "x + 2")},
    ),
    miss(
        "function_set_into_a_modules_namespace",
        "import helper, late",
        "helper.f(cfg.x)",
        {
            "helper.py": "def f(x): return x\n",
            "late.py": "import helper\nvars(helper)['f'] = lambda x: x + 1\n",
        },
        {"late.py": ("x + 1", "x + 2")},
    ),
    miss(
        "function_set_through_the_table_of_modules",
        "import helper, late",
        "helper.f(cfg.x)",
        {
            "helper.py": "def f(x): return x\n",
            "late.py": "import sys\nsys.modules['helper'].f = lambda x: x + 1\n",
        },
        {"late.py": ("x + 1", "x + 2")},
    ),
    miss(
        "module_replaced_in_the_table_of_modules",
        "import late\nimport helper",
        "helper.f(cfg.x)",
        {
            "helper.py": "def f(x): return x\n",
            "late.py": """
                import sys
                class Fake:
                    @staticmethod
                    def f(x):
                        return x + 1
                sys.modules['helper'] = Fake()
            """,
        },
        {"late.py": ("x + 1", "x + 2")},
    ),
    miss(
        "builtin_replaced",
        "import late",
        "abs(-cfg.x)",
        {"late.py": "import builtins\nbuiltins.abs = lambda x: x + 1\n"},
        {"late.py": ("x + 1", "x + 2")},
    ),
    miss(
        "function_of_the_standard_library_replaced",
        "import late, math",
        "math.sqrt(cfg.x)",
        {"late.py": "import math\nmath.sqrt = lambda x: x + 1\n"},
        {"late.py": ("x + 1", "x + 2")},
    ),
    miss(
        "numpy_option_set_at_import",
        "import late\nimport numpy as np",
        "str(np.array([1 / 3]))",
        {"late.py": "import numpy\nnumpy.set_printoptions(precision=2)\n"},
        {"late.py": ("precision=2", "precision=3")},
    ),
    miss(
        "environment_set_at_import",
        "import late, os",
        "os.environ['RATE']",
        {"late.py": "import os\nos.environ['RATE'] = '2'\n"},
        {"late.py": ("'2'", "'3'")},
    ),
]
