"""Arrays that code carries along, by what is in them."""

from __future__ import annotations

import hashlib
import sys
from typing import Any


def array_form(value: Any) -> Any:
    """Return a form of a numpy array by its logical content: a view counts as what it shows."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not (type(value) is numpy.ndarray or isinstance(value, numpy.generic)):
        return None
    if value.dtype.hasobject or value.dtype.kind == "T":  # pointers
        return None
    content = numpy.ascontiguousarray(value).tobytes()
    kind = "array" if type(value) is numpy.ndarray else "scalar"
    dtype = str(value.dtype.descr)  # .str has no field names
    return [kind, dtype, list(value.shape), hashlib.blake2b(content, digest_size=20).digest()]
