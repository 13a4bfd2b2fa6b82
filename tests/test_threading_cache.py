"""What is stored of jobs in threads is what they read, ran and returned themselves."""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.threaded import THREADS


def test_result_changed_by_its_receiver_is_stored_as_it_was(project: Project) -> None:
    """Results come back as the very objects; what is stored is what the task returned."""
    project.write(
        helper="def compute(cfg):\n    return [cfg.x]\n",
        call="""
        import hydra, parcache
        from app import main
        with hydra.initialize(config_path="conf", version_base=None):
            for _ in range(2):
                found = parcache.sweep(main, overrides=["x=1,2"], backend="threading")
                print("found", found)
                found[0].append("changed")
        """,
    )
    result = project.run(script="call.py").check()
    assert result.out.count("found [[1], [2]]") == 2
    assert sorted(project.executions()) == ["1", "2"]


def test_jobs_that_import_different_modules_at_once_are_all_stored(project: Project) -> None:
    """What one job's config names is no stranger to the others that run meanwhile; what none names is."""
    project.write(
        helper="""
        import importlib, threading
        from hydra.utils import get_method
        ALL = threading.Barrier(3, timeout=60)
        def compute(cfg):
            ALL.wait()
            value = get_method(cfg.model)()
            ALL.wait()
            return value
        """,
        **{f"part{x}": f"def make():\n    return {x}\n" for x in range(3)},
        conf__config_yaml="x: 1\nmodel: part${x}.make\n",
    )
    result = project.run(*THREADS, "hydra.launcher.backend.workers=3", "x=0,1,2").check()
    assert "Results are not stored" not in result.out
    assert len(project.entries()) == 3


def test_inputs_of_jobs_in_flight_are_each_jobs_own(project: Project) -> None:
    """A file that one job has read, itself or in threads, concerns no other; what a module reads concerns all."""
    project.write(
        table="""
        import os
        with open(os.path.join(os.path.dirname(__file__), "data", "table")) as file:
            TABLE = file.read()
        """,
        helper="""
        import os, threading
        from concurrent.futures import ThreadPoolExecutor
        HERE = os.path.dirname(os.path.abspath(__file__))
        ALL = threading.Barrier(int(os.environ.get("JOBS", "4")), timeout=60)
        def read(name, found):
            with open(os.path.join(HERE, "data", name)) as file:
                found.append(file.read())
        def compute(cfg):
            found = []
            ALL.wait()
            read(f"here{cfg.x}", found)
            ALL.wait()
            thread = threading.Thread(target=read, args=(f"thread{cfg.x}", found))
            thread.start()
            thread.join()
            ALL.wait()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(read, f"pool{cfg.x}", found).result()
            ALL.wait()
            import table
            ALL.wait()
            return [*found, table.TABLE]
        """,
    )
    data = project.folder / "data"
    data.mkdir()
    for kind in ("here", "thread", "pool"):
        for x in range(4):
            (data / f"{kind}{x}").write_text(f"{kind}{x}")
    (data / "table").write_text("table")
    sweep = [*THREADS, "hydra.launcher.backend.workers=4", "x=range(4)"]
    assert "0 hits, 4 misses" in project.run(*sweep).check().summary
    assert "4 hits" in project.run(*sweep).check().summary
    for x, kind in enumerate(("here", "thread", "pool")):
        (data / f"{kind}{x}").write_text("another")
        assert "3 hits, 1 misses" in project.run(*sweep, env={"JOBS": "1"}).check().summary
    (data / "table").write_text("another")
    assert "0 hits, 4 misses" in project.run(*sweep).check().summary


def test_log_that_an_unstored_job_reads_costs_the_others_nothing(project: Project) -> None:
    """A job without a key of its own that reads in its directory, while jobs leave something in memory."""
    project.write(
        helper="""
        import glob, logging, os, random, threading, time
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf
        OmegaConf.register_new_resolver("noise", lambda x: random.random() if x == 0 else 0)
        HAS_READ = threading.Event()
        STATE = {}
        def compute(cfg):
            if cfg.x:
                assert HAS_READ.wait(60)
                STATE[cfg.x] = "done"
                return cfg.x
            logging.getLogger().info("begun")
            with open(os.path.join(HydraConfig.get().runtime.output_dir, "app.log")) as file:
                file.read()
            HAS_READ.set()
            until_s = time.monotonic() + 60
            while len(glob.glob(".parcache/entries/*/*.entry")) < 2 and time.monotonic() < until_s:
                time.sleep(0.01)
            logging.getLogger().info("done")
        """,
        conf__config_yaml="x: 1\nnoise: ${noise:${x}}\n",
    )
    sweep = [*THREADS, "hydra.launcher.backend.workers=3", "x=0,1,2"]
    assert "0 hits, 3 misses" in project.run(*sweep).check().summary
    assert "2 hits, 1 misses" in project.run(*sweep).check().summary


def test_result_is_not_stored_where_another_job_changed_a_variable_of_its_key(project: Project) -> None:
    """A variable that belongs to the key and that another job sets meanwhile may have been read in either state."""
    project.write(
        helper="""
        import os, threading
        BOTH = threading.Barrier(2, timeout=60)
        def compute(cfg):
            BOTH.wait()
            if cfg.x == 1:
                os.environ["LR"] = "2"
                os.environ["LR"] = "1"
            BOTH.wait()
            return os.environ["LR"]
        """
    )
    settings = ["hydra.launcher.backend.workers=2", "hydra.launcher.cache.env=[LR]"]
    result = project.run(*THREADS, *settings, "x=1,2", env={"LR": "1"}).check()
    assert "LR was changed by another job" in result.out
    assert len(project.entries()) == 1


@pytest.mark.parametrize(
    ("change", "entries"),
    [
        # The end of what os.environ does, whose beginning was before this job's.
        ("os.environ._data[os.environ.encodekey('LR')] = os.environ.encodevalue('2')", 0),
        ("os.environ['LR'] = '2'", 1),
    ],
)
def test_result_is_stored_where_a_variable_of_its_key_changed_by_the_job_itself_alone(
    project: Project, change: str, entries: int
) -> None:
    """A variable that has another value at a job's end, of which nobody was told, may have been read as that."""
    project.write(helper=f"import os\ndef compute(cfg):\n    {change}\n    return os.environ['LR']\n")
    result = project.run(*THREADS, "hydra.launcher.cache.env=[LR]", "x=1", env={"LR": "1"}).check()
    assert ("LR was changed by another job" in result.out) is (entries == 0)
    assert len(project.entries()) == entries
