"""Attacks by distributions, optional imports, other programs, and guards."""

from __future__ import annotations

import sys

from tests.edits.case import SITE, distribution, hit, miss

_CHAIN = {
    "pack/__init__.py": "from .sub import f\n",
    "pack/sub/__init__.py": "from .deeper import f\n",
    "pack/sub/deeper/__init__.py": "from ._impl import g as f\n",
    "pack/sub/deeper/_impl.py": "def g(x): return x + 1\ndef unused(x): return x\n",
}

CASES = [
    miss(
        "first_party_module_hides_a_distribution",
        "import fakelib",
        "fakelib.VALUE",
        {**distribution("1.0", "VALUE = 1\n"), "fakelib.py": "VALUE = 2\n"},
        {"fakelib.py": ("VALUE = 2", "VALUE = 3")},
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "distribution_no_longer_hidden",
        "import fakelib",
        "fakelib.VALUE",
        {**distribution("1.0", "VALUE = 1\n"), "fakelib.py": "VALUE = 2\n"},
        {"fakelib.py": None},
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "version_of_what_a_distribution_requires",
        "import fakelib",
        "fakelib.value()",
        {
            **distribution("1.0", "import otherlib\ndef value(): return otherlib.VALUE\n", requires="otherlib"),
            **distribution("1.0", "VALUE = 1\n", name="otherlib"),
        },
        distribution("2.0", "VALUE = 2\n", name="otherlib"),
        sites=(SITE,),
        plain=False,
    ),
    hit(
        "version_of_a_distribution_that_nothing_uses",
        "import fakelib",
        "fakelib.VALUE",
        {**distribution("1.0", "VALUE = 1\n"), **distribution("1.0", "VALUE = 1\n", name="otherlib")},
        distribution("2.0", "VALUE = 2\n", name="otherlib"),
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "distribution_imported_inside_a_function",
        "from helper import f",
        "f(cfg.x)",
        {
            **distribution("1.0", "VALUE = 1\n"),
            "helper.py": "def f(x):\n    import fakelib\n    return fakelib.VALUE\n",
        },
        distribution("1.1", "VALUE = 2\n"),
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "optional_distribution_appears",
        "from helper import f",
        "f(cfg.x)",
        {
            f"{SITE}/readme.txt": "\n",
            "helper.py": """
                def f(x):
                    try:
                        import fakelib
                    except ImportError:
                        return x
                    return fakelib.VALUE
            """,
        },
        distribution("1.0", "VALUE = 7\n"),
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "optional_module_appears",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                try:
                    from fast import f
                except ImportError:
                    def f(x):
                        return x + 1
            """
        },
        {"fast.py": "def f(x): return x + 2\n"},
    ),
    miss(
        "optional_name_appears",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                try:
                    from fast import quick as f
                except ImportError:
                    def f(x):
                        return x + 1
            """,
            "fast.py": "def slow(x): return x\n",
        },
        {"fast.py": "def slow(x): return x\ndef quick(x): return x + 2\n"},
    ),
    miss(
        "optional_module_fails_to_import",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                try:
                    from fast import f
                except ImportError:
                    def f(x):
                        return x + 1
            """,
            "fast.py": "def f(x): return x + 2\n",
        },
        {"fast.py": "raise ImportError\ndef f(x): return x + 2\n"},
    ),
    miss(
        "run_as_a_module",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return x + 1\n"},
        {"helper.py": ("x + 1", "x + 2")},
        command=("-m", "train"),
        plain=False,
    ),
    miss(
        "run_as_a_package",
        "",
        "cfg.x",
        {
            "pack/__init__.py": "RATE = 1\n",
            "pack/__main__.py": """
                import json, os
                import hydra
                from hydra.core.hydra_config import HydraConfig
                from pack import RATE
                from .helper import f
                @hydra.main(config_path="../conf", config_name="config", version_base=None)
                def main(cfg):
                    value = f(cfg.x) * RATE
                    with open(os.environ["RUNS"], "a") as file:
                        file.write(json.dumps([" ".join(HydraConfig.get().overrides.task), repr(value)]) + "\\n")
                    return value
                main()
            """,
            "pack/helper.py": "def f(x): return x + 1\n",
        },
        {"pack/helper.py": ("x + 1", "x + 2")},
        command=("-m", "pack"),
        plain=False,
    ),
    miss(
        "task_in_another_module_than_the_program",
        "",
        "cfg.x",
        {
            "conf/__init__.py": "",
            "run.py": "from train import main\nif __name__ == '__main__':\n    main()\n",
            "helper.py": "def f(x): return x + 1\n",
        },
        {"train.py": ("value = cfg.x", "value = cfg.x + 1")},
        command=("run.py",),
        plain=False,
    ),
    miss(
        "program_that_patches_the_tasks_module",
        "import helper",
        "helper.f(cfg.x)",
        {
            "conf/__init__.py": "",
            "run.py": "import helper\nfrom train import main\nhelper.f = lambda x: x + 1\nmain()\n",
            "helper.py": "def f(x): return x\n",
        },
        {"run.py": ("x + 1", "x + 2")},
        command=("run.py",),
        plain=False,
    ),
    miss(
        "else_of_the_main_guard",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                def f(x):
                    return RATE * x
                if __name__ == "__main__":
                    RATE = 1
                else:
                    RATE = 2
            """
        },
        {"helper.py": ("RATE = 2", "RATE = 3")},
    ),
    miss(
        "main_guard_turned_around",
        "import helper",
        "helper.f(cfg.x)",
        {"helper.py": "RATE = 1\ndef f(x): return RATE * x\nif __name__ == '__main__':\n    RATE = 2\n"},
        {"helper.py": ("__name__ ==", "__name__ !=")},
    ),
    miss(
        "main_guard_of_the_program_sets_a_global",
        "RATE = 1",
        "RATE * cfg.x",
        {},
        {"train.py": ("    main()\n", "    RATE = 2\n    main()\n")},
        plain=False,
    ),
    hit(
        "main_guard_of_a_helper",
        "import helper",
        "helper.f(cfg.x)",
        {"helper.py": "def f(x): return x\nif __name__ == '__main__':\n    print(f(1))\n"},
        {"helper.py": ("print(f(1))", "print(f(2))")},
    ),
    hit(
        "import_in_a_main_guard_of_a_helper",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": "def f(x): return x\nif __name__ == '__main__':\n    import script\n    script.run()\n",
            "script.py": "def run(): return 1\n",
        },
        {"script.py": ("return 1", "return 2")},
    ),
    hit(
        "module_imported_for_type_checkers",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from __future__ import annotations
                from typing import TYPE_CHECKING
                if TYPE_CHECKING:
                    from shapes import Shape
                def f(x: Shape) -> Shape:
                    return x
            """,
            "shapes.py": "class Shape:\n    size = 1\n",
        },
        {"shapes.py": ("size = 1", "size = 2")},
    ),
    hit(
        "import_added_for_type_checkers",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                import typing
                if typing.TYPE_CHECKING:
                    import one
                def f(x):
                    return x
            """,
            "one.py": "X = 1\n",
            "two.py": "X = 1\n",
        },
        {"helper.py": ("    import one\n", "    import one\n    import two\n")},
    ),
    miss(
        "else_of_a_block_for_type_checkers",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from typing import TYPE_CHECKING
                if TYPE_CHECKING:
                    from one import g
                else:
                    from two import g
                def f(x):
                    return g(x)
            """,
            "one.py": "def g(x): return x\n",
            "two.py": "def g(x): return x + 1\n",
        },
        {"two.py": ("x + 1", "x + 2")},
    ),
    hit(
        "other_function_of_a_module_that_one_is_imported_from",
        "from pack import f",
        "f(cfg.x)",
        _CHAIN,
        {"pack/sub/deeper/_impl.py": ("return x\n", "return -x\n")},
    ),
    hit(
        "other_function_of_a_module_reached_by_its_name",
        "import helper",
        "helper.f(cfg.x)",
        {"helper.py": "def f(x): return x\ndef g(x): return x\n"},
        {"helper.py": ("def g(x): return x", "def g(x): return -x")},
    ),
    hit(
        "module_that_only_an_unused_function_imports",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": "def f(x): return x\ndef unused():\n    import heavy\n    return heavy.g()\n",
            "heavy.py": "def g(): return 1\n",
        },
        {"heavy.py": ("return 1", "return 2")},
    ),
    hit(
        "function_that_only_an_unused_function_calls",
        "import helper",
        "helper.f(cfg.x)",
        {"helper.py": "def f(x): return x\ndef unused(): return g()\ndef g(): return 1\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
]
if sys.version_info >= (3, 11):
    CASES.append(
        miss(
            "except_star",
            "from helper import f",
            "f(cfg.x)",
            {
                "helper.py": """
                    def f(x):
                        got = []
                        try:
                            raise ExceptionGroup("both", [ValueError(), TypeError()])
                        except* ValueError:
                            got.append(1)
                        except* TypeError:
                            got.append(2)
                        return got
                """
            },
            {"helper.py": ("append(2)", "append(3)")},
        )
    )
