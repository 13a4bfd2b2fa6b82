"""The code fingerprint: every first-party module that a job can reach, whole, and the versions of the rest.

Coarse and sound: a change anywhere in a reached module is a miss. A module is reached when

1. the task function (or what it carries) lies in it, or the config names it (``_target_`` and any other string or
   class that leads to it);
2. a reached module imports it, anywhere in its source, or names it in a string;
3. it is a parent package of a reached module;
4. a reached module imports dynamically: then every module of the named package counts, and where not even the
   package is known, every first-party module that could be imported from where the reached ones lie.

``digest`` is over the task's identity, (module, normal form) of each reached first-party module, the versions of the
distributions reached, and the imports that led nowhere (installing such a module changes what the code does).
"""

from __future__ import annotations

import ast
import hashlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from parcache.errors import UnkeyableCodeError
from parcache.keys.canonical import digest, encode
from parcache.keys.distributions import providers, versions
from parcache.keys.imports import Scan, scan
from parcache.keys.modules import Finder, Module, Party, is_own, logical_name, party_of
from parcache.keys.normal_form import normal_form
from parcache.keys.task import TaskIdentity, identify

log = logging.getLogger(__name__)

_MAX_MODULES: Final = 20_000
_NOTHING: Final = Scan(frozenset(), frozenset(), frozenset(), frozenset(), (), False)

Signature = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Source:
    """One first-party file of a fingerprint, as it was when the fingerprint was taken.

    ``content`` is the digest of its bytes, ``signature`` its inode, size, modification and change time (ns).
    """

    module: str
    path: str
    content: bytes
    signature: Signature


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The code that a job can reach."""

    digest: str
    task: str
    sources: tuple[Source, ...]
    forms: tuple[tuple[str, str], ...]
    distributions: tuple[tuple[str, str], ...]
    dynamic: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Parsed:
    source: Source
    form: str
    form_with_docs: str | None
    scan: Scan


def signature(path: str) -> Signature:
    """Return what changes when a file does: inode, size in bytes, modification and change time in ns.

    Raises:
        OSError: There is no such file.
    """
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def content_digest(data: bytes) -> bytes:
    """Return the digest of a file's bytes."""
    return hashlib.blake2b(data, digest_size=20).digest()


class Fingerprinter:
    """Takes the fingerprints of one task function: one for each distinct set of names in a job's config.

    Use a new one for each batch: it remembers what it read. Not thread-safe.
    """

    def __init__(self, task: Any) -> None:
        """Look at the task function.

        Raises:
            UnkeyableCodeError: It has no source, or carries state that has no stable form.
        """
        self._finder = Finder()
        self._identity = identify(task)
        self._parsed: dict[str, _Parsed] = {}
        self._fingerprints: dict[frozenset[str], Fingerprint] = {}

    @property
    def task(self) -> TaskIdentity:
        """Return what the task is."""
        return self._identity

    def fingerprint(self, names: Iterable[str] = ()) -> Fingerprint:
        """Return the fingerprint of a job whose config names these dotted names.

        Raises:
            UnkeyableCodeError: A reached first-party file cannot be read, or the code imports dynamically from
                among more than 20000 modules.
        """
        wanted = frozenset(names)
        if wanted not in self._fingerprints:
            closure = _Closure(self._finder, self._read, self._identity.name)
            self._fingerprints[wanted] = self._assemble(closure.reach(self._identity.modules, wanted))
        return self._fingerprints[wanted]

    def _assemble(self, closure: _Closure) -> Fingerprint:
        parsed = [self._read(module) for module in closure.first_party]
        reads_docs = any(item.scan.reads_docs for item in parsed)
        forms = tuple(sorted((item.source.module, self._form(item, reads_docs)) for item in parsed))
        known = tuple(versions(closure.distributions).items())
        absent = sorted(closure.absent)
        whole = digest(encode([self._identity.form, forms, known, absent]))
        for line in closure.dynamic:
            log.debug("dynamic import: %s; counting all that it may mean", line)
        sources = tuple(sorted((item.source for item in parsed), key=lambda source: source.path))
        return Fingerprint(whole, self._identity.name, sources, forms, known, tuple(closure.dynamic))

    @staticmethod
    def _form(item: _Parsed, reads_docs: bool) -> str:
        return item.form_with_docs if reads_docs and item.form_with_docs else item.form

    def _read(self, module: Module) -> _Parsed:
        path = module.path
        if path is None:
            raise AssertionError(f"{module.name} has no file")  # the closure keeps such modules out
        if path not in self._parsed:
            try:
                self._parsed[path] = _parse(module, path)
            except OSError as error:
                raise UnkeyableCodeError(self._identity.name, f"{path} cannot be read: {error.strerror}") from None
        return self._parsed[path]


def _parse(module: Module, path: str) -> _Parsed:
    before = signature(path)
    with open(path, "rb") as file:
        data = file.read()
    content = content_digest(data)
    source = Source(module.name, path, content, before)
    if not path.endswith(".py"):
        return _Parsed(source, content.hex(), None, _NOTHING)
    try:
        tree = ast.parse(data)
        form = digest(normal_form(tree))
        found = scan(tree, module.name, module.is_package)
        with_docs = digest(normal_form(tree, keep_docstrings=True))
    except (SyntaxError, ValueError, RecursionError):
        # Not importable as it stands, or too deep to walk: then every byte counts.
        return _Parsed(source, content.hex(), None, _NOTHING)
    return _Parsed(source, form, with_docs, found)


class _Closure:
    """One walk over the module graph."""

    def __init__(self, finder: Finder, read: Any, task: str) -> None:
        self._finder = finder
        self._read = read
        self._task = task
        self._queue: list[Module] = []
        self._seen: set[tuple[str, str | None]] = set()
        self.first_party: list[Module] = []
        self.distributions: set[str] = set()
        self.absent: set[str] = set()
        self.dynamic: list[str] = []

    def reach(self, modules: Iterable[str], names: Iterable[str]) -> _Closure:
        """Walk from the task's modules and from the names in the config."""
        for name in sorted(modules):
            self._require(name)
        for name in sorted(names):
            self._mention(name)
        everything = False
        while self._queue:
            module = self._queue.pop()
            parsed = self._read(module)
            for name in sorted(parsed.scan.required):
                self._require(name)
            for name in sorted(parsed.scan.optional):
                self._add(self._finder.find(name))
            for name in sorted(parsed.scan.strings):
                self._mention(name)
            for name in sorted(parsed.scan.wholes):
                self._whole(name)
            if parsed.scan.dynamic:
                self.dynamic += [f"{module.path}:{item.line} {item.construct}" for item in parsed.scan.dynamic]
                everything = True
            if everything and not self._queue:
                everything = False
                for other in list(self._everything()):
                    self._add(other)
        return self

    def _require(self, name: str) -> None:
        """Count a module that is imported, with its parents; one that is not there counts as absent."""
        module = self._finder.main() if name == "__main__" else self._finder.find(name)
        if module is None:
            prefix = self._finder.find_prefix(name)
            self._add(prefix)
            if prefix is None or prefix.party is not Party.PLATFORM:
                self.absent.add(logical_name(name))
            return
        self._add(module)

    def _mention(self, name: str) -> None:
        """Count what a dotted string leads to, as far as it leads anywhere."""
        self._add(self._finder.main() if name.startswith("__main__.") else self._finder.find_prefix(name))

    def _whole(self, name: str) -> None:
        package = self._finder.find(name)
        self._add(package)
        if package is not None and package.party is Party.FIRST and not is_own(package.name):
            for module in self._finder.submodules(package):
                self._add(module)

    def _everything(self) -> Iterator[Module]:
        roots = list(self.first_party)
        done: set[str] = set()
        for module in roots:
            folder = os.path.dirname(module.path or "")
            if folder in done:
                continue
            for sibling in self._finder.siblings(module):
                done.add(os.path.dirname(sibling.path or ""))
                yield sibling
        for name, loaded in list(sys.modules.items()):
            path = getattr(loaded, "__file__", None)
            if isinstance(path, str) and name != "__main__" and party_of(path) is Party.FIRST:
                yield Module(name, os.path.abspath(path), Party.FIRST)

    def _add(self, module: Module | None) -> None:
        if module is None or is_own(module.name):
            return
        if (module.name, module.path) in self._seen:
            return
        self._seen.add((module.name, module.path))
        parent = module.name.rpartition(".")[0]
        if parent:
            self._add(self._finder.find(parent))
        if module.party is Party.THIRD:
            found = providers(module.name.partition(".")[0])
            self.distributions.update(found)
            if found:
                return
        elif module.party is Party.PLATFORM:
            return
        if module.path is not None:  # first-party, or third-party that belongs to no distribution
            if len(self.first_party) >= _MAX_MODULES:
                where = self.dynamic[0] if self.dynamic else "it reaches them by imports"
                problem = f"more than {_MAX_MODULES} modules count ({where}); import by literal names"
                raise UnkeyableCodeError(self._task, problem)
            self.first_party.append(module)
            self._queue.append(module)
