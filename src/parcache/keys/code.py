"""First-party code as values: the files and definitions that a fingerprint covers."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Final, NamedTuple

Signature = tuple[int, int, int, int]

# The name of a definition that stands for all of its module.
WHOLE: Final = "*"


class Source(NamedTuple):
    """One first-party file of a fingerprint, as it was when the fingerprint was taken.

    ``content`` is the digest of its bytes, ``signature`` its inode, size, modification and change time (ns).
    """

    module: str
    path: str
    content: bytes
    signature: Signature


class Definition(NamedTuple):
    """A piece of a source that counts: what binds a name, or what a module executes when it is imported.

    ``name`` is qualified within the module; ``WHOLE`` stands for all of it. ``form`` is the digest of its normal
    form. ``lines`` are the first and the last one, from 1, decorators included.
    """

    module: str
    name: str
    path: str
    lines: tuple[int, int]
    form: str


class Construct(NamedTuple):
    """A place where names are resolved dynamically, so that more counts than it may mean.

    ``path`` is empty where it is the config that names it.
    """

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        """Show it as an editor finds it."""
        return f"{self.path}:{self.line} {self.text}" if self.path else f"config: {self.text}"


class Details(NamedTuple):
    """What explains a fingerprint.

    ``absent`` are imports that lead nowhere: installing such a module changes what the code does. ``environ`` are the
    environment variables that the code reads by a literal name. ``references`` are (where, name, what it leads to) of
    the names by which one module's code reaches another's.
    """

    definitions: tuple[Definition, ...] = ()
    absent: tuple[str, ...] = ()
    dynamic: tuple[Construct, ...] = ()
    environ: tuple[str, ...] = ()
    references: tuple[tuple[str, str, str], ...] = ()

    def pack(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(self, separators=(",", ":")).encode("ascii")

    @classmethod
    def unpack(cls, data: bytes) -> Details:
        """Return what was packed."""
        definitions, absent, dynamic, environ, references = json.loads(data)
        return cls(
            tuple(
                Definition(module, name, path, tuple(lines), form) for module, name, path, lines, form in definitions
            ),
            tuple(absent),
            tuple(Construct(*item) for item in dynamic),
            tuple(environ),
            tuple(tuple(item) for item in references),
        )


class Fingerprint:
    """The code that a job can reach. What only explains it is unpacked when it is first asked for."""

    def __init__(
        self,
        digest: str,
        task: str,
        sources: tuple[Source, ...],
        distributions: tuple[tuple[str, str], ...],
        details: Details | bytes,
        asked: Any = None,
    ) -> None:
        self.digest = digest
        self.task = task
        self.sources = sources
        self.distributions = distributions
        self._details = details
        self.asked = asked
        """What takes it again, over other texts (``parcache.keys.fingerprint.Asked``); None where nothing can."""

    @property
    def details(self) -> Details:
        """Return what explains it."""
        if isinstance(self._details, bytes):
            self._details = Details.unpack(self._details)
        return self._details

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """Return the pieces of code that count."""
        return self.details.definitions

    @property
    def dynamic(self) -> tuple[Construct, ...]:
        """Return the places where names are resolved dynamically."""
        return self.details.dynamic

    def description(self) -> dict[str, Any]:
        """Return it as JSON data, as the store keeps it to explain keys."""
        details = self.details
        return {
            "task": self.task,
            "definitions": [list(definition) for definition in details.definitions],
            "files": {source.path: [source.module, source.content.hex()] for source in self.sources},
            "distributions": dict(self.distributions),
            "absent": list(details.absent),
            "dynamic": [list(construct) for construct in details.dynamic],
            "environ": list(details.environ),
            "references": [list(reference) for reference in details.references],
        }


def signature(path: str) -> Signature:
    """Return what changes when a file does: inode, size in bytes, modification and change time in ns.

    Raises:
        OSError: There is no such file.
    """
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def content_digest(data: bytes) -> bytes:
    """Return the digest of a file's bytes."""
    return hashlib.blake2b(data, digest_size=20).digest()
