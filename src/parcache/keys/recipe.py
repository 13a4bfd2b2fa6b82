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
    if python is None:
        optimized = f" -{'O' * sys.flags.optimize}" if sys.flags.optimize else ""
        python = f"{sys.version_info[0]}.{sys.version_info[1]}{optimized}"
    config_digest = digest(encode(prune(config, ignore)))
    variables = tuple(sorted((env or {}).items()))
    whole = digest(encode([RECIPE, config_digest, code, python, salt, variables]))
    return Key(whole, RECIPE, config_digest, code, python, salt, variables)
