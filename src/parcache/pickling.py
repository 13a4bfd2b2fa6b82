"""Objects as bytes on their way between processes: cloudpickle's, with the file that code was read from.

From 3.1.3 cloudpickle names the file of every function that travels by value ``<dynamic-code>``, so that equal
functions have equal bytes. Tracebacks would then show no line of the user's main script, and who asks which file a
piece of code comes from, as the recorder of inputs and the audit do, would learn nothing.
"""

from __future__ import annotations

import io
from collections import ChainMap
from collections.abc import Callable
from functools import cache
from types import CodeType
from typing import Any, ClassVar


def dumps(value: Any) -> bytes:
    """Return an object as bytes that ``pickle.loads`` reads where parcache can be imported.

    Raises:
        Exception: Whatever the object or a part of it raises; most often a PicklingError or TypeError.
    """
    with io.BytesIO() as file:
        _pickler()(file).dump(value)
        return file.getvalue()


@cache
def _pickler() -> Any:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # untyped
        dispatch_table: ClassVar[Any] = ChainMap({CodeType: _reduce_code}, cloudpickle.Pickler.dispatch_table)

    return Pickler


def _reduce_code(code: CodeType) -> tuple[Any, ...]:
    import cloudpickle

    constructor, arguments = cloudpickle.Pickler.dispatch_table[CodeType](code)
    return _remake, (constructor, arguments, code.co_filename)


def _remake(constructor: Callable[..., CodeType], arguments: tuple[Any, ...], filename: str) -> CodeType:
    return constructor(*arguments).replace(co_filename=filename)
