"""Every file name of the store.

::

    .parcache/
      .gitignore                 keeps the store out of version control
      CACHEDIR.TAG               tells backup tools to pass it by (https://bford.info/cachedir/)
      format.json                the store's format: readers refuse a newer major one
      entries/ab/abcd….entry     one result each, named by the key's digest
      code/ab/abcd….json         what a fingerprint was made of, one for each
      sources/ab/abcd….z         the text of a fingerprinted file, compressed, named by its digest (`store.sources`)
      sweeps/0123….log           what became of the jobs of one of the last sweeps (`store.sweeps`)
      tmp/                       files being written; each is moved into place whole
"""

from __future__ import annotations

import os
import secrets
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

    def code(self, digest: str) -> str:
        """Return the file that says what a fingerprint was made of."""
        return os.path.join(self.root, "code", digest[:2], f"{digest}.json")

    def source(self, digest: str) -> str:
        """Return the file that keeps the text of a fingerprinted file with this digest."""
        return os.path.join(self.root, "sources", digest[:2], f"{digest}.z")

    @property
    def sweeps(self) -> str:
        """Return the folder of the records of sweeps."""
        return os.path.join(self.root, "sweeps")

    def scratch(self, name: str) -> str:
        """Return a file name nobody else uses; it tells who left it, should it be left behind."""
        return f"{self.tmp}/{name}.{_host()}-{os.getpid()}-{secrets.token_hex(6)}"


@lru_cache(maxsize=1)
def _host() -> str:
    return socket.gethostname()
