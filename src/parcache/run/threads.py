"""Threads that a job starts belong to it: they inherit its context, and with it its lane.

Python gives a new thread an empty context (3.14 can be told otherwise). While jobs share a process, ``Thread.start``
and ``ThreadPoolExecutor.submit`` give what a job starts a copy of the job's context; what is started elsewhere is
left alone. A pool of threads that several jobs use executes each call for the job that submitted it.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from parcache.run.lanes import Attribute, Patch, Strand, current_strand, following

R = TypeVar("R")


def patches() -> list[Patch]:
    """Return what makes threads inherit."""
    return [Attribute(threading.Thread, "start", _start), Attribute(ThreadPoolExecutor, "submit", _submit)]


def _carried(function: Callable[..., R]) -> Callable[..., R]:
    """Return a function that is executed for the lane in which this is called, in a copy of the context here."""
    strand = current_strand()
    if strand is None:
        return function
    context = contextvars.copy_context()
    own = Strand(strand.lane)

    def inside(*args: Any, **kwargs: Any) -> R:
        with following(own):
            return function(*args, **kwargs)

    return functools.partial(context.run, inside)


def _start(original: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        if current_strand() is None:
            original(self)
            return
        own = self.__dict__.get("run")  # of the instance: hardly ever
        run = _carried(self.run)

        def put_back() -> None:
            if own is None:
                self.__dict__.pop("run", None)
            else:
                self.__dict__["run"] = own

        def once() -> None:
            put_back()  # the thread would keep itself alive by it
            run()

        self.__dict__["run"] = once
        try:
            original(self)
        except BaseException:
            put_back()
            raise

    return start


def _submit(original: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    @functools.wraps(original)
    def submit(self: ThreadPoolExecutor, function: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        # In an empty context: a worker that the pool starts now will serve other jobs as well.
        return contextvars.Context().run(original, self, _carried(function), *args, **kwargs)

    return submit
