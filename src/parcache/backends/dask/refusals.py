"""Workers that a batch system refuses to take. Of a failed submission Dask keeps nothing that can be asked for.

A worker whose start has failed stays among its cluster's workers, as one that is to come, and the exception goes to a
logger alone. So the class of the workers that are still to be made is one here that keeps the reason.
"""

from __future__ import annotations

from typing import Any, Final

_REASON: Final = "parcache_refusal"
_STDERR: Final = "stderr:\n"
_LINES: Final = 6


def is_of_jobs(kind: Any) -> bool:
    """Tell whether a cluster class is one of dask-jobqueue's, or made of one."""
    return any(each.__name__ == "JobQueueCluster" for each in getattr(kind, "__mro__", ()))


def keep_refusals(cluster: Any) -> None:
    """Have a cluster's workers keep why they were refused, if their start is a message to something else."""
    from distributed.core import Status
    from distributed.deploy.spec import ProcessInterface

    spec = getattr(cluster, "new_spec", None)
    kind = spec.get("cls") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(kind, type) or not issubclass(kind, ProcessInterface):
        return

    class Told(kind):  # type: ignore[misc, valid-type]  # a class that is known only now
        async def start(self) -> None:
            try:
                await super().start()
            except Exception as error:
                # Its text alone: with the traceback the worker would be kept, and the cluster wait for it at its end.
                setattr(self, _REASON, _told(error))
                self.status = Status.failed
                raise

    Told.__name__, Told.__qualname__ = kind.__name__, kind.__qualname__
    cluster.new_spec = {**spec, "cls": Told}


def refusals(cluster: Any) -> list[str]:
    """Say why those of the workers that a cluster has been asked for were refused that were."""
    workers = dict(getattr(cluster, "workers", None) or {})
    wanted = list(getattr(cluster, "worker_spec", None) or {})
    reasons = [getattr(workers.get(name), _REASON, "") for name in wanted]
    return [reason for reason in reasons if reason]


def refusal(cluster: Any) -> str:
    """Say why all of them were refused; empty where one may come yet."""
    found = refusals(cluster)
    return found[-1] if found and len(found) == len(cluster.worker_spec) else ""


def _told(error: Exception) -> str:
    """Return in one line what a command has said, or what an exception says of itself."""
    text = str(error)
    said = text.rpartition(_STDERR)[2] if _STDERR in text else ""
    lines = [line.strip() for line in (said.strip() or f"{type(error).__name__}: {text}").splitlines()]
    return "; ".join([line for line in lines if line][-_LINES:])
