"""A config repository that reads each file once: what is edited while a sweep runs changes nothing in it."""

from __future__ import annotations

import copy
from typing import Any, Final

# Hydra's own configs come with its version, structured ones from memory: neither changes under a running sweep.
_SETTLED: Final = ("structured:", "pkg://hydra.conf")


class ReadOnceRepository:
    """Stands before one of Hydra's repositories; its copies share what was read. Not thread-safe.

    Hydra composes each job from a copy of the loader's repository, and changes what it gets from it.
    """

    def __init__(self, repository: Any, read: dict[Any, Any] | None = None) -> None:
        self._repository = repository
        self._read: dict[Any, Any] = {} if read is None else read

    def __getattr__(self, name: str) -> Any:
        """Hand everything else over to the repository."""
        if name.startswith("_"):  # while it is being copied or unpickled
            raise AttributeError(name)
        return getattr(self._repository, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> ReadOnceRepository:
        return ReadOnceRepository(copy.deepcopy(self._repository, memo), self._read)

    def load_config(self, config_path: str) -> Any:
        """Return a config as it was when it was first asked for, found on the same search path."""
        sources = tuple((source.provider, source.path) for source in self._repository.get_sources())
        key = sources, config_path
        if key not in self._read:
            found = self._repository.load_config(config_path=config_path)
            if found is not None and str(found.path).startswith(_SETTLED):
                return found
            self._read[key] = copy.deepcopy(found)
            return found
        return copy.deepcopy(self._read[key])
