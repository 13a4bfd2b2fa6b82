"""Where jobs run: the protocol that every backend follows and the registry that finds them by name."""

from parcache.backends.protocol import About, Backend, Place
from parcache.backends.registry import create, known_names, per_job_settings

__all__ = ["About", "Backend", "Place", "create", "known_names", "per_job_settings"]
