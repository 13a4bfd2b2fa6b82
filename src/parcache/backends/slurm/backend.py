"""Jobs as tasks of a cluster: what the schedule sees of it."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, wait
from typing import Any, Final, TypeVar

from parcache.backends.checkpoints import Listening
from parcache.backends.child import new_setup
from parcache.backends.owner import this_process
from parcache.backends.protocol import About, Place
from parcache.backends.slurm import settings as given
from parcache.backends.slurm import visibility
from parcache.backends.slurm.clusters import Cluster, connect
from parcache.backends.slurm.fleet import Fleet
from parcache.backends.slurm.logs import error_log, last_words, tidy
from parcache.backends.slurm.others import Attached, Others
from parcache.backends.slurm.shares import thread_limits
from parcache.backends.slurm.spool import Call, Closing, Spool
from parcache.backends.slurm.watch import Sent, Watch
from parcache.errors import NotVisibleError, SettingError, SubmissionError, WorkerDiedError
from parcache.home import PACKAGE

log = logging.getLogger("parcache")
R = TypeVar("R")

_PREFIX: Final = "hydra.launcher.backend"
_CAPACITY: Final = 1_000_000
# What workers may take to end when a sweep is interrupted.
_ENDING_S: Final = 3.0


class SlurmBackend:
    """Executes functions on a cluster, through a spool that agents take them from.

    ``settings`` has what each of the settings means. Those that go into the batch script are submitit's.

    Raises:
        BackendSettingError: Neither this backend nor submitit knows one of the settings.
        SettingError: A setting has a value that it cannot have.
    """

    jobs_per_call = 1
    per_job = given.PER_JOB

    def __init__(
        self,
        cluster: str = "slurm",
        tasks: int | None = None,
        jobs_per_task: int | None = None,
        parallel_per_task: int = 1,
        array_parallelism: int | None = None,
        detach: bool = False,
        threads: int | str | None = "auto",
        idle_s: float = 10.0,
        python: str | None = None,
        check_paths: bool = True,
        **parameters: Any,
    ) -> None:
        values = {name: value for name, value in locals().items() if name in given.OWN}
        self._settings = given.read_settings(values, parameters)
        self._is_debug = self._settings.cluster == "debug"
        self.executes_elsewhere = not self._is_debug
        self.detach = self._settings.detach
        here = os.getcwd()
        self._place = Place("parcache", here, here)
        self._initializer: Callable[[], None] | None = None
        self._lock = threading.RLock()
        self._numbers = 0
        self._cluster: Cluster | None = None
        self._spool: Spool | None = None
        self._fleet: Fleet | None = None
        self._others: Others | None = None
        self._watch: Watch | None = None
        self._over = threading.Event()
        self.refusal: SubmissionError | None = None
        """Why nothing at all could be submitted."""

    @property
    def capacity(self) -> int:
        """All at once: a scheduler is given the whole of it."""
        return 1 if self._is_debug else _CAPACITY

    @property
    def workers(self) -> int:
        """How many calls are executed at a time, at most."""
        return 1 if self._is_debug else self._settings.workers

    def settle(self, place: Place) -> None:
        """Take note of where the sweep is at home."""
        self._place = place

    def environment(self, names: Collection[str]) -> Mapping[str, str]:
        """Return what of these variables the workers find changed."""
        resources = given.resources(self._settings, {}, self._place.name)
        limits = thread_limits(self._settings.threads, resources.cpus, self._settings.parallel)
        return {
            name: limits[name] for name in names if name in limits and name not in os.environ and not self._is_debug
        }

    def start(self, initializer: Callable[[], None]) -> None:
        """Find the cluster and make the spool. Nothing is submitted before the first ``flush``.

        Raises:
            BackendNotInstalledError: There is no Slurm here.
            NotVisibleError: The nodes would not see what they need.
        """
        self._initializer = initializer
        self._over.clear()  # it may be started again, for another batch
        self.refusal = None
        self._numbers = 0
        if self._is_debug:
            initializer()
            return
        place = self._place
        if self.detach and place.shared is None:
            expected = "false where nothing is stored: nobody would be there to take the results"
            raise SettingError(f"{_PREFIX}.detach", True, expected)
        logs = self._logs
        self._cluster = connect(self._settings, logs)
        self._check_paths(self._cluster)
        self._spool = self._new_spool()
        self._fleet = Fleet(self._spool, self._cluster, self._settings, logs, retries=place.retries)
        self._others = Others(os.path.dirname(self._spool.folder), self._spool)
        self._others.survey(self._cluster)
        self._watch = Watch(self._spool, self._cluster, self._fleet, self._others, self._lock)

    def _new_spool(self) -> Spool:
        """Make a spool in the store; where that cannot be written to, in the sweep's directory."""
        place = self._place
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        owner = {**this_process(), "sweep_dir": place.sweep_dir}
        if place.shared is not None:
            spool = Spool(os.path.join(place.shared, name))
            try:
                spool.create(owner)
                return spool
            except OSError as error:
                log.warning("Other sweeps will not find these jobs: %s", error)
                spool.remove()
        spool = Spool(os.path.join(self._logs, name))
        spool.create(owner)
        return spool

    @property
    def _logs(self) -> str:
        """Where the batch scripts are, and what the tasks print."""
        return os.path.join(self._place.sweep_dir, ".slurm")

    def _check_paths(self, cluster: Cluster) -> None:
        if not self._settings.check_paths:
            return
        place = self._place
        places = {"the working directory": place.folder, "the sweep's directory": place.sweep_dir}
        if place.store is not None:
            places["the store"] = place.store
        if self._settings.python is None:
            places |= {"Python": sys.executable, "parcache": PACKAGE}
        nodes, here = cluster.nodes(), visibility.name_here()
        invisible = visibility.invisible(places, nodes, visibility.mounts_here(), here)
        if invisible:
            raise NotVisibleError(invisible, visibility.others(nodes, here))

    def submit(self, function: Callable[[Any], R], argument: Any) -> Future[R]:
        """Queue a call, and start what it takes."""
        future = self.submit_job(function, argument, About(self._numbers))
        self.flush()
        return future

    def submit_job(self, function: Callable[[Any], R], argument: Any, about: About) -> Future[R]:
        """Queue a call. What cannot be pickled fails the future alone.

        Raises:
            SettingError: A setting of the job's own has a value that it cannot have.
            Exception: The initializer cannot be pickled.
        """
        if self._is_debug:
            return _executed_here(function, argument)
        if self._spool is None or self._fleet is None or self._watch is None or self._initializer is None:
            raise RuntimeError("submit_job() was called before start()")
        if self._over.is_set():
            raise RuntimeError("submit_job() was called after stop()")
        from parcache.pickling import dumps

        attached: Any = self._watch.attach(about.key)
        if attached is not None:
            return attached  # type: ignore[no-any-return] # it never has a result
        if not self._numbers:
            import pickle

            self._spool.write_setup(pickle.dumps(new_setup(Listening(self._initializer))))
        self._numbers += 1
        resources = given.resources(self._settings, about.settings, self._place.name)
        with self._lock:
            group = self._fleet.group_of(resources).number
        sent = Sent(Call(self._numbers, 0, about.key), group, self._watch.has_begun)
        try:
            data = dumps((function, argument))
        except Exception as error:
            sent.set_exception(error)
            return sent
        self._watch.add(sent)
        self._spool.put(group, sent.call, data)
        return sent

    def flush(self) -> None:
        """Submit the agents that what is queued needs, one array for each distinct set of resources."""
        if self._fleet is None or self._watch is None:
            return
        with self._lock:
            problems = self._fleet.man()
            if not self._fleet.tasks and not self._watch.attached():
                self.refusal = next((each for each in problems.values() if isinstance(each, SubmissionError)), None)
        self._watch.start()
        self._watch.give_up(problems)

    def running_s(self, future: Future[Any]) -> float | None:
        """Return for how long a call has been running (s)."""
        if isinstance(future, Attached):
            return future.running_s()
        return self._watch.running_s(future) if self._watch is not None and isinstance(future, Sent) else None

    def kill(self, future: Future[Any]) -> None:
        """End a call: where it waits it does not start, where it runs its worker ends."""
        if self._is_debug or self._watch is None or self._spool is None:
            return
        if isinstance(future, Attached):  # its own sweep may think otherwise
            self._watch.let_go(future, WorkerDiedError(None, "this sweep waited for it no longer"))
            return
        if not isinstance(future, Sent):
            raise TypeError("kill() takes a future that this backend has returned")
        if not future.done() and not self._watch.withdraw(
            future, WorkerDiedError(None, "it was stopped before it started")
        ):
            self._spool.ask_to_end(future.call.number)

    def complaints(self) -> str:
        """Return the end of what the last task has written to its standard error."""
        with self._lock:
            tasks = [] if self._fleet is None else list(self._fleet.tasks)
        return last_words(error_log(self._logs, tasks[-1])) if tasks else ""

    def stop(self, *, cancel: bool) -> None:
        """End the agents and delete the spool. With ``cancel``, end what runs and take back what waits."""
        spool, fleet, watch, cluster = self._spool, self._fleet, self._watch, self._cluster
        if self._over.is_set() or spool is None or fleet is None or watch is None or cluster is None:
            return
        if not cancel:
            while unfinished := [*watch.unfinished(), *watch.attached()]:
                wait(unfinished)
            if self._over.is_set():  # it was interrupted meanwhile
                return
        self._over.set()
        spool.close(Closing.CANCEL if cancel else Closing.END)
        with self._lock:
            jobs, alive = fleet.jobs, fleet.alive
        started = spool.tasks()
        if alive if cancel else any(task.id not in started for task in alive):
            cluster.cancel(jobs, only_waiting=not cancel)
        if cancel and self._others is not None:
            self._others.cancel(watch.attached(), cluster)
        watch.stop()
        if cancel:
            for attached in watch.attached():
                watch.let_go(attached, WorkerDiedError(None, "it was stopped"))
            self._await_end(spool, fleet)
            for sent in watch.unfinished():
                watch.fail(sent, WorkerDiedError(None, "it was stopped"))
        spool.remove()
        tidy(self._logs, fleet.tasks)

    def leave(self) -> str:
        """Leave what was submitted to itself; return how many calls wait or run, and how to follow them."""
        spool, fleet, watch = self._spool, self._fleet, self._watch
        if self._over.is_set() or spool is None or fleet is None or watch is None:
            return "Nothing waits or runs."
        self._over.set()
        watch.stop()
        waiting = sum(len(spool.waiting(group)) for group in spool.groups())
        running = len(spool.claims())
        spool.write_owner({**spool.owner(), "is_detached": True})
        jobs = sorted({task.job for task in fleet.tasks.values()})
        attached = len(watch.attached())
        elsewhere = f" {attached} more wait or run for other sweeps." if attached else ""
        if not jobs:
            return f"{waiting + running} jobs wait or run.{elsewhere}"
        follow = f"squeue -j {','.join(jobs)}" if self._settings.cluster == "slurm" else f"ps -p {','.join(jobs)}"
        return (
            f"{waiting} jobs wait and {running} run.{elsewhere} Follow them: {follow}; "
            f"what they print is in {self._logs}. Run the same command again for their results: "
            "it submits nothing that waits or runs"
        )

    def _await_end(self, spool: Spool, fleet: Fleet) -> None:
        """Wait until agents have ended what ran, for as long as that may take at most."""
        deadline_s = time.monotonic() + _ENDING_S
        while time.monotonic() < deadline_s:
            at_work = {task for task, has_left in spool.tasks().items() if not has_left}
            if at_work.isdisjoint(task.id for task in fleet.alive):
                return
            time.sleep(0.02)


def _executed_here(function: Callable[[Any], R], argument: Any) -> Future[R]:
    """Execute a call in this process, by submitit's debug executor."""
    import tempfile

    from submitit.local.debug import DebugExecutor

    future: Future[R] = Future()
    job: Any = DebugExecutor(os.path.join(tempfile.gettempdir(), "parcache-debug")).submit(function, argument)
    # Not by results(): that opens a debugger on standard input, wherever it is.
    try:
        error = job.exception()
    except KeyboardInterrupt:
        raise
    except BaseException as raised:
        error = raised
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(job._submission._result)
    return future
