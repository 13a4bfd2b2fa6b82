"""A dry run prints the plan and does nothing else."""

from __future__ import annotations

import pytest

from tests.conftest import Project

DRY = "hydra.launcher.dry_run=true"


def rows(out: str) -> list[list[str]]:
    """Return the words of each row of the table."""
    lines = out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("job "))
    return [line.split() for line in lines[start + 1 : -1]]


def test_dry_run_of_a_new_sweep_says_what_would_run_and_leaves_nothing(project: Project, launcher: list[str]) -> None:
    """Every job is new; nothing runs, no directory is made, nothing is stored."""
    result = project.run(*launcher, "x=1,2", DRY).check()
    assert rows(result.out) == [["0", "x=1", "miss", "new"], ["1", "x=2", "miss", "new"]]
    assert result.out.splitlines()[-1] == "2 jobs: 0 hits, 2 to run"
    assert project.executions() == []
    assert project.entries() == []
    assert not (project.folder / "multirun").exists()


def test_dry_run_tells_hits_duplicates_and_why_the_rest_would_run(project: Project, launcher: list[str]) -> None:
    """Each row has its reason in a word."""
    project.write(
        conf__config_yaml="x: 1\nn: 0\n",
        helper="import time\ndef compute(cfg):\n    time.sleep(0.1)\n    return 1 / (cfg.x - 3)\n",
    )
    ignored = "hydra.launcher.cache.ignore=[n]"
    project.run(*launcher, "x=1,2,3", ignored)
    project.remember({"x=1": 123, "x=2": 100, "x=3": 100})
    found = rows(project.run(*launcher, "x=1,3,4", "n=0,1", ignored, DRY).check().out)
    assert [row[:4] for row in found] == [
        ["0", "x=1", "n=0", "hit"],
        ["1", "x=1", "n=1", "hit"],
        ["2", "x=3", "n=0", "miss"],
        ["3", "x=3", "n=1", "duplicate"],
        ["4", "x=4", "n=0", "miss"],
        ["5", "x=4", "n=1", "duplicate"],
    ]
    assert found[0][4] == "stored"
    assert found[2][4:] == ["failed", "before"]
    assert found[3][4:] == ["as", "#2"]
    assert found[4][4] == "new"
    project.write(helper="import time\ndef compute(cfg):\n    time.sleep(0.1)\n    return 2\n")
    found = rows(project.run(*launcher, "x=1", ignored, DRY).check().out)
    assert found[0][2:] == ["miss", "code", "changed", "123", "ms"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("hydra.launcher.cache.salt=other", ["salt", "changed"]),
        ("hydra.launcher.cache.mode=refresh", ["refresh"]),
        ("hydra.launcher.cache.mode=off", ["not", "cached"]),
    ],
)
def test_dry_run_names_the_setting_by_which_a_stored_job_would_run(project: Project, more: str, why: list[str]) -> None:
    """What is in the store is not served under another salt, nor where nothing is to be served."""
    launcher = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial"]
    project.run(*launcher, "x=1").check()
    assert rows(project.run(*launcher, "x=1", more, DRY).check().out)[0][3:] == why


def test_dry_run_fails_where_the_sweep_would(project: Project, launcher: list[str]) -> None:
    """A job that does not compose is an error, as ever."""
    result = project.run(*launcher, "x=1,2", "nothing=1", DRY)
    assert result.code == 1


def test_dry_run_from_python_returns_no_results(project: Project) -> None:
    """The Python API prints the plan as well, and returns None for each job."""
    project.write(
        api="""
        import hydra, parcache, helper
        def task(cfg):
            return helper.compute(cfg)
        if __name__ == "__main__":
            with hydra.initialize(config_path="conf", version_base=None):
                print(parcache.sweep(task, overrides=["x=1,2", "hydra.launcher.dry_run=true"]))
        """
    )
    result = project.run(script="api.py").check()
    assert result.out.splitlines()[-1] == "[None, None]"
    assert "2 to run" in result.out
