"""parcache from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def sweep(
    task: Callable[[Any], Any],
    config_name: str | None = "config",
    overrides: Sequence[str] = (),
    backend: str = "process",
) -> list[Any]:
    """Run a task function for every configuration that the overrides span; return the results in job order.

    The same keys and the same store as on the command line: what one stored, the other hits. To be called where
    Hydra is initialized::

        with hydra.initialize(config_path="conf", version_base=None):
            scores = parcache.sweep(train, overrides=["lr=0.1,0.01", "model=svm,forest"])

    Args:
        task: What runs, a function of the config; also as ``@hydra.main`` decorated it.
        config_name: The primary config, as in ``@hydra.main``.
        overrides: What would stand on the command line, sweeps included. Settings of parcache are among them:
            ``"hydra.launcher.cache.mode=refresh"``.
        backend: A choice of the config group ``hydra/launcher/backend``.

    Returns:
        What the task function returned, one for each job, in job order.

    Raises:
        HydraNotInitializedError: No ``initialize`` context is open.
        DetachedError: The backend's ``detach`` is true: all is submitted, and there are no results yet.
        ParcacheError: A setting is wrong.
        Exception: What the composition raised; or, once all jobs have ended, what the first failed job raised.
    """
    from parcache.hydra.python import multirun

    chosen = ["hydra/launcher=parcache", f"hydra/launcher/backend={backend}"]
    return [report.return_value for report in multirun(task, config_name, [*chosen, *overrides])]
