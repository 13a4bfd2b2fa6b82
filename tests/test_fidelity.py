"""What the sweeper and the user receive: the same for hits and misses, and the same as from Hydra's own launcher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project

# Callbacks write down what they see, and the sweep's JobReturns are dumped as they reach the sweeper.
SPY = """
    import json, os
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.experimental.callback import Callback
    from omegaconf import OmegaConf

    def note(**seen):
        with open(os.environ["SEEN"], "a") as file:
            file.write(json.dumps(seen) + "\\n")

    class Spy(Callback):
        def on_multirun_start(self, config, **kwargs):
            note(event="multirun_start")
            original = BasicSweeper.sweep
            def sweep(sweeper, arguments):
                batches = original(sweeper, arguments)
                for batch in batches:
                    note(event="batch", jobs=[
                        {
                            "return_value": item.return_value,
                            "overrides": list(item.overrides),
                            "cfg": OmegaConf.to_container(item.cfg, resolve=True),
                            "job": item.hydra_cfg.hydra.job.num,
                            "id": item.hydra_cfg.hydra.job.id,
                            "output_dir": os.path.relpath(item.hydra_cfg.hydra.runtime.output_dir),
                            "task_name": item.task_name,
                            "working_dir": os.path.relpath(item.working_dir),
                            "status": item.status.name,
                        }
                        for item in batch
                    ])
                return batches
            BasicSweeper.sweep = sweep
        def on_multirun_end(self, config, **kwargs):
            note(event="multirun_end")
        def on_job_start(self, config, task_function=None, **kwargs):
            name = getattr(task_function, "__name__", None)
            note(event="job_start", job=config.hydra.job.num, task=name)
        def on_job_end(self, config, job_return, **kwargs):
            note(event="job_end", job=config.hydra.job.num, value=job_return.return_value)
"""
CONFIG = "x: 1\nd: {e: [1, 2]}\nhydra: {callbacks: {spy: {_target_: spy.Spy}}, sweep: {dir: out}}\n"


@pytest.fixture
def spied(project: Project) -> Project:
    """An app whose callbacks write down what they see."""
    project.write(spy=SPY, conf__config_yaml=CONFIG)
    project.env["SEEN"] = str(project.folder / "seen.jsonl")
    return project


def seen(project: Project) -> list[dict[str, Any]]:
    """Return, and forget, what the callbacks have written down."""
    path = Path(project.env["SEEN"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.unlink()
    return lines


def files(folder: Path) -> dict[str, bytes]:
    """Return all files of jobs below a folder but logs."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".log")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.parent != folder}


def test_job_returns_of_misses_and_hits_equal_those_of_hydras_launcher(spied: Project, launcher: list[str]) -> None:
    """Every field of every JobReturn is what the basic launcher gives, cold and warm, in job order and batch shape."""
    arguments = ["x=3,1,2", "hydra.sweeper.max_batch_size=2"]
    spied.run("-m", *arguments).check()
    expected = [line for line in seen(spied) if line["event"] == "batch"]
    assert [len(batch["jobs"]) for batch in expected] == [2, 1]
    for _ in range(2):
        spied.run(*launcher, *arguments).check()
        assert [line for line in seen(spied) if line["event"] == "batch"] == expected


def test_job_folders_of_hits_equal_those_of_misses(spied: Project, launcher: list[str]) -> None:
    """A hit leaves the same .hydra files behind as its job would, and a log file."""
    spied.run(*launcher, "x=1,2").check()
    cold = files(spied.folder / "out")
    spied.run(*launcher, "x=1,2").check()
    assert files(spied.folder / "out") == cold
    assert set(cold) == {f"{n}/.hydra/{name}.yaml" for n in (0, 1) for name in ("config", "hydra", "overrides")}


def test_job_folders_equal_those_of_hydras_launcher(spied: Project, launcher: list[str]) -> None:
    """config.yaml and overrides.yaml of a job are byte for byte what Hydra's own launcher writes."""
    spied.run("-m", "x=1,2", "hydra.sweep.dir=stock").check()
    spied.run(*launcher, "x=1,2", "hydra.sweep.dir=ours").check()
    stock, ours = files(spied.folder / "stock"), files(spied.folder / "ours")
    assert set(stock) == set(ours)
    for name in (name for name in stock if not name.endswith("hydra.yaml")):
        assert ours[name] == stock[name]


def test_job_log_of_a_hit_says_where_its_result_comes_from(spied: Project, launcher: list[str]) -> None:
    """The log file of a hit names the entry and the directory of the job that computed it."""
    spied.run(*launcher, "x=1", "hydra.sweep.dir=first").check()
    spied.run(*launcher, "x=1", "hydra.sweep.dir=second").check()
    text = (spied.folder / "second" / "0" / "app.log").read_text()
    assert "taken from the store" in text
    assert str(spied.folder / "first" / "0") in text


def test_callbacks_fire_for_misses_and_hits(spied: Project, launcher: list[str]) -> None:
    """Each job starts and ends once between the sweep's start and end; the task function is the user's by name."""
    for _ in range(2):
        spied.run(*launcher, "x=1,2").check()
        events = [line for line in seen(spied) if line["event"] != "batch"]
        assert events[0] == {"event": "multirun_start"}
        assert events[-1] == {"event": "multirun_end"}
        between = sorted(json.dumps(line, sort_keys=True) for line in events[1:-1])
        assert between == sorted(
            json.dumps(line, sort_keys=True)
            for number, value in ((0, 10), (1, 20))
            for line in (
                {"event": "job_start", "job": number, "task": "main"},
                {"event": "job_end", "job": number, "value": value},
            )
        )


def test_failed_job_leaves_the_others_stored_and_ends_with_its_own_exception(
    project: Project, launcher: list[str]
) -> None:
    """The sweep ends with the failed job's exception, whole; a second run computes only that job."""
    project.write(
        helper="""
        class OddError(Exception):
            def __init__(self, number, *, hint):
                super().__init__(f"{number} is odd")
                self.number, self.hint = number, hint

        def check(x):
            try:
                {}["deep"]
            except KeyError as error:
                if x == 2:
                    raise ValueError("two is too much") from error

        def compute(cfg):
            check(cfg.x)
            return cfg.x
        """
    )
    result = project.run(*launcher, "x=1,2,3", env={"HYDRA_FULL_ERROR": "1"})
    assert result.code == 1
    assert "3 jobs: 0 hits, 3 misses, 1 failed" in result.out + result.err
    for part in ("in check", "KeyError: 'deep'", "direct cause", "ValueError: two is too much", "helper.py"):
        assert part in result.err, result.err
    assert "Error executing job with overrides: ['x=2']" in result.err
    second = project.run(*launcher, "x=1,2,3")
    assert "2 hits, 1 misses, 1 failed" in second.out + second.err
    assert sorted(project.executions()) == ["1", "2", "2", "3"]


def test_failed_job_whose_exception_does_not_unpickle_shows_its_type_and_text(project: Project) -> None:
    """An exception that cannot be rebuilt is shown by type and message; the other jobs are stored."""
    project.write(
        helper="""
        class OddError(Exception):
            def __init__(self, number, hint):
                super().__init__(f"{number} is odd")
                self.hint = hint

        def compute(cfg):
            if cfg.x == 2:
                raise OddError(cfg.x, "even it out")
            return cfg.x
        """
    )
    launcher = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=process"]
    result = project.run(*launcher, "x=1,2,3", env={"HYDRA_FULL_ERROR": "1"})
    assert result.code == 1
    assert "helper.OddError: 2 is odd" in result.err
    assert len(project.entries()) == 2


def test_failed_job_that_exits_counts_as_failed(project: Project, launcher: list[str]) -> None:
    """A task that calls sys.exit costs its own job; the sweep ends with that exit."""
    project.write(helper="import sys\ndef compute(cfg):\n    return sys.exit(7) if cfg.x == 2 else cfg.x\n")
    result = project.run(*launcher, "x=1,2,3")
    assert result.code == 7
    assert "3 misses, 1 failed" in result.out
    assert len(project.entries()) == 2


def test_job_that_changes_directory_leaves_the_others_alone(project: Project, apart: list[str]) -> None:
    """hydra.job.chdir is honoured, and jobs in one worker do not inherit each other's directory."""
    project.write(helper="import os\ndef compute(cfg):\n    return os.path.basename(os.getcwd())\n")
    project.run(*apart, "x=1,2,3", "hydra.job.chdir=true", "hydra.sweep.dir=out").check()
    again = project.run(*apart, "x=1,2,3", "hydra.job.chdir=true", "hydra.sweep.dir=out").check()
    assert "3 hits" in again.summary
    assert not (project.folder / "out" / "0" / "out").exists()


def test_failed_jobs_traceback_holds_the_users_frames_alone(project: Project, launcher: list[str]) -> None:
    """As from Hydra's own launcher, the traceback shows the user's code and nothing of what ran it."""
    project.write(helper="def compute(cfg):\n    return 1 / 0\n")
    result = project.run(*launcher)
    assert "helper.py" in result.err
    assert "ZeroDivisionError: division by zero" in result.err
    shown = [line for line in result.err.splitlines() if line.startswith("  File ")]
    assert len(shown) == 2
    assert all(str(project.folder) in line for line in shown)
    marks = [line.strip() for line in result.err.splitlines() if line.strip() and not line.strip(" ^~")]
    assert all(len(mark) == len("1 / 0") for mark in marks[-1:])  # under what failed, or nowhere


def test_failed_job_whose_message_no_stream_takes_is_told_in_one_line(project: Project, launcher: list[str]) -> None:
    """A message with half a character is shown with its number."""
    project.write(helper="def compute(cfg):\n    raise ValueError('half \\ud800 a character')\n")
    result = project.run(*launcher, "x=1,2")
    assert "#1 x=2: failed: ValueError: half \\ud800 a character" in result.out


def test_failed_job_whose_exception_has_no_text_ends_as_any_other(project: Project, launcher: list[str]) -> None:
    """An exception whose __str__ raises costs its own job."""
    project.write(
        helper="""
        class OddError(Exception):
            def __str__(self):
                raise RuntimeError("no text")

        def compute(cfg):
            if cfg.x == 2:
                raise OddError
            return cfg.x
        """
    )
    result = project.run(*launcher, "x=1,2,3")
    assert "3 misses, 1 failed" in result.out
    assert len(project.entries()) == 2


def test_failed_worker_costs_the_job_that_killed_it_alone(project: Project) -> None:
    """Jobs that were in flight in a pool that broke run again; only the one to blame fails."""
    project.write(helper="import os\ndef compute(cfg):\n    return os._exit(9) if cfg.x == 3 else cfg.x\n")
    launcher = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=process"]
    result = project.run(*launcher, "x=1,2,3,4,5,6")
    assert result.code == 1
    assert "6 misses, 1 failed" in result.out
    assert len(project.entries()) == 5


def test_resolver_that_cannot_travel_to_a_worker_is_named(project: Project) -> None:
    """What cannot be pickled is named, with the way out."""
    project.write(
        app="""
        import threading
        import hydra
        from omegaconf import OmegaConf

        lock = threading.Lock()
        OmegaConf.register_new_resolver("locked", lambda: lock.locked())

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            return 1

        if __name__ == "__main__":
            main()
        """
    )
    result = project.run("-m", "hydra/launcher=parcache", "hydra/launcher/backend=process")
    assert result.code == 1
    assert "The workers cannot be given the resolver 'locked': TypeError" in result.err
    assert "hydra/launcher/backend=serial" in result.err
