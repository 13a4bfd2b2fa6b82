"""Attacks by registries, decorators, partials, and what runs at module level."""

from __future__ import annotations

from tests.edits.case import hit, miss

CASES = [
    miss(
        "registration_by_a_plain_call",
        "import plugins\nfrom registry import KNOWN",
        "KNOWN['f'](cfg.x)",
        {
            "registry.py": "KNOWN = {}\ndef register(name, function):\n    KNOWN[name] = function\n",
            "plugins.py": "from registry import register\ndef f(x): return x + 1\nregister('f', f)\n",
        },
        {"plugins.py": ("x + 1", "x + 2")},
    ),
    miss(
        "registration_under_another_name",
        "import plugins\nfrom registry import KNOWN",
        "KNOWN['f'](cfg.x)",
        {
            "registry.py": """
                KNOWN = {}
                def register(name):
                    def note(function):
                        KNOWN[name] = function
                        return function
                    return note
            """,
            "plugins.py": """
                from registry import register
                @register("f")
                def one(x):
                    return x + 1
                @register("g")
                def two(x):
                    return x + 2
            """,
        },
        {
            "plugins.py": """
                from registry import register
                @register("g")
                def one(x):
                    return x + 1
                @register("f")
                def two(x):
                    return x + 2
            """
        },
    ),
    miss(
        "registrar_changed",
        "import plugins\nfrom registry import KNOWN",
        "KNOWN['f'](cfg.x)",
        {
            "registry.py": """
                KNOWN = {}
                def register(function):
                    KNOWN[function.__name__] = lambda x: 2 * function(x)
                    return function
            """,
            "plugins.py": "from registry import register\n@register\ndef f(x): return x\n",
        },
        {"registry.py": ("2 *", "3 *")},
    ),
    miss(
        "registry_that_is_an_object",
        "import plugins\nfrom registry import REGISTRY",
        "REGISTRY.get('f')(cfg.x)",
        {
            "registry.py": """
                class Registry:
                    def __init__(self):
                        self._known = {}
                    def add(self, function):
                        self._known[function.__name__] = function
                        return function
                    def get(self, name):
                        return self._known[name]
                REGISTRY = Registry()
            """,
            "plugins.py": "from registry import REGISTRY\n@REGISTRY.add\ndef f(x): return x + 1\n",
        },
        {"plugins.py": ("x + 1", "x + 2")},
    ),
    miss(
        "new_registration",
        "import plugins\nfrom registry import KNOWN",
        "sorted(KNOWN)",
        {
            "registry.py": "KNOWN = {}\ndef register(function):\n"
            "    KNOWN[function.__name__] = function\n    return function\n",
            "plugins.py": "from registry import register\n@register\ndef f(x): return x\n",
        },
        {"plugins.py": "from registry import register\n@register\ndef f(x): return x\n@register\ndef g(x): return x\n"},
    ),
    miss(
        "singledispatch_registered_in_another_module",
        "import late\nfrom helper import show",
        "show(cfg.x)",
        {
            "helper.py": "from functools import singledispatch\n@singledispatch\ndef show(x): return 'any'\n",
            "late.py": "from helper import show\n@show.register\ndef _(x: int): return 'int'\n",
        },
        {"late.py": ("'int'", "'whole'")},
    ),
    miss(
        "singledispatch_registered_for_another_type",
        "from helper import show",
        "show(cfg.x)",
        {
            "helper.py": """
                from functools import singledispatch
                @singledispatch
                def show(x):
                    return 'any'
                @show.register(str)
                def _(x):
                    return 'str'
            """
        },
        {"helper.py": ("register(str)", "register(int)")},
    ),
    miss(
        "singledispatchmethod",
        "from helper import Model",
        "Model().show(cfg.x)",
        {
            "helper.py": """
                from functools import singledispatchmethod
                class Model:
                    @singledispatchmethod
                    def show(self, x):
                        return 'any'
                    @show.register
                    def _(self, x: int):
                        return 'int'
            """
        },
        {"helper.py": ("'int'", "'whole'")},
    ),
    miss(
        "only_the_wrapper_changes",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                import functools
                def twice(function):
                    @functools.wraps(function)
                    def inner(x):
                        return 2 * function(x)
                    return inner
                @twice
                def f(x):
                    return x
            """
        },
        {"helper.py": ("2 *", "3 *")},
    ),
    miss(
        "only_the_wrapped_changes",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                import functools
                def twice(function):
                    @functools.wraps(function)
                    def inner(x):
                        return 2 * function(x)
                    return inner
                @twice
                def f(x):
                    return x + 1
            """
        },
        {"helper.py": ("x + 1", "x + 2")},
    ),
    miss(
        "order_of_decorators",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                def twice(function):
                    return lambda x: 2 * function(x)
                def more(function):
                    return lambda x: function(x) + 1
                @twice
                @more
                def f(x):
                    return x
            """
        },
        {"helper.py": ("@twice\n@more\n", "@more\n@twice\n")},
    ),
    miss(
        "decorator_argument_from_a_third_module",
        "from helper import f",
        "f(cfg.x)",
        {
            "deco.py": "def times(n):\n    return lambda function: lambda x: n * function(x)\n",
            "sizes.py": "SIZE = 2\n",
            "helper.py": "from deco import times\nfrom sizes import SIZE\n@times(SIZE)\ndef f(x): return x\n",
        },
        {"sizes.py": ("SIZE = 2", "SIZE = 3")},
    ),
    miss(
        "decorator_of_the_task",
        "from deco import twice",
        "cfg.x",
        {
            "deco.py": """
                import functools
                RATE = 2
                def twice(function):
                    @functools.wraps(function)
                    def inner(*args):
                        return RATE * function(*args)
                    return inner
            """,
            "train.py": """
                import json, os
                import hydra
                from hydra.core.hydra_config import HydraConfig
                from deco import twice
                def note(function):
                    def inner(cfg):
                        value = function(cfg)
                        with open(os.environ["RUNS"], "a") as file:
                            file.write(json.dumps([" ".join(HydraConfig.get().overrides.task), repr(value)]) + "\\n")
                        return value
                    return inner
                @hydra.main(config_path="conf", config_name="config", version_base=None)
                @note
                @twice
                def main(cfg):
                    return cfg.x
                if __name__ == "__main__":
                    main()
            """,
        },
        {"deco.py": ("RATE = 2", "RATE = 3")},
        plain=False,
    ),
    miss(
        "function_under_lru_cache",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "from functools import lru_cache\n@lru_cache(maxsize=None)\ndef f(x): return x + 1\n"},
        {"helper.py": ("x + 1", "x + 2")},
    ),
    miss(
        "helper_of_a_function_under_lru_cache",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": "from functools import lru_cache\nfrom deep import g\n@lru_cache\ndef f(x): return g(x)\n",
            "deep.py": "def g(x): return x + 1\n",
        },
        {"deep.py": ("x + 1", "x + 2")},
    ),
    miss(
        "nested_partials",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from functools import partial
                def g(a, b, x):
                    return a * b + x
                f = partial(partial(g, 2), 3)
            """
        },
        {"helper.py": ("partial(g, 2)", "partial(g, 4)")},
    ),
    miss(
        "partial_of_a_partial_with_a_keyword_default",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from functools import partial
                def g(x, *, by=1):
                    return by * x
                f = partial(partial(g, by=2))
            """
        },
        {"helper.py": ("by=2", "by=3")},
    ),
    miss(
        "conditional_definition",
        "from helper import f",
        "f(cfg.x)",
        {
            "flags.py": "FAST = True\n",
            "helper.py": """
                from flags import FAST
                if FAST:
                    def f(x):
                        return x + 1
                else:
                    def f(x):
                        return x + 2
            """,
        },
        {"flags.py": ("True", "False")},
    ),
    miss(
        "functions_built_in_a_loop",
        "from helper import TABLE",
        "TABLE['a'](cfg.x)",
        {
            "helper.py": """
                TABLE = {}
                for name, by in {"a": 2, "b": 3}.items():
                    def f(x, by=by):
                        return by * x
                    TABLE[name] = f
            """
        },
        {"helper.py": ('"a": 2', '"a": 4')},
    ),
    miss(
        "while_loop_at_module_level",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "n = 1\nwhile n < 10:\n    n *= 2\ndef f(x): return n\n"},
        {"helper.py": ("n *= 2", "n *= 3")},
    ),
    miss(
        "file_read_at_import",
        "from helper import TEXT",
        "len(TEXT)",
        {
            "helper.py": "from pathlib import Path\nTEXT = Path(__file__).with_name('words.txt').read_text()\n",
            "words.txt": "one\n",
        },
        {"words.txt": "one two\n"},
    ),
    miss(
        "environment_read_at_import",
        "from helper import RATE",
        "RATE * cfg.x",
        {"helper.py": "import os\nRATE = int(os.environ.get('RATE_OF_IT', '1'))\n"},
        lambda scene: scene.env.update(RATE_OF_IT="2"),
        plain=False,
    ),
    miss(
        "codec_registered_at_import",
        "import late\nfrom registry import convert",
        "convert('x')",
        {
            "registry.py": "import copyreg\ndef convert(x): return dict(copyreg.dispatch_table)[complex](1j)[1][0]\n",
            "late.py": "import copyreg\ncopyreg.pickle(complex, lambda c: (complex, (2, 0)))\n",
        },
        {"late.py": ("(2, 0)", "(3, 0)")},
    ),
    miss(
        "exit_hook_and_task_share_a_module",
        "import late",
        "late.VALUE",
        {"late.py": "import atexit\nVALUE = 1\n@atexit.register\ndef bye(): pass\n"},
        {"late.py": ("VALUE = 1", "VALUE = 2")},
    ),
    miss(
        "import_hook",
        "import hooks\nimport generated",
        "generated.VALUE",
        {
            "hooks.py": """
                import sys
                from importlib.abc import Loader, MetaPathFinder
                from importlib.machinery import ModuleSpec
                class Made(MetaPathFinder, Loader):
                    def find_spec(self, name, path, target=None):
                        return ModuleSpec(name, self) if name == "generated" else None
                    def create_module(self, spec):
                        return None
                    def exec_module(self, module):
                        module.VALUE = 1
                sys.meta_path.insert(0, Made())
            """
        },
        {"hooks.py": ("module.VALUE = 1", "module.VALUE = 2")},
        plain=False,
    ),
    hit(
        "unused_logger",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return x\n"},
        {"helper.py": "import logging\nlog = logging.getLogger(__name__)\ndef f(x): return x\n"},
    ),
    hit(
        "unused_type_alias",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "from typing import Optional, TypeVar\nT = TypeVar('T')\ndef f(x): return x\n"},
        {
            "helper.py": "from typing import Optional, TypeVar\nT = TypeVar('T')\n"
            "Maybe = Optional[int]\ndef f(x): return x\n"
        },
    ),
    hit(
        "unused_function_under_lru_cache",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "from functools import lru_cache\n@lru_cache\ndef unused(x): return 1\ndef f(x): return x\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
]
