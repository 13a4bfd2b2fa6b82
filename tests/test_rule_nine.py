"""What is stored is what ran: edits while a sweep runs, and sweeps that die, never falsify the store."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Project

APP = """
    import os, time
    import hydra

    @hydra.main(config_path="conf", config_name="config", version_base=None)
    def main(cfg):
        with open(os.environ["RUNS"], "a") as file:
            file.write(f"{cfg.x}\\n")
        gate = os.environ.get("GATE")
        while gate and cfg.x >= int(os.environ["FROM"]) and not os.path.exists(gate):
            time.sleep(0.01)
        import late
        return late.compute(cfg)

    if __name__ == "__main__":
        main()
"""
REPORT = """
    import json, os
    import hydra, parcache
    from app import main

    with hydra.initialize(config_path="conf", version_base=None):
        values = parcache.sweep(main, overrides=["x=0,1,2,3"], backend="serial")
        print("values", json.dumps(values))
"""


def wait_for(condition: object, running: object) -> None:
    """Wait until a condition holds, as long as the program runs."""
    deadline = time.monotonic() + 120
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came to that"
        assert running.process.poll() is None, running.finish()  # type: ignore[attr-defined]
        time.sleep(0.01)


@pytest.fixture
def gated(project: Project) -> Project:
    """Jobs that wait for a file before they import the helper that computes their result."""
    return project.write(app=APP, late="def compute(cfg):\n    return 'old'\n", report=REPORT)


def test_helper_edited_before_a_job_imports_it_is_not_stored_as_the_old_code(
    gated: Project, launcher: list[str]
) -> None:
    """Jobs that run an edited helper do not store the new code's result under the old code's key, nor the reverse."""
    gate = gated.folder / "gate"
    running = gated.start(*launcher, "x=0,1,2,3", env={"GATE": str(gate), "FROM": "0"})
    wait_for(lambda: gated.executions(), running)
    gated.write(late="def compute(cfg):\n    return 'new'\n")
    gate.touch()
    running.finish().check()
    assert '"new", "new", "new", "new"' in gated.run(script="report.py").check().out
    gated.write(late="def compute(cfg):\n    return 'old'\n")
    assert '"old", "old", "old", "old"' in gated.run(script="report.py").check().out


def test_helper_edited_after_it_was_imported_lets_the_sweep_go_on_storing(gated: Project, launcher: list[str]) -> None:
    """An edit in mid-sweep costs nothing where the old code is in memory: its results stay under its own key."""
    gated.write(app=APP.replace("import os, time", "import os, time, late").replace("        import late\n", ""))
    gate = gated.folder / "gate"
    one_worker = ["hydra.launcher.backend.workers=1"] if "hydra/launcher/backend=process" in launcher else []
    running = gated.start(*launcher, *one_worker, "x=0,1,2,3", env={"GATE": str(gate), "FROM": "1"})
    wait_for(lambda: len(gated.executions()) >= 2, running)
    original = (gated.folder / "late.py").read_text()
    gated.write(late="def compute(cfg):\n    return 'new'\n")
    gate.touch()
    running.finish().check()
    assert len(gated.entries()) == 4
    assert '"new", "new", "new", "new"' in gated.run(script="report.py").check().out
    gated.write(late=original)
    gated.runs.unlink()
    assert '"old", "old", "old", "old"' in gated.run(script="report.py").check().out
    assert gated.executions() == []


def test_main_script_edited_while_it_runs_is_not_stored_as_the_new_code(gated: Project, launcher: list[str]) -> None:
    """The main script travels from memory: what it returns is never served for its edited text."""
    app = APP.replace("return late.compute(cfg)", "return 'old main'")
    gated.write(app=app)
    gate = gated.folder / "gate"
    running = gated.start(*launcher, "x=0,1,2,3", env={"GATE": str(gate), "FROM": "0"})
    wait_for(lambda: gated.executions(), running)
    gated.write(app=app.replace("old main", "new main"))
    gate.touch()
    running.finish().check()
    assert '"new main", "new main", "new main", "new main"' in gated.run(script="report.py").check().out


def test_script_edited_between_its_start_and_the_sweep_is_not_stored_as_the_new_code(
    gated: Project, launcher: list[str]
) -> None:
    """Python reads a script when it starts; an edit before the sweep is keyed must not lend it the new text's key."""
    app = APP.replace("return late.compute(cfg)", "return 'old main'")
    waiting = "import os, time\nopen(os.environ['UP'], 'w').close()\nwhile not os.path.exists(os.environ['GO']):\n"
    slow = waiting + "    time.sleep(0.01)\n"
    gated.write(app=app)
    path = gated.folder / "app.py"
    path.write_text(slow + path.read_text())
    up, go = gated.folder / "up", gated.folder / "go"
    signals = {"UP": str(up), "GO": str(go)}
    running = gated.start(*launcher, "x=0,1", env=signals)
    wait_for(up.exists, running)
    path.write_text(path.read_text().replace("old main", "new main"))
    go.touch()
    result = running.finish().check()
    assert "Results are not stored" in result.out
    assert "Start the command again" in result.out
    assert gated.entries() == []


def test_edit_of_the_same_length_within_a_second_is_not_stored_as_the_new_code(
    gated: Project, launcher: list[str]
) -> None:
    """Python takes bytecode for valid by size and second: what it then runs is the old code, and is not stored."""
    late = gated.folder / "late.py"
    gated.run(*launcher, "x=0").check()
    stamp = late.stat()
    late.write_text("def compute(cfg):\n    return 'new'\n")
    os.utime(late, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    result = gated.run(*launcher, "x=0").check()
    assert "Results are not stored" in result.out
    assert len(gated.entries()) == 1


def test_yaml_edited_while_the_sweep_runs_changes_nothing_in_it(gated: Project, launcher: list[str]) -> None:
    """Every job of a sweep runs the configuration that it was composed and keyed with."""
    gated.write(conf__config_yaml="x: 0\ny: old\n", late="def compute(cfg):\n    return cfg.y\n")
    gate = gated.folder / "gate"
    running = gated.start(*launcher, "x=0,1,2,3", env={"GATE": str(gate), "FROM": "0"})
    wait_for(lambda: gated.executions(), running)
    gated.write(conf__config_yaml="x: 0\ny: new\n")
    gate.touch()
    running.finish().check()
    assert '"new", "new", "new", "new"' in gated.run(script="report.py").check().out
    gated.write(conf__config_yaml="x: 0\ny: old\n")
    gated.runs.unlink()
    assert '"old", "old", "old", "old"' in gated.run(script="report.py").check().out
    assert gated.executions() == []


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_sweep_killed_in_the_middle_is_continued(gated: Project, launcher: list[str]) -> None:
    """After a SIGKILL of the sweeping process, the same command runs only what had not finished."""
    gate = gated.folder / "gate"
    numbers = ",".join(str(number) for number in range(12))
    running = gated.start(*launcher, f"x={numbers}", env={"GATE": str(gate), "FROM": "5"})
    wait_for(lambda: len(gated.entries()) >= 5, running)
    workers = _children(running.process.pid)
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()  # its workers still hold its output
    gate.touch()
    deadline = time.monotonic() + 120
    while any(_is_running(pid) for pid in workers):  # what had started may still finish, and is kept if it does
        assert time.monotonic() < deadline, "orphaned workers go on for ever"
        time.sleep(0.05)
    running.finish()
    finished = len(gated.entries())
    assert 5 <= finished < 12
    gated.runs.unlink()
    result = gated.run(*launcher, f"x={numbers}").check()
    assert f"12 jobs: {finished} hits, {12 - finished} misses, 0 failed" in result.summary
    assert len(gated.executions()) == 12 - finished
    assert "12 hits, 0 misses" in gated.run(*launcher, f"x={numbers}").check().summary
