"""What executing a unit can change besides the names that it binds.

A module that is imported executes all of its units, also those that bind names which nobody asks for. Such a unit
counts all the same when it can change something else: it *acts*. What it changes is often one object under one name (a
registry, a function with ``register``); then it *adds* to that name and counts with it.

Known to be inert (they bind what they bind and do no more): functions and classes of the standard library and of
installed distributions as decorators and in assignments, but for those whose names tell that they register, seed, patch
or set something; first-party functions and classes that are calm (``parcache.keys.calm``); Hydra's
``ConfigStore.store``, which only feeds composing, and the composed config counts.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from parcache.keys.findings import LAMBDA, Now
from parcache.keys.modules import Module
from parcache.keys.resolution import Names, Place, Target
from parcache.keys.states import LOOKS, States
from parcache.keys.units import Unit

_ACTING_BUILTINS: Final = frozenset(
    {"setattr", "delattr", "exec", "eval", "compile", "__import__", "input", "breakpoint"}
)
# Builtins that do not call what they are given.
_INCURIOUS: Final = frozenset(
    [
        "callable",
        "classmethod",
        "dict",
        "dir",
        "frozenset",
        "getattr",
        "hasattr",
        "id",
        "isinstance",
        "issubclass",
        "list",
        "object",
        "print",
        "property",
        "repr",
        "set",
        "staticmethod",
        "str",
        "super",
        "tuple",
        "type",
        "vars",
    ]
)
_CONTAINERS: Final = frozenset({"list", "dict", "set", "bytearray", "object", "type", "super"})
_ACTING_NAMES: Final = re.compile(
    r"(?i)(?:^|\.)(?:\w*register\w*|\w*seed\w*|\w*patch\w*|set_?\w*|use|install|enable\w*|disable\w*|configure\w*|"
    r"basicconfig|load_dotenv|putenv|unsetenv|shuffle|rand\w*|choices?|normal|uniform|sample|permutation|add_\w+|"
    r"append\w*|insert|hook\w*|on_\w+|update|environ\.pop)$|(?:^|\.)random\."
)
# Known not to call what they are given: they keep it, or take note of it.
_KEEPERS: Final = re.compile(
    r"^(?:functools\.(?:partial|partialmethod|wraps|lru_cache|cache|cached_property|singledispatch|total_ordering)"
    r"|(?:typing|typing_extensions|dataclasses|collections|enum|abc|types|re|contextlib|logging|weakref|operator|hydra"
    r"|omegaconf|copy)\..*)$"
)
# What these return, or are, others hold as well.
_SHARED: Final = re.compile(r"(?i)(?:^|\.|_)(?:get\w*|current\w*|instance|default|shared|global|root|environ\w*)$")
_HARMLESS_SHARED: Final = re.compile(r"^(?:logging\.getLogger|typing\..*|typing_extensions\..*|collections\.abc\..*)$")
_CONFIG_STORE: Final = "ConfigStore.instance"
# Classes with more generations than this are taken to tell of each other.
_MAX_GENERATIONS: Final = 50
_ENTERED: Final = frozenset({"__class_getitem__"})
_ANNOUNCED: Final = "__init_subclass__"


class Effect(NamedTuple):
    """What executing a unit changes: ``acts``, or the bindings that it ``adds`` to."""

    acts: bool
    adds: tuple[tuple[Module, str], ...]


class Effects:
    """Judges units, each once."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._states = States(names)
        self._calm: dict[tuple[Module, str], int] = {}
        self._fresh: dict[tuple[Module, str], bool] = {}
        self._announced: dict[tuple[Module, str], bool] = {}
        self._generations = 0

    def of(self, module: Module, unit: Unit) -> Effect:
        """Return the effect of executing a unit of a module."""
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
                found = self._enter(target)
            elif now.what == "base":
                found = None if target.place is Place.BINDING and self._is_announced(target) else []
            elif now.what == "metaclass":
                found = [] if target.place in (Place.FOREIGN, Place.BUILTIN) else None
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

    def _enter(self, target: Target) -> list[tuple[Module, str]] | None:
        if target.place in (Place.FOREIGN, Place.BUILTIN):
            return []  # where it is called, that is accounted for
        if target.place is not Place.BINDING or target.module is None:
            return None
        where = target.module, target.name
        units = self._units(*where)
        if units and all(
            unit.kind == "def" or (unit.kind == "class" and not _ENTERED & {*unit.members}) for unit in units
        ):
            return []
        return [] if self._is_fresh(*where) else None

    def _call(self, module: Module, target: Target, now: Now) -> list[tuple[Module, str]] | None:
        is_statement = now.what == "statement"
        if target.place is Place.BUILTIN:
            if is_statement or target.name in _ACTING_BUILTINS:
                return None
            root, _, attribute = now.chain.partition(".")
            if root in _CONTAINERS and attribute and attribute != "fromkeys" and not now.style:
                return None  # list.append(TABLE, 1)
            if target.name == "next":
                return self._given(module, now)
            calls_given = target.name not in _INCURIOUS and any(self._can_act(module, name) for name in now.given)
            if calls_given:
                return None
            return [] if target.name in LOOKS else self._states.used_up(module, now)
        if target.place is Place.FOREIGN:
            if target.name.endswith(_CONFIG_STORE):
                return []
            if is_statement or _ACTING_NAMES.search(target.name):
                return None
            # What a partial, or a function that another one made, is called with at once.
            is_called = now.style == "called" or (target.name == "functools.partial" and "()" in now.given)
            if _KEEPERS.match(target.name) and not is_called:
                return []
            if any(self._can_act(module, name) for name in now.given if name != "()"):
                return None
            return self._states.used_up(module, now)
        if target.place is not Place.BINDING or target.module is None:
            return None
        where = target.module, target.name
        if not target.rest:
            depth = 2 if now.style or "()" in now.given else 1
            is_calm = not is_statement and now.style != "nested" and self._calm_depth(*where) >= depth
            return self._states.used_up(module, now) if is_calm else None
        return self._method(where, target.rest, now)

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

    def _method(self, where: tuple[Module, str], rest: tuple[str, ...], now: Now) -> list[tuple[Module, str]] | None:
        kinds = self._kinds(*where)
        if kinds == {"def"} and all(self._is_plain_def(where[0], unit) for unit in self._units(*where)):
            return [where]  # what functools makes of functions: singledispatch's register, a cache's clear
        if self._is_config_store(*where) and rest == ("store",):
            return []
        if kinds == {"other"} and self._is_fresh(*where) and rest[-1] != "sort":
            return [where]
        return None

    # --- What is known of a binding

    def _units(self, module: Module, name: str) -> list[Unit]:
        table = self._names.table(module)
        return [table.units[number] for number in table.binders.get(name, ())]

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
        if unit.kind != "other" or unit.aliases:
            return False
        own = set(unit.binds)
        called = {now.chain for now in unit.now if now.what in ("call", "decorator")}
        return all(
            target.place in (Place.BUILTIN, Place.HARMLESS)
            or (target.place is Place.FOREIGN and _makes_its_own(target.name, is_called=chain in called))
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
        if unit.kind == "def" and not any(now.what == "decorator" for now in unit.now):
            return unit.calm
        if unit.kind == "class" and unit.calm:
            bases = [now for now in unit.now if now.what == "base"]
            return 1 if all(self._is_calm_base(module, base) for base in bases) else 0
        return 0

    def _is_calm_base(self, module: Module, base: Now) -> bool:
        if not base.chain or base.style:
            return False
        return all(
            target.place in (Place.FOREIGN, Place.BUILTIN)
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
        if unit.kind != "class" or _ANNOUNCED in unit.members:
            return True
        for now in unit.now:
            if now.what in ("base", "metaclass"):
                found = self._judge(module, now)
                if found is None:
                    return True
        return False

    def _can_act(self, module: Module, chain: str) -> bool:
        """Tell whether calling what a chain leads to can change something."""
        if chain == LAMBDA:
            return True
        return any(
            target.place not in (Place.FOREIGN, Place.BUILTIN, Place.HARMLESS)
            and not (
                target.place is Place.BINDING
                and target.module is not None
                and (self._calm_depth(target.module, target.name) > 0 or self._is_fresh(target.module, target.name))
            )
            for target in self._names.denote(module, chain)
        )


def _makes_its_own(name: str, *, is_called: bool) -> bool:
    """Tell whether what is got by a name of other people's code is an object that nobody else holds."""
    if _HARMLESS_SHARED.match(name):
        return True
    return is_called and not _SHARED.search(name)
