"""The journal of a sweep: lines that can be read, whatever became of those before."""

from __future__ import annotations

import json
from pathlib import Path

from parcache.run.journal import NAME, Journal


def test_journal_whose_last_line_was_cut_goes_on_with_a_line_of_its_own(tmp_path: Path) -> None:
    """What a full disk or a crash has left of a line spoils no later one."""
    path = tmp_path / NAME
    first = Journal(str(tmp_path), {"backend": "serial"})
    first.note("planned", [0, 1])
    first.close()
    path.write_bytes(path.read_bytes() + b'{"time":17955')
    again = Journal(str(tmp_path), {"backend": "serial"})
    again.note("planned", [0, 1])
    again.close()
    lines = path.read_text().splitlines()
    assert lines.pop(2) == '{"time":17955'
    assert ["journal" in json.loads(line) for line in lines] == [True, False, True, False]


def test_journal_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """Where there is no folder to write to, nothing is written and nothing raised."""
    journal = Journal(str(tmp_path / "missing"), {})
    journal.note("planned", [0])
    journal.note("running", [0])
    journal.close()
    assert list(tmp_path.iterdir()) == []
