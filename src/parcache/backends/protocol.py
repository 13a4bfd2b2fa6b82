"""The seam that a backend implements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

R = TypeVar("R")


class Place(NamedTuple):
    """Where a sweep is at home; all paths are absolute.

    ``shared`` is a folder that this backend has for itself in the store, and finds again in a later sweep: None where
    the sweep stores nothing. ``store`` is the store's own, None likewise. ``folder`` is the working directory. ``name``
    is the app's, fit for a scheduler to show. ``retries`` is how often a failed job runs again: so often a scheduler
    may take a job back and start it anew, too.
    """

    name: str
    sweep_dir: str
    folder: str
    store: str | None = None
    shared: str | None = None
    retries: int = 0


class About(NamedTuple):
    """What ``submit_job`` is told of its call.

    ``key`` is the digest under which the call publishes its result: calls with one key do the same work. It is None
    where it publishes nothing, or is to run whatever others do. ``settings`` are those of ``Backend.per_job`` that
    depend on the job, as it has them.
    """

    number: int
    key: str | None = None
    settings: Mapping[str, Any] = {}


class Backend(Protocol):
    """Executes functions somewhere, and nothing else.

    What is written once above the backends (order, failures, results, the store) is no concern of theirs. A backend
    is made from its settings by keyword (the keys of its YAML, without ``name``), started once, given work, and
    stopped once; all calls come from one thread.

    What a backend may have besides:

    - ``jobs_per_call = 1``: one call executes several jobs where they are short. A backend to which that matters,
      because each job is to have a process of its own, says so by this attribute.
    - ``kill(future)``: ends the call that a future of ``submit`` stands for, running or not, with all processes that it
      has started; the future then fails, and no other does. Called from any thread; does nothing for a future that is
      done. A job on a backend without it cannot be stopped: it runs past its time, and to its end when a sweep stops.
    - ``environment(names)``: which of these environment variables all workers find with other values than the
      sweeping process, and which; raises a SettingError where one differs from worker to worker. Asked for the names
      in ``cache.env`` before jobs are keyed, and before ``start``.

    - ``shares_process = True``: it executes functions in the sweeping process, beside each other or beside what that
      process does. Jobs are then kept apart as far as one process allows, and those that cannot be are refused.
    - ``executes_elsewhere = True``: ``submit`` returns at once, and nothing executes in the thread that calls it. A
      Ctrl-C then does not raise in that thread, which looks for it between two ends instead.
    - ``workers``: how many functions are executed at a time; without it, ``capacity`` is taken for that.

    What a backend needs besides that hands its work to somebody else's scheduler:

    - ``settle(place)``: called once, before ``start``.
    - ``submit_job(function, argument, about)``: called in place of ``submit``, with one job each time.
    - ``per_job``: the names of those settings that may differ from job to job. Where the config has an interpolation
      in one of them, the backend is made without it, and ``submit_job`` is told what each job's own config makes of it.
    - ``flush()``: nothing more is submitted until something has ended.
    - ``refusal``: after a ``flush``, the ParcacheError by which the scheduler has refused all there was, None where it
      has taken, or had taken, anything. The sweep then ends by it, once, instead of each job.
    - ``running_s(future)``: for how long its call has been running (s), None where it waits or has ended. Without it,
      the workers are taken to share a file system and a clock with the sweeping process. Called from any thread.
    - ``complaints()``: what its workers have written to their standard error last, apart from what jobs write. The
      doctor shows it: that of a command which fails where workers are started, say.
    - ``detach``: True where the sweep is to end as soon as all is submitted; then ``leave()`` takes the place of
      ``stop`` and returns a text for the user: how many wait or run, and how to follow them.

    Its futures fail with an ``ElsewhereError`` where another sweep's call with the same key has ended: the result, if
    there is any, is then in the store.

    A future's ``running()`` should tell whether its call executes, not only waits; where that is not known it may be
    True from the beginning.
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

        Both are picklable by cloudpickle. The future fails, and only it, where the worker dies (with a
        ``WorkerDiedError``, or a ``BrokenExecutor``) or something cannot be pickled. Executing at once and returning
        a finished future is allowed.
        """

    def stop(self, *, cancel: bool) -> None:
        """Release everything; with ``cancel``, end what runs instead of waiting for it. May be called twice."""
