"""Tables of modules made by other processes, ahead of the walk that comes to them: parsing takes one core.

Helpers make tables of what lies below the folders that the walk imports from, in an order that is none, until there is
nothing left. They are told where the walk has been. A table is found by the content of the file that the walk itself
reads: where a helper has been at the wrong file, or has ended, work is lost and nothing else.
"""

from __future__ import annotations

import gc
import json
import os
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Final
from zlib import crc32

from parcache.keys.code import content_digest
from parcache.keys.memo import packed_table, table_name
from parcache.keys.modules import Module, sources_below
from parcache.keys.units import tabulate

# The folder that parcache is imported from.
_HOME: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_SIZES: Final = struct.Struct("<II")
# So many modules are a third of a second of one core, and a helper takes a tenth to start.
_ALONE: Final = 100  # modules
_MOST: Final = 3  # helpers; the walk itself does not get faster
_CHUNK: Final = 1 << 16  # bytes


class Ahead:
    """Helpers, from when enough modules were new. Not thread-safe."""

    def __init__(self, helpers: int) -> None:
        """``helpers`` is how many processes there may be: at least 0; more than three are not started."""
        self._helpers = min(helpers, _MOST)
        self._running: list[_Helper] = []
        self._been: list[bytes] = []
        self._tables: dict[str, bytes] = {}

    def take(self, module: Module, content: bytes) -> bytes | None:
        """Return the table of a module with this content, packed, if a helper has made it. The walk is there now."""
        self._been.append(_place(module))
        if len(self._been) == _ALONE:
            self._start()
        for helper in self._running[:]:
            try:
                helper.tell(self._been[-1])
                self._tables.update(helper.made())
            except (OSError, ValueError):  # it has made all that there is, was ended, or is no Python
                self._running.remove(helper)
                helper.close()
        return self._tables.pop(table_name(module.name, module.is_package, content), None)

    def close(self) -> None:
        """End the helpers."""
        while self._running:
            self._running.pop().close()
        self._tables.clear()

    def _start(self) -> None:
        if not sys.executable:  # Python inside another program
            return
        with suppress(OSError):
            for number in range(self._helpers):
                self._running.append(_Helper(number, self._helpers))
                for place in self._been:
                    self._running[-1].tell(place)


class _Helper:
    """One process; pipes lead to it and back."""

    def __init__(self, number: int, helpers: int) -> None:
        code = f"import sys; sys.path.insert(0, {_HOME!r}); from parcache.keys.ahead import serve; "
        self._process = subprocess.Popen(  # noqa: S603 # this very Python
            [sys.executable, "-I", "-S", "-c", f"{code}serve({number}, {helpers})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            # A Ctrl-C at the terminal is for the process that has started it.
            start_new_session=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("it was started with pipes")
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._in.fileno(), False)
        os.set_blocking(self._out.fileno(), False)
        self._unread = bytearray()

    def tell(self, place: bytes) -> None:
        """Tell where the walk has been, all or nothing. Where the pipe is full, work is done twice."""
        with suppress(OSError):  # one that has ended is to be read to its end
            os.write(self._in.fileno(), place)

    def made(self) -> dict[str, bytes]:
        """Return tables that it has made, packed, by their names: what its pipe holds.

        Raises:
            OSError: The process has ended, and everything has been read.
        """
        try:
            data = os.read(self._out.fileno(), _CHUNK)
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

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._in.close()
        self._out.close()
        self._process.wait()


def _place(module: Module) -> bytes:
    """Return, as a line, the folder that a module is imported from, and its name."""
    folder = module.path or ""
    for _ in range(module.name.count(".") + 1 + module.is_package):
        folder = os.path.dirname(folder)
    return json.dumps([folder, module.name]).encode("ascii") + b"\n"


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
            modules = [(name[:-3], os.path.join(folder, name)) for name in names if name.endswith(".py")]
            self._add(folder, modules)
            self._beside += [
                (folder, name) for name in names if os.path.exists(os.path.join(folder, name, "__init__.py"))
            ]

    def _add(self, folder: str, modules: Iterable[tuple[str, str]]) -> None:
        # The walk goes from module to module as they import each other. Not to meet it, nor each other, helpers go
        # by a checksum.
        for checksum, name, path in sorted((crc32(name.encode()), name, path) for name, path in modules):
            if checksum % self._helpers == self._number:
                self._waiting.append((folder, name, path))


def serve(number: int, helpers: int) -> None:
    """Make tables until there is nothing left, or the other end is closed. This is the helper of this number."""
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
        with suppress(OSError):
            _make(*found)
        with suppress(BlockingIOError):
            if not (data := os.read(0, _CHUNK)):
                return
            unread += data


def _make(name: str, path: str) -> None:
    with open(path, "rb") as file:
        data = file.read()
    is_package = os.path.basename(path) == "__init__.py"
    title = table_name(name, is_package, content_digest(data)).encode()
    body = packed_table(tabulate(data, name, is_package))
    sys.stdout.buffer.write(b"".join((_SIZES.pack(len(title), len(body)), title, body)))
    sys.stdout.buffer.flush()
