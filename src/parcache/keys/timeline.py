"""In what order the code that counts is executed, as far as that order can matter.

Importing a module executes it, and what that changes (a registry, ``os.environ``, another module's attribute) is seen
by all that is executed later. So the order of imports counts between what changes something, and between what changes
something and what reads it while it is imported (``parcache.keys.happenings``); no other order does.

From each *entry* (the task's module, what a config names, what functions import) the imports are followed as Python
does, as if it were the first to be imported: a *trace*. What has been executed before by others is missing in the trace
of a real run, and the rest is in the same order. So the traces tell the order, whichever entry comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from parcache.keys.canonical import digest, encode
from parcache.keys.closure import Closure
from parcache.keys.happenings import Happenings, Item
from parcache.keys.modules import Module, logical_name

# More steps than this over all traces (about 0.3 s) are not taken: then the order of all imports that matter counts.
MAX_STEPS: Final = 500_000
_Events = dict[Module, list["Module | Item"]]


def orders(closure: Closure, *, sees_order: bool) -> list[Any]:
    """Return the digests of all orders that matter to a finished walk, with the names of modules.

    ``sees_order``: the job's code sees in what order things are defined.
    """
    found: list[Any] = []
    if sees_order:
        for module in sorted(closure.wholes, key=_place):
            names = list(closure.names.table(module).aliases)
            if len(names) > 1:
                found.append([logical_name(module.name), *names])
    happenings = Happenings(closure, sees_order=sees_order)
    events: _Events = {module: list(happenings.of(module)) for module in closure.executed}
    changing = {
        module
        for module, own in events.items()
        if any(isinstance(event, Item) and event.what != "reads" for event in own)
    }
    if not changing:
        return found
    importers: dict[Module, list[Module]] = {}
    for module, own in events.items():
        for event in own:
            if isinstance(event, Module):
                importers.setdefault(event, []).append(module)
    telling = _reaching((module for module, own in events.items() if any(isinstance(e, Item) for e in own)), importers)
    events = {
        module: [event for event in own if isinstance(event, Item) or event in telling]
        for module, own in events.items()
    }
    modules = sorted(_reaching(changing, importers), key=_place)
    traces = _Traces(closure, events)
    for module in modules:
        if module in closure.entries:
            form = traces.form(module)
            if form is not None:
                found.append([logical_name(module.name), form])
        if traces.steps > MAX_STEPS:
            return [
                *found,
                *([module.name, digest(encode([event.name for event in events[module]]))] for module in modules),
            ]
    return found


def _place(module: Module) -> tuple[str, str]:
    return module.name, module.path or ""


def _reaching(modules: Iterable[Module], importers: dict[Module, list[Module]]) -> set[Module]:
    """Return the modules whose imports lead to these, they themselves included."""
    found = set(modules)
    queue = list(found)
    while queue:
        for importer in importers.get(queue.pop(), ()):
            if importer not in found:
                found.add(importer)
                queue.append(importer)
    return found


class _Traces:
    def __init__(self, closure: Closure, events: _Events) -> None:
        self._find = closure.names.finder.find
        self._events = events
        self.steps = 0

    def form(self, first: Module) -> str | None:
        """Return the digest of what importing a module executes, in order; None where no order matters."""
        record = _Record()
        done = {first}
        parent = first.name.rpartition(".")[0]
        while parent:  # these are executed before it, whoever imports it
            found = self._find(parent)
            if found is not None:
                done.add(found)
            parent = parent.rpartition(".")[0]
        stack: list[Iterator[Module | Item]] = [iter(self._events[first])]
        while stack:
            for event in stack[-1]:
                self.steps += 1
                if isinstance(event, Item):
                    record.take(event)
                elif event not in done:
                    done.add(event)
                    stack.append(iter(self._events.get(event, ())))
                    break
            else:
                stack.pop()
        return record.form()


class _Record:
    """A trace, without the order of what does not depend on each other.

    What acts is told in order; what adds, by each name that it adds to, in order, each with how much has acted before;
    what reads, in no order, each with how much of what it may see has happened before.
    """

    def __init__(self) -> None:
        self._acts: list[str] = []
        self._loud = 0  # of these, those that are no definitions
        self._adds: dict[str, list[tuple[str, int]]] = {}
        self._reads: dict[str, list[Any]] = {}

    def take(self, item: Item) -> None:
        """Add what is executed next."""
        if item.what == "acts":
            self._acts.append(item.name)
            self._loud += not item.is_loose
        elif item.what == "adds":
            for binding in item.bindings or ():
                self._adds.setdefault(binding, []).append((item.name, len(self._acts)))
        elif item.name not in self._reads:
            acted = self._loud if item.is_loose else len(self._acts)
            read = sorted(self._adds) if item.bindings is None else item.bindings
            added = [[binding, len(self._adds[binding])] for binding in read if binding in self._adds]
            self._reads[item.name] = [acted, *added]

    def form(self) -> str | None:
        """Return its digest."""
        reads = sorted([name, *seen] for name, seen in self._reads.items() if seen != [0])
        adds = sorted([binding, *map(list, told)] for binding, told in self._adds.items())
        if len(self._acts) + sum(map(len, self._adds.values())) < 2 and not reads:
            return None
        return digest(encode([self._acts, adds, reads]))
