"""The lines of hits: filled in, they are what the formatters of the config make of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import setup_globals
from hydra.types import HydraContext, RunMode

from parcache.hydra.compose import compose_jobs
from parcache.hydra.composer import SweepComposer
from parcache.hydra.hitlog import HitLog, record_of
from parcache.hydra.joblog import JobLogging
from parcache.hydra.layout import layout_of

pytestmark = pytest.mark.filterwarnings("ignore:The version_base parameter")  # 1.4 wants it left out, 1.3 needs it

HAS_WHITELIST = "execution_whitelist" in HydraContext.__dataclass_fields__
FORMATS = (
    "[%(name)s][%(levelname)s] - %(message)s",
    "%(message)-200s|",
    "%(message).7s",
    "%(message)s and %(message)s",
    "%(msg)s %(lineno)d",
    "nothing of it, %(levelname)s",
)


@pytest.mark.parametrize("fmt", FORMATS)
def test_lines_of_hits_are_those_that_the_config_formats_each(fmt: str, tmp_path: Path) -> None:
    """Whatever a format does with a message, and whatever is in it: names of files and texts are the same."""
    logging: dict[str, Any] = {"formatters": {"simple": {"format": fmt}}}
    (tmp_path / "config.yaml").write_text(f"lr: 1\nhydra: {{job_logging: {logging!r}}}\n", encoding="utf-8")
    setup_globals()
    with initialize_config_dir(str(tmp_path), version_base=None):
        hydra: Any = GlobalHydra.instance().hydra
        loader = hydra.config_loader
        composer, master = SweepComposer(loader), loader.load_configuration("config", [], RunMode.MULTIRUN)
        jobs = compose_jobs(composer, master, [["lr=1"], ["lr=2"], []], 5)
        hits = HitLog(JobLogging(has_whitelist=HAS_WHITELIST))
        folders = set()
        for job, message in zip(jobs, ("short", "é % %s {} \\ " * 30, "parcache-message"), strict=True):
            layout = layout_of(job.base)
            expected = JobLogging(has_whitelist=HAS_WHITELIST).lines(layout.logging(job.variation), record_of(message))
            assert hits.lines(layout, job.variation, message) == expected
            folders.update(str(Path(name).parent) for name, _ in expected or ())
        assert folders == {job.output_dir for job in jobs}
