"""parcache among Hydra's callbacks: it wants to know when a sweep ends."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hydra._internal.callbacks import Callbacks


class SweepEndCallback:
    """Tells parcache that the sweep is over. Stands in Hydra's list of callbacks; never leaves the process."""

    def __init__(self, at_end: Callable[[], None]) -> None:
        self._at_end = at_end

    def on_multirun_end(self, **_: Any) -> None:
        """Call back."""
        self._at_end()

    def _pass(self, **_: Any) -> None:
        """Hydra calls every callback for every event."""

    on_multirun_start = on_run_start = on_run_end = on_job_start = on_job_end = on_compose_config = _pass


def has_users_own(callbacks: Callbacks) -> bool:
    """Tell whether the user has callbacks."""
    return any(not isinstance(item, SweepEndCallback) for item in callbacks.callbacks)


def for_one_job(callbacks: Callbacks) -> Callbacks:
    """Return Hydra's list with a copy of each callback: some keep in ``self`` what ``on_job_end`` is to know of a job.

    The copies are shallow: what a callback collects over all jobs, in a list of its own, it still does.
    """
    kept = copy.copy(callbacks)
    kept.callbacks = [_copied(item) for item in callbacks.callbacks]
    return kept


def _copied(item: Any) -> Any:
    try:
        return copy.copy(item)
    except Exception:  # it holds what has no copies: then all jobs share it
        return item


def users_own(callbacks: Callbacks) -> Callbacks:
    """Return Hydra's list of callbacks without parcache's."""
    kept = copy.copy(callbacks)
    kept.callbacks = [item for item in callbacks.callbacks if not isinstance(item, SweepEndCallback)]
    return kept
