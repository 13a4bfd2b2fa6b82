"""Where modules live and whose they are, found out without importing anything.

First-party is what is neither in the standard library nor in an installed, non-editable distribution. parcache
itself is nobody's first party: its recipe version stands for it in the key.
"""

from __future__ import annotations

import importlib
import os
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator
from enum import Enum
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from types import ModuleType
from typing import Final, NamedTuple

from parcache.keys.distributions import providers

_OWN = ("parcache", "hydra_plugins.hydra_parcache")
_SITE_FOLDERS = frozenset({"site-packages", "dist-packages"})
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "wandb"}) | _SITE_FOLDERS
# What a job leaves behind may hold copies of code: Hydra's job folders are known by this, its sweep folders by a date.
_JOB_FOLDER = ".hydra"

# A root of this name is a dotted string in compiled code, which may name something.
MENTIONED: Final = "?"


class Party(Enum):
    """Whose code a module is."""

    __hash__ = object.__hash__  # Enum's own takes ten times as long, and modules are looked up all the time

    FIRST = "first"
    THIRD = "third"
    PLATFORM = "platform"


class Module(NamedTuple):
    """A module that can be imported. ``path`` is None for built-in modules and namespace packages."""

    name: str
    path: str | None
    party: Party
    search: tuple[str, ...] | None = None

    @property
    def is_package(self) -> bool:
        """Tell whether it can have submodules."""
        return self.search is not None


def logical_name(module_name: str) -> str:
    """Return the name under which another program would import the module.

    A program's main module goes by what it is called when imported (``python train.py`` and ``import train`` are
    the same code), so that a script and a notebook that imports it share their results.
    """
    if module_name != "__main__":
        return module_name
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return str(spec.name)
    path = getattr(main, "__file__", None)
    return os.path.splitext(os.path.basename(path))[0] if path and path != "<stdin>" else "__main__"


def qualified_name(cls: type) -> str:
    """Return module and qualified name of a class, the main module by its importable name."""
    return f"{logical_name(cls.__module__)}.{cls.__qualname__}"


def has_source(module_name: str) -> bool:
    """Tell whether a loaded module came from anywhere: a prompt, a notebook and a module made by hand did not."""
    module = sys.modules.get(module_name)
    if module is None:
        return False
    spec = getattr(module, "__spec__", None)
    if spec is not None and (spec.loader is not None or spec.submodule_search_locations is not None):
        return True
    path = getattr(module, "__file__", None)
    return isinstance(path, str) and os.path.isfile(path)  # standard input goes by "<stdin>"


def is_own(module_name: str) -> bool:
    """Tell whether the module is part of parcache."""
    return any(module_name == own or module_name.startswith(own + ".") for own in _OWN)


@lru_cache(maxsize=1)
def _platform_folders() -> tuple[str, ...]:
    return tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")})


@lru_cache(maxsize=1)
def _site_folders() -> tuple[str, ...]:
    folders = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({os.path.realpath(folder) + os.sep for folder in folders})


@lru_cache(maxsize=4096)
def party_of(path: str) -> Party:
    """Tell whose code the file is, by where it lies."""
    real = os.path.realpath(path)
    if real.startswith(_site_folders()) or not _SITE_FOLDERS.isdisjoint(real.split(os.sep)):
        return Party.THIRD
    if real.startswith(_platform_folders()):
        return Party.PLATFORM
    return Party.FIRST


class Packages(NamedTuple):
    """Top-level packages that the user has called first-party, or not, whatever their place says."""

    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def party(self, name: str, found: Party) -> Party:
        """Return whose code a module of this name is, where its place says ``found``."""
        top = name.partition(".")[0]
        if top in self.included:
            return Party.FIRST
        if top in self.excluded:  # by the version of its distribution, if it has one
            return Party.THIRD if providers(top) else Party.PLATFORM
        return found


AS_PLACED: Final = Packages()


def running_main() -> Module | None:
    """Return the main module of the program that runs here, or None when it has no file."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if path is None or not os.path.isfile(path):
        return None
    return Module(logical_name("__main__"), os.path.abspath(path), party_of(path))


class Finder:
    """Looks modules up by name along today's import path, and remembers what it found.

    Use a new one for each sweep: files may have come or gone in between. Not thread-safe.
    """

    def __init__(self, packages: Packages = AS_PLACED, main: Callable[[], Module | None] = running_main) -> None:
        importlib.invalidate_caches()
        self._packages = packages
        self._main = main
        self._found: dict[str, Module | None] = {}
        self.trees: set[str] = set()
        self.has_asked_memory = False

    def find(self, name: str) -> Module | None:
        """Return the module of this dotted name, or None. Parent packages are located, never imported."""
        if name not in self._found:
            found = self._locate(name)
            if found is not None and self._packages is not AS_PLACED:
                found = found._replace(party=self._packages.party(name, found.party))
            self._found[name] = found
        return self._found[name]

    def find_prefix(self, dotted: str) -> Module | None:
        """Return the module that the longest possible prefix of a dotted name leads to, or None."""
        found = None
        parts = dotted.split(".")
        for end in range(1, len(parts) + 1):
            module = self.find(".".join(parts[:end]))
            if module is None:
                break
            found = module
        return found

    def main(self) -> Module | None:
        """Return the program's main module, or None when it has no file."""
        return self._main()

    def submodules(self, package: Module) -> Iterator[Module]:
        """Yield every module below a package, at any depth."""
        self.trees.update(package.search or ())
        for folder in package.search or ():
            for name, _ in _importable(folder):
                module = self.find(f"{package.name}.{name}")
                if module is not None:
                    yield module

    def siblings(self, module: Module) -> Iterator[Module]:
        """Yield every module that lies below the folder from which this one is imported, itself included."""
        if module.path is None:
            return
        depth = module.name.count(".") + (2 if module.is_package else 1)
        root = module.path
        for _ in range(depth):
            root = os.path.dirname(root)
        yield from self.below(root)

    def below(self, root: str) -> Iterator[Module]:
        """Yield every module that lies below a folder, also where no import statement could name it."""
        self.trees.add(root)
        for name, path in _importable(root):
            found = self.find(name)
            if found is None or found.path != path:
                found = Module(name, path, self._packages.party(name, party_of(path)))
            yield found

    def roots(self) -> Iterator[str]:
        """Yield the folders on the import path that first-party modules can come from, parcache's own left out."""
        for place in dict.fromkeys(os.path.abspath(place) for place in sys.path):
            own = any(os.path.isdir(os.path.join(place, *name.split("."))) for name in _OWN)
            if os.path.isdir(place) and not own and party_of(os.path.join(place, "__init__.py")) is Party.FIRST:
                yield place

    def _locate(self, name: str) -> Module | None:
        parent, _, _ = name.rpartition(".")
        search: tuple[str, ...] | None = None
        if parent:
            package = self.find(parent)
            if package is None or package.search is None:
                return None
            search = package.search
        spec = _find_spec(name, search)
        if spec is not None:
            return _from_spec(name, spec)
        return _nested_namespace(name, search) or self._loaded(name)

    def known(self) -> Iterator[Module | None]:
        """Yield what was found so far, None for each name that leads nowhere."""
        yield from self._found.values()

    def _loaded(self, name: str) -> Module | None:
        """Fall back on a module that some finder put into place and no finder shows any more."""
        module: ModuleType | None = sys.modules.get(name)
        path = getattr(module, "__file__", None)
        if module is None or not path or name == "__main__":
            return None
        self.has_asked_memory = True
        search = getattr(module, "__path__", None)
        return Module(name, os.path.abspath(path), party_of(path), None if search is None else tuple(search))


def _find_spec(name: str, search: tuple[str, ...] | None) -> ModuleSpec | None:
    path = None if search is None else list(search)
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        if find_spec is None:
            continue
        try:
            spec: ModuleSpec | None = find_spec(name, path, None)
        except Exception:  # noqa: S112 - a foreign finder that fails finds nothing
            continue
        if spec is not None:
            return spec
    return None


def _nested_namespace(name: str, search: tuple[str, ...] | None) -> Module | None:
    """Return a namespace package inside a package that is not imported: there Python's own finder raises KeyError."""
    folders = [os.path.join(place, name.rpartition(".")[2]) for place in search or ()]
    found = tuple(os.path.abspath(folder) for folder in folders if os.path.isdir(folder))
    return _namespace(name, found) if found else None


def _namespace(name: str, search: tuple[str, ...]) -> Module:
    """Return a namespace package; whose it is is decided by its parts."""
    parties = {party_of(os.path.join(place, "__init__.py")) for place in search}
    return Module(name, None, Party.FIRST if Party.FIRST in parties else Party.THIRD, search)


def _from_spec(name: str, spec: ModuleSpec) -> Module:
    locations = spec.submodule_search_locations
    search = None if locations is None else tuple(os.path.abspath(place) for place in locations)
    if spec.has_location and spec.origin:
        return Module(name, os.path.abspath(spec.origin), party_of(spec.origin), search)
    if search:
        return _namespace(name, search)
    return Module(name, None, Party.PLATFORM, search)


def importable_names(folder: str, *, deep: bool = False) -> list[str]:
    """Return the names in a folder by which something can be imported from it, or from below it; sorted."""
    if deep:
        return [name for name, _ in _importable(folder)]
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if _may_be_imported(entry))
    except OSError:
        return []


def sources_below(folder: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield name, which a package's begins, and file of each module with a source that can be imported from there."""
    return ((name, path) for name, path in _importable(folder, prefix) if path.endswith(".py"))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a folder that can be walked: a link that leads back above itself cannot."""
    try:
        if not entry.is_dir():
            return False
        if not entry.is_symlink():
            return True
        here = os.path.realpath(os.path.dirname(entry.path)) + os.sep
        return not here.startswith(os.path.realpath(entry.path) + os.sep)
    except OSError:
        return False


def _may_be_imported(entry: os.DirEntry[str]) -> bool:
    name = entry.name
    if name.endswith((".py", ".pyc", *EXTENSION_SUFFIXES, ".dist-info", ".egg-info")):
        return True
    return name.isidentifier() and name != "__pycache__" and _is_folder(entry)


_BEGINS_A_NAME: Final = re.compile(r"\w")
_OF_A_RUN: Final = re.compile(r"\d[\d_.:T-]*$")  # a job's number, a date, a time: there are many, and no code in them


def _importable(root: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted name, file) of what can be imported from below a folder, in a fixed order.

    ``import_module`` takes names that no import statement could spell (``0001_initial``), and loaders take any path.
    """
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if _is_folder(entry):
            if entry.name in _SKIPPED_FOLDERS or not _BEGINS_A_NAME.match(entry.name) or _OF_A_RUN.match(entry.name):
                continue
            if any(os.path.exists(os.path.join(entry.path, mark)) for mark in ("pyvenv.cfg", _JOB_FOLDER)):
                continue
            init = os.path.join(entry.path, "__init__.py")
            if os.path.exists(init):
                yield prefix + entry.name, init
            yield from _importable(entry.path, f"{prefix}{entry.name}.")
        elif entry.name.endswith((".py", ".pyc", *EXTENSION_SUFFIXES)) and entry.is_file():
            stem = entry.name.split(".")[0]
            if stem and stem != "__init__":
                yield prefix + stem, entry.path
