"""The walk over first-party code: which units of which modules can matter to a job.

Two kinds of reaching. A module is *executed* when a reached module imports it, at its top or in a reached function:
then those of its units count that act (``parcache.keys.effects``). A unit is *reached* when a name that it binds is
read by a reached unit, when it acts or adds to a reached name, or when the config names it; then all that it refers to
is reached in turn. Where names are resolved dynamically, more is reached, never less:

- a module that is used otherwise than by its attributes (handed over, ``vars(m)``, ``getattr(m, s)``): all of it;
- ``globals()``: all of the module that says so;
- imports by computed names: all of the package that is named;
- what ``parcache.keys.breadth`` knows of: classes or all names of executed modules, or all modules there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

from parcache.errors import UnkeyableCodeError
from parcache.keys.breadth import Breadth
from parcache.keys.code import Construct
from parcache.keys.distributions import INERT, providers
from parcache.keys.effects import Effect, Effects
from parcache.keys.findings import HANDED
from parcache.keys.modules import MENTIONED, Finder, Module, Party, has_source, is_own, logical_name
from parcache.keys.resolution import Names, Place, Target, is_foreign
from parcache.keys.units import Table, Unit

MAX_MODULES: Final = 20_000


class Closure:
    """One walk from a task. ``table`` returns a first-party module's table, and may raise what ends the walk."""

    def __init__(self, finder: Finder, table: Callable[[Module], Table], task: str) -> None:
        self._finder = finder
        self._task = task
        self._table = table
        self.names = Names(finder, table)
        self._effects = Effects(self.names)
        self._known_effects: dict[tuple[Module, int], Effect] = {}
        self._queue: list[tuple[Module, int]] = []
        self._to_run: list[Module] = []
        self._added: dict[tuple[Module, str], list[tuple[Module, int]]] = {}
        self._bound: set[tuple[Module, str]] = set()
        self.taken: set[Target] = set()
        self._followed: dict[Module, set[str]] = {}
        self._met: set[Module] = set()
        self._imported: set[tuple[str, str, bool]] = set()
        self.breadth = Breadth(finder)
        self.executed: list[Module] = []
        self.programs: set[Module] = set()
        self.entries: set[Module] = set()  # imported otherwise than by what others do when they are imported
        self.wholes: set[Module] = set()
        self._whole_names: set[str] = set()
        self.reached: dict[Module, set[int]] = {}
        self.distributions: set[str] = set()
        self.absent: set[str] = set()
        self.references: set[tuple[str, str, str]] = set()

    def reach(self, roots: Iterable[tuple[str, str]], names: Iterable[str], programs: Iterable[str] = ()) -> Closure:
        """Walk from the task's roots and from the names in the config.

        A root is a module and a name in it, ``""`` for all of it; ``name@line`` takes what stands at that line besides.
        With ``MENTIONED`` for a name it is a string that may lead somewhere.

        Of ``programs``, modules that run anyway, only that counts which acts.
        """
        for name in sorted(programs):
            self._import(name, "")
        for module_name, name in sorted(roots):
            self._root(module_name, name)
        for name in sorted(names):
            self._mention(name, is_certain=True)
            self.breadth.name(name)
        self._follow()
        return self

    def effect(self, module: Module, number: int) -> Effect:
        """Return what executing one of a module's units changes."""
        known = self._known_effects.get((module, number))
        if known is None:
            known = self._known_effects[module, number] = self._effects.of(module, self._table(module).units[number])
        return known

    # --- The loop

    def _follow(self) -> None:
        while True:
            while self._queue or self._to_run:
                if self._to_run:
                    self._run(self._to_run.pop())
                    continue
                module, number = self._queue.pop()
                self._follow_unit(module, self._table(module).units[number])
            self._reach_below_wholes()
            if self._queue:
                continue
            if self.breadth.is_endless:
                is_program = self.breadth.take_endless()
                for module in list(self.breadth.everything(self.executed)):
                    self._whole(module, is_program=is_program, is_entry=True)
            elif self.breadth.is_wide:
                self._grow()
            if not self._queue and not self._to_run and not self.breadth.is_endless:
                return

    def _reach_below_wholes(self) -> None:
        """Reach all of the submodules of packages of which all counts: imported, they are attributes of theirs."""
        for module in self.executed[:]:
            parent = module.name.rpartition(".")[0]
            while parent:
                if parent in self._whole_names and module not in self.wholes:
                    self._whole(module)
                parent = parent.rpartition(".")[0]

    def _grow(self) -> None:
        """Reach units of all executed modules; asked again after each round, for these execute more."""
        for module in list(self.executed):
            for number, unit in enumerate(self._table(module).units):
                if unit.kind != "guard" and self.breadth.reaches(unit):
                    self._unit(module, number)

    def _follow_unit(self, module: Module, unit: Unit) -> None:
        for imported, name in unit.imports_now:
            self._import(imported, name, is_entry=unit.kind == "guard")
        for imported, name in unit.imports_later:
            self._import(imported, name)
        self._chains(module, unit.refs)
        for imported, chain in unit.absolute:
            for target in self.names.denote_in(imported, chain):
                self.references.add((logical_name(module.name), f"{imported}:{chain}", _logical(target)))
                self._take(target)
        for name in unit.strings:
            self._mention(name, is_certain=False)
        for name in unit.modules:
            found = self._finder.find(name)
            if found is not None:
                self._whole(found)
        for name in unit.wholes:
            self._whole_package(name)
        self.distributions.update(unit.distributions)
        if unit.files:
            self._named_files(module, unit.files)
        if unit.own_names:
            self._whole(module)
        for item in unit.dynamic:
            if item.reach == HANDED or module.party is Party.FIRST:
                self.breadth.add(Construct(module.path or "", item.line, item.text), item.reach)
            else:  # not installed as a distribution: it imports from its own package, if from anywhere
                self._whole_package(module.name.partition(".")[0])

    # --- Names

    def _chains(self, module: Module, chains: Iterable[str]) -> None:
        followed = self._followed.setdefault(module, set())
        for chain in chains:
            if chain not in followed:
                followed.add(chain)
                self._chain(module, chain)

    def _chain(self, module: Module, chain: str) -> None:
        targets = self.names.denote(module, chain)
        root = chain.partition(".")[0]
        table = self._table(module)
        if root in table.aliases or root not in table.binders or len(targets) > 1:
            told = [_logical(target) for target in targets if target.place not in (Place.BUILTIN, Place.HARMLESS)]
            if told:
                self.references.add((logical_name(module.name), chain, ", ".join(told)))
        for target in targets:
            self._take(target)

    def _take(self, target: Target) -> None:
        if target in self.taken:
            return
        self.taken.add(target)
        if target.place is Place.FOREIGN:
            self.breadth.foreign(target.name)
            top = target.name.partition(".")[0]
            if top in INERT:
                self._import(top, "")
            return
        if target.module is None:
            return
        if target.module not in self._met:
            self._execute(target.module)
        if target.place is Place.MODULE:
            self._whole(target.module)
        elif target.place is Place.BINDING:
            self._binding(target.module, target.name)
        elif target.place is Place.MISSING:
            self._binding(target.module, target.name)  # something may add it
            if "__getattr__" in self.names.table(target.module).binders:
                self._binding(target.module, "__getattr__")

    def _binding(self, module: Module, name: str) -> None:
        if (module, name) in self._bound:
            return
        self._bound.add((module, name))
        table = self.names.table(module)
        for number in table.binders.get(name, ()):
            if table.units[number].kind != "import":
                self._unit(module, number)
        for where, number in self._added.get((module, name), ()):
            self._unit(where, number)

    def _unit(self, module: Module, number: int) -> None:
        reached = self.reached.setdefault(module, set())
        if number not in reached:
            reached.add(number)
            self._queue.append((module, number))

    def _root(self, module_name: str, name: str) -> None:
        if name == MENTIONED:
            self._mention(module_name, is_certain=False)
            return
        self._import(module_name, "")
        name, _, line = name.partition("@")
        self.breadth.name(f"{module_name}.{name}", path="<memory>")  # read by code that has no source
        for target in self.names.denote_in(module_name, name):
            if target.place is not Place.MISSING or target.module is None:
                self._take(target)
            elif not (line and self._unit_at(target.module, int(line))):
                self._whole(target.module)  # made in a way that its source does not show
        if line:
            for target in self.names.denote_in(module_name, ""):
                if target.module is not None:
                    self._unit_at(target.module, int(line))

    def _unit_at(self, module: Module, line: int) -> bool:
        """Reach the unit that a line belongs to; tell whether there is one."""
        found = [
            number for number, unit in enumerate(self._table(module).units) if unit.lines[0] <= line <= unit.lines[1]
        ]
        for number in found:
            self._unit(module, number)
        return bool(found)

    def _mention(self, name: str, *, is_certain: bool) -> None:
        """Reach what a dotted string leads to, as far as it leads anywhere.

        ``is_certain``: it is known to name code, so that where it cannot be followed all of its module counts.
        """
        if name == "__main__" or name.startswith("__main__."):
            module, rest = self._finder.main(), name.partition(".")[2]
            if module is None and not has_source("__main__") and not is_certain:
                return  # a string in other code
            if module is None:
                problem = f"the config names {name}, whose program has no file (a prompt, a notebook, standard input)"
                raise UnkeyableCodeError(self._task, problem)
        else:
            module = self._finder.find_prefix(name)
            if module is None:
                return
            rest = name[len(module.name) + 1 :]
        self._execute(module)
        if is_foreign(module):
            self._take(Target(Place.FOREIGN, None, name))
            return
        for target in self.names.denote_in(module.name if name[:8] != "__main__" else "__main__", rest):
            self.references.add(("", name, _logical(target)))
            self._take(target)
            if target.place is Place.MISSING and is_certain and target.module is not None:
                self._whole(target.module)

    # --- Modules

    def _import(self, name: str, attribute: str, *, is_entry: bool = True) -> None:
        """Execute a module that is imported, with its parents; one that is not there counts as absent."""
        if (name, attribute, is_entry) in self._imported:
            return
        self._imported.add((name, attribute, is_entry))
        module = self._finder.main() if name == "__main__" else self._finder.find(name)
        if module is None:
            prefix = self._finder.find_prefix(name)
            if prefix is not None:
                self._execute(prefix, is_entry=is_entry)
            if prefix is None or prefix.party is not Party.PLATFORM:
                self.absent.add(logical_name(name))
            return
        self._execute(module, is_entry=is_entry)
        if attribute == "*":
            table = self.names.table(module) if not is_foreign(module) else None
            if table is not None and "__all__" in table.binders:
                self._binding(module, "__all__")
                self._whole_package(module.name)
        elif attribute and module.is_package:
            below = self._finder.find(f"{module.name}.{attribute}")
            if below is not None:
                self._execute(below, is_entry=is_entry)

    def _imports_more(self, unit: Unit) -> bool:
        """Tell whether a statement imports anything but modules of the standard library."""
        found = (self._finder.find(name) for name, _ in unit.imports_now)
        return any(module is None or module.party is not Party.PLATFORM for module in found)

    def _is_inert(self, name: str) -> bool:
        """Tell whether importing a module changes nothing for code that does not use it."""
        top = name.partition(".")[0]
        found = self._finder.find(top) if top in INERT else None
        return found is not None and is_foreign(found)

    def _execute(self, module: Module, *, is_entry: bool = True) -> None:
        if is_entry:
            self.entries.add(module)
        if module in self._met:
            return
        self._met.add(module)
        parent = module.name.rpartition(".")[0]
        if parent:
            found = self._finder.find(parent)
            if found is not None:
                self._execute(found, is_entry=is_entry)
        if is_own(module.name) or module.party is Party.PLATFORM:
            return
        if module.party is Party.THIRD:
            found_providers = providers(module.name.partition(".")[0])
            self.distributions.update(found_providers)
            if found_providers:
                return
        if module.path is not None:
            self._to_run.append(module)

    def _run(self, module: Module) -> None:
        if len(self.executed) >= MAX_MODULES:
            where = str(self.breadth.constructs[0]) if self.breadth.constructs else "it reaches them by imports"
            problem = f"more than {MAX_MODULES} modules count ({where}); import by literal names"
            raise UnkeyableCodeError(self._task, problem)
        self.executed.append(module)
        table = self._table(module)
        if table.is_whole or module.party is not Party.FIRST:
            self._whole(module)
        for number, unit in enumerate(table.units):
            if unit.kind == "guard":
                continue
            if unit.imports_now and unit.kind in ("other", "class") and self._imports_more(unit):
                self._unit(module, number)  # whether it does may hang on a condition
            for imported, name in unit.imports_now:
                if name == "*" or not self._is_inert(imported):  # a star may hide builtins
                    self._import(imported, name, is_entry=False)
            if not unit.now:
                continue
            effect = self.effect(module, number)
            if effect.acts:
                self._unit(module, number)
            for binding in effect.adds:
                self._added.setdefault(binding, []).append((module, number))
                if binding in self._bound:
                    self._unit(module, number)

    def _whole(self, module: Module, *, is_program: bool = False, is_entry: bool = False) -> None:
        """Reach all of a module; ``is_program``: also what it does only when it runs as one."""
        if is_entry or module not in self._met:
            self._execute(module)
        if is_foreign(module) or module.path is None:
            return
        if module in self.wholes and not (is_program and module not in self.programs):
            return
        self.wholes.add(module)
        self._whole_names.add(module.name)
        if is_program:
            self.programs.add(module)
        table = self._table(module)
        for number, unit in enumerate(table.units):
            if unit.kind != "guard" or module in self.programs:
                self._unit(module, number)
        for name in table.binders:
            self._binding(module, name)
        self._chains(module, table.aliases)

    def _whole_package(self, name: str) -> None:
        package = self._finder.find(name)
        if package is None:
            return
        self._execute(package)
        if is_foreign(package):
            return
        self._whole(package)
        for module in self._finder.submodules(package):
            self._whole(module, is_entry=True)

    def _named_files(self, module: Module, files: Iterable[str]) -> None:
        names = {os.path.basename(file) for file in files if not file.startswith("-m ")}
        for file in files:
            if file.startswith("-m "):
                self._program(file[3:])
        if names:
            for sibling in self._finder.siblings(module):
                if os.path.basename(sibling.path or "") in names and sibling.path != module.path:
                    self._whole(sibling, is_program=True, is_entry=True)

    def _program(self, name: str) -> None:
        for each in (name, f"{name}.__main__"):
            found = self._finder.find(each)
            if found is not None:
                self._whole(found, is_program=True, is_entry=True)


def _logical(target: Target) -> str:
    if target.module is None:
        return target.name
    return ".".join(part for part in (logical_name(target.module.name), target.name) if part)
