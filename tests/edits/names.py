"""Attacks on the resolution of names: aliases, shadows, defaults, scopes of functions."""

from __future__ import annotations

from tests.edits.case import miss

CASES = [
    miss(
        "import_aliases_swapped",
        "from helper import a as f, b as g",
        "f(cfg.x) - 2 * g(cfg.x)",
        {"helper.py": "def a(x): return x + 1\ndef b(x): return x + 5\n"},
        {"train.py": ("a as f, b as g", "b as f, a as g")},
    ),
    miss(
        "module_aliases_swapped",
        "from helper import run",
        "run(cfg.x)",
        {
            "helper.py": "import one as left\nimport two as right\ndef run(x): return left.f(x) - right.f(x)\n",
            "one.py": "def f(x): return x\n",
            "two.py": "def f(x): return 3 * x\n",
        },
        {"helper.py": ("import one as left\nimport two as right", "import two as left\nimport one as right")},
    ),
    miss(
        "names_of_two_functions_swapped",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return x + 1\ndef g(x): return x + 2\n"},
        {"helper.py": "def g(x): return x + 1\ndef f(x): return x + 2\n"},
    ),
    miss(
        "new_global_hides_a_builtin",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return len([x, x])\n"},
        {"helper.py": "def f(x): return len([x, x])\ndef len(things): return 7\n"},
    ),
    miss(
        "new_import_hides_a_builtin",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return sum([x, x])\n", "mine.py": "def sum(things): return 7\n"},
        {"helper.py": "from mine import sum\ndef f(x): return sum([x, x])\n"},
    ),
    miss(
        "star_import_hides_a_builtin",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "from mine import *\ndef f(x): return max(x, 3)\n", "mine.py": "def other(x): return x\n"},
        {"mine.py": "def other(x): return x\ndef max(*things): return -1\n"},
    ),
    miss(
        "new_module_hides_one_of_the_standard_library",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "import colorsys\ndef f(x): return colorsys.rgb_to_hsv(0, 0, x)[2]\n"},
        {"colorsys.py": "def rgb_to_hsv(*parts): return 0, 0, 77\n"},
    ),
    miss(
        "new_folder_hides_a_module",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return x\n"},
        {"helper/__init__.py": "def f(x): return x + 1\n"},
    ),
    miss(
        "later_definition_of_the_same_name",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return x + 1\ndef g(x): return x\n"},
        {"helper.py": "def f(x): return x + 1\ndef g(x): return x\nf = g\n"},
    ),
    miss(
        "order_of_two_bindings_of_one_name",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return x + 1\ndef f(x): return x + 2\n"},
        {"helper.py": "def f(x): return x + 2\ndef f(x): return x + 1\n"},
    ),
    miss(
        "order_of_a_star_import_and_a_definition",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "from other import *\ndef f(x): return x + 1\n", "other.py": "def f(x): return x + 2\n"},
        {"helper.py": "def f(x): return x + 1\nfrom other import *\n"},
    ),
    miss(
        "order_of_two_star_imports",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": "from one import *\nfrom two import *\n",
            "one.py": "def f(x): return 1\n",
            "two.py": "def f(x): return 2\n",
        },
        {"helper.py": "from two import *\nfrom one import *\n"},
    ),
    miss(
        "later_star_import_gains_the_name",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": "from one import *\nfrom two import *\n",
            "one.py": "def f(x): return 1\n",
            "two.py": "def g(x): return 2\n",
        },
        {"two.py": "def g(x): return 2\ndef f(x): return 2\n"},
    ),
    miss(
        "all_list_gains_a_name",
        "from helper import *\ndef f(x): return 1\nfrom helper import *",
        "f(cfg.x)",
        {"helper.py": "__all__ = ['g']\ndef f(x): return 2\ndef g(x): return 3\n"},
        {"helper.py": ("['g']", "['g', 'f']")},
    ),
    miss(
        "all_list_extended_elsewhere",
        "from helper import *",
        "f(cfg.x) if 'f' in globals() else 0",
        {"helper.py": "__all__ = ['g']\nimport grow\ndef f(x): return 2\ndef g(x): return 3\n", "grow.py": ""},
        {"grow.py": "import helper\nhelper.__all__.append('f')\n"},
    ),
    miss(
        "default_shared_between_functions",
        "from helper import f, g",
        "(f(cfg.x), g())[1]",
        {
            "helper.py": """
                SEEN = [1]
                def f(x, seen=SEEN):
                    seen.append(x)
                    return len(seen)
                def g(seen=SEEN):
                    return list(seen)
            """
        },
        {"helper.py": ("seen.append(x)", "seen.append(-x)")},
    ),
    miss(
        "default_made_by_a_call",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def start(): return 1\ndef f(x, by=start()): return x + by\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "default_that_is_a_function",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def g(x): return x + 1\ndef f(x, how=g): return how(x)\n"},
        {"helper.py": ("x + 1", "x + 2")},
    ),
    miss(
        "default_of_a_lambda_in_a_loop",
        "from helper import FUNCTIONS",
        "FUNCTIONS[1](cfg.x)",
        {"helper.py": "FUNCTIONS = []\nfor n in (1, 2):\n    FUNCTIONS.append(lambda x, n=n: n * x)\n"},
        {"helper.py": ("(1, 2)", "(1, 3)")},
    ),
    miss(
        "global_read_late_by_a_lambda_in_a_loop",
        "from helper import FUNCTIONS",
        "FUNCTIONS[0](cfg.x)",
        {"helper.py": "FUNCTIONS = []\nfor n in (1, 2):\n    FUNCTIONS.append(lambda x: n * x)\n"},
        {"helper.py": ("(1, 2)", "(1, 3)")},
    ),
    miss(
        "nonlocal_counter",
        "from helper import count",
        "[count() for _ in range(3)]",
        {
            "helper.py": """
                def make():
                    total = 0
                    def count():
                        nonlocal total
                        total += 1
                        return total
                    return count
                count = make()
            """
        },
        {"helper.py": ("total += 1", "total += 2")},
    ),
    miss(
        "nonlocal_becomes_local",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                def f(x):
                    total = 0
                    def add():
                        nonlocal total
                        total = x
                    add()
                    return total
            """
        },
        {"helper.py": ("        nonlocal total\n", "")},
    ),
    miss(
        "local_becomes_global",
        "from helper import f, g",
        "(f(cfg.x), g())[1]",
        {"helper.py": "TOTAL = 0\ndef f(x):\n    TOTAL = x\ndef g(): return TOTAL\n"},
        {"helper.py": ("    TOTAL = x", "    global TOTAL\n    TOTAL = x")},
    ),
    miss(
        "global_set_by_a_function_called_at_import",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                RATE = 0
                def configure():
                    global RATE
                    RATE = 2
                configure()
                def f(x): return RATE * x
            """
        },
        {"helper.py": ("RATE = 2", "RATE = 3")},
    ),
    miss(
        "global_set_by_a_function_called_in_the_job",
        "from helper import f, setup",
        "(setup(), f(cfg.x))[1]",
        {
            "helper.py": """
                def setup():
                    global rate
                    rate = 2
                def f(x): return rate * x
            """
        },
        {"helper.py": ("rate = 2", "rate = 3")},
    ),
    miss(
        "module_imported_by_a_class_body",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                class M:
                    import meth
                    def go(self, x): return self.meth.fit(x)
                def f(x): return M().go(x)
            """,
            "meth.py": "def fit(x): return 2 * x\n",
        },
        {"meth.py": ("2 * x", "3 * x")},
    ),
    miss(
        "name_imported_by_the_body_of_a_class_in_a_function",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                def f(x):
                    class M:
                        from meth import fit
                    return M().fit(x)
            """,
            "meth.py": "def fit(self, x): return 2 * x\n",
        },
        {"meth.py": ("2 * x", "3 * x")},
    ),
    miss(
        "name_imported_and_read_by_locals",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                def f(x):
                    from meth import fit
                    return locals()['fit'](x)
            """,
            "meth.py": "def fit(x): return 2 * x\n",
        },
        {"meth.py": ("2 * x", "3 * x")},
    ),
    miss(
        "name_like_that_for_type_checkers",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                TYPE_CHECKING = True
                if TYPE_CHECKING:
                    R = 2
                else:
                    R = 5
                def f(x): return R * x
            """
        },
        {"helper.py": ("R = 2", "R = 3")},
    ),
]
