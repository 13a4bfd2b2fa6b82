"""What of its process a job may change without the next one seeing it.

Stock Hydra runs job after job in one process: a task that changes directory, a variable of the environment, a signal
handler or ``sys.stdout`` changes them for all later jobs of that process. Here each job finds what the first one found.
What a job has imported, patched or left running stays, and with an import the variables that it has set: a module is
imported once, so nobody would set them again. Whether an import did so is seen where inputs are recorded.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from parcache.run.lanes import SHARING

_SIGNALS: Final = tuple(
    int(getattr(signal, name))
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "SIGQUIT")
    if hasattr(signal, name)
)
# signal.getsignal makes an enum of what it finds: 2 us, where the function below it takes 0.1.
_handler_of: Final[Callable[[int], Any]] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)
_set_mask: Final[Callable[..., Any] | None] = getattr(sys.modules.get("_signal"), "pthread_sigmask", None)
_STREAMS: Final = ("stdin", "stdout", "stderr", "excepthook")
# Variables that a module has set while it was imported.
set_by_imports: Final[set[str]] = set()


class Surroundings:
    """The state of this process at one moment. As global as that state: one thread at a time.

    With ``descriptors``, also what the standard output streams lead to.
    """

    def __init__(self, *, descriptors: bool = False) -> None:
        self._folder = _folder()
        self._environ = _environ()
        self._streams = [(name, getattr(sys, name)) for name in _STREAMS]
        self._argv = list(sys.argv)
        self._recursion = sys.getrecursionlimit()
        self._signals = [(number, _handler_of(number)) for number in _SIGNALS]
        self._mask = _set_mask(signal.SIG_BLOCK, ()) if _set_mask is not None else None
        self._umask = os.umask(0o77)  # nothing tells it but to set it
        os.umask(self._umask)
        self._disabled = logging.root.manager.disable
        self._collects = gc.isenabled()
        self._descriptors = [(number, os.dup(number), _identity(number)) for number in (1, 2)] if descriptors else []

    def restore(self) -> None:
        """Bring the process back to this state. Never raises."""
        if self._folder is not None and _folder() != self._folder:
            with suppress(OSError):
                os.chdir(self._folder)
        if _environ_changed(self._environ):
            self._restore_environ()
        for number, kept, identity in self._descriptors:
            if _identity(number) != identity:
                with suppress(OSError):
                    os.dup2(kept, number)
        for place, (name, value) in enumerate(self._streams):
            if getattr(sys, name, None) is not value:
                setattr(sys, name, value)
            if name in ("stdout", "stderr") and getattr(value, "closed", False):
                reopened = _reopened(name)
                setattr(sys, name, reopened)
                self._streams[place] = name, reopened
        if sys.argv != self._argv:
            sys.argv[:] = self._argv
        if sys.getrecursionlimit() != self._recursion:
            with suppress(RecursionError):
                sys.setrecursionlimit(self._recursion)
        if logging.root.manager.disable != self._disabled:
            logging.disable(self._disabled)
        if gc.isenabled() != self._collects:
            (gc.enable if self._collects else gc.disable)()
        os.umask(self._umask)
        self._restore_signals()

    def _restore_environ(self) -> None:
        before = dict(self._environ)
        for name in set_by_imports:
            value = os.environ.get(name)
            if value is not None:
                before[_encoded(name)] = _encoded(value)
        self._environ = before
        wanted = {os.fsdecode(name): os.fsdecode(value) for name, value in before.items()}
        for name in [name for name in os.environ if name not in wanted]:
            os.environ.pop(name, None)
        for name, value in wanted.items():
            if os.environ.get(name) != value:
                os.environ[name] = value

    def _restore_signals(self) -> None:
        if _set_mask is not None and self._mask is not None:
            _set_mask(signal.SIG_SETMASK, self._mask)
        if threading.current_thread() is not threading.main_thread():  # no other may, nor could the job
            return
        for number, handler in self._signals:
            if handler is not None and _handler_of(number) is not handler:
                with suppress(OSError, ValueError):
                    signal.signal(number, handler)
        if hasattr(signal, "setitimer") and signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, 0)  # it would go off in another job


_baseline: Surroundings | None = None


def keep() -> None:
    """Take note of how this worker process is before its first job."""
    global _baseline
    _baseline = Surroundings(descriptors=True)


def before_job(*, is_home: bool) -> Surroundings | None:
    """Return the state that is to be restored after a job; None where other jobs run in this process meanwhile."""
    if SHARING.is_on and SHARING.is_crowded:
        return None
    return Surroundings() if is_home else _baseline


def _environ() -> dict[Any, Any]:
    # The mapping's own dict, of encoded names and values: comparing the mapping decodes 100 strings a job.
    data: dict[Any, Any] | None = getattr(os.environ, "_data", None)
    return dict(data) if data is not None else {_encoded(name): _encoded(value) for name, value in os.environ.items()}


def _environ_changed(before: dict[Any, Any]) -> bool:
    data: dict[Any, Any] | None = getattr(os.environ, "_data", None)
    return (data if data is not None else _environ()) != before


def _encoded(text: str) -> Any:
    return text if sys.platform == "win32" else os.fsencode(text)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _reopened(name: str) -> Any:
    descriptor = 1 if name == "stdout" else 2
    if _identity(descriptor) is None:
        return None  # as Python has it where there is no such stream
    raw = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115 - it stays open
    return io.TextIOWrapper(io.BufferedWriter(raw), line_buffering=True, errors="backslashreplace")
