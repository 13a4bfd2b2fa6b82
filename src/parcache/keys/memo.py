"""What was found out about code, kept between runs: the tables of modules, and whole walks.

A table is found again by the content of its file, so it cannot be out of date. A walk is found again by the task and
the names in the config, and is believed where all that it read is as it was: the content of every module, the names in
every folder in which modules were looked for, and the import path. Nothing else can lead it elsewhere. Walks that
looked around in memory, or among all modules there are, are not kept.

All of it is JSON: reading it executes nothing. What is kept is lost without harm.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from parcache.keys.canonical import digest, encode
from parcache.keys.code import Signature, Source, content_digest, signature
from parcache.keys.modules import Module, Party, importable_names, is_own

if TYPE_CHECKING:
    from parcache.keys.units import Table

# Goes up with every change of what a table or a walk holds or means.
VERSION: Final = 7
_SIZE: Final = struct.Struct("<I")
_JSON: Final = json.JSONEncoder(separators=(",", ":"))
_PYTHON: Final = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Notes(Protocol):
    """Keeps bytes by name. What comes back is what was put, or None; it never raises."""

    def get(self, name: str) -> bytes | None:
        """Return what was put under a name, or None."""

    def put(self, name: str, data: bytes) -> None:
        """Keep bytes under a name, in place of earlier ones."""


class Walk(NamedTuple):
    """A finished walk. ``code`` is the digest of all that it found but versions; ``found`` is JSON data, packed."""

    code: str
    executed: tuple[tuple[Module, Source], ...]
    distributions: tuple[str, ...]
    found: bytes


class Looked(NamedTuple):
    """Where a walk has looked for modules: folders by the names in them, trees by all that can be imported below."""

    folders: tuple[str, ...]
    trees: tuple[str, ...]

    def state(self) -> str:
        """Return the digest of what is there now, and of the import path."""
        listed = [[folder, importable_names(folder)] for folder in self.folders]
        grown = [[tree, importable_names(tree, deep=True)] for tree in self.trees]
        return digest(encode([list(sys.path), _finders(), listed, grown]))


class Memo:
    """Tables and walks of one project, kept in notes. Not thread-safe."""

    def __init__(self, notes: Notes, project: str) -> None:
        """Take up what is known; ``project`` tells those apart that share few modules."""
        self._notes = notes
        self._pack = f"tables-{digest(encode([VERSION, _PYTHON, project]))}"
        self._known: dict[str, bytes] | None = None
        self._used: dict[str, bytes] = {}
        self._grown = False
        self._sources: dict[str, tuple[Signature, bytes]] = {}
        self._states: dict[Looked, str] = {}

    def table(self, module: Module, content: bytes) -> Table | None:
        """Return the table of a module with this content, if it is known."""
        name = table_name(module.name, module.is_package, content)
        if self._known is None:
            self._known = _unpacked(self._notes.get(self._pack))
        data = self._known.get(name)
        if data is None:
            return None
        self._used[name] = data
        return unpacked_table(data)

    def keep_table(self, module: Module, content: bytes, data: bytes) -> None:
        """Keep a packed table, once ``save`` is called."""
        self._used[table_name(module.name, module.is_package, content)] = data
        self._grown = True

    def save(self) -> None:
        """Keep the tables that were asked for, where some of them are new."""
        if self._grown:
            self._grown = False
            self._notes.put(self._pack, _packed(self._used))

    def walk(self, name: str) -> Walk | None:
        """Return a walk, if it is known and nothing that it read has changed."""
        data = self._notes.get(f"walk-{name}")
        if data is None:
            return None
        try:
            head, _, found = data.partition(b"\n")
            version, python, code, rows, distributions, folders, trees, state = json.loads(head)
            if (version, python) != (VERSION, _PYTHON):
                return None
            executed = []
            for row in rows:
                module = _module(row)
                source = self._source(module)
                if source.content.hex() != row[4]:
                    return None
                executed.append((module, source))
            looked = Looked(tuple(folders), tuple(trees))
            if looked not in self._states:
                self._states[looked] = looked.state()
            if self._states[looked] != state:
                return None
        except (ValueError, TypeError, KeyError, IndexError, OSError):
            return None
        return Walk(code, tuple(executed), tuple(distributions), found)

    def keep_walk(self, name: str, walk: Walk, looked: Looked) -> None:
        """Keep a walk."""
        rows = [
            [module.name, module.path, module.party.value, module.search, source.content.hex()]
            for module, source in walk.executed
        ]
        head = [VERSION, _PYTHON, walk.code, rows, walk.distributions, looked.folders, looked.trees, looked.state()]
        self._notes.put(f"walk-{name}", _JSON.encode(head).encode("ascii") + b"\n" + walk.found)

    def _source(self, module: Module) -> Source:
        path = module.path or ""
        if path not in self._sources:
            before = signature(path)
            with open(path, "rb") as file:
                self._sources[path] = before, content_digest(file.read())
        before, content = self._sources[path]
        return Source(module.name, path, content, before)


def _module(row: list[Any]) -> Module:
    name, path, party, search, _ = row
    return Module(name, path, Party(party), None if search is None else tuple(search))


def table_name(module: str, is_package: bool, content: bytes) -> str:
    """Return what the table of a module with this content goes by."""
    return f"{content.hex()} {module} {is_package:d}"


def packed_table(table: Table) -> bytes:
    """Return a table as it is kept."""
    return _JSON.encode(table.data()).encode("ascii")


def unpacked_table(data: bytes) -> Table:
    """Return the table that was packed."""
    from parcache.keys.units import Table  # not where all walks are known

    return Table.of_data(json.loads(data))


def _finders() -> list[Any]:
    """Return what finds modules besides the import path: editable installs map names to places of their own."""
    found: list[Any] = []
    for finder in sys.meta_path:
        kind = finder if isinstance(finder, type) else type(finder)
        if is_own(kind.__module__):  # it finds nothing
            continue
        names = vars(sys.modules.get(kind.__module__, object))
        mapping = {**(names.get("MAPPING") or {}), **(names.get("NAMESPACES") or {})}
        found.append([f"{kind.__module__}.{kind.__qualname__}", sorted((str(k), str(v)) for k, v in mapping.items())])
    return found


def _packed(parts: dict[str, bytes]) -> bytes:
    index = _JSON.encode([[name, len(data)] for name, data in parts.items()]).encode("ascii")
    return b"".join((_SIZE.pack(len(index)), index, *parts.values()))


def _unpacked(data: bytes | None) -> dict[str, bytes]:
    if data is None:
        return {}
    (size,) = _SIZE.unpack_from(data)
    place = _SIZE.size + size
    found = {}
    for name, length in json.loads(data[_SIZE.size : place]):
        found[name] = data[place : place + length]
        place += length
    return found


def folders_of(modules: Iterable[Module | None]) -> set[str]:
    """Return the folders in which submodules of first-party packages are looked for."""
    return {
        folder
        for module in modules
        if module is not None and module.search is not None and module.party is Party.FIRST
        for folder in module.search
    }
