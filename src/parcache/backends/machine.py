"""What this machine has: the cores that this process may use, GPUs, and environment variables."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

Ask = Callable[[list[str]], str]

_ASKING_S: Final = 60.0
_UUID: Final = re.compile(r"\(UUID: (?P<name>[^)]+)\)")


class Gpus(NamedTuple):
    """Names of GPUs as CUDA_VISIBLE_DEVICES takes them: numbers, or the UUIDs of MIG instances."""

    names: tuple[str, ...]
    are_rocm: bool = False


def set_variables(values: Mapping[str, str | None]) -> None:
    """Give environment variables of this process these values; None: there is to be no such variable."""
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def cores(environ: Mapping[str, str] = os.environ, cgroup: str = "/sys/fs/cgroup") -> int:
    """Return how many cores this process may use: by its affinity, its cgroup's quota, and LOKY_MAX_CPU_COUNT.

    The last is joblib's, and known to those who share machines.
    """
    try:
        number = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        number = os.cpu_count() or 1
    limits = [number, *_quota(cgroup)]
    if environ.get("LOKY_MAX_CPU_COUNT", "").isdecimal():
        limits.append(int(environ["LOKY_MAX_CPU_COUNT"]))
    return max(1, min(limits))


def _quota(cgroup: str) -> list[int]:
    try:
        with open(f"{cgroup}/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open(f"{cgroup}/cpu/cpu.cfs_quota_us", encoding="ascii") as file:
                quota = file.read().strip()
            with open(f"{cgroup}/cpu/cpu.cfs_period_us", encoding="ascii") as file:
                period = file.read().strip()
        except OSError:
            return []
    if not (quota.isdecimal() and period.isdecimal()) or int(period) == 0:  # `max` and -1: no quota
        return []
    return [math.ceil(int(quota) / int(period))]


def ask(command: list[str]) -> str:
    """Return what a program prints; nothing where it is not there or fails."""
    import subprocess  # every sweep imports this module, few have GPUs

    try:
        done = subprocess.run(  # noqa: S603 # the commands stand below
            command, capture_output=True, text=True, timeout=_ASKING_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def gpus(environ: Mapping[str, str], ask: Ask = ask, devices: str = "/dev") -> Gpus:
    """Return the GPUs that this process may use, without loading a GPU library: that would take hold of them.

    What the environment names counts, and nothing else then: a scheduler has set it.
    """
    are_rocm = is_rocm(environ, devices)
    for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        if variable in environ:
            return Gpus(_visible(environ[variable]), are_rocm)
    if "ROCR_VISIBLE_DEVICES" in environ:  # one level below HIP, which counts what is left from 0
        return Gpus(tuple(map(str, range(len(_visible(environ["ROCR_VISIBLE_DEVICES"]))))), True)
    names = _listed_by_nvidia(ask(["nvidia-smi", "-L"]))
    if names:
        return Gpus(names)
    found = sorted({int(number) for number in re.findall(r"GPU\[(\d+)\]", ask(["rocm-smi", "--showid"]))})
    if found:
        return Gpus(tuple(map(str, found)), True)
    try:
        nodes = [name for name in os.listdir(devices) if re.fullmatch(r"nvidia\d+", name)]
    except OSError:
        nodes = []
    return Gpus(tuple(map(str, range(len(nodes)))))


def is_rocm(environ: Mapping[str, str], devices: str = "/dev") -> bool:
    """Tell whether GPUs are named to ROCm here."""
    if "HIP_VISIBLE_DEVICES" in environ or "ROCR_VISIBLE_DEVICES" in environ:
        return True
    return os.path.exists(f"{devices}/kfd") and not os.path.exists(f"{devices}/nvidiactl")


def _visible(text: str) -> tuple[str, ...]:
    names: list[str] = []
    for name in (item.strip() for item in text.split(",")):
        if not name or name.startswith("-") or name == "NoDevFiles":  # what follows does not count either
            break
        names.append(name)
    return tuple(names)


def _listed_by_nvidia(text: str) -> tuple[str, ...]:
    """Return a number for each GPU; for one that is partitioned, the UUIDs of its MIG instances."""
    names: list[str] = []
    whole: str | None = None
    for line in text.splitlines():
        if card := re.match(r"GPU (\d+):", line):
            whole = card[1]
            names.append(whole)
        elif line.strip().startswith("MIG") and (uuid := _UUID.search(line)):
            if names and names[-1] == whole:
                names.pop()
            names.append(uuid["name"])
    return tuple(names)
