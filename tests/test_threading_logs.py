"""What jobs in threads log and print: each its own, and whole lines."""

from __future__ import annotations

from tests.conftest import Project
from tests.threaded import CALL, THREADS, lines, values


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
