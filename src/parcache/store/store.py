"""The store: publish results under their keys, read them back, believe nothing unchecked.

Publishing is one rename of a complete file, which is atomic on local file systems, NFS and Lustre alike; there is no
database and no lock. Files are not flushed to the disk one by one: a power cut can cost results that were just
published (they fail their digest and run again), never falsify one.

Safe to use from several processes and threads at once.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from parcache.errors import (
    CorruptEntryError,
    NewerFormatError,
    StoreUnavailableError,
    UnreadableValueError,
    UnstorableResultError,
)
from parcache.model import Entry, Key, Stored, Storing
from parcache.store import codec
from parcache.store.entry import (
    MAJOR,
    MINOR,
    PREFIX_BYTES,
    major_of,
    pack,
    pack_explanation,
    unpack,
    unpack_whole,
)
from parcache.store.paths import StorePaths

log = logging.getLogger(__name__)

_SMALL_BYTES: Final = 1 << 16
_NO_FILES: Final[Mapping[str, str]] = {}
_CACHEDIR_TAG: Final = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag created by parcache.\n"
    "# For information about cache directory tags see https://bford.info/cachedir/\n"
)


class Store(NamedTuple):
    """The results below one directory. ``root`` is absolute; workers get the store by value."""

    paths: StorePaths

    @classmethod
    def open(cls, root: str, *, writable: bool) -> Store:
        """Return the store at a directory; make it there if it is to be written.

        Raises:
            StoreUnavailableError: The directory cannot be made, or cannot be written although it is to be.
            NewerFormatError: A newer parcache made it.
        """
        store = cls(StorePaths(os.path.abspath(root)))
        store._check_format()
        if writable:
            store._prepare()
        return store

    def read(self, key: Key) -> Entry | None:
        """Return the entry of a key, its value decoded, or None: a miss.

        A damaged entry, one that cannot be decoded here and one that cannot be read at all is a miss as well, with
        one warning.
        """
        path = self.paths.entry(key.digest)
        # Every hit comes this way: what is small and whole is read by as few calls as can be, the rest with care.
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # open() takes twice as long
            try:
                data = os.read(descriptor, _SMALL_BYTES)
            finally:
                os.close(descriptor)
            name, payload, run_time_s, created_ns, header = unpack_whole(data, key.digest)
            return Entry(key, codec.decode(name, payload), run_time_s, created_ns, header)
        except FileNotFoundError:
            return None
        except KeyboardInterrupt:
            raise
        except BaseException:
            return self._read_with_care(key, path)

    def _read_with_care(self, key: Key, path: str) -> Entry | None:
        try:
            raw = unpack(_content(path), path, key.digest)
        except FileNotFoundError:
            return None
        except (OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            log.warning("Entry %s cannot be read (%s); the job will run again.", path, reason)
            return None
        except (CorruptEntryError, NewerFormatError) as error:
            log.warning("%s", error)
            return None
        try:
            value = codec.decode(raw.codec, raw.payload)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a class may raise what it likes while it is rebuilt
            log.warning("%s", UnreadableValueError(path, f"{type(error).__name__}: {error}"))
            return None
        return Entry(key, value, raw.run_time_s, raw.created_ns, raw.header)

    def publish(
        self,
        key: Key,
        value: Any,
        *,
        run_time_s: float,
        record: Mapping[str, Any] | None = None,
        explanation: Mapping[str, Any] | None = None,
        shared: bytes = b"",
    ) -> Stored:
        """Store a result under its key, replacing what is there. Never raises: a refusal says why.

        ``record`` and ``explanation`` are JSON data. ``shared`` is what many keys' explanations have in common, packed
        once by ``parcache.store.entry.pack_explanation``.
        """
        try:
            name, payload = codec.encode(value)
            appendix = pack_explanation(explanation) if explanation else b""
            path = self.paths.entry(key.digest)
            self._spare_newer(path)
            data = pack(
                key,
                name,
                payload,
                run_time_s=run_time_s,
                created_ns=time.time_ns(),
                record=record or {},
                appendix=shared + appendix,
            )
            self._write(path, data)
        except (UnstorableResultError, NewerFormatError) as error:
            return Stored(Storing.REFUSED, str(error))
        except OSError as error:
            return Stored(Storing.REFUSED, _unwritable(self.paths.root, error))
        except Exception as error:  # out of memory, changed by a thread meanwhile, …: never the end of the job
            reason = f"a result of type {type(value).__qualname__} cannot be stored: {type(error).__name__}: {error}"
            return Stored(Storing.REFUSED, reason)
        return Stored(Storing.PUBLISHED)

    def describe_code(self, digest: str, description: Mapping[str, Any], files: Mapping[str, str] = _NO_FILES) -> None:
        """Keep what a fingerprint was made of, once. It only serves explanations: failing to is no failure.

        ``files`` are paths and the digests of their content: their texts are kept as well.
        """
        path = self.paths.code(digest)
        if os.path.exists(path):
            return
        from parcache.store import catalog, sources  # no warm sweep needs them

        try:
            sources.keep_texts(self.paths, files, self._write)
            self._write(path, catalog.pack_description(dict(description)))
        except OSError as error:
            log.debug("cannot keep the description of code %s: %s", digest, error)

    def write(self, path: str, data: bytes) -> None:
        """Write one of the store's files whole, replacing what is there.

        Raises:
            OSError: The store cannot be written.
        """
        self._write(path, data)

    @staticmethod
    def _spare_newer(path: str) -> None:
        """Refuse to replace what a newer parcache has stored."""
        try:
            with open(path, "rb", buffering=0) as file:
                major = major_of(file.read(PREFIX_BYTES))
        except OSError:
            return
        if major is not None and major > MAJOR:
            raise NewerFormatError(path, major, MAJOR)

    def _write(self, path: str, data: bytes) -> None:
        try:
            self._put(path, data)
        except FileNotFoundError:  # somebody emptied the store meanwhile
            self._prepare()
            self._put(path, data)

    def _put(self, path: str, data: bytes) -> None:
        scratch = self.paths.scratch(os.path.basename(path).lstrip("."))
        try:
            with open(scratch, "xb", buffering=0) as file:
                rest = memoryview(data)
                while rest:  # the system may take less than it is given: 2 GiB at most, and what fits the disk
                    rest = rest[file.write(rest) :]
            try:
                os.replace(scratch, path)
            except FileNotFoundError:  # the first file of its folder
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.replace(scratch, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(scratch)
            raise

    def _check_format(self) -> None:
        path = self.paths.format
        try:
            with open(path, "rb") as file:
                major = json.load(file)["major"]
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreUnavailableError(self.paths.root, str(error.strerror or error)) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            major = None
        if type(major) is not int or major < 1:
            log.warning("%s is damaged; entries are still checked one by one. To renew it, delete it.", path)
        elif major > MAJOR:
            raise NewerFormatError(path, major, MAJOR)

    def _prepare(self) -> None:
        try:
            os.makedirs(self.paths.entries, exist_ok=True)
            os.makedirs(self.paths.tmp, exist_ok=True)
            for path, text in (
                (self.paths.gitignore, "*\n"),
                (self.paths.cachedir_tag, _CACHEDIR_TAG),
                (self.paths.format, json.dumps({"major": MAJOR, "minor": MINOR}) + "\n"),
            ):
                if not os.path.exists(path):
                    self._put(path, text.encode("ascii"))
            if not os.access(self.paths.tmp, os.W_OK | os.X_OK):
                read_only = os.statvfs(self.paths.tmp).f_flag & os.ST_RDONLY
                number = errno.EROFS if read_only else errno.EACCES
                raise OSError(number, os.strerror(number))
        except (OSError, ValueError) as error:  # ValueError: no name of a file, such as one with a NUL
            problem = str(getattr(error, "strerror", None) or error)
            raise StoreUnavailableError(self.paths.root, problem) from None


def _content(path: str) -> bytes:
    """Return a file's bytes."""
    with open(path, "rb") as file:
        return file.read()


def _unwritable(root: str, error: OSError) -> str:
    return (
        f"the store at {root} cannot be written: {error.strerror or error}. "
        "Make room there, or choose another: export PARCACHE_DIR=DIR"
    )
