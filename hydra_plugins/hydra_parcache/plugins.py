"""What Hydra finds: the launcher, and the path to its config and the profiles that ship with it.

Hydra executes this module at the start of every app on the machine (1.3 more than once): it stays thin. The config is
YAML, which nobody reads who does not choose it; registering it as structured configs took every app 4 ms. Nothing of
``parcache`` itself is imported before the launcher is set up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin

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
        import gc
        import weakref

        collects = gc.isenabled()
        gc.disable()  # what is imported stays: looking through it for garbage takes a tenth of the time
        try:
            from parcache.hydra.launch import Sweep
        finally:
            if collects:
                gc.enable()
        self._sweep = Sweep(hydra_context, task_function, config)
        # Hydra 1.3 tells nobody that a sweep has failed: then the sweep ends with its launcher, or with the process.
        weakref.finalize(self, self._sweep.close)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one batch."""
        if self._sweep is None:
            raise RuntimeError("ParcacheLauncher.launch() was called before setup()")
        return self._sweep.launch(job_overrides, initial_job_idx)


class ParcacheSearchPath(SearchPathPlugin):
    """Makes the launcher's config and the profiles that ship with parcache available to every app."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder of configs: inside the installed package, or beside the sources of an editable install."""
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        for folder in (os.path.join(root, "parcache", "conf"), os.path.join(root, "conf")):
            if os.path.isdir(os.path.join(folder, "hydra", "launcher", "backend")):
                search_path.append(provider="parcache", path=f"file://{folder}")
                return
