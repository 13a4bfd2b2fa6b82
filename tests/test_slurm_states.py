"""What Slurm's commands print, as values."""

from __future__ import annotations

import pytest

from parcache.backends.slurm import states
from parcache.backends.slurm.logs import AGAIN, last_words, reason_in, told_by
from parcache.backends.slurm.states import Phase, State, read_sacct, read_squeue, state, tasks

pytestmark = pytest.mark.any_hydra


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("12", ["12"]),
        ("12_3", ["12_3"]),
        ("12_[0-2]", ["12_0", "12_1", "12_2"]),
        ("12_[0-1,5,7-8%4]", ["12_0", "12_1", "12_5", "12_7", "12_8"]),
        ("12_[0-6:3]", ["12_0", "12_3", "12_6"]),
    ],
)
def test_tasks_of_what_slurm_shows_as_one_are_all_named(shown: str, expected: list[str]) -> None:
    """An array whose tasks wait is one line: it stands for all of them."""
    assert list(tasks(shown)) == expected


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("PENDING", Phase.PENDING),
        ("REQUEUED", Phase.PENDING),
        ("RUNNING", Phase.RUNNING),
        ("COMPLETING", Phase.RUNNING),
        ("SUSPENDED", Phase.RUNNING),
        ("SOMETHING_NEW", Phase.RUNNING),
        ("COMPLETED", Phase.ENDED),
        ("CANCELLED by 1000", Phase.ENDED),
        ("CANCELLED+", Phase.ENDED),
        ("OUT_OF_MEMORY", Phase.ENDED),
        ("TIMEOUT", Phase.ENDED),
        ("PREEMPTED", Phase.ENDED),
        ("NODE_FAIL", Phase.ENDED),
    ],
)
def test_state_by_slurms_name_has_its_phase(name: str, phase: Phase) -> None:
    """Only what Slurm calls ended has ended: a name that is not known may be that of something that runs."""
    assert state(name).phase is phase


def test_sacct_answer_has_each_task_with_its_end() -> None:
    """Who cancelled a job and the code that it ended with are told; steps are passed over."""
    text = (
        "7_0|COMPLETED|0:0\n7_0.batch|COMPLETED|0:0\n7_1|FAILED|2:0\n7_2|CANCELLED by 1000|0:15\n7_[3-4]|PENDING|0:0\n"
    )
    assert read_sacct(text) == {
        "7_0": State(Phase.ENDED, "COMPLETED"),
        "7_1": State(Phase.ENDED, "FAILED", "exit code 2"),
        "7_2": State(Phase.ENDED, "CANCELLED", "by user 1000"),
        "7_3": State(Phase.PENDING, "PENDING"),
        "7_4": State(Phase.PENDING, "PENDING"),
    }


def test_squeue_answer_has_the_reason_why_a_task_waits() -> None:
    """Of what has ended or runs, reasons that say no more than the state are left out."""
    text = "9_[1-2%8]|PENDING|PartitionDown\n9_0|RUNNING|None\n8|TIMEOUT|TimeLimit\n"
    assert read_squeue(text) == {
        "9_1": State(Phase.PENDING, "PENDING", "PartitionDown"),
        "9_2": State(Phase.PENDING, "PENDING", "PartitionDown"),
        "9_0": State(Phase.RUNNING, "RUNNING"),
        "8": State(Phase.ENDED, "TIMEOUT"),
    }


@pytest.mark.parametrize("text", ["", "\n", "|", "garbage\n", "1_x|RUNNING|None\n"])
def test_answers_that_make_no_sense_are_no_error(text: str) -> None:
    """Nothing is concluded from what Slurm does not say."""
    assert all(each.phase is Phase.RUNNING for each in {**read_squeue(text), **read_sacct(text)}.values())


@pytest.mark.parametrize(
    "reason",
    [
        "BadConstraints",
        "PartitionTimeLimit",
        "PartitionNodeLimit",
        "QOSMaxCpuPerJobLimit",
        "AssocMaxWallDurationPerJobLimit",
        "QOSMaxMemoryPerNode",
        "InvalidAccount",
        "InvalidQOS",
        "DependencyNeverSatisfied",
    ],
)
def test_reason_that_no_time_mends_is_final(reason: str) -> None:
    """A job that asks for more than any may have waits forever."""
    assert states.is_final(reason)
    assert not states.is_usual(reason)


@pytest.mark.parametrize(
    "reason", ["PartitionDown", "QOSMaxJobsPerUserLimit", "AssocGrpCpuLimit", "JobHeldUser", "ReqNodeNotAvail"]
)
def test_reason_that_somebody_may_mend_is_told_and_not_final(reason: str) -> None:
    """A partition comes up again, and other jobs of the user end."""
    assert not states.is_final(reason)
    assert not states.is_usual(reason)


def test_reason_that_may_pass_is_final_once_it_has_been_shown_for_long() -> None:
    """Slurm says PartitionConfig of more nodes than a partition has, and while a partition is being changed."""
    assert not states.is_usual("PartitionConfig")
    assert not states.is_final("PartitionConfig", 20.0)
    assert states.is_final("PartitionConfig", 30.0)
    assert not states.is_final("PartitionDown", 3600.0)


@pytest.mark.parametrize("reason", ["Resources", "Priority", "None", "", "BeginTime", "JobArrayTaskLimit"])
def test_reason_to_wait_on_a_busy_cluster_is_usual(reason: str) -> None:
    """Nobody is warned of a queue."""
    assert states.is_usual(reason)


@pytest.mark.parametrize(
    ("reason", "setting"),
    [
        ("PartitionTimeLimit", "timeout_min"),
        ("PartitionConfig", "nodes"),
        ("PartitionConfig", "partition"),
        ("sbatch: error: Batch job submission failed: Requested node configuration is not available", "gpus_per_node"),
        ("PartitionNodeLimit", "nodes"),
        ("sbatch: error: Batch job submission failed: Requested partition configuration not available now", "nodes"),
        ("QOSMaxMemoryPerJob", "mem_gb"),
        ("sbatch: error: Invalid account or account/partition combination specified", "account"),
        ("sbatch: error: invalid partition specified: nope", "partition"),
        ("QOSMaxSubmitJobPerUserLimit", "tasks"),
    ],
)
def test_reason_names_the_setting_to_change(reason: str, setting: str) -> None:
    """A refusal says what to do."""
    assert f"hydra.launcher.backend.{setting}=" in states.remedy(reason)


def test_refusal_of_an_option_that_sbatch_does_not_know_says_where_it_stands() -> None:
    """It can only have come by additional_parameters: all else is looked at before."""
    said = "sbatch: unrecognized option '--bogus=1'\nTry \"sbatch --help\" for more information"
    assert states.remedy(said) == "Remove it from hydra.launcher.backend.additional_parameters"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "slurmstepd-n1: error: execve(): /nope/python: No such file or directory\n"
            "srun: error: n1: task 0: Exited with exit code 2\n",
            "slurmstepd-n1: error: execve(): /nope/python: No such file or directory",
        ),
        (
            "ModuleNotFoundError: No module named 'parcache'\n"
            "srun: error: n1: tasks 0-1: Exited with exit code 1\n"
            "srun: Terminating StepId=3.0\n"
            "srun: launch/slurm: _step_signal: Terminating StepId=3.0\n"
            "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.\n",
            "ModuleNotFoundError: No module named 'parcache'",
        ),
        ("srun: error: Unable to create step for job 3: Invalid account\n", None),
        ("srun: error: n1: task 0: Exited with exit code 2\n", None),
        ("\n", ""),
    ],
)
def test_log_of_a_task_that_did_not_start_tells_its_reason_and_not_what_srun_adds(
    text: str, reason: str | None
) -> None:
    """Srun's own last lines count where there is nothing else."""
    assert reason_in(text) == (text.strip() if reason is None else reason)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("slurmstepd: error: StepId=3.0 exceeded memory limit (372686848 > 321912832), being killed", "OUT_OF_MEMORY"),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=3.0. Some of your processes", "OUT_OF_MEMORY"),
        ("slurmstepd: error: *** STEP 3.0 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***", "TIMEOUT"),
        ("slurmstepd: error: *** JOB 3 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***", "PREEMPTED"),
        ("slurmstepd: error: *** JOB 3 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO NODE FAILURE ***", "NODE_FAIL"),
    ],
)
def test_log_of_a_task_tells_how_slurm_has_ended_it(line: str, name: str) -> None:
    """Slurm calls a job failed whose step it has killed; what it has written tells why."""
    found = told_by(f"Traceback\n{line}\nsrun: error: n1: task 0: Killed\n")
    assert found is not None
    assert found.name == name


def test_log_of_a_task_with_nothing_of_slurms_tells_nothing() -> None:
    """What a job prints is not taken for Slurm's."""
    assert told_by("MemoryError\nsrun: error: n1: task 0: Exited with exit code 1\n") is None


def test_log_of_a_requeued_task_counts_from_its_last_start(tmp_path: object) -> None:
    """How an earlier agent of the task ended is not how this one has."""
    path = f"{tmp_path}/log.err"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"error: *** JOB 3 ON n1 CANCELLED DUE TO PREEMPTION ***\n{AGAIN}\nsrun: error: Killed\n")
    assert told_by(last_words(path)) is None
    assert last_words(f"{tmp_path}/none") == ""
