"""The backend ``dask`` on a scheduler and workers that run already: calls, their ends, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, Scheduler, SpecCluster

from parcache.backends import About, create
from parcache.backends.dask import connection, relay, watch
from parcache.backends.dask.backend import DaskBackend
from parcache.errors import (
    DaskVersionError,
    DaskWorkersRefusedError,
    NoDaskResourcesError,
    NoDaskWorkerError,
    SchedulerLostError,
    SettingError,
    WorkerDiedError,
)
from tests.dask_clusters import DEADLINE_S, Processes, is_alive, until

pytestmark = [
    pytest.mark.any_hydra,
    # Of Dask itself: sockets and loops that it leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Start = Callable[..., DaskBackend]


def nothing() -> None:
    pass


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A scheduler and two workers with one thread each, one of them with a GPU, that no test harms."""
    processes = Processes(tmp_path_factory.mktemp("shared"))
    processes.worker("--resources", "GPU=1", "--name", "with-gpu")
    processes.worker("--name", "without")
    with Client(processes.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=DEADLINE_S)
    yield processes
    processes.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Processes]:
    """A scheduler for one test, and workers as it wants them."""
    processes = Processes(tmp_path)
    yield processes
    processes.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Return what starts a backend with some settings; every one is stopped at the end."""
    started: list[DaskBackend] = []

    def start(initializer: Callable[[], None] = nothing, **settings: Any) -> DaskBackend:
        backend = create("dask", {"worker_resources": None, **settings})
        assert isinstance(backend, DaskBackend)
        started.append(backend)
        backend.start(initializer)
        return backend

    yield start
    for backend in started:
        backend.stop(cancel=True)


def sleeping(folder: Path) -> Callable[[float], None]:
    """Return a function that notes its process and that of a program that it starts, then sleeps."""

    def sleep(seconds: float) -> None:
        program = subprocess.Popen(["sleep", "600"])
        with (folder / "part").open("w") as file:
            file.write(f"{os.getpid()} {program.pid}")
        os.replace(folder / "part", folder / "pids")
        time.sleep(seconds)

    return sleep


def pids_in(folder: Path) -> list[int]:
    until((folder / "pids").exists, "the call runs")
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def test_dask_calls_come_back_with_results_and_errors(shared: Processes, start: Start) -> None:
    """A call's result is its future's, and what it raises, with its type; neither touches the others."""

    def half(number: int) -> float:
        if number == 3:
            raise ZeroDivisionError("of three")
        return number / 2

    backend = start(address=shared.address)
    futures = [backend.submit(half, number) for number in range(6)]
    assert [futures[number].result(DEADLINE_S) for number in (0, 1, 2, 4, 5)] == [0, 0.5, 1, 2, 2.5]
    with pytest.raises(ZeroDivisionError, match="of three"):
        futures[3].result(DEADLINE_S)


def test_dask_call_that_cannot_be_pickled_fails_alone(shared: Processes, start: Start) -> None:
    """An argument or a result that cannot travel fails its call, and no other."""
    backend = start(address=shared.address)
    there, back = backend.submit(str, threading.Lock()), backend.submit(lambda _: threading.Lock(), None)
    assert backend.submit(str, 1).result(DEADLINE_S) == "1"
    for future in (there, back):
        with pytest.raises(TypeError, match="cannot pickle"):
            future.result(DEADLINE_S)


def test_dask_calls_execute_in_main_threads_of_processes_of_their_own(shared: Processes, start: Start) -> None:
    """What a call does to its process it does not do to the Dask worker: it has another one, and its main thread."""

    def where(_: object) -> tuple[int, bool]:
        time.sleep(0.2)
        return os.getpid(), threading.current_thread() is threading.main_thread()

    backend = start(address=shared.address)
    found = [future.result(DEADLINE_S) for future in [backend.submit(where, None) for _ in range(4)]]
    assert all(is_main for _, is_main in found)
    pids = {pid for pid, _ in found}
    assert len(pids) == 2
    assert not pids & {os.getpid(), *(worker.pid for worker in shared.workers)}


def test_dask_initializer_is_called_once_in_each_process(shared: Processes, start: Start) -> None:
    """Every process that executes calls has called the initializer before, once."""

    def initialize() -> None:
        os.environ["INITIALIZED"] = os.environ.get("INITIALIZED", "") + "+"

    backend = start(initialize, address=shared.address)
    futures = [backend.submit(lambda _: os.environ["INITIALIZED"], None) for _ in range(6)]
    assert {future.result(DEADLINE_S) for future in futures} == {"+"}


def test_dask_variables_of_the_key_are_found_as_they_are_here(
    shared: Processes, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that belongs to keys has in every worker the value that it has here, or none."""
    monkeypatch.setenv("SEED", "7")
    monkeypatch.delenv("HOME")
    backend = create("dask", {"address": shared.address, "worker_resources": None})
    assert isinstance(backend, DaskBackend)
    assert backend.environment(["SEED", "HOME"]) == {}
    backend.start(nothing)
    try:
        found = backend.submit(lambda _: (os.environ.get("SEED"), os.environ.get("HOME")), None)
        assert found.result(DEADLINE_S) == ("7", None)
    finally:
        backend.stop(cancel=True)


def test_dask_call_that_kills_its_process_fails_alone(shared: Processes, start: Start) -> None:
    """A call whose process is killed says how; the Dask worker that had it goes on with others."""
    backend = start(address=shared.address)
    killed = backend.submit(lambda _: os.kill(os.getpid(), signal.SIGKILL), None)
    others = [backend.submit(str, number) for number in range(4)]
    with pytest.raises(WorkerDiedError, match="SIGKILL") as caught:
        killed.result(DEADLINE_S)
    assert caught.value.exit_code == -signal.SIGKILL
    assert [other.result(DEADLINE_S) for other in others] == ["0", "1", "2", "3"]


def test_dask_killed_call_ends_with_what_it_has_started(shared: Processes, start: Start, tmp_path: Path) -> None:
    """kill() ends the call's process and its programs; calls beside it do not notice."""
    backend = start(address=shared.address)
    future = backend.submit(sleeping(tmp_path), 600)
    pids = pids_in(tmp_path)
    beside = backend.submit(str, 1)
    backend.kill(future)
    with pytest.raises(WorkerDiedError, match="it was stopped"):
        future.result(DEADLINE_S)
    assert beside.result(DEADLINE_S) == "1"
    until(lambda: not any(map(is_alive, pids)), "its processes end")


def test_dask_killed_call_that_waits_never_starts(shared: Processes, start: Start, tmp_path: Path) -> None:
    """kill() of a call that no worker has begun takes it back."""

    def touch(name: str) -> None:
        (tmp_path / name).touch()

    backend = start(address=shared.address)
    running = [backend.submit(time.sleep, 600) for _ in range(2)]
    until(lambda: all(future.running() for future in running), "both workers are busy")
    waiting = backend.submit(touch, "touched")
    assert not waiting.running()
    backend.kill(waiting)
    with pytest.raises(WorkerDiedError):
        waiting.result(DEADLINE_S)
    for future in running:
        backend.kill(future)
    wait(running, DEADLINE_S)
    assert backend.submit(str, 1).result(DEADLINE_S) == "1"
    assert not (tmp_path / "touched").exists()


def test_dask_running_time_counts_while_a_call_runs(shared: Processes, start: Start) -> None:
    """running_s() is None for a call that waits or has ended, and counts from its start."""
    backend = start(address=shared.address)
    running = [backend.submit(time.sleep, 600) for _ in range(2)]
    waiting = backend.submit(str, 1)
    until(lambda: all(backend.running_s(future) for future in running), "both run")
    first = backend.running_s(running[0])
    assert first is not None
    until(lambda: (backend.running_s(running[0]) or 0) > first, "time passes")
    assert backend.running_s(waiting) is None
    backend.kill(running[0])
    assert waiting.result(DEADLINE_S) == "1"
    assert backend.running_s(running[0]) is None


def test_dask_call_with_resources_goes_where_they_are(shared: Processes, start: Start) -> None:
    """A call that wants a GPU is executed by the worker that has one, also where each call says so itself."""
    with Client(shared.address, set_as_default=False) as client:
        by_name = {told["name"]: told["pid"] for told in _workers(client)}
    backend = start(address=shared.address, worker_resources={"GPU": 1})
    assert not hasattr(backend, "submit_job")
    futures = [backend.submit(lambda _: os.getppid(), None) for _ in range(4)]
    assert {future.result(DEADLINE_S) for future in futures} == {by_name["with-gpu"]}
    backend.stop(cancel=False)
    each = create("dask", {"address": shared.address})
    assert isinstance(each, DaskBackend)
    each.start(nothing)
    try:
        about = About(0, settings={"worker_resources": {"GPU": 1}})
        futures = [each.submit_job(lambda _: os.getppid(), None, about) for _ in range(4)]
        assert {future.result(DEADLINE_S) for future in futures} == {by_name["with-gpu"]}
    finally:
        each.stop(cancel=True)


def _workers(client: Client) -> list[dict[str, Any]]:
    told = client.run(lambda dask_worker: {"name": dask_worker.name, "pid": os.getpid()})
    return list(told.values())


def test_dask_call_with_resources_that_nobody_has_fails(shared: Processes, start: Start) -> None:
    """Calls that no worker will ever take fail, and the message says why."""
    backend = start(address=shared.address, worker_resources={"TPU": 1}, wait_s=0.1)
    with pytest.raises(NoDaskResourcesError, match=r"None of the 2 workers .*dask worker .*--resources 'TPU=1'"):
        backend.submit(str, 1).result(DEADLINE_S)


def test_dask_call_with_resources_on_a_local_cluster_fails_at_once(start: Start) -> None:
    """The workers of the local cluster have none, and those that come later neither: no time is given."""
    backend = start(workers=1, worker_resources={"GPU": 1}, wait_s=None)
    with pytest.raises(NoDaskResourcesError, match="None of the 1 workers of the local Dask cluster"):
        backend.submit(str, 1).result(DEADLINE_S)


def test_dask_calls_of_which_one_finds_its_resources_are_not_given_up(own: Processes) -> None:
    """What other calls take does not count for those that a worker can take, though busy with another."""
    own.worker("--resources", "GPU=1")
    with Client(own.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=DEADLINE_S)
    backend = create("dask", {"address": own.address, "wait_s": 0.1})
    assert isinstance(backend, DaskBackend)
    backend.start(nothing)
    try:
        running = backend.submit_job(time.sleep, 2.5, About(0, settings={"worker_resources": {"GPU": 1}}))
        waiting = backend.submit_job(str, 1, About(1, settings={"worker_resources": {"GPU": 1}}))
        hopeless = backend.submit_job(str, 1, About(2, settings={"worker_resources": {"TPU": 1}}))
        assert running.result(DEADLINE_S) is None
        assert waiting.result(DEADLINE_S) == "1"
        with pytest.raises(NoDaskResourcesError, match="TPU=1"):
            hopeless.result(DEADLINE_S)
    finally:
        backend.stop(cancel=True)


def test_dask_stop_leaves_a_scheduler_that_is_not_ours_as_it_was(
    shared: Processes, start: Start, tmp_path: Path
) -> None:
    """What ran is ended, and no plugin, process or task of the sweep is left; others' results are."""
    with Client(shared.address, set_as_default=False) as client:
        theirs = client.submit(sum, (1, 2))
        backend = start(address=shared.address)
        running, waiting = backend.submit(sleeping(tmp_path), 600), backend.submit(time.sleep, 600)
        pids = pids_in(tmp_path)
        backend.stop(cancel=True)
        backend.stop(cancel=True)
        for future in (running, waiting):
            with pytest.raises(WorkerDiedError):
                future.result(DEADLINE_S)
        until(lambda: not any(map(is_alive, pids)), "its processes end")
        plugins = client.run(lambda dask_worker: [name for name in dask_worker.plugins if "parcache" in name])
        assert list(plugins.values()) == [[], []]
        until(lambda: client.run_on_scheduler(_tasks) == [theirs.key], "its tasks are forgotten")
        assert theirs.result() == 3
        assert not client.run_on_scheduler(_topics)
    assert all(worker.poll() is None for worker in shared.workers)


def _tasks(dask_scheduler: Any) -> list[str]:
    return list(dask_scheduler.tasks)


def _topics(dask_scheduler: Any) -> list[str]:
    return [topic for topic in dask_scheduler._broker._topics if "parcache" in topic]


def test_dask_worker_of_another_version_is_told_of_once(
    shared: Processes, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What differs between the sweeping process and the workers is one warning; another Python fails the calls."""
    here = relay.versions()
    monkeypatch.setattr(relay, "versions", lambda: {**here, "cloudpickle": "0.1"})
    backend = start(address=shared.address)
    assert [backend.submit(str, number).result(DEADLINE_S) for number in range(4)] == ["0", "1", "2", "3"]
    until(lambda: "Versions differ" in caplog.text, "it is told")
    told = f"cloudpickle {here['cloudpickle']} (here 0.1)"
    assert caplog.text.count("Versions differ") == caplog.text.count(told) == 1
    # Past the first look, as of a worker that comes later.
    monkeypatch.setattr(relay, "versions", lambda: {**here, "python": "3.1"})
    monkeypatch.setattr(connection, "_check_versions", lambda found, here: None)
    backend = start(address=shared.address)
    with pytest.raises(
        DaskVersionError, match=r"Dask worker at tcp:.* has Python .*, the sweeping process Python 3\.1"
    ):
        backend.submit(str, 1).result(DEADLINE_S)


def test_dask_stop_without_cancel_waits_for_the_calls(shared: Processes, start: Start) -> None:
    """stop(cancel=False) lets what was submitted end."""
    backend = start(address=shared.address)
    futures = [backend.submit(lambda number: time.sleep(0.3) or number, number) for number in range(3)]
    backend.stop(cancel=False)
    assert [future.result(0) for future in futures] == [0, 1, 2]


def test_dask_calls_of_two_sweeps_share_a_cluster(shared: Processes, start: Start) -> None:
    """Two backends on one cluster have processes of their own, and one that stops leaves the other's alone."""
    one, two = start(address=shared.address), start(address=shared.address)
    pids = [backend.submit(lambda _: os.getpid(), None).result(DEADLINE_S) for backend in (one, two)]
    assert pids[0] != pids[1]
    one.stop(cancel=True)
    assert two.submit(str, 1).result(DEADLINE_S) == "1"


def test_dask_worker_killed_fails_the_call_and_ends_its_process(own: Processes, start: Start, tmp_path: Path) -> None:
    """A Dask worker that is killed costs the call that it had, once: Dask does not run it again, nor goes it on."""
    first = own.worker()
    backend = start(address=own.address)
    future = backend.submit(sleeping(tmp_path), 600)
    pids = pids_in(tmp_path)
    until(future.running, "the call is known to run")
    (tmp_path / "pids").unlink()
    own.worker()
    first.kill()
    with pytest.raises(WorkerDiedError, match="lost") as caught:
        future.result(DEADLINE_S)
    assert caught.value.was_ready
    if (tmp_path / "pids").exists():  # Dask had begun it once more
        pids += pids_in(tmp_path)
    until(lambda: not any(map(is_alive, pids)), "what the call was ends with its Dask worker")
    assert backend.submit(str, 1).result(DEADLINE_S) == "1"


def test_dask_call_that_waited_at_a_killed_worker_runs_at_another(own: Processes, start: Start) -> None:
    """What a lost Dask worker had not begun is not failed by its death."""
    own.worker()
    backend = start(address=own.address)
    running = backend.submit(time.sleep, 600)
    until(running.running, "the call is known to run")
    waiting = backend.submit(str, 1)
    own.worker()
    own.workers[0].kill()
    assert waiting.result(DEADLINE_S) == "1"
    with pytest.raises(WorkerDiedError):
        running.result(DEADLINE_S)


def test_dask_scheduler_lost_fails_all_and_what_comes_after(own: Processes, start: Start) -> None:
    """Without its scheduler nothing can run: calls fail and name it, those that are submitted later too."""
    own.worker()
    backend = start(address=own.address)
    futures = [backend.submit(time.sleep, 600) for _ in range(3)]
    until(futures[0].running, "the call is known to run")
    own.scheduler.kill()
    for future in [*futures, backend.submit(str, 1)]:
        with pytest.raises(SchedulerLostError, match=own.address):
            future.result(DEADLINE_S)
    backend.stop(cancel=True)


def test_dask_calls_without_a_worker_fail_when_none_comes(own: Processes, start: Start) -> None:
    """Where no worker comes in time, the calls fail and name the cluster; where one does, they run."""
    backend = start(address=own.address, wait_s=0.1)
    with pytest.raises(NoDaskWorkerError, match=r"No worker of tcp://127.* for 0\.1 s: its scheduler answers"):
        backend.submit(str, 1).result(DEADLINE_S)
    patient = start(address=own.address)
    future = patient.submit(str, 1)
    own.worker(nthreads=2)
    assert future.result(DEADLINE_S) == "1"
    until(lambda: patient.workers == 2, "it is known how many work")
    assert patient.capacity == 4


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Return what makes a cluster of Slurm jobs where Slurm's commands are these shell scripts."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def cluster(**scripts: str) -> dict[str, Any]:
        for name, text in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}")
            (folder / name).chmod(0o755)
        here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        slurm = {"_target_": "dask_jobqueue.SLURMCluster", "cores": 1, "memory": "300MB", "queue": "nope"}
        return {**slurm, "scheduler_options": here, "local_directory": str(tmp_path), "log_directory": str(tmp_path)}

    return cluster


@pytest.fixture
def refusing(commands: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return a cluster of Slurm jobs whose sbatch refuses the partition, as Slurm's own says it."""
    return commands(
        sbatch="echo 'sbatch: error: invalid partition specified: nope' >&2\n"
        "echo 'sbatch: error: Batch job submission failed: Invalid partition name specified' >&2\n"
        "exit 1\n"
    )


@pytest.mark.parametrize(
    ("size", "arguments"),
    [({"scale": 2}, {}), ({"adapt": {"minimum": 0, "maximum": 2}}, {}), ({}, {"n_workers": 2})],
    ids=["scale", "adapt", "n_workers"],
)
def test_dask_workers_that_a_batch_system_refuses_fail_the_calls_at_once(
    refusing: dict[str, Any],
    start: Start,
    size: dict[str, Any],
    arguments: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What the batch system says is the message; nothing is waited for, and the cluster ends in order."""
    backend = start(cluster={**refusing, **arguments}, wait_s=None, **size)
    told = "refused: sbatch: error: invalid partition specified: nope; sbatch: error: Batch job submission failed"
    with pytest.raises(DaskWorkersRefusedError, match=told):
        backend.submit(str, 1).result(DEADLINE_S)
    assert "#SBATCH -p nope" in caplog.text
    made = backend._connection.watch._cluster  # type: ignore[union-attr]
    backend.stop(cancel=True)
    assert made.status.name == "closed"


@pytest.fixture
def starting(
    commands: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, Any]]:
    """Return a cluster of Slurm jobs that run here, whose workers are soon taken for lost."""
    monkeypatch.setattr(watch, "_REPLACE_S", 0.1)
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "100ms"}):
        cluster = commands(
            sbatch=f'own=$(mktemp {tmp_path}/submitted.XXXXXX); cp "$1" "$own"\n'
            'setsid sh "$own" >/dev/null 2>&1 &\necho "Submitted batch job $!"\n',
            scancel='kill -9 -- "-$1"\n',
        )
        yield {**cluster, "interface": "lo"}


def test_dask_worker_that_ends_before_it_is_seen_is_asked_for_again(starting: dict[str, Any], start: Start) -> None:
    """A cluster of a fixed size does not do so itself, and a worker that comes and goes is in no answer of its."""
    backend = start(cluster=starting, scale=1)
    looks = backend._connection.watch  # type: ignore[union-attr]
    looks.stop()
    with pytest.raises(WorkerDiedError, match="the Dask worker that had it was lost"):
        backend.submit(_end_slurm_job, None).result(DEADLINE_S)
    looks.start()
    assert backend.submit(str, 1).result(DEADLINE_S) == "1"


def test_dask_workers_of_a_job_that_has_several_are_asked_for_again_when_it_ends(
    starting: dict[str, Any], start: Start
) -> None:
    """Dask looks for a job by its worker's name, which such a job has not; and of what comes up no more is asked."""
    backend = start(cluster={**starting, "cores": 2, "processes": 2}, scale=2)
    assert backend.submit(str, 0).result(DEADLINE_S) == "0"
    until(lambda: backend.workers == 2, "both of its workers are there")
    with pytest.raises(WorkerDiedError, match="the Dask worker that had it was lost"):
        backend.submit(_end_slurm_job, None).result(DEADLINE_S)
    assert backend.submit(str, 1).result(DEADLINE_S) == "1"
    made = backend._connection.watch._cluster  # type: ignore[union-attr]
    assert len(made.workers) == 1


def test_dask_workers_that_have_ended_are_not_asked_for_where_there_is_nothing_to_do(
    starting: dict[str, Any], start: Start, tmp_path: Path
) -> None:
    """A backend that is kept open does not renew its jobs; the next call does."""
    backend = start(cluster=starting, scale=1)
    with pytest.raises(WorkerDiedError, match="the Dask worker that had it was lost"):
        backend.submit(_end_slurm_job, None).result(DEADLINE_S)
    time.sleep(3)  # three looks, each later than the time after which it would be asked for
    assert len(list(tmp_path.glob("submitted.*"))) == 1
    assert backend.submit(str, 1).result(DEADLINE_S) == "1"
    assert len(list(tmp_path.glob("submitted.*"))) == 2


def _end_slurm_job(_: None) -> None:
    os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)
    time.sleep(DEADLINE_S)


class Given(SpecCluster):
    """A cluster of one worker that cannot make others, as an SSHCluster of one host is."""

    def __init__(self) -> None:
        options = {"host": "127.0.0.1", "dashboard": False}
        worker = {"cls": "distributed.Nanny", "options": {"host": "127.0.0.1", "nthreads": 1}}
        super().__init__(workers={0: worker}, scheduler={"cls": Scheduler, "options": options})


def test_dask_cluster_that_cannot_make_workers_is_refused_more_than_it_has(start: Start) -> None:
    """As many as it has is fine; Dask itself would fail where nobody sees it, each time that it is asked."""
    cluster = {"_target_": f"{__name__}.Given"}
    assert start(cluster=cluster, scale=1).submit(str, 1).result(DEADLINE_S) == "1"
    with pytest.raises(SettingError, match="at most 1: "):
        start(cluster=cluster, scale=2)


def test_dask_cluster_leaves_no_variables_behind(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nanny limits the threads of the process that makes it for good: no later sweep there is to run by that."""
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = dict(os.environ)
    backend = start(cluster={"_target_": f"{__name__}.Given"}, scale=1)
    assert backend.submit(str, 1).result(DEADLINE_S) == "1"
    assert dict(os.environ) != before
    backend.stop(cancel=True)
    assert dict(os.environ) == before


def test_dask_scheduler_that_does_not_answer_is_refused(start: Start) -> None:
    """An address at which nobody is is a wrong setting."""
    with pytest.raises(SettingError, match=r"hydra\.launcher\.backend\.address is 'tcp://127\.0\.0\.1:9'; expected"):
        start(address="tcp://127.0.0.1:9")


def test_dask_scheduler_is_found_by_its_file(shared: Processes, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """In place of an address, the file that the scheduler writes; of a dashboard that it has not, nothing is told."""
    with caplog.at_level("INFO"):
        assert start(address=str(shared.file)).submit(str, 1).result(DEADLINE_S) == "1"
    assert "dashboard" not in caplog.text


def test_dask_dashboard_of_a_scheduler_that_has_one_is_told(
    tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it is, once, also where it can only say that bokeh is missing."""
    shown = Processes(tmp_path, "--dashboard-address", "127.0.0.1:0")
    try:
        with caplog.at_level("INFO"):
            start(address=shown.address)
        assert caplog.text.count("Dask dashboard: http://127.0.0.1:") == 1
    finally:
        shown.close()


def test_dask_process_that_forgets_to_stop_leaves_nothing(own: Processes, tmp_path: Path) -> None:
    """A sweeping process that ends without stop(), even by SIGKILL, leaves no process of its calls."""
    own.worker()
    program = f"""
import os, sys, time
from parcache.backends import create
from tests.test_dask_backend import nothing, sleeping
from pathlib import Path
backend = create("dask", {{"address": {own.address!r}, "worker_resources": None}})
backend.start(nothing)
future = backend.submit(sleeping(Path({str(tmp_path)!r})), 600)
while not os.path.exists({str(tmp_path / "pids")!r}):
    time.sleep(0.02)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=DEADLINE_S, capture_output=True)
    pids = pids_in(tmp_path)
    until(lambda: not any(map(is_alive, pids)), "what its calls were ends")
    with Client(own.address, set_as_default=False) as client, suppress(OSError):
        assert client.run_on_scheduler(_tasks) == []
