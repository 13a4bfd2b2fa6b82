"""Whether code of the project's own may run where a special method of an object is called.

Iteration, ``with``, operators, comparisons and tests call special methods. Those of objects that are made of displays,
of numbers, text and other people's classes are not the project's; all others may be.
"""

from __future__ import annotations

from typing import Final

from parcache.keys.foreign import is_quiet_base, makes_iterators
from parcache.keys.modules import Module
from parcache.keys.resolution import Names, Place, Target
from parcache.keys.units import Unit

OTHERS: Final = frozenset({Place.FOREIGN, Place.BUILTIN, Place.HARMLESS})
# What these hand back may be anything that has a name somewhere.
REVEALING: Final = frozenset({"globals", "locals", "vars", "eval", "exec", "getattr", "__import__"})
_OF_CLASSES: Final = frozenset({"__class_getitem__"})
_SILENT: Final = frozenset(
    [
        *("__init__", "__slots__", "__annotations__", "__doc__", "__module__", "__qualname__", "__match_args__"),
        *("__post_init__", "__version__"),
    ]
)
# With these an enumeration makes its members, when the class is made.
_OF_MEMBERS: Final = frozenset({"__init__", "__new__", "_generate_next_value_"})


class Specials:
    """Knows bindings by what they are made of, each once."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._plain: dict[tuple[Module, str, bool], bool] = {}
        self._special: dict[tuple[Module, str], bool] = {}
        self._iterators: dict[tuple[Module, str], tuple[tuple[Module, str], ...]] = {}

    def units(self, module: Module, name: str) -> list[Unit]:
        """Return what binds a name of a module, imports included."""
        table = self._names.table(module)
        return [table.units[number] for number in table.binders.get(name, ())]

    def may_run(self, target: Target, style: str) -> bool:
        """Tell whether special methods of a target, or of what is got out of it, may be the project's."""
        if target.place in OTHERS:
            return False
        if target.place is not Place.BINDING or target.module is None:
            return True
        where = target.module, target.name
        kinds = {unit.kind for unit in self.units(*where)}
        if not style and not target.rest and kinds and kinds <= {"def", "class"}:
            return any(
                not _OF_CLASSES.isdisjoint(unit.members) or _has_own_metaclass(unit) for unit in self.units(*where)
            )
        if style == "called" and not target.rest and kinds == {"class"}:
            return self.has_specials(*where)
        if style or len(target.rest) != 1 or kinds != {"class"}:
            return not self.is_plain(*where)
        is_member = all(self._is_enumeration(where[0], unit) for unit in self.units(*where))
        return not is_member or self.has_specials(*where)

    def makes_members(self, module: Module, unit: Unit) -> bool:
        """Tell whether a class calls methods of its own when it is made: an enumeration, for each member."""
        if _OF_MEMBERS.isdisjoint(unit.members) or (unit.calm and "_generate_next_value_" not in unit.members):
            return False
        return self._is_enumeration(module, unit)

    def _is_enumeration(self, module: Module, unit: Unit) -> bool:
        return any(
            target.place is Place.FOREIGN and target.name.startswith("enum.")
            for now in unit.now
            if now.what == "base" and now.chain
            for target in self._names.denote(module, now.chain)
        )

    def iterators(self, module: Module, name: str) -> tuple[tuple[Module, str], ...]:
        """Return the names of what is used up where somebody walks over what a name holds."""
        known = self._iterators.get((module, name))
        if known is None:
            self._iterators[module, name] = ()
            found: dict[tuple[Module, str], None] = {}
            for unit in self.units(module, name):
                if unit.kind != "other":
                    continue
                calls = [now.chain for now in unit.now if now.what == "call" and now.chain]
                if any(
                    target.place in OTHERS
                    and makes_iterators(target.name, is_builtin=target.place is not Place.FOREIGN)
                    for chain in calls
                    for target in self._names.denote(module, chain)
                ):
                    found[module, name] = None
                for chain in unit.refs:
                    for target in self._names.denote(module, chain):
                        if target.place is Place.BINDING and target.module is not None:
                            found.update(dict.fromkeys(self.iterators(target.module, target.name)))
            known = self._iterators[module, name] = tuple(found)
        return known

    def has_specials(self, module: Module, name: str) -> bool:
        """Tell whether instances of a class may have special methods of the project's."""
        known = self._special.get((module, name))
        if known is None:
            self._special[module, name] = True  # a class that is its own base
            units = self.units(module, name)
            known = not units or any(self._is_special(module, unit) for unit in units)
            self._special[module, name] = known
        return known

    def _is_special(self, module: Module, unit: Unit) -> bool:
        if unit.kind != "class" or any(name[:2] == "__" and name not in _SILENT for name in unit.members):
            return True
        for now in unit.now:
            if now.what not in ("base", "metaclass", "decorator"):
                continue
            for target in self._names.denote(module, now.chain) if now.chain else ():
                if target.place is Place.BINDING and target.module is not None and not (target.rest or now.style):
                    if now.what != "base" or self.has_specials(target.module, target.name):
                        return True
                elif target.place not in OTHERS or (now.what == "base" and not _is_silent_base(target)):
                    return True
            if not now.chain:
                return True
        return False

    def is_plain(self, module: Module, name: str, *, functions: bool = True) -> bool:
        """Tell whether a name holds what is made of other people's types, at whatever depth.

        ``functions``: functions and classes of the project's may be among it, where they are not called.
        """
        key = module, name, functions
        known = self._plain.get(key)
        if known is None:
            self._plain[key] = False
            units = self.units(module, name)
            known = bool(units) and all(self._makes_plain(module, unit, functions) for unit in units)
            self._plain[key] = known
        return known

    def _makes_plain(self, module: Module, unit: Unit, functions: bool) -> bool:
        if unit.kind != "other" or unit.aliases or unit.modules or unit.dynamic:
            return False
        called = {now.chain for now in unit.now if now.what != "enter"}
        return all(
            self._is_part(target, module, unit, functions and chain not in called)
            for chain in unit.refs
            for target in self._names.denote(module, chain)
        )

    def _is_part(self, target: Target, module: Module, unit: Unit, functions: bool) -> bool:
        if target.place in OTHERS:
            return target.name not in REVEALING
        if target.place is not Place.BINDING or target.module is None:
            return False
        if target.module == module and target.name in unit.binds:
            return True
        kinds = {each.kind for each in self.units(target.module, target.name)}
        if kinds and kinds <= {"def", "class"}:
            return functions and not target.rest
        return self.is_plain(target.module, target.name, functions=functions)

    def is_container(self, module: Module, name: str) -> bool:
        """Tell whether a name holds what builtin types, or those of ``collections``, make of plain things."""
        units = self.units(module, name)
        return bool(units) and all(
            unit.kind == "other"
            and not unit.aliases
            and all(
                (target.place in (Place.BUILTIN, Place.HARMLESS) and target.name not in REVEALING)
                or (target.place is Place.FOREIGN and target.name.startswith("collections."))
                or (target.place is Place.BINDING and target.module == module and target.name in unit.binds)
                for chain in unit.refs
                for target in self._names.denote(module, chain)
            )
            for unit in units
        )


def _is_silent_base(target: Target) -> bool:
    return target.place is not Place.FOREIGN or is_quiet_base(target.name)


def _has_own_metaclass(unit: Unit) -> bool:
    return any(now.what == "metaclass" for now in unit.now)
