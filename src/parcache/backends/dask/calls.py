"""The calls that a Dask cluster has, from the client's side: sent, told of while they run, ended once."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from parcache.backends.dask import relay
from parcache.backends.worker import settle
from parcache.errors import SchedulerLostError, WorkerDiedError

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger("parcache")

_LOST: Final = "the Dask worker that had it was lost"
_END_S: Final = 10.0  # a worker that does not answer for so long does not end its calls either


class Call(Future[Any]):
    """A submitted call. ``worker`` is the address of the Dask worker that is known to execute it."""

    def __init__(self, number: int, resources: Mapping[str, float]) -> None:
        super().__init__()
        self.number = number
        self.resources = resources
        self.worker: str | None = None
        self.began_s: float | None = None
        self.is_ending = False
        self.set_running_or_notify_cancel()  # calls are ended by end(), which knows how

    def running(self) -> bool:
        """Tell whether it is known to execute: after a moment in which it does."""
        return self.worker is not None and not self.done()

    def succeed(self, answer: bytes) -> None:
        """End by what a worker has pickled."""
        with suppress(InvalidStateError):  # it was ended meanwhile
            settle(self, answer)

    def fail(self, error: BaseException) -> None:
        """End by an error, if it has not ended."""
        with suppress(InvalidStateError):
            self.set_exception(error)


class Calls:
    """Sends calls by a client, whose event loop everything here runs in that is not said to be for any thread.

    Dask would run a call again whose worker is lost. What is to happen then is decided above the backends: so a call
    that begins a second time is ended and fails.
    """

    def __init__(self, client: Client, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._topic = topic
        self._clock = clock
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._differing: set[tuple[str, str]] = set()
        self._absent: set[str | None] = set()
        self.calls: dict[int, Call] = {}
        """Those that have not ended."""
        self.answered = 0
        """How many have come back."""
        self.problem: BaseException | None = None
        """Why nothing can be executed any more."""

    # For any thread.

    def submit(self, function: Callable[[Any], Any], argument: Any, resources: Mapping[str, float]) -> Call:
        """Send a call. What cannot be pickled fails the future alone."""
        from parcache.pickling import dumps

        call = Call(next(self._numbers), resources)
        if self.problem is not None:
            call.fail(self.problem)
            return call
        try:
            data = dumps((function, argument))
        except Exception as error:
            call.fail(error)
            return call
        self.calls[call.number] = call
        call.add_done_callback(lambda _: self.calls.pop(call.number, None))
        self._in_loop(lambda: self._start(self._follow(call, data)))
        return call

    def end(self, call: Call) -> None:
        """End a call wherever it is; it fails in a moment."""
        if not call.done():
            self._in_loop(lambda: self._start(self._end(call)))

    def running_s(self, call: Call) -> float | None:
        """Return for how long a call has been running; None for the first moment, and where it waits or has ended."""
        began_s = call.began_s
        return None if began_s is None or call.done() else self._clock() - began_s

    def wait(self) -> None:
        """Wait until all have ended."""
        wait(list(self.calls.values()))

    def fail_all(self, error: BaseException) -> None:
        """Fail what has not ended, and what is submitted from now on."""
        self.problem = error
        for call in list(self.calls.values()):
            call.fail(error)

    # In the client's event loop.

    def take(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Take note of what a Dask worker tells."""
        message = event[1]
        if "differs" in message:
            self._tell_differing(message["differs"], message["worker"])
        call = self.calls.get(message.get("begun", 0))
        if call is None:
            return
        if call.worker is not None:
            self._start(self._end(call, _LOST))
            return
        call.worker, call.began_s = message["worker"], self._clock() - relay.TOLD_AFTER_S
        log.debug("Call %d runs on the Dask worker at %s", call.number, call.worker)

    def lose(self, present: set[str]) -> None:
        """Fail the calls that have begun on a Dask worker that is gone.

        It is so where it is not among the present ones twice: it may be newer than the first answer.
        """
        begun = [call for call in list(self.calls.values()) if call.worker is not None and not call.is_ending]
        absent = {call.worker for call in begun if call.worker not in present}
        for call in begun:
            if call.worker in absent & self._absent:
                self._start(self._end(call, _LOST))
        self._absent = absent

    async def _follow(self, call: Call, data: bytes) -> None:
        try:
            future = self._client.submit(
                relay.relay,
                self._topic,
                call.number,
                data,
                key=f"{self._topic}-{call.number}",
                pure=False,
                retries=0,
                resources=dict(call.resources) or None,
                fifo_timeout=0,
            )
            call.add_done_callback(lambda _: self._in_loop(future.release))
            answer = await future
        except BaseException as error:  # that of a cancelled future is none of Exception's
            call.fail(self._reason(call, error))
        else:
            self.answered += 1
            call.succeed(answer)

    def _reason(self, call: Call, error: BaseException) -> BaseException:
        from distributed.scheduler import KilledWorker

        if self._client.status != "running":
            self.problem = self.problem or SchedulerLostError(self._address())
            return self.problem
        if isinstance(error, KilledWorker):
            # Dask blames what had been sent to the worker as well; only what is known to have begun has cost it.
            return WorkerDiedError(None, _LOST, was_ready=call.worker is not None)
        if isinstance(error, asyncio.CancelledError) or type(error).__name__.endswith("CancelledError"):
            return WorkerDiedError(None, "it was cancelled in Dask", was_ready=call.worker is not None)
        return error

    async def _end(self, call: Call, reason: str = "it was stopped") -> None:
        if call.is_ending or call.done():
            return
        call.is_ending = True
        # All of them: it may be on its way to any, or again, where Dask has run it once more.
        run = self._client.run(relay.end, self._topic, call.number, on_error="ignore")
        try:
            await asyncio.wait_for(run, _END_S)
        except Exception as error:
            log.debug("A call cannot be ended on its Dask worker: %s", error)
        call.fail(WorkerDiedError(None, reason))

    def _tell_differing(self, differing: Mapping[str, str], worker: str) -> None:
        here = relay.versions()
        new = {item for item in differing.items() if item not in self._differing}
        if new:
            self._differing |= new
            told = ", ".join(f"{name} {found} (here {here.get(name)})" for name, found in sorted(new))
            log.warning("Versions differ on the Dask worker at %s: %s", worker, told)

    def _address(self) -> str:
        scheduler = self._client.scheduler
        return str(getattr(scheduler, "address", None) or self._topic)

    def _start(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _in_loop(self, function: Callable[[], Any]) -> None:
        self._client.loop.add_callback(function)
