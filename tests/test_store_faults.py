"""The store under damage and on bad disks: a miss or a reason, never a wrong value and never a crash."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from parcache.errors import NewerFormatError, StoreUnavailableError
from parcache.keys.code import content_digest
from parcache.model import Plan, Stored, Storing
from parcache.run.record import in_store
from parcache.store.store import Store
from parcache.store.sweeps import Heading, records
from tests.storing import KEY, OTHER, VALUE, Opaque, publish, published, scratch_files

pytestmark = pytest.mark.any_hydra


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), writable=True)


def assert_miss_with_one_warning(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    assert store.read(KEY) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING], caplog.text


# Whatever happens to a file, a wrong value is never served.


@pytest.mark.parametrize("value", [VALUE, Opaque(3)], ids=["plain", "cloudpickle"])
def test_read_entry_with_any_bit_flipped_is_a_miss(store: Store, value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A flipped bit in any byte of an entry is a miss with one warning."""
    path = published(store, value)
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert_miss_with_one_warning(store, caplog)


def test_read_entry_truncated_anywhere_is_a_miss(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """An entry cut off at any length, also at none, is a miss with one warning."""
    path = published(store)
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        assert_miss_with_one_warning(store, caplog)


def test_read_entry_with_bytes_added_is_a_miss(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """An entry that goes on after its end is a miss with one warning."""
    path = published(store)
    path.write_bytes(path.read_bytes() + b"\0")
    assert_miss_with_one_warning(store, caplog)


def test_read_entry_renamed_to_another_key_is_a_miss(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """An intact entry under another key's name is a miss with one warning."""
    path = published(store, key=OTHER)
    target = Path(store.paths.entry(KEY.digest))
    target.parent.mkdir(parents=True)
    path.rename(target)
    assert_miss_with_one_warning(store, caplog)


def test_read_folder_in_place_of_entry_is_a_miss(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A folder where an entry should be is a miss with one warning."""
    Path(store.paths.entry(KEY.digest)).mkdir(parents=True)
    assert_miss_with_one_warning(store, caplog)


def test_read_value_of_a_class_that_is_gone_is_a_miss(
    store: Store, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value whose class cannot be imported any more is a miss with one warning."""
    (tmp_path / "gone_module.py").write_text("class Gone: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import gone_module  # type: ignore[import-not-found]

    published(store, gone_module.Gone())
    (tmp_path / "gone_module.py").unlink()
    monkeypatch.delitem(sys.modules, "gone_module")
    assert_miss_with_one_warning(store, caplog)


class Leaves:
    """Ends the process where it is rebuilt."""

    def __setstate__(self, state: Any) -> None:
        raise SystemExit(3)

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


def test_read_value_that_ends_the_process_is_a_miss(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A class may raise whatever it likes while its instance is rebuilt: it costs the result alone."""
    published(store, Leaves())
    assert_miss_with_one_warning(store, caplog)


def test_publish_over_damaged_entry_mends_it(store: Store) -> None:
    """The job that runs again replaces the damaged entry."""
    path = published(store)
    path.write_bytes(b"")
    published(store)
    assert store.read(KEY) is not None


FURNITURE = ["format.json", ".gitignore", "CACHEDIR.TAG", "code", "sources", "sweeps"]


@pytest.mark.parametrize("name", FURNITURE)
def test_open_with_any_damage_to_other_files_serves_or_refuses(store: Store, name: str) -> None:
    """Damage to any other file of the store leads to the right value or to one of the two refusals."""
    published(store)
    code = Path(store.paths.root).parent / "code.py"
    code.write_text("x = 1\n")
    source = {str(code): content_digest(code.read_bytes()).hex()}
    store.describe_code("c0" * 32, {"app.py": "f00"}, source)
    in_store(store, Heading(1)).planned([], Plan({}, (), {}), {})
    found = Path(store.paths.root) / name
    path = next(each for each in found.rglob("*") if each.is_file()) if found.is_dir() else found
    whole = path.read_bytes()
    flipped = [whole[:i] + bytes([byte ^ 1 << i % 8]) + whole[i + 1 :] for i, byte in enumerate(whole)]
    for damaged in [*flipped, *(whole[:length] for length in range(len(whole))), b"[" * 100_000, b"[1]", b"null"]:
        path.write_bytes(damaged)
        try:
            again = Store.open(store.paths.root, writable=True)
        except (NewerFormatError, StoreUnavailableError):
            continue
        again.describe_code("c0" * 32, {"app.py": "f00"}, source)
        list(records(again.paths))
        entry = again.read(KEY)
        assert entry is not None
        assert entry.value == VALUE


@pytest.mark.parametrize("text", ["", "{", '{"major": "1"}', '{"major": null}', '{"major": true}', '{"minor": 0}'])
def test_open_damaged_format_file_warns_once_and_goes_on(
    store: Store, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A format file that says nothing is one warning; the entries prove themselves."""
    published(store)
    Path(store.paths.format).write_text(text)
    assert Store.open(store.paths.root, writable=True).read(KEY) is not None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("writable", [True, False])
def test_open_newer_format_is_refused_with_the_way_out(store: Store, writable: bool) -> None:
    """A store made by a newer parcache is refused by both formats and what to do, and stays as it is."""
    Path(store.paths.format).write_text('{"major": 4, "minor": 0}')
    with pytest.raises(NewerFormatError, match=r"store format 4.*reads up to 3.*pip install -U parcache"):
        Store.open(store.paths.root, writable=writable)
    assert Path(store.paths.format).read_text() == '{"major": 4, "minor": 0}'


def test_open_newer_minor_format_is_accepted(store: Store) -> None:
    """A newer minor format is read and written."""
    Path(store.paths.format).write_text('{"major": 2, "minor": 9, "colour": "red"}')
    published(Store.open(store.paths.root, writable=True))


# Real disks: a tmpfs of its own where one may be mounted (root), else the nearest thing that the system offers.


@dataclass
class Disk:
    """A folder, on a disk of 64 KiB of its own if ``mounted``."""

    folder: Path
    mounted: bool

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Take away the right to write: by remounting, else by being another user, else by mode bits."""
        if self.mounted:
            subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)
            yield
        elif os.geteuid() == 0:
            os.setresuid(65534, 65534, 0)
            try:
                yield
            finally:
                os.setresuid(0, 0, 0)
        else:
            folders = [self.folder, *(each for each in self.folder.rglob("*") if each.is_dir())]
            for each in folders:
                each.chmod(stat.S_IRUSR | stat.S_IXUSR)
            yield
            for each in folders:
                each.chmod(stat.S_IRWXU)


@pytest.fixture
def disk() -> Iterator[Disk]:
    folder = tempfile.mkdtemp()  # not tmp_path, which other users may not enter
    os.chmod(folder, 0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", folder]
    mounted = (
        shutil.which("mount") is not None and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    try:
        yield Disk(Path(folder), mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folder], check=True)
        shutil.rmtree(folder)


def _under_limit(root: str, limit_bytes: int, found: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    try:
        found.put(publish(Store.open(root, writable=True), os.urandom(200_000)))
    except StoreUnavailableError as error:
        found.put(error)


def publish_under_limit(root: str, limit_bytes: int) -> Any:
    """Publish 200 kB in a process whose files may not grow beyond a size; return the answer, or the refusal to open."""
    context = get_context("spawn")
    found = context.Queue()
    process = context.Process(target=_under_limit, args=(root, limit_bytes, found))
    process.start()
    answer = found.get(timeout=120)
    process.join()
    return answer


def assert_refusal_costs_nothing(store: Store, stored: Stored) -> None:
    assert stored.how is Storing.REFUSED
    assert stored.reason.startswith(f"the store at {store.paths.root} cannot be written: ")
    assert "PARCACHE_DIR" in stored.reason
    assert scratch_files(store) == []
    kept = store.read(OTHER)
    assert kept is not None
    assert kept.value == VALUE


def test_publish_on_full_disk_is_refused_and_costs_nothing(disk: Disk) -> None:
    """A full disk refuses a result with the reason, holds no rest of it, and keeps what was stored."""
    store = Store.open(str(disk.folder / "store"), writable=True)
    published(store, key=OTHER)
    if disk.mounted:
        stored = publish(store, os.urandom(200_000))
        assert "No space left on device" in stored.reason
    else:
        stored = publish_under_limit(store.paths.root, 64 * 1024)
    assert_refusal_costs_nothing(store, stored)
    published(store)  # what fits is stored as before


def test_publish_beyond_file_size_limit_is_refused_and_costs_nothing(store: Store) -> None:
    """A limit on the size of files refuses a result with the reason, and keeps what was stored."""
    published(store, key=OTHER)
    stored = publish_under_limit(store.paths.root, 64 * 1024)
    assert_refusal_costs_nothing(store, stored)
    assert "File too large" in stored.reason


def test_open_without_room_for_its_own_files_leaves_no_scratch_file(disk: Disk) -> None:
    """A store that cannot be made for lack of room is refused and leaves no half-written file behind."""
    root = disk.folder / "store"
    if disk.mounted:
        (disk.folder / "ballast").write_bytes(b"x" * 60 * 1024)
        with suppress(OSError), open(disk.folder / "rest", "wb", buffering=0) as rest:
            while True:
                rest.write(b"x" * 1024)
        with pytest.raises(StoreUnavailableError) as caught:
            Store.open(str(root), writable=True)
        answer = caught.value
    else:
        answer = publish_under_limit(str(root), 1)
    assert isinstance(answer, StoreUnavailableError)
    assert answer.problem in ("No space left on device", "File too large")
    assert [each for each in root.rglob("*") if each.is_file()] == []


def test_store_that_became_read_only_is_read_and_refuses_to_write(disk: Disk) -> None:
    """A store that became read-only serves its entries, refuses results with the reason, and is not opened to write."""
    store = Store.open(str(disk.folder / "store"), writable=True)
    published(store, key=OTHER)
    with disk.read_only():
        assert_refusal_costs_nothing(store, publish(store))
        with pytest.raises(StoreUnavailableError, match=r"Read-only file system|Permission denied"):
            Store.open(store.paths.root, writable=True)
        assert Store.open(store.paths.root, writable=False).read(OTHER) is not None
