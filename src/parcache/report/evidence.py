"""What is known about a key after the fact: its parts, its config, its code, the texts of its files."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from parcache.model import Watched
from parcache.store.catalog import read_description, read_without_value
from parcache.store.entry import RawEntry
from parcache.store.paths import StorePaths
from parcache.store.sources import kept_text, text_on_disk
from parcache.store.store import Store
from parcache.store.sweeps import KeyParts

CODE_OFF: Final = "off"
# What `parcache.keys.canonical.describe` writes for values that are no plain ones.
MARKERS: Final = ("<digest>", "<expression>", "<refused>")


class InputState(NamedTuple):
    """A file or folder that a job read. ``digest`` is empty where nothing is there, or where nobody has looked."""

    kind: str
    size_bytes: int = 0
    mtime_ns: int = 0
    digest: str = ""


class Side(NamedTuple):
    """One of two keys that are compared. ``config`` are its values by place, None where that is not known.

    ``inputs`` are the files that the job read, by path; None where they are those that lie there now.
    """

    parts: KeyParts
    config_digest: str
    config: Mapping[str, Any] | None
    inputs: Mapping[str, InputState] | None = None


class Evidence:
    """Reads what explains keys, each piece once. ``codes`` are descriptions of code that the store does not have."""

    def __init__(self, paths: StorePaths, codes: Mapping[str, dict[str, Any]]) -> None:
        self.paths = paths
        self._codes: dict[str, dict[str, Any] | None] = dict(codes)
        self._explanations: dict[str, dict[str, Any]] = {}

    def explanation(self, digest: str) -> dict[str, Any]:
        """Return what the entry of a key keeps to explain it; an empty dict where that cannot be read."""
        found = self._explanations.get(digest)
        if found is None:
            found = self._explanations[digest] = explanation_of(read_without_value(self.paths.entry(digest), digest))
        return found

    def code(self, digest: str) -> dict[str, Any] | None:
        """Return what a fingerprint is made of, None where that was not kept or is damaged."""
        if digest not in self._codes:
            self._codes[digest] = read_description(self.paths, digest)
        return self._codes[digest]

    def text(self, path: str, digest: str) -> list[str] | None:
        """Return the lines of a fingerprinted file: as it was kept, or as it still lies there."""
        data = kept_text(self.paths, digest)
        if data is None:
            data = text_on_disk(path, digest)
        return None if data is None else data.decode("utf-8", "replace").splitlines()


def explanation_of(raw: RawEntry | None) -> dict[str, Any]:
    """Return an entry's explanation; an empty dict where there is none or it cannot be read."""
    if raw is None:
        return {}
    try:
        return raw.explanation()
    except (ValueError, TypeError, RecursionError, zlib.error):
        return {}


def inputs_of(raw: RawEntry | None, paths: StorePaths) -> dict[str, InputState]:
    """Return what the job of an entry read, by path; paths are relative to where its sweep was started."""
    if raw is None:
        return {}
    try:
        rows = Watched.parse(Store(paths).list_of(raw.watched) or b"").inputs
    except ValueError:
        return {}
    return {row.path: InputState(row.kind, row.size, row.mtime_ns, row.digest) for row in rows}


def input_on_disk(path: str, kind: str) -> InputState:
    """Return what a file or folder is now, without reading it."""
    try:
        found = os.stat(path)
        size = len(os.listdir(path)) if os.path.isdir(path) else found.st_size
    except OSError:
        return InputState("absent")
    return InputState("file" if kind == "absent" else kind, size, found.st_mtime_ns)


def config_values(explanation: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a config as an explanation describes it: plain values and marked ones by place, such as ``layers.0.size``.

    None where the explanation does not say. Empty containers count as values, and so does the class of a structured
    config.
    """
    if not explanation or type(explanation.get("config")) is not dict:
        return None
    values = dict[str, Any]()
    _flatten(explanation["config"], "", values)
    changes = explanation.get("changes")
    if type(changes) is not dict:
        return values
    for shown, value in changes.items():
        place = shown.removeprefix("$").removeprefix(".")
        for known in [known for known in values if known == place or known.startswith(f"{place}.")]:
            del values[known]
        _flatten(value, place, values)
    return values


def _flatten(tree: Any, place: str, out: dict[str, Any]) -> None:
    if type(tree) is dict and tree and not (len(tree) == 1 and next(iter(tree)) in MARKERS):
        for name, item in tree.items():
            _flatten(item, f"{place}.{name}" if place else str(name), out)
    elif type(tree) is list and tree:
        for index, item in enumerate(tree):
            _flatten(item, f"{place}.{index}", out)
    else:
        out[place] = tree


def as_text(value: Any) -> str:
    """Return a value as it is compared: ``1``, ``1.0``, ``true`` and ``"1"`` are four texts."""
    return json.dumps(value, sort_keys=True)
