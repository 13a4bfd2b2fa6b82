"""The items of ``cache.inputs``: for each job, the files and folders that they name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from parcache.errors import SettingError
from parcache.hydra.base import in_force, live_hydra_config
from parcache.hydra.compose import ComposedJob

_KEY: Final = "hydra.launcher.cache.inputs"


def named_inputs(items: Sequence[str], job: ComposedJob, root: str) -> tuple[tuple[str, str], ...]:
    """Return (item, absolute path) of what the items name for a job; relative paths lie where the sweep was started.

    An item that is a key of the job's config means its value. Any other is a path.

    Raises:
        SettingError: A key's value is no path, or an item is no key and does not look like a path.
    """
    if not items:
        return ()
    config = job.base.task_config(job.variation)
    live = live_hydra_config(job.base.whole_config(job.variation))
    with job.environment(), in_force(live):
        return tuple((item, os.path.abspath(os.path.join(root, _path(item, config, root)))) for item in items)


def _path(item: str, config: DictConfig, root: str) -> str:
    try:
        value: Any = OmegaConf.select(config, item, default=_ABSENT, throw_on_missing=True)
    except OmegaConfBaseException as error:
        if item.partition(".")[0] in config:
            problem = str(error).splitlines()[0]
            raise SettingError(_KEY, item, f"a config key that names a file or folder ({problem})") from None
        value = _ABSENT
    if isinstance(value, (str, os.PathLike)):
        return os.path.expanduser(os.fspath(value))
    if value is not _ABSENT:
        shown = "a mapping or list" if OmegaConf.is_config(value) else repr(value)
        raise SettingError(_KEY, item, f"a config key that names a file or folder; this one's value is {shown}")
    path = os.path.expanduser(item)
    if "/" in path or os.path.exists(os.path.join(root, path)):
        return path
    known = ", ".join(sorted(map(str, config))) or "none"
    raise SettingError(
        _KEY, item, f"a config key (at the top there are: {known}), or the path of a file or folder such as data/{item}"
    )


_ABSENT: Final = object()
