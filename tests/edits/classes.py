"""Attacks by classes: what is assigned, inherited or run without being named."""

from __future__ import annotations

from tests.edits.case import miss

CASES = [
    miss(
        "attribute_assigned_after_the_class",
        "from model import Model",
        "Model().rate",
        {"model.py": "class Model:\n    rate = 1\nModel.rate = 2\n"},
        {"model.py": ("Model.rate = 2", "Model.rate = 3")},
    ),
    miss(
        "method_assigned_after_the_class",
        "from model import Model",
        "Model().go()",
        {"model.py": "class Model:\n    pass\ndef go(self): return 1\nModel.go = go\n"},
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "method_assigned_in_another_module",
        "import late\nfrom model import Model",
        "Model().go()",
        {
            "model.py": "class Model:\n    def go(self): return 1\n",
            "late.py": "import model\ndef go(self): return 2\nmodel.Model.go = go\n",
        },
        {"late.py": ("return 2", "return 3")},
    ),
    miss(
        "attribute_set_by_setattr",
        "from model import Model",
        "Model().rate",
        {"model.py": "class Model:\n    pass\nfor name, value in [('rate', 2)]:\n    setattr(Model, name, value)\n"},
        {"model.py": ("('rate', 2)", "('rate', 3)")},
    ),
    miss(
        "init_subclass",
        "from model import Model",
        "Model().rate",
        {
            "base.py": """
                class Base:
                    def __init_subclass__(cls, by=1):
                        cls.rate = 2 * by
            """,
            "model.py": "from base import Base\nclass Model(Base, by=3):\n    pass\n",
        },
        {"base.py": ("2 * by", "4 * by")},
    ),
    miss(
        "keyword_of_a_class",
        "from model import Model",
        "Model().rate",
        {
            "base.py": "class Base:\n    def __init_subclass__(cls, by=1):\n        cls.rate = 2 * by\n",
            "model.py": "from base import Base\nclass Model(Base, by=3):\n    pass\n",
        },
        {"model.py": ("by=3", "by=4")},
    ),
    miss(
        "registry_filled_by_init_subclass",
        "import models\nfrom base import KNOWN",
        "KNOWN['First']().go()",
        {
            "base.py": """
                KNOWN = {}
                class Base:
                    def __init_subclass__(cls):
                        KNOWN[cls.__name__] = cls
            """,
            "models.py": "from base import Base\nclass First(Base):\n    def go(self): return 1\n",
        },
        {"models.py": ("return 1", "return 2")},
    ),
    miss(
        "metaclass_call",
        "from model import Model",
        "Model()",
        {
            "meta.py": "class Meta(type):\n    def __call__(cls):\n        return 1\n",
            "model.py": "from meta import Meta\nclass Model(metaclass=Meta):\n    pass\n",
        },
        {"meta.py": ("return 1", "return 2")},
    ),
    miss(
        "metaclass_prepare",
        "from model import Model",
        "Model.rate",
        {
            "model.py": """
                class Meta(type):
                    @classmethod
                    def __prepare__(mcs, name, bases):
                        return {"base_rate": 2}
                class Model(metaclass=Meta):
                    rate = base_rate * 3
            """
        },
        {"model.py": ('"base_rate": 2', '"base_rate": 4')},
    ),
    miss(
        "metaclass_of_a_base",
        "from model import Model",
        "len(Model)",
        {
            "meta.py": "class Meta(type):\n    def __len__(cls):\n        return 1\n",
            "base.py": "from meta import Meta\nclass Base(metaclass=Meta):\n    pass\n",
            "model.py": "from base import Base\nclass Model(Base):\n    pass\n",
        },
        {"meta.py": ("return 1", "return 2")},
    ),
    miss(
        "set_name",
        "from model import Model",
        "Model.rate.name",
        {
            "model.py": """
                class Named:
                    def __set_name__(self, owner, name):
                        self.name = name + "!"
                class Model:
                    rate = Named()
            """
        },
        {"model.py": ('"!"', '"?"')},
    ),
    miss(
        "class_getitem",
        "from model import Model",
        "Model[int]",
        {"model.py": "class Model:\n    def __class_getitem__(cls, item):\n        return 1\n"},
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "getattr_of_an_instance",
        "from model import Model",
        "Model().anything",
        {"model.py": "class Model:\n    def __getattr__(self, name):\n        return 1\n"},
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "getattr_of_a_module",
        "import helper",
        "helper.anything",
        {"helper.py": "def __getattr__(name):\n    return 1\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "getattr_of_a_module_in_a_from_import",
        "from helper import anything",
        "anything",
        {"helper.py": "def __getattr__(name):\n    return 1\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
    miss(
        "getattr_of_a_module_imports_lazily",
        "import pack",
        "pack.late.f(cfg.x)",
        {
            "pack/__init__.py": """
                import importlib
                def __getattr__(name):
                    return importlib.import_module("." + name, __name__)
            """,
            "pack/late.py": "def f(x): return x + 1\n",
        },
        {"pack/late.py": ("x + 1", "x + 2")},
    ),
]
