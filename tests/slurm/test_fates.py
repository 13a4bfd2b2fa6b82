"""What can become of a job on a real Slurm, and what its sweep is told: with and without accounting."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from parcache.backends import About, Place, create
from parcache.backends.slurm.backend import SlurmBackend
from parcache.errors import NeverStartsError, NotVisibleError, SlurmEndedError, SubmissionError, WorkerDiedError
from tests.slurm.cluster import Cluster
from tests.slurm.configuration import TIGHT_QOS
from tests.slurm.counting import Calls
from tests.slurm.daemons import wait_for
from tests.slurm.requeueing import make_eligible

pytestmark = pytest.mark.any_hydra

DEADLINE_S = 300

Start = Callable[..., SlurmBackend]


def nothing() -> None:
    pass


@pytest.fixture
def start(cluster: Cluster, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return what starts a backend on the cluster, with a task of little memory; all are stopped at the end."""
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    monkeypatch.setenv("PATH", calls.env["PATH"])
    started: list[SlurmBackend] = []

    def start(retries: int = 0, sweep: str = "sweep", **settings: Any) -> SlurmBackend:
        backend = create("slurm", {"tasks": 1, "mem_gb": 0.3, **settings})
        assert isinstance(backend, SlurmBackend)
        started.append(backend)
        (tmp_path / sweep).mkdir(exist_ok=True)
        store = tmp_path / "store"
        backend.settle(Place("app", str(tmp_path / sweep), str(tmp_path), str(store), str(store / "slurm"), retries))
        backend.start(nothing)
        return backend

    yield start
    for backend in started:
        backend.stop(cancel=True)


def submitted(backend: SlurmBackend, function: Callable[[Any], Any], arguments: list[Any]) -> list[Future[Any]]:
    """Submit a batch as the schedule does."""
    futures = [backend.submit_job(function, each, About(number)) for number, each in enumerate(arguments)]
    backend.flush()
    return futures


def ended(future: Future[Any]) -> SlurmEndedError:
    error = future.exception(DEADLINE_S)
    assert isinstance(error, SlurmEndedError), error
    return error


def task_at_work(backend: SlurmBackend) -> str:
    """Return the array task that has a call, when one has."""
    spool = backend._spool
    assert spool is not None
    wait_for(lambda: bool(spool.starts()), "a job runs", DEADLINE_S)
    return spool.claims()[0].agent.rpartition("-")[0]


def has_accounting(cluster: Cluster) -> bool:
    return cluster.site.accounting


# What jobs do.


def twice(number: int) -> int:
    return 2 * number


def wait_for_file(path: str) -> str:
    with open(path + ".started", "a", encoding="ascii") as file:
        file.write(f"{os.environ['SLURM_JOB_ID']}\n")
    while not Path(path).exists():
        time.sleep(0.02)
    return "it came"


def crash_or(how: str) -> str:
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    return how


def eat(_: Any) -> int:
    eaten = []
    for _ in range(300):
        eaten.append(os.urandom(1 << 20) * 4)
        time.sleep(0.02)
    return len(eaten)


def rank(folder: str) -> str:
    number = os.environ["SLURM_PROCID"]
    Path(folder, f"rank{number}").touch()
    while len(os.listdir(folder)) < 2:  # as processes of one job wait for one another
        time.sleep(0.02)
    return number


def memory_of_this_job(_: Any) -> str:
    shown = subprocess.run(
        ["scontrol", "show", "job", os.environ["SLURM_JOB_ID"]], capture_output=True, text=True, check=True
    )
    return next(word for word in shown.stdout.split() if word.startswith("MinMemoryNode="))


def test_jobs_of_a_batch_are_one_array_and_slurm_is_hardly_asked(start: Start, calls: Calls) -> None:
    """However many jobs, they are submitted once, and their ends are read from files."""
    backend = start(tasks=3)
    began_s = time.monotonic()
    futures = submitted(backend, twice, list(range(60)))
    assert [future.result(DEADLINE_S) for future in futures] == [2 * number for number in range(60)]
    backend.stop(cancel=False)
    lasted_s = time.monotonic() - began_s
    assert calls.count("sbatch") == 1
    assert calls.count("squeue", "sacct") <= 1 + lasted_s  # the first look is after two seconds, then one each second
    assert calls.count("scancel") <= 1


def test_jobs_without_packing_have_a_task_each(start: Start, cluster: Cluster) -> None:
    """What a user who asks for nothing gets."""
    backend = start(tasks=None)
    futures = submitted(backend, twice, [1, 2, 3, 4])
    assert [future.result(DEADLINE_S) for future in futures] == [2, 4, 6, 8]
    assert backend._fleet is not None
    assert len(backend._fleet.tasks) == 4


def test_array_longer_than_the_site_allows_is_split(start: Start, calls: Calls) -> None:
    """Each part is an array of its own."""
    backend = start(tasks=None)
    backend._cluster._most = 4  # type: ignore[union-attr] # MaxArraySize, as if the site's were this
    futures = submitted(backend, twice, list(range(8)))
    assert [future.result(DEADLINE_S) for future in futures] == [2 * number for number in range(8)]
    assert calls.count("sbatch") == 3


def test_crash_of_a_packed_neighbour_costs_only_its_own_job(start: Start) -> None:
    """Two workers in one task: the death of one is nothing to the other."""
    backend = start(parallel_per_task=2, cpus_per_task=2)
    futures = submitted(backend, crash_or, ["a", "crash", "b", "crash", "c"])
    ends = [future.exception(DEADLINE_S) or future.result() for future in futures]
    assert [each for each in ends if isinstance(each, str)] == ["a", "b", "c"]
    assert all(isinstance(ends[index], WorkerDiedError) for index in (1, 3))


def test_jobs_that_need_different_memory_are_arrays_of_their_own(start: Start, calls: Calls) -> None:
    """Each job gets what it asked for."""
    backend = start(mem_gb=None)
    futures = [
        backend.submit_job(memory_of_this_job, None, About(number, None, {"mem_gb": size}))
        for number, size in enumerate([0.25, 0.5, 0.25])
    ]
    backend.flush()
    expected = [f"MinMemoryNode={size}M" for size in (256, 512, 256)]
    assert [future.result(DEADLINE_S) for future in futures] == expected
    assert calls.count("sbatch") == 2


def test_processes_of_one_allocation_all_run_the_job(start: Start, tmp_path: Path) -> None:
    """With tasks_per_node, each rank executes it, and the first one's answer counts."""
    backend = start(tasks_per_node=2)
    (tmp_path / "ranks").mkdir()
    (future,) = submitted(backend, rank, [str(tmp_path / "ranks")])
    assert future.result(DEADLINE_S) == "0"
    assert sorted(os.listdir(tmp_path / "ranks")) == ["rank0", "rank1"]


def test_job_that_is_scancelled_is_cancelled_by_name(start: Start, cluster: Cluster, tmp_path: Path) -> None:
    """Where accounting has it already, with the user who did it; what waited is not submitted again."""
    backend = start()
    running, waiting = submitted(backend, wait_for_file, [str(tmp_path / "never"), str(tmp_path / "not")])
    cluster.run("scancel", task_at_work(backend))
    for future in (running, waiting):
        error = ended(future)
        assert error.state == "CANCELLED"
        assert error.blames_job
        # squeue, which is asked while something waits, does not say by whom.
        assert error.reason in (("by user 0", "") if has_accounting(cluster) else ("",))


def test_job_that_takes_too_much_memory_is_out_of_memory(start: Start) -> None:
    """Whether the kernel ends it or Slurm does; the next job of the task runs."""
    backend = start()
    futures = submitted(backend, eat, [None])
    error = futures[0].exception(DEADLINE_S)
    if type(error) is WorkerDiedError:  # the kernel has ended the worker alone
        assert "memory runs out" in str(error)
    else:
        assert ended(futures[0]).state == "OUT_OF_MEMORY"
        assert "hydra.launcher.backend.mem_gb" in str(error)


@pytest.mark.parametrize("use_srun", [True, False])
def test_job_that_takes_too_long_has_timed_out(start: Start, tmp_path: Path, use_srun: bool) -> None:
    """The task is told before its time is over, or knows it; what else waits runs."""
    backend = start(timeout_min=1, use_srun=use_srun)
    long, short = submitted(backend, wait_for_file, [str(tmp_path / "never"), str(tmp_path / "there")])
    (tmp_path / "there").touch()
    error = ended(long)
    assert error.state == "TIMEOUT"
    assert "hydra.launcher.backend.timeout_min" in str(error)
    backend.stop(cancel=True)  # a requeued task starts two minutes later
    assert isinstance(short.exception(0), WorkerDiedError) or short.result(0) == "it came"


@pytest.mark.parametrize("retries", [0, 1])
def test_preempted_job_is_named_or_runs_again(start: Start, cluster: Cluster, tmp_path: Path, retries: int) -> None:
    """Within its retries it is given back and taken up by another task."""
    backend = start(retries, partition="low", tasks=2, nodelist=cluster.nodes[0], cpus_per_task=4)
    (future,) = submitted(backend, wait_for_file, [str(tmp_path / "file")])
    task_at_work(backend)
    urgent = ["--parsable", "--partition=main", f"--nodelist={cluster.nodes[0]}", "--exclusive", "--output=/dev/null"]
    job = cluster.run("sbatch", *urgent, "--wrap=sleep 300").strip()
    wait_for(lambda: f"{job} RUNNING" in "\n".join(cluster.queue()), "the urgent one runs", DEADLINE_S)
    if not retries:
        cluster.run("scancel", job)
        make_eligible(cluster)
        assert ended(future).state in ("PREEMPTED", "REQUEUED")
        return
    cluster.run("scancel", job)
    make_eligible(cluster)
    (tmp_path / "file").touch()
    assert future.result(DEADLINE_S) == "it came"
    assert len((tmp_path / "file.started").read_text().split()) == 2


def test_job_on_a_node_that_fails_is_named_or_runs_elsewhere(start: Start, cluster: Cluster, tmp_path: Path) -> None:
    """Slurm requeues its task on the other node: the job is taken up there, within its retries."""
    backend = start(1)
    (future,) = submitted(backend, wait_for_file, [str(tmp_path / "file")])
    task_at_work(backend)
    (node,) = {line.split()[3] for line in cluster.queue() if "RUNNING" in line}
    cluster.kill_node(node)
    wait_for(lambda: cluster.node_states()[node].startswith("down"), "the node is down", DEADLINE_S)
    make_eligible(cluster)
    (tmp_path / "file").touch()
    assert future.result(DEADLINE_S) == "it came"


def test_task_whose_agent_is_killed_loses_that_job_alone(start: Start, tmp_path: Path) -> None:
    """What it was at fails with Slurm's word for it; what waited runs in another task."""
    backend = start()
    lost, waiting = submitted(backend, wait_for_file, [str(tmp_path / "never"), str(tmp_path / "there")])
    (tmp_path / "there").touch()
    task_at_work(backend)
    assert backend._spool is not None
    (claim,) = backend._spool.claims()
    notes = json.loads(Path(backend._spool.folder, "agents", claim.agent).read_text())
    os.kill(notes["pid"], signal.SIGKILL)
    assert ended(lost).state == "FAILED"
    assert waiting.result(DEADLINE_S) == "it came"


def test_job_in_a_partition_that_is_down_waits_with_slurms_reason(
    start: Start, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told why, and runs when the partition is up."""
    backend = start(partition="down")
    with caplog.at_level(logging.WARNING, "parcache"):
        (future,) = submitted(backend, twice, [4])
        wait_for(lambda: "PartitionDown" in caplog.text, "the reason is told", DEADLINE_S)
        cluster.run("scontrol", "update", "partition=down", "state=up")
        try:
            assert future.result(DEADLINE_S) == 8
        finally:
            cluster.run("scontrol", "update", "partition=down", "state=down")


def test_job_beyond_a_limit_of_its_quality_of_service_waits_with_slurms_reason(
    start: Start, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """One task may run at a time: the second one's reason is told, and the first does all the work."""
    if not has_accounting(cluster):
        pytest.skip("limits need accounting")
    backend = start(tasks=2, qos=TIGHT_QOS)
    with caplog.at_level(logging.WARNING, "parcache"):
        futures = submitted(backend, time.sleep, [3, 3, 3])
        for future in futures:
            future.result(DEADLINE_S)
    assert "QOSMaxJobsPerUserLimit" in caplog.text


def test_job_that_asks_for_more_time_than_its_partition_gives_never_starts(start: Start) -> None:
    """It fails with Slurm's reason and the setting to change, and does not wait forever."""
    backend = start(partition="short", timeout_min=600)
    (future,) = submitted(backend, twice, [1])
    error = future.exception(DEADLINE_S)
    assert isinstance(error, (NeverStartsError, SubmissionError))
    assert "hydra.launcher.backend.timeout_min" in str(error)


def test_job_that_sbatch_refuses_fails_with_its_words(start: Start) -> None:
    """Every job of the batch, at once."""
    backend = start(partition="nowhere")
    for future in submitted(backend, twice, [1, 2]):
        error = future.exception(DEADLINE_S)
        assert isinstance(error, SubmissionError)
        assert "invalid partition specified: nowhere" in str(error)
        assert "hydra.launcher.backend.partition" in str(error)


def test_task_that_does_not_get_as_far_as_python_tells_why(start: Start) -> None:
    """A broken setup is not submitted again and again; the error has the shell's words."""
    backend = start(setup=["exec no-such-program"])
    (future,) = submitted(backend, twice, [1])
    assert "no-such-program" in str(future.exception(DEADLINE_S))


def test_interrupted_sweep_leaves_no_job_behind(start: Start, cluster: Cluster, calls: Calls, tmp_path: Path) -> None:
    """What runs and what waits is cancelled by one command."""
    backend = start(tasks=None, array_parallelism=2)
    futures = submitted(backend, wait_for_file, [str(tmp_path / f"never{number}") for number in range(6)])
    task_at_work(backend)
    backend.stop(cancel=True)
    assert all(isinstance(future.exception(0), WorkerDiedError) for future in futures)
    assert calls.count("scancel") == 1
    wait_for(lambda: cluster.queue() == [], "the queue is empty", DEADLINE_S)
    assert not os.listdir(tmp_path / "store" / "slurm")


def test_store_that_the_nodes_do_not_see_is_refused(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If the cluster's nodes were other machines, a store in the memory of this one would be no use."""
    from parcache.backends.slurm import visibility

    monkeypatch.setattr(visibility, "name_here", lambda: "login")
    monkeypatch.setattr(visibility, "_is_here", lambda node, here: False)
    monkeypatch.setattr(visibility, "mounts_here", lambda: [visibility.Mount("/", "tmpfs")])
    with pytest.raises(NotVisibleError, match=r"the store at .*check_paths=false"):
        start()
