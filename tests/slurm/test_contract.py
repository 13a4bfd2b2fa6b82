"""The contract of all backends holds on a real Slurm: with and without accounting, packed and not."""

from __future__ import annotations

import os
import signal

import pytest

from tests.conftest import Project
from tests.slurm.cluster import Cluster
from tests.slurm.counting import Calls
from tests.slurm.daemons import wait_for
from tests.slurm.sweeps import PATIENCE_S, finished, jobs_of, results, sweep, sweeping, wait_for_empty_queue
from tests.sweeping import ends, journal, numbers, processes_of

# Three tasks, or two of two jobs each, so that some jobs run and some wait.
SOME_WAIT = pytest.mark.parametrize("shape", ["three_alone", "side_by_side"], indirect=True)


def test_results_come_in_job_order_and_from_the_store_the_second_time(
    deeds: Project, shape: list[str], calls: Calls
) -> None:
    """Each job runs once, whatever task it is in; then none does, and Slurm is given nothing."""
    names = jobs_of(*["healthy"] * 7)
    expected = [10 * number for number in range(7)]
    assert results(deeds, *shape, names) == expected
    assert sorted(deeds.executions()) == [str(number) for number in range(7)]
    submitted = calls.count("sbatch")
    assert submitted == 1
    assert results(deeds, *shape, names) == expected
    assert len(deeds.executions()) == 7
    assert calls.count("sbatch") == submitted


def test_misfortune_of_a_job_costs_nobody_else(deeds: Project, shape: list[str], cluster: Cluster) -> None:
    """Errors, crashes, results that cannot travel and jobs that take too long fail alone, after their retries."""
    misfortunes = ("raises", "killed", "unpicklable_result", "sys_exit", "stuck")
    names = ["flaky", *(name for deed in misfortunes for name in (deed, "healthy"))]
    failing = [number for number, name in enumerate(names) if name in misfortunes]
    limits = ["hydra.launcher.failures.retries=1", "hydra.launcher.failures.timeout_s=3"]
    result = sweep(deeds, *shape, *limits, jobs_of(*names))
    found = ends(deeds.folder / "out")
    expected = {number: ["failed" if number in failing else "completed"] for number in range(len(names))}
    assert found == expected, result.out + result.err
    causes = {line["jobs"][0]: line["error"] for line in journal(deeds.folder / "out") if line.get("state") == "failed"}
    assert "ValueError: as it happens in 1" in causes[1]
    assert "SIGKILL" in causes[3]
    assert "pickle" in causes[5]
    assert "I am done" in causes[7]
    assert "longer than 3 s" in causes[9]
    assert 0 in numbers(deeds.folder / "out", "retry")
    assert len(deeds.entries()) == len(names) - len(failing)
    wait_for_empty_queue(cluster)
    assert processes_of(deeds) == []


@SOME_WAIT
def test_policy_stop_ends_what_runs_and_takes_back_what_waits(
    deeds: Project, shape: list[str], cluster: Cluster
) -> None:
    """The sweep ends with the failure's own traceback and leaves nothing with Slurm."""
    names = ["raises", *["stuck"] * 7]
    result = sweep(deeds, *shape, "hydra.launcher.failures.policy=stop", jobs_of(*names))
    assert result.code == 1
    assert "ValueError: as it happens in 0" in result.err
    assert "deeds.py" in result.err
    assert numbers(deeds.folder / "out", "failed") == [0]
    wait_for_empty_queue(cluster)
    assert processes_of(deeds) == []


@SOME_WAIT
def test_interrupt_cancels_what_slurm_has_and_the_next_sweep_goes_on(
    deeds: Project, shape: list[str], cluster: Cluster
) -> None:
    """Ctrl-C ends the sweep with 130 and empties the queue; what was done is kept."""
    names = ["healthy", "healthy", *["waits"] * 7]
    with sweeping(deeds, *shape, jobs_of(*names)) as process:
        wait_for(lambda: len(deeds.entries()) == 2 and len(deeds.executions()) >= 4, "two are done", PATIENCE_S)
        os.killpg(process.pid, signal.SIGINT)
        code, out = finished(process)
    assert code == 130, out
    assert "Traceback" not in out
    assert "2 jobs of this batch are done" in out
    wait_for_empty_queue(cluster)
    assert processes_of(deeds) == []
    (deeds.folder / "go").touch()
    assert "9 jobs: 2 hits, 7 misses, 0 failed" in sweep(deeds, *shape, jobs_of(*names)).check().summary
