"""What a chain of names leads to, over the tables of all modules: through imports, re-exports, stars and packages."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from parcache.keys.distributions import providers
from parcache.keys.modules import Finder, Module, Party, is_own
from parcache.keys.units import NOTHING, Table

# What every module has; reading it leads no further.
_HARMLESS: Final = frozenset({"__name__", "__file__", "__package__", "__version__", "__builtins__", "__debug__"})
_ALL_NAMES: Final = frozenset({"__dict__", "__getattribute__", "__getattr__", "__dir__"})


class Place(Enum):
    """The kind of thing that a chain leads to."""

    __hash__ = object.__hash__  # Enum's own takes ten times as long

    BINDING = "a name of a first-party module"
    MODULE = "a first-party module itself"
    FOREIGN = "something in the standard library or in an installed distribution"
    BUILTIN = "a builtin"
    HARMLESS = "an attribute that every module has"
    ABSENT = "a module that is not there"
    MISSING = "a name that a module does not bind"


class Target(NamedTuple):
    """Where a chain leads. ``name`` is the binding's, or the dotted name; ``rest`` are the attributes that are left."""

    place: Place
    module: Module | None
    name: str
    rest: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return it as a dotted name."""
        own = self.module.name if self.module is not None else ""
        return ".".join(part for part in (own, self.name) if part)


class Names:
    """Resolves chains. ``table`` returns a module's table; it is asked for first-party modules that have a file."""

    def __init__(self, finder: Finder, table: Callable[[Module], Table]) -> None:
        self.finder = finder
        self._table = table
        self._known: dict[tuple[Module, str], tuple[Target, ...]] = {}
        self.used: set[tuple[Module, str]] = set()  # names that imports bind and that something was looked up by

    def table(self, module: Module) -> Table:
        """Return a module's table; an empty one for a namespace package."""
        return NOTHING if module.path is None else self._table(module)

    def denote(self, module: Module, chain: str) -> tuple[Target, ...]:
        """Return all that a chain can lead to that code of this module reads from its globals."""
        found = self._known.get((module, chain))
        if found is None:
            self._known[module, chain] = ()  # what is asked again on the way leads in a circle
            targets = self._own(module, chain)
            if not targets:
                root = chain.partition(".")[0]
                if hasattr(builtins, root):
                    targets = [Target(Place.BUILTIN, None, root)]
                elif root.startswith("__"):
                    targets = [Target(Place.HARMLESS, None, root)]
                else:
                    targets = [Target(Place.MISSING, module, root)]
            found = self._known[module, chain] = tuple(targets)
        return found

    def denote_in(self, module_name: str, chain: str) -> tuple[Target, ...]:
        """Return all that a chain of attributes of a module can lead to; of an empty one: the module."""
        module = self.finder.main() if module_name == "__main__" else self.finder.find(module_name)
        if module is None:
            prefix = self.finder.find_prefix(module_name)
            if prefix is not None and is_foreign(prefix):
                return (Target(Place.FOREIGN, None, _joined(module_name, chain)),)
            return (Target(Place.ABSENT, None, module_name),)
        if is_foreign(module):
            return (Target(Place.FOREIGN, None, _joined(module_name, chain)),)
        if not chain:
            return (Target(Place.MODULE, module, ""),)
        first, _, rest = chain.partition(".")
        found = list(self._own(module, chain))
        below = self.finder.find(f"{module.name}.{first}")
        if below is not None:
            if not found and "__getattr__" in self.table(module).binders:
                found.append(Target(Place.BINDING, module, "__getattr__"))  # it may be what imports it
            found += self.denote_in(below.name, rest)
        if found:
            return tuple(found)
        if first in _HARMLESS:
            return (Target(Place.HARMLESS, None, first),)
        if first in _ALL_NAMES:
            return (Target(Place.MODULE, module, ""),)
        return (Target(Place.MISSING, module, first),)

    def _own(self, module: Module, chain: str) -> list[Target]:
        """Return what a chain leads to by what a module binds and imports, in the order in which it does.

        Which of several is meant can depend on their order: a later one replaces an earlier one.
        """
        root, _, rest = chain.partition(".")
        table = self.table(module)
        found: list[tuple[int, Target]] = []
        binders = table.binders.get(root)
        if binders is None and not table.stars and root not in table.aliases:
            return []
        for number in binders or ():
            if table.units[number].kind != "import":
                place = Target(Place.BINDING, module, root, tuple(rest.split(".")) if rest else ())
                found.append((number, place))
        for number, imported, attribute in table.aliases.get(root, ()):
            self.used.add((module, root))
            found += [(number, target) for target in self._through(imported, _joined(attribute, rest))]
        for number, star in table.stars:
            for target in self._through(star, chain):
                # Another's star could hide a builtin; its version counts anyway.
                if target.place is not Place.MISSING and not (
                    target.place is Place.FOREIGN and (found or hasattr(builtins, root))
                ):
                    found.append((number, target))
        if len(found) > 1:
            found.sort(key=lambda item: item[0])
        return [target for _, target in found]

    def _through(self, module_name: str, chain: str) -> tuple[Target, ...]:
        key = Module(f"import {module_name}", None, Party.FIRST), chain
        found = self._known.get(key)
        if found is None:
            self._known[key] = ()
            found = self._known[key] = self.denote_in(module_name, chain)
        return found


def is_foreign(module: Module) -> bool:
    """Tell whether a module's code counts by a version: the platform's, a distribution's, parcache's own."""
    if is_own(module.name) or module.party is Party.PLATFORM:
        return True
    return module.party is Party.THIRD and bool(providers(module.name.partition(".")[0]))


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)
