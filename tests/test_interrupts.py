"""Ctrl-C and SIGTERM end a sweep in order: what runs is stopped, what is done is kept, what is left is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.sweeping import ends, numbers, processes_of


@pytest.fixture
def waiting(tmp_path: Path) -> Project:
    """An app whose first two jobs end at once and whose others run until they are stopped."""
    return Project(tmp_path / "project").write(
        app="""
        import os, time
        import hydra

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            while True:
                try:
                    with open(os.environ["RUNS"], "a") as file:
                        file.write(f"{cfg.x}\\n")
                    if cfg.x >= 2:
                        time.sleep(600)
                    return cfg.x
                except KeyboardInterrupt:
                    if not cfg.stubborn:
                        raise
                    open(os.environ["RUNS"] + ".interrupted", "w").close()

        if __name__ == "__main__":
            main()
        """,
        conf__config_yaml="x: 0\nstubborn: false\n",
    )


def start(project: Project, *overrides: str) -> subprocess.Popen[str]:
    """Start a sweep as a terminal does: the leader of its own processes, with Ctrl-C as Python has it."""

    def as_a_shell_does() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    return subprocess.Popen(
        [sys.executable, "app.py", "-m", "hydra/launcher=parcache", "x=range(8)", "hydra.sweep.dir=out", *overrides],
        cwd=project.folder,
        env={**os.environ, "RUNS": str(project.runs), "PYTHONWARNINGS": "ignore", "PARCACHE_DIR": ".parcache"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=as_a_shell_does,
    )


def until(condition: Callable[[], object], what: str, seconds: float = 300.0) -> None:
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=300)
    return process.returncode, out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_of_a_sweep_keeps_what_is_done_and_says_what_is_not(waiting: Project, number: signal.Signals) -> None:
    """One Ctrl-C, to all processes of the terminal, SIGTERM or SIGHUP: code 130, a journal of it, no process left."""
    process = start(waiting, "hydra.launcher.backend.workers=2")
    until(lambda: len(waiting.executions()) == 4, "two jobs are done and two run")
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    code, out = finish(process)
    assert code == 130, out
    assert "Interrupted. 2 jobs of this batch are done. Run the same command again" in out
    assert "Traceback" not in out
    found = ends(waiting.folder / "out")
    assert [found[job] for job in range(8)] == [["completed"]] * 2 + [["interrupted"]] * 2 + [["cancelled"]] * 4
    assert len(waiting.entries()) == 2
    assert processes_of(waiting) == []


def test_interrupt_of_a_serial_sweep_ends_it(waiting: Project) -> None:
    """What runs in the sweeping process itself is interrupted, too."""
    process = start(waiting, "hydra/launcher/backend=serial")
    until(lambda: len(waiting.executions()) == 3, "the third job runs")
    os.killpg(process.pid, signal.SIGINT)
    code, out = finish(process)
    assert code == 130, out
    assert numbers(waiting.folder / "out", "interrupted") == [2]
    assert numbers(waiting.folder / "out", "completed") == [0, 1]


def test_interrupt_swallowed_by_a_task_still_ends_the_sweep(waiting: Project) -> None:
    """A task that catches the KeyboardInterrupt ends as it likes; after it the sweep is over."""
    waiting.write(
        app="""
        import os, time
        import hydra

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            try:
                with open(os.environ["RUNS"], "a") as file:
                    file.write(f"{cfg.x}\\n")
                time.sleep(600)
            except KeyboardInterrupt:
                return "early"

        if __name__ == "__main__":
            main()
        """
    )
    process = start(waiting, "hydra/launcher/backend=serial")
    until(lambda: len(waiting.executions()) == 1, "the first job runs")
    os.killpg(process.pid, signal.SIGINT)
    code, out = finish(process)
    assert code == 130, out
    assert ends(waiting.folder / "out")[1] == ["cancelled"]


def test_interrupt_that_comes_twice_ends_the_process_at_once(
    waiting: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a task that cannot be interrupted, the second Ctrl-C ends all and leaves no temporary file."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    process = start(waiting, "hydra/launcher/backend=serial", "stubborn=true")
    until(lambda: len(waiting.executions()) == 3, "the third job runs")
    process.send_signal(signal.SIGINT)
    until(Path(f"{waiting.runs}.interrupted").exists, "the first is seen: of two that are pending, a process sees one")
    process.send_signal(signal.SIGINT)
    code, out = finish(process)
    assert code == 130, out
    assert processes_of(waiting) == []
    assert list(temporary.iterdir()) == []


def test_interrupted_sweep_goes_on_where_it_stopped(waiting: Project) -> None:
    """The same command again serves what was done from the store and runs the rest."""
    process = start(waiting, "hydra.launcher.backend.workers=2")
    until(lambda: len(waiting.executions()) == 4, "two jobs are done and two run")
    os.killpg(process.pid, signal.SIGINT)
    finish(process)
    waiting.runs.unlink()
    process = start(waiting, "hydra.launcher.backend.workers=2")
    until(lambda: len(waiting.executions()) == 2, "the third and fourth job run")
    os.killpg(process.pid, signal.SIGINT)
    finish(process)
    assert sorted(waiting.executions()) == ["2", "3"]
    assert numbers(waiting.folder / "out", "hit") == [0, 1]
