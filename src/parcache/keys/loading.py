"""How a module's code came from its file: the file's times and content, and bytecode that is valid and wrong.

CPython validates cached bytecode by the source's size and its modification time in whole seconds, so an edit of the
same length within one second runs the old code; and hash-based bytecode is often not validated at all. Bytecode that is
not clearly younger than its source is compared. So is all that a patched import system, or a loader of the project's
own, may have written: it holds what an earlier version of that has made of the source.
"""

from __future__ import annotations

import marshal
import os
import stat
import sys
import warnings
from types import CodeType, ModuleType
from typing import Any, Final

from parcache.keys import executions, texts
from parcache.keys.code import Signature, Source, content_digest, signature
from parcache.keys.modules import Party, party_of

# Bytecode written this long after its source's last change cannot come from an import that the change overtook.
_SETTLED_NS: Final = 5_000_000_000


def links_changed_ns(path: str) -> int:
    """Return when a symbolic link on the way to a file last changed: turning one leaves the file's own times alone."""
    latest = 0
    while path != os.path.dirname(path):
        try:
            found = os.lstat(path)
        except OSError:
            return latest
        if stat.S_ISLNK(found.st_mode):
            latest = max(latest, found.st_mtime_ns, found.st_ctime_ns)
        path = os.path.dirname(path)
    return latest


def has_content(source: Source, now: Signature) -> bool:
    """Tell whether a file has the fingerprinted content, and is as ``now`` says while it is read."""
    # Read even where the times are the same: two edits within one tick of the clock share them.
    try:
        with open(source.path, "rb") as file:
            data = file.read()
        if content_digest(data) != source.content or signature(source.path) != now:
            return False
    except OSError:
        return False
    texts.of_this_process().keep(source.content, data)
    return True


def runs_stale_bytecode(module: ModuleType, path: str, changed_ns: int) -> bool:
    """Tell whether a module runs bytecode that is not what its source compiles to."""
    cached = getattr(module, "__cached__", None)
    if not isinstance(cached, str) or not path.endswith(".py"):
        return False
    try:
        with open(cached, "rb") as file:
            header, body = file.read(16), file.read()
        found = os.stat(path)
        if not int.from_bytes(header[4:8], "little"):  # by time and size (PEP 552)
            fresh = int.from_bytes(header[8:12], "little") == int(found.st_mtime) & 0xFFFFFFFF
            if not fresh or int.from_bytes(header[12:16], "little") != found.st_size & 0xFFFFFFFF:
                return False  # not what Python would have taken
            is_settled = os.stat(cached).st_mtime_ns > changed_ns + _SETTLED_NS
            if is_settled and not _is_made_specially(module, path):
                return False
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = compile(file.read(), path, "exec", dont_inherit=True)
        stored = marshal.loads(body)  # noqa: S302 - the interpreter itself has run it
    except (OSError, ValueError, EOFError, TypeError, SyntaxError):
        return False
    return not isinstance(stored, CodeType) or stored != compiled


def is_made_of(spec: Any, content: bytes) -> bool:
    """Tell whether the import of a module is known to have executed what the text of this digest compiles to."""
    code = executions.of_this_process().code_of(spec)
    text = texts.of_this_process().get(content) if code is not None else None
    if code is None or text is None:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(compile(text, code.co_filename, "exec", dont_inherit=True) == code)
    except (SyntaxError, ValueError):
        return False


def _is_made_specially(module: ModuleType, path: str) -> bool:
    """Tell whether code of the project has a part in how the module's source becomes code."""
    if executions.of_this_process().is_transformed(path):
        return True
    loader = getattr(module, "__loader__", None)
    kind = loader if isinstance(loader, type) else type(loader)
    made_in = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return isinstance(made_in, str) and party_of(made_in) is Party.FIRST
