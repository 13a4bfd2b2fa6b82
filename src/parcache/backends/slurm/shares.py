"""What each of the workers beside each other in one allocation gets of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from parcache.backends.slots import INDEX_VARIABLE, THREAD_VARIABLES

_GPU_VARIABLES: Final = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def thread_limits(threads: int | str | None, cpus: int | None, parallel: int) -> dict[str, str]:
    """Return the variables that limit the threads of numeric libraries; none where it is not known what there is."""
    if threads is None or (threads == "auto" and cpus is None):
        return {}
    number = threads if isinstance(threads, int) else max(1, (cpus or 1) // parallel)
    return {name: str(number) for name in THREAD_VARIABLES}


def environments(parallel: int, limits: Mapping[str, str], environ: Mapping[str, str]) -> list[dict[str, str]]:
    """Return what each of so many workers is to find in its environment.

    The GPUs of the allocation are divided among them; where there are fewer than workers, several share one.
    """
    own = {name: value for name, value in limits.items() if name not in environ}
    return [{**own, **_gpus_of(index, parallel, environ), INDEX_VARIABLE: str(index)} for index in range(parallel)]


def _gpus_of(index: int, parallel: int, environ: Mapping[str, str]) -> dict[str, str]:
    if parallel == 1:
        return {}
    found = {name: [each for each in environ[name].split(",") if each] for name in _GPU_VARIABLES if name in environ}
    return {name: ",".join(share(index, parallel, gpus)) for name, gpus in found.items() if gpus}


def share(index: int, number: int, things: Sequence[str]) -> Sequence[str]:
    """Return one of so many shares: all alike in size but for one; one thing each where there are fewer things."""
    if len(things) < number:
        return things[index % len(things) :][:1]
    size, extra = divmod(len(things), number)
    first = index * size + min(index, extra)
    return things[first : first + size + (index < extra)]
