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
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import xxhash

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
    peek_inputs,
    unpack,
    unpack_whole,
)
from parcache.store.files import put
from parcache.store.paths import StorePaths

if TYPE_CHECKING:
    from parcache.store.memo import DigestMemo

log = logging.getLogger(__name__)

Accepts = Callable[[bytes], bool]

_SMALL_BYTES: Final = 1 << 16
# All jobs that read one data set have one list of it, which can be longer than their results.
_LONG_BYTES: Final = 1 << 12
_REFERENCE: Final = b'{"list":'
_READ: Final = os.O_RDONLY | os.O_CLOEXEC
_open, _read, _close, _new = os.open, os.read, os.close, tuple.__new__
# What an entry is whose inputs are not as they were: no miss yet, for another one may fit.
_REFUSED: Final = Entry(Key("", 0, "", "", "", ""), None, 0.0)
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

    def read(self, key: Key, accepts: Accepts | None = None, *, last_only: bool = False) -> Entry | None:
        """Return the entry of a key, its value decoded, or None: a miss.

        ``accepts`` is asked whether what an entry's job read (``parcache.model.Watched``, as bytes) is as it was then;
        without it that does not matter. Of several entries that differ in their inputs the last published comes first,
        and with ``last_only`` no other counts.

        A damaged entry, one that cannot be decoded here and one that cannot be read at all is a miss as well, with
        one warning.
        """
        digest = key.digest
        path = f"{self.paths.root}/entries/{digest[:2]}/{digest}.entry"  # StorePaths.entry, without the calls
        # Every hit comes this way: what is small and whole is read by as few calls as can be, the rest with care.
        try:
            descriptor = _open(path, _READ)  # open() takes twice as long
            try:
                data = _read(descriptor, _SMALL_BYTES)
            finally:
                _close(descriptor)
            name, payload, run_time_s, created_ns, header, watched = unpack_whole(data, digest)
            if accepts is None or accepts(watched):
                value = codec.decode(name, payload)
                return _new(Entry, (key, value, run_time_s, created_ns, header, watched))  # Entry() takes twice as long
        except FileNotFoundError:
            return None
        except KeyboardInterrupt:
            raise
        except BaseException:
            entry = self._read_with_care(key, path, accepts)
            if entry is not _REFUSED:
                return entry
        return None if last_only or accepts is None else self._variant(key, accepts)

    def _variant(self, key: Key, accepts: Accepts) -> Entry | None:
        """Return an entry of a key with other inputs than the last one's, or None."""
        folder = self.paths.variants(key.digest)
        try:
            with os.scandir(folder) as found:
                dated = [(each.stat().st_mtime_ns, each.path) for each in found if each.name.endswith(".entry")]
        except OSError:  # nearly always: there are none
            return None
        for _, path in sorted(dated, reverse=True):
            start = _start(path)
            watched = peek_inputs(start) if start is not None else None
            if watched is not None and not accepts(watched):  # without reading a large value for nothing
                continue
            entry = self._read_with_care(key, path, accepts)
            if entry is not None and entry is not _REFUSED:
                return entry
        return None

    def _read_with_care(self, key: Key, path: str, accepts: Accepts | None) -> Entry | None:
        """Return an entry, None with a warning, or ``_REFUSED`` where its inputs are not accepted."""
        try:
            raw = unpack(_content(path), path, key.digest)
            if accepts is not None and not accepts(raw.watched):
                return _REFUSED
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
        return Entry(key, value, raw.run_time_s, raw.created_ns, raw.header, raw.watched)

    def publish(
        self,
        key: Key,
        value: Any,
        *,
        run_time_s: float,
        record: Mapping[str, Any] | None = None,
        explanation: Mapping[str, Any] | None = None,
        shared: bytes = b"",
        watched: bytes = b"",
        variant: str = "",
    ) -> Stored:
        """Store a result under its key, replacing what is there. Never raises: a refusal says why.

        ``watched`` is what the job read (``parcache.model.Watched``, as bytes). ``variant`` is the digest of that: a
        later result with another one does not replace this one. Without it, it does.

        ``record`` and ``explanation`` are JSON data. ``shared`` is what many keys' explanations have in common, packed
        once by ``parcache.store.entry.pack_explanation``.
        """
        try:
            name, payload = codec.encode(value)
            appendix = pack_explanation(explanation) if explanation else b""
            path = self.paths.entry(key.digest)
            self._spare_newer(path)
            if len(watched) > _LONG_BYTES:
                watched = self._shared_list(watched)
            data = pack(
                key,
                name,
                payload,
                run_time_s=run_time_s,
                created_ns=time.time_ns(),
                record=record or {},
                appendix=shared + appendix,
                watched=watched,
            )
            self._write(path, data, self.paths.variant(key.digest, variant) if variant else None)
        except (UnstorableResultError, NewerFormatError) as error:
            return Stored(Storing.REFUSED, str(error))
        except OSError as error:
            return Stored(Storing.REFUSED, _unwritable(self.paths.root, error))
        except Exception as error:  # out of memory, changed by a thread meanwhile, …: never the end of the job
            reason = f"a result of type {type(value).__qualname__} cannot be stored: {type(error).__name__}: {error}"
            return Stored(Storing.REFUSED, reason)
        return Stored(Storing.PUBLISHED)

    def digest_memo(self, *, writable: bool) -> DigestMemo:
        """Return what keeps the digests of large files from one sweep to the next."""
        from parcache.store.memo import DigestMemo  # where jobs have read files

        return DigestMemo(self.paths, writable)

    def list_of(self, watched: bytes) -> bytes | None:
        """Return an entry's inputs in full: where they lie in a file of their own, its content.

        None where that is gone or damaged; of damage it warns.
        """
        if not watched.startswith(_REFERENCE):
            return watched
        try:
            digest = str(json.loads(watched)["list"])
            path = self.paths.list(digest)
            data = _content(path)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            log.debug("a list of inputs cannot be read: %s", error)
            return None
        if xxhash.xxh3_128_hexdigest(data) != digest:
            log.warning("%s is damaged; the jobs that need it will run again and replace it.", path)
            return None
        return data

    def _shared_list(self, watched: bytes) -> bytes:
        """Keep a long list of inputs beside the entries, once; return what stands for it in an entry."""
        digest = xxhash.xxh3_128_hexdigest(watched)
        path = self.paths.list(digest)
        try:
            is_there = _content(path) == watched
        except OSError:
            is_there = False
        if not is_there:
            self._write(path, watched)
        return b'%s"%s"}' % (_REFERENCE, digest.encode("ascii"))

    def has_code(self, digest: str) -> bool:
        """Tell whether it is known what a fingerprint was made of."""
        return os.path.exists(self.paths.code(digest))

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

    def _write(self, path: str, data: bytes, twin: str | None = None) -> None:
        try:
            put(self.paths, path, data, twin)
        except FileNotFoundError:  # somebody emptied the store meanwhile
            self._prepare()
            put(self.paths, path, data, twin)

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
                    put(self.paths, path, text.encode("ascii"))
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


def _start(path: str) -> bytes | None:
    """Return the first bytes of a file, or None."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(_SMALL_BYTES)
    except OSError:
        return None


def _unwritable(root: str, error: OSError) -> str:
    return (
        f"the store at {root} cannot be written: {error.strerror or error}. "
        "Make room there, or choose another: export PARCACHE_DIR=DIR"
    )
