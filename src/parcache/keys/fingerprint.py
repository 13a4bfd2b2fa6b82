"""The code fingerprint: every first-party module that a job can reach, whole, and the versions of the rest.

Coarse and sound: a change anywhere in a reached module is a miss. A module is reached when

1. the task function (or what it carries) lies in it, or the config names it (``_target_`` and any other string or
   class that leads to it), or it is the program on the command line: what that imports, registers and patches is in
   force while the task runs. A script or notebook that sweeps another module's task function does not count: it
   shares that module's results;
2. a reached module imports it, anywhere in its source, or names it in a string;
3. it is a parent package of a reached module;
4. a reached module imports dynamically: then every module of the named package counts, and where not even the
   package is known, every first-party module that could be imported from where the reached ones lie or from the
   import path;
5. a string in a reached module names its file (a script that is run as a program of its own).

``digest`` is over the task's identity, (module, normal form) of each reached first-party module, the versions of the
distributions reached, and the imports that led nowhere (installing such a module changes what the code does).
"""

from __future__ import annotations

import ast
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from enum import IntEnum
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any, Final, NamedTuple

from parcache.errors import UnkeyableCodeError
from parcache.keys.canonical import digest, encode
from parcache.keys.code import WHOLE, Construct, Definition, Fingerprint, Source, content_digest, signature
from parcache.keys.distributions import providers, versions
from parcache.keys.imports import Scan, scan
from parcache.keys.modules import Finder, Module, Party, is_own, logical_name, party_of
from parcache.keys.normal_form import normal_form
from parcache.keys.task import TaskIdentity

log = logging.getLogger(__name__)

_MAX_MODULES: Final = 20_000
_BINARY: Final = (".pyc", *EXTENSION_SUFFIXES)
_NOTHING: Final = Scan(frozenset(), frozenset(), frozenset(), frozenset(), (), False)
# Named by a config, these import what no string in it has to look like.
_DYNAMIC_TARGETS: Final = ("importlib.", "runpy.", "pkgutil.", "builtins.exec", "builtins.eval", "builtins.__import__")


class _Detail(IntEnum):
    """How much of their source the modules of one job can see themselves."""

    CODE = 0
    DOCSTRINGS = 1
    TEXT = 2


class _Parsed(NamedTuple):
    """A module's source; ``forms`` are without and with docstrings, empty where it is not Python."""

    source: Source
    forms: tuple[str, ...]
    scan: Scan
    lines: int

    @property
    def detail(self) -> _Detail:
        if self.scan.reads_source:
            return _Detail.TEXT
        return _Detail.DOCSTRINGS if self.scan.reads_docs else _Detail.CODE

    def form(self, detail: _Detail) -> str:
        return self.forms[detail] if detail < len(self.forms) else self.source.content.hex()


class Fingerprinter:
    """Takes the fingerprints of one task function: one for each distinct set of names in a job's config.

    Use a new one for each batch: it remembers what it read. Not thread-safe.
    """

    def __init__(self, identity: TaskIdentity, *, with_program: bool = False) -> None:
        """Take up a task. ``with_program``: the running program's main module counts, whatever the task reaches."""
        self._finder = Finder()
        self._identity = identity
        self._with_program = with_program
        self._parsed: dict[Module, _Parsed] = {}
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
            modules = self._identity.modules
            program = self._finder.main() if self._with_program else None
            if program is not None and program.party is Party.FIRST:
                modules |= {"__main__"}
            self._fingerprints[wanted] = self._assemble(closure.reach(modules, wanted))
        return self._fingerprints[wanted]

    def _assemble(self, closure: _Closure) -> Fingerprint:
        parsed = [self._read(module) for module in closure.first_party]
        detail = max((item.detail for item in parsed), default=_Detail.CODE)
        forms = tuple(sorted({(item.source.module, item.form(detail)) for item in parsed}))
        known = tuple(versions(closure.distributions).items())
        absent = sorted(closure.absent)
        whole = digest(encode([self._identity.form, forms, known, absent]))
        for construct in closure.dynamic:
            log.debug("dynamic import: %s; counting all that it may mean", construct)
        sources = tuple(sorted((item.source for item in parsed), key=lambda source: source.path))
        definitions = tuple(
            Definition(item.source.module, WHOLE, item.source.path, (1, item.lines), item.form(detail))
            for item in sorted(parsed, key=lambda item: item.source.path)
        )
        dynamic = tuple(closure.dynamic)
        return Fingerprint(whole, self._identity.name, sources, definitions, known, tuple(absent), dynamic)

    def _read(self, module: Module) -> _Parsed:
        path = module.path
        if path is None:
            raise AssertionError(f"{module.name} has no file")  # the closure keeps such modules out
        if module not in self._parsed:  # by name too: a file reached under two has two sets of relative imports
            try:
                self._parsed[module] = _parse(module, path)
            except OSError as error:
                raise UnkeyableCodeError(self._identity.name, f"{path} cannot be read: {error.strerror}") from None
        return self._parsed[module]


def _parse(module: Module, path: str) -> _Parsed:
    before = signature(path)
    with open(path, "rb") as file:
        data = file.read()
    content = content_digest(data)
    source = Source(module.name, path, content, before)
    lines = data.count(b"\n") + 1
    if path.endswith(_BINARY):
        return _Parsed(source, (), _NOTHING, lines)
    try:
        tree = ast.parse(data)  # whatever its suffix: a program needs none
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Parsed(source, (), _NOTHING, lines)  # Python cannot import it either
    found = scan(tree, module.name, module.is_package)
    forms: tuple[str, ...]
    try:
        forms = (digest(normal_form(tree)), digest(normal_form(tree, keep_docstrings=True)))
    except RecursionError:
        forms = ()  # too deep to walk: then every byte counts
    return _Parsed(source, forms, found, lines)


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
        self.dynamic: list[Construct] = []
        self._everything_counts = False

    def reach(self, modules: Iterable[str], names: Iterable[str]) -> _Closure:
        """Walk from the task's modules and from the names in the config."""
        for name in sorted(modules):
            self._require(name)
        for name in sorted(names):
            self._mention(name)
            if name.startswith(_DYNAMIC_TARGETS):
                self.dynamic.append(Construct("", 0, name))
                self._everything_counts = True
        self._follow()
        while self._everything_counts:
            self._everything_counts = False
            for module in list(self._everything()):
                self._add(module)
            self._follow()
        return self

    def _follow(self) -> None:
        while self._queue:
            module = self._queue.pop()
            found: Scan = self._read(module).scan
            for name in sorted(found.required):
                self._require(name)
            for name in sorted(found.optional):
                self._add(self._finder.find(name))
            for name in sorted(found.strings):
                self._mention(name)
            for name in sorted(found.wholes):
                self._whole(name)
            if found.files:
                self._named_files(module, found.files)
            if found.dynamic and module.party is Party.FIRST:
                self.dynamic += [Construct(module.path or "", item.line, item.construct) for item in found.dynamic]
                self._everything_counts = True
            elif found.dynamic:  # not installed as a distribution: it imports from its own package, if from anywhere
                self._whole(module.name.partition(".")[0])

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
        if not name.startswith("__main__."):
            self._add(self._finder.find_prefix(name))
            return
        program = self._finder.main()
        if program is None:
            problem = f"the config names {name}, whose program has no file (a prompt, a notebook, standard input)"
            raise UnkeyableCodeError(self._task, problem)
        self._add(program)

    def _whole(self, name: str) -> None:
        package = self._finder.find(name)
        self._add(package)
        if package is not None and package.party is not Party.PLATFORM and not is_own(package.name):
            if package.party is Party.THIRD and providers(name.partition(".")[0]):
                return
            for module in self._finder.submodules(package):
                self._add(module)

    def _named_files(self, module: Module, files: Iterable[str]) -> None:
        names = {os.path.basename(file) for file in files}
        for sibling in self._finder.siblings(module):
            if os.path.basename(sibling.path or "") in names:
                self._add(sibling)

    def _everything(self) -> Iterator[Module]:
        roots = [module for module in self.first_party if module.party is Party.FIRST]
        done: set[str] = set()
        for module in roots:
            folder = os.path.dirname(module.path or "")
            if folder in done:
                continue
            for sibling in self._finder.siblings(module):
                done.add(os.path.dirname(sibling.path or ""))
                yield sibling
        for root in self._finder.roots():
            if root not in done:
                yield from self._finder.below(root)
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
                where = str(self.dynamic[0]) if self.dynamic else "it reaches them by imports"
                problem = f"more than {_MAX_MODULES} modules count ({where}); import by literal names"
                raise UnkeyableCodeError(self._task, problem)
            self.first_party.append(module)
            self._queue.append(module)
