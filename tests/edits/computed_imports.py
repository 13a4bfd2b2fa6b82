"""Attacks by importing what no source text spells."""

from __future__ import annotations

import os
from dataclasses import replace

from tests.edits.case import Scene, miss

_MODELS = {
    "models/__init__.py": "",
    "models/a.py": "def go(): return 1\n",
    "models/b.py": "def go(): return 2\n",
}

_A = {"models/a.py": ("return 1", "return 10")}

_WHICH = {"conf/config.yaml": "x: 1\nname: a\n"}


def _not_importable(scene: Scene) -> None:
    """Put beside the code what is called like a module and is none: opened, a pipe would wait for ever."""
    for folder in (scene.folder, scene.folder / "models"):
        if not (folder / "pipe.py").exists():
            os.mkfifo(folder / "pipe.py")
            (folder / "dangling.py").symlink_to("gone.py")


CASES = [
    replace(
        miss(
            "computed_name_beside_a_pipe_and_a_dangling_link",
            "import importlib",
            "importlib.import_module(cfg.name).go()",
            {**_MODELS, "conf/config.yaml": "x: 1\nname: models.a\n"},
            _A,
            plain=False,
        ),
        prepare=_not_importable,
    ),
    miss(
        "module_loaded_from_a_folder_that_no_name_can_have",
        "from helper import load",
        "load('a').go()",
        {
            "2024-05-exp/a.py": "def go(): return 1\n",
            "helper.py": """
                import importlib.util
                def load(name):
                    spec = importlib.util.spec_from_file_location("loaded", f"2024-05-exp/{name}.py")
                    module = importlib.util.module_from_spec(spec)
                    spec.loader.exec_module(module)
                    return module
            """,
        },
        {"2024-05-exp/a.py": ("return 1", "return 10")},
    ),
    miss(
        "import_module_with_a_computed_name",
        "import importlib",
        "importlib.import_module(f'models.{cfg.name}').go()",
        {**_MODELS, **_WHICH},
        _A,
        plain=False,
    ),
    miss(
        "import_module_with_a_name_from_a_helper",
        "from helper import load",
        "load(cfg.name).go()",
        {
            **_MODELS,
            **_WHICH,
            "helper.py": "from importlib import import_module as im\ndef load(n): return im('models.' + n)\n",
        },
        _A,
        plain=False,
    ),
    miss(
        "import_module_of_a_relative_name",
        "from models import load",
        "load(cfg.name).go()",
        {
            **_MODELS,
            **_WHICH,
            "models/__init__.py": "from importlib import import_module\n"
            "def load(n): return import_module('.' + n, __package__)\n",
        },
        _A,
        plain=False,
    ),
    miss(
        "dunder_import",
        "",
        "__import__('models.' + cfg.name, fromlist=['go']).go()",
        {**_MODELS, **_WHICH},
        _A,
        plain=False,
    ),
    miss(
        "function_that_imports_passed_around",
        "import importlib\nfrom helper import call",
        "call(importlib.import_module, 'models.' + cfg.name).go()",
        {**_MODELS, **_WHICH, "helper.py": "def call(how, what): return how(what)\n"},
        _A,
        plain=False,
    ),
    miss(
        "importer_reached_by_getattr",
        "import importlib",
        "getattr(importlib, 'import_' + 'module')('models.' + cfg.name).go()",
        {**_MODELS, **_WHICH},
        _A,
        plain=False,
    ),
    miss(
        "import_of_what_a_list_names",
        "from helper import MODULES\nimport importlib",
        "[importlib.import_module(m).go() for m in MODULES]",
        {**_MODELS, "helper.py": "MODULES = ['models.' + c for c in 'ab']\n"},
        _A,
    ),
    miss(
        "modules_found_by_pkgutil",
        "from helper import load_all",
        "load_all()",
        {
            **_MODELS,
            "helper.py": """
                import importlib, pkgutil
                import models
                def load_all():
                    names = [found.name for found in pkgutil.iter_modules(models.__path__)]
                    return [importlib.import_module(f"models.{name}").go() for name in sorted(names)]
            """,
        },
        _A,
    ),
    miss(
        "module_added_for_pkgutil_to_find",
        "from helper import load_all",
        "load_all()",
        {
            **_MODELS,
            "helper.py": """
                import importlib, pkgutil
                import models
                def load_all():
                    names = [found.name for found in pkgutil.iter_modules(models.__path__)]
                    return [importlib.import_module(f"models.{name}").go() for name in sorted(names)]
            """,
        },
        {"models/c.py": "def go(): return 3\n"},
    ),
    miss(
        "module_loaded_from_its_path",
        "from helper import load",
        "load('a').go()",
        {
            **_MODELS,
            "helper.py": """
                import importlib.util, os
                def load(name):
                    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models", name + ".py")
                    spec = importlib.util.spec_from_file_location("loaded", path)
                    module = importlib.util.module_from_spec(spec)
                    spec.loader.exec_module(module)
                    return module
            """,
        },
        _A,
    ),
    miss(
        "program_run_by_runpy",
        "import runpy, os",
        "runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'script.py'))['VALUE']",
        {"script.py": "VALUE = 1\n"},
        {"script.py": ("VALUE = 1", "VALUE = 2")},
    ),
    miss(
        "source_that_is_read_and_executed",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from pathlib import Path
                space = {}
                exec(Path(__file__).with_name("body.py").read_text(), space)
                f = space["f"]
            """,
            "body.py": "def f(x): return x + 1\n",
        },
        {"body.py": ("x + 1", "x + 2")},
    ),
    miss(
        "program_run_as_a_process",
        "import subprocess, sys, os\nHERE = os.path.dirname(os.path.abspath(__file__))",
        "int(subprocess.check_output([sys.executable, os.path.join(HERE, 'script.py')]))",
        {"script.py": "print(1)\n"},
        {"script.py": "print(2)\n"},
    ),
]
