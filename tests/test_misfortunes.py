"""One job's misfortune is its own: whatever a task does to its process, the other jobs of the sweep complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Project, Result
from tests.sweeping import ends, journal, numbers, processes_of

DEEDS = """
    import ctypes
    import logging
    import os
    import pathlib
    import resource
    import signal
    import subprocess
    import sys
    import threading
    import time
    import warnings

    log = logging.getLogger(__name__)

    class Picky(Exception):
        def __init__(self, one, two):
            super().__init__(one)

    class Hostile(Exception):
        def __reduce__(self):
            raise RuntimeError("not this one")

    def healthy(cfg):
        print("all is well with", cfg.n)
        log.info("all is well with %s", cfg.n)
        problems = []
        if os.getcwd() != os.environ["HOME_FOLDER"]:
            problems.append(f"runs in {os.getcwd()}")
        if "LEAKED" in os.environ or os.environ.get("KEPT") != "kept":
            problems.append("has another environment")
        if signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL or signal.getitimer(signal.ITIMER_REAL)[0]:
            problems.append("has another's signals")
        if signal.pthread_sigmask(signal.SIG_BLOCK, ()):
            problems.append("has signals blocked")
        mask = os.umask(0o22)
        os.umask(mask)
        if mask == 0o777:
            problems.append("has another's umask")
        if logging.root.manager.disable or not logging.getLogger().isEnabledFor(logging.INFO):
            problems.append("cannot log")
        if sys.stdout.closed or sys.stdout.fileno() != 1 or sys.getrecursionlimit() < 500:
            problems.append("cannot print")
        if problems:
            raise AssertionError(", ".join(problems))
        return cfg.n

    def killed(cfg):
        os.kill(os.getpid(), signal.SIGKILL)

    def segfault(cfg):
        import faulthandler
        ctypes.string_at(0)

    def os_exit(cfg):
        os._exit(7)

    def aborted(cfg):
        os.abort()

    def sys_exit(cfg):
        sys.exit("I am done")

    def interrupted(cfg):
        raise KeyboardInterrupt

    def raises(cfg):
        time.sleep(0.05)  # long enough to be told before any that lingers begins: none of those travels with it
        raise ValueError("as it happens")

    def raises_third(cfg):
        entries = pathlib.Path(os.environ["HOME_FOLDER"], ".parcache", "entries")
        until_s = time.monotonic() + 120
        while len(list(entries.glob("*/*.entry"))) < 2 and time.monotonic() < until_s:
            time.sleep(0.02)
        raises(cfg)

    def lingers(cfg):
        # Until the sweep knows of all failures that it stops for: it cannot come to its end before.
        journal = pathlib.Path(os.environ["HOME_FOLDER"], "out", "journal.jsonl")
        until_s = time.monotonic() + 300
        while journal.read_text().count('"state":"failed"') < int(os.environ["FAILURES"]):
            if time.monotonic() > until_s:
                raise TimeoutError("the failures do not come")
            time.sleep(0.02)

    def exception_that_needs_two(cfg):
        raise Picky("one", "two")

    def exception_that_cannot_be_pickled(cfg):
        raise Hostile("hello")

    def unpicklable_result(cfg):
        return threading.Lock()

    def recursion(cfg):
        return recursion(cfg)

    def deep_result(cfg):
        nested = []
        for _ in range(100_000):
            nested = [nested]
        return nested

    def memory(cfg):
        used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000, resource.RLIM_INFINITY))
        return bytes(2_000_000_000)

    def large_result(cfg):
        return bytes(300_000_000)

    def directory(cfg):
        os.chdir("/")
        return cfg.n

    def deleted_directory(cfg):
        os.mkdir("gone")
        os.chdir("gone")
        os.rmdir("../gone")
        return cfg.n

    def environment(cfg):
        os.environ["LEAKED"] = "1"
        del os.environ["KEPT"]
        return cfg.n

    def signals(cfg):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, lambda *_: os._exit(9))
        signal.setitimer(signal.ITIMER_REAL, 600)
        return cfg.n

    def blocked_signals(cfg):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        return cfg.n

    def umask(cfg):
        os.umask(0o777)
        return cfg.n

    def streams(cfg):
        sys.stdout = open(os.devnull, "w")
        sys.stderr = None
        return cfg.n

    def closed_stream(cfg):
        sys.stdout.close()
        return cfg.n

    def closed_descriptors(cfg):
        os.close(1)
        os.close(2)
        return cfg.n

    def root_logger(cfg):
        root = logging.getLogger()
        root.handlers.clear()
        root.addHandler(logging.NullHandler())
        root.setLevel(logging.CRITICAL)
        logging.disable(logging.CRITICAL)
        return cfg.n

    def recursion_limit(cfg):
        sys.setrecursionlimit(200)
        return cfg.n

    def child_process(cfg):
        subprocess.Popen(["sleep", "600"])
        return cfg.n
"""
FATAL = ("killed", "segfault", "os_exit", "aborted")
FAILING = (
    "sys_exit",
    "raises",
    "exception_that_needs_two",
    "exception_that_cannot_be_pickled",
    "recursion",
    "memory",
)
UNSENDABLE = ("unpicklable_result", "deep_result")
CHANGING = (
    "directory",
    "deleted_directory",
    "environment",
    "signals",
    "blocked_signals",
    "umask",
    "streams",
    "root_logger",
    "recursion_limit",
)
WORKERS_ONLY = ("closed_stream", "closed_descriptors", "large_result")


@pytest.fixture(params=["serial", "process", "threading"])
def launcher(request: pytest.FixtureRequest) -> list[str]:
    """Return the overrides that choose each backend."""
    chosen = f"hydra/launcher/backend={request.param}"
    return [
        "-m",
        "hydra/launcher=parcache",
        chosen,
        *(["hydra.job.chdir=false"] if request.param == "threading" else []),
    ]


def in_processes(launcher: list[str]) -> bool:
    """Tell whether jobs have processes of their own."""
    return "hydra/launcher/backend=process" in launcher


@pytest.fixture
def deeds(tmp_path: Path) -> Project:
    """An app whose jobs do what ``deed`` says."""
    project = Project(tmp_path / "project")
    project.env = {"HOME_FOLDER": str(project.folder), "KEPT": "kept", "PYTHONFAULTHANDLER": ""}
    return project.write(
        deeds=DEEDS,
        app="""
        import hydra
        import deeds

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            return getattr(deeds, cfg.deed)(cfg)

        if __name__ == "__main__":
            main()
        """,
        conf__config_yaml="deed: healthy\nn: 0\n",
    )


def sweep(project: Project, launcher: list[str], *names: str, more: tuple[str, ...] = ()) -> tuple[Result, Path]:
    """Sweep over deeds, a healthy job after each; return what came of it, and the sweep's directory."""
    folder = project.folder / "out"
    jobs = [name for deed in names for name in (deed, "healthy")]
    listed = ",".join(f"{{deed:{name},n:{number}}}" for number, name in enumerate(jobs))
    project.write(conf__config_yaml="defaults: [_self_]\njob: {deed: healthy, n: 0}\ndeed: ${job.deed}\nn: ${job.n}\n")
    return project.run(*launcher, f"job={listed}", "hydra.sweep.dir=out", *more), folder


def check(project: Project, result: Result, folder: Path, failing: tuple[str, ...], count: int) -> None:
    """Insist that these deeds have failed, and each is named with its number and overrides, and nothing else has."""
    found = ends(folder)
    assert sorted(found) == list(range(count)), result.out + result.err
    assert all(len(states) == 1 for states in found.values())
    expected = {number: ["completed"] for number in range(count)}
    expected.update((2 * place, ["failed"]) for place in range(len(failing)))
    assert found == expected, result.out + result.err
    named = result.out.partition("of the jobs failed:")[2]
    for place, deed in enumerate(failing):
        assert f"#{2 * place} job={{deed:{deed},n:{2 * place}}}: failed: " in named
    assert len(project.entries()) >= count // 2
    assert processes_of(project) == []


def test_misfortune_that_ends_the_process_costs_only_its_job(deeds: Project) -> None:
    """Jobs that are killed, crash or leave without a word fail after two tries; all others complete and are stored."""
    launcher = ["-m", "hydra/launcher=parcache", "hydra.launcher.backend.workers=2"]
    result, folder = sweep(deeds, launcher, *FATAL)
    check(deeds, result, folder, FATAL, 2 * len(FATAL))
    assert numbers(folder, "retry") == [2 * place for place in range(len(FATAL))]
    causes = {line["jobs"][0]: line["error"] for line in journal(folder) if line.get("state") == "failed"}
    assert "SIGKILL" in causes[0]
    assert "SIGSEGV" in causes[2]
    assert "7" in causes[4]
    assert "SIGABRT" in causes[6]
    again, folder = sweep(deeds, launcher, *FATAL)
    assert f"{len(FATAL)} hits, {len(FATAL)} misses, {len(FATAL)} failed" in again.out


def test_misfortune_that_ends_the_job_costs_only_its_job(deeds: Project, launcher: list[str]) -> None:
    """Exits, errors of every kind and results that cannot travel fail their jobs; all others complete."""
    names = (*FAILING, *UNSENDABLE) if in_processes(launcher) else FAILING
    result, folder = sweep(deeds, launcher, *names)
    check(deeds, result, folder, names, 2 * len(names))


def test_misfortune_of_one_worker_process_does_not_outlive_the_job(deeds: Project, launcher: list[str]) -> None:
    """What a job changes of its process, the next one in the same process does not see."""
    names, more = CHANGING, tuple[str, ...]()
    if in_processes(launcher):
        names, more = (*CHANGING, *WORKERS_ONLY), ("hydra.launcher.backend.workers=1",)
    elif "hydra/launcher/backend=threading" in launcher:  # what belongs to the process is the next test's
        names, more = ("root_logger",), ("hydra.launcher.backend.workers=1",)
    result, folder = sweep(deeds, launcher, *names, more=more)
    check(deeds, result, folder, (), 2 * len(names))
    for number in range(1, 2 * len(names), 2):
        assert f"all is well with {number}" in (folder / str(number) / "app.log").read_text()
        assert f"all is well with {number}" in result.out


def test_job_that_raises_keyboard_interrupt_in_a_worker_fails(deeds: Project) -> None:
    """A KeyboardInterrupt that nobody sent is a failure like any other."""
    result, folder = sweep(deeds, ["-m", "hydra/launcher=parcache"], "interrupted")
    check(deeds, result, folder, ("interrupted",), 2)


def test_child_processes_of_a_job_that_times_out_end_with_it(deeds: Project) -> None:
    """A job that takes too long is stopped with all that it has started; the others go on."""
    deeds.write(
        deeds="""
        import subprocess
        import time

        def healthy(cfg):
            return cfg.n

        def stuck(cfg):
            subprocess.Popen(["sleep", "600"])
            time.sleep(600)
        """
    )
    more = ("hydra.launcher.failures.timeout_s=30", "hydra.launcher.failures.retries=1")
    result, folder = sweep(deeds, ["-m", "hydra/launcher=parcache"], "stuck", "healthy", more=more)
    assert ends(folder) == {0: ["failed"], 1: ["completed"], 2: ["completed"], 3: ["completed"]}
    assert numbers(folder, "retry") == [0]
    assert "#0 job={deed:stuck,n:0}: failed: JobTimeoutError: Job 0 ran longer than 30 s and was stopped" in result.out
    assert processes_of(deeds) == []


def test_timeout_with_a_backend_that_cannot_stop_jobs_is_refused(deeds: Project) -> None:
    """Before any job starts it is said which backend can."""
    more = ("hydra.launcher.failures.timeout_s=1",)
    result, folder = sweep(
        deeds, ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial"], "raises", more=more
    )
    assert result.code == 1
    assert "hydra/launcher/backend=process" in result.err
    assert not folder.exists()


def test_policy_stop_raises_the_first_failure_and_starts_nothing_else(deeds: Project, launcher: list[str]) -> None:
    """The sweep ends with the failure's own traceback; what was done before stays done."""
    deeds.env["FAILURES"] = "1"
    more = ("hydra.launcher.failures.policy=stop", "hydra.launcher.order=given")
    result, folder = sweep(deeds, launcher, "healthy", "raises_third", *["lingers"] * 20, more=more)
    found = ends(folder)
    assert found[2] == ["failed"]
    assert found[0] == ["completed"]
    assert found[43] == ["cancelled"]
    assert "ValueError: as it happens" in result.err
    assert "deeds.py" in result.err
    assert result.code == 1
    assert processes_of(deeds) == []


def test_max_failures_stop_a_sweep_that_goes_on_failing(deeds: Project, launcher: list[str]) -> None:
    """One failure more than is put up with ends the sweep; nothing else can fail at the same moment here."""
    deeds.env["FAILURES"] = "3"
    more = ("hydra.launcher.failures.max_failures=2",)
    result, folder = sweep(deeds, launcher, *["raises"] * 3, *["lingers"] * 27, more=more)
    assert len(numbers(folder, "failed")) == 3
    assert len(numbers(folder, "cancelled")) > 10
    assert result.code == 1


def test_retries_run_a_failed_job_again_until_it_succeeds(deeds: Project, launcher: list[str]) -> None:
    """A job that fails twice completes with two retries; each time it is said why."""
    deeds.write(
        deeds="""
        import os

        def flaky(cfg):
            with open(os.environ["RUNS"], "a") as file:
                file.write("x\\n")
            tries = len(open(os.environ["RUNS"]).read().split())
            if tries < 3:
                raise OSError(f"try {tries}")
            return tries

        def healthy(cfg):
            return cfg.n
        """
    )
    result, folder = sweep(deeds, launcher, "flaky", more=("hydra.launcher.failures.retries=2",))
    result.check()
    assert ends(folder) == {0: ["completed"], 1: ["completed"]}
    assert [line["error"] for line in journal(folder) if line.get("state") == "retry"] == [
        "OSError: try 1",
        "OSError: try 2",
    ]
    assert "runs again after: OSError: try 2" in result.out


def test_fresh_process_gives_each_job_a_worker_of_its_own(deeds: Project) -> None:
    """With fresh_process no two jobs share a process."""
    deeds.write(deeds="import os\ndef healthy(cfg):\n    open(os.environ['RUNS'], 'a').write(f'{os.getpid()}\\n')\n")
    more = ("hydra.launcher.backend.fresh_process=true",)
    sweep(deeds, ["-m", "hydra/launcher=parcache"], *["healthy"] * 3, more=more)[0].check()
    assert len(set(deeds.executions())) == 6


def test_fork_that_comes_back_from_its_job_ends_there(deeds: Project, launcher: list[str]) -> None:
    """A process that a task has forked and that leaves the task, by a value or an error, ends and stores nothing."""
    deeds.write(
        deeds="""
        import os

        def healthy(cfg):
            with open(os.environ["RUNS"], "a") as file:
                file.write(f"{cfg.n}\\n")
            return cfg.n

        def forks(cfg):
            pid = os.fork()
            if pid == 0:
                return -1
            raise RuntimeError(f"the fork ended with {os.waitpid(pid, 0)[1]}")

        def forks_to_fail(cfg):
            pid = os.fork()
            if pid == 0:
                raise ValueError("in the fork")
            raise RuntimeError(f"the fork ended with {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")
        """
    )
    names = ("forks", "forks_to_fail")
    result, folder = sweep(deeds, launcher, *names)
    check(deeds, result, folder, names, 4)
    assert "the fork ended with 0" in result.out
    assert "the fork ended with 1" in result.out
    assert "ValueError: in the fork" in result.err
    assert sorted(deeds.executions()) == ["1", "3"]
    assert len(deeds.entries()) == 2


def test_process_pool_of_a_job_is_ended_as_ever(deeds: Project, launcher: list[str]) -> None:
    """Processes that a job forks end by SIGTERM as multiprocessing means them to, in the sweeping process, too."""
    deeds.write(
        deeds="""
        import multiprocessing

        def healthy(cfg):
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return sum(pool.map(abs, range(4)))
        """
    )
    result, folder = sweep(deeds, launcher, "healthy")
    check(deeds, result.check(), folder, (), 2)
    assert "KeyboardInterrupt" not in result.err


def test_worker_of_a_sweep_with_a_failure_ends_as_python_programs_do(deeds: Project) -> None:
    """What healthy jobs leave to be done at the end of their process is done, whether or not another job fails."""
    deeds.write(
        deeds="""
        import atexit
        import os

        def healthy(cfg):
            atexit.register(lambda: open(os.environ["RUNS"], "a").write("left\\n"))
            return cfg.n

        def raises(cfg):
            raise ValueError("no")
        """
    )
    sweep(deeds, ["-m", "hydra/launcher=parcache", "hydra.launcher.backend.workers=1"], "raises")
    assert deeds.executions() == ["left"]


def test_workers_that_all_end_while_they_get_ready_end_the_sweep_soon(deeds: Project) -> None:
    """A crash on import, in workers alone, is told as what it is, and costs no worker for each job."""
    deeds.write(
        deeds="""
        import os

        if "PARCACHE_SLOT" in os.environ:
            with open(os.environ["RUNS"], "a") as file:
                file.write("started\\n")
            os._exit(3)

        def healthy(cfg):
            return cfg.n
        """
    )
    result = deeds.run("-m", "hydra/launcher=parcache", "hydra.launcher.backend.workers=1", "n=range(100)")
    assert "workers in a row ended before they had started a job" in result.out
    assert "os._exit(3)" in result.out
    assert "100 misses, 100 failed" in result.summary
    assert len(deeds.executions()) < 30


def test_failures_of_all_batches_count_as_those_of_one_sweep(deeds: Project) -> None:
    """A sweeper that goes on after failures is stopped when all its batches together have had too many."""
    deeds.write(
        hydra_plugins__patient="""
        from dataclasses import dataclass

        from hydra.core.config_store import ConfigStore
        from hydra.core.plugins import Plugins
        from hydra.plugins.sweeper import Sweeper

        @dataclass
        class Config:
            _target_: str = "hydra_plugins.patient.PatientSweeper"

        ConfigStore.instance().store(group="hydra/sweeper", name="patient", node=Config)

        class PatientSweeper(Sweeper):
            def setup(self, *, hydra_context, task_function, config):
                self.launcher = Plugins.instance().instantiate_launcher(
                    hydra_context=hydra_context, task_function=task_function, config=config
                )

            def sweep(self, arguments):
                for number in range(0, 12, 2):
                    jobs = [[f"n={number}"], [f"n={number + 1}", "deed=raises"]]
                    self.launcher.launch([[*arguments, *job] for job in jobs], initial_job_idx=number)
        """
    )
    more = ("hydra/sweeper=patient", "hydra.sweep.dir=out", "hydra.launcher.backend.workers=1")
    result = deeds.run("-m", "hydra/launcher=parcache", *more, "hydra.launcher.failures.max_failures=2")
    assert result.code == 1
    folder = deeds.folder / "out"
    assert numbers(folder, "failed") == [1, 3, 5]
    assert numbers(folder, "completed") == [0, 2, 4]
    assert "6 misses, 3 failed" in result.summary


def test_failure_with_a_message_of_megabytes_is_told_in_short_and_kept_in_the_log(deeds: Project) -> None:
    """What an exception quotes in one endless line fills neither the journal nor the list of failures."""
    deeds.write(
        deeds="""
        def raises(cfg):
            raise ValueError("x" * 3_000_000)

        def healthy(cfg):
            return cfg.n
        """
    )
    result, folder = sweep(deeds, ["-m", "hydra/launcher=parcache"], "raises")
    assert len(result.out) < 50_000
    assert (folder / "journal.jsonl").stat().st_size < 10_000
    assert (folder / "0" / "app.log").stat().st_size > 3_000_000
