"""The launcher's config surface, field by field. Mutable dataclasses: OmegaConf cannot merge into frozen ones.

Imported at the start of every Hydra app on the machine: it may import nothing but dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, List, Optional  # noqa: UP035 - OmegaConf reads these at run time, also on 3.10


@dataclass
class CacheConf:
    """What is looked up and stored, and by what it is found."""

    dir: str = "${oc.env:PARCACHE_DIR,.parcache}"
    """The store's directory; a relative one lies where the sweep was started."""

    mode: str = "use"
    """use: look up and store. refresh: run everything and overwrite. readonly: look up, never write. off: neither.
    The environment variable PARCACHE_MODE comes before it."""

    salt: str = ""
    """Part of every key: change it to start afresh without deleting anything."""

    env: List[str] = field(default_factory=list)  # noqa: UP006
    """Names of environment variables whose values belong to the key."""

    ignore: List[str] = field(default_factory=list)  # noqa: UP006
    """Task-config keys that cannot change the result: dotted paths, wildcards within a segment
    ('trainer.*.num_workers'). What lies below such a key is ignored with it."""

    code: str = "closure"
    """closure: the code that a job can reach belongs to its key. off: the caller vouches for it."""


@dataclass
class SerialBackendConf:
    """One job after the other, in the sweeping process."""

    name: str = "serial"
    """The backend's name in the registry."""


@dataclass
class ProcessBackendConf:
    """A pool of processes on this machine."""

    name: str = "process"
    """The backend's name in the registry."""

    workers: Optional[int] = None  # noqa: UP045
    """How many jobs at once: null for the cores that this process may use; -2 for all cores but one, and so on."""


@dataclass
class LauncherConf:
    """hydra/launcher=parcache."""

    defaults: List[Any] = field(default_factory=lambda: [{"backend": "process"}, "_self_"])  # noqa: UP006
    _target_: str = "hydra_plugins.hydra_parcache.plugins.ParcacheLauncher"

    backend: Any = "???"
    """Where jobs run: a choice of the group hydra/launcher/backend."""

    cache: CacheConf = field(default_factory=CacheConf)
    """What is looked up and stored."""
