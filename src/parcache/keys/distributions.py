"""Third-party code as the versions of the distributions that provide it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from importlib import metadata

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r";.*\bextra\s*==")
_NAME_HEADER = re.compile(r"(?mi)^Name:(.+)$")
_VERSION_HEADER = re.compile(r"(?mi)^Version:(.+)$")
_REQUIREMENT_HEADER = re.compile(r"(?mi)^Requires-Dist:(.+(?:\n[ \t].*)*)$")
_FIRST_PART = re.compile(r'(?m)^"?(?:\./)*([^/,\n]+)(/?)')  # of a RECORD's rows: path,digest,size
# Importing these changes nothing for code that does not use them; of others that is not known: many register something.
INERT: Final = frozenset({"numpy", "scipy", "tqdm", "yaml"})
# parcache's own version must not invalidate anybody's results: the recipe version stands for it.
_OWN = "parcache"


def normalized(name: str) -> str:
    """Return the normalized name of a distribution (PEP 503): runs of ``-``, ``_`` and ``.`` are one ``-``."""
    found = name.lower().replace("_", "-").replace(".", "-")  # once for each that is installed: no regular expression
    while "--" in found:
        found = found.replace("--", "-")
    return found


@lru_cache(maxsize=1)
def _providers() -> Mapping[str, tuple[str, ...]]:
    """Map top-level names to the normalized names of the distributions that provide them.

    ``metadata.packages_distributions`` answers the same at ten times the cost: it parses every RECORD as CSV and
    every METADATA as an e-mail, 50 ms in a small environment and seconds in a large one.
    """
    from importlib import metadata

    found: dict[str, set[str]] = {}
    for distribution in metadata.distributions():
        name = _name(distribution)
        if name is not None:
            for top in _top_levels(distribution):
                found.setdefault(top, set()).add(normalized(name))
    return {top: tuple(sorted(names)) for top, names in found.items()}


class _UnusualError(Exception):
    """The way to a distribution is not one of folders alone."""


class _Installed(NamedTuple):
    """A distribution in a ``.dist-info`` folder whose METADATA says its version."""

    folder: str

    def read_text(self, name: str) -> str | None:
        try:
            with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                return file.read()
        except OSError:
            return None


@lru_cache(maxsize=256)
def _infos(folder: str, mtime_ns: int) -> Mapping[str, tuple[str, ...]]:
    """Map names to the entries of a folder, as it was at a time, that describe distributions of that name."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in os.listdir(folder):
        stem, _, kind = entry.lower().rpartition(".")
        if kind in {"dist-info", "egg-info"}:
            name = normalized(stem.partition("-")[0])
            found[name] = (*found.get(name, ()), os.path.join(folder, entry))
    return found


def _installed(name: str) -> _Installed | None:
    """Return a distribution as ``importlib.metadata`` finds it, which takes 8 ms to import; None: it is not installed.

    Raises:
        _UnusualError: More than folders of wheels has to be looked at.
    """
    if any(finder is not PathFinder and hasattr(finder, "find_distributions") for finder in sys.meta_path):
        raise _UnusualError
    for entry in sys.path:
        if entry.lower().endswith(".egg"):
            raise _UnusualError
        try:
            found = _infos(entry or ".", os.stat(entry or ".").st_mtime_ns).get(name, ())
        except FileNotFoundError:
            continue
        except OSError:  # an archive
            raise _UnusualError from None
        if not found:
            continue
        distribution = _Installed(found[0])
        # An egg, two versions at once, or what is left of an installation: which of them counts is not told here.
        if len(found) > 1 or not found[0].lower().endswith(".dist-info") or not _version(distribution):
            raise _UnusualError
        return distribution
    return None


def _version(distribution: _Installed | metadata.Distribution) -> str:
    found = _VERSION_HEADER.search(_head(distribution))
    return found.group(1).strip() if found else ""


def _head(distribution: _Installed | metadata.Distribution) -> str:
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
        found = _installed(name)
        if found is None:
            return None
        requirements = _REQUIREMENT_HEADER.findall(_head(found))
        return _version(found) + _build(found), _names(requirements)
    except _UnusualError:
        return _as_the_standard_library_finds_them(name)


def _as_the_standard_library_finds_them(name: str) -> tuple[str, tuple[str, ...]] | None:
    from importlib import metadata

    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    head = _head(found)
    requirements = _REQUIREMENT_HEADER.findall(head) if head else found.requires or ()
    return (_version(found) or found.version) + _build(found), _names(requirements)


def _names(requirements: Iterable[str]) -> tuple[str, ...]:
    """Return the normalized names that are required in any case, extras left out."""
    required = []
    for requirement in requirements:
        match = _NAME.match(requirement.strip())
        if match and not _EXTRA.search(requirement):
            required.append(normalized(match.group()))
    return tuple(required)


def _build(distribution: _Installed | metadata.Distribution) -> str:
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
