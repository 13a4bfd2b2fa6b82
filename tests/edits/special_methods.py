"""Attacks by methods that no call names."""

from __future__ import annotations

from tests.edits.case import miss

_SUBCLASSES = """
    from base import Base
    class First(Base):
        rank = 1
    class Second(Base):
        rank = 2
"""

CASES = [
    miss(
        "missing_of_a_dict",
        "from model import Table",
        "Table()['a']",
        {"model.py": "class Table(dict):\n    def __missing__(self, key):\n        return 1\n"},
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "format_method",
        "from model import Model",
        "f'{Model():x}'",
        {"model.py": "class Model:\n    def __format__(self, how):\n        return 'a' + how\n"},
        {"model.py": ("'a'", "'b'")},
    ),
    miss(
        "bool_method",
        "from model import Model",
        "1 if Model() else 2",
        {"model.py": "class Model:\n    def __bool__(self):\n        return True\n"},
        {"model.py": ("True", "False")},
    ),
    miss(
        "iter_method",
        "from model import Model",
        "[*Model()]",
        {"model.py": "class Model:\n    def __iter__(self):\n        yield 1\n"},
        {"model.py": ("yield 1", "yield 2")},
    ),
    miss(
        "context_manager",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from model import Scope
                def f(x):
                    with Scope() as value:
                        return value
            """,
            "model.py": """
                class Scope:
                    def __enter__(self):
                        return 1
                    def __exit__(self, *_):
                        return None
            """,
        },
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "exit_that_swallows",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from model import Scope
                def f(x):
                    try:
                        with Scope():
                            raise ValueError
                    except ValueError:
                        return 1
                    return 2
            """,
            "model.py": """
                class Scope:
                    def __enter__(self):
                        return self
                    def __exit__(self, *_):
                        return False
            """,
        },
        {"model.py": ("False", "True")},
    ),
    miss(
        "eq_and_hash",
        "from model import Model",
        "len({Model(), Model()})",
        {
            "model.py": """
                class Model:
                    def __hash__(self):
                        return 1
                    def __eq__(self, other):
                        return True
            """
        },
        {"model.py": ("return True", "return self is other")},
    ),
    miss(
        "new_method",
        "from model import Model",
        "Model().rate",
        {
            "model.py": """
                class Model:
                    def __new__(cls):
                        self = super().__new__(cls)
                        self.rate = 1
                        return self
            """
        },
        {"model.py": ("self.rate = 1", "self.rate = 2")},
    ),
    miss(
        "del_method",
        "from model import Model, LOG",
        "(Model(), LOG.clear(), LOG)[2][:0] or __import__('model').run()",
        {
            "model.py": """
                LOG = []
                class Model:
                    def __del__(self):
                        LOG.append(1)
                def run():
                    Model()
                    return LOG[-1]
            """
        },
        {"model.py": ("append(1)", "append(2)")},
    ),
    miss(
        "call_method",
        "from model import Model",
        "Model()(cfg.x)",
        {"model.py": "class Model:\n    def __call__(self, x):\n        return x + 1\n"},
        {"model.py": ("x + 1", "x + 2")},
    ),
    miss(
        "method_of_an_argument",
        "from helper import f\nfrom model import Model",
        "f(Model())",
        {"helper.py": "def f(model): return model.go()\n", "model.py": "class Model:\n    def go(self): return 1\n"},
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "overriding_method_added_to_a_subclass",
        "from model import Model",
        "Model().run()",
        {
            "base.py": "class Base:\n    def run(self): return self.step()\n    def step(self): return 1\n",
            "model.py": "from base import Base\nclass Model(Base):\n    pass\n",
        },
        {"model.py": "from base import Base\nclass Model(Base):\n    def step(self): return 2\n"},
    ),
    miss(
        "order_of_bases",
        "from model import Model",
        "Model().go()",
        {
            "model.py": """
                class A:
                    def go(self): return 1
                class B:
                    def go(self): return 2
                class Model(A, B):
                    pass
            """
        },
        {"model.py": ("Model(A, B)", "Model(B, A)")},
    ),
    miss(
        "super_in_a_diamond",
        "from model import Model",
        "Model().go()",
        {
            "model.py": """
                class Root:
                    def go(self): return 1
                class A(Root):
                    def go(self): return 2 * super().go()
                class B(Root):
                    def go(self): return 3 + super().go()
                class Model(A, B):
                    pass
            """
        },
        {"model.py": ("return 3 +", "return 4 +")},
    ),
    miss(
        "base_made_by_a_call",
        "from model import Model",
        "Model().rate",
        {
            "model.py": """
                def make(rate):
                    class Base:
                        pass
                    Base.rate = rate
                    return Base
                class Model(make(1)):
                    pass
            """
        },
        {"model.py": ("make(1)", "make(2)")},
    ),
    miss(
        "mro_entries",
        "from model import Model",
        "Model().go()",
        {
            "model.py": """
                class One:
                    def go(self): return 1
                class Two:
                    def go(self): return 2
                class Alias:
                    def __mro_entries__(self, bases):
                        return (One,)
                class Model(Alias()):
                    pass
            """
        },
        {"model.py": ("(One,)", "(Two,)")},
    ),
    miss(
        "subclasses_of_a_class",
        "import models\nfrom base import Base",
        "[cls.rank for cls in Base.__subclasses__()]",
        {"base.py": "class Base:\n    pass\n", "models.py": _SUBCLASSES},
        {"models.py": ("rank = 2", "rank = 3")},
    ),
    miss(
        "subclass_added",
        "import models\nfrom base import Base",
        "len(Base.__subclasses__())",
        {"base.py": "class Base:\n    pass\n", "models.py": _SUBCLASSES},
        {"models.py": ("    rank = 2\n", "    rank = 2\nclass Third(Base):\n    rank = 3\n")},
    ),
    miss(
        "subclass_in_a_module_imported_for_its_effects",
        "import base",
        "base.best()",
        {
            "base.py": """
                class Base:
                    pass
                def best():
                    import models
                    return max(cls.rank for cls in Base.__subclasses__())
            """,
            "models.py": _SUBCLASSES,
        },
        {"models.py": ("rank = 2", "rank = 3")},
    ),
]
