"""Attacks by the order of imports: it counts between what changes something and what sees that, and nowhere else."""

from __future__ import annotations

from tests.edits.case import hit, miss

_INSTANTIATE = "from hydra.utils import instantiate"
_CONFIG = {"conf/config.yaml": "x: 1\nm: {_target_: mid.f}\n"}
_SWAP = {"mid.py": ("import p1\nimport p2\n", "import p2\nimport p1\n")}

CASES = [
    miss(
        "order_of_modules_that_append",
        _INSTANTIATE,
        "instantiate(cfg.m)",
        {
            **_CONFIG,
            "reg.py": "R = []\n",
            "p1.py": "from reg import R\nR.append(1)\n",
            "p2.py": "from reg import R\nR.append(2)\n",
            "mid.py": "import p1\nimport p2\nfrom reg import R\ndef f(): return R[0]\n",
        },
        _SWAP,
    ),
    miss(
        "order_of_submodules_whose_classes_are_told_to_their_base",
        "from pack import first",
        "first(cfg.x)",
        {
            "pack/__init__.py": "from .p1 import P1\nfrom .p2 import P2\nfrom .base import SEEN\n"
            "def first(x): return SEEN[0].n\n",
            "pack/base.py": """
                SEEN = []
                class Base:
                    def __init_subclass__(cls): SEEN.append(cls)
            """,
            "pack/p1.py": "from .base import Base\nclass P1(Base): n = 1\n",
            "pack/p2.py": "from .base import Base\nclass P2(Base): n = 2\n",
        },
        {
            "pack/__init__.py": (
                "from .p1 import P1\nfrom .p2 import P2\n",
                "from .p2 import P2\nfrom .p1 import P1\n",
            )
        },
    ),
    miss(
        "order_of_names_in_one_import",
        "def go(x):\n    from pack import REG\n    return REG['a']",
        "go(cfg.x)",
        {
            "pack/__init__.py": "REG = {}\nfrom . import p1, p2\n",
            "pack/p1.py": "from . import REG\nREG['a'] = 1\n",
            "pack/p2.py": "from . import REG\nREG['a'] = 2\n",
        },
        {"pack/__init__.py": ("p1, p2", "p2, p1")},
    ),
    miss(
        "order_of_modules_that_register_one_type",
        "from mid import go",
        "go(cfg.x)",
        {
            "reg.py": "import functools\n@functools.singledispatch\ndef go(x): return 0\n",
            "p1.py": "from reg import go\n@go.register\ndef _(x: int): return 1\n",
            "p2.py": "from reg import go\n@go.register\ndef _(x: int): return 2\n",
            "mid.py": "import p1\nimport p2\nfrom reg import go\n",
        },
        _SWAP,
    ),
    miss(
        "order_of_modules_with_subclasses",
        "from mid import f",
        "f(cfg.x)",
        {
            "reg.py": "class B: pass\n",
            "p1.py": "from reg import B\nclass P1(B): n = 1\n",
            "p2.py": "from reg import B\nclass P2(B): n = 2\n",
            "mid.py": "import p1\nimport p2\nfrom reg import B\ndef f(x): return B.__subclasses__()[0].n\n",
        },
        _SWAP,
    ),
    miss(
        "import_moved_before_a_statement",
        "from mid import f",
        "f(cfg.x)",
        {
            "reg.py": "R = {}\n",
            "p1.py": "from reg import R\nclass A:\n    def go(self): return 1\nR['a'] = A()\n",
            "mid.py": """
                from reg import R
                class Z:
                    def go(self): return 5
                R['a'] = Z()
                import p1
                def f(x): return R['a'].go()
            """,
        },
        {
            "mid.py": """
                from reg import R
                import p1
                class Z:
                    def go(self): return 5
                R['a'] = Z()
                def f(x): return R['a'].go()
            """
        },
    ),
    miss(
        "import_moved_before_the_environment_is_set",
        _INSTANTIATE,
        "instantiate(cfg.m).go()",
        {
            "conf/config.yaml": "x: 1\nm: {_target_: model.Model}\n",
            "model.py": """
                import os
                os.environ['BACKEND'] = 'fast'
                import kernels
                class Model:
                    def go(self): return kernels.NAME
            """,
            "kernels.py": "import os\nNAME = os.environ.get('BACKEND', 'slow')\n",
        },
        {
            "model.py": """
                import os
                import kernels
                os.environ['BACKEND'] = 'fast'
                class Model:
                    def go(self): return kernels.NAME
            """
        },
    ),
    miss(
        "import_moved_before_a_setting_that_it_reads",
        _INSTANTIATE,
        "instantiate(cfg.m)",
        {
            **_CONFIG,
            "settings.py": "rate = 2\n",
            "helper.py": "import settings\nRATE = settings.rate\n",
            "mid.py": "import settings\nsettings.rate = 3\nimport helper\ndef f(): return helper.RATE\n",
        },
        {"mid.py": ("settings.rate = 3\nimport helper\n", "import helper\nsettings.rate = 3\n")},
        backend="process",
    ),
    miss(
        "import_moved_before_a_patch_of_what_it_imports",
        _INSTANTIATE,
        "instantiate(cfg.m)",
        {
            **_CONFIG,
            "losses.py": "def l1(): return 1\n",
            "trainer.py": "from losses import l1\ndef fit(): return l1()\n",
            "mid.py": "import losses\nlosses.l1 = lambda: 5\nfrom trainer import fit\ndef f(): return fit()\n",
        },
        {
            "mid.py": (
                "losses.l1 = lambda: 5\nfrom trainer import fit\n",
                "from trainer import fit\nlosses.l1 = lambda: 5\n",
            )
        },
    ),
    miss(
        "import_moved_before_a_constant_that_reads_a_registry",
        "def go(x):\n    from mid import f\n    return f(x)",
        "go(cfg.x)",
        {
            "reg.py": "R = []\n",
            "plug.py": "from reg import R\nR.append(1)\n",
            "mid.py": "from reg import R\nN = tuple(R)\nimport plug\ndef f(x): return N\n",
        },
        {"mid.py": ("N = tuple(R)\nimport plug\n", "import plug\nN = tuple(R)\n")},
    ),
    miss(
        "import_moved_before_the_path_to_it",
        "import sys\nsys.path.insert(0, 'v2')\nimport impl",
        "impl.g()",
        {"impl.py": "def g(): return 1\n", "v2/impl.py": "def g(): return 2\n"},
        {
            "train.py": (
                "sys.path.insert(0, 'v2')\nimport impl\n",
                "import impl\nsys.path.insert(0, 'v2')\n",
            )
        },
    ),
    miss(
        "condition_of_an_import",
        "def go(x):\n    from mid import f\n    return f(x)",
        "go(cfg.x)",
        {
            "reg.py": "R = []\n",
            "plug.py": "from reg import R\nR.append(1)\n",
            "mid.py": """
                from reg import R
                PLUGS = True
                if PLUGS:
                    import plug
                def f(x): return list(R)
            """,
        },
        {"mid.py": ("PLUGS = True", "PLUGS = False")},
    ),
    miss(
        "import_moved_before_a_patch_of_the_standard_library",
        "def go(x):\n    from mid import f\n    return f(x)",
        "go(cfg.x)",
        {
            "patch.py": "import time\ntime.time = lambda: 5\n",
            "use.py": "from time import time\ndef g(): return time() == 5\n",
            "mid.py": "import patch\nimport use\ndef f(x): return use.g()\n",
        },
        {"mid.py": ("import patch\nimport use\n", "import use\nimport patch\n")},
    ),
    hit(
        "order_of_imports_beside_a_registry",
        "from mid import f",
        "f(cfg.x)",
        {
            "reg.py": "import logging\nlog = logging.getLogger(__name__)\nR = {}\n",
            "p1.py": "from reg import R\nR['a'] = 1\n",
            "h1.py": "import math\nclass Base: n = 1\nclass A(Base): pass\nTAU = 2 * math.pi\n",
            "h2.py": "from h1 import Base\nfrom dataclasses import dataclass\n@dataclass\nclass B(Base):\n    n: int = 2\n",
            "mid.py": """
                from reg import R
                from h1 import A
                import p1
                from h2 import B
                def f(x): return R['a'], A.n, B.n
            """,
        },
        {
            "mid.py": """
                from h2 import B
                import p1
                from h1 import A
                from reg import R
                def f(x): return R['a'], A.n, B.n
            """
        },
    ),
    hit(
        "order_of_imports_after_a_seed",
        "import random\nrandom.seed(1)\nfrom h1 import A\nfrom h2 import b",
        "A.n + b(cfg.x)",
        {"h1.py": "class A: n = 1\n", "h2.py": "from h1 import A\ndef b(x): return x\n"},
        {"train.py": ("from h1 import A\nfrom h2 import b\n", "from h2 import b\nfrom h1 import A\n")},
    ),
]
