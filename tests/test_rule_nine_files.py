"""What is stored is what ran: files that jobs execute, or read, or import again, while somebody edits them."""

from __future__ import annotations

import json
from textwrap import indent

import pytest

from tests.conftest import Project

OLD = "def compute():\n    return 'old'\n"
NEW = "def compute():\n    return 'newer'\n"
APP = """
import json, os, pathlib
import hydra
{top}

def compute():
{manner}

@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    with open(os.environ["RUNS"], "a") as file:
        file.write(f"{{cfg.x}}\\n")
    if cfg.x == int(os.environ.get("EDIT_AT", -1)):
        pathlib.Path("late.py").write_text(os.environ["EDIT"])
    return compute()

if __name__ == "__main__":
    main()
"""
REPORT = """
    import json
    import hydra, parcache
    from app import main

    if __name__ == "__main__":
        with hydra.initialize(config_path="conf", version_base=None):
            print("values", json.dumps(parcache.sweep(main, overrides=["x=0,1,2"], backend="serial")))
"""
# By how a job comes to code of late.py: what the module does at its top, and what a call does.
BY_HAND = """
spec = importlib.util.spec_from_file_location("late_by_hand", "late.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
return module.compute()
"""
IN_SYS_MODULES = """
module = types.ModuleType("late")
exec(open("late.py").read(), module.__dict__)
sys.modules["late"] = module
import late as found
return found.compute()
"""
MANNERS = {
    "exec": ("", "space = {}\nexec(open('late.py').read(), space)\nreturn space['compute']()"),
    "exec_of_compiled": (
        "",
        "space = {}\nexec(compile(pathlib.Path('late.py').read_bytes(), 'late.py', 'exec'), space)\n"
        "return space['compute']()",
    ),
    "exec_over_a_module": ("import late", "exec(open('late.py').read(), vars(late))\nreturn late.compute()"),
    "run_path": ("import runpy", "return runpy.run_path('late.py')['compute']()"),
    "run_module": ("import runpy", "return runpy.run_module('late')['compute']()"),
    "put_over_a_module": (
        "import runpy\nimport late",
        "late.__dict__.update(runpy.run_path('late.py'))\nreturn late.compute()",
    ),
    "loader_by_hand": ("import importlib.util", BY_HAND),
    "loader_over_its_module": ("import late", "late.__spec__.loader.exec_module(late)\nreturn late.compute()"),
    "code_of_loader": (
        "import importlib.util",
        "space = {}\nexec(importlib.util.find_spec('late').loader.get_code('late'), space)\nreturn space['compute']()",
    ),
    "source_of_loader": (
        "import importlib.util",
        "space = {}\nexec(importlib.util.find_spec('late').loader.get_source('late'), space)\n"
        "return space['compute']()",
    ),
    "tokenize": (
        "import tokenize",
        "space = {}\nexec(tokenize.open('late.py').read(), space)\nreturn space['compute']()",
    ),
    "getsource": (
        "import inspect, linecache\nimport late",
        "linecache.checkcache()\nspace = {}\nexec(inspect.getsource(late), space)\nreturn space['compute']()",
    ),
    "parsed": (
        "import ast",
        "tree = ast.parse(open('late.py').read())\n"
        "return [part.value for part in ast.walk(tree) if isinstance(part, ast.Constant)]",
    ),
    "reload": ("import importlib\nimport late", "importlib.reload(late)\nreturn late.compute()"),
    "imported_anew": (
        "import importlib, sys",
        "sys.modules.pop('late', None)\nimportlib.invalidate_caches()\nimport late\nreturn late.compute()",
    ),
    "put_into_sys_modules": ("import sys, types", IN_SYS_MODULES),
}


def project_of(project: Project, top: str, manner: str) -> Project:
    """Write a project whose jobs come to the code of late.py in a manner."""
    app = APP.format(top=top, manner=indent(manner.strip(), "    "))
    return project.write(app=app, late=OLD, report=REPORT)


def one_worker(launcher: list[str]) -> list[str]:
    """Return a launcher's overrides so that all jobs run in one process, one after the other."""
    return [*launcher, "hydra.launcher.backend.workers=1"] if launcher[-1][-6:] != "serial" else launcher


def values(project: Project) -> list[str]:
    """Return what a sweep gets in a fresh process, from the store or by running."""
    line = next(line for line in project.run(script="report.py").check().out.splitlines() if line[:7] == "values ")
    return [str(value) for value in json.loads(line[7:])]


def insist_on_what_ran(project: Project) -> None:
    """Insist that neither text of late.py is served the other's results."""
    for text, word in ((NEW, "newer"), (OLD, "old")):
        (project.folder / "late.py").write_text(text)
        found = values(project)
        assert len(found) == 3
        assert all(word in value for value in found), found


@pytest.mark.parametrize("name", MANNERS)
@pytest.mark.parametrize("backend", ["serial"])
def test_file_edited_between_jobs_that_execute_it_is_stored_as_what_ran(
    project: Project, launcher: list[str], name: str
) -> None:
    """However a job executes a file, an edit in the middle of the sweep lends no result another text's key."""
    project_of(project, *MANNERS[name])
    project.run(*one_worker(launcher), "x=0,1,2", env={"EDIT": NEW, "EDIT_AT": "1"}).check()
    insist_on_what_ran(project)
