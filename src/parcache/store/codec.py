"""Values as bytes. ``plain`` executes nothing when it is read; ``cloudpickle`` stands behind it for all the rest.

A plain value is built of None, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset (each of
exactly these types), numpy scalars and numpy arrays without objects. Its bytes are one of::

    the tree as JSON
    a zero byte | u32 length of the tree | the tree as JSON | blobs, one after the other: arrays as .npy files

In the tree, null, booleans, integers below 2**63, finite floats, strings, lists, and dicts whose keys are all strings
that do not begin with ``!`` stand for themselves. Everything else is an object with one member, whose name is ``!`` and
the type: ``{"!tuple": [...]}``, ``{"!dict": [[key, value], ...]}``, ``{"!array": [offset, size]}``. A string with
surrogates is ``{"!str": [offset, size]}``, a blob in UTF-8 with them passed: JSON would join a pair into one character.

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
from functools import lru_cache
from typing import Any, Final

from parcache.errors import UnstorableResultError

PLAIN: Final = "plain"
CLOUDPICKLE: Final = "cloudpickle"
_MAX_DEPTH: Final = 64  # a reader needs four Python frames for each level, below a stack that may be deep already
_MAX_REPEATS: Final = 10_000  # t = (t, t), sixty times over, is small in memory and would never end as a tree
_SURROGATE: Final = "[\ud800-\udfff]"  # compiled where it is needed: half a millisecond
_MARK: Final = '"!'  # stands in every tree in which an object means something else
_BIG: Final = 1 << 63  # Python limits the digits that it reads as decimal
_ARRAY_KINDS: Final = "biufcSUMm"
_SCALAR_KINDS: Final = "biufcMm"  # a string scalar would lose its trailing NULs
_JSON: Final = json.JSONEncoder(separators=(",", ":"))  # json.dumps makes a new one each time
_WITH_BLOBS: Final = struct.Struct("<BI")
_NPY_1_0: Final = struct.Struct("<8sH")  # what begins a .npy file whose header is shorter than 64 KiB, and its length
_NPY_MAGIC: Final = b"\x93NUMPY\x01\x00"


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


def decode(codec: str, data: bytes | memoryview) -> Any:
    """Return the value that ``encode`` was given.

    Raises:
        Exception: Anything at all: the bytes are not this codec's, a class is gone, a module does not import.
    """
    if codec == PLAIN:
        if not data[0]:
            return _decode_with_blobs(data)
        text = str(data, "ascii")
        value, end = (_SCAN if _MARK in text else _SCAN_PLAIN)(text, 0)
        if end != len(text):
            raise ValueError("the tree goes on after its end")
        return value
    if codec == CLOUDPICKLE:
        return pickle.loads(data)
    raise ValueError(f"unknown codec {codec!r}")


def _encode_plain(value: Any) -> bytes:
    writer = _Writer()
    tree = _JSON.encode(writer.tree(value, 0)).encode("ascii")
    return b"".join((_WITH_BLOBS.pack(0, len(tree)), tree, *writer.blobs)) if writer.blobs else tree


def _decode_with_blobs(data: bytes | memoryview) -> Any:
    _, size = _WITH_BLOBS.unpack_from(data)
    first = _WITH_BLOBS.size + size
    tree = str(data[_WITH_BLOBS.size : first], "ascii")
    blobs = memoryview(data)[first:]
    if tree == f'{{"!array":[0,{len(blobs)}]}}':  # to make a scanner for one array takes as long as to read it
        return _array(blobs)
    value, end = _scanner(_Blobs(blobs).make)(tree, 0)
    if end != size:
        raise ValueError("the tree goes on after its end")
    return value


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
            return {"!str": self._blob(value.encode("utf-8", "surrogatepass"))} if _has_surrogates(value) else value
        if kind is int:
            return value if -_BIG < value < _BIG else {"!int": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"!float": repr(value)}
        if kind is complex:
            return {"!complex": [value.real.hex(), value.imag.hex()]}
        if kind is bytes:
            return {"!bytes": self._blob(value)}
        if depth > _MAX_DEPTH:
            raise _NotPlainError
        if kind in (list, dict, set):
            self._see(value)
        elif kind in (tuple, frozenset):
            self._see_again(value)
        if kind is list:
            return [self.tree(item, depth + 1) for item in value]
        if kind in (tuple, set, frozenset):
            return {f"!{kind.__name__}": [self.tree(item, depth + 1) for item in value]}
        if kind is dict:
            if all(type(key) is str and key[:1] != "!" and not _has_surrogates(key) for key in value):
                return {key: self.tree(item, depth + 1) for key, item in value.items()}
            pairs = [[self.tree(key, depth + 1), self.tree(item, depth + 1)] for key, item in value.items()]
            return {"!dict": pairs}
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
        return {"!array" if is_array else "!scalar": self._blob(buffer.getvalue())}

    def _blob(self, data: bytes) -> list[int]:
        offset = self._size
        self.blobs.append(data)
        self._size += len(data)
        return [offset, len(data)]


class _Blobs:
    """Makes what lies beside the tree."""

    def __init__(self, blobs: memoryview) -> None:
        self._blobs = blobs

    def make(self, found: dict[str, Any]) -> Any:
        """Return what an object in the tree stands for."""
        kind = next(iter(found), "")
        if kind == "!array":
            return _array(self._blob(found[kind]))
        if kind == "!scalar":
            return _array(self._blob(found[kind]))[()]
        if kind == "!bytes":
            return bytes(self._blob(found[kind]))
        if kind == "!str":
            return str(self._blob(found[kind]), "utf-8", "surrogatepass")
        return _make(found)

    def _blob(self, place: list[int]) -> memoryview:
        offset, size = place
        return self._blobs[offset : offset + size]


def _array(blob: memoryview) -> Any:
    numpy: Any = sys.modules.get("numpy") or importlib.import_module("numpy")  # only a value with an array needs it
    magic, size = _NPY_1_0.unpack_from(blob)
    if magic != _NPY_MAGIC:
        return numpy.lib.format.read_array(io.BytesIO(blob), allow_pickle=False)
    end = _NPY_1_0.size + size
    shape, in_fortran_order, dtype = _npy_header(bytes(blob[:end]))
    order = "F" if in_fortran_order else "C"
    return numpy.ndarray(shape, dtype, blob, end, None, order).copy(order)


@lru_cache(maxsize=64)
def _npy_header(data: bytes) -> tuple[tuple[int, ...], bool, Any]:
    """Return shape, order and type that an array's ``.npy`` header names; numpy parses it by ``ast``, in 40 us."""
    numpy: Any = importlib.import_module("numpy")
    file = io.BytesIO(data)
    numpy.lib.format.read_magic(file)
    shape, in_fortran_order, dtype = numpy.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("an array of objects is not plain")
    return shape, in_fortran_order, dtype


def _scanner(make: Callable[[dict[str, Any]], Any]) -> Callable[[str, int], tuple[Any, int]]:
    """Return what reads a tree; ``make`` is given each object in it, those within before those around them."""
    decoder: Any = json.JSONDecoder(object_hook=make)
    scan: Callable[[str, int], tuple[Any, int]] = decoder.scan_once  # decode() looks for white space besides
    return scan


def _make(found: dict[str, Any]) -> Any:
    """Return what an object in the tree stands for, where that needs no blobs."""
    kind = next(iter(found), "")
    return _MAKERS[kind](found[kind]) if kind[:1] == "!" else found


_MAKERS: Final[dict[str, Callable[[Any], Any]]] = {
    "!float": float,
    "!int": lambda text: int(text, 16),
    "!complex": lambda parts: complex(*map(float.fromhex, parts)),
    "!tuple": tuple,
    "!set": set,
    "!frozenset": frozenset,
    "!dict": dict,
}
_SCAN: Final = _scanner(_make)
_decoder: Final[Any] = json.JSONDecoder()
_SCAN_PLAIN: Final[Callable[[str, int], tuple[Any, int]]] = _decoder.scan_once  # three quarters of the time


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and re.search(_SURROGATE, text) is not None
