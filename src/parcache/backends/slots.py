"""What each worker may use: settings turned into the environments that workers start with.

A slot is what one worker holds for as long as it lives, such as a GPU. Nothing here has effects; what the machine has
is asked for by functions that are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from parcache.backends.machine import Gpus
from parcache.errors import SettingError

_PREFIX: Final = "hydra.launcher.backend"
INDEX_VARIABLE: Final = "PARCACHE_SLOT"
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)
_GPU_VARIABLES: Final = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_GROUP: Final = {"gpus": None, "jobs_per_gpu": 1, "env": ()}


class SlotSettings(NamedTuple):
    """The group ``slots``, checked. ``gpus`` are names; None where none are asked for, ``auto`` for those there are."""

    gpus: tuple[str, ...] | str | None = None
    jobs_per_gpu: int = 1
    env: tuple[Mapping[str, str], ...] = ()

    @property
    def are_asked_for(self) -> bool:
        """Tell whether workers are to hold anything."""
        return self.gpus is not None or bool(self.env)


def read_slots(found: object) -> SlotSettings:
    """Return the group ``slots`` of the settings.

    Raises:
        SettingError: It is not one.
    """
    key = f"{_PREFIX}.slots"
    if found is None:
        return SlotSettings()
    if not isinstance(found, Mapping):
        raise SettingError(key, found, "a mapping with gpus, jobs_per_gpu and env")
    for name in found:
        if name not in _GROUP:
            raise SettingError(f"{key}.{name}", found[name], f"no such setting; known: {', '.join(_GROUP)}")
    given = {**_GROUP, **found}
    settings = SlotSettings(
        _gpus(f"{key}.gpus", given["gpus"]),
        whole_number(f"{key}.jobs_per_gpu", given["jobs_per_gpu"]),
        _sets(f"{key}.env", given["env"]),
    )
    if settings.gpus is not None and settings.env:
        raise SettingError(
            f"{key}.env", given["env"], "[] where slots.gpus is set: a worker holds one slot of one kind"
        )
    if settings.gpus is None and settings.jobs_per_gpu > 1:
        raise SettingError(f"{key}.jobs_per_gpu", given["jobs_per_gpu"], "1 where slots.gpus names no GPUs")
    return settings


def whole_number(key: str, found: object) -> int:
    """Return a setting that is a number of things.

    Raises:
        SettingError: It is none.
    """
    if type(found) is not int or found < 1:
        raise SettingError(key, found, "a whole number from 1")
    return found


def seconds(key: str, found: object) -> float:
    """Return a setting that is a time.

    Raises:
        SettingError: It is none.
    """
    if type(found) not in (int, float) or not 0 <= found < float("inf"):  # type: ignore[operator] # it is a number
        raise SettingError(key, found, "a number of seconds from 0")
    return float(found)  # type: ignore[arg-type] # checked above


def _gpus(key: str, found: object) -> tuple[str, ...] | str | None:
    if found is None or found == "auto":
        return found
    expected = "auto, or a list of what CUDA_VISIBLE_DEVICES takes, such as [0, 1]"
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        raise SettingError(key, found, expected)
    for name in found:
        if (
            type(name) not in (int, str)
            or (type(name) is int and name < 0)
            or not str(name).strip()
            or "," in str(name)
        ):
            raise SettingError(key, found, expected)
    names = tuple(str(name).strip() for name in found)
    if len(set(names)) < len(names):
        raise SettingError(key, found, "each GPU once (several jobs on each: slots.jobs_per_gpu)")
    return names


def _sets(key: str, found: object) -> tuple[Mapping[str, str], ...]:
    expected = "a list of sets of environment variables, one for each slot, such as [{DEVICE: a}, {DEVICE: b}]"
    if found is None:
        return ()
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise SettingError(key, found, expected)
    for each in found:
        if not isinstance(each, Mapping):
            raise SettingError(key, found, expected)
        for name, value in each.items():
            if not isinstance(name, str) or not name or "=" in name or "\0" in name:
                raise SettingError(key, found, expected)
            # YAML reads a bare yes as true: which of its spellings was meant is not for us to say.
            if type(value) not in (str, int, float) or "\0" in str(value):
                raise SettingError(f"{key} at {name}", value, "a string or a number; quote it: '1'")
            if name == INDEX_VARIABLE:
                raise SettingError(f"{key} at {name}", value, "another name: this one says which slot a worker holds")
    return tuple({name: str(value) for name, value in each.items()} for each in found)


def slot_environments(settings: SlotSettings, find: Callable[[], Gpus], is_rocm: bool) -> list[dict[str, str]]:
    """Return what each slot's worker is to find in its environment; no slots where none are asked for.

    ``find`` is asked only for ``gpus: auto``. Consecutive slots are on different GPUs: where fewer workers than slots
    run, they spread.

    Raises:
        SettingError: There are no GPUs.
    """
    if settings.env:
        return [dict(each) for each in settings.env]
    if settings.gpus is None:
        return []
    gpus = Gpus(settings.gpus, is_rocm) if isinstance(settings.gpus, tuple) else find()
    if not gpus.names:
        expected = (
            "GPUs on this machine, and found none in CUDA_VISIBLE_DEVICES, by nvidia-smi or by rocm-smi; "
            "name them, such as [0, 1]"
        )
        raise SettingError(f"{_PREFIX}.slots.gpus", "auto", expected)
    names = _GPU_VARIABLES if gpus.are_rocm else _GPU_VARIABLES[:1]
    return [dict.fromkeys(names, gpu) for _ in range(settings.jobs_per_gpu) for gpu in gpus.names]


def slot_variables(settings: SlotSettings) -> frozenset[str]:
    """Return the variables of which each worker may have a value of its own."""
    names = {name for each in settings.env for name in each} | {INDEX_VARIABLE}
    return frozenset(names | set(_GPU_VARIABLES) if settings.gpus is not None else names)


def thread_limits(threads: int | str | None, cores: int, workers: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that limit the threads of numeric libraries, but for those that the user has set."""
    if threads is None:
        return {}
    number = threads if isinstance(threads, int) else max(1, cores // workers)
    return {name: str(number) for name in THREAD_VARIABLES if name not in environ}


def check_workers(found: object) -> None:
    """Check the setting ``workers``; a profile is YAML without types.

    Raises:
        SettingError: It is no number of workers.
    """
    if found == 0 or (found is not None and type(found) is not int):
        expected = "a whole number from 1, or a negative one (-1: all cores, -2: all but one)"
        raise SettingError(f"{_PREFIX}.workers", found, expected)


def number_of_workers(asked: int | None, cores: int, slots: int) -> int:
    """Return how many workers there are; ``slots`` is 0 where there are none.

    Raises:
        SettingError: More workers are asked for than there are slots.
    """
    if asked is not None and asked > 0:
        if 0 < slots < asked:
            expected = f"at most {slots}, the number of slots (null: one for each)"
            raise SettingError(f"{_PREFIX}.workers", asked, expected)
        return asked
    number = cores if asked is None else max(1, cores + 1 + asked)
    if not slots:
        return number
    return slots if asked is None else min(slots, number)
