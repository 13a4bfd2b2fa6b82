"""Attacks by ways to import: packages, re-exports, cycles, other places."""

from __future__ import annotations

import zipfile

from tests.edits.case import SITE, Scene, hit, miss

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
        "resource_of_a_package_that_nothing_imports",
        "from importlib.resources import files",
        "files('pack').joinpath('d.txt').read_text()",
        {"pack/__init__.py": "", "pack/d.txt": "1"},
        {"pack/d.txt": "2"},
        plain=False,
    ),
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
        "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'libs'))\n"
        "from beside import f",
        "f(cfg.x)",
        {"libs/beside.py": "def f(x): return x + 1\n"},
        {"libs/beside.py": ("x + 1", "x + 2")},
    ),
    miss(
        "module_in_a_zip_archive",
        "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'packed.zip'))\n"
        "from packed import f",
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
]
