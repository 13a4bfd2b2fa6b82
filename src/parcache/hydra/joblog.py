"""Logging set up for one job after the other as Hydra's ``configure_log`` does it, at a small part of its cost.

Hydra resolves the logging config anew for each job and takes it through ``logging.config`` and its own authorization of
whatever the config names: milliseconds. Nearly every config is of one simple shape: plain formatters, stream and file
handlers, levels. Such a config is set up here by the steps of ``DictConfigurator.configure`` in their order, with the
standard library's own functions for those that touch what exists. They are the same in Python 3.10 to 3.13.

Hydra's function does everything else, and also the first setup of each shape: file names apart, what it has let pass
once under this whitelist it lets pass again, for it looks at classes and never at file names (Hydra 1.4 adds the
classes here to every whitelist). It does the setup as well if any step here fails, which then fails as it would have.
"""

from __future__ import annotations

import copy
import logging
import logging.config
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from hydra.core.utils import configure_log

# Logging is set up by one thread at a time, whatever it is that is set up.
LOCK: Final = threading.RLock()
_LOCK_TYPE: Final = type(LOCK)
_MAX_KNOWN: Final = 64
_CONFIG_KEYS: Final = frozenset({"version", "formatters", "handlers", "loggers", "root", "disable_existing_loggers"})
_STREAMS: Final = {"ext://sys.stdout": "stdout", "ext://sys.stderr": "stderr"}
_FILE_OPTIONS: Final[dict[str, tuple[type, ...]]] = {"mode": (str,), "encoding": (str, type(None)), "delay": (bool,)}
_CLASSES: Final = (
    logging.Formatter,
    logging.StreamHandler,
    logging.FileHandler,
    logging.config.DictConfigurator,
)
# What logging.config is made of has no types: the lock, the handlers' registry, the checks of levels.
_logging: Final[Any] = logging
_config: Final[Any] = logging.config


class JobLogging:
    """Sets logging up from a resolved config, over and over. As global as logging itself: to be used under ``LOCK``."""

    def __init__(self, whitelist: Any = None, *, has_whitelist: bool) -> None:
        """``whitelist`` is what Hydra 1.4 has in its context; ``has_whitelist``: this Hydra knows such a thing."""
        self._whitelist = (whitelist,) if has_whitelist else ()
        self._known: set[_Plan] = set()
        self._read_last: tuple[dict[str, Any], _Plan] | None = None

    def configure(self, conf: Mapping[str, Any] | None, verbose: bool | str | Sequence[str] = False) -> None:
        """Leave logging as ``configure_log`` leaves it for a config that resolves to this one; None is Hydra's default.

        ``verbose`` is ``hydra.verbose``.

        Raises:
            What Hydra raises, for a config that cannot be set up.
        """
        if conf is None:
            configure_log(None, False)  # type: ignore[arg-type]  # it asks for None
        elif conf["root"] is not None:
            plan, filenames = self._read(conf)
            if plan not in self._known or not _carry_out(plan, filenames):
                self._leave_to_hydra(conf)
                if plan is not None:
                    if len(self._known) >= _MAX_KNOWN:
                        self._known.clear()
                    self._known.add(plan)
        if isinstance(verbose, bool):
            if verbose:
                logging.getLogger().setLevel(logging.DEBUG)
        else:
            for name in [verbose] if isinstance(verbose, str) else verbose:
                logging.getLogger(name).setLevel(logging.DEBUG)

    def lines(self, conf: Mapping[str, Any] | None, record: logging.LogRecord) -> list[tuple[str, str]] | None:
        """Return the files that a job with this config writes, as the config names them, with a record's text for each.

        Nothing is configured or opened. The text ends in a newline, to be appended in the default encoding; it is empty
        for a handler whose level the record does not reach, which still creates its file. Loggers' levels do not count.
        None for a config that does more with files than that, or that is not of the simple shape.
        """
        if conf is None or conf["root"] is None:
            return []
        plan, filenames = self._read(conf)
        if plan is None or not _are_classes_the_known_ones():
            return None
        on_root = {name: index for index, name in reversed(list(enumerate(plan.root.handlers)))}
        found: list[tuple[int, str, str]] = []
        for handler in plan.handlers:
            if not handler.has_file:
                continue
            options = dict(handler.options)
            if handler.name not in on_root or options.get("mode", "a") != "a" or options.get("encoding") is not None:
                return None
            text = ""
            if record.levelno >= (handler.level or logging.NOTSET):
                try:
                    text = _formatter(plan, handler).format(record) + logging.StreamHandler.terminator
                except Exception:
                    return None  # a real handler reports it, and goes on
            if text or not options.get("delay"):
                found.append((on_root[handler.name], filenames[handler.name], text))
        return [(filename, text) for _, filename, text in sorted(found, key=lambda item: item[0])]

    def _read(self, conf: Mapping[str, Any]) -> tuple[_Plan | None, dict[str, str]]:
        """Return a config of the simple shape as a plan, and its file names; None for any other, a wrong one included.

        Jobs of a sweep differ in file names, if in anything: what equals the config read last is not read again.
        """
        try:
            bare, filenames = _without_filenames(_section(conf, _CONFIG_KEYS))
            if self._read_last is None or self._read_last[0] != bare:
                self._read_last = None
                self._read_last = (copy.deepcopy(bare), _plan(bare))
            return self._read_last[1], filenames
        except _NotSimpleError:
            return None, {}

    def _leave_to_hydra(self, conf: Mapping[str, Any]) -> None:
        try:
            from hydra._internal import logging_config
        except ImportError:  # the releases of Hydra 1.3 that authorize nothing
            logging.config.dictConfig(dict(conf))
        else:
            configure: Any = logging_config.configure_logging  # typed by whichever Hydra is installed
            configure(dict(conf), *self._whitelist)


class _Handler(NamedTuple):
    """A handler of a file, or of a stream: the named one of ``sys``, or by default ``stderr``."""

    name: str
    formatter: str | None
    level: int | None
    stream: str | None = None
    has_file: bool = False
    options: tuple[tuple[str, Any], ...] = ()


class _Logger(NamedTuple):
    name: str
    level: int | None
    handlers: tuple[str, ...]
    propagate: bool | None


class _Plan(NamedTuple):
    """A config of the simple shape, file names apart."""

    formatters: tuple[tuple[str, str | None, str | None], ...]  # name, format, date format
    handlers: tuple[_Handler, ...]  # by name, as they are made
    loggers: tuple[_Logger, ...]
    root: _Logger
    disable_existing: bool


class _NotSimpleError(Exception):
    """A config that only Hydra's own function is to read."""


def _without_filenames(conf: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a config with only the places of its file names, and the names by handler."""
    bare, filenames = {}, {}
    for name, about in _section(conf.get("handlers", {})).items():
        bare[name] = _section(about)
        if "filename" in about:
            filenames[name] = _plain(about["filename"])
            bare[name] = {**about, "filename": None}
    return {**conf, "handlers": bare}, filenames


def _plan(conf: dict[str, Any]) -> _Plan:
    disable = conf.get("disable_existing_loggers", True)
    _check(type(conf.get("version")) is int and conf["version"] == 1 and type(disable) is bool and bool(conf["root"]))
    formatters = []
    for name, about in _section(conf.get("formatters", {})).items():
        _section(about, {"format", "datefmt"})
        fmt, datefmt = about.get("format"), about.get("datefmt")
        formatters.append((_plain(name), _plain_or_none(fmt), _plain_or_none(datefmt)))
    known = [name for name, _, _ in formatters]
    handlers = [_handler(name, about, known) for name, about in _section(conf.get("handlers", {})).items()]
    handlers.sort(key=lambda handler: handler.name)
    known = [handler.name for handler in handlers]
    loggers = [
        _logger(name, _section(about, {"level", "handlers", "propagate"}), known)
        for name, about in _section(conf.get("loggers", {})).items()
    ]
    root = _logger("", _section(conf["root"], {"level", "handlers"}), known)
    return _Plan(tuple(formatters), tuple(handlers), tuple(loggers), root, disable)


def _handler(name: Any, about: Any, formatters: list[str]) -> _Handler:
    _plain(name)
    kind = _section(about).get("class")
    formatter, level = about.get("formatter"), _level(about.get("level"))
    _check(
        formatter is None or (formatter != "" and formatter in formatters)
    )  # an empty name is none to logging.config
    if kind == "logging.StreamHandler":
        _section(about, {"class", "formatter", "level", "stream"})
        if "stream" not in about:
            return _Handler(name, formatter, level)
        _check(type(about["stream"]) is str and about["stream"] in _STREAMS)
        return _Handler(name, formatter, level, _STREAMS[about["stream"]])
    _check(kind == "logging.FileHandler" and "filename" in about)
    _section(about, {"class", "formatter", "level", "filename", *_FILE_OPTIONS})
    options = tuple((key, about[key]) for key in _FILE_OPTIONS if key in about)
    for key, value in options:
        _check(type(value) in _FILE_OPTIONS[key])
        if type(value) is str:
            _plain(value)
    return _Handler(name, formatter, level, None, True, options)


def _logger(name: Any, about: dict[str, Any], known: list[str]) -> _Logger:
    _plain(name)
    handlers, propagate = about.get("handlers"), about.get("propagate")
    _check((handlers is None or type(handlers) is list) and (propagate is None or type(propagate) is bool))
    for handler in handlers or ():
        _check(_plain(handler) in known)
    return _Logger(name, _level(about.get("level")), tuple(handlers or ()), propagate)


def _level(level: Any) -> int | None:
    if level is None or type(level) is int:
        return level
    _check(_plain(level) in _logging._nameToLevel)
    number: int = _logging._nameToLevel[level]
    return number


def _section(value: Any, keys: frozenset[str] | set[str] | None = None) -> dict[str, Any]:
    if type(value) is not dict or (keys is not None and not value.keys() <= keys):
        raise _NotSimpleError
    return value


def _plain(value: Any) -> str:
    """Return a string that logging.config takes as it is."""
    if type(value) is not str or value.startswith(("ext://", "cfg://")):
        raise _NotSimpleError
    return value


def _plain_or_none(value: Any) -> str | None:
    return None if value is None else _plain(value)


def _check(condition: bool) -> None:
    if not condition:
        raise _NotSimpleError


def _are_classes_the_known_ones() -> bool:
    """Tell whether nobody has replaced the classes that the config names, or the one that reads it."""
    now = (logging.Formatter, logging.StreamHandler, logging.FileHandler, logging.config.DictConfigurator)
    return now == _CLASSES and _config.dictConfigClass is logging.config.DictConfigurator


def _formatter(plan: _Plan, handler: _Handler) -> logging.Formatter:
    for name, fmt, datefmt in plan.formatters:
        if name == handler.formatter:
            return logging.Formatter(fmt, datefmt)
    return logging.Formatter()


def _carry_out(plan: _Plan | None, filenames: Mapping[str, str]) -> bool:
    """Set logging up; False where that failed. What was done then is what ``logging.config`` begins with as well."""
    if plan is None or not _are_classes_the_known_ones():
        return False
    if any(callable(getattr(sys, handler.stream)) for handler in plan.handlers if handler.stream is not None):
        return False  # Hydra authorizes what can be called
    try:
        formatters = {name: logging.Formatter(fmt, datefmt) for name, fmt, datefmt in plan.formatters}
        with _logging._lock:
            _config._clearExistingHandlers()
            handlers = {
                handler.name: _made(handler, filenames.get(handler.name), formatters) for handler in plan.handlers
            }
            _set_up_loggers(plan, handlers)
            _set_up(logging.getLogger(), plan.root, handlers)
    except Exception:
        return False
    except BaseException:  # a Ctrl-C
        _forget_half_made()
        raise
    return True


def _forget_half_made() -> None:
    """Take handlers off the registry that were not finished: whatever closes all handlers would fail by them."""
    for reference in _logging._handlerList[:]:
        handler = reference()
        is_made = isinstance(getattr(handler, "lock", None), _LOCK_TYPE)
        if not is_made or (isinstance(handler, logging.StreamHandler) and not hasattr(handler, "stream")):
            _logging._handlerList.remove(reference)


def _set_up_loggers(plan: _Plan, handlers: Mapping[str, logging.Handler]) -> None:
    if not plan.loggers:  # what follows comes to this; with hundreds of loggers it is most of the time
        for item in logging.root.manager.loggerDict.values():
            item.disabled = plan.disable_existing  # type: ignore[union-attr]  # of placeholders too
        return
    existing = sorted(logging.root.manager.loggerDict)
    children: list[str] = []
    for logger in plan.loggers:
        if logger.name in existing:
            at = existing.index(logger.name)
            children += [name for name in existing[at + 1 :] if name.startswith(logger.name + ".")]
            del existing[at]
        real = logging.getLogger(logger.name)
        _set_up(real, logger, handlers)
        real.disabled = False
        if logger.propagate is not None:
            real.propagate = logger.propagate
    _config._handle_existing_loggers(existing, children, plan.disable_existing)


def _made(handler: _Handler, filename: str | None, formatters: Mapping[str, logging.Formatter]) -> logging.Handler:
    made: logging.Handler
    if handler.has_file and filename is not None:
        made = logging.FileHandler(filename, **dict(handler.options))
    elif handler.stream is not None:
        made = logging.StreamHandler(getattr(sys, handler.stream))
    else:
        made = logging.StreamHandler()
    if handler.formatter is not None:
        made.setFormatter(formatters[handler.formatter])
    if handler.level is not None:
        made.setLevel(handler.level)
    made.name = handler.name
    return made


def _set_up(real: logging.Logger, logger: _Logger, handlers: Mapping[str, logging.Handler]) -> None:
    if logger.level is not None:
        real.setLevel(logger.level)
    for handler in real.handlers[:]:
        real.removeHandler(handler)
    for name in logger.handlers:
        real.addHandler(handlers[name])
