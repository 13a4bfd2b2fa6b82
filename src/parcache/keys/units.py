"""A module as a table of units: its statements one by one, with what each binds, refers to and does.

A unit is a statement at the top of a module. A compound statement (``if``, ``try``, ``for``, …) is one unit with
all that is in it. What stands under ``if __name__ == "__main__":`` is a unit that only counts where the file runs as a
program of its own; what stands under ``if TYPE_CHECKING:`` never runs and is none.

Tables hold plain data: they are kept between runs (``parcache.keys.memo``, whose ``VERSION`` goes up with every change
of what a table holds or means).
"""

from __future__ import annotations

import ast
import builtins
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from parcache.keys.calm import are_names_plain, calm_depth
from parcache.keys.canonical import digest, encode
from parcache.keys.findings import ANYTHING, Dynamic, Found, Now
from parcache.keys.never import is_one_of, never_true
from parcache.keys.normal_form import normal_form
from parcache.keys.statements import scan

# A source that takes more frames to walk is too deep; Python itself compiles little that does.
_FRAMES: Final = 1000
_T = TypeVar("_T", str, tuple[str, str])


class Unit(NamedTuple):
    """One statement of a module.

    ``kind`` is ``def``, ``class``, ``import``, ``guard`` (runs only in a program) or ``other``; an import has no form:
    what it leads to counts instead. ``forms`` are the digests of its normal form: bare, with the order of methods, and
    with docstrings besides.
    ``calm``: see ``parcache.keys.calm``. All else is as in ``parcache.keys.findings.Found``.
    """

    name: str
    kind: str
    lines: tuple[int, int]
    forms: tuple[str, str, str]
    binds: tuple[str, ...]
    refs: tuple[str, ...]
    refs_now: tuple[str, ...]
    absolute: tuple[tuple[str, str], ...]
    aliases: tuple[tuple[str, str, str], ...]
    stars: tuple[str, ...]
    imports_now: tuple[tuple[str, str], ...]
    imports_later: tuple[tuple[str, str], ...]
    now: tuple[Now, ...]
    strings: tuple[str, ...]
    files: tuple[str, ...]
    wholes: tuple[str, ...]
    modules: tuple[str, ...]
    dynamic: tuple[Dynamic, ...]
    environ: tuple[str, ...]
    distributions: tuple[str, ...]
    members: tuple[str, ...]
    calm: int
    own_names: bool
    reads_docs: bool
    reads_order: bool
    reads_source: bool


class Table:
    """A module's units, and by name what binds it.

    ``is_whole``: the source cannot be taken apart (it is no Python, or too deep): then every byte counts.
    """

    def __init__(self, units: Iterable[Unit], lines: int, *, is_whole: bool = False) -> None:
        self.units = tuple(units)
        self.lines = lines
        self.is_whole = is_whole
        self.binders: dict[str, list[int]] = {}
        # Where names come from by imports: by name and of all names, each with the number of its unit.
        self.aliases: dict[str, list[tuple[int, str, str]]] = {}
        self.stars: list[tuple[int, str]] = []
        self.futures: set[str] = set()  # what comes from __future__ changes what the other units mean
        self.rebound: set[str] = set()
        self.changed: set[str] = set()  # names bound more than once, or whose objects the module itself changes
        for number, unit in enumerate(self.units):
            if unit.kind == "guard":
                continue
            for name in unit.binds:
                if name in self.binders:
                    self.changed.add(name)
                    self.rebound.add(name)
                elif hasattr(builtins, name):
                    self.changed.add(name)  # before it, the builtin is meant
                self.binders.setdefault(name, []).append(number)
            for name, module, attribute in unit.aliases:
                self.aliases.setdefault(name, []).append((number, module, attribute))
                if module == "__future__":
                    self.futures.add(attribute)
            self.stars += [(number, module) for module in unit.stars]
            for happening in unit.now:
                if happening.what in ("store", "statement", "decorator", "call"):
                    root, dot, _ = happening.chain.partition(".")
                    if dot or happening.style or happening.what in ("store", "statement"):
                        self.changed.add(root)
                    self.changed.update(given.partition(".")[0] for given in happening.given)

    def data(self) -> list[Any]:
        """Return it as JSON data."""
        return [self.lines, self.is_whole, self.units]

    @classmethod
    def of_data(cls, data: Any) -> Table:
        """Return the table that ``data`` was made of."""
        lines, is_whole, rows = data
        return cls(map(_unit, rows), lines, is_whole=is_whole)


def _unit(row: list[Any]) -> Unit:
    found = Unit(*row)
    first, last = found.lines
    return found._replace(
        lines=(first, last),
        now=tuple(Now(what, chain, style, tuple(given)) for what, chain, style, given in found.now),
        dynamic=tuple(Dynamic(*item) for item in found.dynamic),
    )


NOTHING: Final = Table((), 1, is_whole=True)


def tabulate(data: bytes, module: str, is_package: bool) -> Table:
    """Return the table of a module's source; of what is no Python a table that counts whole."""
    lines = data.count(b"\n") + 1
    try:
        with warnings.catch_warnings():  # those about the source are shown, or made errors, when it is imported
            warnings.simplefilter("ignore")
            tree = ast.parse(data)  # whatever its suffix: a program needs none
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Table((), lines, is_whole=True)  # Python cannot import it either
    try:
        with _room():
            never = never_true(data, tree)
            scanned = [(*item, scan(item[0], module, is_package, never)) for item in _statements(tree.body, never)]
            # Where such a name means something else, nothing is known to be calm.
            binds = {name for _, _, found in scanned for name in found.binds}
            calms = are_names_plain(binds, [alias for _, _, found in scanned for alias in found.aliases])
            units = [_unit_of(*item, calms=calms) for item in scanned]
    except RecursionError:
        return _too_deep(tree, module, is_package, lines)
    return Table(units, lines)


def opaque() -> Table:
    """Return the table of compiled code: every byte counts, and what it imports is anybody's guess."""
    found = Found()
    found.dynamic.append(Dynamic(0, "compiled code", ANYTHING))
    return Table([_from(found, "<module>", "other", (1, 1), ("", "", ""), 0)], 1, is_whole=True)


@contextmanager
def _room() -> Iterator[None]:
    """Let the walk over a tree go as deep wherever it starts: what is too deep must not depend on the caller."""
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + _FRAMES)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _too_deep(tree: ast.Module, module: str, is_package: bool, lines: int) -> Table:
    """Return a table of the imports alone: they are statements and are found without depth."""
    found = Found()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            one = scan(node, module, is_package)
            found.imports_now.update(one.imports_now)
            found.stars += one.stars
            found.modules |= {name for name, _ in one.imports_now}
    found.dynamic.append(Dynamic(0, "source nested too deeply to be followed", ANYTHING))
    unit = _from(found, "<module>", "other", (1, lines), ("", "", ""), 0)
    return Table([unit], lines, is_whole=True)


def _statements(body: list[ast.stmt], never: frozenset[str]) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield a module's statements, and whether each runs in a program only."""
    for number, statement in enumerate(body):
        if isinstance(statement, ast.If) and _is_main_guard(statement.test):
            if statement.body:
                yield ast.copy_location(ast.If(statement.test, statement.body, []), statement), True
            yield from _statements(statement.orelse, never)
        elif isinstance(statement, ast.If) and is_one_of(statement.test, never):
            yield from _statements(statement.orelse, never)
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            if number == 0 and isinstance(statement.value.value, str):
                yield statement, False  # the module's docstring
        else:
            yield statement, False


def _is_main_guard(test: ast.expr) -> bool:
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return False
    sides = [test.left, test.comparators[0]]
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    values = [side.value for side in sides if isinstance(side, ast.Constant)]
    return names == ["__name__"] and values == ["__main__"]


def _unit_of(statement: ast.stmt, is_guarded: bool, found: Found, *, calms: bool) -> Unit:
    kind, name = "other", ", ".join(sorted(found.binds)) or "<module>"
    first = statement.lineno
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        kind = "class" if isinstance(statement, ast.ClassDef) else "def"
        first = min([first, *(decorator.lineno for decorator in statement.decorator_list)])
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        kind = "import"
    if is_guarded:
        kind, name = "guard", '__name__ == "__main__"'
    if kind == "import":
        forms = "", "", ""
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        found.binds.add("__doc__")
        name, forms = "__doc__", ("", "", digest(normal_form(statement)))
    else:
        bare = digest(normal_form(statement))
        ordered = digest(encode([bare, found.orders])) if found.orders else bare
        forms = bare, ordered, digest(encode([ordered, found.docs])) if found.docs else ordered
    calm = calm_depth(statement) if calms else 0
    return _from(found, name, kind, (first, statement.end_lineno or first), forms, calm)


def _from(found: Found, name: str, kind: str, lines: tuple[int, int], forms: tuple[str, str, str], calm: int) -> Unit:
    return Unit(
        name,
        kind,
        lines,
        forms,
        _in_order(found.binds),
        _in_order(found.refs),
        _in_order(found.refs_now),
        _in_order(found.absolute),
        tuple(found.aliases),
        tuple(found.stars),
        tuple(found.imports_now),
        _in_order(found.imports_later),
        tuple(dict.fromkeys(found.now)),
        _in_order(found.strings),
        _in_order(found.files),
        _in_order(found.wholes),
        _in_order(found.modules),
        tuple(found.dynamic),
        _in_order(found.environ),
        _in_order(found.distributions),
        _in_order(found.members),
        calm,
        found.own_names,
        found.reads_docs,
        found.reads_order,
        found.reads_source,
    )


def _in_order(found: set[_T]) -> tuple[_T, ...]:
    return tuple(sorted(found)) if found else ()  # most are empty
