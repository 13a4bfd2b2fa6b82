"""``parcache doctor``: a probe on a profile's backend, and what it finds different there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parcache.run import probe
from parcache.run.probe import Answer, Folder, Level, Question
from tests.conftest import Project, Result


def doctor(folder: Path, *arguments: str) -> Result:
    """Run the command in a folder."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PARCACHE_")}
    done = subprocess.run(
        [sys.executable, "-m", "parcache", "doctor", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def levels(result: Result) -> dict[str, str]:
    return {each["subject"]: each["level"] for each in json.loads(result.out)["findings"]}


def test_doctor_where_all_is_the_same_says_so_for_each_thing_and_leaves_nothing(tmp_path: Path) -> None:
    """Each line is one thing that was looked at; the folders are as they were but for the store."""
    result = doctor(tmp_path, "hydra/launcher/backend=process").check()
    assert {line.split()[0] for line in result.out.splitlines()} == {"ok"}
    for subject in ("backend", "python", "packages", "working directory", "sweep's directory", "store", "clock"):
        assert subject in result.out
    assert os.listdir(tmp_path) == [".parcache"]
    assert not list((tmp_path / ".parcache").glob(".parcache-probe*"))


def test_doctor_on_tasks_of_another_process_compares_the_two(tmp_path: Path) -> None:
    """The probe goes the way that jobs go: here through submitit's local executor."""
    result = doctor(tmp_path, "hydra/launcher/backend=slurm", "hydra.launcher.backend.cluster=local", "--json").check()
    assert set(levels(result).values()) == {"ok"}
    assert json.loads(result.out)["well"] is True


def local(folder: Path, script: str) -> list[str]:
    """Return what has a script of the shell start the tasks, on this machine."""
    program = folder / "start"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    backend = "hydra.launcher.backend"
    return ["hydra/launcher/backend=slurm", f"{backend}.cluster=local", f"{backend}.python={program}", "--json"]


def test_doctor_of_tasks_that_do_not_start_keeps_the_files_that_it_names(tmp_path: Path) -> None:
    """The log of a task is there to be read afterwards, and the finding has the line of it that tells why."""
    result = doctor(tmp_path, *local(tmp_path, "echo no torch here >&2; exit 3"))
    assert result.code == 1
    assert levels(result) == {"backend": "problem", "files": "note"}
    problem, files = (each["text"] for each in json.loads(result.out)["findings"])
    assert "'no torch here'" in problem
    assert "parcache doctor" not in problem
    (log,) = re.findall(r" in (\S+_log\.err)\.", problem)
    assert Path(log).read_text() == "no torch here\n"
    assert log.startswith(files.partition(" is kept")[0])


def test_doctor_of_a_task_that_complains_and_starts_notes_what_it_says(tmp_path: Path) -> None:
    """A command of the setup has failed: the job runs, and most often without what that was to bring."""
    script = f'echo module: command not found >&2; exec {sys.executable} "$@"'
    result = doctor(tmp_path, *local(tmp_path, script)).check()
    (note,) = (each for each in json.loads(result.out)["findings"] if each["level"] != "ok")
    text = "the task writes to its standard error: module: command not found"
    assert note == {"level": "note", "subject": "output", "text": text}
    assert sorted(os.listdir(tmp_path)) == [".parcache", "start"]


def test_doctor_takes_profiles_from_the_folder_conf(tmp_path: Path) -> None:
    """A profile of one's own needs no app."""
    (tmp_path / "conf/hydra/launcher/backend").mkdir(parents=True)
    (tmp_path / "conf/hydra/launcher/backend/mine.yaml").write_text("defaults: [process, _self_]\nworkers: 1\n")
    doctor(tmp_path, "hydra/launcher/backend=mine").check()


def test_doctor_of_an_app_uses_the_apps_config_and_runs_no_job(project: Project) -> None:
    """Interpolations in a profile resolve, and the task function is not called."""
    project.write(conf__hydra__launcher__backend__mine_yaml="defaults: [process, _self_]\nworkers: ${x}\n")
    doctor(project.folder, "--app", "app.py", "hydra/launcher/backend=mine").check()
    assert project.executions() == []
    assert not (project.folder / "multirun").exists()


def test_doctor_of_a_backend_that_fails_says_what_failed_and_exits_by_1(tmp_path: Path) -> None:
    """What the backend raises is a finding, here that of a scheduler whose file nobody writes."""
    arguments = ("hydra/launcher/backend=dask", "hydra.launcher.backend.address=nowhere.json", "--json")
    result = doctor(tmp_path, *arguments, "--wait-s", "20")
    assert result.code == 1
    assert levels(result) == {"backend": "problem"}
    assert "dask scheduler --scheduler-file nowhere.json" in result.out


def test_doctor_of_an_unknown_profile_shows_what_hydra_says(tmp_path: Path) -> None:
    """The app's own output comes with the error, and the remedy is the doctor's."""
    result = doctor(tmp_path, "hydra/launcher/backend=nowhere")
    assert result.code == 1
    assert "nowhere" in result.err
    assert "ask again: parcache doctor" in result.err
    assert "Warning" not in result.err


@pytest.fixture
def question(tmp_path: Path) -> Question:
    """A question about one folder, laid out."""
    asked = Question("secret", ".probe", {"the store": str(tmp_path)})
    assert probe.lay_out(asked) == {}
    return asked


def found(question: Question, **changes: Any) -> dict[str, Level]:
    """Return the first level for each subject where the other side is as this one, but for these changes."""
    here = probe.answer(question)
    there = here._replace(**changes)
    levels: dict[str, Level] = {}
    for each in probe.findings(question, here, there, probe.seen_here(question, there)):
        levels.setdefault(each.subject, each.level)
    return levels


def test_probe_of_one_place_finds_no_difference(question: Question) -> None:
    """What is compared with itself is the same."""
    assert set(found(question).values()) == {Level.OK}


@pytest.mark.parametrize(
    ("changes", "subject", "level"),
    [
        ({"python": "2.7.18"}, "python", Level.PROBLEM),
        ({"python": f"{sys.version_info[0]}.{sys.version_info[1]}.99"}, "python", Level.NOTE),
        ({"versions": {"numpy": "0.1"}}, "packages", Level.PROBLEM),
        ({"folders": {"the store": Folder(False)}}, "the store", Level.PROBLEM),
        ({"folders": {"the store": Folder(True, "another")}}, "the store", Level.PROBLEM),
        ({"folders": {"the store": Folder(True, "secret", "read-only")}}, "the store", Level.PROBLEM),
        ({"folders": {"the store": Folder(True, "secret", "", False, True)}}, "the store", Level.PROBLEM),
        ({"folders": {"the store": Folder(True, "secret", "", True, False)}}, "the store", Level.NOTE),
        ({"folders": {"the store": Folder(True, "secret", "", True, True, 60.0)}}, "clock", Level.NOTE),
    ],
)
def test_probe_that_finds_a_difference_tells_how_much_it_matters(
    question: Question, changes: dict[str, Any], subject: str, level: Level
) -> None:
    """What would break jobs or lose results is a problem; what may surprise is a note."""
    assert found(question, **changes)[subject] is level


def test_probe_of_a_third_partys_other_version_is_a_note_that_names_both(question: Question) -> None:
    """Versions of what is not parcache's own way of travelling may differ without harm to the sweep."""
    here = probe.answer(question)
    there: Answer = here._replace(versions={**here.versions, "numpy": "0.1"})
    arrived = probe.seen_here(question, there)
    (note,) = [each for each in probe.findings(question, here, there, arrived) if each.subject == "packages"]
    assert note.level is Level.NOTE
    assert f"numpy 0.1 there, {here.versions['numpy']} here" in note.text


def test_probe_whose_writing_does_not_arrive_is_a_problem(question: Question) -> None:
    """A folder of the same name on another machine's disk takes results that nobody finds."""
    here = probe.answer(question)
    found = probe.findings(question, here, here, {"the store": False})
    assert [each.level for each in found if each.subject == "the store"] == [Level.PROBLEM]


def test_probe_leaves_nothing_behind_when_it_is_cleared(question: Question, tmp_path: Path) -> None:
    """Tokens and trials are gone."""
    probe.answer(question)
    probe.clear(question)
    assert os.listdir(tmp_path) == []
