"""Attacks by modules that change, when they are imported, what others hold."""

from __future__ import annotations

from tests.edits.case import miss

CASES = [
    miss(
        "mutation_through_an_alias",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "TABLE = {}\nother = TABLE\nother['rate'] = 2\ndef f(x): return TABLE['rate'] * x\n"},
        {"helper.py": ("= 2\n", "= 3\n")},
    ),
    miss(
        "mutation_through_an_argument",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                TABLE = {}
                def fill(table):
                    table["rate"] = 2
                fill(TABLE)
                def f(x):
                    return TABLE["rate"] * x
            """
        },
        {"helper.py": ('"rate"] = 2', '"rate"] = 3')},
    ),
    miss(
        "mutation_by_the_standard_library",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                import random
                CARDS = [1, 2, 3, 4, 5]
                random.Random(1).shuffle(CARDS)
                def f(x):
                    return CARDS
            """
        },
        {"helper.py": ("Random(1)", "Random(3)")},
    ),
    miss(
        "seed_of_a_global_generator",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "import random\nrandom.seed(1)\nVALUE = random.random()\ndef f(x): return VALUE * x\n"},
        {"helper.py": ("seed(1)", "seed(2)")},
    ),
    miss(
        "seed_in_another_module",
        "import seeds\nimport random",
        "(seeds, random.random())[1]",
        {"seeds.py": "import random\nrandom.seed(1)\n"},
        {"seeds.py": ("seed(1)", "seed(2)")},
    ),
    miss(
        "mutation_through_another_modules_import",
        "import late\nfrom tables import TABLE",
        "TABLE['rate']",
        {"tables.py": "TABLE = {'rate': 1}\n", "late.py": "from tables import TABLE as t\nt['rate'] = 2\n"},
        {"late.py": ("= 2", "= 3")},
    ),
    miss(
        "mutation_by_a_module_that_a_helper_imports",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": "import deep.effects\nimport tables\ndef f(x): return tables.TABLE['rate'] * x\n",
            "tables.py": "TABLE = {'rate': 1}\n",
            "deep/__init__.py": "",
            "deep/effects.py": "import tables\ntables.TABLE.update(rate=2)\n",
        },
        {"deep/effects.py": ("rate=2", "rate=3")},
    ),
    miss(
        "mutation_through_a_list_of_tables",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "A = {}\nB = {}\nfor table in (A, B):\n    table['rate'] = 2\ndef f(x): return A['rate'] * x\n"},
        {"helper.py": ("= 2\n", "= 3\n")},
    ),
    miss(
        "mutation_through_a_method_that_returns_self",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                class Builder:
                    def __init__(self):
                        self.parts = []
                    def add(self, part):
                        self.parts.append(part)
                        return self
                BUILDER = Builder()
                BUILDER.add(1).add(2)
                def f(x):
                    return BUILDER.parts
            """
        },
        {"helper.py": (".add(2)", ".add(3)")},
    ),
    miss(
        "mutation_inside_an_expression",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "PARTS = [1]\nUNUSED = PARTS.append(2)\ndef f(x): return PARTS\n"},
        {"helper.py": ("append(2)", "append(3)")},
    ),
    miss(
        "mutation_inside_a_comprehension",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "PARTS = []\n_ = [PARTS.append(n * 2) for n in range(3)]\ndef f(x): return PARTS\n"},
        {"helper.py": ("n * 2", "n * 3")},
    ),
    miss(
        "mutation_inside_a_default",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "PARTS = []\ndef unused(a=PARTS.append(2)): pass\ndef f(x): return PARTS\n"},
        {"helper.py": ("append(2)", "append(3)")},
    ),
    miss(
        "mutation_inside_a_class_body",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "PARTS = []\nclass Unused:\n    PARTS.append(2)\ndef f(x): return PARTS\n"},
        {"helper.py": ("append(2)", "append(3)")},
    ),
    miss(
        "mutation_inside_a_decorator_expression",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                PARTS = []
                def note(part):
                    PARTS.append(part)
                    return lambda function: function
                @note(2)
                def unused():
                    pass
                def f(x):
                    return PARTS
            """
        },
        {"helper.py": ("@note(2)", "@note(3)")},
    ),
    miss(
        "mutation_inside_a_condition",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "PARTS = [1, 2, 3]\nif PARTS.pop(0):\n    pass\ndef f(x): return PARTS\n"},
        {"helper.py": ("pop(0)", "pop(1)")},
    ),
    miss(
        "mutation_inside_an_assertion",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "PARTS = [1, 2, 3]\nassert PARTS.pop(0)\ndef f(x): return PARTS\n"},
        {"helper.py": ("pop(0)", "pop(1)")},
    ),
    miss(
        "mutation_while_a_constant_is_computed",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                LOG = []
                def compute():
                    LOG.append(2)
                    return 1
                UNUSED = compute()
                def f(x):
                    return LOG
            """
        },
        {"helper.py": ("append(2)", "append(3)")},
    ),
    miss(
        "mutation_by_a_constructor",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                KNOWN = []
                class Plugin:
                    def __init__(self, rank):
                        KNOWN.append(rank)
                UNUSED = Plugin(2)
                def f(x):
                    return KNOWN
            """
        },
        {"helper.py": ("Plugin(2)", "Plugin(3)")},
    ),
    miss(
        "subscript_assignment_to_a_nested_table",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "T = {'a': {}}\nT['a']['b'] = 2\ndef f(x): return T['a']['b'] * x\n"},
        {"helper.py": ("['b'] = 2", "['b'] = 3")},
    ),
    miss(
        "deletion_from_a_table",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "T = {'a': 1, 'b': 2}\ndel T['a']\ndef f(x): return sorted(T)\n"},
        {"helper.py": ("del T['a']", "del T['b']")},
    ),
    miss(
        "augmented_assignment_to_a_list",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "T = [1]\nALIAS = T\nALIAS += [2]\ndef f(x): return T\n"},
        {"helper.py": ("+= [2]", "+= [3]")},
    ),
]
