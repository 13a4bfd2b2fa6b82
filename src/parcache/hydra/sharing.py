"""Jobs in flight at once in the sweeping process: what is kept apart for each, and which jobs are refused.

Kept apart are Hydra's ``HydraConfig``, and with it ``${hydra:...}`` and ``get_original_cwd``, the ``logging`` module,
lines that are printed, redirected streams, and the threads that jobs start with all of these. Hydra 1.4's execution
whitelist is a context variable, as these are.

The working directory and the environment belong to the process. Jobs that set them are refused, unless no
other can be in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hydra.core.hydra_config import HydraConfig

from parcache.backends import Backend
from parcache.errors import SharedProcessError
from parcache.hydra.compose import ComposedJob
from parcache.hydra.layout import layout_of
from parcache.hydra.settings import Audit
from parcache.run.lanes import SHARING, Attribute, Patch, PerLane


def shares_process(backend: Backend) -> bool:
    """Tell whether a backend runs jobs in the sweeping process beside other work."""
    return bool(getattr(backend, "shares_process", False))


def begin(backend: Backend) -> Callable[[], None]:
    """Get this process ready for a backend that shares it; return what ends that, to be called once."""
    if not shares_process(backend):
        return _nothing
    SHARING.hold(_patches())
    return SHARING.release


def check(backend: Backend, jobs: Sequence[ComposedJob], at_once: int, audit: Audit) -> None:
    """Refuse what cannot be kept apart. ``at_once`` is how many of these jobs can be due at a time.

    Raises:
        SharedProcessError: Some of the jobs set what belongs to the process, or are audited.
    """
    if not shares_process(backend):
        return
    SHARING.is_crowded = at_once > 1 and backend.capacity > 1
    problem = _problem(jobs, audit) if SHARING.is_crowded else None
    if problem is not None:
        raise problem


def _problem(jobs: Sequence[ComposedJob], audit: Audit) -> SharedProcessError | None:
    if audit is not Audit.OFF:
        key = "hydra.launcher.cache.audit"
        return SharedProcessError(key, audit.value, "off", jobs[0].number, "An audit sees every thread")
    for job in jobs:
        layout = layout_of(job.base)
        if layout.changes_directory(job.variation):
            is_default = layout.warns_of_chdir(job.variation)
            found = "true (by default, without version_base)" if is_default else "true"
            reason = "The working directory belongs to the process"
            return SharedProcessError("hydra.job.chdir", found, "false", job.number, reason)
        if layout.env_set_varies or layout.env_set:
            reason = "The environment belongs to the process"
            return SharedProcessError("hydra.job.env_set", "not empty", "{}", job.number, reason)
    return None


def _patches() -> list[Patch]:
    from parcache.run import belongings, imports, logs, printing, threads  # not where every job is a hit

    modules = belongings, imports, logs, printing, threads
    config = Attribute(HydraConfig, "cfg", lambda _: PerLane("cfg", is_lasting=True))
    return [config, *(patch for module in modules for patch in module.patches())]


def _nothing() -> None:
    """End nothing."""
