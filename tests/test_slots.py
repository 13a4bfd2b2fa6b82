"""Slots: settings turned into what each worker finds in its environment, and what the machine is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from parcache.backends import create
from parcache.backends.machine import Gpus, ask, cores, gpus
from parcache.backends.slots import (
    THREAD_VARIABLES,
    SlotSettings,
    number_of_workers,
    read_slots,
    slot_environments,
    thread_limits,
)
from parcache.errors import SettingError
from tests.conftest import Project

pytestmark = pytest.mark.any_hydra

NVIDIA = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)
  MIG 3g.20gb     Device  0: (UUID: MIG-1111)
  MIG 3g.20gb     Device  1: (UUID: MIG-2222)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-cccc)
"""
ROCM = """\
============================ ROCm System Management Interface ============================
GPU[0]		: Device Name: 		AMD Instinct MI250X
GPU[0]		: Device ID: 		0x740c
GPU[1]		: Device Name: 		AMD Instinct MI250X
"""


def no_gpus() -> Gpus:
    return Gpus(())


def answering(**answers: str) -> Any:
    """Return what asks programs, some of which answer."""
    return lambda command: answers.get(command[0].replace("-", "_"), "")


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (None, SlotSettings()),
        ({}, SlotSettings()),
        ({"gpus": None, "jobs_per_gpu": 1, "env": []}, SlotSettings()),
        ({"gpus": "auto"}, SlotSettings("auto")),
        ({"gpus": [1, "MIG-a"], "jobs_per_gpu": 3}, SlotSettings(("1", "MIG-a"), 3)),
        ({"env": [{"A": 1, "B": "x"}, {}]}, SlotSettings(env=({"A": "1", "B": "x"}, {}))),
    ],
)
def test_slots_settings_that_are_right_are_read(found: object, wanted: SlotSettings) -> None:
    """Names and values are text; what is not given is off."""
    assert read_slots(found) == wanted


@pytest.mark.parametrize(
    ("found", "key", "expected"),
    [
        (3, "slots", "a mapping"),
        ({"gpu": 1}, "slots.gpu", "known: gpus, jobs_per_gpu, env"),
        ({"gpus": 2}, "slots.gpus", "such as [0, 1]"),
        ({"gpus": "all"}, "slots.gpus", "auto, or a list"),
        ({"gpus": []}, "slots.gpus", "auto, or a list"),
        ({"gpus": [-1]}, "slots.gpus", "auto, or a list"),
        ({"gpus": [True]}, "slots.gpus", "auto, or a list"),
        ({"gpus": ["0,1"]}, "slots.gpus", "auto, or a list"),
        ({"gpus": [0, "0"]}, "slots.gpus", "jobs_per_gpu"),
        ({"gpus": "auto", "jobs_per_gpu": 0}, "slots.jobs_per_gpu", "from 1"),
        ({"jobs_per_gpu": 2}, "slots.jobs_per_gpu", "names no GPUs"),
        ({"gpus": "auto", "env": [{"A": 1}]}, "slots.env", "one kind"),
        ({"env": {"A": 1}}, "slots.env", "a list of sets"),
        ({"env": ["A=1"]}, "slots.env", "a list of sets"),
        ({"env": [{"A=": 1}]}, "slots.env", "a list of sets"),
        ({"env": [{"A": True}]}, "slots.env at A", "quote it"),
        ({"env": [{"A": None}]}, "slots.env at A", "quote it"),
        ({"env": [{"PARCACHE_SLOT": 3}]}, "slots.env at PARCACHE_SLOT", "another name"),
    ],
)
def test_slots_settings_that_are_wrong_are_refused(found: object, key: str, expected: str) -> None:
    """The key, what was found and what is expected are named."""
    with pytest.raises(SettingError) as caught:
        create("process", {"slots": found})
    assert caught.value.key == f"hydra.launcher.backend.{key}"
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fresh_process", "yes"),
        ("threads", 0),
        ("threads", "many"),
        ("threads", True),
        ("stagger_s", -1),
        ("stagger_s", "1"),
        ("stagger_s", float("nan")),
        ("stagger_s", True),
    ],
)
def test_process_settings_that_are_wrong_are_refused(setting: str, value: object) -> None:
    """A YAML of the user's own is checked as well."""
    with pytest.raises(SettingError, match=rf"hydra\.launcher\.backend\.{setting} is "):
        create("process", {setting: value})


def test_slot_environments_are_the_sets_or_one_for_each_share_of_a_gpu() -> None:
    """Sets are slots as they stand; GPUs are dealt round, so that few workers are on different ones."""
    assert slot_environments(SlotSettings(), no_gpus, is_rocm=False) == []
    assert slot_environments(SlotSettings(env=({"A": "1"}, {})), no_gpus, is_rocm=False) == [{"A": "1"}, {}]
    shared = slot_environments(SlotSettings(("0", "7"), 2), no_gpus, is_rocm=False)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in shared] == ["0", "7", "0", "7"]
    assert set(shared[0]) == {"CUDA_VISIBLE_DEVICES"}
    found = slot_environments(SlotSettings("auto"), lambda: Gpus(("3",), are_rocm=True), is_rocm=False)
    assert found == [{"CUDA_VISIBLE_DEVICES": "3", "HIP_VISIBLE_DEVICES": "3"}]
    named = slot_environments(SlotSettings(("3",)), no_gpus, is_rocm=True)
    assert named == found


def test_slot_environments_without_a_gpu_name_the_way_out() -> None:
    """Where none is found, the message says where was looked and how to name them."""
    with pytest.raises(SettingError, match=r"slots\.gpus is 'auto'; .*nvidia-smi.*such as \[0, 1\]"):
        slot_environments(SlotSettings("auto"), no_gpus, is_rocm=False)


@pytest.mark.parametrize(
    ("asked", "slots", "wanted"),
    [(None, 0, 8), (3, 0, 3), (30, 0, 30), (-1, 0, 8), (-2, 0, 7), (-99, 0, 1), (None, 3, 3), (2, 3, 2), (-7, 3, 2)],
)
def test_number_of_workers_is_what_is_asked_for_or_there_is(asked: int | None, slots: int, wanted: int) -> None:
    """Without a number there are as many as cores, or as slots."""
    assert number_of_workers(asked, 8, slots) == wanted


def test_number_of_workers_beyond_the_slots_is_refused() -> None:
    """A worker without a slot would share what another holds."""
    with pytest.raises(SettingError, match=r"workers is 4; expected at most 3, the number of slots"):
        number_of_workers(4, 8, 3)


def test_thread_limits_share_the_cores_and_leave_what_is_set() -> None:
    """At least one thread each; a variable of the user's is not touched; null limits nothing."""
    assert thread_limits("auto", 8, 3, {}) == dict.fromkeys(THREAD_VARIABLES, "2")
    assert set(thread_limits("auto", 2, 30, {}).values()) == {"1"}
    assert "MKL_NUM_THREADS" not in thread_limits(5, 8, 3, {"MKL_NUM_THREADS": ""})
    assert thread_limits(5, 8, 3, {})["OMP_NUM_THREADS"] == "5"
    assert thread_limits(None, 8, 3, {}) == {}


# What the machine is asked for.


@pytest.mark.parametrize(
    ("environ", "answers", "wanted"),
    [
        ({}, {}, Gpus(())),
        ({}, {"nvidia_smi": NVIDIA}, Gpus(("0", "MIG-1111", "MIG-2222", "2"))),
        ({}, {"rocm_smi": ROCM}, Gpus(("0", "1"), are_rocm=True)),
        ({"CUDA_VISIBLE_DEVICES": "2, GPU-aaaa"}, {"nvidia_smi": NVIDIA}, Gpus(("2", "GPU-aaaa"))),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, {"nvidia_smi": NVIDIA}, Gpus(("0",))),
        ({"CUDA_VISIBLE_DEVICES": ""}, {"nvidia_smi": NVIDIA}, Gpus(())),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, {}, Gpus(())),
        ({"HIP_VISIBLE_DEVICES": "4,5"}, {"rocm_smi": ROCM}, Gpus(("4", "5"), are_rocm=True)),
        ({"ROCR_VISIBLE_DEVICES": "4,5"}, {"rocm_smi": ROCM}, Gpus(("0", "1"), are_rocm=True)),
    ],
)
def test_gpus_are_those_of_the_environment_or_what_the_tools_list(
    tmp_path: Path, environ: dict[str, str], answers: dict[str, str], wanted: Gpus
) -> None:
    """What a scheduler has set counts alone; partitioned cards count as their parts."""
    assert gpus(environ, answering(**answers), str(tmp_path)) == wanted


def test_gpus_without_any_tool_are_the_device_files(tmp_path: Path) -> None:
    """In a container without nvidia-smi the device files tell the number."""
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpus({}, answering(), str(tmp_path)) == Gpus(("0", "1"))


def test_ask_what_is_not_there_or_fails_says_nothing() -> None:
    """A missing program and a failing one are no error: the next one is asked."""
    assert ask(["no-such-program-here"]) == ""
    assert ask(["sh", "-c", "echo half; exit 1"]) == ""
    assert ask(["echo", "whole"]) == "whole\n"


def test_cores_are_limited_by_affinity_quota_and_variable(tmp_path: Path) -> None:
    """The least of what limits counts, and at least one core."""
    own = len(os.sched_getaffinity(0))
    assert cores({}, str(tmp_path)) == own
    assert cores({"LOKY_MAX_CPU_COUNT": "1"}, str(tmp_path)) == 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores({}, str(tmp_path)) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores({}, str(tmp_path)) == own
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("150000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores({}, str(tmp_path)) == min(own, 2)
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert cores({}, str(tmp_path)) == own


# Whole sweeps.

APP = """
import os
import hydra

@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    os.write(1, f"held {os.environ['CUDA_VISIBLE_DEVICES']} {os.environ['PARCACHE_SLOT']}\\n".encode())
    return cfg.x

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("profile", ["gpus", "mine"])
def test_sweep_with_slots_from_a_profile_gives_each_job_one(project: Project, profile: str) -> None:
    """The profile that ships and one of the user's own work the same."""
    mine = "defaults: [process, _self_]\nslots: {gpus: [6, 7]}\n"
    project.write(app=APP, conf__hydra__launcher__backend__mine_yaml=mine)
    launcher = ("hydra/launcher=parcache", f"hydra/launcher/backend={profile}")
    result = project.run("-m", "x=1,2,3,4", *launcher, env={"CUDA_VISIBLE_DEVICES": "6,7"}).check()
    held = {line for line in result.out.splitlines() if line.startswith("held")}
    assert held <= {"held 6 0", "held 7 1"}
    assert result.out.count("held ") == 4


def test_sweep_with_an_unknown_slot_setting_is_refused(project: Project) -> None:
    """What is misspelled is refused before any job."""
    result = project.run("-m", "x=1", "hydra/launcher=parcache", "hydra.launcher.backend.slots.gpu=[0]")
    assert result.code == 1
    assert "gpu" in result.err
    assert project.executions() == []


def test_sweep_without_the_gpus_that_it_asks_for_is_refused(project: Project) -> None:
    """Where no GPU is found the command ends with the way to name them, and no job has run."""
    override = "hydra/launcher/backend=gpus"
    result = project.run("-m", "x=1", "hydra/launcher=parcache", override, env={"CUDA_VISIBLE_DEVICES": ""})
    assert result.code == 1
    assert "slots.gpus is 'auto'" in result.err
    assert "Traceback" not in result.err
    assert project.executions() == []


COUNTS = """
import os
import hydra

@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    with open(os.environ["RUNS"], "a") as file:
        file.write(f"{cfg.x}:{os.environ['OMP_NUM_THREADS']}\\n")
    return cfg.x

if __name__ == "__main__":
    main()
"""


def test_sweep_whose_key_names_a_thread_limit_counts_what_the_jobs_see(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit that the workers set is the value that belongs to the key: the same limit hits, another one misses."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    project.write(app=COUNTS)
    named = ("hydra/launcher=parcache", "hydra.launcher.cache.env=[OMP_NUM_THREADS]")
    for limit, said in ((1, "0 hits, 1 misses"), (1, "1 hits, 0 misses"), (2, "0 hits, 1 misses")):
        result = project.run("-m", "x=1", *named, f"hydra.launcher.backend.threads={limit}").check()
        assert said in result.summary
        assert "not stored" not in result.out
    assert project.executions() == ["1:1", "1:2"]


def test_sweep_whose_key_names_a_slot_variable_is_refused(project: Project) -> None:
    """What differs from worker to worker cannot belong to a key, which is made before a worker is chosen."""
    overrides = ("hydra.launcher.cache.env=[CUDA_VISIBLE_DEVICES]", "hydra.launcher.backend.slots.gpus=[0]")
    result = project.run("-m", "x=1", "hydra/launcher=parcache", *overrides)
    assert result.code == 1
    assert "CUDA_VISIBLE_DEVICES differs between the workers' slots" in result.err
    assert "Traceback" not in result.err
    assert project.executions() == []


def test_sweep_whose_config_reads_a_slot_variable_stores_nothing(project: Project) -> None:
    """A config value that is another one in the worker than in the key is told, and its result is not stored."""
    project.write(conf__config_yaml="x: 0\nheld: ${oc.env:PARCACHE_SLOT,none}\n")
    result = project.run("-m", "x=1", "hydra/launcher=parcache", "hydra.launcher.backend.workers=1").check()
    assert "had another value in the job than when it was keyed" in result.out
    assert "0 hits, 1 misses" in project.run("-m", "x=1", "hydra/launcher=parcache").check().summary
