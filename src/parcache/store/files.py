"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress

from parcache.store.paths import StorePaths


def put(paths: StorePaths, path: str, data: bytes, twin: str | None = None) -> None:
    """Write a file of the store by a rename, and before it a second name of it, ``twin``: who finds one finds it whole.

    Raises:
        OSError: It could not be written; nothing is left behind.
    """
    scratch = paths.scratch(os.path.basename(path).lstrip("."))
    try:
        _fill(scratch, data)
        if twin is not None:
            _put_twin(paths, scratch, twin, data)
        _move(scratch, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(scratch)
        raise


def remove_scratch(paths: StorePaths, processes: Collection[int]) -> None:
    """Delete what these processes of this host were writing when they ended; those that live keep theirs."""
    with suppress(OSError):
        for name in os.listdir(paths.tmp):
            owner = paths.scratch_owner(name)
            if owner is not None and owner in processes and not _is_alive(owner):
                with suppress(OSError):
                    os.unlink(os.path.join(paths.tmp, name))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _put_twin(paths: StorePaths, scratch: str, path: str, data: bytes) -> None:
    # Under a name of its own first: link() does not replace what is there.
    second = paths.scratch(os.path.basename(path))
    try:
        try:
            os.link(scratch, second)
        except OSError:  # FAT, some network file systems, too many links: a copy. What else is wrong ails that as well
            _fill(second, data)
        _move(second, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(second)
        raise


def _fill(path: str, data: bytes) -> None:
    with open(path, "xb", buffering=0) as file:
        rest = memoryview(data)
        while rest:  # the system may take less than it is given: 2 GiB at most, and what fits the disk
            rest = rest[file.write(rest) :]


def _move(scratch: str, path: str) -> None:
    try:
        os.replace(scratch, path)
    except FileNotFoundError:  # the first file of its folder
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.replace(scratch, path)
