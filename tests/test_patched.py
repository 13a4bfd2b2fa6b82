"""Functions that are put into another's place before a sweep: what runs is what counts."""

from __future__ import annotations

import pytest

from tests.conftest import Project

TRAIN = """
import os

def loss(x):
    return x

class Model:
    def score(self, x):
        return loss(x)

def main(cfg):
    with open(os.environ["RUNS"], "a") as file:
        file.write("run ")
    return Model().score(cfg.x)
"""
SWEEP = """
import sys
import hydra, parcache, train

def double(x):
    return 2 * x

{patch}
with hydra.initialize_config_dir({conf!r}, version_base=None):
    print("got", parcache.sweep(train.main, overrides=["x=3"], backend="serial"))
"""


def swept(project: Project, patch: str) -> str:
    """Sweep with a patch; return what the job returned and how often it has run in all."""
    project.write(sweep=SWEEP.format(patch=patch, conf=str(project.folder / "conf")), train=TRAIN)
    found = project.run(script="sweep.py").check()
    got = next(line for line in found.out.splitlines() if line.startswith("got"))
    return f"{got} after {project.runs.read_text().count('run')}"


@pytest.mark.parametrize("patch", ["train.loss = double", "train.Model.score = lambda self, x: 2 * x"])
def test_patched_function_is_another_result(project: Project, patch: str) -> None:
    """A function, or a method, in another's place makes another key; without it the earlier result is there."""
    assert swept(project, "") == "got [3] after 1"
    assert swept(project, patch) == "got [6] after 2"
    assert swept(project, patch) == "got [6] after 2"
    assert swept(project, patch.replace("2 *", "5 *")).endswith("after 3" if "2 *" in patch else "after 2")
    assert swept(project, "") == f"got [3] after {3 if '2 *' in patch else 2}"


def test_patched_function_edited_runs_again(project: Project) -> None:
    """The code of a function that stands in another's place counts."""
    assert swept(project, "train.loss = double") == "got [6] after 1"
    edited = "def double(x):\n    return 7 * x\ntrain.loss = double"
    assert swept(project, edited) == "got [21] after 2"
