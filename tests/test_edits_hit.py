"""Edits that cannot change what a job does: no job runs again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.editing import Theatre
from tests.edits import HITS

pytestmark = pytest.mark.any_hydra


@pytest.mark.parametrize("name", HITS)
def test_edit_that_cannot_matter_runs_nothing(theatre: Theatre, name: str) -> None:
    """After the edit every job is served from the store, and after it is taken back, too."""
    theatre.play(HITS[name])


@pytest.mark.parametrize("name", ["comment_changed", "project_moved"])
def test_edit_that_cannot_matter_runs_nothing_in_fresh_processes(theatre: Theatre, name: str, backend: str) -> None:
    """A fresh process for each command, and each backend's workers, come to the same verdict as forked ones."""
    theatre.play(replace(HITS[name], afresh=True, backend=backend))
