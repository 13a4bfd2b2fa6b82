"""Worker processes: what happens to one of them, or is done to it, is nothing to the others."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from parcache.backends import create
from parcache.backends.board import Board, board_file
from parcache.backends.lineage import end_with_descendants
from parcache.backends.process import ProcessBackend
from parcache.backends.stagger import Stagger
from parcache.errors import CannotTravelError, RemoteJobError, WorkerDiedError

pytestmark = pytest.mark.any_hydra

DEADLINE_S = 120

Start = Callable[..., ProcessBackend]


def nothing() -> None:
    pass


@pytest.fixture
def start() -> Iterator[Start]:
    """Return what starts a process backend with some settings; every one is stopped at the end."""
    started: list[ProcessBackend] = []

    def start(initializer: Callable[[], None] = nothing, **settings: Any) -> ProcessBackend:
        backend = create("process", settings)
        assert isinstance(backend, ProcessBackend)
        started.append(backend)
        backend.start(initializer)
        return backend

    yield start
    for backend in started:
        backend.stop(cancel=True)


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for something that must happen: there is no other sign of it than that it has."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"it never happened: {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:  # it may be gone when its file has been opened
        return False


def result(future: Future[Any]) -> Any:
    return future.result(DEADLINE_S)


def failure(future: Future[Any]) -> Any:
    return future.exception(DEADLINE_S)


# What jobs do.


def pid_of(_: Any = None) -> int:
    return os.getpid()


def square(number: int) -> int:
    return number * number


def wait_at(gate: str) -> int:
    """Say who is here, and go on when the gate opens."""
    Path(f"{gate}.{os.getpid()}").touch()
    until(lambda: os.path.exists(gate), "the gate opens")
    return os.getpid()


def run_program(note: str) -> None:
    """Start a program that starts another, both deaf to SIGTERM, note who they are, and wait."""
    inner = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(1000)"
    outer = (
        "import os, signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"child = subprocess.Popen([sys.executable, '-c', {inner!r}], stdout=subprocess.PIPE, start_new_session=True);"
        f"child.stdout.readline(); open({note!r} + '.part', 'w').write(f'{{os.getpid()}} {{child.pid}}');"
        f"os.rename({note!r} + '.part', {note!r}); child.wait()"
    )
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.run([sys.executable, "-c", outer], check=False)


def die_by(how: str) -> None:
    if how == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "SIGTERM":
        os.kill(os.getpid(), signal.SIGTERM)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()
    else:
        os._exit(3)


class ExplodesOnLoad:
    def __reduce__(self) -> Any:
        return (square, ("not a number",))


class Unloadable(Exception):
    """An exception that pickle writes and cannot rebuild."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def fail_unloadably(_: Any) -> None:
    raise Unloadable("one", "two")


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("with a lock")
        self.lock = threading.Lock()


def fail_unpicklably(_: Any) -> None:
    raise Unpicklable


# One worker's end is nobody else's.

ENDS = {
    "SIGKILL": (-9, "killed by SIGKILL (the kernel does that when memory runs out)"),
    "SIGTERM": (-15, "ended by SIGTERM"),
    "segfault": (-11, "ended by SIGSEGV: a crash in native code"),
    "abort": (-6, "ended by SIGABRT: a crash in native code"),
    "exit": (3, "ended by os._exit(3)"),
}


@pytest.mark.parametrize("how", ENDS)
def test_process_worker_that_dies_costs_only_the_call_it_was_at(start: Start, tmp_path: Path, how: str) -> None:
    """While three workers are at work, a fourth dies: its call fails and says how, every other one is done."""
    backend = start(workers=4)
    gate = str(tmp_path / "gate")
    others = [backend.submit(wait_at, gate) for _ in range(3)]
    killer = backend.submit(die_by, how)
    queued = [backend.submit(square, number) for number in range(4)]
    error = failure(killer)
    assert (type(error), error.exit_code) == (WorkerDiedError, ENDS[how][0])
    assert ENDS[how][1] in str(error)
    assert isinstance(error, WorkerDiedError)
    Path(gate).touch()
    assert len({result(future) for future in others}) == 3
    assert [result(future) for future in queued] == [0, 1, 4, 9]


def test_process_worker_that_dies_idle_is_replaced_and_nothing_fails(start: Start) -> None:
    """Workers that were killed between two batches cost the next one nothing."""
    backend = start(workers=2)
    pids = {result(future) for future in [backend.submit(pid_of, None) for _ in range(4)]}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    after = {result(future) for future in [backend.submit(pid_of, None) for _ in range(8)]}
    assert after
    assert pids.isdisjoint(after)


def die_getting_ready() -> None:
    os._exit(4)


def test_process_worker_that_dies_getting_ready_fails_each_call_once(start: Start) -> None:
    """Where no worker ever gets ready every call fails, and says so; nothing is tried for ever."""
    backend = start(die_getting_ready, workers=2)
    for future in [backend.submit(square, number) for number in range(4)]:
        assert str(failure(future)).startswith("the worker did not finish the job: its process ended by os._exit(4) wh")


def die_getting_ready_where(folder: str) -> Callable[[], None]:
    """Return an initializer that kills its worker while there are files in a folder, one for each."""

    def initializer() -> None:
        for path in sorted(Path(folder).iterdir())[:1]:
            path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    return initializer


def test_process_worker_that_is_killed_getting_ready_is_not_the_calls_fault(start: Start, tmp_path: Path) -> None:
    """Where workers do get ready, one that is killed on the way is replaced; the third in a row is told."""
    backend = start(die_getting_ready_where(str(tmp_path)), workers=1)
    assert result(backend.submit(square, 2)) == 4
    for deaths in (2, 3):
        os.kill(result(backend.submit(pid_of, None)), signal.SIGKILL)
        for number in range(deaths):
            (tmp_path / str(number)).touch()
        future = backend.submit(square, 3)
        if deaths == 2:
            assert result(future) == 9
        else:
            assert "while it got ready" in str(failure(future))
    assert result(backend.submit(square, 4)) == 16


def test_process_worker_whose_pipes_are_held_by_a_fork_is_seen_to_die(start: Start) -> None:
    """A child that a job has forked does not hide that the worker is gone, and does not outlive it."""
    backend = start(workers=1)

    def fork_and_die(_: Any) -> None:
        libc = ctypes.CDLL(None)  # no Python code runs in this child: it keeps all that the worker has open
        if libc.fork() == 0:
            libc.pause()
        os.kill(os.getpid(), signal.SIGKILL)

    assert failure(backend.submit(fork_and_die, None)).exit_code == -9
    assert result(backend.submit(square, 3)) == 9


def test_process_fork_that_returns_from_its_job_answers_nothing(start: Start) -> None:
    """A job that forks and forgets to leave the child has one result: its own."""
    backend = start(workers=1)

    def fork(_: Any) -> int:
        return os.fork()

    child = result(backend.submit(fork, None))
    assert child > 0
    assert [result(backend.submit(square, number)) for number in range(4)] == [0, 1, 4, 9]


# What cannot travel costs itself.


def test_process_what_cannot_travel_costs_only_its_own_call(start: Start) -> None:
    """Neither a call nor a result nor an exception that pickle fails on costs the worker its life."""
    backend = start(workers=1)
    first = result(backend.submit(pid_of, None))
    lock = threading.Lock()
    assert "pickle" in str(failure(backend.submit(lambda _: lock, None)))
    assert type(failure(backend.submit(square, ExplodesOnLoad()))) is TypeError
    assert "pickle" in str(failure(backend.submit(lambda _: threading.Lock(), None)))
    assert type(failure(backend.submit(lambda _: ExplodesOnLoad(), None))) is TypeError
    assert type(failure(backend.submit(fail_unloadably, None))) is TypeError
    unpicklable = failure(backend.submit(fail_unpicklably, None))
    assert (type(unpicklable), unpicklable.args) == (RemoteJobError, ("Unpicklable", "with a lock"))
    assert type(failure(backend.submit(sys.exit, 5))) is SystemExit
    assert result(backend.submit(pid_of, None)) == first


def test_process_initializer_that_cannot_travel_is_raised_by_submit(start: Start) -> None:
    """What every worker needs and cannot be pickled is told by the one who submits."""

    class Traveller:
        def __reduce__(self) -> Any:
            raise CannotTravelError("this")

        def __call__(self) -> None:
            pass

    backend = start(Traveller(), workers=1)
    with pytest.raises(CannotTravelError):
        backend.submit(square, 1)


def test_process_arguments_and_results_of_hundreds_of_megabytes_arrive(start: Start) -> None:
    """Size is no matter, while another worker's small calls go on."""
    backend = start(workers=2)
    size = 200_000_000
    there = backend.submit(len, b"x" * size)
    back = backend.submit(bytes, size)
    assert [result(backend.submit(square, number)) for number in range(20)] == [square(number) for number in range(20)]
    assert result(there) == size
    assert len(result(back)) == size


def test_process_many_short_calls_are_all_answered(start: Start) -> None:
    """Two hundred calls at once, far beyond the capacity, have two hundred results."""
    backend = start(workers=3)
    futures = [backend.submit(square, number) for number in range(200)]
    assert [result(future) for future in futures] == [number * number for number in range(200)]


def test_process_call_behind_a_long_one_is_done_by_whoever_is_free(start: Start, tmp_path: Path) -> None:
    """No call waits for a long one while a worker has nothing to do, though it was queued behind that."""
    backend = start(workers=2)
    gate = tmp_path / "gate"
    long = backend.submit(wait_at, str(gate))
    until(long.running, "the long call runs")
    short = [backend.submit(pid_of, None) for _ in range(7)]
    assert not wait(short, DEADLINE_S).not_done
    assert len({result(future) for future in short}) == 1
    assert long.running()
    gate.touch()
    assert result(long) != result(short[0])


# Ending one job, or all.


def test_process_kill_ends_a_job_with_all_that_it_has_started(start: Start, tmp_path: Path) -> None:
    """A job that is stopped takes its programs along, deaf ones and those in sessions of their own; others go on."""
    backend = start(workers=2)
    gate = tmp_path / "gate"
    other = backend.submit(wait_at, str(gate))
    victim = backend.submit(run_program, str(tmp_path / "note"))
    behind = [backend.submit(square, number) for number in range(2)]
    until((tmp_path / "note").exists, "the job's programs run")
    programs = [int(pid) for pid in (tmp_path / "note").read_text().split()]
    assert all(map(is_alive, programs))
    backend.kill(victim)
    assert str(failure(victim)) == "the worker did not finish the job: it was stopped (exit code -9)"
    until(lambda: not any(map(is_alive, programs)), "the job's programs end")
    backend.kill(victim)  # which is done: nothing happens
    assert [result(future) for future in behind] == [0, 1]
    gate.touch()
    assert result(other)


def test_process_kill_of_a_call_that_waits_ends_only_that(start: Start, tmp_path: Path) -> None:
    """A call that has not started never does, wherever it waits; the one before it is not touched."""
    backend = start(workers=1)
    gate = tmp_path / "gate"
    running = backend.submit(wait_at, str(gate))
    until(running.running, "the first call runs")
    queued = [backend.submit(wait_at, str(tmp_path / f"never{number}")) for number in range(3)]
    assert not any(future.running() for future in queued)
    for future in queued:
        backend.kill(future)
        assert str(failure(future)) == "the worker did not finish the job: it was stopped before it started"
        assert failure(future).exit_code is None
    gate.touch()
    assert result(running) == result(backend.submit(pid_of, None))
    assert not list(tmp_path.glob("never*"))


def ready_at(gate: str) -> Callable[[], None]:
    return lambda: until(lambda: os.path.exists(gate), "the gate opens")


def test_process_kill_of_calls_whose_worker_gets_ready_ends_them_alone(start: Start, tmp_path: Path) -> None:
    """Calls that a worker has been sent and cannot have begun are withdrawn, all of them; later ones are done."""
    backend = start(ready_at(str(tmp_path / "gate")), workers=1)
    futures = [backend.submit(wait_at, str(tmp_path / f"never{number}")) for number in range(3)]
    for future in futures:
        backend.kill(future)
        assert failure(future).exit_code is None
    after = [backend.submit(square, number) for number in range(3)]
    backend.kill(after[1])
    (tmp_path / "gate").touch()
    assert result(after[0]) == 0
    assert result(after[2]) == 4
    assert type(failure(after[1])) is WorkerDiedError
    assert not list(tmp_path.glob("never*"))


def test_board_passes_over_every_call_that_was_withdrawn() -> None:
    """As many calls as can be on their way can be withdrawn, none after it has begun."""
    fd = board_file()
    here, there = Board(fd), Board(fd)
    os.close(fd)
    assert here.withdraw(1)
    assert here.withdraw(2)
    assert [there.begin(place) for place in (1, 2, 3, 4, 5, 6)] == [False, False, True, True, True, True]
    assert not here.withdraw(6)
    assert here.started == 6


def test_process_worker_that_is_killed_takes_along_what_it_had_started(start: Start, tmp_path: Path) -> None:
    """When the kernel kills a worker, the programs of its job do not stay behind."""
    backend = start(workers=1)
    future = backend.submit(run_program, str(tmp_path / "note"))
    until((tmp_path / "note").exists, "the job's programs run")
    program = int((tmp_path / "note").read_text().split()[0])
    worker = int(Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(worker, signal.SIGKILL)
    assert failure(future).exit_code == -9
    until(lambda: not is_alive(program), "the job's program ends")


def test_process_stop_with_cancel_leaves_no_process(start: Start, tmp_path: Path) -> None:
    """What runs is ended with all that it has started, what waits never starts, and every future has an end."""
    backend = start(workers=2)
    notes = [tmp_path / "a", tmp_path / "b"]
    futures = [backend.submit(run_program, str(note)) for note in notes]
    futures += [backend.submit(wait_at, str(tmp_path / "never")) for _ in range(4)]
    until(lambda: all(note.exists() for note in notes), "the jobs' programs run")
    programs = [int(pid) for note in notes for pid in note.read_text().split()]
    backend.stop(cancel=True)
    assert [type(failure(future)) for future in futures] == [WorkerDiedError] * 6
    until(lambda: not any(map(is_alive, programs)), "the jobs' programs end")
    assert not list(tmp_path.glob("never*"))
    assert not _children()
    backend.stop(cancel=True)
    backend.stop(cancel=False)


def test_process_stop_without_cancel_waits_for_what_was_submitted(start: Start) -> None:
    """All that was submitted is done when stop returns, and no process is left."""
    backend = start(workers=2)
    futures = [backend.submit(square, number) for number in range(20)]
    backend.stop(cancel=False)
    assert [future.result(0) for future in futures] == [square(number) for number in range(20)]
    assert not _children()
    with pytest.raises(RuntimeError, match="after stop"):
        backend.submit(square, 1)


def test_process_stop_that_waits_can_be_cut_short_from_another_thread(start: Start, tmp_path: Path) -> None:
    """Who waits for jobs to end does not keep another from ending them."""
    backend = start(workers=1)
    future = backend.submit(wait_at, str(tmp_path / "never"))
    until(future.running, "the call runs")
    waiting = threading.Thread(target=lambda: backend.stop(cancel=False))
    waiting.start()
    backend.stop(cancel=True)
    waiting.join(DEADLINE_S)
    assert not waiting.is_alive()
    assert type(failure(future)) is WorkerDiedError


def test_process_stop_before_any_job_is_nothing(start: Start) -> None:
    """A backend that was started and never used is stopped as well as any."""
    backend = start(workers=1)
    backend.stop(cancel=False)
    backend.stop(cancel=True)


def test_lineage_ends_processes_where_there_is_no_proc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """Without /proc, as on macOS, `ps` tells who descends from whom."""
    backend = start(workers=1)
    future = backend.submit(run_program, str(tmp_path / "note"))
    until((tmp_path / "note").exists, "the job's programs run")
    programs = [int(pid) for pid in (tmp_path / "note").read_text().split()]
    worker = int(Path(f"/proc/{programs[0]}/stat").read_text().rpartition(")")[2].split()[1])
    monkeypatch.setattr("parcache.backends.lineage._PROC", str(tmp_path / "none"))
    end_with_descendants([worker])
    until(lambda: not any(map(is_alive, programs)), "the job's programs end")
    assert failure(future).exit_code == -9


def _children() -> list[int]:
    """Return the workers that this process has started and that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            is_worker = b"parcache.backends.child" in path.with_name("cmdline").read_bytes()
            if is_worker and int(fields[1]) == os.getpid() and fields[0] not in "ZX":
                found.append(int(path.parent.name))
    return found


# Signals.


def dispositions(_: Any) -> tuple[str, int]:
    """Return how a program that a job starts handles SIGINT, and the worker's own session."""
    told = subprocess.run(
        [sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT).__name__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip(), os.getsid(0)


def test_process_job_does_not_hear_ctrl_c_and_its_programs_would(start: Start, tmp_path: Path) -> None:
    """Ctrl-C goes to the sweeping process alone; a signal to a worker ends nothing; programs are born as ever."""
    backend = start(workers=1)
    handler, session = result(backend.submit(dispositions, None))
    assert handler == "default_int_handler"
    assert session != os.getsid(0)
    gate = tmp_path / "gate"
    future = backend.submit(wait_at, str(gate))
    until(lambda: list(tmp_path.glob("gate.*")), "the call runs")
    os.kill(int(next(tmp_path.glob("gate.*")).suffix[1:]), signal.SIGINT)
    gate.touch()
    assert result(future)


INTERRUPTED = """
import os, signal, sys, time
from parcache.backends import create

signal.alarm(300)

def wait(note):
    open(f"{note}.{os.getpid()}", "w").close()
    time.sleep(1000)

backend = create("process", {"workers": 2})
backend.start(lambda: None)
try:
    futures = [backend.submit(wait, sys.argv[1]) for _ in range(4)]
    open(sys.argv[2], "w").close()
    futures[0].result()
except KeyboardInterrupt:
    try:
        print(not any(future.done() for future in futures), flush=True)
        backend.stop(cancel=False)
    except KeyboardInterrupt:
        backend.stop(cancel=True)
        print([type(future.exception()).__name__ for future in futures])
"""


def test_process_ctrl_c_reaches_the_group_and_the_sweeping_process_decides(tmp_path: Path) -> None:
    """SIGINT to the whole group leaves the jobs running; a waiting stop can be interrupted by another; then all end."""
    note = tmp_path / "note"
    command = [sys.executable, "-c", INTERRUPTED, str(note), str(tmp_path / "up")]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: len(list(tmp_path.glob("note.*"))) == 2, "two jobs run")
    until((tmp_path / "up").exists, "all are submitted")
    workers = [int(path.suffix[1:]) for path in tmp_path.glob("note.*")]
    assert program.stdout is not None
    os.killpg(program.pid, signal.SIGINT)
    assert program.stdout.readline() == "True\n"  # nothing at all where it has ended
    assert all(map(is_alive, workers))
    os.killpg(program.pid, signal.SIGINT)
    out, _ = program.communicate(timeout=DEADLINE_S)
    assert out == f"{['WorkerDiedError'] * 4}\n"
    assert program.returncode == 0
    assert not any(map(is_alive, workers))


ORPHANED = """
import os, sys, time
from parcache.backends import create

def wait(note):
    open(f"{note}.{os.getpid()}", "w").close()
    while not os.path.exists(note):
        time.sleep(0.01)
    open(f"{note}.{os.getpid()}.done", "w").close()

backend = create("process", {"workers": 2})
backend.start(lambda: None)
futures = [backend.submit(wait, sys.argv[1]) for _ in range(4)]
if not os.fork():
    time.sleep(1000)  # it holds the pipes of its parent open
open(sys.argv[2], "w").close()
futures[0].result()
"""


def test_process_worker_whose_sweeping_process_is_killed_finishes_its_job_and_ends(tmp_path: Path) -> None:
    """After a SIGKILL of the sweeping process what runs is finished, what waits never starts, and no worker stays."""
    note = tmp_path / "note"
    command = [sys.executable, "-c", ORPHANED, str(note), str(tmp_path / "up")]
    program = subprocess.Popen(command, start_new_session=True)
    until(lambda: len(list(tmp_path.glob("note.*"))) == 2, "two jobs run")
    until((tmp_path / "up").exists, "all are submitted, and it has forked")
    workers = [int(path.suffix[1:]) for path in tmp_path.glob("note.*")]
    program.kill()
    program.wait()
    note.touch()
    until(lambda: not any(map(is_alive, workers)), "the workers end")
    os.killpg(program.pid, signal.SIGKILL)  # the fork
    assert len(list(tmp_path.glob("note.*.done"))) == 2
    assert len(list(tmp_path.glob("note.*"))) == 4


# A process for each job.


def test_process_fresh_gives_every_job_a_process_of_its_own(start: Start) -> None:
    """No two jobs share a process, no more run at once than there are workers, and parcels hold one job."""
    backend = start(workers=2, fresh_process=True)
    assert (backend.capacity, backend.jobs_per_call) == (2, 1)
    pids = [result(future) for future in [backend.submit(pid_of, None) for _ in range(6)]]
    assert len(set(pids)) == 6
    killer = backend.submit(die_by, "SIGKILL")
    assert [result(backend.submit(square, number)) for number in range(3)] == [0, 1, 4]
    assert failure(killer).exit_code == -9


def test_process_fresh_job_starts_when_the_one_before_it_has_left_its_slot(start: Start) -> None:
    """A slot is free when its process has ended: what that held (a GPU's memory) is there for the next."""
    backend = start(workers=1, fresh_process=True)
    before = result(backend.submit(pid_of, None))
    assert not result(backend.submit(is_alive, before))


# What each worker holds.


def surroundings(names: list[str]) -> tuple[str | None, ...]:
    return tuple(os.environ.get(name) for name in names)


def seen_at_start(variable: str) -> Callable[[], None]:
    """Return an initializer that notes what a variable is before any job runs."""

    def initializer() -> None:
        os.environ["SEEN"] = os.environ.get(variable, "nothing")

    return initializer


def held(backend: ProcessBackend, gate: Path, names: list[str], count: int) -> set[tuple[str | None, ...]]:
    """Return what the environments of so many workers say, each asked once."""

    def look(_: Any) -> tuple[str | None, ...]:
        wait_at(str(gate))
        return surroundings(names)

    futures = [backend.submit(look, None) for _ in range(count)]
    until(lambda: len(list(gate.parent.glob(f"{gate.name}.*"))) == count, "all workers are at it")
    gate.touch()
    return {result(future) for future in futures}


def test_process_slots_are_in_each_workers_environment_from_its_start(start: Start, tmp_path: Path) -> None:
    """Each worker holds one slot: its variables, and its number, are there before anything is imported."""
    slots = {"env": [{"DEVICE": "left", "RATE": 2}, {"DEVICE": "right", "RATE": 0.5}]}
    backend = start(seen_at_start("DEVICE"), slots=slots)
    assert backend.capacity == 4
    seen = held(backend, tmp_path / "gate", ["DEVICE", "RATE", "SEEN", "PARCACHE_SLOT"], 2)
    assert seen == {("left", "2", "left", "0"), ("right", "0.5", "right", "1")}


def test_process_slot_of_a_dead_worker_comes_back(start: Start) -> None:
    """The next worker holds what the dead one held."""
    backend = start(slots={"gpus": ["GPU-4711"]})
    assert failure(backend.submit(die_by, "exit")).exit_code == 3
    assert result(backend.submit(surroundings, ["CUDA_VISIBLE_DEVICES", "PARCACHE_SLOT"])) == ("GPU-4711", "0")


def test_process_gpus_with_several_jobs_on_each_are_shared_out(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the GPUs that this process may use is held by so many workers."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,MIG-abc")
    backend = start(slots={"gpus": "auto", "jobs_per_gpu": 2})
    seen = held(backend, tmp_path / "gate", ["CUDA_VISIBLE_DEVICES", "PARCACHE_SLOT"], 4)
    assert seen == {("5", "0"), ("MIG-abc", "1"), ("5", "2"), ("MIG-abc", "3")}


def test_process_threads_of_libraries_are_limited_unless_they_are_set(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numeric libraries get the cores divided by the workers; what the user or the slot says comes first."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    monkeypatch.setattr("parcache.backends.machine.cores", lambda: 12)
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"]
    assert result(start(workers=4).submit(surroundings, names)) == ("3", "7", "3")
    assert result(start(workers=40).submit(surroundings, names)) == ("1", "7", "1")
    assert result(start(workers=4, threads=2).submit(surroundings, names)) == ("2", "7", "2")
    assert result(start(workers=4, threads=None).submit(surroundings, names)) == (None, "7", None)
    slots = {"env": [{"OMP_NUM_THREADS": 9}] * 4}
    assert result(start(slots=slots).submit(surroundings, names)) == ("9", "7", "3")


def test_process_worker_finds_the_environment_of_the_start_of_the_sweep(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a look at a job sets for a moment in the sweeping process is not for a worker that starts just then."""
    monkeypatch.setenv("SETTING", "before")
    backend = start(workers=1)
    monkeypatch.setenv("SETTING", "for a moment")
    assert result(backend.submit(surroundings, ["SETTING"])) == ("before",)


# Starts apart.


def test_stagger_keeps_starts_apart_by_its_gap() -> None:
    """The first start is at once, each other so long after the one before it; an idle time counts."""
    now = [100.0]
    stagger = Stagger(5.0, lambda: now[0])
    assert stagger.wait_s() == 0
    stagger.take()
    assert stagger.wait_s() == 5.0
    now[0] += 3
    assert stagger.wait_s() == 2.0
    now[0] += 30
    assert stagger.wait_s() == 0
    stagger.take()
    assert stagger.wait_s() == 5.0


def test_process_staggered_workers_start_one_after_the_other(start: Start, tmp_path: Path) -> None:
    """While the second worker may not start yet the first does what there is; it starts when it may."""
    backend = start(workers=2, stagger_s=1000)
    assert len({result(future) for future in [backend.submit(pid_of, None) for _ in range(8)]}) == 1
    backend = start(workers=2, stagger_s=0.2)
    first = held(backend, tmp_path / "gate", ["PARCACHE_SLOT"], 2)
    assert first == {("0",), ("1",)}
