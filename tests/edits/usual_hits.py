"""What no caching tool should take for a change of a task's code."""

from __future__ import annotations

import os
from typing import Any

from tests.edits.case import Action, Case, Change, Scene, hit

TOP = "import helper\nfrom models import base"
VALUE = "helper.f(cfg.x) + base.Model().go()"
FILES = {
    "helper.py": '''
        """About it."""
        import inert_a
        import inert_b

        LIMIT = 10
        UNUSED = 7

        def f(x):
            """Return more."""
            # why
            return min(g(x), LIMIT) + inert_a.A + inert_b.B

        def g(x):
            return x + 1

        def unused(x):
            return x

        class Unused:
            def go(self):
                return 1
    ''',
    "inert_a.py": "A = 1\n",
    "inert_b.py": "B = 1\n",
    "models/__init__.py": "",
    "models/base.py": """
        class Model:
            rate = 1
            name = "model"

            def go(self):
                return self.rate + self._more()

            def _more(self):
                return 2
    """,
    "models/other.py": "class Other:\n    pass\n",
    "unrelated.py": "X = 1\n",
    "inert.py": "X = 1\ndef f(): return X\n",
    "data.txt": "1\n",
    "tests/test_it.py": "def test_it():\n    assert True\n",
    "conf/config.yaml": "x: 1\n",
}


def app(name: str, edit: dict[str, Change], **more: Any) -> Case:
    """Return a case on the one project that most of them share: its first sweep runs once."""
    return hit(name, TOP, VALUE, FILES, edit, **more)


def move(scene: Scene) -> None:
    """Move the project elsewhere."""
    scene.folder = scene.folder.rename(scene.aside / "deeper")


def touch(scene: Scene) -> None:
    """Give the data file another time."""
    os.utime(scene.folder / "data.txt", ns=(10**18, 10**18))


def put_off(scene: Scene) -> None:
    """Give all files another time."""
    for path in scene.folder.rglob("*.*"):
        os.utime(path, ns=(10**18, 10**18))


def rewrite(scene: Scene) -> None:
    """Write a file anew, with the content that it has."""
    path = scene.folder / "helper.py"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


READS = "from pathlib import Path"
READS_VALUE = "len(Path(__file__).with_name('data.txt').read_text())"
GROUPS = {
    "conf/config.yaml": "defaults: [{model: a}, _self_]\nx: 1\n",
    "conf/model/a.yaml": "size: 2\n",
    "conf/model/same.yaml": "size: 3\n",
}


def turn(old: str, new: str) -> Action:
    """Return an action that gives another argument on the command line."""

    def act(scene: Scene) -> None:
        scene.overrides[scene.overrides.index(old)] = new

    return act


def into_the_yaml(scene: Scene) -> None:
    """Write in the YAML what was said on the command line."""
    (scene.folder / "conf" / "config.yaml").write_text("y: 1\nx: 5\n")
    turn("x=5", "y=1")(scene)


def elsewhere(scene: Scene) -> None:
    """Sweep into a folder inside of the project."""
    scene.overrides.append("hydra.sweep.dir=elsewhere")


def link(scene: Scene) -> None:
    """Reach the project through a symbolic link."""
    scene.aside.joinpath("link").symlink_to(scene.folder)
    scene.folder = scene.aside / "link"


CASES = [
    app("comment_added", {"helper.py": ("# why\n", "# why\n    # and how\n")}),
    app("comment_changed", {"helper.py": ("# why", "# because")}),
    app("comment_removed", {"helper.py": ("    # why\n", "")}),
    app("docstring_of_a_function", {"helper.py": ("Return more.", "Return even more.")}),
    app("docstring_of_a_module", {"helper.py": ("About it.", "About something.")}),
    app("docstring_added_to_a_class", {"models/base.py": ("class Model:\n", "class Model:\n    'A model.'\n")}),
    app("docstring_added_to_a_method", {"models/base.py": ("def go(self):\n", "def go(self):\n        'Go.'\n")}),
    app("blank_lines", {"helper.py": ("LIMIT = 10\n", "\n\n\nLIMIT = 10\n\n\n")}),
    app("spaces", {"helper.py": ("return x + 1", "return x+1")}),
    app("parentheses", {"helper.py": ("return x + 1", "return (x + (1))")}),
    app(
        "line_breaks_and_a_trailing_comma",
        {"helper.py": ("min(g(x), LIMIT)", "min(\n        g(x),\n        LIMIT,\n    )")},
    ),
    app("quotes", {"models/base.py": ('"model"', "'model'")}),
    app("backslash_in_a_line", {"helper.py": ("return x + 1", "return x \\\n        + 1")}),
    app("semicolons", {"helper.py": ("LIMIT = 10\n", "LIMIT = 10;\n")}),
    app("type_comment", {"helper.py": ("def g(x):\n", "def g(x):\n    # type: (int) -> int\n")}),
    app(
        "order_of_functions",
        {
            "helper.py": '''
            """About it."""
            import inert_a
            import inert_b

            LIMIT = 10
            UNUSED = 7

            def g(x):
                return x + 1

            class Unused:
                def go(self):
                    return 1

            def unused(x):
                return x

            def f(x):
                """Return more."""
                # why
                return min(g(x), LIMIT) + inert_a.A + inert_b.B
        '''
        },
    ),
    app(
        "order_of_methods",
        {
            "models/base.py": """
            class Model:
                rate = 1
                name = "model"

                def _more(self):
                    return 2

                def go(self):
                    return self.rate + self._more()
        """
        },
    ),
    app("order_of_constants", {"helper.py": ("LIMIT = 10\nUNUSED = 7\n", "UNUSED = 7\nLIMIT = 10\n")}),
    app("unused_function_changed", {"helper.py": ("return x\n", "return -x\n")}),
    app("unused_function_added", {"helper.py": ("def g(x):", "def more(x):\n    return x\n\ndef g(x):")}),
    app("unused_function_removed", {"helper.py": ("def unused(x):\n    return x\n", "")}),
    app("unused_class_changed", {"helper.py": ("        return 1\n", "        return 2\n")}),
    app("unused_class_added", {"helper.py": ("def g(x):", "class More:\n    x = 1\n\ndef g(x):")}),
    app("unused_constant_changed", {"helper.py": ("UNUSED = 7", "UNUSED = 8")}),
    app("unused_constant_added", {"helper.py": ("UNUSED = 7", "UNUSED = 7\nMORE = 8")}),
    app(
        "unused_function_of_the_program", {"train.py": ("@hydra.main", "def unused():\n    return 1\n\n\n@hydra.main")}
    ),
    app("unrelated_module", {"unrelated.py": "X = 2\n"}),
    app("unrelated_module_of_a_package", {"models/other.py": "class Other:\n    x = 1\n"}),
    app("new_module", {"brand_new.py": "X = 1\n"}),
    app("new_file", {"notes/readme.md": "# Notes\n"}),
    app("tests_edited", {"tests/test_it.py": "def test_it():\n    assert 1 == 1\n"}),
    app("import_order", {"helper.py": ("import inert_a\nimport inert_b\n", "import inert_b\nimport inert_a\n")}),
    app("unused_import_of_the_standard_library", {"helper.py": ("import inert_a\n", "import math\nimport inert_a\n")}),
    app("unused_import_of_numpy", {"helper.py": ("import inert_a\n", "import numpy as np\nimport inert_a\n")}),
    app("unused_import_of_an_inert_module", {"helper.py": ("import inert_a\n", "import inert\nimport inert_a\n")}),
    app(
        "unused_name_from_an_inert_module",
        {"helper.py": ("import inert_a\n", "from inert import f as h\nimport inert_a\n")},
    ),
    app(
        "main_guard",
        {
            "train.py": (
                'if __name__ == "__main__":\n    main()',
                'if __name__ == "__main__":\n    print("begin")\n    main()',
            )
        },
    ),
    app("config_comment", {"conf/config.yaml": "# about x\nx: 1\n"}),
    app("config_of_an_unused_group", {"conf/opt/adam.yaml": "lr: 1\n"}),
    hit("project_moved", TOP, VALUE, FILES, move, plain=False),
    hit("project_reached_through_a_link", TOP, VALUE, FILES, link, plain=False),
    hit("times_of_all_files", TOP, VALUE, FILES, put_off),
    hit("file_written_anew", TOP, VALUE, FILES, rewrite),
    hit("data_file_with_a_new_time", READS, READS_VALUE, FILES, touch),
    hit("data_file_that_no_job_reads", READS, READS_VALUE, FILES | {"other.txt": "1\n"}, {"other.txt": "2\n"}),
    hit(
        "model_that_no_job_names",
        "from hydra.utils import instantiate",
        "instantiate(cfg.model).go()",
        {
            "conf/config.yaml": "x: 1\nmodel: {_target_: models.a.A}\n",
            "models/__init__.py": "",
            "models/a.py": "class A:\n    def go(self):\n        return 1\n",
            "models/b.py": "class B:\n    def go(self):\n        return 2\n",
        },
        {"models/b.py": ("return 2", "return 3")},
        plain=False,
    ),
    hit(
        "value_in_the_yaml_instead_of_the_command_line",
        "",
        "cfg.x * 2",
        {"conf/config.yaml": "x: 1\ny: 1\n"},
        into_the_yaml,
        jobs=("x=5",),
        plain=False,
    ),
    hit(
        "value_by_a_group_instead_of_the_command_line",
        "",
        "cfg.model.size",
        GROUPS,
        turn("model.size=3", "model=same"),
        jobs=("model.size=3",),
        plain=False,
    ),
    hit(
        "value_by_an_interpolation",
        "",
        "cfg.y",
        {"conf/config.yaml": "x: 1\ny: 2\nz: 2\n"},
        {"conf/config.yaml": "z: 2\ny: ${z}\nx: 1\n"},
        plain=False,
    ),
    hit(
        "other_backend",
        TOP,
        VALUE,
        FILES,
        turn("hydra/launcher/backend=serial", "hydra/launcher/backend=process"),
        plain=False,
    ),
    hit("other_sweep_directory", TOP, VALUE, FILES, elsewhere, plain=False),
    hit("order_of_jobs", "", "cfg.x", {}, turn("x=1,2", "x=2,1"), jobs=("x=1,2",), plain=False),
    hit(
        "volatile_interpolations",
        "",
        "cfg.x",
        {
            "conf/config.yaml": "x: 1\nout: ${hydra:runtime.output_dir}/x\n"
            "at: ${now:%H-%M-%S-%f}\nnumber: ${hydra:job.num}\n"
        },
        elsewhere,
        plain=False,
    ),
    hit(
        "environment_variable_that_nothing_names",
        "",
        "cfg.x",
        {},
        lambda scene: scene.env.update(UNRELATED="2"),
        env={"UNRELATED": "1"},
        plain=False,
    ),
]
