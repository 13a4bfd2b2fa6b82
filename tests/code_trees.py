"""Drawn projects of a few modules whose dependencies are known, because they were drawn before the text was.

Every definition is worth a number of its own, and adds to it what it uses. So the task's result tells which numbers
have gone into it: an edit of a number that changes the result is one that the task's fingerprint has to notice,
whatever the drawn graph says.

Definitions are numbered; each uses lower ones only, so that the program ends. Modules are numbered, too; what runs at
import reaches lower modules only, so that the program starts. Functions import what lies higher when they are called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from hypothesis import strategies as st

_PLACES: Final = ("alpha", "beta", "pack.one", "pack.two", "pack.deep.three", "space.four", "gamma")
_REGULAR: Final = ("pack", "pack.deep")
# How a name from another module is reached: at module level, or at the time of the call.
_EARLY: Final = ("name", "alias", "module", "renamed", "star", "relative", "parent", "hub", "second hub", "star hub")
_LATE: Final = ("late name", "late module")
_COARSE: Final = ("getattr", "computed", "import_module")
# Kinds whose text runs nothing when its module is imported.
_INERT: Final = ("function", "lambda", "nested", "class", "number", "table", "defaulted", "generator", "method holder")
_EFFECTS: Final = ("registered", "noted", "attribute", "decorated", "partial", "made", "computed number", "listed")
_CALLED: Final = (
    *("function", "lambda", "nested", "defaulted", "decorated", "partial", "made", "registered", "wrapped"),
)
_RUNS_AT_IMPORT: Final = ("noted", "partial", "made", "computed number", "attribute", "defaulted", "listed")
_REGISTRY: Final = """
KNOWN = {}
NOTES = {}
PARTS = []

def register(function):
    KNOWN[function.__name__] = function
    return function
"""


@dataclass(frozen=True)
class Use:
    """How one definition uses another."""

    target: int
    way: str


@dataclass(frozen=True)
class Definition:
    """One named thing, in a module, worth ``value`` and what it uses. ``first`` is a base class, or a decorator."""

    number: int
    module: int
    kind: str
    value: int
    uses: tuple[Use, ...]
    first: Use | None = None

    @property
    def name(self) -> str:
        return f"d{self.number}"

    @property
    def edges(self) -> tuple[Use, ...]:
        return (self.first, *self.uses) if self.first is not None else self.uses


@dataclass(frozen=True)
class Program:
    """A project; ``task`` is what its task uses. ``noise`` is what cannot matter, by module."""

    modules: tuple[str, ...]
    definitions: tuple[Definition, ...]
    task: tuple[Use, ...]
    noise: tuple[tuple[int, str], ...] = ()
    backwards: bool = False
    """Whether what runs nothing at import stands in its module in the opposite order."""

    def with_value(self, number: int, value: int) -> Program:
        """Return the project with another number in one definition."""
        changed = [replace(one, value=value) if one.number == number else one for one in self.definitions]
        return replace(self, definitions=tuple(changed))

    @cached_property
    def files(self) -> Mapping[str, str]:
        """Return the texts by path."""
        return _Text(self).files

    @cached_property
    def reached(self) -> frozenset[int]:
        """Return the definitions whose numbers go into the task's result."""
        return self._closure((use.target for use in self.task), of_values=True)

    @cached_property
    def perhaps(self) -> frozenset[int]:
        """Return the definitions that a fingerprint may hold: reached, run at import, or in a module looked into."""
        text = _Text(self)
        found = self._closure(use.target for use in self.task)
        while True:
            modules = self._loaded(text, found)
            looked_into = self._looked_into(text, found)
            more = self._closure(
                one.number
                for one in self.definitions
                if one.number in found
                or one.module in looked_into
                or (one.module in modules and not self._is_inert(one))
            )
            if more == found:
                return found
            found = more

    @property
    def looked_into(self) -> frozenset[int]:
        """Return the modules of which all may count, since their names are looked up while the task runs."""
        return self._looked_into(_Text(self), self.perhaps)

    def _looked_into(self, text: _Text, found: Iterable[int]) -> frozenset[int]:
        uses = [*self.task, *(use for one in found for use in self.definitions[one].edges)]
        looked_into = {self.definitions[use.target].module for use in uses if use.way in _COARSE}
        queue = list(looked_into)
        while queue:  # among its names are the modules that it has imported, or the packages that they lie in
            imported = {name.partition(".")[0] for name in text.imports.get(self.modules[queue.pop()], ())}
            names = [name.partition(".")[0] for name in self.modules]
            more = {number for number, name in enumerate(names) if name in imported} - looked_into
            looked_into |= more
            queue += more
        return frozenset(looked_into)

    def _is_inert(self, one: Definition) -> bool:
        if one.kind not in _INERT:
            return False
        # What a default or a number is made of is called at import.
        return one.kind not in ("defaulted", "number") or not one.uses

    def _loaded(self, text: _Text, found: Iterable[int]) -> set[int]:
        files = set(text.imports["app"])
        for number in found:
            files |= text.late[number]
            files.add(self.modules[self.definitions[number].module])
        queue = list(files)
        while queue:
            name = queue.pop()
            parents = [name[:at] for at, letter in enumerate(name) if letter == "."]
            for other in {*text.imports.get(name, ()), *parents} - files:
                files.add(other)
                queue.append(other)
        return {number for number, name in enumerate(self.modules) if name in files}

    def _closure(self, numbers: Iterable[int], *, of_values: bool = False) -> frozenset[int]:
        found: set[int] = set()
        queue = list(numbers)
        while queue:
            number = queue.pop()
            if number not in found:
                found.add(number)
                one = self.definitions[number]
                # What an attribute is set on has to be there, and is not called.
                queue += [use.target for use in (one.uses if of_values and one.kind == "attribute" else one.edges)]
        return frozenset(found)


class _Text:
    """The project as text, and what each module imports at module level; ``late`` is what a definition imports."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._lines: dict[str, list[str]] = {name: [] for name in (*program.modules, "app")}
        self._top: dict[str, list[str]] = {name: [] for name in (*program.modules, "app")}
        self._hubs: dict[str, list[str]] = {}
        self.imports: dict[str, set[str]] = {name: set() for name in (*program.modules, "app")}
        self.late: dict[int, set[str]] = {one.number: set() for one in program.definitions}
        blocks: dict[str, list[tuple[bool, list[str]]]] = {name: [] for name in program.modules}
        for one in program.definitions:
            movable = program._is_inert(one) and one.kind not in ("number", "defaulted", "class", "table")
            blocks[program.modules[one.module]].append((movable, list(self._definition(one))))
        for name, found in blocks.items():
            moved = [lines for movable, lines in found if movable]
            if program.backwards:
                moved.reverse()
            fixed = [lines for movable, lines in found if not movable]
            for lines in [*moved, *fixed]:
                self._lines[name] += lines
        for module, line in program.noise:
            self._lines[program.modules[module]].append(line)
        self._task()

    @property
    def files(self) -> dict[str, str]:
        found = {"registry.py": _REGISTRY, "pack/__init__.py": "", "pack/deep/__init__.py": ""}
        for name, lines in self._lines.items():
            found[name.replace(".", "/") + ".py"] = "\n".join([*self._top[name], *lines, ""])
        for name, lines in self._hubs.items():
            found[name + ".py"] = "\n".join([*lines, ""])
        return found

    def _task(self) -> None:
        lines: list[str] = []
        worth = self._sum("app", None, self._program.task, "x", lines)
        self._lines["app"] += ["def main(cfg):", "    x = 1", *(f"    {line}" for line in lines), f"    return {worth}"]

    def _definition(self, one: Definition) -> Iterator[str]:
        here = self._program.modules[one.module]
        late: list[str] = []
        x = "1" if one.kind in (*_RUNS_AT_IMPORT, "number", "method holder") else "x"
        worth = f"{one.value} + {self._sum(here, one.number, one.uses, x, late)}"
        late = [f"    {line}" for line in late]
        name = one.name
        if one.kind in ("function", "registered", "decorated"):
            if one.kind == "registered":
                self._import(here, "from registry import register", "registry")
                yield "@register"
            elif one.first is not None:
                yield f"@{self._reach(here, one.number, one.first, [])}"
            yield from (f"def {name}(x):", *late, f"    return {worth}")
        elif one.kind == "wrapped":
            yield from (f"def {name}(function):", "    def inner(x):")
            yield from (*(f"    {line}" for line in late), f"        return function(x) + {worth}", "    return inner")
        elif one.kind == "defaulted":
            yield from (f"def {name}(x, by={worth}):", "    return by")
        elif one.kind == "nested":
            yield from (f"def {name}(x):", *late, "    def inner():", f"        return {worth}", "    return inner()")
        elif one.kind == "generator":
            yield from (f"def {name}(x):", *late, f"    yield {worth}")
        elif one.kind == "lambda":
            yield f"{name} = lambda x: {worth}"
        elif one.kind in ("number", "computed number"):
            yield f"{name} = {worth}" if one.kind == "number" else f"{name} = int({worth})"
        elif one.kind == "table":
            yield f"{name} = {{'f': lambda x: {worth}, 'g': 0}}"
        elif one.kind == "partial":
            self._import(here, "import functools", None)
            yield from (f"def {name}_whole(by, x):", "    return by")
            yield f"{name} = functools.partial({name}_whole, {worth})"
        elif one.kind == "made":
            yield from (f"def make_{name}(by):", "    def inner(x):", "        return by", "    return inner")
            yield f"{name} = make_{name}({worth})"
        elif one.kind == "listed":
            self._import(here, "import registry", "registry")
            yield from (f"{name} = []", f"for part in [{worth}]:", f"    {name}.append(part)")
        elif one.kind == "noted":
            self._import(here, "import registry", "registry")
            yield f"registry.NOTES['{name}'] = {worth}"
        elif one.kind == "attribute":
            assert one.first is not None
            yield f"{self._reach(here, one.number, one.first, [])}.extra_{name} = {worth}"
        elif one.kind == "method holder":
            yield from (f"class {name}:", f"    rate = {one.value}", "    @property", "    def size(self):")
            yield from (*(f"    {line}" for line in late), f"        return self.rate + {worth} - {one.value}")
        else:
            base = "" if one.first is None else f"({self._reach(here, one.number, one.first, [])})"
            more = "" if one.first is None else "super().go(x) + "
            yield from (f"class {name}{base}:", "    def go(self, x):")
            yield from (*(f"    {line}" for line in late), f"        return {more}{worth}")

    def _sum(self, here: str, user: int | None, uses: Iterable[Use], x: str, late: list[str]) -> str:
        return " + ".join([self._worth(here, user, use, x, late) for use in uses] or ["0"])

    def _worth(self, here: str, user: int | None, use: Use, x: str, late: list[str]) -> str:
        """Return an expression for what a used definition is worth."""
        target = self._program.definitions[use.target]
        module = self._program.modules[target.module]
        if target.kind in ("registered", "noted"):
            if module != here:
                self._import(here, f"import {module}", module)
            self._import(here, "import registry", "registry")
            where = f"KNOWN['{target.name}']({x})" if target.kind == "registered" else f"NOTES['{target.name}']"
            return f"registry.{where}"
        if target.kind == "attribute":
            assert target.first is not None
            if module != here:
                self._import(here, f"import {module}", module)
            return f"{self._reach(here, user, target.first, late)}.extra_{target.name}"
        reach = self._reach(here, user, use, late)
        if target.kind == "class":
            return f"{reach}().go({x})"
        if target.kind == "method holder":
            return f"{reach}().size"
        if target.kind == "table":
            return f"{reach}['f']({x})"
        if target.kind == "generator":
            return f"sum({reach}({x}))"
        if target.kind == "listed":
            return f"sum({reach})"
        if target.kind == "wrapped":
            return f"{reach}(abs)({x})"
        return reach if target.kind in ("number", "computed number") else f"{reach}({x})"

    def _reach(self, here: str, user: int | None, use: Use, late: list[str]) -> str:
        """Return an expression for a definition; write the imports that it takes."""
        target = self._program.definitions[use.target]
        there, name = self._program.modules[target.module], target.name
        if there == here:
            return name
        mark = f"_{name}_{'task' if user is None else user}"
        package, _, leaf = there.rpartition(".")
        way = use.way
        if way == "relative" and (not package or here.rpartition(".")[0] != package):
            way = "name"
        if way == "parent" and not package:
            way = "renamed"
        if way in _LATE:
            late.append(f"from {there} import {name}" if way == "late name" else f"import {there} as m{mark}")
            if user is not None:
                self.late[user].add(there)
            else:
                self.imports[here].add(there)
            return name if way == "late name" else f"m{mark}.{name}"
        if way.endswith("hub"):
            hub = self._hub(there, name, way)
            self._import(here, f"from {hub} import {name}", hub)
            return name
        line, reach = {
            "name": (f"from {there} import {name}", name),
            "alias": (f"from {there} import {name} as a{mark}", f"a{mark}"),
            "module": (f"import {there}", f"{there}.{name}"),
            "renamed": (f"import {there} as m{mark}", f"m{mark}.{name}"),
            "star": (f"from {there} import *", name),
            "relative": (f"from .{leaf} import {name}", name),
            "parent": (f"from {package} import {leaf} as m{mark}", f"m{mark}.{name}"),
            "getattr": (f"import {there} as m{mark}", f"getattr(m{mark}, '{name}')"),
            "computed": (f"import {there} as m{mark}", f"getattr(m{mark}, 'd' + str({target.number}))"),
            "import_module": ("import importlib", f"importlib.import_module('{there}').{name}"),
        }[way]
        self._import(here, line, there)
        return reach

    def _hub(self, there: str, name: str, way: str) -> str:
        hub = "hub_" + there.replace(".", "_")
        if way == "star hub":
            hub = "star_" + hub
            self._hubs[hub] = [f"from {there} import *"]
            self.imports.setdefault(hub, set()).add(there)
            return hub
        lines = self._hubs.setdefault(hub, [])
        line = f"from {there} import {name}"
        if line not in lines:
            lines.append(line)
        self.imports.setdefault(hub, set()).add(there)
        if way == "hub":
            return hub
        again = self._hubs.setdefault("second_" + hub, [])
        line = f"from {hub} import {name}"
        if line not in again:
            again.append(line)
        self.imports.setdefault("second_" + hub, set()).add(hub)
        return "second_" + hub

    def _import(self, here: str, line: str, there: str | None) -> None:
        if line not in self._top[here]:
            self._top[here].append(line)
        if there is not None:
            self.imports[here].add(there)


_KINDS: Final = (*_INERT, *_EFFECTS, "wrapped")


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Draw a project of up to seven modules and twelve definitions."""
    count = draw(st.integers(2, len(_PLACES)))
    modules = tuple(draw(st.permutations(_PLACES))[:count])
    found: list[Definition] = []
    prompt: set[int] = set()  # what imports nothing when it is called: modules can run it while they are imported
    for number in range(draw(st.integers(2, 12))):
        kind = draw(st.sampled_from(_KINDS))
        module = draw(st.integers(0, count - 1))
        late = kind not in (*_RUNS_AT_IMPORT, "number", "lambda", "table")
        usable = [one for one in found if one.module <= module]
        first = None
        if kind in ("class", "decorated", "attribute"):
            of = {"class": ("class",), "decorated": ("wrapped",), "attribute": ("function", "class", "lambda")}[kind]
            fitting = [one for one in usable if one.kind in of]
            if fitting and (kind != "class" or draw(st.booleans())):
                first = Use(draw(st.sampled_from(fitting)).number, draw(st.sampled_from(_EARLY)))
            elif kind != "class":
                kind, late = "function", True
        at_import = kind in (*_RUNS_AT_IMPORT, "number")
        uses = _uses(draw, [one for one in found if not at_import or one.number in prompt], module, late=late)
        found.append(Definition(number, module, kind, 10**3 + 7 * number, uses, first))
        if all(use.way not in _LATE and use.target in prompt for use in found[-1].edges):
            prompt.add(number)
    task = _uses(draw, found, count, late=True)
    return Program(modules, tuple(found), task)


def _uses(draw: st.DrawFn, found: list[Definition], module: int, *, late: bool) -> tuple[Use, ...]:
    picked: list[Use] = []
    for _ in range(draw(st.integers(0, 3))) if found else ():
        target = draw(st.sampled_from(found))
        effect = target.kind in ("registered", "noted", "attribute")
        early = target.module <= module and not (effect and target.module == module and not late)
        if early:
            ways = (*_EARLY, *_COARSE, *(_LATE if late else ()))
        elif late and not effect:
            ways = _LATE
        else:
            continue
        if all(use.target != target.number for use in picked):
            picked.append(Use(target.number, draw(st.sampled_from(ways))))
    return tuple(picked)
