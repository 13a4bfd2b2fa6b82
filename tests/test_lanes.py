"""Lanes: which job code runs for, what each job has of its own, and that all is put back."""

from __future__ import annotations

import asyncio
import importlib
import io
import logging
import logging.config
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parcache.errors import WorkingDirectoryError
from parcache.keys.scope import Scope
from parcache.run import belongings, imports, logs, printing, recorder, threads
from parcache.run import reading as reading_module
from parcache.run.lanes import SHARING, Lane, current_lane, current_strand
from parcache.run.printing import Lines
from parcache.run.reading import Reading
from parcache.run.recorder import Recording
from parcache.store.store import Store

pytestmark = pytest.mark.any_hydra


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "_shared", reading_module._Shared())
    monkeypatch.setattr(reading_module, "_retained", reading_module.Retained())


@pytest.fixture
def _shared() -> Iterator[None]:
    """Share this process."""
    modules = belongings, imports, logs, printing, threads
    SHARING.hold([patch for module in modules for patch in module.patches()])
    yield
    SHARING.release()


class Worker:
    """A thread that runs one job, step by step as it is told."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._lane: Any = None

    def begin(self) -> Lane:
        def enter() -> Lane:
            self._lane = SHARING.lane()
            self._lane.__enter__()
            lane = current_lane()
            assert lane is not None
            return lane

        # Not by submit(): a job's steps are its own thread's.
        return self.do(enter)

    def do(self, step: Callable[[], Any]) -> Any:
        return self._pool.submit(step).result(60)

    def end(self) -> None:
        self.do(lambda: self._lane.__exit__(None, None, None))
        self._pool.shutdown()


@contextmanager
def jobs(number: int) -> Iterator[list[Worker]]:
    workers = [Worker() for _ in range(number)]
    for worker in workers:
        worker.begin()
    yield workers
    for worker in workers:
        worker.end()


def state() -> list[Any]:
    """Return what patches change, as it is now."""
    module: Any = logging
    names = ["level", "handlers", "filters", "propagate", "disabled", "_cache", "addHandler"]
    return [
        *(logging.Logger.__dict__.get(name) for name in names),
        *(logging.Manager.__dict__.get(name) for name in ("_disable", "_clear_cache")),
        *(module._handlers, module._handlerList, threading.Thread.start, ThreadPoolExecutor.submit, type(sys)),
        *(sys.stdout, sys.stderr, os.chdir, os.fchdir, os.putenv, os.unsetenv, list(sys.meta_path)),
        sys.modules["_frozen_importlib"].__dict__["_find_spec"],
    ]


def test_sharing_released_puts_everything_back() -> None:
    """Nothing of a process stays changed, and held twice it is released twice."""
    before = state()
    modules = belongings, imports, logs, printing, threads
    for _ in range(2):
        SHARING.hold([patch for module in modules for patch in module.patches()])
    assert state() != before
    SHARING.release()
    assert SHARING.is_on
    SHARING.release()
    assert not SHARING.is_on
    assert state() == before


def test_sharing_released_leaves_what_a_library_has_put_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is patched by others while jobs run stays patched, and what they call goes on doing nothing outside."""
    monkeypatch.setattr(os, "chdir", os.chdir)
    SHARING.hold(belongings.patches())
    kept = os.chdir
    theirs = partial(kept)
    os.chdir = theirs
    SHARING.release()
    assert os.chdir is theirs
    os.chdir(os.getcwd())


def test_sharing_is_kept_by_a_job_that_outlives_its_sweep() -> None:
    """Patches stay until the last job has ended."""
    before = state()
    SHARING.hold(threads.patches())
    worker = Worker()
    lane = worker.begin()
    SHARING.release()
    assert SHARING.is_on
    assert worker.do(current_lane) is lane
    worker.end()
    assert state() == before


@pytest.mark.usefixtures("_shared")
def test_strand_of_threads_pools_timers_and_tasks_is_their_jobs() -> None:
    """Whatever way a job starts something, it runs for the job; elsewhere nothing does."""

    def ways() -> list[Lane | None]:
        found: list[Lane | None] = []
        note = lambda: found.append(current_lane())  # noqa: E731

        class Own(threading.Thread):
            def run(self) -> None:
                note()

        for thread in (threading.Thread(target=note), Own(), threading.Timer(0, note)):
            thread.start()
            thread.join()
        shared.submit(note).result()
        list(shared.map(lambda _: note(), [1]))
        pool.apply(note)
        pool.map(lambda _: note(), [1, 2])
        list(pool.imap_unordered(lambda _: note(), [1]))

        async def task() -> None:
            await asyncio.to_thread(note)
            await asyncio.get_running_loop().run_in_executor(None, note)

        asyncio.run(task())
        return found

    pools: list[ThreadPool] = []
    with ThreadPoolExecutor(1) as shared, jobs(2) as workers:
        workers[0].do(lambda: pools.append(ThreadPool(2)))
        with pools[0] as pool:
            for worker in workers:
                assert worker.do(ways) == [worker.do(current_lane)] * 11
    with ThreadPoolExecutor(1) as shared, ThreadPool(1) as pool:
        assert ways() == [None] * 11
    assert current_strand() is None


@pytest.mark.usefixtures("_shared")
def test_thread_started_by_a_job_keeps_its_own_run() -> None:
    """Inheriting leaves no trace in the thread."""
    with jobs(1) as (worker,):

        def start() -> dict[str, Any]:
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()
            return thread.__dict__

        assert "run" not in worker.do(start)


@pytest.mark.usefixtures("_shared")
def test_loggers_state_written_in_a_job_is_seen_by_it_alone() -> None:
    """Level, handlers in place or not, filters, propagation: all back outside, and all apart."""
    logger = logging.getLogger("tests.lanes")
    handler = logging.NullHandler()

    def change() -> None:
        logger.setLevel(logging.ERROR)
        logger.handlers.append(handler)
        logger.addFilter(lambda _: False)
        logger.propagate = False
        logging.getLogger().handlers.clear()

    def seen() -> list[Any]:
        enabled = logger.isEnabledFor(logging.WARNING)
        return [logger.level, logger.handlers, len(logger.filters), logger.propagate, enabled]

    before, outside = seen(), list(logging.getLogger().handlers)
    with jobs(2) as (one, two):
        one.do(change)
        assert one.do(seen) == [logging.ERROR, [handler], 1, False, False]
        assert two.do(seen) == before == seen()
        assert two.do(lambda: logging.getLogger().handlers) == outside == logging.getLogger().handlers
        assert one.do(lambda: logging.getLogger().handlers) == []
    assert seen() == before


@pytest.mark.usefixtures("_shared")
def test_handlers_made_in_a_job_are_closed_at_its_end_and_no_sooner(tmp_path: Path) -> None:
    """Another job's reconfiguration closes them as little as the process's own."""
    outside = logging.FileHandler(tmp_path / "outside.log")

    def configure(name: str) -> logging.FileHandler:
        handler = logging.FileHandler(tmp_path / name)
        logging.basicConfig(force=True, handlers=[handler])
        return handler

    with jobs(2) as (one, two):
        first = one.do(lambda: configure("one.log"))
        two.do(lambda: logging.config.dictConfig({"version": 1}))
        second = two.do(lambda: configure("two.log"))
        assert all(each.stream is not None for each in (outside, first, second))
    assert first.stream is second.stream is None
    assert outside.stream is not None
    outside.close()


def test_lines_of_two_jobs_are_passed_on_whole() -> None:
    """A line goes out when it ends, when it is flushed, or when a carriage returns; never in the middle of another."""
    stream = io.StringIO()
    lines = Lines(stream)
    SHARING.hold()
    with jobs(2) as (one, two):
        one.do(lambda: lines.write("one "))
        two.do(lambda: lines.write("two "))
        assert stream.getvalue() == ""
        one.do(lambda: lines.write("ends\nnext"))
        assert stream.getvalue() == "one ends\n"
        two.do(lines.flush)
        assert stream.getvalue() == "one ends\ntwo "
        one.do(lambda: lines.write(" line\n"))
        assert stream.getvalue() == "one ends\ntwo \nnext line\n"
        two.do(lambda: lines.write("\r50%"))
        one.do(lambda: lines.write("\r60%"))
        lines.write("outside\n")
        assert stream.getvalue() == "one ends\ntwo \nnext line\n\r50%\r60%\noutside\n"
        one.do(lambda: lines.write("left"))
    SHARING.release()
    assert stream.getvalue().endswith("outside\nleft")
    assert lines.encoding == stream.encoding


def test_line_of_an_ended_thread_is_not_continued_by_another_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system gives a new thread the number of one that has ended, of whichever job."""
    stream = io.StringIO()
    lines = Lines(stream)
    monkeypatch.setattr(printing, "threading", SimpleNamespace(get_ident=lambda: 1))
    SHARING.hold()
    with jobs(3) as (one, two, three):
        one.do(lambda: lines.write("one: 50% "))
        two.do(lambda: lines.write("two: hello\n"))
        assert stream.getvalue() == "two: hello\n"
        one.do(lines.flush)
        three.do(lambda: lines.write("three: hello\n"))
    SHARING.release()
    assert stream.getvalue() == "two: hello\none: 50% \nthree: hello\n"


def test_text_written_while_a_job_ends_is_passed_on_with_it() -> None:
    """What is written after all else has been put away, without an end of the line, waits for no other job's end."""
    stream = io.StringIO()
    lines = Lines(stream)
    SHARING.hold()
    worker = Worker()
    worker.begin().at_end.append(lambda: lines.write("last words") and None)
    worker.do(lambda: lines.write("said "))
    worker.end()
    assert stream.getvalue() == "said last words"
    SHARING.release()


def test_text_of_a_thread_that_saw_its_job_run_a_moment_ago_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that a job has left behind may write when the job's last text has been passed on."""
    stream = io.StringIO()
    lines = Lines(stream)
    SHARING.hold()
    worker = Worker()
    lane = worker.begin()
    worker.end()
    monkeypatch.setattr(printing, "current_lane", lambda: lane)
    lines.write("late")
    assert stream.getvalue() == "late"
    SHARING.release()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in "abc":
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(name: str) -> None:
    with open(name) as file:
        file.read()


def names(recording: Recording) -> set[str]:
    return {os.path.basename(path) for path in recording.sightings().seen}


def in_thread(step: Callable[[], Any]) -> None:
    thread = threading.Thread(target=step)
    thread.start()
    thread.join()


@pytest.mark.usefixtures("_shared", "folder")
def test_recording_gets_what_its_own_job_reads() -> None:
    """What a job's thread opens, and threads and pools that it starts, is that job's alone."""
    with ThreadPoolExecutor(1) as shared, jobs(2) as (one, two):
        recordings = [Recording(), Recording()]
        for worker, recording in zip((one, two), recordings, strict=True):
            worker.do(recording.start)
        one.do(lambda: read("a"))
        two.do(lambda: in_thread(lambda: read("b")))
        one.do(lambda: shared.submit(read, "c").result())
        read("a")  # the sweeping thread reads for itself
        for recording in recordings:
            recording.stop()
    assert [names(recording) for recording in recordings] == [{"a", "c"}, {"b"}]


@pytest.mark.usefixtures("_shared", "folder")
def test_recording_gets_what_nobody_knows_for_whom() -> None:
    """What is read by a raw thread, by a job's thread that lives on, or by a job that is over, counts for all."""
    import _thread

    go, done, end = threading.Event(), threading.Event(), threading.Event()

    def serve() -> None:
        go.wait(60)
        read("a")
        done.set()
        end.wait(60)

    def raw() -> None:
        read("b")
        ended.set()

    ended = threading.Event()
    with jobs(2) as (one, two):
        recordings = [Recording(), Recording()]
        for worker, recording in zip((one, two), recordings, strict=True):
            worker.do(recording.start)
        one.do(threading.Thread(target=serve, daemon=True).start)
        go.set()
        assert done.wait(60)
        _thread.start_new_thread(raw, ())
        assert ended.wait(60)
        for recording in recordings:
            recording.stop()
        end.set()
    assert [names(recording) for recording in recordings] == [{"a", "b"}, {"a", "b"}]


@pytest.mark.usefixtures("_shared")
def test_import_of_one_job_counts_for_those_in_flight(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a module reads on import is an input of a job that began before and of one that began after, ended first."""
    (folder / "reads_on_import.py").write_text(
        "import os\nwith open(os.path.join(os.getcwd(), 'a')) as file:\n    TABLE = file.read()\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    scope = Scope(str(folder))
    store = Store.open(str(folder / "store"), writable=True)
    recorder.enable()
    with jobs(3) as workers:
        readings = [Reading(scope, store, str(folder / "out" / str(number))) for number in range(3)]
        for number in (0, 1):
            workers[number].do(partial(readings[number].start, print))
        workers[0].do(lambda: __import__("reads_on_import"))
        workers[2].do(partial(readings[2].start, print))
        results = {}
        for number in (2, 1, 0):
            workers[number].do(readings[number].stop)
            results[number] = workers[number].do(readings[number].result)
    sys.modules.pop("reads_on_import")
    assert all(b'"a"' in result.watched and not result.refusal for result in results.values())


@pytest.mark.usefixtures("_shared")
def test_modules_imported_by_others_are_told_from_a_jobs_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job that is the first to import a module has imported it; for the others it is another's."""
    (folder / "imported_once.py").write_text("")
    monkeypatch.syspath_prepend(str(folder))
    with jobs(2) as (one, two):
        one.do(lambda: __import__("imported_once"))
        two.do(lambda: __import__("imported_once"))
        assert "imported_once" not in one.do(imports.of_others)
        assert "imported_once" in two.do(imports.of_others)
    sys.modules.pop("imported_once")
    assert imports.of_others() == ()


class Hook:
    """A finder that finds by itself, as import hooks of typecheckers do."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        return importlib.machinery.PathFinder.find_spec(name, path, target)


@pytest.mark.usefixtures("_shared")
@pytest.mark.parametrize("importing", [__import__, importlib.import_module])
def test_modules_that_a_later_hook_finds_are_their_jobs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, importing: Callable[[str], Any]
) -> None:
    """A finder that a job puts in front of all others takes no import out of sight, nor one of a package above."""
    (folder / "hooked").mkdir()
    for name in ("__init__", "part"):
        (folder / "hooked" / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    finders: list[Any] = sys.meta_path
    with jobs(2) as (one, two):
        one.do(lambda: finders.insert(0, Hook()))
        one.do(lambda: importing("hooked.part"))
        for name in ("hooked", "hooked.part"):
            assert name not in one.do(imports.of_others)
            assert name in two.do(imports.of_others)
            sys.modules.pop(name)


@pytest.mark.usefixtures("_shared")
def test_module_that_is_only_looked_for_is_nobodys_import(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job that imports it after another one has asked whether it is there has imported it alone."""
    (folder / "looked_for.py").write_text("")
    monkeypatch.syspath_prepend(str(folder))
    with jobs(2) as (one, two):
        one.do(lambda: importlib.util.find_spec("looked_for"))
        two.do(lambda: __import__("looked_for"))
        assert "looked_for" in one.do(imports.of_others)
        assert "looked_for" not in two.do(imports.of_others)
    sys.modules.pop("looked_for")


@pytest.mark.usefixtures("_shared")
def test_environment_changed_by_another_job_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job learns which variables others have changed in its time, not of its own changes."""
    monkeypatch.setenv("LANES_A", "0")
    monkeypatch.setenv("LANES_B", "0")
    with jobs(2) as (one, two):
        one.do(lambda: os.environ.update(LANES_A="1"))
        two.do(lambda: os.environ.pop("LANES_B"))
        asked = [("LANES_A", "0"), ("LANES_B", "0"), ("PATH", os.environ["PATH"]), ("LANES_C", None)]
        assert one.do(lambda: belongings.changed_by_others(asked)) == ["LANES_B"]
        assert two.do(lambda: belongings.changed_by_others(asked)) == ["LANES_A"]


@pytest.mark.usefixtures("_shared")
def test_environment_whose_change_was_told_before_a_job_began_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python tells of a change first and makes it afterwards; a job may begin in between."""
    monkeypatch.setenv("LANES_A", "0")
    asked = [("LANES_A", "0")]
    told, begun = threading.Event(), threading.Event()
    putenv = os.putenv

    def change(name: Any, value: Any) -> None:
        putenv(name, value)
        told.set()
        begun.wait(60)

    with ThreadPoolExecutor(1) as pool, jobs(1) as (other,), monkeypatch.context() as patched:
        patched.setattr(os, "putenv", change)
        changing = pool.submit(other.do, lambda: os.environ.update(LANES_A="1"))
        assert told.wait(60)
        with jobs(1) as (one,):
            assert one.do(lambda: belongings.changed_by_others(asked)) == []
            begun.set()
            changing.result(60)
            assert one.do(lambda: os.environ["LANES_A"]) == "1"
            assert one.do(lambda: belongings.changed_by_others(asked)) == ["LANES_A"]


@pytest.mark.usefixtures("_shared")
def test_environment_changed_by_a_job_itself_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a job gives a variable, or that it takes one away, follows from its own code."""
    monkeypatch.setenv("LANES_A", "0")
    monkeypatch.setenv("LANES_B", "0")
    with jobs(1) as (one,):
        one.do(lambda: os.environ.update(LANES_A="1"))
        one.do(lambda: os.environ.pop("LANES_B"))
        asked = [("LANES_A", "0"), ("LANES_B", "0")]
        assert one.do(lambda: belongings.changed_by_others(asked)) == []


@pytest.mark.usefixtures("_shared")
def test_directory_changed_in_a_job_is_refused_where_others_may_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job gets an error with the way out; alone it may, and outside jobs everybody may."""
    with jobs(1) as (worker,):
        worker.do(lambda: os.chdir(folder))
        monkeypatch.setattr(SHARING, "is_crowded", True)
        with pytest.raises(WorkingDirectoryError, match="hydra/launcher/backend=process"):
            worker.do(lambda: os.chdir("/"))
        os.chdir(folder)
    assert os.getcwd() == str(folder)
