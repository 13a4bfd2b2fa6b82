"""Objects that have several names, and those that are another after somebody has read from them."""

from __future__ import annotations

import re
from typing import Final

from parcache.keys.findings import Now, unmarked
from parcache.keys.modules import Module
from parcache.keys.resolution import Names, Place
from parcache.keys.units import Unit

# Whoever reads from these leaves less to the next.
_ITERATORS: Final = frozenset({"iter", "map", "filter", "zip", "enumerate", "reversed", "open"})
# Builtins that leave what they are given as it is.
LOOKS: Final = frozenset(
    {"abs", "bool", "callable", "float", "getattr", "hasattr", "hash", "id", "int", "isinstance", "issubclass", "len"}
    | {"property", "range", "repr", "round", "slice", "str", "super", "type", "classmethod", "staticmethod", "print"}
)
# What these return is the same whatever is done with it.
_VALUES: Final = re.compile(
    r"^(?:(?:typing|typing_extensions|abc|enum|math|operator|pathlib|decimal|fractions|datetime|re|logging|omegaconf)"
    r"\..*|os\.(?:path\.\w+|environ\.get|getenv|getcwd|cpu_count)|torch\.(?:device|cuda\.is_available)"
    r"|functools\.(?:partial|wraps)|collections\.namedtuple|importlib\.metadata\.version|uuid\..*|platform\..*|sys\..*)$"
)


class States:
    """What is known of the objects that modules bind."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._stateful: dict[tuple[Module, str], bool] = {}

    def namesakes(self, module: Module, name: str) -> list[tuple[Module, str]]:
        """Return what may be bound to the same object by one statement: ``A = B = []``, ``{"a": (L := [])}``."""
        found = {name: None}
        for unit in self._units(module, name):
            found.update(dict.fromkeys(unit.binds))
        return [(module, each) for each in found]

    def used_up(self, module: Module, now: Now) -> list[tuple[Module, str]]:
        """Return the names of what a call is given and may be another afterwards: an iterator, a random generator."""
        return [
            (target.module, target.name)
            for name in now.given
            for target in self._names.denote(module, unmarked(name)[0])
            if target.place is Place.BINDING and target.module is not None
            if self._has_state(target.module, target.name)
        ]

    def _has_state(self, module: Module, name: str) -> bool:
        """Tell whether a name holds what a call has made and may be more than a plain value."""
        known = self._stateful.get((module, name))
        if known is None:
            known = self._stateful[module, name] = any(
                target.name in _ITERATORS if target.place is Place.BUILTIN else not _VALUES.match(target.text)
                for unit in self._units(module, name)
                for now in unit.now
                if now.what == "call" and now.chain
                for target in self._names.denote(module, now.chain)
            )
        return known

    def _units(self, module: Module, name: str) -> list[Unit]:
        table = self._names.table(module)
        found = (table.units[number] for number in table.binders.get(name, ()))
        return [unit for unit in found if unit.kind == "other"]
