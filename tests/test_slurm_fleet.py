"""The agents of a sweep by what a scheduler says of them: a cluster that says what the test wants stands in for it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from parcache.backends.slurm.clusters import Submitted
from parcache.backends.slurm.fleet import Fleet
from parcache.backends.slurm.settings import Resources, Settings, read_settings, resources
from parcache.backends.slurm.spool import Call, Spool, agent_name
from parcache.backends.slurm.states import GONE, State, state
from parcache.backends.slurm.visibility import Node
from parcache.errors import NeverStartsError, NoWorkerError, SlurmEndedError, SubmissionError

pytestmark = pytest.mark.any_hydra

OWN: dict[str, Any] = {
    "cluster": "slurm",
    "tasks": None,
    "jobs_per_task": None,
    "parallel_per_task": 1,
    "array_parallelism": None,
    "detach": False,
    "threads": "auto",
    "idle_s": 1,
    "python": None,
    "check_paths": True,
}


class Told:
    """A cluster that takes everything, or refuses it."""

    name = "told"

    def __init__(self) -> None:
        self.submitted: list[tuple[str, int]] = []
        self.refusal: SubmissionError | None = None
        self._ids = itertools.count(1)

    def submit(self, resources: Resources, command: str, number: int) -> list[Submitted]:
        if self.refusal is not None:
            raise self.refusal
        job = str(next(self._ids))
        self.submitted.append((job, number))
        return [Submitted(job, tuple(f"{job}_{index}" for index in range(number)))]

    def look(self, jobs: Collection[str], waits: bool) -> dict[str, State] | None:
        raise NotImplementedError

    def alive(self, jobs: Collection[str]) -> set[str] | None:
        raise NotImplementedError

    def nodes(self) -> list[Node]:
        return []

    def cancel(self, jobs: Collection[str], *, only_waiting: bool = False) -> None:
        raise NotImplementedError


class Stage:
    """A fleet on a spool, a cluster that does as it is told, and a clock that is set by hand."""

    def __init__(self, folder: Path, **changed: Any) -> None:
        self.spool = Spool(str(folder / "spool"))
        self.spool.create({})
        self.cluster = Told()
        self.now_s = 0.0
        self.settings: Settings = read_settings({**OWN, **changed}, {})
        self.fleet = Fleet(self.spool, self.cluster, self.settings, str(folder), retries=0, clock=lambda: self.now_s)
        self.numbers = itertools.count(1)

    def put(self, number: int = 1, **own: Any) -> int:
        """Queue so many calls that need the same; return their group."""
        group = self.fleet.group_of(resources(self.settings, own, "app")).number
        for _ in range(number):
            self.spool.put(group, Call(next(self.numbers)), b"")
        return group

    def start(self, task: str) -> str:
        """Let an agent start; return its name."""
        name = agent_name(task, 0)
        self.spool.greet(name, {})
        return name


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_fleet_submits_one_array_for_each_set_of_resources(stage: Stage) -> None:
    """Jobs that need the same are one array, however they came."""
    small = stage.put(3, mem_gb=1)
    large = stage.put(2, mem_gb=8)
    assert stage.put(1, mem_gb=1.0) == small != large
    assert stage.fleet.man() == {}
    assert stage.cluster.submitted == [("1", 4), ("2", 2)]
    assert {job: about["tasks"] for job, about in stage.spool.jobs().items()} == {"1": 4, "2": 2}


def test_fleet_asked_again_submits_nothing_more(stage: Stage) -> None:
    """What was submitted counts before Slurm has shown it."""
    stage.put(3)
    for _ in range(3):
        stage.fleet.man()
    assert stage.cluster.submitted == [("1", 3)]


def test_fleet_replaces_agents_that_ended_while_calls_wait(stage: Stage) -> None:
    """An agent whose time was over, and one that has left, are no help to what waits."""
    stage.put(3)
    stage.fleet.man()
    stage.fleet.take({"1_0": state("TIMEOUT"), "1_1": state("RUNNING"), "1_2": state("RUNNING")})
    stage.spool.leave(stage.start("1_1"))
    stage.fleet.man()
    assert stage.cluster.submitted == [("1", 3), ("2", 2)]


def test_fleet_of_agents_with_a_limit_submits_more_when_none_is_left(tmp_path: Path) -> None:
    """With jobs_per_task, what others did not live to take is taken by new ones."""
    stage = Stage(tmp_path, jobs_per_task=2)
    group = stage.put(5)
    stage.fleet.man()
    assert stage.cluster.submitted == [("1", 3)]
    for call in stage.spool.waiting(group)[:3]:
        stage.spool.claim(group, call, stage.start("1_0"))
    stage.fleet.man()
    assert len(stage.cluster.submitted) == 1
    stage.fleet.take({f"1_{index}": state("FAILED") for index in range(3)})
    stage.fleet.man()
    assert stage.cluster.submitted[1:] == [("2", 1)]


def test_fleet_whose_agents_do_not_get_to_work_gives_up(stage: Stage) -> None:
    """Agents that end before they have started anything are not submitted forever; the last one's words are told."""
    group = stage.put(1)
    for attempt in range(1, 4):
        assert stage.fleet.man() == {}
        Path(stage.fleet._logs, f"{attempt}_0_0_log.err").write_text(
            "bash: module: command not found\nsrun: error: n1: task 0: Exited with exit code 127\n"
        )
        stage.fleet.take({f"{attempt}_0": state("FAILED", "exit code 127")})
    (problem,) = stage.fleet.man().values()
    assert isinstance(problem, NoWorkerError)
    assert "FAILED exit code 127" in str(problem)
    assert "module: command not found" in str(problem)
    assert "srun" not in str(problem)
    assert "parcache doctor" in str(problem)
    assert len(stage.cluster.submitted) == 3
    assert [call.number for call in stage.spool.waiting(group)] == [1]


def test_fleet_that_somebody_has_cancelled_is_not_submitted_again(stage: Stage) -> None:
    """An administrator who cancels jobs does not want them."""
    group = stage.put(2)
    stage.fleet.man()
    stage.fleet.take({"1_0": state("CANCELLED by 0"), "1_1": state("CANCELLED by 0")})
    problem = stage.fleet.man()[group]
    assert isinstance(problem, SlurmEndedError)
    assert (problem.state, problem.reason) == ("CANCELLED", "by user 0")
    assert problem.blames_job


def test_fleet_waits_for_slurms_word_on_an_agent_that_was_told_to_end(stage: Stage) -> None:
    """Scancel ends the agent before Slurm shows that: what waits does not start meanwhile in another task."""
    group = stage.put(1)
    stage.fleet.man()
    stage.fleet.take({"1_0": state("RUNNING")})
    agent = stage.start("1_0")
    stage.spool.obey(agent)
    assert stage.fleet.man() == {}
    stage.fleet.take({"1_0": state("COMPLETING")})
    assert stage.fleet.man() == {}
    stage.fleet.take({"1_0": state("CANCELLED")})
    assert isinstance(stage.fleet.man()[group], SlurmEndedError)
    assert stage.cluster.submitted == [("1", 1)]


def test_fleet_does_not_wait_for_ever_for_slurms_word(stage: Stage) -> None:
    """Accounting that has lost the end of a task calls it running for good: then others take what waits."""
    stage.put(1)
    stage.fleet.man()
    stage.fleet.take({"1_0": state("RUNNING")})
    stage.spool.obey(stage.start("1_0"))
    for stage.now_s in (100, 130, 159):
        stage.fleet.take({"1_0": state("RUNNING")})
        assert stage.fleet.man() == {}
    assert stage.cluster.submitted == [("1", 1)]
    stage.now_s = 161
    stage.fleet.take({})
    (task,) = stage.fleet.fallen()
    assert stage.fleet.end_of(task).name == "UNKNOWN"
    assert stage.fleet.man() == {}
    assert stage.cluster.submitted == [("1", 1), ("2", 1)]


def test_fleet_waits_for_a_task_that_was_told_to_end_and_comes_back(stage: Stage) -> None:
    """A requeued task waits for two minutes, and longer: it is there for what waits."""
    stage.put(1)
    stage.fleet.man()
    stage.spool.obey(stage.start("1_0"))
    for stage.now_s in (100, 300):
        stage.fleet.take({"1_0": state("PENDING", "BeginTime")})
        assert stage.fleet.man() == {}
    assert stage.cluster.submitted == [("1", 1)]


def test_fleet_of_which_one_task_was_cancelled_goes_on(stage: Stage) -> None:
    """The others take what waits."""
    stage.put(2)
    stage.fleet.man()
    stage.start("1_1")
    stage.fleet.take({"1_0": state("CANCELLED by 0"), "1_1": state("RUNNING")})
    assert stage.fleet.man() == {}


def test_fleet_that_waits_for_what_never_comes_is_given_up(stage: Stage) -> None:
    """A limit that no job of this size can keep is an error with the setting to change."""
    group = stage.put(1)
    stage.fleet.man()
    problem = stage.fleet.take({"1_0": state("PENDING", "QOSMaxMemoryPerJob")})[group]
    assert isinstance(problem, NeverStartsError)
    assert "hydra.launcher.backend.mem_gb" in str(problem)


def test_fleet_that_waits_for_a_partition_that_does_not_fit_is_given_up_after_a_while(stage: Stage) -> None:
    """Answers of the accounting between those of the queue, which have no reason, do not start the time anew."""
    group = stage.put(1)
    stage.fleet.man()
    for now_s in range(0, 30, 5):
        stage.now_s = now_s
        assert stage.fleet.take({"1_0": state("PENDING", "PartitionConfig" if now_s % 2 == 0 else "")}) == {}
    stage.now_s = 30
    problem = stage.fleet.take({"1_0": state("PENDING", "PartitionConfig")})[group]
    assert isinstance(problem, NeverStartsError)
    assert "hydra.launcher.backend.nodes=N" in str(problem)


def test_fleet_whose_partition_fits_again_is_not_given_up(stage: Stage) -> None:
    """A partition that is being changed is waited for: the time counts from when it does not fit the last time."""
    stage.put(1)
    stage.fleet.man()
    for now_s, seen in (
        (0, state("PENDING", "PartitionConfig")),
        (29, state("PENDING", "Resources")),
        (40, state("PENDING", "PartitionConfig")),
        (60, state("PENDING", "PartitionConfig")),
        (65, state("RUNNING")),
        (90, state("PENDING", "PartitionConfig")),  # it was requeued
    ):
        stage.now_s = now_s
        assert stage.fleet.take({"1_0": seen}) == {}


def test_fleet_of_which_some_have_started_is_not_given_up_for_those_that_never_will(stage: Stage) -> None:
    """A limit that was set meanwhile keeps the others out; the one that runs takes what waits."""
    group = stage.put(2)
    stage.fleet.man()
    waits = state("PENDING", "PartitionTimeLimit")
    assert stage.fleet.take({"1_0": waits, "1_1": state("RUNNING")}) == {}
    assert list(stage.fleet.take({"1_0": waits, "1_1": state("COMPLETED")})) == [group]


def test_fleet_that_waits_for_somebody_to_act_says_so_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A partition that is down is told by its name, and waited for."""
    stage.put(2)
    stage.fleet.man()
    with caplog.at_level(logging.WARNING, "parcache"):
        for _ in range(3):
            found = {f"1_{index}": state("PENDING", "PartitionDown") for index in range(2)}
            assert stage.fleet.take(found) == {}
        stage.fleet.take({"1_0": state("PENDING", "Resources"), "1_1": state("PENDING", "Priority")})
    assert [record.getMessage() for record in caplog.records] == [
        "Slurm job 1 waits: PartitionDown. Choose another partition: hydra.launcher.backend.partition=NAME"
    ]


def test_fleet_refused_by_sbatch_has_its_words(stage: Stage) -> None:
    """What sbatch says is the reason, for the jobs of that group alone."""
    group = stage.put(1)
    stage.cluster.refusal = SubmissionError("invalid partition specified: nope", "", "Choose another")
    assert stage.fleet.man() == {group: stage.cluster.refusal}
    assert stage.cluster.refusal.__traceback__ is None


def test_task_that_slurm_has_not_shown_yet_is_not_lost(stage: Stage) -> None:
    """Accounting learns of a job late; one that it never shows has ended at last."""
    stage.put(1)
    stage.fleet.man()
    stage.fleet.take({})
    assert not stage.fleet.tasks["1_0"].has_ended
    stage.now_s = 61
    stage.fleet.take({})
    assert stage.fleet.tasks["1_0"].state == GONE


def test_task_that_slurm_calls_preempted_may_come_back(stage: Stage) -> None:
    """It says so for a moment of what it requeues; what stays so has ended."""
    stage.put(1)
    stage.fleet.man()
    stage.fleet.take({"1_0": state("PREEMPTED")})
    assert not stage.fleet.tasks["1_0"].has_ended
    stage.fleet.take({"1_0": state("PENDING", "BeginTime")})
    stage.now_s = 30
    stage.fleet.take({"1_0": state("PREEMPTED")})
    assert not stage.fleet.tasks["1_0"].has_ended
    stage.now_s = 40
    stage.fleet.take({"1_0": state("PREEMPTED")})
    assert stage.fleet.tasks["1_0"].has_ended


def test_end_of_a_task_that_slurm_calls_failed_is_what_its_log_says(stage: Stage) -> None:
    """A step that was killed for its memory makes a job that has failed."""
    stage.put(1)
    stage.fleet.man()
    stage.fleet.take({"1_0": state("FAILED", "exit code 9")})
    (task,) = stage.fleet.fallen()
    assert stage.fleet.end_of(task).name == "FAILED"
    Path(stage.fleet._logs, "1_0_0_log.err").write_text("slurmstepd: error: Exceeded job memory limit\n")
    assert stage.fleet.end_of(task).name == "OUT_OF_MEMORY"
