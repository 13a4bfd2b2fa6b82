"""What the store keeps to explain keys: heads of entries, descriptions of code, texts of sources."""

from __future__ import annotations

import os
import zlib
from hashlib import blake2b
from pathlib import Path

import pytest

from parcache.keys.code import content_digest
from parcache.model import Key
from parcache.report.evidence import explanation_of
from parcache.store import sources
from parcache.store.catalog import heads, read_description, read_head, read_without_value, versions
from parcache.store.sources import kept_text, text_on_disk
from parcache.store.store import Store
from tests.storing import KEY, OTHER, published

pytestmark = pytest.mark.any_hydra


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), writable=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "code.py"
    path.write_bytes(b"x = 1\n" * 100)
    return path


def digest_of(path: Path) -> str:
    return content_digest(path.read_bytes()).hex()


def test_head_is_read_as_it_was_published(store: Store) -> None:
    """A head has the key with all its parts, the times and the record."""
    head = read_head(str(published(store)))
    assert head is not None
    assert (head.key, head.run_time_s, head.record) == (KEY, 1.5, {"host": "here"})


def test_head_longer_than_one_read_is_read_without_value(store: Store) -> None:
    """A key with a long salt is read to its end."""
    key = Key("ef" * 20, 1, "config", "code", "3.11", "s" * 10_000)
    head = read_head(str(published(store, key=key)))
    assert head is not None
    assert head.key == key


def test_heads_are_those_that_were_written_last(store: Store) -> None:
    """With a limit the newest ones are told."""
    for index, key in enumerate((OTHER, KEY)):
        path = published(store, key=key)
        os.utime(path, ns=(index * 10**9, index * 10**9))
    assert [head.key for head in heads(store.paths)] == [KEY, OTHER]
    assert [head.key for head in heads(store.paths, limit=1)] == [KEY]


def test_heads_of_an_empty_or_absent_store_are_none(tmp_path: Path) -> None:
    """Where there are no entries there are no heads."""
    assert list(heads(Store.open(str(tmp_path / "none"), writable=False).paths)) == []


def test_head_of_an_entry_damaged_anywhere_raises_nothing(store: Store) -> None:
    """Whatever happens to an entry, its head is read or is not; the whole entry is only believed when it is whole."""
    path = published(store)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            read_head(str(path))
            assert read_without_value(str(path), KEY.digest) is None


def test_entry_of_a_large_value_is_read_without_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What explains a key is read from the end of a large entry, whose value is passed over."""
    path = published(store, {"blob": b"x" * 1_100_000})
    raw = read_without_value(str(path), KEY.digest)
    assert raw is not None
    assert raw.explanation() == {"config": {"x": 0}, "overrides": ["x=1"]}
    assert len(raw.payload) == 0
    assert read_without_value(str(path), OTHER.digest) is None


def test_entry_of_a_large_value_damaged_in_its_appendix_explains_nothing(store: Store) -> None:
    """The streams of the appendix are checked where the rest of the entry is not read."""
    path = published(store, {"blob": b"x" * 1_100_000})
    whole = path.read_bytes()
    right = {"config": {"x": 0}, "overrides": ["x=1"]}
    for place in range(len(whole) - 90, len(whole)):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            assert explanation_of(read_without_value(str(path), KEY.digest)) in ({}, right)


def test_versions_are_all_entries_of_a_key(store: Store) -> None:
    """Entries beside the last one count as versions of it."""
    path = published(store)
    beside = path.with_suffix(".d")
    beside.mkdir()
    (beside / "other.entry").write_bytes(path.read_bytes())
    (beside / "broken.entry").write_bytes(b"")
    assert [Path(head.path).name for head in versions(store.paths, KEY.digest)] == [path.name, "other.entry"]


def test_description_is_read_back(store: Store) -> None:
    """What a fingerprint was made of is read as it was written, tuples as lists."""
    store.describe_code("c0" * 20, {"task": "app:main", "definitions": [("a", 1.5)]})
    assert read_description(store.paths, "c0" * 20) == {"task": "app:main", "definitions": [["a", 1.5]]}


def test_description_damaged_anywhere_is_none(store: Store) -> None:
    """A description that is not what was written is not believed."""
    store.describe_code("c0" * 20, {"task": "app:main", "absent": ["a"]})
    path = Path(store.paths.code("c0" * 20))
    whole = path.read_bytes()
    right = read_description(store.paths, "c0" * 20)
    assert right is not None
    for place in range(len(whole)):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            assert read_description(store.paths, "c0" * 20) in (None, right)  # white space says nothing


def test_source_is_kept_and_read_back(store: Store, file: Path) -> None:
    """The text of a fingerprinted file is kept under the digest of its bytes, compressed."""
    store.describe_code("c0" * 20, {}, {str(file): digest_of(file)})
    text = file.read_bytes()
    digest = digest_of(file)
    file.unlink()
    assert kept_text(store.paths, digest) == text
    assert os.path.getsize(store.paths.source(digest)) < len(text)


def test_source_digest_is_that_of_fingerprints(file: Path) -> None:
    """The store and the fingerprint name a file by one digest."""
    assert text_on_disk(str(file), digest_of(file)) == file.read_bytes()
    assert digest_of(file) == blake2b(file.read_bytes(), digest_size=20).hexdigest()


def test_source_that_has_changed_since_is_left_out(store: Store, file: Path) -> None:
    """A text that is not the one that was digested is not kept under its name."""
    digest = digest_of(file)
    file.write_bytes(b"y = 2\n")
    store.describe_code("c0" * 20, {}, {str(file): digest})
    assert not os.path.exists(store.paths.source(digest))
    assert kept_text(store.paths, digest) is None


def test_source_that_is_gone_or_large_is_left_out(store: Store, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read, or is larger than code is, is left out."""
    monkeypatch.setattr(sources, "MAX_BYTES", 10)
    store.describe_code("c0" * 20, {}, {str(file): digest_of(file), str(file) + "x": "00"})
    assert not os.path.exists(os.path.join(store.paths.root, "sources"))


def test_source_damaged_anywhere_is_none(store: Store, file: Path) -> None:
    """A kept text that is not what was kept is none, also where it unpacks."""
    digest = digest_of(file)
    store.describe_code("c0" * 20, {}, {str(file): digest})
    path = Path(store.paths.source(digest))
    whole = path.read_bytes()
    for place in range(len(whole)):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            assert kept_text(store.paths, digest) in (None, file.read_bytes())
    path.write_bytes(zlib.compress(b"another text"))
    assert kept_text(store.paths, digest) is None
    path.write_bytes(zlib.compress(b"\0" * 50_000_000))
    assert kept_text(store.paths, digest) is None


def test_source_is_written_once(store: Store, file: Path) -> None:
    """Another fingerprint of the same file writes it no second time."""
    digest = digest_of(file)
    store.describe_code("c0" * 20, {}, {str(file): digest})
    before = os.stat(store.paths.source(digest))
    store.describe_code("c1" * 20, {}, {str(file): digest})
    after = os.stat(store.paths.source(digest))
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
