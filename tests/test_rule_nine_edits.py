"""What is stored is what ran: an edit of a loaded file of which nothing is reached costs no result, any other does."""

from __future__ import annotations

import os

import pytest

from tests.conftest import Project
from tests.test_rule_nine import wait_for
from tests.test_rule_nine_files import REPORT, values

LATE = """
    RATE = 2

    def unused():
        return 'unused'

    def compute(x):
        return x * RATE
"""
APP = """
    import os, time
    import hydra

    def unused():
        return 'unused'

    @hydra.main(config_path="conf", config_name="config", version_base=None)
    def main(cfg):
        with open(os.environ["RUNS"], "a") as file:
            file.write(f"{cfg.x}\\n")
        while "GATE" in os.environ and not os.path.exists(os.environ["GATE"]):
            time.sleep(0.01)
        import late
        return late.compute(cfg.x)

    if __name__ == "__main__":
        main()
"""
SESSION = """
    import pathlib, sys
    import hydra, parcache
    import app, late

    if __name__ == "__main__":
        with hydra.initialize(config_path="conf", version_base=None):
            for overrides, edit in (["x=7"], True), (["x=0,1,2"], False):
                parcache.sweep(app.main, overrides=overrides, backend=sys.argv[1])
                if edit:
                    path = pathlib.Path(sys.argv[2])
                    path.write_text(path.read_text().replace(sys.argv[3], sys.argv[4]))
"""
UNREACHED = {
    "unused_function": ("late.py", "'unused'", "'nobody asks for this'"),
    "comment": ("late.py", "RATE = 2", "# how much\nRATE = 2"),
    "above_the_task": ("app.py", "return 'unused'", "value = 'nobody'\n    return value"),
}
REACHED = {
    "function": ("late.py", "x * RATE", "x * RATE + 100"),
    "constant": ("late.py", "RATE = 2", "RATE = 30"),
    "statement": ("late.py", "def unused", "import builtins\nbuiltins.seen = 1\n\ndef unused"),
    "task": ("app.py", "late.compute(cfg.x)", "late.compute(cfg.x) + 100"),
}


@pytest.fixture
def plain(project: Project) -> Project:
    """A project whose main script is imported by another one."""
    return project.write(app=APP, late=LATE, report=REPORT, session=SESSION)


@pytest.mark.parametrize("name", UNREACHED)
def test_loaded_file_edited_where_nothing_is_reached_lets_a_session_go_on_storing(plain: Project, name: str) -> None:
    """A session's second sweep stores what it computes with the earlier text, and the new text hits it."""
    result = plain.run("serial", *UNREACHED[name], script="session.py").check()
    assert "not stored" not in result.out + result.err
    plain.runs.unlink()
    values(plain)
    assert plain.executions() == []


@pytest.mark.parametrize("name", REACHED)
def test_loaded_file_edited_where_it_counts_is_told_and_nothing_stored(plain: Project, name: str) -> None:
    """A session's second sweep runs the earlier text: it stores nothing, and says so once."""
    path, old, new = REACHED[name]
    result = plain.run("serial", path, old, new, script="session.py").check()
    assert (result.out + result.err).count("Results are not stored") == 1
    plain.runs.unlink()
    after = values(plain)
    assert len(plain.executions()) == 3
    plain.runs.unlink()
    edited = plain.folder / path
    edited.write_text(edited.read_text().replace(new, old))
    before = values(plain)
    assert len(plain.executions()) == 3
    assert (before != after) == (name != "statement")


def _edited_in_mid_sweep(plain: Project, path: str, old: str, new: str, backend: str) -> str:
    gate = plain.folder / "gate"
    launcher = ["-m", "hydra/launcher=parcache", f"hydra/launcher/backend={backend}"]
    running = plain.start(*launcher, "x=0,1,2", env={"GATE": str(gate)})
    wait_for(lambda: plain.executions(), running)
    edited = plain.folder / path
    edited.write_text(edited.read_text().replace(old, new))
    os.utime(edited)
    gate.touch()
    done = running.finish().check()
    return done.out + done.err


@pytest.mark.parametrize("name", ["unused_function", "comment"])
@pytest.mark.parametrize("backend", ["serial", "process"])
def test_file_edited_before_a_worker_imports_it_where_nothing_is_reached_is_stored(
    plain: Project, name: str, backend: str
) -> None:
    """What a worker imports in its edited form comes to the same, so its results are stored, and both texts hit."""
    shown = _edited_in_mid_sweep(plain, *UNREACHED[name], backend)
    assert "not stored" not in shown
    plain.runs.unlink()
    values(plain)
    assert plain.executions() == []


@pytest.mark.parametrize("name", ["function", "constant"])
@pytest.mark.parametrize("backend", ["serial", "process"])
def test_file_edited_before_a_worker_imports_it_where_it_counts_is_not_stored(
    plain: Project, name: str, backend: str
) -> None:
    """What a worker imports in its edited form is stored under neither text's key."""
    shown = _edited_in_mid_sweep(plain, *REACHED[name], backend)
    assert shown.count("Results are not stored") == 1
    plain.runs.unlink()
    values(plain)
    assert len(plain.executions()) == 3
