"""The whole path without a Slurm: submitit's local executor starts the agents on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest

from parcache.backends import About, Place, create
from parcache.backends.slurm.backend import SlurmBackend
from parcache.backends.slurm.others import Attached
from parcache.errors import BackendNotInstalledError, ElsewhereError, SettingError, WorkerDiedError
from tests.conftest import Project

pytestmark = pytest.mark.any_hydra

DEADLINE_S = 120

Start = Callable[..., SlurmBackend]


def nothing() -> None:
    pass


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a backend with some settings, at home in a folder of the test; all are stopped at the end."""
    started: list[SlurmBackend] = []

    def start(initializer: Callable[[], None] = nothing, sweep: str = "sweep", **settings: Any) -> SlurmBackend:
        backend = create("slurm", {"cluster": "local", "tasks": 1, **settings})
        assert isinstance(backend, SlurmBackend)
        started.append(backend)
        backend.settle(place(tmp_path, sweep))
        backend.start(initializer)
        return backend

    yield start
    for backend in started:
        backend.stop(cancel=True)


def place(folder: Path, sweep: str) -> Place:
    (folder / sweep).mkdir(exist_ok=True)
    return Place("app", str(folder / sweep), str(folder), str(folder / "store"), str(folder / "store" / "slurm"))


def submitted(backend: SlurmBackend, function: Callable[[Any], Any], arguments: list[Any]) -> list[Future[Any]]:
    """Submit a batch as the schedule does."""
    futures = [backend.submit_job(function, each, About(number)) for number, each in enumerate(arguments)]
    backend.flush()
    return futures


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for something that must happen: there is no other sign of it than that it has."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"it never happened: {what}"
        time.sleep(0.01)


def spools(tmp_path: Path) -> list[str]:
    folder = tmp_path / "store" / "slurm"
    return sorted(os.listdir(folder)) if folder.is_dir() else []


# What jobs do.


def twice(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def process_and_slot(folder: str) -> tuple[int, str]:
    Path(folder, str(os.getpid())).touch()
    while len(os.listdir(folder)) < 2:  # however slow the other one is to start
        time.sleep(0.01)
    return os.getpid(), os.environ["PARCACHE_SLOT"]


def end_like(how: str) -> str:
    if how == "exit":
        os._exit(3)
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "raise":
        raise ValueError("no")
    if how == "sys.exit":
        sys.exit(4)
    return how


def wait_for_file(path: str) -> str:
    Path(path + ".part").write_text(str(os.getpid()))
    Path(path + ".part").rename(path + ".started")
    while not Path(path).exists():
        time.sleep(0.01)
    return "it came"


def unpicklable(_: Any) -> Any:
    return (number for number in range(2))


def test_jobs_of_a_batch_run_in_one_task_in_their_order(start: Start) -> None:
    """A task takes jobs until none is left, in a process that stays."""
    backend = start()
    results = [future.result(DEADLINE_S) for future in submitted(backend, twice, [1, 2, 3])]
    assert [number for number, _ in results] == [2, 4, 6]
    assert len({pid for _, pid in results}) == 1
    assert results[0][1] != os.getpid()


def test_jobs_beside_each_other_in_one_task_have_processes_of_their_own(start: Start, tmp_path: Path) -> None:
    """With parallel_per_task, each worker knows its number."""
    (tmp_path / "pids").mkdir()
    backend = start(parallel_per_task=2)
    results = [
        future.result(DEADLINE_S) for future in submitted(backend, process_and_slot, [str(tmp_path / "pids")] * 4)
    ]
    assert {slot for _, slot in results} == {"0", "1"}
    assert len({pid for pid, _ in results}) == 2


def test_task_with_a_limit_takes_no_more_jobs(start: Start) -> None:
    """With jobs_per_task, as many tasks are started as it takes."""
    backend = start(tasks=None, jobs_per_task=2)
    results = [future.result(DEADLINE_S) for future in submitted(backend, twice, [0] * 5)]
    pids = [pid for _, pid in results]
    assert len(set(pids)) == 3
    assert max(map(pids.count, pids)) == 2


@pytest.mark.parametrize(("how", "code"), [("exit", 3), ("crash", -signal.SIGSEGV)])
def test_job_whose_process_ends_costs_itself_alone(start: Start, how: str, code: int) -> None:
    """Those packed into one task with it complete."""
    backend = start()
    before, dead, after = submitted(backend, end_like, ["one", how, "two"])
    assert (before.result(DEADLINE_S), after.result(DEADLINE_S)) == ("one", "two")
    error = dead.exception(DEADLINE_S)
    assert isinstance(error, WorkerDiedError)
    assert error.exit_code == code


def test_job_that_raises_has_its_exception(start: Start) -> None:
    """Also where that is the end of a program."""
    backend = start()
    raised, exited = submitted(backend, end_like, ["raise", "sys.exit"])
    assert str(raised.exception(DEADLINE_S)) == "no"
    assert isinstance(exited.exception(DEADLINE_S), SystemExit)


def test_argument_and_result_that_cannot_travel_fail_their_jobs_alone(start: Start) -> None:
    """What cannot be pickled is told, on the way there and back."""
    import threading

    backend = start()
    wrong = backend.submit_job(twice, threading.Lock(), About(0))
    back, right = submitted(backend, unpicklable, [0])[0], submitted(backend, twice, [1])[0]
    assert isinstance(wrong.exception(DEADLINE_S), TypeError)
    assert right.result(DEADLINE_S)[0] == 2
    assert isinstance(back.exception(DEADLINE_S), TypeError)


def test_next_batch_finds_the_task_of_the_last(start: Start) -> None:
    """Sweepers come with batch after batch: a task waits for the next."""
    backend = start(idle_s=600)
    (first,) = submitted(backend, twice, [1])
    pid = first.result(DEADLINE_S)[1]
    (second,) = submitted(backend, twice, [2])
    assert second.result(DEADLINE_S) == (4, pid)


def test_task_that_has_left_is_replaced(start: Start) -> None:
    """A batch that comes too late for its patience has a new one."""
    backend = start(idle_s=0.01)
    (first,) = submitted(backend, twice, [1])
    pid = first.result(DEADLINE_S)[1]
    assert backend._spool is not None
    until(lambda: all(backend._spool.agents().values()), "the agent leaves")  # type: ignore[union-attr]
    (second,) = submitted(backend, twice, [2])
    number, other = second.result(DEADLINE_S)
    assert number == 4
    assert other != pid


def test_killed_job_fails_and_the_next_runs(start: Start, tmp_path: Path) -> None:
    """What runs is ended in its task; the task goes on."""
    backend = start()
    running, waiting, last = submitted(
        backend, wait_for_file, [str(tmp_path / "never"), str(tmp_path / "not"), str(tmp_path / "there")]
    )
    (tmp_path / "there").touch()
    until((tmp_path / "never.started").exists, "the job starts")
    until(running.running, "it is seen to run")
    assert (backend.running_s(running) or 0) > 0
    assert backend.running_s(waiting) is None
    backend.kill(waiting)
    assert "before it started" in str(waiting.exception(DEADLINE_S))
    backend.kill(running)
    assert isinstance(running.exception(DEADLINE_S), WorkerDiedError)
    assert last.result(DEADLINE_S) == "it came"
    assert backend.running_s(running) is None


def test_stop_that_waits_ends_with_the_last_job_and_removes_the_spool(start: Start, tmp_path: Path) -> None:
    """Nothing of a sweep is left in the store, and no empty log in its directory."""
    backend = start()
    futures = submitted(backend, twice, [1, 2])
    backend.stop(cancel=False)
    assert all(future.done() for future in futures)
    assert spools(tmp_path) == []
    assert not [name for name in os.listdir(tmp_path / "sweep" / ".slurm") if name.endswith((".err", ".out"))]


def test_stop_that_cancels_ends_what_runs(start: Start, tmp_path: Path) -> None:
    """What ran and what waited has failed, and no process goes on."""
    backend = start()
    futures = submitted(backend, wait_for_file, [str(tmp_path / "never"), str(tmp_path / "not")])
    until((tmp_path / "never.started").exists, "the job starts")
    assert backend._fleet is not None
    (task,) = backend._fleet.tasks
    backend.stop(cancel=True)
    assert all(isinstance(future.exception(0), WorkerDiedError) for future in futures)
    assert spools(tmp_path) == []
    until(lambda: "R" not in state_of(int(task)) and "S" not in state_of(int(task)), "the task ends")
    assert not (tmp_path / "not.started").exists()


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def test_backend_started_again_after_its_stop_works(start: Start, tmp_path: Path) -> None:
    """A sweep whose workers were ended after a failure goes on with the next batch."""
    backend = start()
    submitted(backend, twice, [1])
    backend.stop(cancel=False)
    backend.settle(place(tmp_path, "sweep"))
    backend.start(nothing)
    (future,) = submitted(backend, twice, [2])
    assert future.result(DEADLINE_S)[0] == 4


def test_task_that_is_killed_fails_its_job_and_the_others_run_elsewhere(start: Start, tmp_path: Path) -> None:
    """What it was at is lost by name, and its process ends; what it had not begun is given to another."""
    backend = start()
    lost, waiting = submitted(backend, wait_for_file, [str(tmp_path / "never"), str(tmp_path / "there")])
    (tmp_path / "there").touch()
    until((tmp_path / "never.started").exists, "the job starts")
    assert backend._spool is not None
    (claim,) = backend._spool.claims()
    os.kill(agents_process(claim.agent, backend), signal.SIGKILL)
    worker = int((tmp_path / "never.started").read_text())
    until(lambda: state_of(worker) in "ZX", "the worker ends")
    assert "ended its own job" in str(lost.exception(DEADLINE_S))
    assert waiting.result(DEADLINE_S) == "it came"


def test_task_that_is_told_to_end_says_so_before_it_leaves(start: Start, tmp_path: Path) -> None:
    """By SIGTERM, as scancel does it: nobody takes its place before its scheduler has said how it ended."""
    backend = start()
    lost, waiting = submitted(backend, wait_for_file, [str(tmp_path / "never"), str(tmp_path / "there")])
    (tmp_path / "there").touch()
    until((tmp_path / "never.started").exists, "the job starts")
    spool, fleet = backend._spool, backend._fleet
    assert spool is not None
    assert fleet is not None
    (claim,) = spool.claims()
    assert not spool.told()
    with backend._lock:  # it is not looked after meanwhile
        os.kill(agents_process(claim.agent, backend), signal.SIGTERM)
        until(lambda: spool.agents()[claim.agent], "the agent leaves")
        assert spool.told() == set(fleet.tasks)
        fleet.man()
        assert len(fleet.tasks) == 1
    assert "ended its own job" in str(lost.exception(DEADLINE_S))
    assert waiting.result(DEADLINE_S) == "it came"  # this scheduler does not say that anybody has cancelled it


def agents_process(agent: str, backend: SlurmBackend) -> int:
    import json

    assert backend._spool is not None
    return int(json.loads(Path(backend._spool.folder, "agents", agent).read_text())["pid"])


def test_preempted_task_gives_its_job_back_and_is_requeued(start: Start, tmp_path: Path) -> None:
    """With retries left, the signal that announces the end costs a start, no more."""
    backend = start()
    assert backend._spool is not None
    backend.stop(cancel=True)
    backend.settle(place(tmp_path, "sweep")._replace(retries=1))
    backend.start(nothing)
    path = str(tmp_path / "file")
    (future,) = submitted(backend, wait_for_file, [path])
    until(Path(path + ".started").exists, "the job starts")
    Path(path + ".started").unlink()
    (claim,) = backend._spool.claims()
    first = agents_process(claim.agent, backend)
    os.kill(first, signal.SIGUSR2)
    until(Path(path + ".started").exists, "it starts again")
    (again,) = backend._spool.claims()
    assert again.call.attempt == 1
    Path(path).touch()
    assert future.result(DEADLINE_S) == "it came"


def test_call_of_a_sweep_that_was_killed_is_waited_for(start: Start, tmp_path: Path) -> None:
    """Its tasks work on; the same jobs are not submitted again, and when they have ended the store is asked."""
    path = tmp_path / "file"
    killed_while_it_runs(tmp_path, path)
    backend = start(sweep="again")
    future = backend.submit_job(wait_for_file, str(path), About(0, "key"))
    other = backend.submit_job(twice, 1, About(1, "another key"))
    backend.flush()
    assert isinstance(future, Attached)
    assert not isinstance(other, Attached)
    until(future.running, "it is seen to run")
    until(lambda: backend.running_s(future) is not None, "it is seen for how long")
    assert other.result(DEADLINE_S)[0] == 2
    assert not future.done()
    path.touch()
    error = future.exception(DEADLINE_S)
    assert isinstance(error, ElsewhereError)
    assert error.where == str(tmp_path / "sweep")
    assert backend.running_s(future) is None


def test_interrupted_sweep_ends_what_a_killed_one_has_left(start: Start, tmp_path: Path) -> None:
    """Who takes up a killed sweep's jobs and presses Ctrl-C wants them ended."""
    path = tmp_path / "file"
    killed_while_it_runs(tmp_path, path)
    backend = start(sweep="again")
    future = backend.submit_job(wait_for_file, str(path), About(0, "key"))
    backend.flush()
    assert isinstance(future, Attached)
    (task,) = future.other.groups
    backend.stop(cancel=True)
    assert isinstance(future.exception(0), WorkerDiedError)
    until(lambda: state_of(int(task)) in "ZX", "its task ends")


def test_spool_of_a_sweep_for_which_nobody_works_any_more_is_removed(start: Start, tmp_path: Path) -> None:
    """What a killed sweep has left in the store goes with the next one."""
    path = tmp_path / "file"
    killed_while_it_runs(tmp_path, path)
    path.touch()
    (left,) = spools(tmp_path)
    tasks = [name.removesuffix(".json") for name in os.listdir(tmp_path / "store" / "slurm" / left / "jobs")]
    until(lambda: all(state_of(int(task)) in "ZX" for task in tasks), "its task ends")
    start(sweep="again")
    assert left not in spools(tmp_path)


PROGRAM = """
import sys
from tests.test_slurm_local import *
backend = create("slurm", {"cluster": "local", "tasks": 1, "idle_s": 1})
backend.settle(place(Path(sys.argv[1]), "sweep"))
backend.start(nothing)
backend.submit_job(wait_for_file, sys.argv[2], About(0, "key"))
backend.flush()
until(Path(sys.argv[2] + ".started").exists, "the job starts")
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_while_it_runs(tmp_path: Path, path: Path) -> None:
    """Have another sweep submit a job, and kill its process when the job runs."""
    program = [sys.executable, "-c", PROGRAM, str(tmp_path), str(path)]
    root = Path(__file__).parent.parent
    with open(tmp_path / "killed.txt", "wb") as output:  # a pipe would be held open by the task
        done = subprocess.run(program, cwd=root, stdout=output, stderr=output, timeout=DEADLINE_S, check=False)
    assert done.returncode == -signal.SIGKILL, (tmp_path / "killed.txt").read_text()


def test_detached_sweep_leaves_its_jobs_and_says_how_to_follow_them(start: Start, tmp_path: Path) -> None:
    """They end without it; a later one finds them."""
    path = tmp_path / "file"
    backend = start(detach=True)
    backend.submit_job(wait_for_file, str(path), About(0, "key"))
    backend.flush()
    until(Path(f"{path}.started").exists, "the job starts")
    text = backend.leave()
    assert "0 jobs wait and 1 run" in text
    assert str(tmp_path / "sweep" / ".slurm") in text
    later = start(sweep="later")
    future = later.submit_job(wait_for_file, str(path), About(0, "key"))
    later.flush()
    path.touch()
    assert isinstance(future.exception(DEADLINE_S), ElsewhereError)


def test_store_that_cannot_be_written_to_costs_no_job(start: Start, tmp_path: Path) -> None:
    """The spool is then in the sweep's directory: only other sweeps do not find it."""
    (tmp_path / "store").write_text("not a folder")
    backend = start()
    (future,) = submitted(backend, twice, [2])
    assert future.result(DEADLINE_S)[0] == 4
    assert backend._spool is not None
    assert backend._spool.folder.startswith(str(tmp_path / "sweep" / ".slurm"))


def test_detached_sweep_without_a_store_is_refused(tmp_path: Path) -> None:
    """Nobody would be there to take the results."""
    backend = create("slurm", {"cluster": "local", "detach": True})
    backend.settle(Place("app", str(tmp_path), str(tmp_path)))  # type: ignore[attr-defined]
    with pytest.raises(SettingError, match="nothing is stored"):
        backend.start(nothing)


def test_plain_submit_runs_a_job_as_well(start: Start) -> None:
    """Who does not speak of jobs has the protocol's three methods."""
    backend = start()
    futures = [backend.submit(twice, number) for number in range(3)]
    wait(futures, timeout=DEADLINE_S)
    assert [future.result(0)[0] for future in futures] == [0, 2, 4]


def test_debug_cluster_runs_jobs_in_this_process(tmp_path: Path) -> None:
    """Breakpoints work; what a job raises is its own."""
    backend = create("slurm", {"cluster": "debug"})
    assert not backend.executes_elsewhere  # type: ignore[attr-defined]
    calls: list[str] = []
    backend.start(lambda: calls.append("initialized"))
    assert backend.submit(twice, 4).result(0) == (8, os.getpid())
    assert isinstance(backend.submit(end_like, "raise").exception(0), ValueError)
    assert isinstance(backend.submit(end_like, "sys.exit").exception(0), SystemExit)
    backend.stop(cancel=False)
    assert calls == ["initialized"]


def test_sweep_on_a_local_cluster_is_one_like_any_other(project: Project) -> None:
    """Its results are stored by the tasks, and hits of any backend."""
    options = ["hydra/launcher=parcache", "hydra/launcher/backend=slurm", "hydra.launcher.backend.cluster=local"]
    command = ["-m", "x=1,2,3", *options]
    assert project.run(*command).check().summary.startswith("3 jobs: 0 hits, 3 misses, 0 failed")
    assert sorted(project.executions()) == ["1", "2", "3"]
    assert project.run("-m", "x=1,2,3", "hydra/launcher=parcache").check().summary.startswith("3 jobs: 3 hits")
    assert os.listdir(project.folder / ".parcache" / "backends" / "slurm") == []


def test_sweep_on_the_debug_cluster_runs_in_the_sweeping_process(project: Project) -> None:
    """One job after the other."""
    options = ["hydra/launcher=parcache", "hydra/launcher/backend=slurm", "hydra.launcher.backend.cluster=debug"]
    assert project.run("-m", "x=1,2", *options).check().summary.startswith("2 jobs: 0 hits, 2 misses, 0 failed")
    assert project.executions() == ["1", "2"]


def test_machine_without_slurm_is_told_before_anything_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop has no sbatch: the error names the way to run here."""
    monkeypatch.setenv("PATH", "/nowhere")
    backend = create("slurm", {})
    backend.settle(place(tmp_path, "sweep"))  # type: ignore[attr-defined]
    with pytest.raises(BackendNotInstalledError, match=r"hydra\.launcher\.backend\.cluster=local"):
        backend.start(nothing)
    assert spools(tmp_path) == []
