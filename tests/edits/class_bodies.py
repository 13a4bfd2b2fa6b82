"""Attacks by what a class is made of: fields, annotations, enums, nested classes."""

from __future__ import annotations

from tests.edits.case import hit, miss

CASES = [
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
            "model.py": "from dataclasses import dataclass\nfrom base import Base\n"
            "@dataclass\nclass Options(Base):\n    b: int = 2\n",
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
