"""Slurm's commands as the backend calls them: programs on PATH stand in for them, and say what the test wants."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from parcache.backends import About, Place
from parcache.backends.slurm.backend import SlurmBackend
from parcache.backends.slurm.clusters import LocalCluster, SlurmCluster
from parcache.backends.slurm.settings import resources
from parcache.backends.slurm.states import GONE, Phase
from parcache.errors import SubmissionError
from parcache.run.probe import get_ready
from tests.conftest import Project
from tests.test_slurm_settings import settings

pytestmark = pytest.mark.any_hydra


class Site:
    """A folder on PATH with Slurm's commands; each notes its call and says what it is given to say."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._log = folder / "calls.txt"
        self.logs = str(folder / "logs")
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        self.say("srun", "")
        self.say("scontrol", "ClusterName             = here\nMaxArraySize            = 4\n")
        self.say("scancel", "")

    def say(self, name: str, text: str, *, error: str = "", code: int = 0) -> None:
        """Have a command print this and end so."""
        (self._folder / f"{name}.out").write_text(text)
        (self._folder / f"{name}.err").write_text(error)
        self.program(name, f"cat '{self._folder}/{name}.out'; cat '{self._folder}/{name}.err' >&2; exit {code}")

    def program(self, name: str, script: str) -> None:
        """Have a command do this."""
        program = self._folder / name
        program.write_text(f"#!/bin/sh\necho \"{name} $*\" >> '{self._log}'\n{script}\n")
        program.chmod(0o755)

    def calls(self) -> list[str]:
        """Return what was called since the last time."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        self._log.write_text("")
        return lines

    def connect(self) -> SlurmCluster:
        cluster = SlurmCluster(settings(), self.logs)
        self.calls()
        return cluster


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    (tmp_path / "bin").mkdir()
    return Site(tmp_path / "bin", monkeypatch)


def submit(cluster: SlurmCluster, number: int) -> Any:
    return cluster.submit(resources(settings(), {}, "app"), "true", number)


def test_cluster_has_the_sites_name(site: Site) -> None:
    """Two clusters may share a store: the ids of their jobs are the same, their names are not."""
    assert site.connect().name == "slurm here"
    site.say("scontrol", "", code=1)
    assert site.connect().name == "slurm"


def test_tasks_are_submitted_as_arrays_of_what_the_site_allows(site: Site) -> None:
    """With a MaxArraySize of 4 the highest index is 3, one less than that."""
    site.say("sbatch", "Submitted batch job 7\n")
    submitted = submit(site.connect(), 5)
    assert [len(each.tasks) for each in submitted] == [3, 2]
    assert submitted[0].tasks == ("7_0", "7_1", "7_2")
    assert [line.split()[0] for line in site.calls()] == ["sbatch", "sbatch"]
    assert sorted(path.name for path in Path(site.logs).iterdir()) == ["7_submission.sh"]


def test_submission_that_is_refused_has_sbatchs_words_and_script(site: Site) -> None:
    """It is not tried again."""
    site.say("sbatch", "", error="sbatch: error: invalid partition specified: nope\n", code=1)
    with pytest.raises(SubmissionError) as caught:
        submit(site.connect(), 1)
    assert caught.value.said == "sbatch: error: invalid partition specified: nope"
    assert Path(caught.value.script).read_text().startswith("#!/bin/bash")
    assert "hydra.launcher.backend.partition" in str(caught.value)
    assert len(site.calls()) == 1


def test_submission_to_a_busy_controller_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that has too much to do, or is restarted, answers later."""

    def answer(_: float) -> None:
        site.say("sbatch", "Submitted batch job 8\n")

    site.say("sbatch", "", error="sbatch: error: Batch job submission failed: Socket timed out\n", code=1)
    cluster = site.connect()
    monkeypatch.setattr(time, "sleep", answer)
    assert submit(cluster, 1)[0].job == "8"


def test_sweep_of_which_sbatch_takes_nothing_ends_once_by_its_words(site: Site, project: Project) -> None:
    """Each job would fail by the same text: none does, and there is no traceback through parcache."""
    site.say("sbatch", "", error="sbatch: error: invalid partition specified: nope\n", code=1)
    result = project.run("-m", "x=1,2,3", "hydra/launcher=parcache", "hydra/launcher/backend=slurm")
    assert result.code == 1
    shown = result.out + result.err
    assert shown.count("sbatch refuses the job: sbatch: error: invalid partition specified: nope") == 1
    assert "hydra.launcher.backend.partition=NAME" in shown
    assert "Traceback" not in shown
    assert len([line for line in site.calls() if line.startswith("sbatch")]) == 1
    (journal,) = project.folder.glob("multirun/*/*/journal.jsonl")
    last = json.loads(journal.read_text().splitlines()[-1])
    assert (last["state"], last["jobs"]) == ("cancelled", [0, 1, 2])


def test_backend_of_which_one_array_was_taken_fails_the_jobs_of_the_other_alone(site: Site, tmp_path: Path) -> None:
    """The sweep goes on: what is refused is a matter of these jobs."""
    takes = 'grep -q -e "--cpus-per-task=1$" "$1" && echo "Submitted batch job 7" && exit'
    site.program("sbatch", f'{takes}\necho "sbatch: error: too much" >&2; exit 1')
    site.say("squeue", "7_0|PENDING|Resources\n")
    site.say("sacct", "7_0|PENDING|0:0\n")
    backend = SlurmBackend(check_paths=False)
    backend.settle(Place("app", str(tmp_path / "sweep"), str(tmp_path)))
    backend.start(get_ready)
    try:
        small = backend.submit_job(len, "a", About(0, None, {"cpus_per_task": 1}))
        large = backend.submit_job(len, "b", About(1, None, {"cpus_per_task": 99}))
        backend.flush()
        assert isinstance(large.exception(0), SubmissionError)
        assert not small.done()
        assert backend.refusal is None
    finally:
        backend.stop(cancel=True)


def test_look_asks_the_accounting_once_for_all_jobs(site: Site) -> None:
    """However many jobs there are."""
    site.say("sacct", "1_0|RUNNING|0:0\n2_0|COMPLETED|0:0\n")
    found = site.connect().look({"1", "2"}, waits=False)
    assert found is not None
    assert [found["1_0"].phase, found["2_0"].phase, found.get("1_1")] == [Phase.RUNNING, Phase.ENDED, None]
    (call,) = site.calls()
    assert call == "sacct -X -n -P -o JobID,State,ExitCode -j 1,2"


def test_look_asks_the_queue_in_turns_while_something_waits(site: Site) -> None:
    """Only the queue knows why; each time one command is called."""
    site.say("sacct", "1_0|PENDING|0:0\n")
    site.say("squeue", "1_0|PENDING|PartitionDown\n")
    cluster = site.connect()
    seen = []
    for _ in range(4):
        found = cluster.look({"1"}, waits=True)
        assert found is not None
        seen.append(found["1_0"].reason)
    assert seen == ["PartitionDown", "", "PartitionDown", ""]
    assert len(site.calls()) == 4


def test_look_without_accounting_asks_the_queue_from_then_on(site: Site) -> None:
    """Sacct is called once, and what it cannot say is no end of anything."""
    site.say("sacct", "", error="Slurm accounting storage is disabled\n", code=1)
    site.say("squeue", "1_0|RUNNING|None\n")
    cluster = site.connect()
    assert cluster.look({"1"}, waits=False) is None
    assert cluster.look({"1"}, waits=False) == {"1_0": cluster.look({"1"}, waits=False)["1_0"]}  # type: ignore[index]
    assert [line.split()[0] for line in site.calls()] == ["sacct", "squeue", "squeue"]


def test_task_that_has_left_the_queue_has_ended_where_there_is_no_accounting(site: Site) -> None:
    """Slurm forgets jobs after some minutes: one that it does not show any more is over."""
    site.say("sacct", "", code=1)
    site.say("squeue", "1_0|RUNNING|None\n")
    cluster = site.connect()
    cluster.look({"1"}, waits=False)
    found = cluster.look({"1", "2"}, waits=False)
    assert found is not None
    assert [found.get("1_1"), found.get("2_0"), found.get("3_0")] == [GONE, GONE, None]
    site.say("squeue", "", error="slurm_load_jobs error: Invalid job id specified\n", code=1)
    found = cluster.look({"1"}, waits=False)
    assert found is not None
    assert found.get("1_0") == GONE


def test_look_at_a_controller_that_does_not_answer_tells_nothing(site: Site) -> None:
    """It is down for a moment: nothing is concluded."""
    site.say("sacct", "", code=1)
    site.say("squeue", "", error="slurm_load_jobs error: Unable to contact slurm controller\n", code=1)
    cluster = site.connect()
    assert [cluster.look({"1"}, waits=False), cluster.look({"1"}, waits=False), cluster.alive({"1"})] == [None] * 3


def test_alive_tasks_are_those_of_the_queue(site: Site) -> None:
    """Accounting learns of a job with delay."""
    site.say("squeue", "1_[1-2]|PENDING|Resources\n1_0|COMPLETED|None\n2_0|RUNNING|None\n")
    assert site.connect().alive({"1", "2"}) == {"1_1", "1_2", "2_0"}


def test_cancel_is_one_command_for_all_jobs(site: Site) -> None:
    """Or none where there is none."""
    cluster = site.connect()
    cluster.cancel({"2", "1"})
    cluster.cancel({"1"}, only_waiting=True)
    cluster.cancel(set())
    assert site.calls() == ["scancel 1 2", "scancel --state=PENDING 1"]


def test_local_cluster_knows_which_processes_are_there(tmp_path: Path) -> None:
    """What has another machine's ids is another cluster."""
    import os

    cluster = LocalCluster(str(tmp_path))
    assert cluster.name.startswith("local ")
    assert cluster.alive({str(os.getpid()), str(2**22 + 1)}) == {str(os.getpid())}
