"""Third-party code as the versions of the distributions that provide it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r";.*\bextra\s*==")
# parcache's own version must not invalidate anybody's results: the recipe version stands for it.
_OWN = "parcache"


def normalized(name: str) -> str:
    """Return the normalized name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@lru_cache(maxsize=1)
def _providers() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def providers(top_level: str) -> tuple[str, ...]:
    """Return the normalized names of the installed distributions that provide a top-level package."""
    return tuple(sorted({normalized(name) for name in _providers().get(top_level, ())}))


@lru_cache(maxsize=1024)
def _version_and_requirements(name: str) -> tuple[str, tuple[str, ...]] | None:
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    required = []
    for requirement in found.requires or ():
        match = _NAME.match(requirement)
        if match and not _EXTRA.search(requirement):
            required.append(normalized(match.group()))
    return found.version, tuple(required)


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions and of all that they require, extras left out.

    The requirements count because a result that comes through scikit-learn changes with numpy as well.
    """
    found: dict[str, str] = {}
    queue = [normalized(name) for name in names]
    seen = {_OWN}
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        known = _version_and_requirements(name)
        if known is not None:
            found[name] = known[0]
            queue.extend(known[1])
    return dict(sorted(found.items()))
