"""Attacks by code that reads the text of source files: of it, all counts."""

from __future__ import annotations

from tests.edits.case import miss

CASES = [
    miss(
        "own_text_parsed",
        "import ast",
        "sum(isinstance(n, ast.FunctionDef) for n in ast.walk(ast.parse(open(__file__).read()))) + cfg.x",
        {},
        {
            "train.py": (
                "import ast",
                "import ast\ndef unused(): pass",
            )
        },
    ),
    miss(
        "text_of_a_reached_module_read",
        "import ast, pathlib, helper",
        "len(pathlib.Path(helper.__file__).read_text()) + helper.f(cfg.x)",
        {
            "helper.py": """
                def f(x): return x
                def unused(): return 1
            """
        },
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "text_of_a_reached_module_tokenized",
        "import tokenize, helper",
        "len(tokenize.open(helper.__file__).read()) + helper.f(cfg.x)",
        {
            "helper.py": """
                def f(x): return x
                def unused(): return 1
            """
        },
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "text_of_a_reached_module_through_its_loader",
        "import helper",
        "len(helper.__loader__.get_source('helper')) + helper.f(cfg.x)",
        {
            "helper.py": """
                def f(x): return x
                def unused(): return 1
            """
        },
        {"helper.py": ("return 1", "return 10")},
    ),
    miss(
        "text_of_a_reached_module_through_pkgutil",
        "import pkgutil, pack.helper",
        "len(pkgutil.get_data('pack', 'helper.py')) + pack.helper.f(cfg.x)",
        {
            "pack/__init__.py": "",
            "pack/helper.py": """
                def f(x): return x
                def unused(): return 1
            """,
        },
        {"pack/helper.py": ("return 1", "return 10")},
    ),
    miss(
        "text_of_a_reached_module_through_resources",
        """
                import importlib.resources as r
                import pack.helper
            """,
        "len(r.files('pack').joinpath('helper.py').read_text()) + pack.helper.f(cfg.x)",
        {
            "pack/__init__.py": "",
            "pack/helper.py": """
                def f(x): return x
                def unused(): return 1
            """,
        },
        {"pack/helper.py": ("return 1", "return 10")},
    ),
]
