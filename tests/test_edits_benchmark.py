"""The comparison with other caching tools: how cases become plain calls, and how verdicts are counted."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.edits import Asked, Asker, Verdict, table
from benchmarks.edits_peers import PEERS, Project, plain_projects
from tests.edits import CASES

PLAIN = {project.case.name: project for project in plain_projects(CASES.values())}


@pytest.mark.parametrize("peer", PEERS)
def test_plain_project_of_every_tool_is_python(peer: str) -> None:
    """Each tool's program parses, before and after each edit, wherever the case's own files do."""
    for project in PLAIN.values():
        for files, _ in project.states(PEERS[peer]):
            ast.parse(files["train.py"])


def test_plain_call_before_and_after_an_edit_returns_what_a_job_does(tmp_path: Path) -> None:
    """Without a cache, the call runs each time, notices the edit, and comes back."""
    asker = Asker(PEERS["nothing"], tmp_path)
    asked = asker.ask(PLAIN["helper_three_modules_deep"])
    asker.close()
    assert asked == [Asked(True, "2"), Asked(True, "3"), Asked(True, "2")]


def test_plain_call_that_fails_says_why(tmp_path: Path) -> None:
    """A call's error is told, and the next call is none the worse for it."""
    case = CASES["helper_three_modules_deep"]
    broken = Project(type(case)(case.name, {**case.files, "three.py": "def h(x): return 1 // 0\n"}, {}, case.again))
    asker = Asker(PEERS["nothing"], tmp_path)
    errors = [asked.error for asked in asker.ask(broken)]
    asker.close()
    assert all("ZeroDivisionError" in str(error) for error in errors)


def test_table_counts_what_each_tool_noticed_kept_and_lost() -> None:
    """An old result after an edit that matters is not noticed, a run after one that does not is not kept."""
    ran, served = Asked(True, "1"), Asked(False, "1")
    verdicts = [
        Verdict("noticed", "2", True, ran, Asked(True, "2"), served),
        Verdict("stale", "2", True, ran, served, served),
        Verdict("kept", "1", False, ran, served, served),
        Verdict("lost", "1", False, ran, ran, ran),
        Verdict("crashed", "2", True, ran, Asked(False, error="no"), served),
    ]
    assert table({"tool 1": verdicts, "other": "not installed"}).splitlines() == [
        "| | noticed, of 3 edits that matter | kept, of 2 that do not | back to the first | crashes |",
        "|---|---|---|---|---|",
        "| tool 1 | 1 | 1 | 3 of 5 | 1 |",
        "| other | not installed | | | |",
    ]
