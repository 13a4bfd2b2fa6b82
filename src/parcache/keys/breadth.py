"""How far the dynamic constructs of reached code lead: to what no name in it tells of.

Unpickling, ``f_globals`` and the like lead to any name of the modules that are executed, ``__subclasses__`` to any of
their classes, imports by computed names, ``exec`` and ``eval`` to all modules that can be imported from where the
executed ones lie. What is read out of a file and then instantiated is named in that file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from parcache.keys.code import Construct
from parcache.keys.findings import ANYTHING, HANDED, LOADED, PROGRAMS, SUBCLASSES
from parcache.keys.modules import Finder, Module, Party, is_own, party_of
from parcache.keys.units import Unit

# Named by a config, these import what no string in it has to look like.
_DYNAMIC_TARGETS: Final = ("importlib.", "runpy.", "pkgutil.", "builtins.exec", "builtins.eval", "builtins.__import__")
_UNPICKLERS: Final = frozenset(
    f"{module}.{name}"
    for module in ("pickle", "_pickle", "cloudpickle", "cloudpickle.cloudpickle", "dill", "joblib", "torch", "shelve")
    for name in ("load", "loads", "open", "Unpickler")
)
_INSTANTIATORS: Final = frozenset(
    f"{module}.{name}"
    for module in ("hydra.utils", "hydra._internal.instantiate._instantiate2")
    for name in ("instantiate", "call", "get_class", "get_method", "get_object")
)
# What these read may name what to make of it.
_CONFIG_READERS: Final = frozenset(
    {"omegaconf.OmegaConf.load", "omegaconf.omegaconf.OmegaConf.load", "hydra.compose", "hydra.compose.compose"}
)
_DATA_READERS: Final = frozenset(
    [
        *(f"yaml.{name}" for name in ("load", "load_all", "safe_load", "full_load", "unsafe_load")),
        *("json.load", "json.loads", "tomllib.load", "tomllib.loads", "tomli.load", "toml.load"),
    ]
)
_READERS: Final = _CONFIG_READERS | _DATA_READERS | _INSTANTIATORS


class Breadth:
    """What one walk has met of this kind: the ``constructs``, and how far they reach."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self.constructs: list[Construct] = []
        self.has_looked_everywhere = False
        self._widest: set[str] = set()
        self._readers: set[str] = set()
        self._handed: list[Construct] = []

    def add(self, construct: Construct, reach: str) -> None:
        """Take note of a construct in first-party code."""
        if reach == HANDED:
            self._handed.append(construct)
            self._expect_loaded()
        else:
            self.constructs.append(construct)
            self._widest.add(reach)

    def name(self, name: str, *, path: str = "") -> None:
        """Take note of a dotted name that a config gives, or code in memory (``path``): an importer may be meant."""
        if name.startswith(_DYNAMIC_TARGETS):
            self.add(Construct(path, 0, name), ANYTHING)

    def foreign(self, name: str) -> None:
        """Take note of what is used of other people's code, by its dotted name."""
        if name in _UNPICKLERS:
            self.add(Construct("", 0, name), LOADED)
        elif name in _READERS:
            self._readers.add(name)
            self._expect_loaded()

    def _expect_loaded(self) -> None:
        """Take note where what is instantiated may come out of a file, whose names nobody sees."""
        if self._readers & _CONFIG_READERS and self._readers & _INSTANTIATORS:
            for name in self._readers & _CONFIG_READERS:
                self.add(Construct("", 0, name), ANYTHING)
            self._readers.clear()
        elif self._readers & _DATA_READERS and self._handed:
            for construct in self._handed:
                self.add(construct, LOADED)
            self._handed.clear()

    @property
    def is_endless(self) -> bool:
        """Tell whether there is more than what is executed to be looked at."""
        return bool(self._widest & {ANYTHING, PROGRAMS})

    def take_endless(self) -> bool:
        """Say that all that there is is about to be looked at; tell whether it may run as programs as well."""
        runs = PROGRAMS in self._widest
        self._widest -= {ANYTHING, PROGRAMS}
        return runs

    def reaches(self, unit: Unit) -> bool:
        """Tell whether a unit of a module that is executed may be meant."""
        return LOADED in self._widest or (SUBCLASSES in self._widest and unit.kind == "class")

    @property
    def is_wide(self) -> bool:
        """Tell whether there is any such unit."""
        return bool(self._widest & {LOADED, SUBCLASSES})

    def everything(self, executed: Iterable[Module]) -> Iterator[Module]:
        """Yield all first-party modules that can be imported from where these lie, or along the import path."""
        self.has_looked_everywhere = True
        roots = [module for module in executed if module.party is Party.FIRST]
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
            if isinstance(path, str) and name != "__main__" and party_of(path) is Party.FIRST and not is_own(name):
                yield Module(name, os.path.abspath(path), Party.FIRST)
