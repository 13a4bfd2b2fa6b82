"""Attacks on what binds a name, and on its value's type; names that only look alike."""

from __future__ import annotations

from tests.edits.case import hit, miss

CASES = [
    miss(
        "walrus_at_module_level",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "if (rate := 2) > 1:\n    pass\ndef f(x): return rate * x\n"},
        {"helper.py": ("rate := 2", "rate := 3")},
    ),
    miss(
        "walrus_inside_a_comprehension",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "LAST = [last := n * 2 for n in range(4)]\ndef f(x): return last\n"},
        {"helper.py": ("n * 2", "n * 3")},
    ),
    miss(
        "loop_variable_left_at_module_level",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "for rate in (1, 2):\n    pass\ndef f(x): return rate * x\n"},
        {"helper.py": ("(1, 2)", "(1, 3)")},
    ),
    miss(
        "name_bound_by_with",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from contextlib import nullcontext
                with nullcontext(2) as rate:
                    pass
                def f(x): return rate * x
            """
        },
        {"helper.py": ("nullcontext(2)", "nullcontext(3)")},
    ),
    miss(
        "name_bound_by_unpacking",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "(a, *(rate, b)), c = (0, 2, 1), 4\ndef f(x): return rate * x\n"},
        {"helper.py": ("(0, 2, 1)", "(0, 3, 1)")},
    ),
    miss(
        "name_bound_by_augmented_assignment",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "RATE = 1\nRATE += 1\ndef f(x): return RATE * x\n"},
        {"helper.py": ("+= 1", "+= 2")},
    ),
    miss(
        "name_deleted",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def len(things): return 7\ndef f(x): return len([x])\n"},
        {"helper.py": "def len(things): return 7\ndef f(x): return len([x])\ndel len\n"},
    ),
    miss(
        "chained_assignment",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "LOW = HIGH = 2\ndef f(x): return HIGH * x\n"},
        {"helper.py": ("= 2", "= 3")},
    ),
    miss(
        "annotated_assignment",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "RATE: int = 2\ndef f(x): return RATE * x\n"},
        {"helper.py": ("int = 2", "int = 3")},
    ),
    miss(
        "class_scope_is_skipped_by_its_methods",
        "from helper import Model",
        "Model().go()",
        {"helper.py": "RATE = 2\nclass Model:\n    RATE = 5\n    def go(self):\n        return RATE\n"},
        {"helper.py": ("RATE = 2", "RATE = 3")},
    ),
    miss(
        "first_iterable_of_a_comprehension_in_a_class",
        "from helper import Model",
        "Model.table",
        {"helper.py": "class Model:\n    sizes = [1, 2]\n    table = [2 * size for size in sizes]\n"},
        {"helper.py": ("[1, 2]", "[1, 3]")},
    ),
    miss(
        "comprehension_reads_the_global_and_not_its_own_variable",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "n = [1, 2]\ndef f(x): return [n * x for n in n]\n"},
        {"helper.py": ("[1, 2]", "[1, 3]")},
    ),
    miss(
        "star_arguments",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": "ARGS = (1, 2)\nMORE = {'c': 3}\ndef g(a, b, c): return a - b - c\n"
            "def f(x): return g(*ARGS, **MORE)\n"
        },
        {"helper.py": ("'c': 3", "'c': 4")},
    ),
    miss(
        "names_of_parameters",
        "from helper import f",
        "f(cfg.x, 5)",
        {"helper.py": "def f(a, b): return a - b\n"},
        {"helper.py": ("def f(a, b)", "def f(b, a)")},
    ),
    miss(
        "names_of_keyword_parameters_that_are_passed_on",
        "from helper import f",
        "f(alpha=cfg.x)",
        {"helper.py": "def f(**options): return sorted(options)\n"},
        {"train.py": ("f(alpha=cfg.x)", "f(beta=cfg.x)")},
    ),
    miss(
        "positional_only_marker",
        "from helper import f",
        "f(cfg.x, b=1)",
        {"helper.py": "def f(a, b=2, **more): return (b, more)\n"},
        {"helper.py": ("b=2, **more", "b=2, /, **more")},
    ),
    miss(
        "mangled_private_name",
        "from model import Model",
        "Model().go()",
        {"model.py": "class Model:\n    __rate = 2\n    def go(self):\n        return self.__rate\n"},
        {"model.py": ("__rate = 2", "__rate = 3")},
    ),
    miss(
        "integer_becomes_float",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "ONE = 1\ndef f(x): return ONE * x\n"},
        {"helper.py": ("ONE = 1", "ONE = 1.0")},
    ),
    miss(
        "integer_becomes_bool",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return 1\n"},
        {"helper.py": ("return 1", "return True")},
    ),
    miss(
        "zero_gets_a_sign",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "ZERO = 0.0\ndef f(x): return ZERO\n"},
        {"helper.py": ("0.0", "-0.0")},
    ),
    miss(
        "str_becomes_bytes",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return 'ab'\n"},
        {"helper.py": ("'ab'", "b'ab'")},
    ),
    miss(
        "split_of_two_strings",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return ['ab', 'c']\n"},
        {"helper.py": ("'ab', 'c'", "'a', 'bc'")},
    ),
    miss(
        "list_becomes_tuple",
        "from helper import PAIR",
        "PAIR",
        {"helper.py": "PAIR = [1, 2]\n"},
        {"helper.py": ("[1, 2]", "(1, 2)")},
    ),
    miss(
        "order_of_a_dict",
        "from helper import TABLE",
        "list(TABLE)",
        {"helper.py": "TABLE = {'a': 1, 'b': 2}\n"},
        {"helper.py": ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}")},
    ),
    hit(
        "global_of_the_name_of_a_local",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "total = 1\ndef f(x):\n    total = x + 1\n    return total\n"},
        {"helper.py": ("total = 1\n", "total = 2\n")},
    ),
    hit(
        "global_of_the_name_of_a_parameter",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def size(): return 1\ndef f(size): return size + 1\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    hit(
        "global_of_the_name_of_a_comprehension_variable",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def n(): return 1\ndef f(x): return [[n for n in range(m)] for m in range(x)]\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    hit(
        "global_of_the_name_of_a_lambda_parameter",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def n(): return 1\ndef f(x): return (lambda n: n + 1)(x)\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    hit(
        "global_of_the_name_of_an_attribute",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                def size():
                    return 1
                class Box:
                    def __init__(self, x):
                        self.size = x
                def f(x):
                    return Box(x).size
            """
        },
        {"helper.py": ("return 1", "return 2")},
    ),
    hit(
        "global_of_the_name_of_a_keyword_argument",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def size(): return 1\ndef f(x): return dict(size=x)['size']\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    hit(
        "global_of_the_name_of_an_exception_variable",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                def error():
                    return 1
                def f(x):
                    try:
                        return 1 // (x - 1)
                    except ZeroDivisionError as error:
                        return type(error).__name__
            """
        },
        {"helper.py": ("    return 1\n", "    return 2\n")},
    ),
    hit(
        "global_of_the_name_of_an_enclosing_local",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                def rate():
                    return 1
                def f(x):
                    rate = 3
                    def inner():
                        return rate * x
                    return inner()
            """
        },
        {"helper.py": ("return 1", "return 2")},
    ),
]
