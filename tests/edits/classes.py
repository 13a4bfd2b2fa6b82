"""Attacks by classes: what runs without being named."""

from __future__ import annotations

from tests.edits.case import hit, miss

_SUBCLASSES = """
    from base import Base
    class First(Base):
        rank = 1
    class Second(Base):
        rank = 2
"""

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
    miss(
        "cached_property",
        "from model import Model",
        "Model().rate",
        {
            "model.py": """
                from functools import cached_property
                class Model:
                    @cached_property
                    def rate(self):
                        return 1
            """
        },
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "setter_of_a_property",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                class Model:
                    @property
                    def rate(self):
                        return self._rate
                    @rate.setter
                    def rate(self, value):
                        self._rate = value + 1
                def f(x):
                    model = Model()
                    model.rate = x
                    return model.rate
            """
        },
        {"helper.py": ("value + 1", "value + 2")},
    ),
    miss(
        "classmethod_reached_by_the_class",
        "from model import Model",
        "Model.make().rate",
        {
            "model.py": """
                class Model:
                    rate = 1
                    @classmethod
                    def make(cls):
                        made = cls()
                        made.rate = 2
                        return made
            """
        },
        {"model.py": ("made.rate = 2", "made.rate = 3")},
    ),
    miss(
        "staticmethod_becomes_classmethod",
        "from model import Model",
        "Model.go(*[1])",
        {"model.py": "class Model:\n    @staticmethod\n    def go(*args):\n        return len(args)\n"},
        {"model.py": ("staticmethod", "classmethod")},
    ),
    miss(
        "slots",
        "from model import Model",
        "hasattr(Model(), '__dict__')",
        {"model.py": "class Model:\n    __slots__ = ('a', '__dict__')\n"},
        {"model.py": ("('a', '__dict__')", "('a',)")},
    ),
    miss(
        "dataclass_field_factory",
        "from model import Options",
        "Options().sizes",
        {
            "model.py": """
                from dataclasses import dataclass, field
                def sizes(): return [1]
                @dataclass
                class Options:
                    sizes: list = field(default_factory=sizes)
            """
        },
        {"model.py": ("return [1]", "return [2]")},
    ),
    miss(
        "dataclass_arguments",
        "from model import Options",
        "Options(1) == Options(1)",
        {"model.py": "from dataclasses import dataclass\n@dataclass(eq=True)\nclass Options:\n    a: int\n"},
        {"model.py": ("eq=True", "eq=False")},
    ),
    miss(
        "dataclass_order_of_fields",
        "from model import Options",
        "Options(1, 2).a",
        {"model.py": "from dataclasses import dataclass\n@dataclass\nclass Options:\n    a: int\n    b: int\n"},
        {"model.py": ("    a: int\n    b: int\n", "    b: int\n    a: int\n")},
    ),
    miss(
        "dataclass_post_init",
        "from model import Options",
        "Options(1).a",
        {
            "model.py": """
                from dataclasses import dataclass
                @dataclass
                class Options:
                    a: int
                    def __post_init__(self):
                        self.a += 1
            """
        },
        {"model.py": ("self.a += 1", "self.a += 2")},
    ),
    miss(
        "dataclass_class_variable",
        "from dataclasses import fields\nfrom model import Options",
        "[f.name for f in fields(Options)]",
        {
            "model.py": """
                from dataclasses import dataclass
                from typing import ClassVar
                @dataclass
                class Options:
                    a: int = 1
                    b: int = 2
            """
        },
        {"model.py": ("b: int", "b: ClassVar[int]")},
    ),
    miss(
        "field_of_a_dataclass_base",
        "from model import Options",
        "Options().a",
        {
            "base.py": "from dataclasses import dataclass\n@dataclass\nclass Base:\n    a: int = 1\n",
            "model.py": "from dataclasses import dataclass\nfrom base import Base\n@dataclass\nclass Options(Base):\n    b: int = 2\n",
        },
        {"base.py": ("int = 1", "int = 5")},
    ),
    miss(
        "named_tuple",
        "from model import Point",
        "Point(1)[1]",
        {"model.py": "from typing import NamedTuple\nclass Point(NamedTuple):\n    a: int\n    b: int = 2\n"},
        {"model.py": ("int = 2", "int = 3")},
    ),
    miss(
        "collections_namedtuple",
        "from model import Point",
        "Point(1, 2).a",
        {"model.py": "from collections import namedtuple\nPoint = namedtuple('Point', 'a b')\n"},
        {"model.py": ("'a b'", "'b a'")},
    ),
    miss(
        "typed_dict",
        "from model import Options",
        "sorted(Options.__annotations__)",
        {"model.py": "from typing import TypedDict\nclass Options(TypedDict):\n    a: int\n"},
        {"model.py": ("a: int", "b: int")},
    ),
    miss(
        "type_hints_read",
        "from typing import get_type_hints\nfrom model import f",
        "str(get_type_hints(f)['x'])",
        {"model.py": "def f(x: int): return x\n"},
        {"model.py": ("x: int", "x: float")},
    ),
    miss(
        "string_annotation_read",
        "from typing import get_type_hints\nfrom model import f",
        "get_type_hints(f)['x'].rate",
        {"model.py": "class A:\n    rate = 1\ndef f(x: 'A'): return x\n"},
        {"model.py": ("rate = 1", "rate = 2")},
    ),
    miss(
        "annotation_that_drives_a_dispatch",
        "from helper import convert\nfrom model import f",
        "convert(f, 3)",
        {
            "helper.py": "def convert(function, x): return function(function.__annotations__['x'](x))\n",
            "model.py": "def f(x: int): return repr(x)\n",
        },
        {"model.py": ("x: int", "x: float")},
    ),
    miss(
        "annotation_evaluated_at_import",
        "import model\nfrom registry import SEEN",
        "SEEN",
        {
            "registry.py": "SEEN = []\ndef note(value):\n    SEEN.append(value)\n    return int\n",
            "model.py": "from registry import note\ndef unused(x: note(1)): return x\n",
        },
        {"model.py": ("note(1)", "note(2)")},
    ),
    miss(
        "enum_method_and_auto",
        "from kinds import Kind",
        "Kind.B.value",
        {"kinds.py": "from enum import Enum, auto\nclass Kind(Enum):\n    A = auto()\n    B = auto()\n"},
        {"kinds.py": ("    A = auto()\n    B = auto()\n", "    B = auto()\n    A = auto()\n")},
    ),
    miss(
        "enum_missing",
        "from kinds import Kind",
        "Kind('x').name",
        {
            "kinds.py": """
                from enum import Enum
                class Kind(Enum):
                    A = 1
                    B = 2
                    @classmethod
                    def _missing_(cls, value):
                        return cls.A
            """
        },
        {"kinds.py": ("cls.A", "cls.B")},
    ),
    miss(
        "member_added_to_an_enum",
        "from kinds import Kind",
        "len(Kind)",
        {"kinds.py": "from enum import Enum\nclass Kind(Enum):\n    A = 1\n"},
        {"kinds.py": "from enum import Enum\nclass Kind(Enum):\n    A = 1\n    B = 2\n"},
    ),
    miss(
        "protocol_check",
        "from model import Goes, Model",
        "isinstance(Model(), Goes)",
        {
            "model.py": """
                from typing import Protocol, runtime_checkable
                @runtime_checkable
                class Goes(Protocol):
                    def go(self): ...
                class Model:
                    def go(self): return 1
            """
        },
        {"model.py": ("    def go(self): return 1", "    def run(self): return 1")},
    ),
    miss(
        "abstract_registration",
        "import register\nfrom model import Base, Model",
        "isinstance(Model(), Base)",
        {
            "model.py": "from abc import ABC\nclass Base(ABC):\n    pass\nclass Model:\n    pass\n",
            "register.py": "import model\n",
        },
        {"register.py": "import model\nmodel.Base.register(model.Model)\n"},
    ),
    miss(
        "class_body_statement",
        "from model import Model",
        "Model.table",
        {"model.py": "class Model:\n    table = {}\n    for n in range(3):\n        table[n] = 2 * n\n"},
        {"model.py": ("2 * n", "3 * n")},
    ),
    miss(
        "nested_class",
        "from model import Model",
        "Model.Inner().go()",
        {"model.py": "class Model:\n    class Inner:\n        def go(self):\n            return 1\n"},
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "class_decorator",
        "from model import Model",
        "Model.rate",
        {
            "deco.py": "def rated(cls):\n    cls.rate = 1\n    return cls\n",
            "model.py": "from deco import rated\n@rated\nclass Model:\n    pass\n",
        },
        {"deco.py": ("cls.rate = 1", "cls.rate = 2")},
    ),
    miss(
        "class_made_by_type",
        "from model import Model",
        "Model().go()",
        {"model.py": "def go(self): return 1\nModel = type('Model', (), {'go': go})\n"},
        {"model.py": ("return 1", "return 2")},
    ),
    miss(
        "docstring_that_the_code_reads",
        "from model import f",
        "f.__doc__",
        {"model.py": "def f():\n    'one'\n"},
        {"model.py": ("'one'", "'two'")},
    ),
    miss(
        "class_name_read",
        "from model import make",
        "type(make()).__name__",
        {"model.py": "class First:\n    pass\ndef make(): return First()\n"},
        {"model.py": "class Second:\n    pass\ndef make(): return Second()\n"},
    ),
    hit(
        "unused_decorated_function",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                def twice(function):
                    def inner(x):
                        return 2 * function(x)
                    return inner
                @twice
                def unused(x):
                    return x
                def f(x):
                    return x
            """
        },
        {"helper.py": ("def unused(x):\n    return x", "def unused(x):\n    return -x")},
    ),
    hit(
        "unused_dataclass",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from dataclasses import dataclass
                @dataclass(frozen=True)
                class Unused:
                    a: int = 1
                def f(x):
                    return x
            """
        },
        {"helper.py": ("a: int = 1", "a: int = 2")},
    ),
    hit(
        "unused_subclass_of_a_plain_class",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                class Base:
                    def go(self):
                        return 1
                class Unused(Base):
                    def go(self):
                        return 2
                def f(x):
                    return Base().go()
            """
        },
        {"helper.py": ("return 2", "return 3")},
    ),
    hit(
        "order_of_classes",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "class A:\n    a = 1\nclass B:\n    b = 2\ndef f(x): return A.a + B.b\n"},
        {"helper.py": "class B:\n    b = 2\ndef f(x): return A.a + B.b\nclass A:\n    a = 1\n"},
    ),
]
