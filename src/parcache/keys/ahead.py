"""Tables of modules made by other processes, ahead of the walk that comes to them: parsing takes one core.

Helpers make tables of what lies below the folders that the walk imports from, in an order that is none, until there is
nothing left. They are told where the walk has been. A table is found by the content of the file that the walk itself
reads: where a helper has been at the wrong file, or has ended, work is lost and nothing else. What a helper cannot take
apart it leaves to the walk, whose Python may know better (a codec of the source's, a limit).
"""

from __future__ import annotations

import gc
import json
import os
import select
import stat
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any, Final
from zlib import crc32

from parcache.home import HOME
from parcache.keys.code import content_digest
from parcache.keys.memo import VERSION, packed_table, table_name
from parcache.keys.modules import Module, sources_below
from parcache.keys.units import tabulate

_SIZES: Final = struct.Struct("<II")
_ALONE_S: Final = 0.3  # a helper takes a tenth of a second to start
_MOST: Final = 3  # helpers; the walk itself does not get faster
_CHUNK: Final = 1 << 16  # bytes
_LARGEST: Final = 1 << 20  # bytes; larger sources are data, and take a thousand times their size to parse
_LONGEST: Final = 20_000  # modules; a folder of links may have no end


class Ahead:
    """Helpers, from when the walk has taken some time. Not thread-safe."""

    def __init__(self, helpers: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``helpers`` is how many processes there may be: at least 0; more than three are not started."""
        self._helpers = min(helpers, _MOST)
        self._clock = clock
        self._began_s = clock()
        self._has_started = False
        self._running: list[_Helper] = []
        self._been: list[bytes] = []
        self._tables: dict[str, bytes] = {}

    def take(self, module: Module, content: bytes) -> bytes | None:
        """Return the table of a module with this content, packed, if a helper has made it. The walk is there now."""
        self._been.append(_place(module))
        if not self._has_started and self._clock() - self._began_s > _ALONE_S:
            self._has_started = True
            with suppress(Exception):  # where a sandbox or a test lets nothing start, the walk goes alone
                self._start()
        for helper in self._running[:]:
            try:
                helper.tell(self._been[-1])
                self._tables.update(helper.made())
            except Exception:  # it has made all that there is, was ended, or is no Python
                self._running.remove(helper)
                helper.end()
                helper.wait()
        return self._tables.pop(table_name(module.name, module.is_package, content), None)

    def close(self) -> None:
        """End the helpers."""
        ended, self._running = self._running, []
        for helper in ended:
            helper.end()
        for helper in ended:
            helper.wait()
        self._tables.clear()

    def _start(self) -> None:
        if not sys.executable:  # Python inside another program
            return
        for number in range(self._helpers):
            self._running.append(_Helper(number, self._helpers))
            for place in self._been:
                self._running[-1].tell(place)


class _Helper:
    """One process; pipes lead to it and back."""

    def __init__(self, number: int, helpers: int) -> None:
        import subprocess  # nobody else may need it

        home = f"import sys; sys.path.append({HOME!r}); from parcache.keys.ahead import serve; "
        code = f"{home}serve({number}, {helpers}, {_likeness()!r}, {_limits()!r})"
        # The reading end is kept as well: to write where nobody reads ends a program that takes SIGPIPE as it comes.
        self._questions, self._in = os.pipe()
        self._out, answers = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 # this very Python
                [sys.executable, "-I", "-S", "-B", "-c", code],
                stdin=self._questions,
                stdout=answers,
                stderr=subprocess.DEVNULL,
                # A Ctrl-C at the terminal is for the process that has started it.
                start_new_session=True,
            )
        except BaseException:
            self._close()
            raise
        finally:
            os.close(answers)
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._unread = bytearray()

    def tell(self, place: bytes) -> None:
        """Tell where the walk has been, all or nothing. Where the pipe is full, work is done twice."""
        if len(place) <= select.PIPE_BUF:
            with suppress(BlockingIOError):
                os.write(self._in, place)

    def made(self) -> dict[str, bytes]:
        """Return tables that it has made, packed, by their names: what its pipe holds.

        Raises:
            OSError: The process has ended, and everything has been read.
        """
        try:
            data = os.read(self._out, _CHUNK)
        except BlockingIOError:
            return {}
        if not data:
            raise ChildProcessError("it has ended")
        self._unread += data
        found: dict[str, bytes] = {}
        place = 0
        while len(self._unread) >= (begin := place + _SIZES.size):
            named, size = _SIZES.unpack_from(self._unread, place)
            end = begin + named + size
            if len(self._unread) < end:
                break
            found[self._unread[begin : begin + named].decode()] = bytes(self._unread[begin + named : end])
            place = end
        del self._unread[:place]
        return found

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._close()

    def wait(self) -> None:
        """Wait until it is gone."""
        self._process.wait()

    def _close(self) -> None:
        for fd in (self._questions, self._in, self._out):
            os.close(fd)


def _place(module: Module) -> bytes:
    """Return, as a line, the folder that a module is imported from, and its name."""
    folder = module.path or ""
    for _ in range(module.name.count(".") + 1 + module.is_package):
        folder = os.path.dirname(folder)
    return json.dumps([folder, module.name]).encode("ascii") + b"\n"


def _likeness() -> list[Any]:
    """Return what must be the same in a helper: parcache may be another on disk by now, and so may Python."""
    return [VERSION, sys.version, sys.implementation.cache_tag]


def _limits() -> list[int]:
    """Return what decides what is no Python any more: it can be changed while a program runs."""
    digits = getattr(sys, "get_int_max_str_digits", None)
    return [sys.getrecursionlimit(), digits() if digits is not None else 0]


# --- In a helper


class _Plan:
    """What is left to be made: first of the packages that the walk has been to, then of what lies beside them."""

    def __init__(self, number: int, helpers: int) -> None:
        self._number = number
        self._helpers = helpers
        self._been: set[tuple[str, str]] = set()
        self._folders: set[str] = set()
        self._unlisted: list[str] = []
        self._packages: set[tuple[str, str]] = set()
        self._beside: deque[tuple[str, str]] = deque()
        self._waiting: deque[tuple[str, str, str]] = deque()

    def been(self, folder: str, name: str) -> None:
        """Take note of where the walk has been: of the folder that it imports from, and the module's name."""
        self._been.add((folder, name))
        if folder not in self._folders:
            self._folders.add(folder)
            self._unlisted.append(folder)
        self._add_package(folder, name.partition(".")[0])

    def next(self) -> tuple[str, str] | None:
        """Return the name and the file of a module that the walk has not been to; None where there is no other."""
        while True:
            if self._waiting:
                folder, name, path = self._waiting.popleft()
                if (folder, name) not in self._been:
                    self._been.add((folder, name))
                    return name, path
            elif self._beside:
                self._add_package(*self._beside.popleft())
            elif self._unlisted:
                self._add_neighbours(self._unlisted.pop())
            else:
                return None

    def _add_package(self, folder: str, package: str) -> None:
        if (folder, package) not in self._packages:
            self._packages.add((folder, package))
            place = os.path.join(folder, package)
            init = os.path.join(place, "__init__.py")
            self._add(folder, [(package, init), *sources_below(place, f"{package}.")])

    def _add_neighbours(self, folder: str) -> None:
        """Add the modules in a folder, and its packages for later. What else lies there may be anything, and large."""
        with suppress(OSError):
            names = sorted(os.listdir(folder))
            self._add(folder, ((name[:-3], os.path.join(folder, name)) for name in names if name.endswith(".py")))
            self._beside += [
                (folder, name) for name in names if os.path.exists(os.path.join(folder, name, "__init__.py"))
            ]

    def _add(self, folder: str, modules: Iterable[tuple[str, str]]) -> None:
        # The walk goes from module to module as they import each other. Not to meet it, nor each other, helpers go
        # by a checksum.
        named = ((crc32(os.fsencode(name)), name, path) for name, path in islice(modules, _LONGEST))
        for checksum, name, path in sorted(named):
            if checksum % self._helpers == self._number:
                self._waiting.append((folder, name, path))


def serve(number: int, helpers: int, likeness: list[Any], limits: list[int]) -> None:
    """Make tables until there is nothing left, or the other end is closed. This is the helper of this number."""
    if likeness != _likeness():
        return
    recursion, digits = limits
    sys.setrecursionlimit(recursion)
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(digits)
    gc.disable()  # trees have no cycles
    plan = _Plan(number, helpers)
    unread = os.read(0, _CHUNK)
    os.set_blocking(0, False)
    while True:
        *lines, unread = unread.split(b"\n")
        for line in lines:
            plan.been(*json.loads(line))
        if (found := plan.next()) is None:
            return
        with suppress(Exception):  # a file that is gone, a name that is none
            _make(*found)
        with suppress(BlockingIOError):
            if not (data := os.read(0, _CHUNK)):
                return
            unread += data


def _make(name: str, path: str) -> None:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
        return
    with open(path, "rb") as file:
        data = file.read()
    is_package = os.path.basename(path) == "__init__.py"
    table = tabulate(data, name, is_package)
    if table.is_whole:
        return
    title, body = table_name(name, is_package, content_digest(data)).encode(), packed_table(table)
    sys.stdout.buffer.write(b"".join((_SIZES.pack(len(title), len(body)), title, body)))
    sys.stdout.buffer.flush()
