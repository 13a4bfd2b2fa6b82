"""The torture that launchers are compared by: what it counts, on sweeps that really lose their processes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.torture import LAUNCHERS, Toll, is_named, suffer
from benchmarks.torture_app import DEEDS, OUTSIDE, write_tortured_app

pytestmark = pytest.mark.any_hydra
BASIC, _, PARCACHE = LAUNCHERS.values()
JOBS = 6  # of which number 2 is the victim


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app whose jobs do the deeds."""
    folder = tmp_path_factory.mktemp("tortured")
    write_tortured_app(folder)
    return folder


def toll(app: Path, deed: str, launcher: tuple[str, ...]) -> Toll:
    """Return what a deed costs; a sweep that hangs is no result."""
    notes: list[str] = []
    found = suffer(app, deed, launcher, JOBS, notes)
    assert notes == []
    return found


def test_toll_of_a_killed_sweep_is_all_that_came_after(app: Path) -> None:
    """Where jobs run in the sweep's own process, nothing comes back, nothing is kept and nobody is named."""
    assert toll(app, "killed", BASIC) == Toll(healthy=5, ended=2, returned=0, kept=0, named=False)


def test_toll_of_a_raised_exception_is_told_by_what_came_back(app: Path) -> None:
    """With the basic launcher an exception costs its own job, and what is not stored is not kept."""
    assert toll(app, "hostile_exception", BASIC) == Toll(healthy=5, ended=5, returned=5, kept=0, named=True)


@pytest.mark.parametrize("deed", ["segfault", "unpicklable_result"])
def test_toll_of_a_deed_with_parcache_is_its_own_job(app: Path, deed: str) -> None:
    """Every other job ends, comes back and is kept, and the failed one is named."""
    assert toll(app, deed, PARCACHE) == Toll(healthy=5, ended=5, returned=5, kept=5, named=True)


def test_toll_of_a_worker_killed_from_outside_with_parcache_is_nothing(app: Path) -> None:
    """The job that was killed is healthy, runs again and comes back: no job has failed."""
    assert toll(app, OUTSIDE, PARCACHE) == Toll(healthy=6, ended=6, returned=6, kept=6, named=None)


def test_deeds_are_all_in_the_app(app: Path) -> None:
    """A deed that is misspelled would be an error like any other, and pass for a misfortune."""
    defined = {
        node.name for node in ast.parse((app / "deeds.py").read_text()).body if isinstance(node, ast.FunctionDef)
    }
    assert set(DEEDS) <= defined


def test_job_is_named_by_more_than_its_announcement() -> None:
    """The list of jobs that launchers print before they start is no word about a failure."""
    announced = "[2026-01-01 00:00:00,000][HYDRA] \t#6 : n=6 deed=killed\n"
    assert not is_named(announced, 6)
    assert not is_named(announced + "Error executing job with overrides: ['n=16']\n", 6)
    assert is_named(announced + "Error executing job with overrides: ['n=6', 'deed=killed']\n", 6)
