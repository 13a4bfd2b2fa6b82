"""Edits that change what a job does: the jobs that they reach run again, and no others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.editing import Theatre
from tests.edits import MISSES

pytestmark = pytest.mark.any_hydra


@pytest.mark.parametrize("name", MISSES)
def test_edit_that_matters_runs_the_jobs_that_it_reaches(theatre: Theatre, name: str) -> None:
    """After the edit the jobs that it reaches run again, and return something else; taken back, none runs."""
    theatre.play(MISSES[name])


@pytest.mark.parametrize(
    "name", ["function_named_by_target_only", "monkeypatch", "model_that_one_job_names", "editable_install"]
)
def test_edit_that_matters_runs_the_jobs_that_it_reaches_in_fresh_processes(
    theatre: Theatre, name: str, backend: str
) -> None:
    """A fresh process for each command, and each backend's workers, come to the same verdict as forked ones."""
    theatre.play(replace(MISSES[name], afresh=True, backend=backend))
