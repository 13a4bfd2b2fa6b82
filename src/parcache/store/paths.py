"""Every file name of the store.

::

    .parcache/
      .gitignore                 keeps the store out of version control
      CACHEDIR.TAG               tells backup tools to pass it by (https://bford.info/cachedir/)
      format.json                the store's format: readers refuse a newer major one
      entries/ab/abcd….entry     one result each, named by the key's digest
      entries/ab/abcd….d/…       results of one key with different inputs, each under the digest of its inputs;
                                 abcd….entry is the last one that was published
      inputs/ab/abcd….json       the digest of one large file that jobs read, named by the digest of its path
      inputs/ab/abcd….list       a long list of inputs that entries share, named by its own digest
      code/ab/abcd….json         what a fingerprint was made of, one for each
      notes/ab/abcd….note        what was found out about code, so that the next sweep need not
      sources/ab/abcd….z         the text of a fingerprinted file, compressed, named by its digest (`store.sources`)
      sweeps/0123….log           what became of the jobs of one of the last sweeps (`store.sweeps`)
      backends/NAME/             what a backend keeps for sweeps to come; its own business
      tmp/                       files being written; each is moved into place whole
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from typing import NamedTuple


class StorePaths(NamedTuple):
    """The file names of the store that lies at ``root``."""

    root: str

    @property
    def gitignore(self) -> str:
        """Return the file that keeps the store out of version control."""
        return os.path.join(self.root, ".gitignore")

    @property
    def cachedir_tag(self) -> str:
        """Return the file that tells backup tools what this is."""
        return os.path.join(self.root, "CACHEDIR.TAG")

    @property
    def format(self) -> str:
        """Return the file that names the store's format."""
        return os.path.join(self.root, "format.json")

    @property
    def entries(self) -> str:
        """Return the folder of all entries."""
        return os.path.join(self.root, "entries")

    @property
    def tmp(self) -> str:
        """Return the folder in which files are written before they are moved into place."""
        return os.path.join(self.root, "tmp")

    def entry(self, digest: str) -> str:
        """Return the file of the entry with this key digest."""
        return f"{self.root}/entries/{digest[:2]}/{digest}.entry"  # once a lookup: os.path.join takes ten times as long

    def variants(self, digest: str) -> str:
        """Return the folder of the entries of this key that have inputs."""
        return f"{self.root}/entries/{digest[:2]}/{digest}.d"

    def variant(self, digest: str, inputs: str) -> str:
        """Return the file of the entry with this key digest and this digest of its inputs."""
        return f"{self.variants(digest)}/{inputs}.entry"

    def memo(self, digest: str) -> str:
        """Return the file that keeps the digest of a large file, by the digest of its path."""
        return f"{self.root}/inputs/{digest[:2]}/{digest}.json"

    def list(self, digest: str) -> str:
        """Return the file of a long list of inputs, by the list's digest."""
        return f"{self.root}/inputs/{digest[:2]}/{digest}.list"

    def code(self, digest: str) -> str:
        """Return the file that says what a fingerprint was made of."""
        return os.path.join(self.root, "code", digest[:2], f"{digest}.json")

    def note(self, digest: str) -> str:
        """Return the file of a note whose name has this digest; it can be lost without harm."""
        return os.path.join(self.root, "notes", digest[:2], f"{digest}.note")

    def source(self, digest: str) -> str:
        """Return the file that keeps the text of a fingerprinted file with this digest."""
        return os.path.join(self.root, "sources", digest[:2], f"{digest}.z")

    def backend(self, name: str) -> str:
        """Return the folder that a backend of this name has for itself; nobody else makes or reads it."""
        return os.path.join(self.root, "backends", name)

    @property
    def sweeps(self) -> str:
        """Return the folder of the records of sweeps."""
        return os.path.join(self.root, "sweeps")

    def scratch(self, name: str) -> str:
        """Return a file name nobody else uses; it tells who left it, should it be left behind."""
        return f"{self.tmp}/{name}.{_host()}-{os.getpid()}-{os.urandom(6).hex()}"

    def scratch_owner(self, name: str) -> int | None:
        """Return which process of this host has made a file of ``tmp``, by its name; None where none has."""
        head, _, rest = name.rpartition(f".{_host()}-")
        pid = rest.partition("-")[0]
        return int(pid) if head and pid.isdecimal() else None


@lru_cache(maxsize=1)
def _host() -> str:
    return socket.gethostname()
