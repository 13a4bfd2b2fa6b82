"""What a job read: taken up when the job has ended, checked when its result is looked up.

An input is believed unchanged where its stamp is the same (the times and the size of a file; see
``parcache.keys.digests`` for what a stamp is worth), else where its content is; then and only then is a result served.

What the job itself has made of an input that was not there, or of a folder that it listed, counts as well: the job
runs in the surroundings that it left the last time, and they are as good as those that it found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from parcache.keys.digests import Digester, Memo, State, look, names_digest, text_digest
from parcache.keys.scope import Rules, Scope, is_below, relative, rules_of
from parcache.keys.trees import Tree, tree_of
from parcache.model import ABSENT, FILE, FOLDER, TREE, Input, Watched

_SHOWN: Final = 3
Named = tuple[tuple[str, str], ...]


class Sighting(NamedTuple):
    """What stood at a path when the job came to it: nothing, a file, or a folder with these names."""

    found: State | None
    names: tuple[str, ...] | None = None


class Sightings(NamedTuple):
    """All that a job came to. ``seen`` is by absolute path.

    ``made`` are paths at which nothing stood before the job put something there, ``written`` all that it wrote.
    """

    seen: Mapping[str, Sighting]
    made: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()


class Taken(NamedTuple):
    """Inputs as they are recorded; ``changed`` are paths of which nobody knows what the job has read."""

    inputs: tuple[Input, ...]
    changed: tuple[str, ...] = ()


def take(sightings: Sightings, rules: Rules, digester: Digester, own: str = "", until_s: float | None = None) -> Taken:
    """Take up what a job read, with absolute paths, in order. ``own`` is the job's directory, which does not count.

    After ``until_s``, by ``time.perf_counter``, no more contents are read: the files that are left have no digest.
    """
    inputs: list[Input] = []
    changed: list[str] = []
    for path in sorted(sightings.seen):
        if is_below(path, own) or not rules.counts(path):
            continue
        taken = _take(path, sightings, rules, digester, until_s)
        if taken is None:
            changed.append(path)
        elif taken.kind:
            inputs.append(taken)
    return Taken(tuple(inputs), tuple(changed))


def take_named(named: Named, before: Mapping[str, str], rules: Rules, digester: Digester) -> Taken:
    """Take up what ``cache.inputs`` names; ``before`` is what ``stamps_of`` returned when the job started."""
    inputs: list[Input] = []
    changed: list[str] = []
    for label, path in named:
        if stamps_of(((label, path),), rules)[path] != before.get(path):
            changed.append(path)
            continue
        found = look(path)
        taken = _named(path, found, rules, digester)
        if taken is None:
            changed.append(path)
        else:
            inputs.append(taken._replace(label=label))
    return Taken(tuple(inputs), tuple(changed))


def stamps_of(named: Named, rules: Rules) -> dict[str, str]:
    """Return the stamps of named files and folders by path; they change with every change."""
    stamps = {}
    for _, path in named:
        found = look(path)
        if found is None:
            stamps[path] = ""
        elif found.is_folder:
            tree = _tree(path, rules)
            stamps[path] = tree.stamp() if tree is not None else "unreadable"
        else:
            stamps[path] = repr(found)
    return stamps


def watched(taken: Sequence[Taken], scope: Scope, named: Named = ()) -> Watched:
    """Return what an entry keeps of its inputs; what lies below a named path counts with that alone."""
    covered = [path for _, path in named]
    found = {}
    for each in (each for part in taken for each in part.inputs):
        if each.label or not any(is_below(each.path, folder) for folder in covered):
            found[each.label, each.path] = each._replace(path=relative(each.path, scope.root))
    return Watched(tuple(found[place] for place in sorted(found)), tuple(sorted(scope.excluded)))


def identity(kept: Watched) -> str:
    """Return a digest of what was read, whenever that was; an empty string where nothing was."""
    if not kept.inputs and not kept.excluded:
        return ""
    parts = (
        part
        for each in kept.inputs
        for part in (each.label or each.path, each.kind, each.digest or each.stamp, each.left)
    )
    return text_digest([*parts, "", *kept.excluded])


def is_alike(one: Input, other: Input) -> bool:
    """Tell whether two looks at a path have seen the same."""
    if (one.kind, one.size, one.left) != (other.kind, other.size, other.left):
        return False
    return one.digest == other.digest or (not (one.digest and other.digest) and one.stamp == other.stamp != "")


def refusal(changed: Sequence[str], scope: Scope) -> str:
    """Return why a result is not stored whose inputs are not certain, or an empty string."""
    if not changed:
        return ""
    names = sorted({relative(path, scope.root) for path in changed})
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return (
        f"{shown} changed while a job that reads it ran, or cannot be read again. Run the command again when it rests, "
        f"or do not count it: 'hydra.launcher.cache.inputs=[\"!{names[0]}\"]'"
    )


def _take(path: str, sightings: Sightings, rules: Rules, digester: Digester, until_s: float | None) -> Input | None:
    """Return an input, one without a kind for what does not count, or None where it has changed."""
    before = sightings.seen[path]
    now = look(path)
    if before.names is not None:
        return _take_folder(path, before.names, sightings, rules)
    if before.found is None:
        if now is None:
            return Input(path, ABSENT)
        if path not in sightings.written and path not in sightings.made:
            return None
        left = _left(path, now, rules, digester)
        return None if left is None else Input(path, ABSENT, now.size, now.mtime_ns, left=left)
    if before.found.is_folder:  # a descriptor of it says nothing about what is in it
        return Input(path, "")
    if now is None or now != before.found:
        return None
    return _file(path, now, digester, until_s)


def _take_folder(path: str, names: Sequence[str], sightings: Sightings, rules: Rules) -> Input | None:
    if not rules.is_listed(path):
        return Input(path, "")
    now = _names(path)
    if now is None:
        return None
    counted = [name for name in names if rules.lists(os.path.join(path, name))]
    left = [name for name in now if rules.lists(os.path.join(path, name))]
    made = {name for name in (*counted, *left) if os.path.join(path, name) in sightings.made}
    found = set(counted) - made
    if found != set(left) - made:
        return None
    digest, in_the_end = names_digest(found), names_digest(left)
    return Input(path, FOLDER, len(found), 0, digest, left="" if in_the_end == digest else in_the_end)


def _named(path: str, found: State | None, rules: Rules, digester: Digester) -> Input | None:
    if found is None:
        return Input(path, ABSENT)
    if not found.is_folder:
        return _file(path, found, digester)
    tree = _tree(path, rules)
    try:
        digest = tree.digest(digester) if tree is not None else None
    except OSError:
        digest = None
    if tree is None or digest is None:
        return None
    return Input(path, TREE, tree.size, tree.mtime_ns, digest, tree.stamp() if tree.is_settled else "")


def _file(path: str, found: State, digester: Digester, until_s: float | None = None) -> Input | None:
    stamp = stamp_of(found)
    try:
        digest = digester.file(path, found, until_s)
    except OSError:
        return None
    return None if digest is None else Input(path, FILE, found.size, found.mtime_ns, digest, stamp)


def stamp_of(found: State) -> str:
    """Return what an entry keeps to tell a file unchanged. No inode: it is to stand a move of the project."""
    return f"{found.mtime_ns}:{found.ctime_ns}" if found.is_settled else ""


def _left(path: str, found: State, rules: Rules, digester: Digester) -> str | None:
    if not found.is_folder:
        try:
            return digester.file(path, found)
        except OSError:
            return None
    names = _names(path)
    return None if names is None else _digest_of_names(path, names, rules)


def _digest_of_names(path: str, names: Sequence[str], rules: Rules) -> str:
    return names_digest(name for name in names if rules.lists(os.path.join(path, name)))


def _names(path: str) -> list[str] | None:
    try:
        return os.listdir(path)
    except OSError:
        return None


def _tree(path: str, rules: Rules) -> Tree | None:
    try:
        return tree_of(path, rules)
    except OSError:
        return None


class Verifier:
    """Tells whether inputs are as they were, for one batch: it looks at each path once and reads it at most once.

    ``list_of`` returns what an entry keeps in full, None where that is gone.
    """

    def __init__(
        self, scope: Scope, memo: Memo | None = None, list_of: Callable[[bytes], bytes | None] = lambda kept: kept
    ) -> None:
        self._list_of = list_of
        self._scope = scope
        self._rules = rules_of(scope)
        self._digester = Digester(memo)
        self._answers: dict[tuple[bytes, Named], bool] = {}
        self._found: dict[str, State | None] = {}
        self._contents: dict[str, str | None] = {}
        self._listed: dict[str, str | None] = {}
        self._trees: dict[str, Tree | None] = {}
        self._tree_digests: dict[str, str | None] = {}

    def accepts(self, kept: bytes, named: Named = ()) -> bool:
        """Tell whether what an entry keeps of its inputs holds now; ``named`` is what ``cache.inputs`` names now."""
        if not kept and not named:
            return True
        answer = self._answers.get((kept, named))
        if answer is None:
            answer = self._answers[kept, named] = self._holds(kept, dict(named))
        return answer

    def _holds(self, kept: bytes, named: Mapping[str, str]) -> bool:
        whole = self._list_of(kept)
        if whole is None:
            return False
        try:
            found = Watched.parse(whole)
        except ValueError:
            return False
        if not found.is_watched or not set(found.excluded) <= set(self._scope.excluded):
            return False
        if not named.keys() <= {each.label for each in found.inputs}:
            return False
        try:
            return all(self._is_as_it_was(each, named) for each in found.inputs)
        except (TypeError, ValueError):  # no paths, no numbers: nothing that this version has written
            return False

    def _is_as_it_was(self, each: Input, named: Mapping[str, str]) -> bool:
        path = named.get(each.label) if each.label else None
        if path is None:
            path = os.path.normpath(os.path.join(self._scope.root, each.path))
        if not each.label and self._rules.is_excluded(path):
            return True
        now = self._look(path)
        if each.kind == ABSENT:
            return now is None or (bool(each.left) and each.left == self._content(path, now))
        if now is None or now.is_folder != (each.kind != FILE):
            return False
        if each.kind == FILE:
            if now.size != each.size:
                return False
            if each.stamp == f"{now.mtime_ns}:{now.ctime_ns}":
                return True
            return bool(each.digest) and each.digest == self._content(path, now)
        if each.kind == FOLDER:
            return self._content(path, now) in (each.digest, each.left or each.digest)
        return each.kind == TREE and self._is_same_tree(path, each)

    def _look(self, path: str) -> State | None:
        if path not in self._found:
            self._found[path] = look(path)
        return self._found[path]

    def _content(self, path: str, found: State) -> str | None:
        if found.is_folder:
            if path not in self._listed:
                names = _names(path)
                self._listed[path] = None if names is None else _digest_of_names(path, names, self._rules)
            return self._listed[path]
        if path not in self._contents:
            try:
                self._contents[path] = self._digester.file(path, found)
            except OSError:
                self._contents[path] = None
        return self._contents[path]

    def _is_same_tree(self, path: str, each: Input) -> bool:
        if path not in self._trees:
            self._trees[path] = _tree(path, self._rules)
        tree = self._trees[path]
        if tree is None or tree.size != each.size:
            return False
        if each.stamp and tree.stamp() == each.stamp:
            return True
        if path not in self._tree_digests:
            try:
                self._tree_digests[path] = tree.digest(self._digester)
            except OSError:
                self._tree_digests[path] = None
        return self._tree_digests[path] == each.digest
