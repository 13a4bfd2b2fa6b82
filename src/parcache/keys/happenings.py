"""What of a module's execution can matter in its order: what changes more than it binds, and what reads such things."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from parcache.keys.closure import Closure
from parcache.keys.findings import LAMBDA, Now, unmarked
from parcache.keys.modules import Module, Party, logical_name
from parcache.keys.resolution import Place, Target, is_foreign
from parcache.keys.units import Table, Unit

# What these make does not depend on anything that a project sets.
_STATELESS: Final = frozenset(
    {"__future__", "abc", "argparse", "collections", "contextlib", "copy", "dataclasses", "datetime", "enum", "hydra"}
    | {"fractions", "functools", "inspect", "itertools", "logging", "math", "omegaconf", "operator", "pathlib", "re"}
    | {"string", "struct", "textwrap", "threading", "time", "types", "typing", "typing_extensions", "weakref"}
)
_LOOK_FOR_MODULES: Final = (
    *("sys.path", "sys.meta_path", "sys.modules", "site.addsitedir", "rootutils", "pyrootutils", "autoroot"),
)
_CLASSES: Final = "<classes>"


class Item(NamedTuple):
    """Something that is executed. ``name`` tells it from all others.

    ``what`` is one of: ``acts``, ``adds`` (to ``bindings``), ``reads`` (``bindings``; None is any that there is).
    ``is_loose``: of what acts, a definition, which leaves alone what others are made of; of what reads, what only the
    rest of what acts can change.
    """

    what: str
    name: str
    bindings: tuple[str, ...] | None = ()
    is_loose: bool = False


def has_place(closure: Closure, module: Module, number: int) -> bool:
    """Tell whether it matters which of a module's units a unit comes before and after."""
    table = closure.names.table(module)
    unit = table.units[number]
    if unit.now:
        effect = closure.effect(module, number)
        if effect.acts or effect.adds:
            return True
    if any(now.chain.partition(".")[0] in table.rebound for now in unit.now):
        return True
    return any(name in table.changed for name in unit.binds) or any(
        root in table.changed and not _is_foreign_root(closure, module, root) for root in unit.refs_now
    )


def _is_foreign_root(closure: Closure, module: Module, root: str) -> bool:
    found = closure.names.denote(module, root)
    return all(target.place in (Place.FOREIGN, Place.BUILTIN, Place.HARMLESS) for target in found)


class Happenings:
    """Tells of one finished walk. ``sees_order``: the job's code sees in what order things are defined."""

    def __init__(self, closure: Closure, *, sees_order: bool) -> None:
        self._closure = closure
        self._names = closure.names
        self._sees_order = sees_order
        self._patched = self._patched_libraries()
        self._looks_for_modules = any(
            target.place is Place.FOREIGN and target.name.startswith(_LOOK_FOR_MODULES) for target in closure.taken
        )

    def of(self, module: Module) -> Iterator[Module | Item]:
        """Yield what executing a module executes, in order: other modules, and what of it can matter."""
        table = self._names.table(module)
        name = logical_name(module.name)
        reached: Iterable[int] = self._closure.reached.get(module, ())
        if self._looks_for_modules and reached:
            yield Item("reads", f"{name} is looked for", (), is_loose=True)
        if table.is_whole:
            yield Item("acts", f"{name} *")
        for number, unit in enumerate(table.units):
            if unit.kind == "guard":
                continue
            for imported, attribute in unit.imports_now:
                yield from self._imported(imported, attribute)
            for bound, imported, attribute in unit.aliases:
                if (module, bound) in self._names.used:
                    yield from self._bound(name, bound, imported, attribute)
            for star in unit.stars:
                yield Item("reads", f"{name} * {star}", None, is_loose=True)
            if number in reached and unit.kind != "import":
                yield from self._unit(module, table, number)

    def _patched_libraries(self) -> set[str]:
        """Return the top-level modules of others whose attributes are set when a module is imported."""
        found: set[str] = set()
        for module, numbers in self._closure.reached.items():
            units = self._names.table(module).units
            for number in numbers:
                for now in units[number].now:
                    is_set = now.what == "store" and now.style == "attribute"
                    chains = (now.chain,) if is_set else now.given if now.chain == "setattr" else ()
                    targets = (target for chain in chains for target in self._names.denote(module, chain))
                    found.update(target.name.partition(".")[0] for target in targets if target.place is Place.FOREIGN)
        return found

    def _imported(self, name: str, attribute: str) -> Iterator[Module]:
        """Yield the first-party modules that an import executes, parents first."""
        finder = self._names.finder
        end = 0
        while end >= 0:
            end = name.find(".", end + 1)
            found = finder.find(name if end < 0 else name[:end])
            if found is None or is_foreign(found):
                return
            yield found
        if attribute and attribute != "*" and found is not None and found.is_package:
            below = finder.find(f"{name}.{attribute}")
            if below is not None:
                yield below

    def _bound(self, module: str, bound: str, imported: str, attribute: str) -> Iterator[Item]:
        """Yield what an import reads by binding a name."""
        found = self._names.finder.find(imported.partition(".")[0])
        if found is None:
            return
        if is_foreign(found):
            if found.name in self._patched or (found.party is Party.THIRD and found.name not in _STATELESS):
                if found.party is Party.THIRD:
                    yield Item("reads", f"import {found.name}", (), is_loose=True)  # it may read the environment
                if attribute:
                    yield Item("reads", f"{module} {bound}", (), is_loose=True)
        elif attribute:
            bindings = _bindings(self._names.denote_in(imported, attribute))
            if bindings:  # what the object holds is seen by those who use it
                yield Item("reads", f"{module} {bound}", tuple(map(_rebound, bindings)), is_loose=True)

    def _unit(self, module: Module, table: Table, number: int) -> Iterator[Item]:
        unit = table.units[number]
        name = f"{logical_name(module.name)} {unit.forms[0]}"
        effect = self._closure.effect(module, number)
        if effect.acts:
            yield Item("acts", name, (), unit.kind in ("def", "class"))
            return
        read = self._reads(module, unit, name)
        if read is not None:
            yield read
        if effect.adds:
            yield Item("adds", name, (*(_name(*binding) for binding in effect.adds), *self._rebinds(module, unit)))
        if self._sees_order and any(now.what == "base" for now in unit.now):
            yield Item("adds", name, (_CLASSES,))

    def _rebinds(self, module: Module, unit: Unit) -> Iterator[str]:
        """Yield the names of other modules that a unit binds again."""
        for now in unit.now:
            if now.what == "store" and now.style == "attribute":
                found = (target for target in self._names.denote(module, now.chain) if not target.rest)
                yield from map(_rebound, _bindings(found))

    def _reads(self, module: Module, unit: Unit, name: str) -> Item | None:
        """Return what a unit reads when it is executed, if that can matter."""
        if not unit.now and not unit.refs_now:
            return None
        if any(self._may_read_any(module, unit, now) for now in unit.now):
            return Item("reads", name, None)
        now_read = set(unit.refs_now)
        chains = {chain for chain in unit.refs if chain.partition(".")[0] in now_read}
        chains.update(now.chain for now in unit.now if now.chain)
        targets = [target for chain in chains for target in self._names.denote(module, chain)]
        for now in unit.now:
            if now.what == "decorator":
                targets += self._read_by(module, now.chain)
        bindings = _bindings(targets)
        is_definition = unit.kind in ("def", "class")
        if bindings:
            return Item("reads", name, bindings, is_definition)
        if any(target.place is Place.FOREIGN and self._has_state(target.name) for target in targets):
            return Item("reads", name, (), is_loose=True)
        return None

    def _has_state(self, name: str) -> bool:
        """Tell whether what a name of others leads to can depend on what the project does."""
        top = name.partition(".")[0]
        return top in self._patched or (top not in _STATELESS and not name.startswith("os.path."))

    def _may_read_any(self, module: Module, unit: Unit, now: Now) -> bool:
        """Tell whether something that happens runs first-party code, which may read any name."""
        if now.what in ("base", "metaclass", "store"):
            return False
        if now.what == "decorator" and unit.kind in ("def", "class"):
            return not now.chain
        if not now.chain or LAMBDA in now.given:
            return True
        if now.what not in ("enter", "member") and any(
            target.place is Place.BINDING for target in self._names.denote(module, now.chain)
        ):
            return True
        return any(
            target.place is Place.BINDING and target.module is not None and self._is_code(target.module, target.name)
            for given in now.given
            for target in self._names.denote(module, unmarked(given)[0])
        )

    def _read_by(self, module: Module, chain: str) -> Iterator[Target]:
        """Yield what a decorator reads that changes nothing: it calls no functions of the project."""
        for target in self._names.denote(module, chain):
            if target.place is Place.BINDING and target.module is not None:
                table = self._names.table(target.module)
                for number in table.binders.get(target.name, ()):
                    for read in table.units[number].refs:
                        yield from self._names.denote(target.module, read)

    def _is_code(self, module: Module, name: str) -> bool:
        table = self._names.table(module)
        return any(table.units[number].kind in ("def", "class") for number in table.binders.get(name, ()))


def _bindings(targets: Iterable[Target]) -> tuple[str, ...]:
    return tuple(
        sorted(
            {
                _name(target.module, target.name)
                for target in targets
                if target.module is not None and target.place in (Place.BINDING, Place.MISSING)
            }
        )
    )


def _rebound(binding: str) -> str:
    return f"{binding} ="


def _name(module: Module, name: str) -> str:
    return f"{logical_name(module.name)}:{name}"
