"""Doubts of what programs that jobs have started may have imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from parcache.keys import doubts
from parcache.keys.code import Source, content_digest, signature

pytestmark = pytest.mark.any_hydra


@pytest.mark.parametrize(("later_ns", "is_told"), [(-1_000_000, True), (5_000_000, True), (15_000_000, False)])
def test_file_that_bears_the_time_of_a_programs_start_may_have_changed_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later_ns: int, is_told: bool
) -> None:
    """Times of files tick: one that changed just after a program's start can bear an earlier time."""
    file = tmp_path / "late.py"
    file.write_text("x = 1\n")
    source = Source("late", str(file), content_digest(file.read_bytes()), signature(str(file)))
    monkeypatch.setattr(doubts, "_children", lambda: [1])
    monkeypatch.setattr(doubts, "process_start_ns", lambda _: max(source.signature[2:]) + later_ns)
    assert doubts._seen_by_programs([source]) == [str(file)] * is_told
