"""Folders with all that lies below them, as one input."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from parcache.keys.digests import Digester, State, look, text_digest
from parcache.keys.scope import Rules


class Tree(NamedTuple):
    """What lies below a folder, by metadata. ``files`` are (path within, absolute path, metadata), in order."""

    files: tuple[tuple[str, str, State], ...]
    folders: tuple[str, ...]

    @property
    def size(self) -> int:
        """Return the sum of the files' sizes, in bytes."""
        return sum(found.size for _, _, found in self.files)

    @property
    def mtime_ns(self) -> int:
        """Return the newest modification time; 0 where there are no files."""
        return max((found.mtime_ns for _, _, found in self.files), default=0)

    @property
    def is_settled(self) -> bool:
        """Tell whether a later change would show in the stamp."""
        return all(found.is_settled for _, _, found in self.files)

    def stamp(self) -> str:
        """Return a digest of the metadata: the same as long as nothing changes."""
        shown = (f"{name}\0{found.size}:{found.mtime_ns}:{found.ctime_ns}" for name, _, found in self.files)
        return text_digest([*self.folders, "", *shown])

    def digest(self, digester: Digester) -> str | None:
        """Return a digest of names and contents; None where a file changes meanwhile.

        Raises:
            OSError: A file cannot be read.
        """
        parts = [*self.folders, ""]
        for name, path, found in self.files:
            content = digester.file(path, found)
            if content is None:
                return None
            parts += [name, content]
        return text_digest(parts)


def tree_of(root: str, rules: Rules) -> Tree:
    """Look at what lies below a folder. Links to folders are followed, but not in circles.

    Raises:
        OSError: A folder cannot be read.
    """
    files: list[tuple[str, str, State]] = []
    folders: list[str] = []
    for path, found in _below(root, rules, frozenset()):
        name = os.path.relpath(path, root)
        if found.is_folder:
            folders.append(name)
        else:
            files.append((name, path, found))
    return Tree(tuple(sorted(files, key=lambda file: file[0])), tuple(sorted(folders)))


def _is_around(folder: str, around: frozenset[tuple[int, int]]) -> bool:
    found = os.stat(folder)
    return (found.st_dev, found.st_ino) in around


def _below(folder: str, rules: Rules, around: frozenset[tuple[int, int]]) -> Iterator[tuple[str, State]]:
    here = os.stat(folder)
    around |= {(here.st_dev, here.st_ino)}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if not rules.lists(path):
            continue
        found = look(path)
        if found is None:
            continue
        yield path, found
        if found.is_folder and not _is_around(path, around):
            yield from _below(path, rules, around)
