"""Threads that a job starts belong to it: they inherit its context, and with it its lane.

Python gives a new thread an empty context (3.14 can be told otherwise). While jobs share a process, ``Thread.start``
and the pools of ``concurrent.futures`` and ``multiprocessing`` give what a job starts a copy of the job's context; what
is started elsewhere is left alone. A pool of threads that several jobs use executes each call for the job that made it.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from parcache.run.lanes import Attribute, Patch, Strand, current_strand, following

R = TypeVar("R")


# Of ``multiprocessing.pool.ThreadPool``: what takes a function to be called in the pool's threads.
_POOLED: Final = ("apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")


def patches() -> list[Patch]:
    """Return what makes threads inherit."""
    from multiprocessing.pool import ThreadPool

    return [
        Attribute(threading.Thread, "start", _start),
        Attribute(ThreadPoolExecutor, "submit", _submit),
        *(Attribute(ThreadPool, name, partial(_pooled, getattr(ThreadPool, name))) for name in _POOLED),
    ]


def _carried(function: Callable[..., R]) -> Callable[..., R]:
    """Return a function that is executed for the lane in which this is called, each time in a copy of its context."""
    strand = current_strand()
    if strand is None:
        return function
    context, lane = contextvars.copy_context(), strand.lane

    def inside(*args: Any, **kwargs: Any) -> R:
        with following(Strand(lane)):
            return function(*args, **kwargs)

    def carried(*args: Any, **kwargs: Any) -> R:
        return context.copy().run(inside, *args, **kwargs)

    return carried


def _pooled(original: Callable[..., Any], _: Any) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(self: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return original(self, _carried(func), *args, **kwargs)

    return call


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
