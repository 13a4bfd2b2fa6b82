"""Attacks through the config: what it names."""

from __future__ import annotations

from typing import Any

from tests.edits.case import Case, Change, miss

_INSTANTIATE = "from hydra.utils import instantiate"

_STEPS = {
    "steps.py": """
        def one(): return 1
        def two(x=0): return 2 + x
        def make(inner): return inner
        class Model:
            rate = 1
            def __init__(self, x=0):
                self.x = x
            @classmethod
            def build(cls, x=0):
                made = cls(x)
                made.rate = 7
                return made
            @staticmethod
            def quick(x=0):
                return 3 + x
            class Inner:
                def go(self):
                    return 4
            def go(self):
                return self.rate + self.x
    """
}


def named(name: str, value: str, config: str, edit: tuple[str, str], top: str = _INSTANTIATE, **more: Any) -> Case:
    """Return a case on the module of steps, with a config that names some of it."""
    files = {"conf/config.yaml": config, **_STEPS, **more.pop("files", {})}
    change: Change = edit
    return miss(name, top, value, files, {"steps.py": change}, plain=False, **more)


CASES = [
    named(
        "target_at_depth",
        "instantiate(cfg.a).b.c",
        "x: 1\na: {b: {c: {_target_: steps.one}}}\n",
        ("return 1\n", "return 9\n"),
    ),
    named(
        "target_in_a_list_of_lists",
        "instantiate(cfg.a)[0][0]",
        "x: 1\na: [[{_target_: steps.one}]]\n",
        ("return 1\n", "return 9\n"),
    ),
    named(
        "target_as_an_argument",
        "instantiate(cfg.a)",
        "x: 1\na: {_target_: steps.make, inner: {_target_: steps.one}}\n",
        ("return 1\n", "return 9\n"),
    ),
    named(
        "target_with_partial",
        "instantiate(cfg.a)(x=1)",
        "x: 1\na: {_target_: steps.two, _partial_: true}\n",
        ("2 + x", "9 + x"),
    ),
    named(
        "target_without_recursion",
        "instantiate(instantiate(cfg.a))",
        "x: 1\na: {_target_: steps.make, _recursive_: false, inner: {_target_: steps.one}}\n",
        ("return 1\n", "return 9\n"),
    ),
    named(
        "target_with_positional_arguments",
        "instantiate(cfg.a)",
        "x: 1\na: {_target_: steps.two, _args_: [{_target_: steps.one}]}\n",
        ("return 1\n", "return 9\n"),
    ),
    named(
        "target_that_is_a_classmethod",
        "instantiate(cfg.a).rate",
        "x: 1\na: {_target_: steps.Model.build}\n",
        ("made.rate = 7", "made.rate = 9"),
    ),
    named(
        "target_that_is_a_staticmethod",
        "instantiate(cfg.a)",
        "x: 1\na: {_target_: steps.Model.quick}\n",
        ("3 + x", "9 + x"),
    ),
    named(
        "target_that_is_a_nested_class",
        "instantiate(cfg.a).go()",
        "x: 1\na: {_target_: steps.Model.Inner}\n",
        ("return 4", "return 9"),
    ),
    named(
        "target_through_an_interpolation",
        "instantiate(cfg.a)",
        "x: 1\nname: steps.one\na: {_target_: '${name}'}\n",
        ("return 1\n", "return 9\n"),
    ),
    named(
        "target_made_of_parts",
        "instantiate(cfg.a)",
        "x: 1\nname: one\na: {_target_: 'steps.${name}'}\n",
        ("return 1\n", "return 9\n"),
    ),
    named(
        "target_from_the_command_line",
        "instantiate(cfg.a)",
        "x: 1\na: {}\n",
        ("return 1\n", "return 9\n"),
        jobs=("+a._target_=steps.one",),
    ),
    named("target_added_by_the_code", "instantiate({'_target_': 'steps.one'})", "x: 1\n", ("return 1\n", "return 9\n")),
    named(
        "target_added_by_the_code_from_parts",
        "instantiate({'_target_': 'steps.' + cfg.name})",
        "x: 1\nname: one\n",
        ("return 1\n", "return 9\n"),
    ),
    named(
        "get_method_of_the_config",
        "get_method(cfg.name)()",
        "x: 1\nname: steps.one\n",
        ("return 1\n", "return 9\n"),
        "from hydra.utils import get_method",
    ),
    named(
        "get_class_of_the_config",
        "get_class(cfg.name)().go()",
        "x: 1\nname: steps.Model\n",
        ("    rate = 1", "    rate = 9"),
        "from hydra.utils import get_class",
    ),
    named(
        "get_object_of_the_config",
        "get_object(cfg.name)()",
        "x: 1\nname: steps.one\n",
        ("return 1\n", "return 9\n"),
        "from hydra.utils import get_object",
    ),
    named(
        "get_method_of_a_literal",
        "get_method('steps.one')()",
        "x: 1\n",
        ("return 1\n", "return 9\n"),
        "from hydra.utils import get_method",
    ),
    named(
        "get_class_in_a_helper",
        "build(cfg)",
        "x: 1\nname: steps.Model\n",
        ("    rate = 1", "    rate = 9"),
        "from helper import build",
        files={"helper.py": "import hydra\ndef build(cfg): return hydra.utils.get_class(cfg.name)().go()\n"},
    ),
    named(
        "get_method_as_a_target",
        "instantiate(cfg.a)()",
        "x: 1\na: {_target_: hydra.utils.get_method, path: steps.one}\n",
        ("return 1\n", "return 9\n"),
    ),
    named(
        "dotted_string_that_the_code_imports",
        "load(cfg.name)()",
        "x: 1\nname: steps.one\n",
        ("return 1\n", "return 9\n"),
        "from helper import load",
        files={
            "helper.py": """
            import importlib
            def load(dotted):
                module, _, name = dotted.rpartition(".")
                return getattr(importlib.import_module(module), name)
        """
        },
    ),
    named(
        "dotted_string_as_a_key",
        "[load(name)() for name in cfg.names]",
        "x: 1\nnames: {steps.one: 1}\n",
        ("return 1\n", "return 9\n"),
        "from helper import load",
        files={
            "helper.py": """
            import importlib
            def load(dotted):
                module, _, name = dotted.rpartition(".")
                return getattr(importlib.import_module(module), name)
        """
        },
    ),
    named(
        "dotted_string_with_a_colon",
        "load(cfg.name)()",
        "x: 1\nname: 'steps:one'\n",
        ("return 1\n", "return 9\n"),
        "from helper import load",
        files={
            "helper.py": """
            import importlib
            def load(dotted):
                module, _, name = dotted.partition(":")
                return getattr(importlib.import_module(module), name)
        """
        },
    ),
    miss(
        "target_in_the_program",
        "from hydra.utils import instantiate\ndef one(): return 1",
        "instantiate(cfg.a)",
        {"conf/config.yaml": "x: 1\na: {_target_: __main__.one}\n"},
        {"train.py": ("def one(): return 1", "def one(): return 9")},
        plain=False,
    ),
    miss(
        "target_re_exported_by_a_package",
        _INSTANTIATE,
        "instantiate(cfg.a)",
        {
            "conf/config.yaml": "x: 1\na: {_target_: pack.make}\n",
            "pack/__init__.py": "from ._impl import build as make\n",
            "pack/_impl.py": "def build(): return 1\n",
        },
        {"pack/_impl.py": ("return 1", "return 2")},
        plain=False,
    ),
    miss(
        "target_that_is_a_partial_of_a_module",
        _INSTANTIATE,
        "instantiate(cfg.a)",
        {
            "conf/config.yaml": "x: 1\na: {_target_: helper.make}\n",
            "helper.py": "from functools import partial\nfrom deep import build\nmake = partial(build, 1)\n",
            "deep.py": "def build(x): return x + 1\n",
        },
        {"deep.py": ("x + 1", "x + 2")},
        plain=False,
    ),
    miss(
        "target_found_by_getattr_of_a_module",
        _INSTANTIATE,
        "instantiate(cfg.a)",
        {
            "conf/config.yaml": "x: 1\na: {_target_: pack.make}\n",
            "pack/__init__.py": """
                from importlib import import_module
                def __getattr__(name):
                    if name != "make":
                        raise AttributeError(name)
                    return import_module("pack.late").make
            """,
            "pack/late.py": "def make(): return 1\n",
        },
        {"pack/late.py": ("return 1", "return 2")},
        plain=False,
    ),
    miss(
        "base_class_of_a_target",
        _INSTANTIATE,
        "instantiate(cfg.a).go()",
        {
            "conf/config.yaml": "x: 1\na: {_target_: kinds.Kind}\n",
            "kinds.py": "from base import Base\nclass Kind(Base):\n    pass\n",
            "base.py": "class Base:\n    def go(self): return 1\n",
        },
        {"base.py": ("return 1", "return 2")},
        plain=False,
    ),
    miss(
        "method_that_only_the_task_calls_on_a_target",
        _INSTANTIATE,
        "instantiate(cfg.a).go()",
        {
            "conf/config.yaml": "x: 1\na: {_target_: kinds.Kind}\n",
            "kinds.py": "class Kind:\n    def go(self): return 1\n",
        },
        {"kinds.py": ("return 1", "return 2")},
        plain=False,
    ),
]
