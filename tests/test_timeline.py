"""The order of imports in a fingerprint, where there are too many imports to follow each way through them."""

from __future__ import annotations

from pathlib import Path

import pytest

from parcache.keys import timeline
from parcache.keys.fingerprint import Fingerprinter
from parcache.keys.task import TaskIdentity

pytestmark = pytest.mark.any_hydra

FILES = {
    "timeline_reg.py": "R = []\n",
    "timeline_a.py": "from timeline_reg import R\nR.append(1)\n",
    "timeline_b.py": "from timeline_reg import R\nR.append(2)\n",
    "timeline_inert_a.py": "X = 1\n",
    "timeline_inert_b.py": "X = 2\n",
}
BODY = "from timeline_reg import R\ndef main(cfg): return list(R)\n"


def fingerprint(folder: Path, *imports: str) -> str:
    """Return the digest of a task whose module has these imports."""
    for path, text in {**FILES, "timeline_app.py": "".join(f"import {name}\n" for name in imports) + BODY}.items():
        (folder / path).write_text(text)
    identity = TaskIdentity("timeline_app.main", b"", frozenset({("timeline_app", "main")}))
    return Fingerprinter(identity).fingerprint().digest


@pytest.mark.parametrize("steps", [timeline.MAX_STEPS, 0])
def test_fingerprint_imports_swapped_counts_where_they_change_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Modules that register count in order, however many steps may be taken, and others do not."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(timeline, "MAX_STEPS", steps)
    names = ["timeline_a", "timeline_b", "timeline_inert_a", "timeline_inert_b"]
    first = fingerprint(tmp_path, *names)
    assert fingerprint(tmp_path, "timeline_b", "timeline_a", *names[2:]) != first
    assert fingerprint(tmp_path, "timeline_inert_b", *names[:3]) == first
