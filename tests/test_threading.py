"""Sweeps whose jobs are in flight at once in threads of one process: each as if it were alone."""

from __future__ import annotations

import signal

import pytest

from tests.conftest import HYDRA_13, Project
from tests.threaded import CALL, THREADS, lines, values

SIXTEEN = [*THREADS, "hydra.launcher.backend.workers=16", "hydra.sweep.dir=out"]
# Every step of every job is taken while all sixteen are between the same two barriers.
CROWD = """
    import logging, os, threading
    from concurrent.futures import ThreadPoolExecutor
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import get_original_cwd, to_absolute_path

    CROWD = threading.Barrier(16, timeout=120)
    SHARED = ThreadPoolExecutor(4)
    log = logging.getLogger("crowd")

    def together(step):
        CROWD.wait()
        return step()

    def seen(cfg):
        hydra = HydraConfig.get()
        log.info("x=%d", cfg.x)
        return [list(hydra.overrides.task), hydra.job.num, os.path.basename(hydra.runtime.output_dir), cfg.number,
                get_original_cwd() == os.getcwd() == os.path.dirname(to_absolute_path("a"))]

    def in_thread(cfg):
        found = []
        thread = threading.Thread(target=lambda: found.append(seen(cfg)))
        CROWD.wait()
        thread.start()
        thread.join()
        return found[0]

    def compute(cfg):
        here = [together(lambda: seen(cfg)) for _ in range(4)]
        there = [together(lambda: in_thread(cfg)), together(lambda: SHARED.submit(seen, cfg).result())]
        with ThreadPoolExecutor(2) as pool:
            there += list(together(lambda: pool.map(seen, [cfg, cfg])))
        assert all(each == here[0] for each in here + there), (here, there)
        return here[0]
"""


@pytest.fixture
def crowd(project: Project) -> Project:
    """A project whose jobs wait for one another at each step."""
    project.write(helper=CROWD, call=CALL, conf__config_yaml="x: 1\nnumber: ${hydra:job.num}\n")
    return project


def test_sixteen_jobs_in_flight_see_their_own_hydra(crowd: Project) -> None:
    """HydraConfig, resolvers, overrides and return values are each job's own, in its threads and pools as well."""
    sweep = ["hydra.launcher.backend.workers=16", "hydra.sweep.dir=out", "x=range(100,116)"]
    found = values(crowd.run(*sweep, script="call.py").check().out)
    assert found == [[[f"x={x}"], x - 100, str(x - 100), x - 100, True] for x in range(100, 116)]
    assert len(crowd.executions()) == 16
    assert values(crowd.run(*sweep, script="call.py").check().out) == found
    assert len(crowd.executions()) == 16


def test_sixteen_jobs_in_flight_have_their_own_logs(crowd: Project) -> None:
    """A job's log holds all of its own lines, those of its threads included, and nobody else's."""
    crowd.run(*SIXTEEN, "x=range(100,116)").check()
    for number in range(16):
        assert lines(crowd.folder / "out" / str(number) / "app.log") == [f"x={100 + number}"] * 8


@pytest.mark.parametrize("how", ["raise SystemExit(3)", "raise KeyboardInterrupt", "raise GeneratorExit"])
def test_job_that_raises_what_is_no_exception_fails_alone(project: Project, how: str) -> None:
    """An exit or interrupt out of a task is that job's failure; the others' results are stored."""
    project.write(helper=f"def compute(cfg):\n    if cfg.x == 2:\n        {how}\n    return cfg.x\n")
    result = project.run(*THREADS, "hydra.launcher.backend.workers=2", "x=1,2,3")
    assert result.code != 0
    assert "2 misses" in result.summary or "3 misses, 1 failed" in result.summary
    assert len(project.entries()) == 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("hydra.job.chdir=true", "hydra.job.chdir=false"),
        ("+hydra.job.env_set.LR=1", "hydra.job.env_set={}"),
        ("hydra.launcher.cache.audit=report", "hydra.launcher.cache.audit=off"),
    ],
)
def test_job_that_wants_the_process_for_itself_is_refused_unless_alone(
    project: Project, override: str, said: str
) -> None:
    """Before the first job, with the way out; a single job and ``workers: 1`` are let through."""
    result = project.run(*THREADS, "hydra.launcher.backend.workers=2", override, "x=1,2")
    assert result.code == 1
    assert all(text in result.err for text in (said, "hydra/launcher/backend=process", "workers=1"))
    assert project.executions() == []
    assert not list(project.folder.glob("multirun/*/*/0"))
    project.run(*THREADS, "hydra.launcher.backend.workers=2", override, "x=1").check()
    project.run(*THREADS, "hydra.launcher.backend.workers=1", override, "x=1,2").check()
    assert {"1", "2"} == set(project.executions())


@pytest.mark.skipif(not HYDRA_13, reason="Hydra 1.4 has no such default")
def test_job_that_changes_directory_by_default_is_refused_unless_alone(project: Project) -> None:
    """Without ``version_base`` 1.3 changes directory where nothing is said, and the message says so."""
    text = (project.folder / "app.py").read_text().replace(", version_base=None", "")
    project.write(app=text)
    result = project.run(*THREADS, "hydra.launcher.backend.workers=2", "x=1,2")
    assert result.code == 1
    assert "by default" in result.err
    project.run(*THREADS, "hydra.launcher.backend.workers=2", "x=1,2", "hydra.job.chdir=false").check()
    assert project.executions() == ["1", "2"] or project.executions() == ["2", "1"]


def test_sweep_with_a_job_that_never_ends_ends_by_an_interrupt(project: Project) -> None:
    """One Ctrl-C ends the program although a thread cannot be ended; what had finished is stored."""
    project.write(
        helper="""
        import signal, sys, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts the tests may ignore it
        def compute(cfg):
            if cfg.x == 2:
                print("stuck", file=sys.stderr, flush=True)
                threading.Event().wait()
            return cfg.x
        """
    )
    running = project.start(*THREADS, "hydra.launcher.backend.workers=1", "x=1,2,3")
    assert running.process.stderr is not None
    while "stuck" not in running.process.stderr.readline():
        pass
    running.process.send_signal(signal.SIGINT)
    assert running.finish().code != 0
    assert len(project.entries()) == 1


def test_numerical_libraries_share_the_cores_among_the_workers(project: Project) -> None:
    """In a job they start no more threads than are left for it, and afterwards as many as before."""
    project.write(
        helper="""
        def compute(cfg):
            import numpy
            from threadpoolctl import threadpool_info
            numpy.ones((4, 4)) @ numpy.ones((4, 4))
            return 0
        """,
        app="""
        import numpy, hydra
        from threadpoolctl import threadpool_info
        def threads():
            return {each["num_threads"] for each in threadpool_info()}
        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            print("in a job", threads())
        before = threads()
        if __name__ == "__main__":
            main()
            print("same after", threads() == before)
        """,
    )
    cleared = {"OMP_NUM_THREADS": "", "OPENBLAS_NUM_THREADS": "", "MKL_NUM_THREADS": "", "LOKY_MAX_CPU_COUNT": "2"}
    result = project.run(*THREADS, "hydra.launcher.backend.workers=2", "x=1,2", env=cleared).check()
    assert result.out.count("in a job {1}") == 2
    assert "same after True" in result.out


def test_job_that_changes_directory_itself_gets_an_error(project: Project) -> None:
    """``os.chdir`` of one job would move all: it raises there, with the way out, and the others go on."""
    project.write(
        helper="""
        import os
        def compute(cfg):
            if cfg.x == 2:
                os.chdir("..")
            return os.getcwd()
        """
    )
    result = project.run(*THREADS, "hydra.launcher.backend.workers=2", "x=1,2,3")
    assert result.code == 1
    assert "WorkingDirectoryError" in result.err
    assert "hydra/launcher/backend=process" in result.err
    assert len(project.entries()) == 2


@pytest.mark.skipif(HYDRA_13, reason="Hydra 1.3 has no execution whitelist")
def test_execution_whitelist_holds_in_every_job_and_its_threads(project: Project) -> None:
    """What the app lets be instantiated, and nothing else, jobs may instantiate, also in threads that they start."""
    text = (project.folder / "app.py").read_text()
    project.write(
        app=text.replace("version_base=None", 'version_base=None, execution_whitelist=["allowed.*"]'),
        allowed="def make():\n    return 1\n",
        other="def make():\n    return 2\n",
        helper="""
        import threading
        from concurrent.futures import ThreadPoolExecutor
        from hydra.utils import instantiate
        BOTH = threading.Barrier(2, timeout=60)
        def attempt(target):
            try:
                return instantiate({"_target_": target})
            except Exception as error:
                return type(error).__name__
        def compute(cfg):
            found = []
            step = lambda: found.append([attempt("allowed.make"), attempt("other.make")])
            BOTH.wait()
            step()
            thread = threading.Thread(target=step)
            thread.start()
            thread.join()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(step).result()
            BOTH.wait()
            print("found", found)
        """,
    )
    result = project.run(*THREADS, "hydra.launcher.backend.workers=2", "x=1,2").check()
    refused = [[1, "InstantiationException"]] * 3
    assert result.out.count(f"found {refused}") == 2


def test_callback_that_keeps_a_job_in_itself_does_so_for_each_job(project: Project) -> None:
    """What a callback remembers at a job's start, as Hydra's own PickleJobInfoCallback does, it finds at its end."""
    project.write(
        keeping="""
        import os
        from hydra.experimental.callback import Callback
        class Keeping(Callback):
            def __init__(self):
                self.all = []
            def on_job_start(self, config, **kwargs):
                self.folder = config.hydra.runtime.output_dir
            def on_job_end(self, config, job_return, **kwargs):
                self.all.append(job_return.return_value)
                with open(os.path.join(self.folder, "value.txt"), "w") as file:
                    file.write(str(job_return.return_value))
            def on_multirun_end(self, config, **kwargs):
                print("all", sorted(self.all))
        """,
        helper="""
        import threading
        ALL = threading.Barrier(4, timeout=60)
        def compute(cfg):
            ALL.wait()
            return cfg.x
        """,
        conf__config_yaml="x: 1\nhydra: {callbacks: {keeping: {_target_: keeping.Keeping}}}\n",
    )
    result = project.run(*THREADS, "hydra.launcher.backend.workers=4", "hydra.sweep.dir=out", "x=range(4)").check()
    assert [(project.folder / "out" / str(number) / "value.txt").read_text() for number in range(4)] == list("0123")
    assert "all [0, 1, 2, 3]" in result.out
