"""`cache.packages`: installed packages that count like one's own code, and own ones that do not."""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.edits.case import SITE

pytestmark = pytest.mark.any_hydra

APP = """
import os, sys
import hydra
import fakelib, shared

@hydra.main(config_path=None, version_base=None)
def main(cfg):
    with open(os.environ["RUNS"], "a") as file:
        file.write("run ")
    return fakelib.f() + shared.g()

main()
"""


@pytest.fixture
def project(project: Project) -> Project:
    """Return a project that uses an installed package and one of its own."""
    project.write(app=APP, shared____init__="from shared.part import g\n", shared__part="def g():\n    return 2\n")
    site = project.folder / SITE
    (site / "fakelib").mkdir(parents=True)
    (site / "fakelib" / "__init__.py").write_text("def f():\n    return 1\n")
    (site / "fakelib-1.dist-info").mkdir()
    (site / "fakelib-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: fakelib\nVersion: 1\n")
    (site / "fakelib-1.dist-info" / "RECORD").write_text("fakelib/__init__.py,,\nfakelib-1.dist-info/RECORD,,\n")
    project.env["PYTHONPATH"] = str(site)
    return project


def runs_after_edits(project: Project, packages: str) -> list[int]:
    """Return how often the job has run at first, after an edit of the installed package, and of the own one."""
    sweep = ("-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial", "hydra.launcher.cache.dir=store")
    counts = []
    edits: list[tuple[str, str] | None] = [
        None,
        (f"{SITE}/fakelib/__init__.py", "def f():\n    return 10\n"),
        ("shared/part.py", "def g():\n    return 20\n"),
    ]
    for edit in edits:
        if edit is not None:
            (project.folder / edit[0]).write_text(edit[1])
        project.run(*sweep, f"hydra.launcher.cache.packages={packages}").check()
        counts.append(project.runs.read_text().count("run"))
    return counts


@pytest.mark.parametrize(
    ("packages", "counts"),
    [("[]", [1, 1, 2]), ("[fakelib]", [1, 2, 3]), ("['!shared']", [1, 1, 1]), ("[fakelib,'!shared']", [1, 2, 2])],
)
def test_packages_named_count_or_do_not(project: Project, packages: str, counts: list[int]) -> None:
    """A package counts by its code when it is named, and does not with an exclamation mark."""
    assert runs_after_edits(project, packages) == counts


def test_packages_wrong_name_is_refused(project: Project) -> None:
    """What is no package's name is refused before any job starts."""
    found = project.run("-m", "hydra/launcher=parcache", "hydra.launcher.cache.packages=['a/b']")
    assert found.code != 0
    assert "hydra.launcher.cache.packages" in found.out + found.err
    assert not project.runs.exists()
