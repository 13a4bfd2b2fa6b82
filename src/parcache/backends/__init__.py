"""Where jobs run: the protocol that every backend follows and the registry that finds them by name."""

from parcache.backends.protocol import Backend
from parcache.backends.registry import create, known_names

__all__ = ["Backend", "create", "known_names"]
