"""Attacks by what happens when classes are made, or objects of them: bases are told, members are told, bodies run."""

from __future__ import annotations

from tests.edits.acting_objects import lazy
from tests.edits.case import SITE, distribution

CASES = [
    lazy(
        "class_of_a_library_that_registers_its_subclasses",
        "import yaml\ndef f(x): return yaml.safe_load('!svm {}').rate\n",
        """
            import yaml
            class SVM(yaml.YAMLObject):
                yaml_tag = '!svm'
                yaml_loader = yaml.SafeLoader
                rate = 2
        """,
        ("rate = 2", "rate = 3"),
    ),
    lazy(
        "class_of_a_library_whose_subclass_has_a_subclass",
        "from fakelib import FOUND\ndef f(x): return FOUND['B'].rate\n",
        """
            import fakelib
            class A(fakelib.Base): pass
            class B(A):
                rate = 2
        """,
        ("rate = 2", "rate = 3"),
        files=distribution(
            "1",
            "FOUND = {}\nclass Base:\n    def __init_subclass__(cls):\n        FOUND[cls.__name__] = cls\n",
        ),
        sites=(SITE,),
    ),
    lazy(
        "class_made_by_type_that_is_told_to_its_base",
        """
            class Base:
                reg = {}
                def __init_subclass__(cls): Base.reg[cls.__name__] = cls
            Sub = type('Sub', (Base,), {'rate': 2})
            def f(x): return Base.reg['Sub'].rate
        """,
        "",
        ("'rate': 2", "'rate': 3"),
        "helper.py",
    ),
    lazy(
        "class_made_by_a_function_that_is_told_to_its_base",
        """
            class Base:
                reg = {}
                def __init_subclass__(cls): Base.reg[cls.__name__] = cls
            def make(n, r): return type(n, (Base,), {'rate': r})
            Sub = make('Sub', 2)
            def f(x): return Base.reg['Sub'].rate
        """,
        "",
        ("'Sub', 2", "'Sub', 3"),
        "helper.py",
    ),
    lazy(
        "dataclass_made_of_a_base_that_is_told",
        """
            import dataclasses
            class Base:
                reg = []
                def __init_subclass__(cls): Base.reg.append(cls.__name__)
            Sub = dataclasses.make_dataclass('Sub', ['a'], bases=(Base,))
            def f(x): return Base.reg[0]
        """,
        "",
        ("('Sub'", "('Sup'"),
        "helper.py",
    ),
    lazy(
        "decorator_of_a_registry_that_a_class_names_first",
        """
            class Reg:
                def __init__(self): self.d = {}
                def register(self, f):
                    self.d[f.__name__] = f
                    return f
            REG = Reg()
            def f(x): return REG.d['go'](None)
        """,
        """
            import helper
            class M:
                reg = helper.REG
                @reg.register
                def go(self): return 2
        """,
        ("return 2", "return 3"),
    ),
    lazy(
        "class_that_tells_an_annotated_member_of_itself",
        """
            class R:
                def __init__(self): self.o = []
                def __set_name__(self, owner, name): self.o.append(owner)
            TRACK = R()
            def f(x): return TRACK.o[0].rate
        """,
        """
            from helper import TRACK
            class M:
                tag: object = TRACK
                rate = 2
        """,
        ("rate = 2", "rate = 3"),
    ),
    lazy(
        "class_that_tells_a_member_of_another_module_of_itself",
        """
            class R:
                def __init__(self): self.o = []
                def __set_name__(self, owner, name): self.o.append(owner)
            TRACK = R()
            def f(x): return TRACK.o[0].rate
        """,
        """
            import helper
            class M:
                tag = helper.TRACK
                rate = 2
        """,
        ("rate = 2", "rate = 3"),
    ),
    lazy(
        "table_changed_in_the_body_of_a_class",
        "T = {'r': 2}\ndef f(x): return T['r']\n",
        "import helper\nclass Setup:\n    opts = helper.T\n    opts['r'] = 5\n",
        ("= 5", "= 6"),
    ),
    lazy(
        "table_merged_in_the_body_of_a_class",
        "T = {'r': 2}\ndef f(x): return T['r']\n",
        "import helper\nclass Setup:\n    opts = helper.T\n    opts |= {'r': 5}\n",
        ("5}", "6}"),
    ),
    lazy(
        "library_class_whose_construction_calls_an_override",
        """
            from collections import UserDict
            LOG = []
            class R(UserDict):
                def __setitem__(self, k, v):
                    LOG.append(k)
                    super().__setitem__(k, v)
            def f(x): return LOG
        """,
        "from helper import R\nA = R(a=1)\n",
        ("a=1", "b=1"),
    ),
    lazy(
        "construction_that_sets_a_descriptor",
        """
            LOG = []
            class D:
                def __set__(self, owner, v): LOG.append(v)
            class C:
                rate = D()
                def __init__(self, v): self.rate = v
            def f(x): return LOG
        """,
        "from helper import C\nA = C(2)\n",
        ("C(2)", "C(3)"),
    ),
    lazy(
        "enumeration_whose_members_register_themselves",
        "T = {}\ndef f(x): return sorted(T)\n",
        """
            from enum import Enum
            from helper import T
            class Kind(Enum):
                A = 'a'
                def __init__(self, v): T[v] = 1
        """,
        ("'a'", "'b'"),
    ),
]
