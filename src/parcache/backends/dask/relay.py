"""What runs inside a Dask worker: it hands calls on to processes of its own, and their answers back.

A job changes what is global to its process (the working directory, logging, signal handlers) and may end that process.
So none runs in the Dask worker: that has one process for each of its threads (``backends.pool``), and while a call runs
there, a coroutine that waits stands for it among the Dask worker's tasks.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from parcache.backends.child import Setup, new_setup
from parcache.backends.dask.guard import VARIABLE, Guard
from parcache.backends.dask.memory import largest_over
from parcache.backends.dask.quiet import TERMINALS
from parcache.backends.machine import set_variables
from parcache.backends.pool import Pool
from parcache.backends.slots import INDEX_VARIABLE
from parcache.backends.worker import Call
from parcache.errors import DaskVersionError, WorkerDiedError

if TYPE_CHECKING:
    from distributed import Worker, WorkerPlugin

# A call that runs for so long is told of: it then matters who has it, and since when. For shorter ones a message each
# would cost more than it is worth.
TOLD_AFTER_S: Final = 0.01
_ASK_AGAIN_S: Final = 0.1
_MEMORY_EVERY_S: Final = 0.5
_PACKAGES: Final = ("parcache", "hydra-core", "omegaconf", "cloudpickle", "dask", "distributed", "msgpack", "tornado")


class Assignment(NamedTuple):
    """What each Dask worker gets of a sweep. ``topic`` is where it tells of it, ``versions`` are the sweep's.

    ``memory_bytes`` is what its calls may use together; None for no limit.
    """

    topic: str
    setup: Setup
    versions: Mapping[str, str]
    memory_bytes: int | None = None


def assignment(
    topic: str,
    initializer: Callable[[], None],
    environ: Mapping[str, str | None],
    memory_bytes: int | None = None,
) -> Assignment:
    """Return a sweep's assignment; ``environ`` are variables that its jobs find with these values, or not at all.

    Raises:
        Exception: The initializer cannot be pickled.
    """
    return Assignment(topic, new_setup(partial(_enter, dict(environ), initializer)), versions(), memory_bytes)


def versions() -> dict[str, str]:
    """Return what is to be the same on both sides: of Python the minor version, of packages the version."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def plugin(given: Assignment) -> WorkerPlugin:
    """Return the plugin that has every Dask worker, also one that comes later, ready for a sweep's calls.

    It travels as its argument alone: a class that travels by value would not arrive on another Python, where the
    mismatch is to be told.
    """
    from distributed import WorkerPlugin

    class RelayPlugin(WorkerPlugin):  # type: ignore[misc]  # untyped in some versions
        name = given.topic

        def __reduce__(self) -> tuple[Any, ...]:
            return plugin, (given,)

        def setup(self, worker: Worker) -> None:
            _RELAYS[given.topic, worker.address] = Relay(given, worker)

        async def teardown(self, worker: Worker) -> None:
            relay = _RELAYS.pop((given.topic, worker.address), None)
            if relay is not None:
                await asyncio.to_thread(relay.close)

    return RelayPlugin()


async def relay(topic: str, number: int, call: bytes) -> bytes:
    """Execute a pickled call beside this Dask worker and return the pickled answer: the task that Dask runs."""
    found = _RELAYS.get((topic, _here()))
    if found is None:
        return _failed(WorkerDiedError(None, "the Dask worker was about to end", was_ready=False))
    return await found.execute(number, call)


async def end(topic: str, number: int, *, dask_worker: Worker | None = None) -> None:
    """End a call, running or still to come, on this Dask worker."""
    found = _RELAYS.get((topic, dask_worker.address if dask_worker is not None else ""))
    if found is not None:
        await asyncio.to_thread(found.end, number)


class Relay:
    """The calls of one sweep on one Dask worker. Its processes start with the calls that need them."""

    def __init__(self, given: Assignment, worker: Worker) -> None:
        self._given = given
        self._worker = worker
        self._pool: Pool | None = None
        self._guard: Guard | None = None
        self._calls: dict[int, Call] = {}
        self._ended: set[int] = set()
        self._too_large: set[int] = set()
        self._memory_watch: asyncio.Task[None] | None = None
        own = versions()
        self._differs = {name: own[name] for name, wanted in given.versions.items() if own.get(name) != wanted}
        self._is_told = not self._differs

    async def execute(self, number: int, data: bytes) -> bytes:
        """Execute a call and return its answer."""
        if "python" in self._differs:
            found, wanted = self._differs["python"], self._given.versions["python"]
            return _failed(
                DaskVersionError(f"Dask worker at {self._worker.address}", f"Python {found}", f"Python {wanted}")
            )
        if not self._is_told:
            self._is_told = True
            self._tell({"differs": self._differs, "worker": self._worker.address})
        if number in self._ended:
            return _failed(WorkerDiedError(None, "it was stopped before it started"))
        pool = self._open()
        call = self._calls[number] = pool.relay(data)
        if number in self._ended:  # meanwhile
            pool.kill(call)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(TOLD_AFTER_S, self._tell_begun, loop, number)
        try:
            return await asyncio.wrap_future(call)
        except asyncio.CancelledError:
            self.end(number)
            raise
        except Exception as error:  # its process has died
            return _failed(self._reason(number, error))
        finally:
            timer.cancel()
            self._calls.pop(number, None)

    def _reason(self, number: int, error: Exception) -> Exception:
        if number not in self._too_large:
            return error
        return WorkerDiedError(None, f"the jobs of its Dask worker used more than {self._given.memory_bytes} bytes")

    def end(self, number: int) -> None:
        """End a call; the caller is not the event loop's thread, for this can take a moment."""
        self._ended.add(number)
        call = self._calls.get(number)
        if call is not None and self._pool is not None:
            self._pool.kill(call)

    def close(self) -> None:
        """End all that runs."""
        if self._memory_watch is not None:
            self._worker.loop.add_callback(self._memory_watch.cancel)
        if self._pool is not None:
            self._pool.stop(cancel=True)
        if self._guard is not None:
            self._guard.close()

    def _open(self) -> Pool:
        if self._pool is None:
            mark = f"{os.getpid()}-{secrets.token_hex(8)}"
            self._guard = Guard(mark)
            slots = [{VARIABLE: mark, INDEX_VARIABLE: str(slot)} for slot in range(self._worker.state.nthreads)]
            self._pool = Pool(slots, self._given.setup._replace(parent=os.getpid()))
            if self._given.memory_bytes is not None:
                self._memory_watch = asyncio.ensure_future(self._watch_memory(self._pool, self._given.memory_bytes))
        return self._pool

    async def _watch_memory(self, pool: Pool, limit_bytes: int) -> None:
        while True:
            await asyncio.sleep(_MEMORY_EVERY_S)
            running = {worker.process.pid: number for number, call in self._calls.items() if (worker := call.worker)}
            largest = await asyncio.to_thread(largest_over, limit_bytes, list(running))
            call = self._calls.get(running[largest]) if largest is not None else None
            if call is not None and largest is not None:
                self._too_large.add(running[largest])
                await asyncio.to_thread(pool.kill, call)

    def _tell_begun(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        call = self._calls.get(number)
        if call is None or call.done():
            return
        if call.running():
            self._tell({"begun": number, "worker": self._worker.address})
        else:  # its process is getting ready
            loop.call_later(_ASK_AGAIN_S, self._tell_begun, loop, number)

    def _tell(self, message: Mapping[str, Any]) -> None:
        self._worker.log_event(self._given.topic, message)


# By topic and Dask worker: several of these can share a process.
_RELAYS: Final[dict[tuple[str, str], Relay]] = {}


def _here() -> str:
    from distributed import get_worker

    return str(get_worker().address)


def _failed(error: BaseException) -> bytes:
    from parcache.pickling import dumps

    return dumps((False, error))


def _enter(environ: Mapping[str, str | None], initializer: Callable[[], None]) -> None:
    set_variables(environ)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINALS)  # programs that jobs start are to have it as ever
    initializer()
