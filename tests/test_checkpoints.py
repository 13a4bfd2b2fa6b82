"""What a worker calls when its machine is about to be taken away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parcache.backends import checkpoints
from parcache.backends.checkpoints import EXIT_CODE, offering
from parcache.backends.slurm.shares import environments, share, thread_limits

pytestmark = pytest.mark.any_hydra

PROGRAM = """
import os, signal, sys, time
from parcache.backends import checkpoints

def task(config): pass
{more}
checkpoints.listen()
with checkpoints.offering(task, "the config"):
    {does}
print("not reached")
"""
HOOK = "task.checkpoint = lambda config: print('saved by', config)"
END = "os.kill(os.getpid(), signal.{}); time.sleep(300)"


def run(does: str, more: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program that is told to end while its task runs."""
    program = PROGRAM.replace("{more}", more).replace("{does}", does)
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        start_new_session=True,
    )


@pytest.mark.parametrize("name", ["SIGUSR2", "SIGTERM"])
def test_hook_is_called_with_the_config_and_the_process_ends(name: str) -> None:
    """What the hook prints is there; the exit code says that the end was announced."""
    done = run(END.format(name), HOOK)
    assert (done.returncode, done.stdout) == (EXIT_CODE, "saved by the config\n"), done.stderr


def test_task_without_a_hook_ends_at_once() -> None:
    """Nothing is waited for."""
    done = run(END.format("SIGUSR2"))
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_CODE, "", "")


def test_hook_that_raises_is_told_in_the_log() -> None:
    """The process ends all the same."""
    done = run(END.format("SIGUSR2"), "def broken(config): raise OSError('full')\ntask.checkpoint = broken")
    assert done.returncode == EXIT_CODE
    assert "OSError: full" in done.stderr


def test_hook_is_called_once_for_many_signals() -> None:
    """A scheduler signals processes, and so do those above them."""
    more = "def twice(config):\n    os.kill(os.getpid(), signal.SIGUSR2); print('saved')\ntask.checkpoint = twice"
    assert run(END.format("SIGTERM"), more).stdout == "saved\n"


def test_fork_of_a_job_ends_by_sigterm_as_others_do() -> None:
    """Multiprocessing ends its processes so: they are no workers, and save nothing."""
    does = (
        "pid = os.fork()\n"
        "    if not pid:\n"
        "        time.sleep(300)\n"
        "        os._exit(9)\n"
        "    os.kill(pid, signal.SIGTERM)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)\n"
        "    os._exit(0)"
    )
    done = run(does, HOOK)
    assert done.stdout == f"{-signal.SIGTERM}\n", done.stderr


def test_offer_is_taken_back_when_the_task_has_ended() -> None:
    """The next job's process has no hook of the last one's."""

    def task(config: Any) -> None: ...

    task.checkpoint = print  # type: ignore[attr-defined]
    with offering(task, 1):
        assert len(checkpoints._hooks) == 1
    assert checkpoints._hooks == []
    with pytest.raises(KeyError), offering(task, 1):
        raise KeyError
    assert checkpoints._hooks == []


@pytest.mark.parametrize(
    ("number", "things", "shares"),
    [
        (2, "abcd", ["ab", "cd"]),
        (2, "abc", ["ab", "c"]),
        (3, "abc", ["a", "b", "c"]),
        (4, "ab", ["a", "b", "a", "b"]),
    ],
)
def test_shares_of_an_allocation_are_alike_and_none_is_empty(number: int, things: str, shares: list[str]) -> None:
    """Workers beside each other get their part of the GPUs; where there are fewer, several share one."""
    assert ["".join(share(index, number, things)) for index in range(number)] == shares


def test_environments_of_workers_divide_what_slurm_has_given() -> None:
    """Each has its number, its GPUs and the limit of threads that the user has not set."""
    limits = thread_limits("auto", 8, 2)
    found = environments(2, limits, {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "MKL_NUM_THREADS": "1"})
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found] == ["0,1", "2,3"]
    assert [each["PARCACHE_SLOT"] for each in found] == ["0", "1"]
    assert all(each["OMP_NUM_THREADS"] == "4" and "MKL_NUM_THREADS" not in each for each in found)


def test_environment_of_one_worker_has_all_that_slurm_has_given() -> None:
    """Nothing is divided where nobody shares."""
    assert environments(1, {}, {"CUDA_VISIBLE_DEVICES": "0,1"}) == [{"PARCACHE_SLOT": "0"}]


@pytest.mark.parametrize(
    ("threads", "cpus", "parallel", "expected"),
    [("auto", 8, 2, "4"), ("auto", 1, 4, "1"), (3, None, 1, "3"), ("auto", None, 1, None), (None, 8, 1, None)],
)
def test_threads_are_limited_by_what_a_task_has(
    threads: Any, cpus: int | None, parallel: int, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is not known what a task has, nothing is limited: the cluster's own rules hold."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert thread_limits(threads, cpus, parallel).get("OMP_NUM_THREADS") == expected


def test_worker_of_a_pool_is_signalled_when_it_is_ready(tmp_path: Path) -> None:
    """A process that still gets ready would not know what to do."""
    import time

    from parcache.backends.pool import Pool

    pool = Pool([{}], checkpoints.Listening(_nothing))
    try:
        future = pool.submit(_sleep_noting, str(tmp_path / "started"))
        deadline = time.monotonic() + 300
        while not (tmp_path / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        pool.signal(signal.SIGUSR2)
        error: Any = future.exception(300)
        assert error.exit_code == EXIT_CODE
    finally:
        pool.stop(cancel=True)


def _nothing() -> None:
    pass


def _sleep_noting(path: str) -> None:
    import time

    Path(path).touch()
    time.sleep(300)
    os._exit(1)
