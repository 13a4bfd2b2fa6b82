"""The scopes of names inside one statement of a module.

A name that is bound in no scope around it is the module's (or a builtin); together with the attributes taken of it, it
makes a *chain* such as ``np.linalg.norm``. Generous where it cannot be exact: a name that a class body may read before
it binds it counts as the module's too.
"""

from __future__ import annotations

from parcache.keys.findings import Found


class Scope:
    """One scope: ``kind`` is ``module``, ``function``, ``class`` or ``comprehension``."""

    __slots__ = (
        *("binds", "certain", "deferred", "globals", "imports", "is_read_whole", "kind", "loads", "made", "nonlocals"),
    )

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.binds: set[str] = set()
        self.certain: set[str] = set()  # of a class: bound before, for sure
        self.loads: set[str] = set()
        self.deferred: set[str] = set()  # of a class: what its functions read
        self.globals: set[str] = set()
        # Of a class: by name whether it holds what the class's body has made, a function or a display.
        # Of a comprehension: the names that go over what is literal.
        self.made: dict[str, bool] = {}
        self.nonlocals: set[str] = set()
        self.imports: dict[str, list[tuple[str, str]]] = {}
        self.is_read_whole = False  # by a computed name: ``locals()``


class Scopes:
    """The scopes around what is visited; what they do not bind ends up in ``found``."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self.top = Scope("module")  # the innermost one
        self._open = [self.top]
        self.conditional = 0  # how many statements are around that may not run

    @property
    def depth(self) -> int:
        """Return how many scopes are open, the module's included."""
        return len(self._open)

    def enter(self, kind: str) -> Scope:
        """Open a scope."""
        self.top = Scope(kind)
        self._open.append(self.top)
        return self.top

    def exit(self) -> Scope:
        """Close a scope; hand what it does not bind to those around it."""
        scope = self._open.pop()
        self.top = self._open[-1]
        if scope.kind == "class" or scope.is_read_whole:
            for targets in scope.imports.values():  # attributes of the class, read by way of an instance
                self._through(targets, "")
        out = scope.loads | scope.deferred if scope.kind == "class" else self._unbound(scope)
        # A class's names are not seen by the functions in it.
        if self.top.kind == "class" and scope.kind != "class":
            self.top.deferred |= out
        else:
            self.top.loads |= out
        return scope

    def close(self) -> None:
        """Settle the module's own scope."""
        self._found.refs |= self.top.loads

    def load(self, chain: str) -> bool:
        """Take note of a chain that is read; tell whether it can be more than a name of the class around it."""
        scope = self.top
        if scope.kind == "class":
            root = chain.partition(".")[0]
            if root in scope.certain:
                return False
            if root in scope.imports:
                self._through(scope.imports[root], chain)
        scope.loads.add(chain)
        return True

    def bind(self, name: str) -> None:
        """Take note of a name that is bound."""
        scope = self.top
        if scope.kind == "module":
            self._found.binds.add(name)
        scope.binds.add(name)
        if not self.conditional:
            scope.certain.add(name)

    def bind_around(self, name: str) -> None:
        """Take note of a name that is bound by an expression: in the scope around comprehensions."""
        scope = next(scope for scope in reversed(self._open) if scope.kind != "comprehension")
        scope.binds.add(name)
        if scope.kind == "module":
            self._found.binds.add(name)

    def alias(self, name: str, module: str, attribute: str) -> None:
        """Take note of a name that an import binds."""
        if self.top.kind == "module" or name in self.top.globals:
            self._found.aliases.append((name, module, attribute))
        else:
            self.top.imports.setdefault(name, []).append((module, attribute))
        self.bind(name)

    def read_whole(self) -> None:
        """Take note that any name of a scope inside the statement may be read."""
        for scope in self._open[1:]:
            scope.is_read_whole = True

    def is_local(self, name: str) -> bool:
        """Tell whether a name that code reads now is bound by a scope inside the statement."""
        return any(name in scope.binds for scope in self._open[1:])

    def make(self, name: str, *, here: bool) -> None:
        """Take note whether what a name of a class holds is made in its body; once it is not, it never is."""
        if self.top.kind == "class":
            self.top.made[name] = here and self.top.made.get(name, True)

    def is_made_here(self, name: str) -> bool:
        """Tell whether a name inside the statement holds what the class's body has made, or a number of a range."""
        for scope in reversed(self._open):
            if name in scope.binds:
                return scope.made.get(name, False)
        return False

    def _unbound(self, scope: Scope) -> set[str]:
        out = set()
        for chain in scope.loads:
            root = chain.partition(".")[0]
            if root in scope.globals:
                self._found.refs.add(chain)
                continue
            if root in scope.imports:
                self._through(scope.imports[root], chain)
            if root not in scope.binds or root in scope.nonlocals:
                out.add(chain)
        return out

    def _through(self, targets: list[tuple[str, str]], chain: str) -> None:
        rest = chain.partition(".")[2]
        for module, attribute in targets:
            self._found.absolute.add((module, ".".join(part for part in (attribute, rest) if part)))
