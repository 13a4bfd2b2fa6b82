"""Override strings: which of them do nothing but give one key of the task config a value.

Hydra's parser takes 0.3 ms and more for one string. The most common form, ``key=value`` with a number, a bool or a
plain word, is read here (a test compares the two on generated strings); everything else is left to Hydra's parser.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import OmegaConf

from parcache.hydra.nodes import Place

_KEY: Final = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_SIMPLE: Final = re.compile(
    rf"({_KEY})=(?:(-?(?:0|[1-9][0-9]*))|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|([A-Za-z_][A-Za-z0-9_]*))"
)
_PLAIN_KEY: Final = re.compile(_KEY)
# Words of the override grammar that are no strings; case does not matter in them.
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False}
_OTHER_WORDS: Final = frozenset({"null", "inf", "nan"})


class Manner(Enum):
    """How an override treats its key."""

    CHANGE = "key=value"
    ADD = "+key=value"
    FORCE_ADD = "++key=value"


_MANNERS: Final = {
    OverrideType.CHANGE: Manner.CHANGE,
    OverrideType.ADD: Manner.ADD,
    OverrideType.FORCE_ADD: Manner.FORCE_ADD,
}


class Assignment(NamedTuple):
    """An override that gives one key of the task config a value, unless the key turns out to be a config group."""

    text: str
    key: str
    place: Place
    manner: Manner
    value: Any


class OtherOverride(NamedTuple):
    """Any other override. ``key`` is its key or config group, None where Hydra cannot read the string at all."""

    text: str
    key: str | None = None
    is_deletion: bool = False

    @property
    def is_hydra(self) -> bool:
        """Tell whether it is about the ``hydra`` node."""
        return self.key is not None and self.key.startswith(("hydra.", "hydra/"))


def read_override(text: str) -> Assignment | OtherOverride:
    """Return what an override string says. Raises nothing: Hydra shall raise its own errors."""
    match = _SIMPLE.fullmatch(text)
    if match is None:
        return _parsed(text)
    key, whole, real, word = match.groups()
    value: Any
    if whole is not None:
        if len(whole) > 18:
            return _parsed(text)
        value = int(whole)
    elif real is not None:
        value = float(real)
    else:
        value = _WORDS.get(word.lower(), word)
        if value is word and word.lower() in _OTHER_WORDS:
            return _parsed(text)
    return _assignment(text, key, Manner.CHANGE, value)


def _parsed(text: str) -> Assignment | OtherOverride:
    try:
        (override,) = OverridesParser.create().parse_overrides([text])
        if override.is_sweep_override():
            return OtherOverride(text)
        return _sorted(text, override)
    except Exception:
        return OtherOverride(text)


def _sorted(text: str, override: Override) -> Assignment | OtherOverride:
    manner = _MANNERS.get(override.type)
    key = override.key_or_group
    value: Any = override.value()
    simple = manner is not None and override.package is None and override.input_line == text
    if manner is None or not simple or not _PLAIN_KEY.fullmatch(key) or not _is_assignable(value, manner):
        return OtherOverride(text, key, override.is_delete())
    return _assignment(text, key, manner, value)


def _assignment(text: str, key: str, manner: Manner, value: Any) -> Assignment | OtherOverride:
    place = _place_in_task(key)
    return OtherOverride(text, key) if place is None else Assignment(text, key, place, manner, value)


@lru_cache(maxsize=1024)
def _place_in_task(key: str) -> Place | None:
    place = tuple(key.split("."))
    return None if place[0] == "hydra" or any(part.startswith("__") for part in place) else place


def _is_assignable(value: Any, manner: Manner) -> bool:
    if manner is Manner.CHANGE:
        # A mapping is merged into what is there; so is what lies in a list's items, but a list itself replaces.
        return value is None or isinstance(value, (bool, int, float, str, list))
    # What is added must make the same kind of node whatever its value.
    if isinstance(value, str):
        return "$" not in value and value != "???" and not OmegaConf.is_missing({"_": value}, "_")
    return isinstance(value, (bool, int, float))
