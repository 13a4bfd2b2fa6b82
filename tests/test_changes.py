"""What differs between two keys, as values."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parcache.keys.code import WHOLE
from parcache.keys.recipe import CODE_OFF as RECIPES_CODE_OFF
from parcache.model import Input, Watched
from parcache.report.changes import ABSENT, EXECUTED, Change, Kind, changes
from parcache.report.evidence import CODE_OFF, Evidence, InputState, Side, config_values, inputs_of
from parcache.report.text import headline
from parcache.store.paths import StorePaths
from parcache.store.store import Store
from tests.reporting import PARTS, code, evidence, side, store

pytestmark = pytest.mark.any_hydra

__all__ = ["evidence", "store"]


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
    raw: Any = SimpleNamespace(watched=Watched((Input("data.csv", "file", 3, 7, "d1"),)).pack())
    paths = StorePaths("unused")
    assert inputs_of(raw, paths) == {"data.csv": InputState("file", 3, 7, "d1")}
    assert inputs_of(None, paths) == {}
