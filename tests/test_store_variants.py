"""Results of one key with different inputs: side by side, whole, and found by what holds."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from parcache.model import Input, Stored, Storing, Watched
from parcache.store import files
from parcache.store.store import Store
from tests.storing import KEY, VALUE, published, scratch_files

pytestmark = pytest.mark.any_hydra

STAMP = "1:2:3:4"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), writable=True)


def section(name: str, count: int = 1) -> bytes:
    return Watched(tuple(Input(f"{name}{number}", "file", digest=name) for number in range(count))).pack()


def publish(store: Store, name: str, value: Any, *, count: int = 1, blob: bytes = b"") -> None:
    """Publish a value of a job that has read what is called ``name``."""
    value = (value, blob) if blob else value
    stored = store.publish(KEY, value, run_time_s=1.0, watched=section(name, count), variant=f"{name:0>32}")
    assert stored == Stored(Storing.PUBLISHED)


def holding(store: Store, name: str) -> Callable[[bytes], bool]:
    def accepts(watched: bytes) -> bool:
        whole = store.list_of(watched)
        return whole is not None and (not whole or f'"{name}0"'.encode() in whole)

    return accepts


def value_with(store: Store, name: str, **options: Any) -> Any:
    entry = store.read(KEY, holding(store, name), **options)
    return None if entry is None else entry.value


def entry_files(store: Store) -> list[Path]:
    return sorted(Path(store.paths.entries).rglob("*.entry"))


def test_variants_of_one_key_are_read_by_what_holds(store: Store) -> None:
    """Each result is served where its inputs hold; where none do it is a miss."""
    for number, name in enumerate("abc"):
        publish(store, name, number)
    assert [value_with(store, name) for name in "abcd"] == [0, 1, 2, None]


def test_variant_published_again_is_replaced(store: Store) -> None:
    """The last result of the same inputs is the one that is read."""
    publish(store, "a", 1)
    publish(store, "b", 2)
    publish(store, "a", 3)
    publish(store, "b", 4)
    assert [value_with(store, name) for name in "ab"] == [3, 4]
    assert len(entry_files(store)) == 3
    assert scratch_files(store) == []


def test_variant_is_one_file_with_two_names(store: Store) -> None:
    """A result with inputs takes no more room than one without."""
    publish(store, "a", 1)
    first, second = entry_files(store)
    assert first.samefile(second)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_variant_where_links_are_not_supported_is_a_copy(
    store: Store, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without links costs room, nothing else."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "link", refuse)
    for turn in range(2):
        publish(store, "a", turn)
        publish(store, "b", turn + 10)
        assert [value_with(store, name) for name in "ab"] == [turn, turn + 10]
    assert scratch_files(store) == []


def test_variant_is_not_asked_for_by_those_who_want_the_last(store: Store) -> None:
    """Read back within a batch, only what was published last counts."""
    publish(store, "a", 1)
    publish(store, "b", 2)
    assert value_with(store, "a", last_only=True) is None
    assert value_with(store, "b", last_only=True) == 2


def test_read_without_asking_serves_the_last(store: Store) -> None:
    """Where inputs do not matter, the last result is served, whatever it has read."""
    publish(store, "a", 1)
    publish(store, "b", 2)
    entry = store.read(KEY)
    assert entry is not None
    assert (entry.value, entry.inputs()) == (2, (Input("b0", "file", digest="b"),))


def test_read_result_without_inputs_always_holds(store: Store) -> None:
    """A result of a job that has read nothing is served, and the earlier ones stay."""
    publish(store, "a", 1)
    published(store)
    assert value_with(store, "z") == VALUE
    assert len(entry_files(store)) == 2


def test_variants_with_large_values_are_read_only_where_they_hold(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large result that does not hold, no more is read than its beginning."""
    for number, name in enumerate("abc"):
        publish(store, name, number, blob=bytes(1 << 20))
    read: list[str] = []
    unpack_whole = Store._read_with_care

    def careful(self: Store, key: Any, path: str, accepts: Any) -> Any:
        read.append(path)
        return unpack_whole(self, key, path, accepts)

    monkeypatch.setattr(Store, "_read_with_care", careful)
    assert value_with(store, "a")[0] == 0
    assert len(read) == 2  # the last one, which comes first, and the one that holds


def test_read_any_file_of_variants_with_a_bit_flipped_is_a_miss_or_the_right_value(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A flipped bit in any byte of any entry costs that entry, with a warning, and never gives a wrong value."""
    publish(store, "a", "of a")
    publish(store, "b", "of b")
    for path in entry_files(store):
        if path == Path(store.paths.variant(KEY.digest, f"{'b':0>32}")):
            continue  # the last one: it is read by its other name
        whole = path.read_bytes()
        path.unlink()  # it shares its content with another name
        for place in range(0, len(whole), 3):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << place % 8
            path.write_bytes(damaged)
            caplog.clear()
            found = [value_with(store, name) for name in "ab"]
            assert all(value in (None, f"of {name}") for name, value in zip("ab", found, strict=True))
            assert {record.levelno for record in caplog.records} <= {logging.WARNING}
            assert caplog.records, place
        path.write_bytes(whole)


def test_read_variant_cut_off_anywhere_is_a_miss(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A variant that is cut off at any length is never served."""
    publish(store, "a", "of a")
    publish(store, "b", "of b")
    path = Path(store.paths.variant(KEY.digest, f"{'a':0>32}"))
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        assert value_with(store, "a") is None
    assert caplog.records


def _publish_many(root: str, name: str) -> None:
    store = Store.open(root, writable=True)
    for number in range(150):
        publish(store, name, (name, number))


def test_variants_published_at_once_are_all_whole(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Two processes that publish one key with other inputs show whole results, each under its own inputs."""
    context = get_context("spawn")
    writers = [context.Process(target=_publish_many, args=(store.paths.root, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        for name in "ab":
            value = value_with(store, name)
            assert value is None or value[0] == name
            assert value is not None or name not in seen  # what was published does not go away
            seen |= {name} if value is not None else set()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [value_with(store, name) for name in "ab"] == [("a", 149), ("b", 149)]
    assert not caplog.records
    assert scratch_files(store) == []


# Long lists of inputs.


def test_long_list_of_inputs_is_kept_once(store: Store) -> None:
    """Entries that have read the same many files share one list of them."""
    for value in (1, 2):
        publish(store, "a", value, count=500)
    (shared,) = Path(store.paths.root, "inputs").rglob("*.list")
    assert shared.read_bytes() == section("a", 500)
    assert entry_files(store)[0].stat().st_size < 1000
    assert value_with(store, "a") == 2


def _flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("damage", [_flip, lambda data: data[:-1], lambda data: b"", lambda data: data + b" "])
def test_long_list_that_is_damaged_is_a_miss_with_one_warning(
    store: Store, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged list proves nothing; publishing again mends it."""
    publish(store, "a", 1, count=500)
    (shared,) = Path(store.paths.root, "inputs").rglob("*.list")
    shared.write_bytes(damage(shared.read_bytes()))
    assert value_with(store, "a", last_only=True) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    publish(store, "a", 2, count=500)
    assert value_with(store, "a") == 2


def test_long_list_that_is_gone_is_a_miss(store: Store) -> None:
    """An entry whose list was deleted proves nothing."""
    publish(store, "a", 1, count=500)
    (shared,) = Path(store.paths.root, "inputs").rglob("*.list")
    shared.unlink()
    assert value_with(store, "a") is None


@pytest.mark.parametrize("reference", [b'{"list":', b'{"list":3}', b'{"list":"../../etc/passwd"}', b'{"list":null}'])
def test_list_of_strange_reference_is_none(store: Store, reference: bytes) -> None:
    """What names no list of this store is none."""
    assert store.list_of(reference) is None


# Digests of large files.


def test_memo_recalls_what_it_keeps(store: Store) -> None:
    """A digest is recalled for the same path with the same stamp, by whoever opens the store."""
    store.digest_memo(writable=True).keep("/data/\udce9", STAMP, "d1")
    memo = Store.open(store.paths.root, writable=False).digest_memo(writable=False)
    assert memo.recall("/data/\udce9", STAMP) == "d1"
    assert memo.recall("/data/\udce9", "9:2:3:4") is None
    assert memo.recall("/data/b", STAMP) is None


def test_memo_of_a_store_that_is_only_read_keeps_nothing(store: Store) -> None:
    """Nothing is written with cache.mode=readonly."""
    store.digest_memo(writable=False).keep("/data/a", STAMP, "d1")
    assert not os.path.exists(os.path.join(store.paths.root, "inputs"))


def test_memo_damaged_anywhere_recalls_nothing_wrong(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged digest is not believed: the content is read again, with one warning."""
    memo = store.digest_memo(writable=True)
    memo.keep("/data/a", STAMP, "d1")
    (kept,) = Path(store.paths.root, "inputs").rglob("*.json")
    whole = kept.read_bytes()
    assert json.loads(whole[:-16]) == {"path": "/data/a", "stamp": STAMP, "digest": "d1"}
    flipped = [whole[:i] + bytes([byte ^ 1 << i % 8]) + whole[i + 1 :] for i, byte in enumerate(whole)]
    for damaged in [*flipped, *(whole[:length] for length in range(len(whole)))]:
        kept.write_bytes(damaged)
        caplog.clear()
        assert memo.recall("/data/a", STAMP) is None
        assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_memo_that_cannot_be_written_costs_nothing(store: Store) -> None:
    """A full disk is no reason to fail: the file is read again."""
    Path(store.paths.root, "inputs").write_text("in the way")
    memo = store.digest_memo(writable=True)
    memo.keep("/data/a", STAMP, "d1")
    assert memo.recall("/data/a", STAMP) is None
    assert scratch_files(store) == []
