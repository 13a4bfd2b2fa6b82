"""A real Grid Engine for all tests of this folder, which one worker runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.grid_engine import why_not
from tests.grid_engine.engine import GridEngine
from tests.slurm.requirement import need

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have one worker run them: the engine is brought up once."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("grid_engine"))


@pytest.fixture(scope="session")
def grid_engine() -> Iterator[GridEngine]:
    """Bring up a Grid Engine with one queue."""
    need(why_not())
    with tempfile.TemporaryDirectory(prefix="sge-") as folder:
        engine = GridEngine(Path(folder))
        engine.up()
        try:
            yield engine
        finally:
            engine.down()
