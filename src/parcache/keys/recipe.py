"""The key recipe: how the parts become one digest.

``digest = BLAKE2b-160(canonical form of [recipe, config, code, python, salt, env])``, where

- ``config`` is the digest of the task config's canonical form (``parcache.keys.canonical``), ignored keys removed;
- ``code`` is the digest of the fingerprint (``parcache.keys.fingerprint``), or ``"off"``;
- ``python`` is the running ``major.minor``, with ``-O`` or ``-OO`` where asserts, or docstrings too, are left out;
- ``salt`` is the user's own; ``env`` are the named environment variables, sorted, with null for an unset one.

``RECIPE`` goes up with any change to this or to the forms it is built on: a key never means two things.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from parcache.keys.canonical import digest, encode, prune
from parcache.model import Key

RECIPE: Final = 1
CODE_OFF: Final = "off"


def make_key(
    config: Any,
    code: str,
    *,
    salt: str = "",
    ignore: Sequence[str] = (),
    env: Mapping[str, str | None] | None = None,
    python: str | None = None,
) -> Key:
    """Return the key of a plain config tree run by code with this fingerprint.

    Raises:
        UnkeyableConfigError: A value that is not ignored has no stable form.
    """
    return key_of_digest(digest(encode(prune(config, ignore))), code, salt=salt, env=env, python=python)


def key_of_digest(
    config: str,
    code: str,
    *,
    salt: str = "",
    env: Mapping[str, str | None] | None = None,
    python: str | None = None,
) -> Key:
    """Return the key of a config whose canonical form, ignored keys removed, has this digest."""
    if python is None:
        python = _RUNNING
    variables = tuple(sorted(env.items())) if env else ()
    # The form of the list [RECIPE, config, code, python, salt, variables]: a list is its length and its items' forms.
    whole = digest(b"".join((b"l6;", encode(RECIPE), encode(config), _rest(code, python, salt, variables))))
    return Key(whole, RECIPE, config, code, python, salt, variables)


@lru_cache(maxsize=256)
def _rest(code: str, python: str, salt: str, variables: tuple[tuple[str, str | None], ...]) -> bytes:
    """Return what is the same for all jobs of one code and one environment."""
    return b"".join(map(encode, (code, python, salt, variables)))


def _running() -> str:
    optimized = f" -{'O' * sys.flags.optimize}" if sys.flags.optimize else ""
    return f"{sys.version_info[0]}.{sys.version_info[1]}{optimized}"


_RUNNING: Final = _running()
