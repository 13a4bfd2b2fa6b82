"""A sweep on a terminal: the live display, what jobs print, and what is left on the screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.terminals import Seen

APP = """
    import runpy
    os.chdir(sys.path[0])
    sys.argv = ["app.py", "-m", "hydra/launcher=parcache", "hydra.sweep.dir=out", *OVERRIDES]
    runpy.run_path("app.py", run_name="__main__")
"""


@pytest.fixture
def shown(project: Project) -> Project:
    """An app one of whose jobs waits for a file, and one of which fails."""
    return project.write(
        helper="""
        import os, time
        def compute(cfg):
            print(f"job {cfg.x} prints", flush=True)
            while cfg.x == 4 and not os.path.exists("go"):
                time.sleep(0.01)
            if cfg.x == 2:
                raise ValueError("two")
            return cfg.x
        """
    )


def seen(project: Project, *overrides: str) -> Seen:
    """Run a sweep of the app on a terminal."""
    program = APP.replace("OVERRIDES", repr(list(overrides)))
    return Seen(program, project.folder, {"RUNS": str(project.runs), "PARCACHE_DIR": ".parcache"}, 120, 40)


@pytest.mark.parametrize("backend", ["process", "serial", "threading"])
def test_sweep_on_a_terminal_shows_what_runs_and_leaves_its_last_frame(shown: Project, backend: str) -> None:
    """Running jobs are named while they run; in the end the counts stay, below everything that was printed."""
    with seen(shown, "x=range(6)", f"hydra/launcher/backend={backend}") as terminal:
        terminal.await_sight(lambda seen: any(re.search(r"#4 .*x=4", line) for line in seen.screen))
        (shown.folder / "go").touch()
        assert terminal.finish() == 1  # the failed job's error, as with stock Hydra
        screen = terminal.scrolled
    for number in range(6):
        assert sum(f"job {number} prints" in line for line in screen) == 1, "\n".join(screen)
    frames = [line for line in screen if line.startswith("6/6 ")]
    assert len(frames) == 1, "\n".join(screen)
    counts = screen[screen.index(frames[0]) + 1]
    assert re.match(r"5 done, 1 failed", counts), "\n".join(screen)
    assert sum("failed: ValueError: two" in line for line in screen) == 2  # as it happened, and at the end
    assert not any(re.search(r"^ *#4 +\d.*x=4", line) for line in screen)


def test_sweep_of_hits_on_a_terminal_shows_nothing_live(shown: Project) -> None:
    """Where nothing runs there is nothing to show."""
    (shown.folder / "go").touch()
    shown.run("-m", "x=0,1", "hydra/launcher=parcache").check()
    with seen(shown, "x=0,1") as terminal:
        assert terminal.finish() == 0
        assert not any("━" in line for line in terminal.scrolled)


def test_sweep_with_progress_off_shows_nothing_live(shown: Project, tmp_path: Path) -> None:
    """The display can be switched off."""
    (shown.folder / "go").touch()
    with seen(shown, "x=range(6)", "hydra.launcher.progress=off") as terminal:
        terminal.finish()
        assert b"\x1b[?25l" not in terminal.raw
        assert not any("━" in line for line in terminal.scrolled)
