"""The code fingerprint: the first-party code that a job can reach, and the versions of the rest.

``digest`` is over

- the task's identity (``parcache.keys.task``);
- of each executed module the normal forms of its reached units (``parcache.keys.closure``): those whose place among the
  others matters in their order, the others sorted;
- the order in which they are executed, as far as it can matter (``parcache.keys.timeline``);
- what the names lead to by which one module's code reaches another's (``references``);
- the versions of the distributions reached, and the imports that led nowhere (installing such a module changes what the
  code does).

Where reached code can see the order of definitions (``vars``, ``__dict__``, ``__subclasses__``), it counts; where it
reads docstrings, they count; where it reads source text, the files of all reached code count whole.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from importlib.machinery import EXTENSION_SUFFIXES
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from parcache.errors import UnkeyableCodeError
from parcache.keys.canonical import digest, encode
from parcache.keys.code import WHOLE, Definition, Details, Fingerprint, Source, content_digest, signature
from parcache.keys.distributions import versions
from parcache.keys.memo import Looked, Memo, Notes, Walk, folders_of, packed_table, unpacked_table
from parcache.keys.modules import AS_PLACED, Finder, Module, Packages, Party, has_source, is_own
from parcache.keys.task import TaskIdentity, identify_named

if TYPE_CHECKING:
    from parcache.keys.ahead import Ahead
    from parcache.keys.closure import Closure
    from parcache.keys.units import Table

log = logging.getLogger(__name__)

_BINARY: Final = (".pyc", *EXTENSION_SUFFIXES)


class _Detail(IntEnum):
    """How much of their source the modules of one job can see themselves."""

    CODE = 0
    ORDER = 1
    DOCSTRINGS = 2
    TEXT = 3


class _Read(NamedTuple):
    """A module's source as it was read, and its table."""

    source: Source
    table: Table


class Asked(NamedTuple):
    """What a fingerprint was asked for, so that it can be taken again, in another process or over other texts.

    ``programs`` are modules that run anyway. ``main`` is the program's main module.
    """

    identity: TaskIdentity
    names: tuple[str, ...]
    programs: tuple[str, ...]
    main: Module | None
    packages: Packages


class Fingerprinter:
    """Takes the fingerprints of one task function: one for each distinct set of names in a job's config.

    Use a new one for each batch: it remembers what it read. Not thread-safe.
    """

    def __init__(
        self,
        identity: TaskIdentity,
        *,
        with_program: bool = False,
        notes: Notes | None = None,
        packages: Packages = AS_PLACED,
        finder: Finder | None = None,
        texts: Mapping[str, bytes] | None = None,
        helpers: int = 0,
    ) -> None:
        """Take up a task.

        ``with_program``: what the running program's main module does when it starts counts. ``notes`` keep what was
        found out for the next time. ``packages`` are first-party, or not, whatever their place says. ``texts``, by
        path, count instead of what stands in files. ``helpers`` is how many processes may parse beside this one, where
        much is new and there are ``notes``: at least 0.
        """
        self._finder = finder if finder is not None else Finder(packages)
        self._packages = packages
        self._texts = texts or {}
        self._identity = identity
        self._with_program = with_program
        self._memo = Memo(notes, identity.name) if notes is not None else None
        self._helpers = helpers
        self._ahead: Ahead | None = None
        self._read: dict[Module, _Read] = {}
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
        wanted = frozenset(name for name in names if self._leads_anywhere(name))
        if wanted not in self._fingerprints:
            self._fingerprints[wanted] = self._take(wanted)
        return self._fingerprints[wanted]

    def _leads_anywhere(self, name: str) -> bool:
        return name.startswith("__main__") or self._finder.find(name.partition(".")[0]) is not None

    def _is_started_by_others(self, name: str) -> bool:
        """Tell whether a loaded module is the project's own and was imported by Python or by Hydra, whoever asks."""
        if not name.startswith("hydra_plugins.") and name not in ("sitecustomize", "usercustomize"):
            return False
        found = self._finder.find(name)
        return found is not None and found.party is Party.FIRST and not is_own(name)

    def _take(self, names: frozenset[str]) -> Fingerprint:
        program = self._finder.main() if self._with_program else None
        programs = ["__main__"] if program is not None and program.party is Party.FIRST else []
        programs += sorted(filter(self._is_started_by_others, list(sys.modules)))
        main = self._finder.main()
        typed_in: list[TaskIdentity] = []
        if main is None and not has_source("__main__"):
            typed = {name for name in names if name.startswith("__main__.")}
            names -= typed
            typed_in = [found for found in map(identify_named, sorted(typed)) if found is not None]
        asked = Asked(self._identity, tuple(sorted(names)), tuple(programs), main, self._packages)
        return self.answer(asked, typed_in)

    def answer(self, asked: Asked, typed_in: Sequence[TaskIdentity] = ()) -> Fingerprint:
        """Return the fingerprint that is asked for. ``typed_in`` is what a session names besides, from memory.

        Raises:
            UnkeyableCodeError: As ``fingerprint`` does.
        """
        identity = asked.identity
        roots = sorted(identity.roots.union(*(each.roots for each in typed_in)))
        in_memory = [identity.form, *(each.form for each in typed_in)]
        main_path = asked.main.path if asked.main is not None else None
        name = digest(encode([roots, list(asked.names), list(asked.programs), main_path, asked.packages]))
        again = None if typed_in else asked
        if self._memo is not None and not self._texts:
            known = self._memo.walk(name)
            if known is not None:
                return self._finish(known, known.found, in_memory, again)
        from parcache.keys.closure import Closure  # all that walks is loaded where there is a walk: 4 ms

        closure = Closure(self._finder, self._table, identity.name)
        with _uncollected(), self._helped():
            closure.reach(roots, asked.names, asked.programs)
            details, forms = self._assemble(closure)
        code = digest(encode([forms, details.absent, details.references]))
        executed = tuple((module, self._read[module].source) for module in closure.executed)
        walk = Walk(code, executed, tuple(sorted(closure.distributions)), b"")
        if self._memo is not None and not self._texts:
            self._memo.save()
            if not closure.breadth.has_looked_everywhere and not self._finder.has_asked_memory:
                folders = {*sys.path, *folders_of(self._finder.known())}
                looked = Looked(tuple(sorted(folders)), tuple(sorted(self._finder.trees)))
                self._memo.keep_walk(name, walk._replace(found=details.pack()), looked)
        return self._finish(walk, details, in_memory, again)

    def _finish(self, walk: Walk, details: Details | bytes, in_memory: list[bytes], asked: Asked | None) -> Fingerprint:
        known = tuple(versions(walk.distributions).items())
        sources = {source for _, source in walk.executed}
        return Fingerprint(
            digest(encode([*in_memory, walk.code, known])),
            self._identity.name,
            tuple(sorted(sources, key=lambda source: source.path)),
            known,
            details,
            asked,
        )

    def _assemble(self, closure: Closure) -> tuple[Details, list[Any]]:
        """Return what a walk has found, and the forms that count."""
        from parcache.keys.happenings import has_place
        from parcache.keys.timeline import orders

        detail = self._detail(closure)
        forms: list[Any] = []
        definitions: list[Definition] = []
        environ: set[str] = set()
        for module in sorted(closure.executed, key=lambda module: (module.name, module.path or "")):
            source, table = self._read[module]
            numbers = closure.reached.get(module, set())
            if table.is_whole or (numbers and detail is _Detail.TEXT):
                form = source.content.hex()
                forms.append([source.module, form])
                definitions.append(Definition(source.module, WHOLE, source.path, (1, table.lines), form))
                continue
            placed: list[str] = []
            loose: list[str] = []
            for number in sorted(numbers):
                unit = table.units[number]
                form = unit.forms[detail]
                environ.update(unit.environ)
                if form:
                    (placed if detail >= _Detail.ORDER or has_place(closure, module, number) else loose).append(form)
                    definitions.append(Definition(source.module, unit.name, source.path, unit.lines, form))
            if placed or loose:
                forms.append([source.module, sorted(table.futures), placed, sorted(loose)])
        forms.append(orders(closure, sees_order=detail >= _Detail.ORDER))
        dynamic = tuple(sorted(set(closure.breadth.constructs)))
        for construct in dynamic:
            log.debug("dynamic: %s; counting all that it may mean", construct)
        absent, references = tuple(sorted(closure.absent)), tuple(sorted(closure.references))
        return Details(tuple(definitions), absent, dynamic, tuple(sorted(environ)), references), forms

    def _detail(self, closure: Closure) -> _Detail:
        detail = _Detail.CODE
        for module, numbers in closure.reached.items():
            units = self._table(module).units
            for number in numbers:
                if units[number].reads_source:
                    return _Detail.TEXT
                if units[number].reads_docs:
                    detail = _Detail.DOCSTRINGS
                elif units[number].reads_order:
                    detail = max(detail, _Detail.ORDER)
        return detail

    def _table(self, module: Module) -> Table:
        if module not in self._read:  # by name too: a file reached under two has two sets of relative imports
            path = module.path
            if path is None:
                raise AssertionError(f"{module.name} has no file")  # the closure keeps such modules out
            try:
                before = signature(path)
                data = self._texts.get(path)
                if data is None:
                    with open(path, "rb") as file:
                        data = file.read()
            except OSError as error:
                raise UnkeyableCodeError(self._identity.name, f"{path} cannot be read: {error.strerror}") from None
            source = Source(module.name, path, content_digest(data), before)
            self._read[module] = _Read(source, self._tabulate(module, source.content, data))
        return self._read[module].table

    def _tabulate(self, module: Module, content: bytes, data: bytes) -> Table:
        from parcache.keys.units import opaque, tabulate

        if (module.path or "").endswith(_BINARY):
            return opaque()
        if self._memo is None:
            return tabulate(data, module.name, module.is_package)
        known = self._memo.table(module, content)
        if known is not None:
            return known
        packed = self._ahead.take(module, content) if self._ahead is not None else None
        if packed is None:
            table = tabulate(data, module.name, module.is_package)
            packed = packed_table(table)
        else:
            table = unpacked_table(packed)
        self._memo.keep_table(module, content, packed)
        return table

    @contextmanager
    def _helped(self) -> Iterator[None]:
        """Have helpers parse ahead of a walk."""
        if not self._helpers or self._memo is None:
            yield
            return
        from parcache.keys.ahead import Ahead

        self._ahead = Ahead(self._helpers)
        try:
            yield
        finally:
            self._ahead.close()
            self._ahead = None


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector off trees and tables while they grow: half of the time that parsing takes."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
