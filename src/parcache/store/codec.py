"""Values as bytes. ``plain`` executes nothing when it is read; ``cloudpickle`` stands behind it for all the rest.

A plain value is built of None, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset (each of
exactly these types), numpy scalars and numpy arrays without objects. Its bytes are::

    u32 length of the tree | the tree as JSON | blobs, one after the other: bytes as they are, arrays as .npy files

In the tree, null, booleans, integers below 2**63, finite floats and strings stand for themselves; everything else is an
object with one member, whose name is the type: ``{"tuple": [...]}``, ``{"dict": [[key, value], ...]}``,
``{"array": [offset, size]}``. Lists are ``{"list": [...]}`` too, which leaves no second reading. A string with
surrogates is ``{"str": [offset, size]}``, a blob in UTF-8 with them passed: JSON would join a pair into one character.

A value that contains the same mutable object twice is left to cloudpickle, which keeps that identity; one that
contains the same tuple or frozenset very often, or that is nested deeply, is left to it as well.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import pickle
import re
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from parcache.errors import UnstorableResultError

PLAIN: Final = "plain"
CLOUDPICKLE: Final = "cloudpickle"
_MAX_DEPTH: Final = 64  # a reader needs four Python frames for each level, below a stack that may be deep already
_MAX_REPEATS: Final = 10_000  # t = (t, t), sixty times over, is small in memory and would never end as a tree
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_BIG: Final = 1 << 63  # Python limits the digits that it reads as decimal
_ARRAY_KINDS: Final = "biufcSUMm"
_SCALAR_KINDS: Final = "biufcMm"  # a string scalar would lose its trailing NULs
_JSON: Final = json.JSONEncoder(separators=(",", ":"))  # json.dumps makes a new one each time
_SIZE: Final = struct.Struct("<I")


class _NotPlainError(Exception):
    """The value needs the other codec."""


def encode(value: Any) -> tuple[str, bytes]:
    """Return the codec that fits a value, and its bytes.

    Raises:
        UnstorableResultError: It cannot be pickled either.
    """
    try:
        return PLAIN, _encode_plain(value)
    except _NotPlainError:
        pass
    import cloudpickle  # only here: a quarter of the time that importing this module takes without it

    try:
        return CLOUDPICKLE, cloudpickle.dumps(value)
    except Exception as error:
        raise UnstorableResultError(type(value).__qualname__, f"{type(error).__name__}: {error}") from error


def decode(codec: str, data: bytes) -> Any:
    """Return the value that ``encode`` was given.

    Raises:
        Exception: Anything at all: the bytes are not this codec's, a class is gone, a module does not import.
    """
    if codec == PLAIN:
        return _decode_plain(data)
    if codec == CLOUDPICKLE:
        return pickle.loads(data)
    raise ValueError(f"unknown codec {codec!r}")


def _encode_plain(value: Any) -> bytes:
    writer = _Writer()
    tree = _JSON.encode(writer.tree(value, 0)).encode("ascii")
    return _SIZE.pack(len(tree)) + tree + b"".join(writer.blobs)


def _decode_plain(data: bytes) -> Any:
    (size,) = _SIZE.unpack_from(data)
    tree = json.loads(data[4 : 4 + size].decode("ascii"))  # bytes would have their encoding guessed
    return _Reader(memoryview(data)[4 + size :]).value(tree)


class _Writer:
    def __init__(self) -> None:
        self.blobs: list[bytes] = []
        self._size = 0
        self._seen: set[int] = set()
        self._repeats = 0

    def tree(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            has_surrogates = not value.isascii() and _SURROGATE.search(value)
            return {"str": self._blob(value.encode("utf-8", "surrogatepass"))} if has_surrogates else value
        if kind is int:
            return value if -_BIG < value < _BIG else {"int": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind is complex:
            return {"complex": [value.real.hex(), value.imag.hex()]}
        if kind is bytes:
            return {"bytes": self._blob(value)}
        if depth > _MAX_DEPTH:
            raise _NotPlainError
        if kind in (list, dict, set):
            self._see(value)
        elif kind in (tuple, frozenset):
            self._see_again(value)
        if kind in (list, tuple):
            return {kind.__name__: [self.tree(item, depth + 1) for item in value]}
        if kind in (set, frozenset):
            return {kind.__name__: [self.tree(item, depth + 1) for item in value]}
        if kind is dict:
            pairs = [[self.tree(key, depth + 1), self.tree(item, depth + 1)] for key, item in value.items()]
            return {"dict": pairs}
        return self._numpy(value)

    def _see(self, value: Any) -> None:
        if id(value) in self._seen:
            raise _NotPlainError
        self._seen.add(id(value))

    def _see_again(self, value: Any) -> None:
        if id(value) in self._seen:
            self._repeats += 1
            if self._repeats > _MAX_REPEATS:
                raise _NotPlainError
        self._seen.add(id(value))

    def _numpy(self, value: Any) -> Any:
        numpy = sys.modules.get("numpy")
        if numpy is None:
            raise _NotPlainError
        is_array = type(value) is numpy.ndarray
        if not is_array and not (isinstance(value, numpy.generic) and type(value).__module__ == "numpy"):
            raise _NotPlainError
        dtype = value.dtype
        if (
            dtype.kind not in (_ARRAY_KINDS if is_array else _SCALAR_KINDS)
            or dtype.names is not None
            or dtype.metadata
            or dtype.subdtype
        ):
            raise _NotPlainError
        if is_array:
            self._see(value)
        buffer = io.BytesIO()
        numpy.lib.format.write_array(buffer, numpy.asanyarray(value), allow_pickle=False)
        return {"array" if is_array else "scalar": self._blob(buffer.getvalue())}

    def _blob(self, data: bytes) -> list[int]:
        offset = self._size
        self.blobs.append(data)
        self._size += len(data)
        return [offset, len(data)]


class _Reader:
    def __init__(self, blobs: memoryview) -> None:
        self._blobs = blobs

    def value(self, tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        ((kind, content),) = tree.items()
        return _MAKERS[kind](self, content)

    def items(self, items: list[Any]) -> list[Any]:
        return [self.value(item) for item in items]

    def array(self, place: list[int]) -> Any:
        numpy: Any = importlib.import_module("numpy")  # only a value that holds an array needs it

        buffer = io.BytesIO(self.blob(place))
        return numpy.lib.format.read_array(buffer, allow_pickle=False)

    def blob(self, place: list[int]) -> memoryview:
        offset, size = place
        return self._blobs[offset : offset + size]


_MAKERS: Final[dict[str, Callable[[_Reader, Any], Any]]] = {
    "float": lambda _, text: float(text),
    "int": lambda _, text: int(text, 16),
    "complex": lambda _, parts: complex(*map(float.fromhex, parts)),
    "bytes": lambda reader, place: bytes(reader.blob(place)),
    "str": lambda reader, place: bytes(reader.blob(place)).decode("utf-8", "surrogatepass"),
    "list": _Reader.items,
    "tuple": lambda reader, items: tuple(reader.items(items)),
    "set": lambda reader, items: set(reader.items(items)),
    "frozenset": lambda reader, items: frozenset(reader.items(items)),
    "dict": lambda reader, pairs: {reader.value(key): reader.value(item) for key, item in pairs},
    "array": _Reader.array,
    "scalar": lambda reader, place: reader.array(place)[()],
}
