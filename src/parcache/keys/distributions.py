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
_NAME_HEADER = re.compile(r"(?mi)^Name:(.+)$")
_VERSION_HEADER = re.compile(r"(?mi)^Version:(.+)$")
_REQUIREMENT_HEADER = re.compile(r"(?mi)^Requires-Dist:(.+(?:\n[ \t].*)*)$")
_FIRST_PART = re.compile(r'(?m)^"?(?:\./)*([^/,\n]+)(/?)')  # of a RECORD's rows: path,digest,size
# parcache's own version must not invalidate anybody's results: the recipe version stands for it.
_OWN = "parcache"


def normalized(name: str) -> str:
    """Return the normalized name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@lru_cache(maxsize=1)
def _providers() -> Mapping[str, tuple[str, ...]]:
    """Map top-level names to the normalized names of the distributions that provide them.

    ``metadata.packages_distributions`` answers the same at ten times the cost: it parses every RECORD as CSV and
    every METADATA as an e-mail, 50 ms in a small environment and seconds in a large one.
    """
    found: dict[str, set[str]] = {}
    for distribution in metadata.distributions():
        name = _name(distribution)
        if name is not None:
            for top in _top_levels(distribution):
                found.setdefault(top, set()).add(normalized(name))
    return {top: tuple(sorted(names)) for top, names in found.items()}


def _head(distribution: metadata.Distribution) -> str:
    """Return the header lines of a distribution's METADATA; empty for an egg.

    ``distribution.metadata`` parses the text below them too, which is a README most often: milliseconds each.
    """
    return (distribution.read_text("METADATA") or "").partition("\n\n")[0]


def _name(distribution: metadata.Distribution) -> str | None:
    found = _NAME_HEADER.search(_head(distribution))
    return found.group(1).strip() if found else distribution.metadata["Name"]


def _top_levels(distribution: metadata.Distribution) -> Iterable[str]:
    """Return what can be imported of a distribution: what it declares, else what its files tell."""
    declared = distribution.read_text("top_level.txt") or ""
    if declared.split():
        return declared.split()
    record = distribution.read_text("RECORD")
    if record is None:  # an egg
        rows = [(file.parts[0], "/" if len(file.parts) > 1 else "") for file in distribution.files or ()]
    else:
        rows = _FIRST_PART.findall(record)
    return {
        first.partition(".")[0]
        for first, rest in set(rows)
        if rest or first.rstrip('"').endswith((".py", *EXTENSION_SUFFIXES))
    }


def providers(top_level: str) -> tuple[str, ...]:
    """Return the normalized names of the installed distributions that provide a top-level package."""
    return _providers().get(top_level, ())


@lru_cache(maxsize=1024)
def _version_and_requirements(name: str) -> tuple[str, tuple[str, ...]] | None:
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    head = _head(found)
    version = _VERSION_HEADER.search(head)
    required = []
    for requirement in _REQUIREMENT_HEADER.findall(head) if head else found.requires or ():
        match = _NAME.match(requirement.strip())
        if match and not _EXTRA.search(requirement):
            required.append(normalized(match.group()))
    return (version.group(1).strip() if version else found.version) + _build(found), tuple(required)


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
