"""Reports: which entry is nearest, what differs from it, and how that is told."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parcache.keys.code import WHOLE
from parcache.keys.recipe import CODE_OFF as RECIPES_CODE_OFF
from parcache.model import Key
from parcache.report.changes import ABSENT, EXECUTED, Change, Kind, changes
from parcache.report.data import data
from parcache.report.evidence import CODE_OFF, Evidence, InputState, Side, config_values, inputs_of
from parcache.report.nearest import Neighbourhood
from parcache.report.text import MAX_GROUPS, headline, lines, ranges, shown
from parcache.report.verdicts import Mentions, Report, Verdict, report
from parcache.store.catalog import Head
from parcache.store.entry import pack_explanation
from parcache.store.paths import StorePaths
from parcache.store.store import Store
from parcache.store.sweeps import Heading, KeyParts, RecordedJob, Status, SweepRecord

PARTS = KeyParts(1, "code1", "3.11", "")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), writable=True)


@pytest.fixture
def evidence(store: Store) -> Evidence:
    return Evidence(store.paths, {})


def side(config: Mapping[str, Any] | None = None, parts: KeyParts = PARTS, **inputs: InputState) -> Side:
    return Side(parts, json.dumps(config), config, inputs)


def key(name: str, config: str = "config", **parts: Any) -> Key:
    return Key(name * 20, 1, config, "code1", "3.11", "")._replace(**parts)


def head(key: Key, created_ns: int = 1, task: str = "app:main") -> Head:
    return Head(f"/{key.digest}", created_ns, 2.0, key, {"task": task, "output_dir": "/here/out/0"})


def publish(store: Store, key: Key, config: Mapping[str, Any], task: str = "app:main") -> None:
    stored = store.publish(
        key, 1, run_time_s=2.0, record={"task": task}, shared=pack_explanation({"config": config, "overrides": []})
    )
    assert not stored.reason


# Configs as they are described.


def test_config_values_of_a_base_and_changes_are_those_of_the_job() -> None:
    """What a job changed stands in place of the base's value, whole mappings and lists too."""
    explanation = {
        "config": {"a": 1, "m": {"x": 1, "y": 2}, "l": [1, 2, 3], "e": {}, "s": {"<class>": "app.S", "k": None}},
        "changes": {"$.a": "1", "$.m": {"z": 5}, "$.l": [9]},
    }
    assert config_values(explanation) == {
        "a": "1", "m.z": 5, "l.0": 9, "e": {}, "s.<class>": "app.S", "s.k": None,
    }  # fmt: skip


@pytest.mark.parametrize("explanation", [{}, None, {"overrides": []}, {"config": 5}])
def test_config_values_that_were_not_kept_are_none(explanation: Any) -> None:
    """Nothing known is not an empty config."""
    assert config_values(explanation) is None


def test_config_of_an_empty_task_is_known() -> None:
    """An empty config is one."""
    assert config_values({"config": {}}) == {"": {}}


def test_code_off_is_the_recipes_own() -> None:
    """What stands for code that does not count is the word of the key recipe."""
    assert CODE_OFF == RECIPES_CODE_OFF


# What differs.


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(1, "1"), (1, 1.0), (1, True), (None, "null"), (None, 0), ("a", {"<expression>": "a"}), ([], {})],
    ids=str,
)
def test_changes_of_config_keep_types_apart(evidence: Evidence, ours: Any, theirs: Any) -> None:
    """Values that look alike and have different types differ."""
    assert changes(side({"k": ours}), side({"k": theirs}), evidence) == (Change(Kind.CONFIG, "k", ours, theirs),)


def test_changes_of_config_tell_absent_from_null(evidence: Evidence) -> None:
    """A key that is not there is told as absent, not as null."""
    assert changes(side({"a": None, "b": 1}), side({"b": 1, "c": None}), evidence) == (
        Change(Kind.CONFIG, "a", None, ABSENT),
        Change(Kind.CONFIG, "c", ABSENT, None),
    )


def test_changes_of_config_that_look_alike_are_told_as_types(evidence: Evidence) -> None:
    """Digests that differ without a value that does are told as what they can be."""
    (change,) = changes(Side(PARTS, "1", {"k": "a"}), Side(PARTS, "2", {"k": "a"}), evidence)
    assert "type" in change.note


def test_changes_of_config_that_was_not_kept_say_so(evidence: Evidence) -> None:
    """Where a config was not kept, that is what is told."""
    (change,) = changes(Side(PARTS, "1", {"k": "a"}), Side(PARTS, "2", None), evidence)
    assert "the stored entry was not kept" in change.note


def test_changes_of_another_recipe_compare_no_code(evidence: Evidence) -> None:
    """Between recipe versions digests mean nothing; values that differ are told all the same."""
    found = changes(side({"k": 1}), side({"k": 2}, PARTS._replace(recipe=0, code="other")), evidence)
    assert [change.kind for change in found] == [Kind.RECIPE, Kind.CONFIG]
    assert (found[0].wanted, found[0].found) == (1, 0)


def test_changes_of_environment_tell_unset_from_not_named(evidence: Evidence) -> None:
    """A variable can be unset, and it can be one that did not count."""
    ours = PARTS._replace(env=(("A", None), ("B", "d1")))
    theirs = PARTS._replace(env=(("A", "d2"), ("C", "d3")))
    told = changes(side({}, ours), side({}, theirs), evidence)
    assert [(each.what, each.wanted, each.found) for each in told] == [
        ("A", None, "d2"),
        ("B", "d1", ABSENT),
        ("C", ABSENT, "d3"),
    ]


def code(**members: Any) -> dict[str, Any]:
    return {"task": "app:main", "definitions": [], "files": {}, "distributions": {}, "absent": [], **members}


def code_changes(store: Store, ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[Change, ...]:
    known = Evidence(store.paths, {"ours": ours, "theirs": theirs})
    return changes(side({}, PARTS._replace(code="ours")), side({}, PARTS._replace(code="theirs")), known)


def test_changes_of_definitions_show_each_with_its_own_lines(store: Store, tmp_path: Path) -> None:
    """Of a file only the definitions that changed are shown, each with a diff of its own lines."""
    texts = {
        "old": "import os\n\ndef train(x):\n    return x\n\nclass SVM:\n    C = 1\n",
        "new": "import os, sys\n\n\ndef train(x):\n    return x\n\nclass SVM:\n    C = 2\n    D = 3\n",
    }
    described = []
    for name, train, svm in (("old", [3, 4], [6, 7]), ("new", [4, 5], [7, 9])):
        path = tmp_path / "models.py"
        path.write_text(texts[name])
        from parcache.keys.code import content_digest

        digest = content_digest(path.read_bytes()).hex()
        store.describe_code(f"{name:0<40}", {}, {str(path): digest})
        definitions = [
            ["models", EXECUTED, str(path), [1, 1], name],
            ["models", "train", str(path), train, "same"],
            ["models", "SVM", str(path), svm, name],
        ]
        described.append(code(definitions=definitions, files={str(path): ["models", digest]}))
    found = code_changes(store, described[1], described[0])
    assert [headline(change) for change in found] == ["what models executes on import changed", "models.SVM changed"]
    assert found[0].diff == ("--- stored", "+++ now", "@@ -1 +1 @@", "-import os", "+import os, sys")
    assert found[1].diff[2:] == ("@@ -6,2 +7,3 @@", " class SVM:", "-    C = 1", "+    C = 2", "+    D = 3")
    assert found[1].line == 7


def test_changes_of_definitions_tell_new_ones_from_gone_ones(store: Store) -> None:
    """What counts now and did not, and the reverse, are told as such."""
    found = code_changes(
        store,
        code(definitions=[["a", "new", "/a.py", [1, 2], "f"]], files={}),
        code(definitions=[["b", WHOLE, "/b.py", [1, 9], "f"]], files={}),
    )
    assert [headline(change) for change in found] == ["a.new counts now", "b does not count any more"]


def test_changes_of_the_rest_of_the_code_are_told(store: Store) -> None:
    """Distributions, absent imports and names that lead elsewhere are told with both sides."""
    found = code_changes(
        store,
        code(distributions={"numpy": "2.0", "new": "1"}, absent=["a"], references=[["m.f", "g", "other.g"]]),
        code(distributions={"numpy": "1.0"}, absent=["b"], references=[["m.f", "g", "m.g"]]),
    )
    assert [(each.kind, each.what, each.wanted, each.found) for each in found] == [
        (Kind.DISTRIBUTION, "new", "1", ABSENT),
        (Kind.DISTRIBUTION, "numpy", "2.0", "1.0"),
        (Kind.ABSENT, "b", ABSENT, ABSENT),
        (Kind.ABSENT, "a", ABSENT, ABSENT),
        (Kind.REFERENCE, "m.f: g", "other.g", "m.g"),
    ]


def test_changes_of_code_with_nothing_to_see_name_the_values_of_globals(store: Store) -> None:
    """Fingerprints that differ in no part that is told differ in the values that the task carries."""
    (change,) = code_changes(store, code(), code())
    assert "globals" in change.note


@pytest.mark.parametrize(
    "broken",
    [
        {},
        code(definitions=[["a"]]),
        code(definitions=5),
        code(distributions=None),
        code(references=[["a"]]),
        code(definitions=[["m", "n", "/p", ["x", 2], "f"]]),
    ],
    ids=str,
)
def test_changes_of_code_with_an_odd_description_say_so(store: Store, broken: dict[str, Any]) -> None:
    """A description that makes no sense costs the details."""
    (change,) = code_changes(store, code(definitions=[["m", "n", "/p", [1, 2], "f"]]), broken)
    assert change.kind is Kind.CODE
    assert "damaged" in change.note


def test_changes_of_inputs_are_told_with_size_and_time(evidence: Evidence, tmp_path: Path) -> None:
    """Files that the stored job read are compared with what lies there now, or with what the job read."""
    (tmp_path / "data.csv").write_text("12345")
    (tmp_path / "same.csv").write_text("1")
    stamp = os.stat(tmp_path / "same.csv").st_mtime_ns
    theirs = {
        "data.csv": InputState("file", 3, 7, "d1"),
        "same.csv": InputState("file", 1, stamp, "d2"),
        "gone.csv": InputState("file", 1, 7, "d3"),
    }
    now = Side(PARTS, "1", {}, None)
    told = changes(now, Side(PARTS, "1", {}, theirs), evidence, cwd=str(tmp_path))
    assert [(each.what, each.wanted[:2], each.found[:2]) for each in told] == [
        ("data.csv", ("file", 5), ("file", 3)),
        ("gone.csv", ("absent", 0), ("file", 1)),
    ]
    ours = {"data.csv": InputState("file", 3, 99, "d1"), "same.csv": InputState("file", 1, 8, "dX")}
    told = changes(Side(PARTS, "1", {}, ours), Side(PARTS, "1", {}, theirs), evidence)
    assert [each.what for each in told] == ["same.csv"]


def test_inputs_of_an_entry_are_taken_by_path() -> None:
    """What an entry tells of its inputs is taken over; one that tells nothing has none."""
    row = SimpleNamespace(path="data.csv", kind="file", size=3, mtime_ns=7, digest="d1")
    raw: Any = SimpleNamespace(inputs=lambda: (row,))
    assert inputs_of(raw) == {"data.csv": InputState("file", 3, 7, "d1")}
    assert inputs_of(None) == {}


# Which entry is nearest.


def nearest(
    store: Store, heads: list[Head], config: str = "config", values: Any = None, parts: KeyParts = PARTS
) -> Any:
    found = Neighbourhood(heads, Evidence(store.paths, {})).nearest("app:main", parts, config, values)
    return None if found is None else found.key.digest[:2]


def test_nearest_of_none_is_none(store: Store) -> None:
    """Without entries nothing is near."""
    assert nearest(store, []) is None


def test_nearest_is_of_the_same_task_first(store: Store) -> None:
    """An entry of another task is only near where there is no other."""
    heads = [head(key("aa"), 9, task="other:main"), head(key("bb", "other", salt="x"), 1)]
    assert nearest(store, heads) == "bb"
    assert nearest(store, heads[:1]) == "aa"


def test_nearest_differs_in_the_fewest_parts_of_the_key(store: Store) -> None:
    """One part that differs is nearer than two, however old."""
    heads = [head(key("aa", code="code2", salt="x"), 9), head(key("bb", salt="x"), 1)]
    assert nearest(store, heads) == "bb"


def test_nearest_with_the_same_config_comes_before_one_with_the_same_code(store: Store) -> None:
    """No differing config key is fewer than one."""
    heads = [head(key("aa", "other"), 9), head(key("bb", code="code2"), 1)]
    assert nearest(store, heads) == "bb"


def test_nearest_differs_in_the_fewest_config_keys_then_is_the_newest(store: Store) -> None:
    """Among entries that differ in their config alone the most alike one counts, and of such the newest."""
    configs = {"aa": {"x": 1, "y": 1}, "bb": {"x": 9, "y": 2}, "cc": {"x": 8, "y": 2}}
    for name, config in configs.items():
        publish(store, key(name, f"config {name}"), config)
    heads = [head(key(name, f"config {name}"), created) for name, created in (("aa", 9), ("bb", 5), ("cc", 3))]
    assert nearest(store, heads, "config", {"x": 7, "y": 2}) == "bb"
    assert nearest(store, list(reversed(heads)), "config", {"x": 7, "y": 2}) == "bb"
    assert nearest(store, heads, "config", {"x": 8, "y": 3}) == "cc"


def test_nearest_of_several_times_the_same_is_the_newest(store: Store) -> None:
    """Of entries that differ in the same the newest counts, in whatever order they come."""
    heads = [head(key("aa", code="code2"), 3), head(key("bb", code="code3"), 5), head(key("cc", code="code4"), 4)]
    assert nearest(store, heads) == nearest(store, heads[::-1]) == "bb"


# Reports.


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
