"""Third-party code as the versions of the distributions that provide it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r";.*\bextra\s*==")
# parcache's own version must not invalidate anybody's results: the recipe version stands for it.
_OWN = "parcache"


def normalized(name: str) -> str:
    """Return the normalized name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@lru_cache(maxsize=1)
def _providers() -> Mapping[str, list[str]]:
    """Map top-level names to distributions.

    Python 3.10's ``packages_distributions`` knows only those that say so in ``top_level.txt``.
    """
    found: dict[str, list[str]] = {name: list(names) for name, names in metadata.packages_distributions().items()}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if not name or distribution.read_text("top_level.txt"):
            continue
        for file in distribution.files or ():
            top = file.parts[0]
            if len(file.parts) > 1 or top.endswith((".py", *EXTENSION_SUFFIXES)):
                found.setdefault(top.partition(".")[0], []).append(name)
    return found


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
    return found.version + _build(found), tuple(required)


def _build(distribution: metadata.Distribution) -> str:
    """Return what tells builds of one version apart: installed from a folder or a repository, it changes in silence."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        origin = {}
    if not origin or origin.get("dir_info", {}).get("editable"):
        return ""
    rows = (distribution.read_text("RECORD") or "").splitlines()
    kept = sorted(row for row in rows if ".dist-info/" not in row and "__pycache__" not in row)
    return f"+{hashlib.blake2b(chr(10).join(kept).encode(), digest_size=8).hexdigest()}"


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions and of all that they require, extras left out.

    One that was installed from a folder or a repository has the digest of its installed files as well.

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
