"""The seam that a backend implements."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

R = TypeVar("R")


class Backend(Protocol):
    """Executes functions somewhere, and nothing else.

    What is written once above the backends (order, failures, results, the store) is no concern of theirs. A backend
    is made from its settings by keyword (the keys of its YAML, without ``name``), started once, given work, and
    stopped once; all calls come from one thread.

    One call executes several jobs where they are short. A backend to which that matters, because each job is to have
    a process of its own, says so by an attribute ``jobs_per_call = 1``.
    """

    @property
    def capacity(self) -> int:
        """How many submitted functions may be unfinished at a time, at least 1: its workers and a small queue."""

    def start(self, initializer: Callable[[], None]) -> None:
        """Get ready. Every process that will execute functions calls the initializer before its first one.

        The initializer never raises, may be called more than once in a process, and is picklable by cloudpickle.
        """

    def submit(self, function: Callable[[Any], R], argument: Any) -> Future[R]:
        """Execute ``function(argument)`` in a worker.

        Both are picklable by cloudpickle. The future fails, and only it, where the worker dies or something cannot
        be pickled. Executing at once and returning a finished future is allowed.
        """

    def stop(self, *, cancel: bool) -> None:
        """Release everything; with ``cancel``, end what runs instead of waiting for it. May be called twice."""
