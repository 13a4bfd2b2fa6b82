"""What Hydra finds: the launcher, the path to the shipped profiles, and the config groups of both.

Hydra executes this module at the start of every app on the machine (1.3 more than once): it stays thin and imports
nothing of parcache but the schema.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.plugins.config_source import ConfigLoadError
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin

from parcache.hydra import schema

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from parcache.hydra.launch import Sweep


class ParcacheLauncher(Launcher):
    """Hydra's launcher interface onto ``parcache.hydra.launch.Sweep``."""

    def __init__(self, **_: Any) -> None:
        # Settings are read in setup(), from the whole config: there every interpolation can be resolved.
        self._sweep: Sweep | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Check the settings and get ready."""
        import weakref

        from parcache.hydra.launch import Sweep

        self._sweep = Sweep(hydra_context, task_function, config)
        # Hydra 1.3 tells nobody that a sweep has failed: then the sweep ends with its launcher, or with the process.
        weakref.finalize(self, self._sweep.close)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one batch."""
        if self._sweep is None:
            raise RuntimeError("ParcacheLauncher.launch() was called before setup()")
        return self._sweep.launch(job_overrides, initial_job_idx)


class ParcacheSearchPath(SearchPathPlugin):
    """Makes the profiles that ship with parcache available to every app."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder of profiles: inside the installed package, or beside the sources of an editable install."""
        package = os.path.dirname(os.path.dirname(os.path.abspath(schema.__file__)))
        for folder in (os.path.join(package, "conf"), os.path.join(package, "..", "..", "conf")):
            if os.path.isdir(os.path.join(folder, "hydra", "launcher", "backend")):
                search_path.append(provider="parcache", path=f"file://{os.path.abspath(folder)}")
                return


def _register() -> None:
    store = ConfigStore.instance()
    nodes: list[tuple[str, str, type]] = [
        ("hydra/launcher", "parcache", schema.LauncherConf),
        ("hydra/launcher/backend", "serial", schema.SerialBackendConf),
        ("hydra/launcher/backend", "process", schema.ProcessBackendConf),
    ]
    for group, name, node in nodes:
        # Hydra executes this module again when it restores its state in a worker, and 1.4 warns of registering twice.
        try:
            store.load(f"{group}/{name}.yaml")
        except ConfigLoadError:
            store.store(group=group, name=name, node=node, provider="parcache")


_register()
