"""The settings of the backend for Slurm, and the batch scripts that they become."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from parcache.backends import create
from parcache.backends.slurm import settings as given
from parcache.backends.slurm.backend import SlurmBackend
from parcache.backends.slurm.clusters import command_of, script_writer
from parcache.backends.slurm.settings import PER_JOB, Settings, known_parameters, resources
from parcache.errors import BackendSettingError, SettingError

pytestmark = pytest.mark.any_hydra

CONF = Path(__file__).parent.parent / "conf" / "hydra" / "launcher" / "backend"


def settings(**changed: Any) -> Settings:
    backend = create("slurm", changed)
    assert isinstance(backend, SlurmBackend)
    return backend._settings


def script(tmp_path: Path, size: int = 3, own: dict[str, Any] | None = None, **changed: Any) -> str:
    """Return the batch script for an array of so many tasks."""
    read = settings(python="python", **changed)
    writer: Any = script_writer(str(tmp_path), resources(read, own or {}, "app"), read.at_once, size)
    return str(writer._make_submission_file_text(command_of(read, "/spool", 0, "/logs"), "uid"))


def options(text: str) -> dict[str, str]:
    """Return what a batch script tells sbatch."""
    return {name: value.strip("'") for name, value in re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", text, re.MULTILINE)}


@pytest.fixture(autouse=True)
def _slurm_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have submitit find an srun: nothing here calls it."""
    from submitit.slurm.slurm import SlurmExecutor

    monkeypatch.setattr(SlurmExecutor, "affinity", classmethod(lambda cls: 2))


def test_yaml_has_every_setting_with_its_default() -> None:
    """What can be set is in the file, documented; Hydra refuses other names before they get here."""
    found = yaml.safe_load((CONF / "slurm.yaml").read_text())
    assert found.pop("name") == "slurm"
    assert set(found) == {*given.OWN, *known_parameters()}
    backend = create("slurm", found)
    assert isinstance(backend, SlurmBackend)
    assert backend._settings._replace(parameters={}) == settings()._replace(parameters={})


def test_settings_that_may_differ_per_job_are_known() -> None:
    """Each goes into the batch script."""
    assert set(PER_JOB) <= set(known_parameters())


def test_unknown_setting_is_refused_with_the_known_ones() -> None:
    """A misspelt option is not passed over."""
    with pytest.raises(BackendSettingError, match=r"does not take partitoin.*mem_gb.*partition.*timeout_min"):
        create("slurm", {"partitoin": "gpu"})


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"cluster": "pbs"}, "cluster"),
        ({"tasks": 0}, "tasks"),
        ({"tasks": 2, "jobs_per_task": 3}, "jobs_per_task"),
        ({"parallel_per_task": 0}, "parallel_per_task"),
        ({"parallel_per_task": 2, "nodes": 2}, "parallel_per_task"),
        ({"array_parallelism": -1}, "array_parallelism"),
        ({"timeout_min": 0}, "timeout_min"),
        ({"timeout_min": "soon"}, "timeout_min"),
        ({"mem_gb": True}, "mem_gb"),
        ({"mem_gb": 1, "mem": "2G"}, "mem"),
        ({"cpus_per_task": 1.5}, "cpus_per_task"),
        ({"setup": "module load x"}, "setup"),
        ({"additional_parameters": ["x"]}, "additional_parameters"),
        ({"use_srun": "no"}, "use_srun"),
        ({"partition": ["a"]}, "partition"),
        ({"threads": 0}, "threads"),
        ({"idle_s": -1}, "idle_s"),
        ({"python": " "}, "python"),
        ({"detach": 1}, "detach"),
        ({"detach": True, "cluster": "debug"}, "detach"),
    ],
)
def test_setting_with_a_value_it_cannot_have_is_refused_by_name(changed: dict[str, Any], key: str) -> None:
    """Before anything is submitted, the key is named."""
    with pytest.raises(SettingError) as caught:
        create("slurm", changed)
    assert caught.value.key == f"hydra.launcher.backend.{key}"


def test_script_of_the_defaults_is_as_written_down(tmp_path: Path) -> None:
    """Nothing that the user did not ask for is asked of the cluster."""
    text = script(tmp_path).replace(str(tmp_path), "LOGS")
    assert text == (Path(__file__).parent / "golden" / "sbatch.sh").read_text()


def test_script_has_every_parameter_that_was_set(tmp_path: Path) -> None:
    """Submitit's general names and sbatch's own end in the same options."""
    text = script(
        tmp_path,
        timeout_min=90,
        mem_gb=2.5,
        cpus_per_task=4,
        gpus_per_node=2,
        partition="gpu",
        account="lab",
        qos="high",
        constraint="a100",
        gres="disk:1",
        exclude="n3",
        comment="for the paper",
        array_parallelism=2,
        additional_parameters={"reservation": "mine"},
        setup=["module load cuda"],
        teardown=["echo over"],
        srun_args=["--cpu-bind=none"],
    )
    found = options(text)
    expected = {
        "time": "90",
        "mem": "2560M",
        "cpus-per-task": "4",
        "gpus-per-node": "2",
        "partition": "gpu",
        "account": "lab",
        "qos": "high",
        "constraint": "a100",
        "gres": "disk:1",
        "exclude": "n3",
        "comment": "for the paper",
        "reservation": "mine",
        "array": "0-2%2",
        "job-name": "app",
        "signal": "USR2@90",
    }
    assert found.items() >= expected.items()
    lines = text.splitlines()
    run = next(line for line in lines if line.startswith("srun"))
    assert "--cpu-bind=none" in run
    assert lines.index("module load cuda") < lines.index(run) < lines.index("echo over")


def test_script_without_srun_starts_python_itself(tmp_path: Path) -> None:
    """A job may then submit others."""
    assert "\npython -u -m parcache.backends.slurm.task /spool 0 /logs\n" in script(tmp_path, use_srun=False)


@pytest.mark.parametrize(("minutes", "time"), [(60, "60"), (0.5, "0:30"), (1.25, "1:15"), (3.0, "3")])
def test_time_limit_in_parts_of_a_minute_is_sbatchs(tmp_path: Path, minutes: float, time: str) -> None:
    """Sbatch takes whole minutes, or minutes and seconds."""
    assert options(script(tmp_path, timeout_min=minutes))["time"] == time


@pytest.mark.parametrize(("minutes", "signal"), [(1, "USR2@15"), (60, "USR2@90"), (None, "USR2@90")])
def test_end_of_a_short_time_limit_is_announced_late_enough(tmp_path: Path, minutes: int | None, signal: str) -> None:
    """A limit of a minute is not to be over with its beginning."""
    assert options(script(tmp_path, timeout_min=minutes))["signal"] == signal


def test_settings_of_a_job_take_the_place_of_the_sweeps(tmp_path: Path) -> None:
    """An interpolation may bring a number as text."""
    found = options(script(tmp_path, own={"mem_gb": "3", "partition": None}, partition="cpu"))
    assert (found["mem"], found["partition"]) == ("3072M", "cpu")


def test_resources_that_are_equal_have_one_identity() -> None:
    """Jobs are grouped by what they get, however that was said."""
    read = settings(mem_gb=1)
    assert resources(read, {"mem_gb": 2}, "a").identity == resources(read, {"mem_gb": 2.0}, "a").identity
    assert resources(read, {"mem_gb": 2}, "a").identity != resources(read, {}, "a").identity


@pytest.mark.parametrize(
    ("changed", "waiting", "live", "expected"),
    [
        ({}, 10, 0, 10),
        ({}, 10, 4, 6),
        ({}, 1000, 0, 256),
        ({"detach": True}, 1000, 0, 1000),
        ({"array_parallelism": 8}, 1000, 3, 5),
        ({"tasks": 4}, 100, 0, 4),
        ({"tasks": 4}, 2, 0, 2),
        ({"tasks": 4}, 100, 4, 0),
        ({"jobs_per_task": 10}, 95, 0, 10),
        ({"jobs_per_task": 10, "parallel_per_task": 3}, 95, 0, 4),
        ({"parallel_per_task": 4}, 10, 0, 3),
    ],
)
def test_agents_to_submit_follow_from_what_waits(
    changed: dict[str, Any], waiting: int, live: int, expected: int
) -> None:
    """One for each job unless packing is asked for, and never more than can run at a time while somebody is there."""
    assert settings(**changed).agents(waiting, live) == expected


def test_workers_are_as_many_as_run_at_a_time() -> None:
    """What the schedule orders jobs by."""
    assert create("slurm", {"tasks": 4, "parallel_per_task": 2}).workers == 8  # type: ignore[attr-defined]
    assert create("slurm", {"cluster": "debug"}).capacity == 1


def test_environment_names_the_limits_of_threads_that_workers_get(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that holds one of them holds what the jobs see."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    backend = create("slurm", {"cpus_per_task": 8, "parallel_per_task": 2})
    assert backend.environment(["OMP_NUM_THREADS", "HOME"]) == {"OMP_NUM_THREADS": "4"}  # type: ignore[attr-defined]
