"""The folder of a local cluster's workers. One whose sweep was killed is removed by the next that starts.

A process that is killed removes nothing, and its workers, that end with it, may be killed as well.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from typing import Any, Final

from parcache.backends.owner import lives, this_process

_PREFIX: Final = "parcache-dask-"
_OWNER: Final = "owner.json"


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new folder that names its process, and remove those whose process has ended."""
    _remove_left(tempfile.gettempdir())
    folder = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    with open(os.path.join(folder.name, _OWNER), "w", encoding="utf-8") as file:
        json.dump(_owner(), file)
    return folder


def _owner() -> dict[str, Any]:
    """Return what names this process: in containers numbers of processes are those of a namespace."""
    names = ""
    with suppress(OSError):  # macOS has none
        names = os.readlink("/proc/self/ns/pid")
    return {**this_process(), "namespace": names}


def _remove_left(parent: str) -> None:
    own = _owner()
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False) and _is_left(entry, own):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_left(folder: os.DirEntry[str], own: dict[str, Any]) -> bool:
    """Tell whether the process has ended; only of one that this one would see if it had not."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        if folder.stat(follow_symlinks=False).st_uid != os.getuid():
            return False
        with open(os.path.join(folder.path, _OWNER), encoding="utf-8") as file:
            owner = json.load(file)
        is_seen = all(owner.get(name) == own[name] for name in ("host", "boot", "namespace"))
        return is_seen and not lives(owner, 0.0)
    return False
