"""Edits that cannot change what a job does: no job runs again."""

from __future__ import annotations

import pytest

from tests.editing import Theatre
from tests.edits import HITS


@pytest.mark.parametrize("name", HITS)
def test_edit_that_cannot_matter_runs_nothing(theatre: Theatre, name: str) -> None:
    """After the edit every job is served from the store, and after it is taken back, too."""
    theatre.play(HITS[name])
