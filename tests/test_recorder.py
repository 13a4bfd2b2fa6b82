"""What the audit hook notes of a job: reads, listings, and what the job makes itself."""

# ruff: noqa: SIM115 - files are opened in every way there is

from __future__ import annotations

import builtins
import gzip
import importlib
import io
import linecache
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parcache.keys.inputs import Sightings
from parcache.keys.scope import Scope
from parcache.model import Input, Key, Storing, Watched
from parcache.run import reading as reading_module
from parcache.run import recorder
from parcache.run.reading import Reading, reading_unstored, taking_up
from parcache.run.recorder import Recording
from parcache.run.unit import Brief, Ticket
from parcache.run.watch import Watch
from parcache.store.entry import unpack
from parcache.store.store import Store

pytestmark = pytest.mark.any_hydra


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see what modules have read in another one."""
    monkeypatch.setattr(reading_module, "_shared", reading_module._Shared())
    monkeypatch.setattr(reading_module, "_retained", reading_module.Retained())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two files and a folder."""
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "c").write_text("three")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recorded(job: Callable[[], Any]) -> Sightings:
    recording = Recording()
    recording.start()
    try:
        job()
    finally:
        recording.stop()
    assert recording.failed == ""
    return recording.sightings()


def names(folder: Path, job: Callable[[], Any]) -> dict[str, str]:
    """Return what a job comes to, by path relative to the folder: ``file``, ``absent`` or the names in a folder."""
    shown = {}
    for path, sighting in recorded(job).seen.items():
        what = "absent" if sighting.found is None else "file"
        shown[os.path.relpath(path, folder)] = what if sighting.names is None else " ".join(sighting.names)
    return shown


def swallow(error: type[BaseException], call: Callable[[], Any]) -> None:
    with pytest.raises(error):
        call()


READS: dict[str, Callable[[], Any]] = {
    "open": lambda: open("a").close(),
    "bytes": lambda: open(b"a").close(),
    "path": lambda: Path("a").read_text(),
    "absolute": lambda: open(os.path.abspath("a")).close(),
    "dots": lambda: open("d/../a").close(),
    "io": lambda: io.open("a", "rb").close(),  # noqa: UP020 - by its other name
    "file": lambda: io.FileIO("a").close(),
    "descriptor": lambda: os.close(os.open("a", os.O_RDONLY)),
    "update": lambda: open("a", "r+").close(),
    "append and read": lambda: open("a", "a+").close(),
    "gzip": lambda: gzip.open("a").close(),
    "twice": lambda: (open("a").close(), open("a").close()),
    "copy": lambda: shutil.copy("a", "copy"),
}


@pytest.mark.parametrize("how", READS)
def test_recording_notes_a_file_that_is_read(folder: Path, how: str) -> None:
    """However a file is opened to be read, it is noted, under its own path."""
    assert names(folder, READS[how]) == {"a": "file"}


OWN: dict[str, Callable[[], Any]] = {
    "written": lambda: open("new", "w").close(),
    "appended": lambda: open("a", "a").close(),
    "replaced and read": lambda: (Path("a").write_text("mine"), Path("a").read_text()),
    "written and read": lambda: (Path("new").write_text("mine"), Path("new").read_text()),
    "exclusively": lambda: (open("new", "x").close(), open("new").close()),
    "written to be read": lambda: open("new", "w+").close(),
    "renamed": lambda: (Path("new").write_text("mine"), os.rename("new", "b"), Path("b").read_text()),
    "temporary": lambda: tempfile.TemporaryFile("w+").close(),
    "temporary folder": lambda: own_folder(),
    "moved folder": lambda: (os.mkdir("m"), Path("m/x").touch(), os.rename("m", "n"), Path("n/x").read_text()),
    "descriptor": lambda: open(os.dup(0), closefd=True).close(),
    "lock": lambda: os.close(os.open("lock", os.O_RDWR | os.O_CREAT | os.O_EXCL)),
    "removed tree": lambda: (os.makedirs("x/y/z"), shutil.rmtree("x")),
}


def own_folder() -> None:
    with tempfile.TemporaryDirectory(dir=".") as path:
        Path(path, "x").write_text("mine")
        os.listdir(path)
        Path(path, "x").read_text()
        subprocess.run([sys.executable, "-c", "open('y', 'w').write('too')"], cwd=path, check=True)
        Path(path, "y").read_text()


@pytest.mark.parametrize("how", OWN)
def test_recording_leaves_out_what_the_job_makes_itself(folder: Path, how: str) -> None:
    """What a job writes, replaces, or reads from a folder of its own making is no input."""
    assert names(folder, OWN[how]) == {}


def test_recording_notes_a_file_that_was_added_to_as_it_was_before(folder: Path) -> None:
    """Of a file that the job has added to, the earlier part is an input: its state before is kept."""
    before = os.stat("a")

    def job() -> None:
        with open("a", "a") as file:
            file.write("more")
        Path("a").read_text()

    seen = recorded(job).seen
    found = seen[str(folder / "a")].found
    assert found is not None
    assert (found.size, found.mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_recording_notes_what_is_absent(folder: Path) -> None:
    """A file or folder that is looked for in vain is noted."""
    assert names(folder, lambda: swallow(FileNotFoundError, lambda: open("none"))) == {"none": "absent"}
    assert names(folder, lambda: swallow(FileNotFoundError, lambda: os.listdir("none"))) == {"none": "absent"}


def test_recording_notes_a_file_that_could_not_be_written_before_it_was_read(folder: Path) -> None:
    """An attempt to write that fails makes a file nobody's own."""
    os.mkdir("e")

    def job() -> None:
        swallow(FileExistsError, lambda: open("a", "x"))
        open("a").close()
        swallow(FileNotFoundError, lambda: open("no/new", "w"))
        swallow(FileNotFoundError, lambda: open("no/new"))

    assert names(folder, job) == {"a": "file", "no/new": "absent"}


LISTINGS: dict[str, Callable[[], Any]] = {
    "listdir": lambda: os.listdir("d"),
    "scandir": lambda: list(os.scandir("d")),
    "path": lambda: list(Path("d").iterdir()),
    "glob": lambda: list(Path("d").glob("*")),
    "walk": lambda: list(os.walk("d")),
    "here": lambda: (os.chdir("d"), os.listdir()),
}


@pytest.mark.parametrize("how", LISTINGS)
def test_recording_notes_the_names_in_a_folder_that_is_listed(folder: Path, how: str) -> None:
    """However a folder is listed, the names in it are noted."""
    assert names(folder, LISTINGS[how]) == {"d": "c"}


def test_recording_follows_links_that_the_job_makes(folder: Path) -> None:
    """What is read through a link of the job's own making, in a folder of its own, is the file behind it."""

    def job() -> None:
        os.mkdir("own")
        os.symlink(folder / "d", "own/link")
        Path("own/link/c").read_text()

    assert names(folder, job) == {"d/c": "file"}


def test_recording_notes_what_threads_read(folder: Path) -> None:
    """Every thread of the process is seen."""

    def job() -> None:
        thread = threading.Thread(target=lambda: open("a").close())
        thread.start()
        thread.join()

    assert names(folder, job) == {"a": "file"}


def test_recording_sees_nothing_before_and_after(folder: Path) -> None:
    """Only what happens between start and stop is noted."""
    open("a").close()
    seen = recorded(lambda: None).seen
    open("a").close()
    assert seen == {}


def test_recording_beside_another_notes_the_same(folder: Path) -> None:
    """Two jobs in threads of one process each get all that is read."""
    outer = Recording()
    outer.start()
    inner = recorded(lambda: open("a").close())
    outer.stop()
    assert inner.seen.keys() == outer.sightings().seen.keys() == {str(folder / "a")}


def test_recording_passes_imports_and_readers_of_code_by(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Source that is imported, shown or copied is code; source that the job opens itself is data."""
    monkeypatch.syspath_prepend(folder)
    (folder / "recorded_module.py").write_text("x = 1\n")
    os.mkdir("copies")

    def job() -> None:
        importlib.import_module("recorded_module")
        linecache.getlines("recorded_module.py")
        shutil.copy("recorded_module.py", "copies")

    assert names(folder, job) == {}
    assert names(folder, lambda: open("recorded_module.py").close()) == {"recorded_module.py": "file"}


def test_recording_tells_what_modules_read_from_what_the_job_reads(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read during an import is told apart, at any depth."""
    monkeypatch.syspath_prepend(folder)
    (folder / "reading_module_a.py").write_text("import reading_module_b\n")
    (folder / "reading_module_b.py").write_text("def f(): open('a').close()\nf()\n")
    recording = Recording()
    recording.start()
    open("b").close()
    importlib.import_module("reading_module_a")
    recording.stop()
    assert recording.imported == {str(folder / "a")}
    assert recording.sightings().seen.keys() == {str(folder / "a"), str(folder / "b")}


def test_recording_that_cannot_follow_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where noting fails, the job goes on and the recording is not believed."""

    def fail(*_: Any) -> None:
        raise MemoryError("no room")

    recording = Recording()
    recording.start()
    monkeypatch.setattr(recording, "opened", fail)
    open("a").close()
    recording.stop()
    assert recording.failed == "MemoryError at 'a'"


def test_recording_leaves_impossible_names_to_the_caller(folder: Path) -> None:
    """A name that no file can have fails as it does unrecorded."""
    assert names(folder, lambda: swallow(ValueError, lambda: open("a\0b"))) == {}


def test_hook_is_not_added_by_an_import() -> None:
    """Whoever only imports parcache gets no hook."""
    program = (
        "import sys\nadded = []\nsys.addaudithook = added.append\n"
        "import hydra_plugins.hydra_parcache.plugins, parcache.hydra.launch\nprint(len(added))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_hook_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many jobs record, there is one hook."""
    added: list[Any] = []
    monkeypatch.setattr(recorder, "_is_on", False)
    monkeypatch.setattr(sys, "addaudithook", added.append)
    for _ in range(2):
        recorded(lambda: None)
    assert len(added) == 1


# Around a job, with a store.


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), writable=True)


def published(
    store: Store, folder: Path, task: Callable[[Any], Any], number: int = 0, **more: Any
) -> tuple[Input, ...]:
    """Run a task and return the inputs in its entry."""
    key = Key(f"{number:040x}", 1, "config", "code", "3", "")
    brief = Brief(store, None, (), {}, {}, scope=Scope(str(folder), store.paths.root))
    watch = Watch(Ticket(0, key, str(folder / "own"), {}, **more), brief)
    watch.call(task, None)
    assert watch.stored.how is Storing.PUBLISHED, watch.stored.reason
    path = store.paths.entry(key.digest)
    return unpack(Path(path).read_bytes(), path, key.digest).inputs()


def paths(inputs: tuple[Input, ...]) -> list[str]:
    return [each.path for each in inputs]


def test_watch_publishes_what_its_task_read(store: Store, folder: Path) -> None:
    """The inputs are those of the task, and the store and the job's directory are none."""
    (folder / "own").mkdir()
    (folder / "own" / "x").touch()

    def task(_: Any) -> None:
        for name in ("a", "own/x", "store/format.json"):
            open(name).close()

    open("b").close()
    assert paths(published(store, folder, task)) == ["a"]
    assert paths(published(store, folder, lambda _: None)) == []


def test_watch_counts_what_an_earlier_job_imported(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that one job imports, also one that fails or is not stored, is there for those that follow."""
    monkeypatch.syspath_prepend(folder)
    for letter in "abc":
        (folder / f"table_{letter}.py").write_text(f"open('{'d/c' if letter == 'c' else letter}').close()\n")
    assert paths(published(store, folder, lambda _: importlib.import_module("table_a"))) == ["a"]

    def fails(_: Any) -> None:
        importlib.import_module("table_b")
        raise KeyError

    swallow(KeyError, lambda: published(store, folder, fails))
    Watch(None, None).call(lambda _: importlib.import_module("table_c"), None)
    assert paths(published(store, folder, lambda _: None, 1)) == ["a", "b", "d/c"]


def test_watch_keeps_what_a_module_read_although_the_file_has_changed(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module goes on with the content that it has read, and so do the entries of the jobs that use it."""
    monkeypatch.syspath_prepend(folder)
    (folder / "table_d.py").write_text("open('a').close()\n")
    (first,) = published(store, folder, lambda _: importlib.import_module("table_d"))
    Path("a").write_text("changed")
    assert published(store, folder, lambda _: None, 1) == (first,)


def test_watch_refuses_a_job_that_reads_other_than_its_modules_have(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that has seen two contents of one file has no inputs that could hold again."""
    monkeypatch.syspath_prepend(folder)
    (folder / "table_e.py").write_text("open('a').close()\n")
    published(store, folder, lambda _: importlib.import_module("table_e"))
    Path("a").write_text("changed")
    with pytest.raises(AssertionError, match="a changed while a job that reads it ran"):
        published(store, folder, lambda _: open("a").close(), 1)


def test_taking_up_counts_what_is_read_meanwhile(store: Store, folder: Path) -> None:
    """What a worker reads before its first job counts for all of them."""
    recorder.enable()
    with taking_up():
        open("a").close()
    assert paths(published(store, folder, lambda _: None)) == ["a"]


def test_reading_unstored_leaves_out_what_is_no_import(folder: Path, store: Store) -> None:
    """What an unstored job itself reads is nobody else's input."""
    recorder.enable()
    with reading_unstored(print):
        open("a").close()
    assert published(store, folder, lambda _: None) == ()


KEPT: list[str] = []


@pytest.mark.parametrize("is_stored", [False, True])
@pytest.mark.parametrize("tells", ["the one that asks", "one that is not stored"])
def test_what_a_job_in_flight_has_read_counts_where_something_is_kept_in_memory(
    store: Store, folder: Path, is_stored: bool, tells: str
) -> None:
    """Whichever job sees that memory has changed: what all in flight have read may be what another one uses."""
    recorder.enable()

    def reading() -> Reading:
        return Reading(Scope(str(folder), store.paths.root), store, str(folder / "own"))

    loads, asks = reading(), reading()
    with ExitStack() as stack:
        if is_stored:
            loads.start(print)
            stack.callback(loads.stop)
        else:
            stack.enter_context(reading_unstored(print))
        open("a").close()
        if tells == "one that is not stored":
            with reading_unstored(print):
                open("b").close()
                KEPT.append("")
            asks.start(print)
        else:
            asks.start(print)
            KEPT.append("")
        asks.stop()
        read = asks.result()
    assert paths(Watched.parse(read.watched).inputs) == (["a"] if tells == "the one that asks" else ["a", "b"])


def test_own_folder_of_a_job_that_is_not_stored_is_nobodys_input(store: Store, folder: Path) -> None:
    """Its log has another place or content in each sweep: no other job could ever be served."""
    recorder.enable()
    asks = Reading(Scope(str(folder), store.paths.root), store, str(folder / "own"))
    with reading_unstored(print, str(folder / "d")):
        for name in ("a", "d/c"):
            open(name).close()
        asks.start(print)
        KEPT.append("")
        asks.stop()
        read = asks.result()
    assert paths(Watched.parse(read.watched).inputs) == ["a"]


@pytest.mark.parametrize(("reader", "counts"), [("/env/lib/site-packages/logger.py", False), ("read.py", True)])
def test_watch_leaves_the_jobs_own_source_to_the_fingerprint(
    store: Store, folder: Path, reader: str, counts: bool
) -> None:
    """A file that counts as code is data as well only where the project's own code reads it."""
    (folder / "task.py").write_text("x = 1\n")
    source: Any = SimpleNamespace(path=str(folder / "task.py"))
    scope = Scope(str(folder), store.paths.root)
    for sources, expected in (((source,), counts), ((), True)):
        reading = Reading(scope, store, str(folder / "own"), (), sources)
        reading.start(print)
        exec(compile("open('task.py').close()", reader, "exec"), {"__name__": "reader"})
        reading.stop()
        assert (b"task.py" in reading.result().watched) is expected


def test_reading_in_the_projects_own_folder_counts(store: Store, folder: Path) -> None:
    """A job whose directory is the project's has no directory of its own that could be left out."""
    reading = Reading(Scope(str(folder), store.paths.root), store, str(folder))
    reading.start(print)
    open("a").close()
    reading.stop()
    assert paths(Watched.parse(reading.result().watched).inputs) == ["a"]


def test_recording_leaves_open_as_it_is() -> None:
    """Nothing is patched."""
    recorded(lambda: None)
    assert builtins.open is io.open
