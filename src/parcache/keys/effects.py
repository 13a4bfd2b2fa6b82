"""What executing a unit can change besides the names that it binds.

A module that is imported executes all of its units, also those that bind names which nobody asks for. Such a unit
counts all the same when it can change something else: it *acts*. What it changes is often one object under one name (a
registry, a function with ``register``); then it *adds* to that name and counts with it.

What is not known to be inert acts: also special methods of first-party objects (``parcache.keys.specials``), and
classes that may be told to somebody when they are made.

Known to be inert (they bind what they bind and do no more): functions and classes of the standard library and of
installed distributions as decorators and in assignments, but for those whose names tell that they register, seed, patch
or set something (``parcache.keys.foreign``); first-party functions and classes that are calm
(``parcache.keys.calm``); Hydra's ``ConfigStore.store``, which only feeds composing, and the composed config counts.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from parcache.keys.findings import LAMBDA, Now, unmarked
from parcache.keys.foreign import (
    ACTING_BUILTINS,
    ACTING_NAMES,
    CONTAINERS,
    HANDING_OUT,
    INCURIOUS,
    KEEPERS,
    KEEPING,
    UNMOVED,
    WALKERS,
    changes_in_place,
    is_quiet_base,
    is_well_known,
    makes_classes,
    makes_its_own,
)
from parcache.keys.modules import Module
from parcache.keys.resolution import Names, Place, Target
from parcache.keys.specials import OTHERS, REVEALING, Specials
from parcache.keys.states import LOOKS, States
from parcache.keys.units import Unit

_CONFIG_STORE: Final = "ConfigStore.instance"
# Classes with more generations than this are taken to tell of each other.
_MAX_GENERATIONS: Final = 50
_ANNOUNCED: Final = frozenset({"__init_subclass__", "__pydantic_init_subclass__"})


class Effect(NamedTuple):
    """What executing a unit changes: ``acts``, or the bindings that it ``adds`` to."""

    acts: bool
    adds: tuple[tuple[Module, str], ...]


class Effects:
    """Judges units, each once."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._specials = Specials(names)
        self._states = States(names)
        self._calm: dict[tuple[Module, str], int] = {}
        self._fresh: dict[tuple[Module, str], bool] = {}
        self._announced: dict[tuple[Module, str], bool] = {}
        self._generations = 0

    def of(self, module: Module, unit: Unit) -> Effect:
        """Return the effect of executing a unit of a module."""
        if unit.kind == "class" and self._specials.makes_members(module, unit):
            return Effect(True, ())
        adds: list[tuple[Module, str]] = []
        for happening in unit.now:
            found = self._judge(module, happening)
            if found is None:
                return Effect(True, ())
            adds += found
        return Effect(
            False, tuple(dict.fromkeys(namesake for binding in adds for namesake in self._states.namesakes(*binding)))
        )

    def _judge(self, module: Module, now: Now) -> list[tuple[Module, str]] | None:
        """Return what a happening adds to, or None where it acts."""
        if not now.chain:
            return None
        adds: list[tuple[Module, str]] = []
        for target in self._names.denote(module, now.chain):
            if now.what == "store":
                found = self._store(target, now)
            elif now.what == "enter":
                found = self._enter(target, now.style)
            elif now.what == "member":
                found = None if self._is_told(target, now) else []
            elif now.what in ("base", "metaclass"):
                found = None if self._announces_to(target, now.what) else []
            else:
                found = self._call(module, target, now)
            if found is None:
                return None
            adds += found
        return adds

    def _store(self, target: Target, now: Now) -> list[tuple[Module, str]] | None:
        if target.place is not Place.BINDING or target.module is None:
            if target.place is Place.MISSING and target.module is not None and now.style == "attribute":
                return [(target.module, target.name)]  # a new name for a module
            return None
        where = target.module, target.name
        if now.style == "attribute" and not target.rest:
            return [where]  # a module's name is bound again
        is_shallow = len(target.rest) <= (1 if now.style == "attribute" else 0) and now.style != "nested"
        if self._is_fresh(*where) or (is_shallow and self._kinds(*where) <= {"def", "class"}):
            return [where]
        return None

    def _enter(self, target: Target, style: str) -> list[tuple[Module, str]] | None:
        if self._specials.may_run(target, style):
            return None
        if target.place is not Place.BINDING or target.module is None:
            return []
        return list(self._specials.iterators(target.module, target.name))

    def _is_told(self, target: Target, now: Now) -> bool:
        """Tell whether a member of a class may be told so: by a ``__set_name__`` of the project's."""
        if now.style == "called" and target.place is Place.BINDING and target.module is not None and not target.rest:
            kinds = {unit.kind for unit in self._units(target.module, target.name)}
            if kinds == {"class"}:
                return self._calm_depth(target.module, target.name) == 0
        return self._specials.may_run(target, now.style)

    def _announces_to(self, target: Target, what: str) -> bool:
        """Tell whether a base or a metaclass may tell somebody of the classes that are made by it."""
        if target.place is Place.FOREIGN:
            return not is_well_known(target.name)
        if what == "metaclass":
            return target.place is not Place.BUILTIN
        return target.place is Place.BINDING and self._is_announced(target)

    def _call(self, module: Module, target: Target, now: Now) -> list[tuple[Module, str]] | None:
        is_statement = now.what == "statement"
        if target.place is Place.BUILTIN:
            if is_statement or target.name in ACTING_BUILTINS:
                return None
            root, _, attribute = now.chain.partition(".")
            if root in CONTAINERS and attribute and attribute != "fromkeys" and not now.style:
                return None  # list.append(TABLE, 1)
            if target.name == "next":
                return self._given(module, now)
            if target.name == "type" and self._makes_a_subclass(module, now):
                return None
            if target.name not in INCURIOUS:
                found = self._handed_over(module, now.given, to_builtin=True)
            else:
                found = None if target.name not in UNMOVED and self._is_entered(module, now.given) else []
            return found if found is None or target.name in LOOKS else [*found, *self._states.used_up(module, now)]
        if target.place is Place.FOREIGN:
            if target.name.endswith(_CONFIG_STORE):
                return []
            if is_statement or ACTING_NAMES.search(target.name) or changes_in_place(target.name):
                return None
            if makes_classes(target.name) and self._makes_a_subclass(module, now):
                return None
            # What a partial, or a function that another one made, is called with at once.
            is_called = now.style == "called" or (target.name == "functools.partial" and "()" in now.given)
            if KEEPERS.match(target.name) and not is_called:
                return None if WALKERS.match(target.name) and self._is_entered(module, now.given) else []
            found = self._handed_over(module, now.given)
            return None if found is None else [*found, *self._states.used_up(module, now)]
        if target.place is not Place.BINDING or target.module is None:
            return None
        where = target.module, target.name
        if not target.rest:
            depth = 2 if now.style or "()" in now.given else 1
            is_calm = not is_statement and now.style != "nested" and self._calm_depth(*where) >= depth
            return self._states.used_up(module, now) if is_calm and not self._is_entered(module, now.given) else None
        return self._method(module, target, now)

    def _given(self, module: Module, now: Now) -> list[tuple[Module, str]] | None:
        """Return the names of what is handed over, which a call uses up; None where not all are known."""
        found: list[tuple[Module, str]] = []
        for name in now.given:
            for target in self._names.denote(module, name):
                if target.place is not Place.BINDING or target.module is None:
                    return None
                if not self._is_fresh(target.module, target.name):
                    return None
                found.append((target.module, target.name))
        return found

    def _method(self, module: Module, target: Target, now: Now) -> list[tuple[Module, str]] | None:
        if target.module is None or any(name[:2] == "__" for name in target.rest):
            return None  # g.__globals__.update(rate=5)
        where, rest = (target.module, target.name), target.rest
        kinds = self._kinds(*where)
        if kinds == {"def"} and now.style and rest != ("register",):
            return None
        if kinds == {"def"} and all(self._is_plain_def(where[0], unit) for unit in self._units(*where)):
            return [where]  # what functools makes of functions: singledispatch's register, a cache's clear
        if self._is_config_store(*where) and rest == ("store",):
            return []
        if kinds != {"other"} or not self._is_fresh(*where) or rest[-1] == "sort":
            return None
        if now.style and rest[-1] in HANDING_OUT:  # T.get("a")(5)
            return None
        if self._specials.is_container(*where):
            return None if rest[-1] not in KEEPING and self._is_entered(module, now.given) else [where]
        found = self._handed_over(module, now.given)
        return None if found is None else [where, *found]

    def _handed_over(
        self, module: Module, given: tuple[str, ...], *, to_builtin: bool = False
    ) -> list[tuple[Module, str]] | None:
        """Return what calling all that is handed over adds to; None where that acts."""
        adds: list[tuple[Module, str]] = []
        for name in given:
            if name == LAMBDA:
                return None
            chain, style = unmarked(name)
            for target in self._names.denote(module, chain) if chain else ():
                if target.place in OTHERS:
                    continue
                if target.place is not Place.BINDING or target.module is None:
                    return None
                where = target.module, target.name
                if self._is_fresh(*where):
                    is_changed = target.name in self._names.table(target.module).changed
                    if style and is_changed and (style == "nested" or HANDING_OUT & {*target.rest}):
                        return None  # map(TABLE["add"], rows)
                    if target.rest and not style:  # map(TABLE.append, rows)
                        if target.rest[-1] == "sort":
                            return None
                        adds.append(where)
                elif not target.rest and self._specials.is_plain(*where, functions=False):
                    continue
                elif target.rest or not self._is_quiet(where, target, style, to_builtin=to_builtin):
                    return None
        return adds

    def _is_quiet(self, where: tuple[Module, str], target: Target, style: str, *, to_builtin: bool) -> bool:
        """Tell whether a function or a class, or what it returns (``style``), does nothing when it is called."""
        depth = self._calm_depth(*where)
        if style == "called":
            return depth > 1 or (to_builtin and depth > 0 and not self._specials.may_run(target, style))
        return depth > 0 and not style

    def _is_entered(self, module: Module, given: tuple[str, ...]) -> bool:
        """Tell whether special methods of what is handed over may be the project's."""
        return any(
            self._specials.may_run(target, style)
            for chain, style in map(unmarked, given)
            if chain and chain != LAMBDA
            for target in self._names.denote(module, chain)
        )

    def _makes_a_subclass(self, module: Module, now: Now) -> bool:
        """Tell whether what is handed over may be a base class that tells of its subclasses."""
        return any(
            target.place is Place.BINDING
            and target.module is not None
            and self._kinds(target.module, target.name) != {"def"}
            and self._is_announced(target)
            for name in now.given
            for target in self._names.denote(module, unmarked(name)[0])
        )

    # --- What is known of a binding

    def _units(self, module: Module, name: str) -> list[Unit]:
        return self._specials.units(module, name)

    def _kinds(self, module: Module, name: str) -> set[str]:
        return {unit.kind for unit in self._units(module, name)}

    def _is_fresh(self, module: Module, name: str) -> bool:
        """Tell whether a name holds an object that is made where it is bound, out of nothing first-party."""
        known = self._fresh.get((module, name))
        if known is None:
            self._fresh[module, name] = False
            units = self._units(module, name)
            known = bool(units) and all(self._makes_fresh(module, unit) for unit in units)
            self._fresh[module, name] = known
        return known

    def _is_plain_def(self, module: Module, unit: Unit) -> bool:
        """Tell whether a function is decorated by other people's decorators alone."""
        return all(
            target.place in (Place.FOREIGN, Place.BUILTIN)
            for now in unit.now
            if now.what == "decorator"
            for target in self._names.denote(module, now.chain)
        )

    def _makes_fresh(self, module: Module, unit: Unit) -> bool:
        if unit.kind != "other" or unit.aliases or unit.modules:
            return False
        own = set(unit.binds)
        called = {now.chain for now in unit.now if now.what in ("call", "decorator")}
        return all(
            (target.place in (Place.BUILTIN, Place.HARMLESS) and target.name not in REVEALING)
            or (target.place is Place.FOREIGN and makes_its_own(target.name, is_called=chain in called))
            or (target.place is Place.BINDING and target.module == module and target.name in own)
            for chain in unit.refs
            for target in self._names.denote(module, chain)
        )

    def _is_config_store(self, module: Module, name: str) -> bool:
        return any(
            target.place is Place.FOREIGN and target.name.endswith(_CONFIG_STORE)
            for unit in self._units(module, name)
            for chain in unit.refs
            for target in self._names.denote(module, chain)
        )

    def _calm_depth(self, module: Module, name: str) -> int:
        known = self._calm.get((module, name))
        if known is None:
            self._calm[module, name] = 0
            units = self._units(module, name)
            known = min((self._calm_unit(module, unit) for unit in units), default=0)
            self._calm[module, name] = known
        return known

    def _calm_unit(self, module: Module, unit: Unit) -> int:
        if unit.kind == "def" and unit.calm and not any(now.what == "decorator" for now in unit.now):
            # Of globals that it reads it may call special methods.
            return 0 if self._is_entered(module, unit.refs) else unit.calm
        if unit.kind == "class" and unit.calm:
            bases = [now for now in unit.now if now.what == "base"]
            return 1 if all(self._is_calm_base(module, base, unit) for base in bases) else 0
        return 0

    def _is_calm_base(self, module: Module, base: Now, unit: Unit) -> bool:
        if not base.chain or base.style:
            return False
        return all(
            target.place is Place.BUILTIN
            or (target.place is Place.FOREIGN and (not unit.members or is_quiet_base(target.name)))
            or (
                (target.place is Place.BINDING and target.module is not None and not target.rest)
                and self._calm_depth(target.module, target.name) > 0
            )
            for target in self._names.denote(module, base.chain)
        )

    def _is_announced(self, target: Target) -> bool:
        """Tell whether a class's subclasses are told to somebody: by ``__init_subclass__`` or a metaclass."""
        if target.module is None:
            return True
        where = target.module, target.name
        known = self._announced.get(where)
        if known is None:
            if self._generations >= _MAX_GENERATIONS:
                return True
            self._announced[where] = False
            self._generations += 1
            known = any(self._announces(where[0], unit) for unit in self._units(*where))
            self._generations -= 1
            self._announced[where] = known
        return known

    def _announces(self, module: Module, unit: Unit) -> bool:
        if (
            unit.kind != "class"
            or not _ANNOUNCED.isdisjoint(unit.members)
            or self._specials.makes_members(module, unit)
        ):
            return True
        for now in unit.now:
            if now.what in ("base", "metaclass"):
                found = self._judge(module, now)
                if found is None:
                    return True
        return False
