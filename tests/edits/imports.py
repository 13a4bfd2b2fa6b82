"""Attacks by ways to import: packages, re-exports, cycles, other places, other programs."""

from __future__ import annotations

import sys
import zipfile

from tests.edits.case import SITE, Scene, distribution, hit, miss

_CHAIN = {
    "pack/__init__.py": "from .sub import f\n",
    "pack/sub/__init__.py": "from .deeper import f\n",
    "pack/sub/deeper/__init__.py": "from ._impl import g as f\n",
    "pack/sub/deeper/_impl.py": "def g(x): return x + 1\ndef unused(x): return x\n",
}
_EDITABLE = {
    f"{SITE}/mine.pth": "import os, sys; sys.path.append(os.path.abspath('libs/src'))\n",
    f"{SITE}/mine-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: mine\nVersion: 1\n",
    f"{SITE}/mine-1.dist-info/RECORD": "mine.pth,,\nmine-1.dist-info/RECORD,,\n",
    f"{SITE}/mine-1.dist-info/direct_url.json": '{"url": "file:///src", "dir_info": {"editable": true}}',
    "libs/src/mine/__init__.py": "from .core import f\n",
    "libs/src/mine/core.py": "def f(x): return x + 1\ndef unused(x): return x\n",
}


def zip_up(scene: Scene) -> None:
    """Pack the module into the archive that stands on the import path."""
    text = (scene.folder / "packed.py.txt").read_text()
    with zipfile.ZipFile(scene.folder / "packed.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("packed.py"), text)  # which has the same time in each


def edit_the_archive(scene: Scene) -> None:
    """Change the module in the archive."""
    path = scene.folder / "packed.py.txt"
    path.write_text(path.read_text().replace("x + 1", "x + 2"))
    zip_up(scene)


def edit_beside(scene: Scene) -> None:
    """Change a module outside of the project's folder."""
    (scene.aside / "outside" / "beside.py").write_text("def f(x): return x + 2\n")


def put_beside(scene: Scene) -> None:
    """Put a module outside of the project's folder, reached by a link in it."""
    outside = scene.aside / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "beside.py").write_text("def f(x): return x + 1\n")
    link = scene.folder / "linked"
    if not link.is_symlink():
        link.symlink_to(outside)


CASES = [
    miss(
        "re_exports_through_three_packages",
        "from pack import f",
        "f(cfg.x)",
        _CHAIN,
        {"pack/sub/deeper/_impl.py": ("x + 1", "x + 2")},
    ),
    miss(
        "re_export_turned_to_another_function",
        "from pack import f",
        "f(cfg.x)",
        _CHAIN,
        {"pack/sub/deeper/__init__.py": ("import g as f", "import unused as f")},
    ),
    miss(
        "attribute_of_a_package_of_a_package",
        "import pack.sub",
        "pack.sub.deeper._impl.g(cfg.x)",
        _CHAIN,
        {"pack/sub/deeper/_impl.py": ("x + 1", "x + 2")},
    ),
    miss(
        "submodule_bound_by_somebody_elses_import",
        "import pack\nimport other",
        "pack.late.f(cfg.x)",
        {"pack/__init__.py": "", "pack/late.py": "def f(x): return x + 1\n", "other.py": "import pack.late\n"},
        {"pack/late.py": ("x + 1", "x + 2")},
    ),
    miss(
        "statement_in_a_parent_package",
        "from pack.inner import f",
        "f(cfg.x)",
        {
            "pack/__init__.py": "import settings\nsettings.RATE = 2\n",
            "pack/inner.py": "import settings\ndef f(x): return settings.RATE * x\n",
            "settings.py": "RATE = 1\n",
        },
        {"pack/__init__.py": ("RATE = 2", "RATE = 3")},
    ),
    miss(
        "name_in_a_package_hides_its_submodule",
        "from pack import part",
        "part(cfg.x) if callable(part) else part.f(cfg.x)",
        {"pack/__init__.py": "", "pack/part.py": "def f(x): return x + 1\n"},
        {"pack/__init__.py": "def part(x): return x + 5\n"},
    ),
    miss(
        "relative_import_two_levels_up",
        "from pack.a.b import f",
        "f(cfg.x)",
        {
            "pack/__init__.py": "",
            "pack/a/__init__.py": "",
            "pack/a/b.py": "from ..c.d import g\ndef f(x): return g(x)\n",
            "pack/c/__init__.py": "",
            "pack/c/d.py": "def g(x): return x + 1\n",
        },
        {"pack/c/d.py": ("x + 1", "x + 2")},
    ),
    miss(
        "cyclic_imports",
        "import one",
        "one.f(cfg.x)",
        {
            "one.py": "import two\ndef f(x): return two.g(x)\ndef h(x): return x + 1\n",
            "two.py": "import one\ndef g(x): return one.h(x)\n",
        },
        {"one.py": ("x + 1", "x + 2")},
    ),
    miss(
        "order_of_imports_that_matters",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": "import one\nimport two\nimport shared\ndef f(x): return shared.RATE * x\n",
            "one.py": "import shared\nshared.RATE = 2\n",
            "two.py": "import shared\nshared.RATE = 3\n",
            "shared.py": "RATE = 1\n",
        },
        {"helper.py": ("import one\nimport two", "import two\nimport one")},
    ),
    miss(
        "namespace_package_in_two_places",
        "from space.second import f",
        "f(cfg.x)",
        {"space/first.py": "A = 1\n", "libs/space/second.py": "def f(x): return x + 1\n"},
        {"libs/space/second.py": ("x + 1", "x + 2")},
        env={"PYTHONPATH": "libs"},
        plain=False,
    ),
    miss(
        "module_from_the_python_path",
        "from beside import f",
        "f(cfg.x)",
        {"libs/beside.py": "def f(x): return x + 1\n"},
        {"libs/beside.py": ("x + 1", "x + 2")},
        env={"PYTHONPATH": "libs"},
        plain=False,
    ),
    miss(
        "order_of_the_python_path",
        "from beside import f",
        "f(cfg.x)",
        {"libs/beside.py": "def f(x): return x + 1\n", "more/beside.py": "def f(x): return x + 2\n"},
        lambda scene: scene.env.update(PYTHONPATH="more:libs"),
        env={"PYTHONPATH": "libs:more"},
        plain=False,
    ),
    miss(
        "module_from_a_folder_put_on_the_path_at_run_time",
        "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'libs'))\nfrom beside import f",
        "f(cfg.x)",
        {"libs/beside.py": "def f(x): return x + 1\n"},
        {"libs/beside.py": ("x + 1", "x + 2")},
    ),
    miss(
        "module_in_a_zip_archive",
        "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'packed.zip'))\nfrom packed import f",
        "f(cfg.x)",
        {"packed.py.txt": "def f(x): return x + 1\n"},
        edit_the_archive,
        prepare=zip_up,
        may_refuse=True,
        plain=False,
    ),
    miss(
        "module_behind_a_link_out_of_the_project",
        "from linked.beside import f",
        "f(cfg.x)",
        {},
        edit_beside,
        prepare=put_beside,
        plain=False,
    ),
    miss(
        "editable_install",
        "from mine import f",
        "f(cfg.x)",
        _EDITABLE,
        {"libs/src/mine/core.py": ("x + 1", "x + 2")},
        sites=(SITE,),
        plain=False,
    ),
    hit(
        "unused_function_of_an_editable_install",
        "from mine import f",
        "f(cfg.x)",
        _EDITABLE,
        {"libs/src/mine/core.py": ("return x\n", "return -x\n")},
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "first_party_module_hides_a_distribution",
        "import fakelib",
        "fakelib.VALUE",
        {**distribution("1.0", "VALUE = 1\n"), "fakelib.py": "VALUE = 2\n"},
        {"fakelib.py": ("VALUE = 2", "VALUE = 3")},
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "distribution_no_longer_hidden",
        "import fakelib",
        "fakelib.VALUE",
        {**distribution("1.0", "VALUE = 1\n"), "fakelib.py": "VALUE = 2\n"},
        {"fakelib.py": None},
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "version_of_what_a_distribution_requires",
        "import fakelib",
        "fakelib.value()",
        {
            **distribution("1.0", "import otherlib\ndef value(): return otherlib.VALUE\n", requires="otherlib"),
            **distribution("1.0", "VALUE = 1\n", name="otherlib"),
        },
        distribution("2.0", "VALUE = 2\n", name="otherlib"),
        sites=(SITE,),
        plain=False,
    ),
    hit(
        "version_of_a_distribution_that_nothing_uses",
        "import fakelib",
        "fakelib.VALUE",
        {**distribution("1.0", "VALUE = 1\n"), **distribution("1.0", "VALUE = 1\n", name="otherlib")},
        distribution("2.0", "VALUE = 2\n", name="otherlib"),
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "distribution_imported_inside_a_function",
        "from helper import f",
        "f(cfg.x)",
        {
            **distribution("1.0", "VALUE = 1\n"),
            "helper.py": "def f(x):\n    import fakelib\n    return fakelib.VALUE\n",
        },
        distribution("1.1", "VALUE = 2\n"),
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "optional_distribution_appears",
        "from helper import f",
        "f(cfg.x)",
        {
            f"{SITE}/readme.txt": "\n",
            "helper.py": """
                def f(x):
                    try:
                        import fakelib
                    except ImportError:
                        return x
                    return fakelib.VALUE
            """,
        },
        distribution("1.0", "VALUE = 7\n"),
        sites=(SITE,),
        plain=False,
    ),
    miss(
        "optional_module_appears",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                try:
                    from fast import f
                except ImportError:
                    def f(x):
                        return x + 1
            """
        },
        {"fast.py": "def f(x): return x + 2\n"},
    ),
    miss(
        "optional_name_appears",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                try:
                    from fast import quick as f
                except ImportError:
                    def f(x):
                        return x + 1
            """,
            "fast.py": "def slow(x): return x\n",
        },
        {"fast.py": "def slow(x): return x\ndef quick(x): return x + 2\n"},
    ),
    miss(
        "optional_module_fails_to_import",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                try:
                    from fast import f
                except ImportError:
                    def f(x):
                        return x + 1
            """,
            "fast.py": "def f(x): return x + 2\n",
        },
        {"fast.py": "raise ImportError\ndef f(x): return x + 2\n"},
    ),
    miss(
        "run_as_a_module",
        "from helper import f",
        "f(cfg.x)",
        {"helper.py": "def f(x): return x + 1\n"},
        {"helper.py": ("x + 1", "x + 2")},
        command=("-m", "train"),
        plain=False,
    ),
    miss(
        "run_as_a_package",
        "",
        "cfg.x",
        {
            "pack/__init__.py": "RATE = 1\n",
            "pack/__main__.py": """
                import json, os
                import hydra
                from hydra.core.hydra_config import HydraConfig
                from pack import RATE
                from .helper import f
                @hydra.main(config_path="../conf", config_name="config", version_base=None)
                def main(cfg):
                    value = f(cfg.x) * RATE
                    with open(os.environ["RUNS"], "a") as file:
                        file.write(json.dumps([" ".join(HydraConfig.get().overrides.task), repr(value)]) + "\\n")
                    return value
                main()
            """,
            "pack/helper.py": "def f(x): return x + 1\n",
        },
        {"pack/helper.py": ("x + 1", "x + 2")},
        command=("-m", "pack"),
        plain=False,
    ),
    miss(
        "task_in_another_module_than_the_program",
        "",
        "cfg.x",
        {
            "conf/__init__.py": "",
            "run.py": "from train import main\nif __name__ == '__main__':\n    main()\n",
            "helper.py": "def f(x): return x + 1\n",
        },
        {"train.py": ("value = cfg.x", "value = cfg.x + 1")},
        command=("run.py",),
        plain=False,
    ),
    miss(
        "program_that_patches_the_tasks_module",
        "import helper",
        "helper.f(cfg.x)",
        {
            "conf/__init__.py": "",
            "run.py": "import helper\nfrom train import main\nhelper.f = lambda x: x + 1\nmain()\n",
            "helper.py": "def f(x): return x\n",
        },
        {"run.py": ("x + 1", "x + 2")},
        command=("run.py",),
        plain=False,
    ),
    miss(
        "else_of_the_main_guard",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": """
                def f(x):
                    return RATE * x
                if __name__ == "__main__":
                    RATE = 1
                else:
                    RATE = 2
            """
        },
        {"helper.py": ("RATE = 2", "RATE = 3")},
    ),
    miss(
        "main_guard_turned_around",
        "import helper",
        "helper.f(cfg.x)",
        {"helper.py": "RATE = 1\ndef f(x): return RATE * x\nif __name__ == '__main__':\n    RATE = 2\n"},
        {"helper.py": ("__name__ ==", "__name__ !=")},
    ),
    miss(
        "main_guard_of_the_program_sets_a_global",
        "RATE = 1",
        "RATE * cfg.x",
        {},
        {"train.py": ("    main()\n", "    RATE = 2\n    main()\n")},
        plain=False,
    ),
    hit(
        "main_guard_of_a_helper",
        "import helper",
        "helper.f(cfg.x)",
        {"helper.py": "def f(x): return x\nif __name__ == '__main__':\n    print(f(1))\n"},
        {"helper.py": ("print(f(1))", "print(f(2))")},
    ),
    hit(
        "import_in_a_main_guard_of_a_helper",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": "def f(x): return x\nif __name__ == '__main__':\n    import script\n    script.run()\n",
            "script.py": "def run(): return 1\n",
        },
        {"script.py": ("return 1", "return 2")},
    ),
    hit(
        "module_imported_for_type_checkers",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from __future__ import annotations
                from typing import TYPE_CHECKING
                if TYPE_CHECKING:
                    from shapes import Shape
                def f(x: Shape) -> Shape:
                    return x
            """,
            "shapes.py": "class Shape:\n    size = 1\n",
        },
        {"shapes.py": ("size = 1", "size = 2")},
    ),
    hit(
        "import_added_for_type_checkers",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                import typing
                if typing.TYPE_CHECKING:
                    import one
                def f(x):
                    return x
            """,
            "one.py": "X = 1\n",
            "two.py": "X = 1\n",
        },
        {"helper.py": ("    import one\n", "    import one\n    import two\n")},
    ),
    miss(
        "else_of_a_block_for_type_checkers",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": """
                from typing import TYPE_CHECKING
                if TYPE_CHECKING:
                    from one import g
                else:
                    from two import g
                def f(x):
                    return g(x)
            """,
            "one.py": "def g(x): return x\n",
            "two.py": "def g(x): return x + 1\n",
        },
        {"two.py": ("x + 1", "x + 2")},
    ),
    hit(
        "other_function_of_a_module_that_one_is_imported_from",
        "from pack import f",
        "f(cfg.x)",
        _CHAIN,
        {"pack/sub/deeper/_impl.py": ("return x\n", "return -x\n")},
    ),
    hit(
        "other_function_of_a_module_reached_by_its_name",
        "import helper",
        "helper.f(cfg.x)",
        {"helper.py": "def f(x): return x\ndef g(x): return x\n"},
        {"helper.py": ("def g(x): return x", "def g(x): return -x")},
    ),
    hit(
        "module_that_only_an_unused_function_imports",
        "import helper",
        "helper.f(cfg.x)",
        {
            "helper.py": "def f(x): return x\ndef unused():\n    import heavy\n    return heavy.g()\n",
            "heavy.py": "def g(): return 1\n",
        },
        {"heavy.py": ("return 1", "return 2")},
    ),
    hit(
        "function_that_only_an_unused_function_calls",
        "import helper",
        "helper.f(cfg.x)",
        {"helper.py": "def f(x): return x\ndef unused(): return g()\ndef g(): return 1\n"},
        {"helper.py": ("return 1", "return 2")},
    ),
]
if sys.version_info >= (3, 11):
    CASES.append(
        miss(
            "except_star",
            "from helper import f",
            "f(cfg.x)",
            {
                "helper.py": """
                    def f(x):
                        got = []
                        try:
                            raise ExceptionGroup("both", [ValueError(), TypeError()])
                        except* ValueError:
                            got.append(1)
                        except* TypeError:
                            got.append(2)
                        return got
                """
            },
            {"helper.py": ("append(2)", "append(3)")},
        )
    )
