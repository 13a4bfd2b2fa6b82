"""Edits that change what a job does: the jobs that they reach run again, and no others."""

from __future__ import annotations

import pytest

from tests.editing import Theatre
from tests.edits import MISSES


@pytest.mark.parametrize("name", MISSES)
def test_edit_that_matters_runs_the_jobs_that_it_reaches(theatre: Theatre, name: str) -> None:
    """After the edit the jobs that it reaches run again, and return something else; taken back, none runs."""
    theatre.play(MISSES[name])
