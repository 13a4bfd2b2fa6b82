"""Sweeps whose jobs are in flight at once in threads of one process: each as if it were alone."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HYDRA_13, Project

THREADS = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=threading"]
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
CALL = """
    import json, sys
    import hydra, parcache
    from app import main

    with hydra.initialize(config_path="conf", version_base=None):
        values = parcache.sweep(main, overrides=sys.argv[1:], backend="threading")
    print("values", json.dumps(values))
"""


def values(out: str) -> Any:
    """Return what the sweep returned."""
    (line,) = (line for line in out.splitlines() if line.startswith("values "))
    return json.loads(line.removeprefix("values "))


def lines(path: Path) -> list[str]:
    """Return the messages in a job's log."""
    return [line.partition("] - ")[2] for line in path.read_text().splitlines()]


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


def test_jobs_that_change_the_root_logger_leave_the_others_alone(project: Project) -> None:
    """Levels, handlers, ``force=True``, ``logging.disable`` and ``shutdown`` of one job are not seen by another."""
    project.write(
        helper="""
        import logging, logging.config, threading
        BOTH = threading.Barrier(8, timeout=60)
        log = logging.getLogger("helper")
        def harm(how, path):
            if how == 1:
                logging.basicConfig(force=True, level=logging.CRITICAL)
            elif how == 2:
                logging.disable(logging.CRITICAL)
            elif how == 3:
                logging.shutdown()
                logging.getLogger().handlers.clear()
            elif how == 4:
                logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
            elif how == 5:
                log.addHandler(logging.FileHandler(path))
                log.propagate = False
            elif how == 6:
                log.setLevel(logging.CRITICAL)
                log.disabled = True
            elif how == 7:
                log.addFilter(lambda record: False)
        def compute(cfg):
            log.info("before")
            BOTH.wait()
            harm(cfg.x, f"left_by_{cfg.x}.log")
            BOTH.wait()
            for number in range(20):
                log.info("after %d", number)
                BOTH.wait()
        """
    )
    result = project.run(*THREADS, "hydra.launcher.backend.workers=8", "hydra.sweep.dir=out", "x=range(8)").check()
    after = [f"after {number}" for number in range(20)]
    assert lines(project.folder / "out" / "0" / "app.log") == ["before", *after]
    assert all(lines(project.folder / "out" / str(number) / "app.log") == ["before"] for number in (1, 2, 4, 5, 6, 7))
    assert (project.folder / "left_by_5.log").read_text().splitlines() == after
    assert "8 misses, 0 failed" in result.summary


def test_job_logging_of_any_class_is_each_jobs_own(project: Project) -> None:
    """Handlers of the user's own class, on the root and on named loggers, get their own job's lines."""
    project.write(
        handlers="""
        import logging
        class Counting(logging.Handler):
            def __init__(self, path):
                super().__init__()
                self.path, self.seen = path, []
            def emit(self, record):
                self.seen.append(record.getMessage())
            def close(self):
                with open(self.path, "a") as file:
                    file.write("\\n".join(self.seen))
                super().close()
        """,
        helper="""
        import logging, threading
        ALL = threading.Barrier(4, timeout=60)
        def compute(cfg):
            for step in range(3):
                ALL.wait()
                logging.getLogger("quiet").info("quiet %d", cfg.x)
                logging.getLogger("other").info("other %d", cfg.x)
        """,
        conf__config_yaml="""
        x: 1
        hydra:
          job_logging:
            handlers:
              mine: {class: handlers.Counting, path: "${hydra.runtime.output_dir}/mine.txt"}
              named: {class: handlers.Counting, path: "${hydra.runtime.output_dir}/named.txt"}
            loggers: {quiet: {level: INFO, handlers: [named], propagate: false}}
            root: {handlers: [mine, file]}
        """,
    )
    project.run(*THREADS, "hydra.launcher.backend.workers=4", "hydra.sweep.dir=out", "x=range(4)").check()
    for number in range(4):
        folder = project.folder / "out" / str(number)
        assert (folder / "mine.txt").read_text().splitlines() == [f"other {number}"] * 3
        assert (folder / "named.txt").read_text().splitlines() == [f"quiet {number}"] * 3
        assert lines(folder / "app.log") == [f"other {number}"] * 3


def test_library_that_sets_up_its_logger_on_import_does_so_for_all_jobs(project: Project) -> None:
    """Whichever job imports a module, its logger's level and handlers are those of every job."""
    project.write(
        lib="""
        import logging
        log = logging.getLogger("lib")
        log.setLevel(logging.ERROR)
        log.addHandler(logging.NullHandler())
        """,
        helper="""
        import threading
        ALL = threading.Barrier(3, timeout=60)
        def compute(cfg):
            ALL.wait()
            if cfg.x == 1:
                import lib
            ALL.wait()
            import lib
            lib.log.info("not said")
            lib.log.error("said by %d", cfg.x)
            ALL.wait()
            return len(lib.log.handlers)
        """,
        call=CALL,
    )
    sweep = ["hydra.launcher.backend.workers=3", "hydra.sweep.dir=out", "x=0,1,2"]
    assert values(project.run(*sweep, script="call.py").check().out) == [1, 1, 1]
    for number in range(3):
        (log,) = (project.folder / "out" / str(number)).glob("*.log")
        assert lines(log) == [f"said by {number}"]


def test_thread_left_behind_by_a_job_writes_into_no_other_jobs_log(project: Project) -> None:
    """What it logs after its job's end goes to the sweep's own log; its HydraConfig stays its job's."""
    project.write(
        helper="""
        import logging, threading
        from hydra.core.hydra_config import HydraConfig
        LEFT, log = [], logging.getLogger("helper")
        def late(go, done):
            go.wait(60)
            log.info("late line of %s", HydraConfig.get().overrides.task)
            done.set()
        def compute(cfg):
            if cfg.x == 1:
                go, done = threading.Event(), threading.Event()
                threading.Thread(target=late, args=(go, done), daemon=True).start()
                LEFT.append((go, done))
            else:
                for go, done in LEFT:
                    go.set()
                    assert done.wait(60)
        """
    )
    result = project.run(*THREADS, "hydra.launcher.backend.workers=1", "hydra.sweep.dir=out", "x=1,2").check()
    assert [lines(path) for path in sorted(project.folder.glob("out/*/app.log"))] == [[], []]
    assert "late line of ['x=1']" in result.out


def test_failed_jobs_own_log_has_the_traceback(project: Project, launcher: list[str]) -> None:
    """On both lines of Hydra and with every backend, the log of a job that failed says how."""
    project.write(
        helper="def compute(cfg):\n    if cfg.x == 2:\n        raise ArithmeticError('two')\n    return cfg.x\n"
    )
    assert project.run(*launcher, "x=1,2", "hydra.sweep.dir=out").code == 1
    text = (project.folder / "out" / "1" / "app.log").read_text()
    assert "Job failed" in text
    assert "ArithmeticError: two" in text
    assert "in compute" in text
    assert (project.folder / "out" / "0" / "app.log").read_text() == ""


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


def test_jobs_that_print_at_once_do_not_tear_lines(project: Project) -> None:
    """A line is one job's, however many steps it is printed in; progress bars and flushed text come through."""
    project.write(
        helper="""
        import sys, threading
        ALL = threading.Barrier(8, timeout=60)
        def compute(cfg):
            for number in range(10):
                print(f"<{cfg.x}", end="")
                ALL.wait()
                print(f" {number}", end=" ")
                ALL.wait()
                sys.stdout.write(f"{cfg.x}>\\n")
                ALL.wait()
            if cfg.x == 3:
                print("prompt: ", end="", flush=True)
            ALL.wait()
            if cfg.x == 4:
                print("whole")
                print("open end", end="")
            assert sys.stdout.isatty() is False and sys.stdout.fileno() == 1
        """
    )
    result = project.run(*THREADS, "hydra.launcher.backend.workers=8", "x=range(8)").check()
    printed = [line for line in result.out.splitlines() if line.startswith("<")]
    assert sorted(printed) == sorted(f"<{x} {number} {x}>" for x in range(8) for number in range(10))
    assert "prompt: \nwhole\n" in result.out
    assert "open end" in result.out


def test_jobs_that_redirect_stdout_get_what_they_print(project: Project) -> None:
    """Redirections that overlap are each job's own, and afterwards the streams are those of before."""
    project.write(
        helper="""
        import contextlib, io, sys, threading
        from unittest import mock
        ALL = threading.Barrier(4, timeout=60)
        class Tee:
            def __init__(self, stream):
                self.stream, self.text = stream, ""
            def write(self, text):
                self.text += text
                return self.stream.write(text)
            def flush(self):
                self.stream.flush()
        def compute(cfg):
            text = io.StringIO()
            with contextlib.redirect_stdout(text):
                for _ in range(3):
                    ALL.wait()
                    print("inside", cfg.x)
                for _ in range(cfg.x):
                    ALL.wait()
            for _ in range(4 - cfg.x):
                ALL.wait()
            print("outside", cfg.x)
            sys.stdout = tee = Tee(sys.stdout)
            ALL.wait()
            print("teed", cfg.x)
            with mock.patch("sys.stdout", io.StringIO()) as mocked:
                print("mocked", cfg.x)
            print("printed", cfg.x)
            return [text.getvalue(), tee.text, mocked.getvalue()]
        """,
        call=CALL.replace("with hydra", "before = sys.stdout, sys.stderr, type(sys)\n    with hydra")
        + "    assert (sys.stdout, sys.stderr, type(sys)) == before\n",
    )
    result = project.run("hydra.launcher.backend.workers=4", "x=range(4)", script="call.py").check()
    assert values(result.out) == [[f"inside {x}\n" * 3, f"teed {x}\n", f"mocked {x}\n"] for x in range(4)]
    assert sorted(line for line in result.out.splitlines() if line.startswith(("inside", "outside", "teed"))) == [
        *(f"outside {x}" for x in range(4)),
        *(f"teed {x}" for x in range(4)),
    ]


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
    pytest.importorskip("threadpoolctl")
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
