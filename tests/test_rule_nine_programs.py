"""What is stored is what ran: code that only the programs import which jobs start, while somebody edits it."""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.test_rule_nine_files import NEW, insist_on_what_ran, one_worker, project_of, values

CHILD = """
    import late

    def work(_=None):
        return late.compute()

    if __name__ == "__main__":
        print(work())
"""
FORKED = """
reader, writer = os.pipe()
pid = os.fork()
if not pid:
    import child
    os.write(writer, child.work().encode())
    os._exit(0)
os.waitpid(pid, 0)
return os.read(reader, 100).decode()
"""
FORKED_AND_EXECUTED = """
pid = os.fork()
if not pid:
    os.dup2(os.open("out.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.execv(sys.executable, [sys.executable, "child.py"])
os.waitpid(pid, 0)
return pathlib.Path("out.log").read_text().strip()
"""
SPAWNED = """
to = [(os.POSIX_SPAWN_OPEN, 1, "out.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "child.py"], os.environ, file_actions=to), 0)
return pathlib.Path("out.log").read_text().strip()
"""
POOLED = """
import multiprocessing
import child
with multiprocessing.get_context("{}").Pool(1) as pool:
    return pool.map(child.work, [0])[0]
"""
# The pool's processes import it, the job's does not.
UNLOADED = """
import multiprocessing
with multiprocessing.get_context("{}").Pool(1) as pool:
    return pool.map(starter.run, [0])[0]
"""
STARTER = """
    def run(_):
        import child
        return child.work()
"""
MANNERS = {
    "subprocess": (
        "import subprocess, sys",
        "return subprocess.run([sys.executable, 'child.py'], capture_output=True, text=True).stdout.strip()",
    ),
    "system": (
        "import sys",
        "os.system(f'{sys.executable} child.py > out.log')\nreturn pathlib.Path('out.log').read_text().strip()",
    ),
    "posix_spawn": ("import sys", SPAWNED),
    "fork": ("", FORKED),
    "fork_and_exec": ("import sys", FORKED_AND_EXECUTED),
    "pool_spawn": ("", POOLED.format("spawn")),
    "pool_of_what_only_it_imports_spawn": ("import starter", UNLOADED.format("spawn")),
    "pool_of_what_only_it_imports_fork": ("import starter", UNLOADED.format("fork")),
    "pool_of_what_only_it_imports_forkserver": ("import starter", UNLOADED.format("forkserver")),
}


def started(project: Project, name: str) -> Project:
    """Write a project whose jobs start programs in a manner."""
    return project_of(project, *MANNERS[name]).write(child=CHILD, starter=STARTER)


@pytest.mark.parametrize("name", MANNERS)
@pytest.mark.parametrize("backend", ["serial"])
def test_code_of_programs_edited_between_jobs_is_stored_as_what_ran(
    project: Project, launcher: list[str], name: str
) -> None:
    """Programs import by themselves; an edit in the middle of the sweep lends no result another text's key."""
    started(project, name)
    project.run(*launcher, "x=0,1,2", env={"EDIT": NEW, "EDIT_AT": "1"}).check()
    insist_on_what_ran(project)


@pytest.mark.parametrize("inputs", ["auto", "off"])
@pytest.mark.parametrize("backend", ["serial", "process"])
def test_code_of_programs_edited_between_jobs_is_told(project: Project, launcher: list[str], inputs: str) -> None:
    """One line says which file changed, whether or not the files that jobs read are recorded."""
    started(project, "subprocess")
    recorded = f"hydra.launcher.cache.inputs={inputs}"
    result = project.run(*one_worker(launcher), recorded, "x=0,1,2", env={"EDIT": NEW, "EDIT_AT": "1"}).check()
    assert result.out.count("late.py changed while programs ran") == 1
    assert len(project.entries()) == 1
    insist_on_what_ran(project)


@pytest.mark.parametrize("name", ["subprocess", "pool_spawn"])
@pytest.mark.parametrize("backend", ["serial", "process"])
def test_code_of_programs_that_nobody_edits_is_stored(project: Project, launcher: list[str], name: str) -> None:
    """That a job starts programs costs nothing where files stay as they are."""
    started(project, name)
    project.run(*launcher, "x=0,1").check()
    assert "2 hits, 0 misses" in project.run(*launcher, "x=0,1").check().summary


SESSION = """
    import os, pathlib, time
    import hydra, parcache
    from app import main

    if __name__ == "__main__":
        overrides = ["x=0,1,2", "hydra.launcher.cache.inputs=" + os.environ.get("INPUTS", "auto")]
        with hydra.initialize(config_path="conf", version_base=None):
            print(parcache.sweep(main, overrides=overrides, backend="serial"))
            time.sleep(0.05)
            pathlib.Path("late.py").write_text(os.environ["EDIT"])
            for name in ("late", "child"):
                __import__("sys").modules.pop(name, None)
            print(parcache.sweep(main, overrides=overrides, backend="serial"))
"""
KEPT = {
    "pool": (
        "import multiprocessing, starter\nPOOLS = []",
        "if not POOLS:\n    POOLS.append(multiprocessing.get_context('fork').Pool(1))\n"
        "return POOLS[0].map(starter.run, [0])[0]",
    ),
    "spawned_pool": (
        "import multiprocessing, starter\nPOOLS = []",
        "if not POOLS:\n    POOLS.append(multiprocessing.get_context('spawn').Pool(1))\n"
        "return POOLS[0].map(starter.run, [0])[0]",
    ),
    "executed_function": (
        "SPACE = {}",
        "if not SPACE:\n    exec(open('late.py').read(), SPACE)\nreturn SPACE['compute']()",
    ),
    "executed_at_the_top": ("import runpy\nSPACE = runpy.run_path('late.py')", "return SPACE['compute']()"),
}


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("inputs", ["auto", "off"])
def test_code_kept_in_a_session_that_goes_on_is_not_stored_as_the_edited_one(
    project: Project, name: str, inputs: str
) -> None:
    """Where a pool, or a function that was executed by hand, outlives an edit, nothing wrong is stored."""
    project_of(project, *KEPT[name]).write(child=CHILD, starter=STARTER, session=SESSION)
    project.run(script="session.py", env={"EDIT": NEW, "INPUTS": inputs}).check()
    insist_on_what_ran(project)


def test_code_of_programs_edited_before_a_session_goes_on_is_stored(project: Project) -> None:
    """Programs that have ended do not keep the next sweep of a session from storing."""
    started(project, "subprocess").write(session=SESSION)
    project.run(script="session.py", env={"EDIT": NEW}).check()
    project.runs.unlink()
    assert set(values(project)) == {"newer"}
    assert project.executions() == []
