"""From what a user points at to a sweep's record: the last sweep, a job's directory, a sweep's directory."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from parcache.errors import ForeignDirectoryError, NoRecordError, NoStoreError
from parcache.store.paths import StorePaths
from parcache.store.store import Store
from parcache.store.sweeps import SweepRecord, records


class Found(NamedTuple):
    """The jobs that are meant: of one record, all of them where ``number`` is None."""

    paths: StorePaths
    record: SweepRecord
    number: int | None = None


def store_at(root: str | None) -> StorePaths:
    """Return the store that is named, or that ``PARCACHE_DIR`` names, or the one in this directory.

    Raises:
        NoStoreError: There is none.
        NewerFormatError: A newer parcache made it.
    """
    chosen = os.path.abspath(os.path.expanduser(root or os.environ.get("PARCACHE_DIR") or ".parcache"))
    if not os.path.isdir(os.path.join(chosen, "entries")):
        raise NoStoreError(chosen)
    return Store.open(chosen, writable=False).paths


def last_sweep(root: str | None, *, of_app: bool = False) -> Found:
    """Return the last sweep that was started here; the last of all that the store knows where there was none.

    ``of_app``: only those that came from a command line count.

    Raises:
        ParcacheError: There is none.
    """
    paths = store_at(root)
    here = os.path.realpath(os.getcwd())
    last = None
    for record in records(paths):
        if record.heading.is_app or not of_app:
            last = last or record
            if os.path.realpath(record.heading.cwd) == here:
                return Found(paths, record)
    if last is not None:
        return Found(paths, last)
    raise NoRecordError(paths.root, "of a sweep from the command line" if of_app else "of a sweep")


def sweep_in(folder: str, root: str | None) -> Found:
    """Return the job whose directory this is, or the sweep.

    Raises:
        ParcacheError: It is neither, or there is no record of it.
    """
    folder = os.path.realpath(folder)
    whole = os.path.join(folder, "multirun.yaml")
    single = os.path.join(folder, ".hydra", "hydra.yaml")
    if os.path.isfile(single):
        told = _told(single, folder)
        if told.number is None:
            raise ForeignDirectoryError(folder, "its .hydra/hydra.yaml names no job of a sweep")
    elif os.path.isfile(whole):
        told = _told(whole, folder)
    else:
        raise ForeignDirectoryError(folder, "it has no .hydra/hydra.yaml and no multirun.yaml")
    paths = store_at(root or told.store)
    for record in records(paths):
        sweep_dir = os.path.realpath(record.heading.sweep_dir)
        if told.number is None and sweep_dir in (folder, os.path.dirname(told.output_dir)):
            return Found(paths, record)
        if told.number in record.jobs and any(
            each.startswith(sweep_dir + os.sep) for each in (folder, told.output_dir)
        ):
            return Found(paths, record, told.number)
    raise NoRecordError(paths.root, f"of {folder}")


class _Told(NamedTuple):
    """What the files that Hydra wrote say of a job: ``number`` is None for a sweep's."""

    number: int | None
    output_dir: str
    store: str


def _told(path: str, folder: str) -> _Told:
    from omegaconf import OmegaConf

    try:
        hydra: Any = OmegaConf.load(path).hydra
        launcher = str(hydra.launcher.get("_target_"))
        # Nothing else is read: interpolations of Hydra's own resolve in its processes only.
        number = None if OmegaConf.is_missing(hydra.job, "num") else hydra.job.num
        output_dir = "" if OmegaConf.is_missing(hydra.runtime, "output_dir") else str(hydra.runtime.output_dir)
        cache: Any = hydra.launcher.get("cache")
        if cache is None:
            raise ForeignDirectoryError(folder, f"its launcher was {launcher}")
        store = os.path.join(str(hydra.runtime.cwd), os.path.expanduser(str(cache.dir)))
        return _Told(None if number is None else int(number), os.path.realpath(output_dir), store)
    except ForeignDirectoryError:
        raise
    except Exception as error:  # what a YAML parser and OmegaConf raise has no common root
        raise ForeignDirectoryError(folder, f"{path} cannot be read: {type(error).__name__}") from None
