"""Reports: what is told of jobs, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from parcache.report.changes import ABSENT, Change, Kind
from parcache.report.data import data
from parcache.report.evidence import InputState
from parcache.report.text import MAX_GROUPS, lines, ranges, shown
from parcache.report.verdicts import Mentions, Report, Verdict, report
from parcache.store.paths import StorePaths
from parcache.store.store import Store
from parcache.store.sweeps import Heading, RecordedJob, Status, SweepRecord
from tests.reporting import PARTS, code, evidence, head, key, publish, store

pytestmark = pytest.mark.any_hydra

__all__ = ["evidence", "store"]


def recorded(*jobs: RecordedJob, **heading: Any) -> SweepRecord:
    start = Heading(started_ns=1 << 62, cwd="/here", sweep_dir="/here/out")._replace(**heading)
    return SweepRecord("/record", start, {job.number: job for job in jobs}, {}, 0)


def test_report_holds_a_miss_against_entries_from_before_its_sweep(store: Store) -> None:
    """What was stored after the sweep began, its own results included, explains nothing."""
    publish(store, key("aa", "other"), {"x": 1})
    job = RecordedJob(0, Status.MISS, "bb" * 20, "config", PARTS, explanation={"config": {"x": 2}})
    assert report(store.paths, recorded(job), is_past=True).verdicts[0].changes == (Change(Kind.CONFIG, "x", 2, 1),)
    (verdict,) = report(store.paths, recorded(job, started_ns=5), is_past=True).verdicts
    assert verdict.changes == ()
    assert verdict.note == "no other result was stored before"


def test_report_against_another_task_tells_only_that(store: Store) -> None:
    """Between two tasks there is nothing to compare."""
    publish(store, key("aa", "other"), {"x": 1}, task="other:main")
    job = RecordedJob(0, Status.MISS, "bb" * 20, "config", PARTS)
    record = recorded(job)._replace(codes={"code1": code()})
    (verdict,) = report(store.paths, record, is_past=True).verdicts
    assert verdict.changes == (Change(Kind.TASK, "", "app:main", "other:main"),)


def test_report_names_variables_that_are_not_named_and_dynamic_constructs(store: Store) -> None:
    """Variables in cache.env are not mentioned, others that the code reads are."""
    job = RecordedJob(0, Status.MISS, "bb" * 20, "config", PARTS)
    described = code(environ=["A", "B"], dynamic=[["/here/a.py", 3, "import_module(name)"]])
    record = recorded(job, env=("A",))._replace(codes={"code1": described})
    assert report(store.paths, record, is_past=True).mentions == Mentions(
        ("B",), (("/here/a.py", 3, "import_module(name)"),)
    )


def example() -> Report:
    """A report with a bit of everything."""
    near = head(key("aa", "other"), 0)
    diff = ("--- stored", "+++ now", "@@ -1,2 +1,2 @@", " def fit(x):", "-    return x", "+    return 2 * x")
    edited = Change(Kind.DEFINITION, "models.svm.SVM", "f1", "f2", "/here/models/svm.py", 4, diff)
    verdicts = [Verdict(n, Status.MISS, f"k{n}", (f"seed={n}",), near, (edited,)) for n in range(3)]
    values = (Change(Kind.CONFIG, "lr", 0.1, ABSENT), Change(Kind.DISTRIBUTION, "numpy", "2.0", "1.26"))
    inputs = (
        Change(Kind.INPUT, "data.csv", InputState("file", 5, 0), InputState("file", 3, 0), "data.csv"),
        Change(Kind.ENV, "DATA", None, "d1"),
        Change(Kind.SALT, "", "v2", ""),
    )
    verdicts += [
        Verdict(3, Status.MISS, "k3", ("lr=0.1",), near, values),
        Verdict(4, Status.MISS, "k4", ("lr=0.2",), near, (values[0]._replace(wanted="0.2"), values[1])),
        Verdict(5, Status.FAILED, "k5", (), near, inputs, "ValueError: no"),
        Verdict(6, Status.UNCACHED, "", (), note="Cannot key the config at $.x"),
        Verdict(7, Status.DUPLICATE, "k3", note="the same key as job 3"),
        Verdict(8, Status.HIT, "k8", ("x=8",), near),
        Verdict(10, Status.HIT, "k9", ("x=9",), near),
    ]
    heading = Heading(0, ("/usr/bin/python", "train.py"), ("-m", "seed=0,1"), "/here", "/here/out", mode="use")
    mentions = Mentions(("TOKEN",), (("/here/a.py", 3, "getattr(module, name)"), ("", 0, "builtins.eval")))
    return Report("/here/.parcache", heading, True, tuple(verdicts), mentions, 1)


GOLDEN = Path(__file__).parent / "golden"


def test_report_as_text_is_the_golden_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of a report changes only on purpose."""
    monkeypatch.setenv("TZ", "UTC")
    import time

    time.tzset()
    assert "\n".join(line.text for line in lines(example())) + "\n" == (GOLDEN / "why.txt").read_text()


def test_report_as_json_is_the_golden_one() -> None:
    """The JSON of a report changes only on purpose; it survives a round trip."""
    found = data(example())
    assert json.loads(json.dumps(found)) == json.loads((GOLDEN / "why.json").read_text())


def test_report_of_very_many_reasons_is_short() -> None:
    """A sweep in which every job has a reason of its own does not fill the screen."""
    verdicts = tuple(Verdict(n, Status.UNCACHED, "", note=f"reason {n}") for n in range(1000))
    text = lines(example()._replace(verdicts=verdicts))
    assert len(text) < 4 * MAX_GROUPS
    assert any("980 more reasons" in line.text for line in text)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], ""), ([4], "4"), ([3, 1, 2, 7], "1-3, 7"), (range(0, 40, 2), "0, 2, 4, 6, 8, 10, 12, 14, …")],
)
def test_ranges_of_numbers_are_short(numbers: Any, expected: str) -> None:
    """Consecutive numbers are one range, very many are cut."""
    assert ranges(numbers) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "1"),
        ("1", '"1"'),
        (1.0, "1.0"),
        (None, "null"),
        (True, "true"),
        (ABSENT, "(absent)"),
        ({}, "{}"),
        ({"<digest>": "abcdef0123456"}, "(from outside the config, digest abcdef01)"),
        ({"<expression>": "${now:%H}"}, "${now:%H} (counts as this expression)"),
        ({"<refused>": "no"}, "(no stable form: no)"),
        ("ü", '"ü"'),
    ],
    ids=str,
)
def test_shown_value_tells_its_type(value: Any, expected: str) -> None:
    """Values that are different look different."""
    assert shown(value) == expected


def test_store_paths_of_sources_and_sweeps_lie_in_the_store() -> None:
    """The new files have names of their own below the store."""
    paths = StorePaths("/s")
    assert paths.source("ab" * 20) == f"/s/sources/ab/{'ab' * 20}.z"
    assert paths.sweeps == "/s/sweeps"
