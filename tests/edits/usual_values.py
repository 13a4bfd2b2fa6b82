"""What every caching tool should notice: values, data, targets, distributions."""

from __future__ import annotations

from tests.edits.case import SITE, distribution, miss

_MODELS = {
    "conf/config.yaml": "defaults: [{model: a}, _self_]\nx: 1\n",
    "conf/model/a.yaml": "_target_: models.a.A\n",
    "conf/model/b.yaml": "_target_: models.b.B\n",
    "models/__init__.py": "",
    "models/a.py": "class A:\n    def go(self):\n        return 1\n",
    "models/b.py": "class B:\n    def go(self):\n        return 2\n",
}

CASES = [
    miss(
        "registered_in_a_package_imported_for_its_effects",
        "import plugins\nfrom registry import FUNCTIONS",
        "FUNCTIONS['double'](cfg.x)",
        {
            "registry.py": """
                FUNCTIONS = {}
                def register(function):
                    FUNCTIONS[function.__name__] = function
                    return function
            """,
            "plugins/__init__.py": "from . import double\n",
            "plugins/double.py": "from registry import register\n@register\ndef double(x): return 2 * x\n",
        },
        {"plugins/double.py": ("2 * x", "3 * x")},
    ),
    miss(
        "monkeypatch",
        "import helper, patches",
        "helper.f(cfg.x)",
        {
            "helper.py": "def f(x): return x\n",
            "patches.py": "import helper\ndef better(x): return x + 1\nhelper.f = better\n",
        },
        {"patches.py": ("x + 1", "x + 2")},
    ),
    miss(
        "fallback_of_a_failed_import",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                try:
                    from not_installed_anywhere import f
                except ImportError:
                    def f(x):
                        return x + 1
            """
        },
        {"helper.py": ("x + 1", "x + 2")},
    ),
    miss(
        "function_named_by_target_only",
        "from hydra.utils import instantiate",
        "instantiate(cfg.model)",
        {"conf/config.yaml": "model: {_target_: models.f, x: 2}\n", "models.py": "def f(x): return x + 1\n"},
        {"models.py": ("x + 1", "x + 2")},
        jobs=("model.x=1",),
        plain=False,
    ),
    miss(
        "target_inside_a_list",
        "from hydra.utils import instantiate",
        "sum(instantiate(cfg.steps))",
        {
            "conf/config.yaml": "x: 1\nsteps: [{_target_: steps.f}, {_target_: steps.g}]\n",
            "steps.py": "def f(): return 1\ndef g(): return 2\n",
        },
        {"steps.py": ("return 2", "return 3")},
        plain=False,
    ),
    miss(
        "model_that_one_job_names",
        "from hydra.utils import instantiate",
        "instantiate(cfg.model).go()",
        _MODELS,
        {"models/b.py": ("return 2", "return 3")},
        again=("model=b",),
        jobs=("model=a,b",),
        plain=False,
    ),
    miss(
        "data_file",
        "from pathlib import Path",
        "len(Path(__file__).with_name('data.txt').read_text())",
        {"data.txt": "12345\n"},
        {"data.txt": "123456789\n"},
    ),
    miss(
        "data_file_named_by_the_config",
        "from helper import load",
        "load(cfg.data)",
        {
            "conf/config.yaml": "x: 1\ndata: data/numbers.csv\n",
            "helper.py": "def load(path):\n    with open(path) as file:\n        return sum(map(int, file))\n",
            "data/numbers.csv": "1\n2\n3\n",
        },
        {"data/numbers.csv": "1\n2\n4\n"},
        plain=False,
    ),
    miss(
        "environment_variable_through_the_config",
        "",
        "cfg.where",
        {"conf/config.yaml": "x: 1\nwhere: ${oc.env:WHERE}\n"},
        lambda scene: scene.env.update(WHERE="there"),
        env={"WHERE": "here"},
        plain=False,
    ),
    miss(
        "custom_resolver_whose_value_changes",
        "import resolvers",
        "cfg.size",
        {
            "conf/config.yaml": "x: 1\nsize: ${size_of:${x}}\n",
            "resolvers.py": """
                from omegaconf import OmegaConf
                OmegaConf.register_new_resolver("size_of", lambda x: 2 * x, replace=True)
            """,
        },
        {"resolvers.py": ("2 * x", "3 * x")},
        plain=False,
    ),
    miss(
        "value_of_an_enum",
        "from kinds import Kind",
        "Kind.FAST.value",
        {"kinds.py": "from enum import Enum\nclass Kind(Enum):\n    FAST = 1\n    SLOW = 5\n"},
        {"kinds.py": ("FAST = 1", "FAST = 2")},
    ),
    miss(
        "nested_dict_global",
        "from helper import TABLE",
        "TABLE['a']['b'][0]",
        {"helper.py": "TABLE = {'a': {'b': [1, 2]}, 'c': 3}\n"},
        {"helper.py": ("[1, 2]", "[4, 2]")},
    ),
    miss(
        "compiled_pattern",
        "from helper import WORD",
        "WORD.findall('ab12')",
        {"helper.py": "import re\nWORD = re.compile('[a-z]+')\n"},
        {"helper.py": ("[a-z]+", "[0-9]+")},
    ),
    miss(
        "flags_of_a_compiled_pattern",
        "from helper import WORD",
        "WORD.findall('abAB')",
        {"helper.py": "import re\nWORD = re.compile('[a-z]+', re.I)\n"},
        {"helper.py": ("re.I)", "re.A)")},
    ),
    miss(
        "array_global",
        "from helper import A",
        "A.tolist()",
        {"helper.py": "import numpy as np\nA = np.array([[1, 2], [3, 4]])\n"},
        {"helper.py": ("[3, 4]", "[3, 5]")},
    ),
    miss(
        "transpose_of_an_array_global",
        "from helper import A",
        "A.tolist()",
        {"helper.py": "import numpy as np\nA = np.array([[1, 2], [3, 4]])\n"},
        {"helper.py": ("[3, 4]])", "[3, 4]]).T")},
    ),
    miss(
        "state_of_a_global_instance",
        "from helper import COUNTER",
        "COUNTER.start",
        {
            "helper.py": """
                class Counter:
                    def __init__(self, start):
                        self.start = start
                COUNTER = Counter(1)
            """
        },
        {"helper.py": ("Counter(1)", "Counter(2)")},
    ),
    miss(
        "descriptor",
        "from model import Model",
        "Model().rate",
        {
            "model.py": """
                class Fixed:
                    def __get__(self, instance, owner):
                        return 1
                class Model:
                    rate = Fixed()
            """
        },
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "operator_method",
        "from model import Number",
        "(Number() + Number())",
        {"model.py": "class Number:\n    def __add__(self, other):\n        return 1\n"},
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "lambda_inside_a_dict",
        "from helper import TABLE",
        "TABLE['f'](cfg.x)",
        {"helper.py": "TABLE = {'f': lambda x: x + 1, 'g': lambda x: x}\n"},
        {"helper.py": ("x + 1", "x + 2")},
    ),
    miss(
        "keyword_only_default",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x, *, by=1): return x * by\n"},
        {"helper.py": ("by=1", "by=2")},
    ),
    miss(
        "argument_of_a_decorator",
        "from helper import f",
        "f(cfg.x)",
        {
            "deco.py": """
                def times(n):
                    def decorate(function):
                        def inner(*args):
                            return n * function(*args)
                        return inner
                    return decorate
            """,
            "helper.py": "from deco import times\n@times(2)\ndef f(x): return x\n",
        },
        {"helper.py": ("times(2)", "times(3)")},
    ),
    miss(
        "format_of_an_f_string",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return f'{x:.2f}'\n"},
        {"helper.py": (".2f", ".3f")},
    ),
    miss(
        "namespace_package",
        "from space.inner import f",
        "f(cfg.x)",
        {"space/inner.py": "def f(x): return x + 1\n"},
        {"space/inner.py": ("x + 1", "x + 2")},
    ),
    miss(
        "code_made_by_exec",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "space = {}\nexec('def f(x): return x + 1', space)\nf = space['f']\n"},
        {"helper.py": ("x + 1", "x + 2")},
    ),
    miss(
        "third_party_version",
        "import fakelib",
        "fakelib.VALUE",
        distribution("1.0", "VALUE = 1\n"),
        distribution("1.1", "VALUE = 2\n"),
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "third_party_version_that_behaves_alike",
        "import fakelib",
        "fakelib.VALUE",
        distribution("1.0", "VALUE = 1\n"),
        distribution("1.1", "VALUE = 1\n"),
        sites=(SITE,),
        same_value=True,
        plain=False,
    ),
]
