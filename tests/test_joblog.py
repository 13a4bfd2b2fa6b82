"""Logging set up for a job is what Hydra's ``configure_log`` leaves, down to the registries of the logging module."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import logging
import logging.config
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import configure_log
from omegaconf import OmegaConf

from parcache.hydra import joblog
from parcache.hydra.joblog import JobLogging

HAS_WHITELIST = "execution_whitelist" in inspect.signature(configure_log).parameters
SIMPLE = {"simple": {"format": "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"}}
CONSOLE = {"class": "logging.StreamHandler", "formatter": "simple", "stream": "ext://sys.stdout"}
FILE = {"class": "logging.FileHandler", "formatter": "simple", "filename": "job.log"}
JOB: dict[str, Any] = {
    "version": 1,
    "formatters": SIMPLE,
    "handlers": {"console": CONSOLE, "file": FILE},
    "root": {"level": "INFO", "handlers": ["console", "file"]},
    "disable_existing_loggers": False,
}


def job(**changes: Any) -> dict[str, Any]:
    """Return Hydra's default config of a job's log with other values."""
    return {key: value for key, value in {**copy.deepcopy(JOB), **changes}.items() if value is not ...}


FAST = {
    "default": JOB,
    "disabled": {"version": 1, "root": {"level": "ERROR"}, "disable_existing_loggers": True},
    "no word of existing loggers": job(disable_existing_loggers=...),
    "root without a level": job(root={"handlers": ["file"]}),
    "root without handlers": job(root={"level": 5, "handlers": []}),
    "handlers that nobody uses": job(root={"level": "INFO", "handlers": ["console"]}),
    "handler twice": job(root={"level": "INFO", "handlers": ["file", "file"]}),
    "delayed file": job(handlers={"console": CONSOLE, "file": {**FILE, "delay": True, "mode": "w"}}),
    "file options": job(
        handlers={"console": CONSOLE, "file": {**FILE, "encoding": "utf-8", "mode": "a", "delay": False}}
    ),
    "encoding none": job(handlers={"console": CONSOLE, "file": {**FILE, "encoding": None}}),
    "levels": job(handlers={"console": {**CONSOLE, "level": "WARN"}, "file": {**FILE, "level": 15}}),
    "no formatter": job(handlers={"console": {"class": "logging.StreamHandler"}, "file": {**FILE, "formatter": None}}),
    "stderr": job(handlers={"console": {**CONSOLE, "stream": "ext://sys.stderr"}, "file": FILE}),
    "formats": job(
        formatters={"simple": {"format": "%(message)s", "datefmt": "%H"}, "bare": {}, "none": {"format": None}}
    ),
    "two files": job(
        handlers={"z": FILE, "b": {**FILE, "filename": "other.log"}}, root={"level": "INFO", "handlers": ["z", "b"]}
    ),
    "loggers": job(
        loggers={
            "a": {"level": "DEBUG"},
            "b.c": {"level": "ERROR", "handlers": ["file"], "propagate": False},
            "new": {"propagate": True, "handlers": None},
            "a.b": {},
        }
    ),
    "loggers, others disabled": job(loggers={"a": {"handlers": ["console"]}, "b": {}}, disable_existing_loggers=True),
    "root by its empty name": job(loggers={"": {"level": "ERROR", "handlers": ["console"]}}),
}
SLOW = {
    "factory": job(formatters={"simple": {"()": "logging.Formatter", "fmt": "%(message)s"}}),
    "formatter class": job(formatters={"simple": {"class": "logging.Formatter", "format": "%(message)s"}}),
    "style": job(formatters={"simple": {"format": "$message", "style": "$"}}),
    "filters": job(
        filters={"f": {"name": "a"}},
        handlers={"console": {**CONSOLE, "filters": ["f"]}, "file": FILE},
    ),
    "handler of another class": job(
        handlers={"console": CONSOLE, "file": {**FILE, "class": "logging.handlers.WatchedFileHandler"}}
    ),
    "incremental": job(incremental=True, handlers={}, root={"level": "DEBUG"}),
    "converted strings": job(
        handlers={"console": CONSOLE, "file": {**FILE, "filename": "cfg://names.file"}}, names={"file": "job.log"}
    ),
    "properties": job(handlers={"console": {**CONSOLE, ".": {"terminator": "!"}}, "file": FILE}),
    "no root logger": job(root={}),
}
WRONG = {
    "unknown level": job(root={"level": "LOUD", "handlers": ["file"]}),
    "unknown level of a handler": job(handlers={"console": CONSOLE, "file": {**FILE, "level": "LOUD"}}),
    "unknown handler": job(root={"level": "INFO", "handlers": ["console", "nobody"]}),
    "unknown formatter": job(handlers={"console": CONSOLE, "file": {**FILE, "formatter": "nobody"}}),
    "bad format": job(formatters={"simple": {"format": "%(message"}}),
    "format without fields": job(formatters={"simple": {"format": "x"}}),
    "bad mode": job(handlers={"console": CONSOLE, "file": {**FILE, "mode": "q"}}),
    "bad encoding": job(handlers={"console": CONSOLE, "file": {**FILE, "encoding": "q"}}),
    "missing folder": job(handlers={"console": CONSOLE, "file": {**FILE, "filename": "nowhere/job.log"}}),
    "no file name": job(handlers={"console": CONSOLE, "file": {"class": "logging.FileHandler"}}),
    "another version": job(version=2),
    "no version": job(version=...),
    "no root": job(root=...),
    "unknown argument": job(handlers={"console": {**CONSOLE, "colour": "red"}, "file": FILE}),
    "handlers none": job(handlers=None),
}

# Hydra's notice is about the configs here, which name classes without a whitelist. Some make a file's handler that
# nobody holds: the file is closed by the garbage collector, with Hydra's own function as well.
pytestmark = [
    pytest.mark.filterwarnings("ignore:\\s*Hydra configured Python logging without"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@contextlib.contextmanager
def fresh_logging(folder: Path) -> Iterator[None]:
    """Run with a logging module that has seen nothing, in a folder that is empty; then restore what was."""
    root, registry = logging.root, logging._handlers
    loggers, names, references = dict(root.manager.loggerDict), dict(registry), logging._handlerList[:]
    handlers, level = root.handlers, root.level
    here = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    os.chdir(folder)
    root.manager.loggerDict.clear()
    registry.clear()
    logging._handlerList[:] = []
    root.handlers, root.level = [], logging.WARNING
    root.manager._clear_cache()
    try:
        yield
    finally:
        for reference in logging._handlerList:
            handler = reference()
            if handler is not None:
                handler.close()
        os.chdir(here)
        root.handlers, root.level, root.disabled, root.propagate = handlers, level, False, True
        root.manager.loggerDict.clear()
        root.manager.loggerDict.update(loggers)
        registry.clear()
        registry.update(names)
        logging._handlerList[:] = references
        root.manager._clear_cache()


def snapshot() -> dict[str, Any]:
    """Return all there is to know of the logging module's state, with handlers told apart by their order."""
    gc.collect()
    seen: dict[int, int] = {}

    def of_handler(handler: Any) -> Any:
        stream = getattr(handler, "stream", None)
        formatter = handler.formatter
        about = {
            key: value
            for key, value in vars(handler).items()
            if key not in ("lock", "stream", "formatter", "_builtin_open", "dev", "ino")
        }
        return (
            seen.setdefault(id(handler), len(seen)),
            type(handler).__qualname__,
            [(key, [vars(one) for one in item] if key == "filters" else item) for key, item in sorted(about.items())],
            stream
            and ("out" if stream is sys.stdout else "err" if stream is sys.stderr else (stream.name, stream.closed)),
            formatter and (type(formatter), formatter._fmt, formatter.datefmt, type(formatter._style)),
        )

    def of_logger(logger: Any) -> Any:
        if isinstance(logger, logging.PlaceHolder):
            return ("placeholder", getattr(logger, "disabled", None), sorted(child.name for child in logger.loggerMap))
        return (
            *(logger.level, logger.propagate, logger.disabled, logger.filters, dict(logger._cache)),
            *(logger.parent and logger.parent.name, [of_handler(handler) for handler in logger.handlers]),
        )

    loggers = logging.root.manager.loggerDict
    return {
        "root": of_logger(logging.root),
        "loggers": {name: of_logger(loggers[name]) for name in sorted(loggers)},
        "named": {name: of_handler(handler) for name, handler in sorted(logging._handlers.items())},
        "registered": sorted(
            str(of_handler(item)) for item in (ref() for ref in logging._handlerList) if item is not None
        ),
        "files": sorted(str(path) for path in Path.cwd().rglob("*")),
    }


KEPT: list[logging.Handler] = []


def nothing() -> None:
    pass


def a_tree_of_loggers() -> None:
    for name in ("a", "a.b", "a.b.c", "b.c.d.e", "b-c", "ab"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("a.b").propagate = False
    logging.getLogger("ab").disabled = True
    logging.getLogger("a.b.c").isEnabledFor(logging.INFO)
    logging.getLogger("b-c").isEnabledFor(logging.DEBUG)


def handlers_of_the_users_own() -> None:
    a_tree_of_loggers()
    own = logging.FileHandler("own.log")
    own.name = "file"
    written, closed = logging.FileHandler("written.log", mode="w"), logging.FileHandler("closed.log")
    logging.getLogger().addHandler(own)
    logging.getLogger("a").addHandler(logging.StreamHandler(sys.stdout))
    logging.getLogger("a.b").addHandler(written)
    logging.getLogger("b.c").addHandler(own)
    closed.close()
    logging.getLogger("ab").addHandler(closed)
    KEPT[:] = [logging.StreamHandler()]
    KEPT[0].name = "kept"


def an_earlier_job() -> None:
    handlers_of_the_users_own()
    configure_log(OmegaConf.create(JOB), "a.b")
    logging.getLogger("made.in.the.job").warning("x")
    logging.getLogger("made").addHandler(logging.StreamHandler())


EARLIER = [nothing, a_tree_of_loggers, handlers_of_the_users_own, an_earlier_job]


def hydras(conf: Any, verbose: Any, whitelist: Any = None) -> None:
    """Set logging up as Hydra does."""
    config = OmegaConf.create(copy.deepcopy(conf)) if conf is not None else None
    verbose = OmegaConf.create(verbose) if isinstance(verbose, list) else verbose
    configure_log(config, verbose, *([whitelist] if HAS_WHITELIST else []))


class Counted:
    """Counts how often Hydra's own function is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        real = JobLogging._leave_to_hydra

        def leave(jobs: JobLogging, conf: Any) -> None:
            self.calls += 1
            real(jobs, conf)

        monkeypatch.setattr(JobLogging, "_leave_to_hydra", leave)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def state_after(folder: Path, earlier: Callable[[], None], act: Callable[[], None]) -> tuple[Any, Any]:
    """Return the state that something leaves, and the error that it raises."""
    with fresh_logging(folder):
        earlier()
        try:
            act()
        except Exception as error:
            said = (type(error), str(error), type(error.__cause__), str(error.__cause__))
        else:
            said = None
        return snapshot(), said


def warmed(folder: Path, conf: Any, verbose: Any, whitelist: Any = None) -> JobLogging:
    """Return a JobLogging that has set this config up once."""
    jobs = JobLogging(whitelist, has_whitelist=HAS_WHITELIST)
    with fresh_logging(folder):
        (folder / "nowhere").mkdir()
        with contextlib.suppress(Exception):
            jobs.configure(conf, verbose)
        logging.shutdown(logging._handlerList[:])
        for path in (folder / "nowhere").iterdir():
            path.unlink()
        (folder / "nowhere").rmdir()
    return jobs


@pytest.mark.parametrize("earlier", EARLIER)
@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_configure_leaves_the_state_that_hydra_leaves(
    name: str, earlier: Callable[[], None], tmp_path: Path, counted: Counted
) -> None:
    """Loggers, handlers, caches and registries are those that Hydra leaves, the first time and each time after."""
    conf = FAST.get(name) or SLOW[name]
    before = copy.deepcopy(conf)
    theirs = state_after(tmp_path / "f", earlier, lambda: hydras(conf, False))
    fresh = JobLogging(has_whitelist=HAS_WHITELIST)
    assert state_after(tmp_path / "f", earlier, lambda: fresh.configure(conf)) == theirs
    jobs = warmed(tmp_path / "f", conf, False)
    counted.calls = 0
    assert state_after(tmp_path / "f", earlier, lambda: jobs.configure(conf)) == theirs
    assert counted.calls == (name in SLOW)
    assert conf == before


def test_configure_with_one_config_after_the_other_leaves_what_hydra_leaves(tmp_path: Path, counted: Counted) -> None:
    """What was read of the config before is not taken for the next one's, even if that is the same object."""
    jobs = JobLogging(has_whitelist=HAS_WHITELIST)
    for conf in FAST.values():
        with fresh_logging(tmp_path / "f"):
            jobs.configure(conf)
    counted.calls = 0
    changing = copy.deepcopy(JOB)
    for name, conf in [*FAST.items(), *reversed(FAST.items())]:
        changing.clear()
        changing.update(copy.deepcopy(conf))
        theirs = state_after(tmp_path / "f", an_earlier_job, lambda conf=conf: hydras(conf, False))
        assert state_after(tmp_path / "f", an_earlier_job, lambda: jobs.configure(changing)) == theirs, name
    assert counted.calls == 0


@pytest.mark.parametrize("earlier", [nothing, an_earlier_job])
@pytest.mark.parametrize("name", WRONG)
def test_configure_of_a_wrong_config_raises_what_hydra_raises(
    name: str, earlier: Callable[[], None], tmp_path: Path
) -> None:
    """A config that cannot be set up raises Hydra's error with its cause, and leaves what Hydra leaves."""
    conf = WRONG[name]
    theirs = state_after(tmp_path / "f", earlier, lambda: hydras(conf, False))
    assert theirs[1] is not None
    jobs = warmed(tmp_path / "f", conf, False)
    for _ in range(2):
        assert state_after(tmp_path / "f", earlier, lambda: jobs.configure(conf)) == theirs


@pytest.mark.parametrize("verbose", [True, False, "a.b", ["a", "new.one"], []])
@pytest.mark.parametrize("conf", [JOB, None, job(root=None)], ids=["job", "default", "none"])
def test_configure_with_verbose_lowers_the_levels_that_hydra_lowers(conf: Any, verbose: Any, tmp_path: Path) -> None:
    """`hydra.verbose` is applied after the config, also where there is none to apply."""
    theirs = state_after(tmp_path / "f", a_tree_of_loggers, lambda: hydras(conf, verbose))
    jobs = warmed(tmp_path / "f", conf, verbose)
    assert state_after(tmp_path / "f", a_tree_of_loggers, lambda: jobs.configure(conf, verbose)) == theirs


@pytest.mark.skipif(not HAS_WHITELIST, reason="this Hydra has no execution whitelist")
@pytest.mark.parametrize("name", ["default", "loggers", "factory", "handler of another class"])
@pytest.mark.parametrize("whitelist", [[], ["app.*"], ["logging.handlers.*"], "not a list"])
def test_configure_under_a_whitelist_lets_pass_what_hydra_lets_pass(name: str, whitelist: Any, tmp_path: Path) -> None:
    """A whitelist, and a wrong one, has the same say in what is set up as in Hydra."""
    conf = FAST.get(name) or SLOW[name]
    theirs = state_after(tmp_path / "f", nothing, lambda: hydras(conf, False, whitelist))
    jobs = warmed(tmp_path / "f", conf, False, whitelist)
    assert state_after(tmp_path / "f", nothing, lambda: jobs.configure(conf)) == theirs


def test_configure_for_job_after_job_writes_each_jobs_lines_into_its_file(tmp_path: Path, counted: Counted) -> None:
    """Each job's lines are in its own file, whole, and its file is closed when the next job's is open."""
    jobs = JobLogging(has_whitelist=HAS_WHITELIST)
    with fresh_logging(tmp_path / "f"):
        opened = []
        for number in range(20):
            jobs.configure(job(handlers={"console": CONSOLE, "file": {**FILE, "filename": f"{number}.log"}}))
            logging.getLogger("app").info("job %d", number)
            opened.append(logging.getLogger().handlers[1])
            assert [handler.stream is None for handler in opened] == [True] * number + [False]
        assert counted.calls == 1
        for number in range(20):
            line = (tmp_path / "f" / f"{number}.log").read_text()
            assert line.endswith(f"][app][INFO] - job {number}\n")
            assert line.count("\n") == 1


def open_below(folder: Path) -> list[str]:
    """Return the files below a folder that this process has open, once for each time."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile, as that of the listing itself is
            found.append(os.readlink(path))
    return [name for name in found if name.startswith(f"{folder}/")]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")
def test_configure_a_thousand_times_leaves_one_file_open(tmp_path: Path) -> None:
    """No file stays open behind a job, and no handler is remembered."""
    jobs = JobLogging(has_whitelist=HAS_WHITELIST)
    with fresh_logging(tmp_path / "f"):
        jobs.configure(JOB)
        gc.collect()
        assert open_below(tmp_path) == [str(tmp_path / "f" / "job.log")]
        for _ in range(1000):
            jobs.configure(JOB)
        assert open_below(tmp_path) == [str(tmp_path / "f" / "job.log")]
        assert len(logging._handlerList) == len(logging._handlers) == 2


def test_configure_when_a_class_was_replaced_leaves_it_to_hydra(
    tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who replaces the classes of the logging module gets them, or Hydra's refusal, as with Hydra."""

    class Mine(logging.FileHandler):
        pass

    jobs = warmed(tmp_path / "f", JOB, False)
    counted.calls = 0
    monkeypatch.setattr(logging, "FileHandler", Mine)
    with fresh_logging(tmp_path / "f"), contextlib.suppress(ValueError):
        jobs.configure(JOB)
    assert counted.calls == 1


def test_configure_when_a_step_fails_leaves_it_to_hydra(
    tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that fails unexpectedly costs time: Hydra's own function then does the whole."""
    theirs = state_after(tmp_path / "f", an_earlier_job, lambda: hydras(JOB, False))
    jobs = warmed(tmp_path / "f", JOB, False)
    counted.calls = 0

    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(joblog, "_set_up", fail)
    assert state_after(tmp_path / "f", an_earlier_job, lambda: jobs.configure(JOB)) == theirs
    assert counted.calls == 1


LINED = {
    "default": JOB,
    "levels": job(handlers={"console": CONSOLE, "file": {**FILE, "level": "ERROR"}}),
    "delayed": job(handlers={"console": CONSOLE, "file": {**FILE, "delay": True}}),
    "delayed, level": job(handlers={"console": CONSOLE, "file": {**FILE, "delay": True, "level": "ERROR"}}),
    "two files": FAST["two files"],
    "formats": FAST["formats"],
    "no formatter": FAST["no formatter"],
    "no file": FAST["disabled"],
    "nothing": job(root=None),
}


@pytest.mark.parametrize("name", LINED)
def test_lines_are_what_the_jobs_own_handlers_write(name: str, tmp_path: Path) -> None:
    """Appending the texts to the files gives the files that the handlers leave, and configures nothing."""
    conf = LINED[name]
    record = logging.LogRecord("app", logging.INFO, __file__, 1, "é %s\nsecond line", ("x",), None)
    with fresh_logging(tmp_path / "f"):
        hydras(conf, False)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.FileHandler) and record.levelno >= handler.level:
                handler.handle(record)
        logging.shutdown(logging._handlerList[:])
        theirs = {path.name: path.read_text() for path in Path.cwd().iterdir()}
    with fresh_logging(tmp_path / "f"):
        before = snapshot()
        lines = JobLogging(has_whitelist=HAS_WHITELIST).lines(conf, record)
        assert snapshot() == before
    assert dict(lines or []) == theirs


@pytest.mark.parametrize(
    "conf",
    [
        *(SLOW["factory"], SLOW["style"], SLOW["filters"], WRONG["unknown level"], FAST["delayed file"]),
        *(FAST["file options"], FAST["root without handlers"], job(formatters={"simple": {"format": "%(nothing)s"}})),
    ],
)
def test_lines_of_a_config_that_does_more_are_none(conf: dict[str, Any]) -> None:
    """Files that are truncated, encoded, or opened for others than the root logger, take the real handlers."""
    record = logging.LogRecord("app", logging.INFO, __file__, 1, "x", (), None)
    assert JobLogging(has_whitelist=HAS_WHITELIST).lines(conf, record) is None


@pytest.mark.parametrize("step", ["createLock", "setFormatter"])
def test_interrupt_while_a_handler_is_made_leaves_logging_fit_to_be_set_up(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ctrl-C in the middle of a job's logging does not make the next set-up fail by an unfinished handler."""
    with fresh_logging(tmp_path / "logs"):
        fast = JobLogging(has_whitelist=HAS_WHITELIST)
        fast.configure(JOB)

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(logging.Handler, step, interrupted)
            with pytest.raises(KeyboardInterrupt) as caught:
                fast.configure(JOB)
        fast.configure(JOB)
        logging.getLogger().info("here")
        assert caught.traceback  # it keeps the handler alive, as the traceback of any interrupt does
        assert "here" in (tmp_path / "logs" / "job.log").read_text()
