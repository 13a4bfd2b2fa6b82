"""The line that a hit leaves in its job's log files, formatted once for many hits.

The jobs of a base have one logging config but for the names of their files, and their lines differ in the message. So a
mark is formatted in its place, by the formatters of the config; what stands around the mark is what stands around
any message, if two marks of different lengths show the same.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from parcache.hydra.base import Variation
from parcache.hydra.joblog import JobLogging
from parcache.hydra.layout import Layout
from parcache.hydra.nodes import Place
from parcache.hydra.values import InvolvedError

log = logging.getLogger("parcache")

_SHORT: Final = "parcache-message"
_LONG: Final = f"<{'a message of parcache ' * 40}>"  # begins and ends with another letter: formats can cut off
_FRESH_S: Final = 0.05  # lines show the time to the millisecond, and a hit takes a tenth of one
_MAX_KNOWN: Final = 64
_NOT_NAMES: Final = ("ext://", "cfg://")  # logging.config takes them for objects

# The name of a file, or its place, and the pieces of its text that the message joins.
_Line = tuple[Place | str, Sequence[str]]


class HitLog:
    """Makes the lines of hits. As global as logging itself: to be used under ``joblog.LOCK``."""

    def __init__(self, logging: JobLogging) -> None:
        self._logging = logging
        self._known: dict[int, tuple[Layout, float, list[_Line]]] = {}

    def __reduce__(self) -> Any:
        return type(self), (self._logging,)

    def lines(self, layout: Layout, variation: Variation, message: str) -> list[tuple[str, str]] | None:
        """Return the files that a job logs to, each with the text to append; None where that takes the real handlers.

        The text is empty for a file that the line does not reach, which is made all the same.
        """
        known = self._known.get(id(layout))
        if known is None or not 0 <= time.time() - known[1] < _FRESH_S:
            record = record_of(message)
            prepared = self._prepared(layout, variation, record)
            if prepared is None:
                return self._logging.lines(layout.logging(variation), record)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = self._known[id(layout)] = layout, record.created, prepared
        try:
            return _filled(layout, known[2], variation.own_values(), message)
        except InvolvedError:
            return self._logging.lines(layout.logging(variation), record_of(message))

    def _prepared(self, layout: Layout, variation: Variation, record: logging.LogRecord) -> list[_Line] | None:
        files = layout.log_files
        conf = layout.logging(variation)
        if files is None or conf is None:
            return None
        short, long = (self._marked(conf, files, record, mark) for mark in (_SHORT, _LONG))
        return [(files[name], pieces) for name, pieces in short] if short is not None and short == long else None

    def _marked(
        self, conf: Mapping[str, Any], files: Mapping[str, Any], record: logging.LogRecord, mark: str
    ) -> list[tuple[str, list[str]]] | None:
        """Return by handler the pieces of text around a mark."""
        handlers = {
            name: {**about, "filename": name} if name in files else about for name, about in conf["handlers"].items()
        }
        marked = copy.copy(record)
        marked.msg = mark
        found = self._logging.lines({**conf, "handlers": handlers}, marked)
        return None if found is None else [(name, text.split(mark)) for name, text in found]


def record_of(message: str) -> logging.LogRecord:
    """Return the record of a line about a hit."""
    return log.makeRecord(log.name, logging.INFO, __file__, 0, message, (), None)


def _filled(layout: Layout, lines: list[_Line], own: Mapping[Place, Any], message: str) -> list[tuple[str, str]]:
    found = []
    for file, pieces in lines:
        name = layout.log_file(file, own) if type(file) is tuple else file
        if type(name) is not str or name.startswith(_NOT_NAMES):
            raise InvolvedError
        found.append((name, message.join(pieces)))
    return found
