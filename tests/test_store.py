"""The store: what it publishes it serves, and what it cannot do it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy
import pytest

from parcache.errors import StoreUnavailableError
from parcache.model import Storing
from parcache.store.catalog import read_description
from parcache.store.entry import MAJOR, MINOR, unpack
from parcache.store.files import remove_scratch
from parcache.store.store import Store
from tests.storing import KEY, VALUE, Opaque, publish, published, scratch_files

pytestmark = pytest.mark.any_hydra


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), writable=True)


# What is published is served.


@pytest.mark.parametrize("value", [VALUE, Opaque(3), None], ids=["plain", "cloudpickle", "none"])
def test_read_published_value_is_an_entry(store: Store, value: Any) -> None:
    """What was published is read back with what was recorded beside it."""
    published(store, value)
    entry = store.read(KEY)
    assert entry is not None
    assert (entry.key, entry.value, entry.run_time_s, entry.record()) == (KEY, value, 1.5, {"host": "here"})


def test_read_unpublished_key_is_a_silent_miss(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A key that was never published is a miss without a word."""
    assert store.read(KEY) is None
    assert not caplog.records


def test_read_twice_gives_two_values(store: Store) -> None:
    """Two hits of one key share no mutable value."""
    published(store)
    first, second = store.read(KEY), store.read(KEY)
    assert first is not None
    assert second is not None
    assert first.value is not second.value


def test_publish_again_replaces_the_entry(store: Store) -> None:
    """The last published value is the one that is read."""
    published(store, 1)
    published(store, 2)
    entry = store.read(KEY)
    assert entry is not None
    assert entry.value == 2


def test_publish_leaves_no_scratch_file(store: Store) -> None:
    """A published entry is all that is left of publishing."""
    published(store)
    assert scratch_files(store) == []


def test_open_makes_a_store_that_keeps_out_of_git_and_backups(store: Store) -> None:
    """A store ignores itself in git and carries the tag that backup tools look for."""
    assert Path(store.paths.gitignore).read_text() == "*\n"
    assert Path(store.paths.cachedir_tag).read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")
    assert json.loads(Path(store.paths.format).read_text()) == {"major": MAJOR, "minor": MINOR}


def test_remove_scratch_spares_the_living_the_strangers_and_other_hosts(store: Store) -> None:
    """Only what a process of this host was writing that is named, and gone, is deleted."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    own = Path(store.paths.scratch("a.entry"))
    dead = own.with_name(own.name.replace(f"-{os.getpid()}-", f"-{gone.pid}-"))
    stranger = own.with_name(own.name.replace(f"-{os.getpid()}-", "-999999999-"))
    elsewhere = Path(store.paths.tmp) / f"a.entry.another.host-{gone.pid}-0a0b0c"
    unknown = Path(store.paths.tmp) / "nobody's"
    for path in (own, dead, stranger, elsewhere, unknown):
        path.write_bytes(b"half")
    remove_scratch(store.paths, {os.getpid(), gone.pid})
    assert sorted(scratch_files(store)) == sorted(path.name for path in (own, stranger, elsewhere, unknown))


def test_open_readonly_makes_nothing(tmp_path: Path) -> None:
    """A store that is only read is not made, and all its keys are misses."""
    assert Store.open(str(tmp_path / "none"), writable=False).read(KEY) is None
    assert list(tmp_path.iterdir()) == []


def _publish_many(root: str, number: int) -> None:
    store = Store.open(root, writable=True)
    for _ in range(60):
        assert publish(store, numpy.full(20_000 + number, number)).how is Storing.PUBLISHED


def test_read_while_others_publish_sees_whole_entries_only(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Several processes that publish one key at once never show a reader a mixed or damaged entry."""
    context = get_context("spawn")
    writers = [context.Process(target=_publish_many, args=(store.paths.root, number)) for number in range(1, 4)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        entry = store.read(KEY)
        if entry is not None:
            number = len(entry.value) - 20_000
            assert (entry.value == number).all()
            seen.add(number)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert seen
    assert not caplog.records
    assert scratch_files(store) == []


# What cannot be stored costs nothing but its caching.


def test_publish_unpicklable_value_is_refused_with_type_and_reason(store: Store) -> None:
    """A result that no codec takes is refused by name, and nothing is written."""
    stored = publish(store, {"lock": threading.Lock()})
    assert stored.how is Storing.REFUSED
    assert stored.reason.startswith("a result of type dict cannot be stored: TypeError: ")
    assert store.read(KEY) is None
    assert scratch_files(store) == []


class Growing:
    """Breaks the dict that holds it while that is encoded."""

    def __init__(self, holder: dict[Any, Any]) -> None:
        self.holder = holder

    def __reduce__(self) -> Any:
        self.holder.clear()
        raise RuntimeError("dictionary changed size during iteration")


def test_publish_value_that_changes_meanwhile_is_refused(store: Store) -> None:
    """A result that a thread still changes is refused, not an error of the job."""
    holder: dict[Any, Any] = {}
    holder["self"] = Growing(holder)
    assert publish(store, holder).how is Storing.REFUSED


def test_publish_record_that_is_no_json_is_refused(store: Store) -> None:
    """Publishing never raises, whatever it is given."""
    stored = store.publish(KEY, 1, run_time_s=1.0, record={"x": object()})
    assert stored.how is Storing.REFUSED
    assert "TypeError" in stored.reason


def test_publish_into_emptied_store_makes_it_again(store: Store) -> None:
    """A store that somebody removes while it is in use is a whole store again with the next result."""
    published(store)
    shutil.rmtree(store.paths.root)
    assert store.read(KEY) is None
    published(store)
    assert store.read(KEY) is not None
    assert Path(store.paths.gitignore).exists()
    assert Path(store.paths.format).exists()


@pytest.mark.parametrize("folder", ["tmp", "entries"])
def test_publish_with_one_folder_gone_makes_it_again(store: Store, folder: str) -> None:
    """A folder of the store that somebody removes is made again when it is needed."""
    published(store)
    shutil.rmtree(os.path.join(store.paths.root, folder))
    published(store)


@pytest.mark.parametrize("below", ["", "deep", "deep/er"])
@pytest.mark.parametrize("writable", [True, False])
def test_open_at_or_below_a_file_is_refused(tmp_path: Path, below: str, writable: bool) -> None:
    """A path that is a file, or runs through one, is refused by its name with the way to choose another."""
    (tmp_path / "file").write_text("mine")
    root = os.path.join(tmp_path, "file", below) if below else str(tmp_path / "file")
    with pytest.raises(StoreUnavailableError, match=r"Not a directory.*PARCACHE_DIR") as caught:
        Store.open(root, writable=writable)
    assert caught.value.directory == root
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300], ids=["nul", "too long"])
def test_open_at_an_impossible_name_is_refused(tmp_path: Path, name: str) -> None:
    """A name that no folder can have is refused like any other folder that cannot be made."""
    with pytest.raises(StoreUnavailableError):
        Store.open(str(tmp_path / name), writable=True)


# What fingerprints were made of.


def test_describe_code_is_kept_once(store: Store) -> None:
    """The first description of a fingerprint is the one that is kept."""
    store.describe_code("c0" * 32, {"app.py": "1"})
    store.describe_code("c0" * 32, {"app.py": "2"})
    assert read_description(store.paths, "c0" * 32) == {"app.py": "1"}
    assert scratch_files(store) == []


def test_publish_explanation_is_kept_after_what_is_shared(store: Store) -> None:
    """An entry explains itself by what it shares with others and by its own, which comes first where both speak."""
    path = published(store)
    explanation = unpack(path.read_bytes(), str(path), KEY.digest).explanation()
    assert explanation == {"config": {"x": 0}, "overrides": ["x=1"]}


def test_read_entry_tells_when_it_was_published(store: Store) -> None:
    """An entry says when it was published, so that one of this batch can be told from an earlier one."""
    before = time.time_ns()
    published(store)
    entry = store.read(KEY)
    assert entry is not None
    assert before <= entry.created_ns <= time.time_ns()
