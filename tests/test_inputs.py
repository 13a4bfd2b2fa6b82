"""Inputs by themselves: which paths count, what is recorded of them, and when that holds."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcache.keys import digests
from parcache.keys.digests import Digester, content_digest, look
from parcache.keys.inputs import (
    Sighting,
    Sightings,
    Verifier,
    identity,
    stamps_of,
    take,
    take_named,
    watched,
)
from parcache.keys.scope import Rules, Scope, relative
from parcache.keys.trees import tree_of
from parcache.model import ABSENT, FILE, FOLDER, TREE, Input, Watched

pytestmark = pytest.mark.any_hydra

OLD = (10**18, 10**18)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def settle(path: Path) -> None:
    """Make a file look as if it had been at rest for long; its change time alone cannot be set back."""
    os.utime(path, ns=OLD)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every file for settled."""
    monkeypatch.setattr(digests, "RACY_NS", -(10**18))


@pytest.fixture
def young(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take for young what has changed within years: of what a test writes, everything but what it dates back."""
    monkeypatch.setattr(digests, "RACY_NS", 10**17)


def seen(*paths: Path) -> Sightings:
    return Sightings({str(path): Sighting(look(str(path))) for path in paths})


def listed(path: Path, made: tuple[Path, ...] = ()) -> Sightings:
    sighting = Sighting(look(str(path)), tuple(os.listdir(path)))
    return Sightings({str(path): sighting}, frozenset(map(str, made)), frozenset(map(str, made)))


def kept(scope: Scope, sightings: Sightings) -> bytes:
    taken = take(sightings, Rules(scope), Digester())
    assert taken.changed == ()
    return watched([taken], scope).pack()


def holds(scope: Scope, stored: bytes, /, **named: str) -> bool:
    return Verifier(scope).accepts(stored, tuple(named.items()))


# Which paths count.


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/p/data/a.csv", True),
        ("/elsewhere/a.csv", True),
        ("/p/a.py", True),
        ("/p/a.pyc", False),
        ("/p/a.pyi", False),
        ("/p/__pycache__/a.txt", False),
        ("/p/.git/HEAD", False),
        ("/p/x.egg-info/PKG-INFO", False),
        ("/p/store/entries/a", False),
        ("/p/store", False),
        ("/p/store2/a", True),
        ("/p/lib/site-packages/numpy/data.txt", False),
        ("/proc/self/status", False),
        ("/etc/hosts", False),
        ("/usr/share/zoneinfo/UTC", False),
        ("/usr/src/data/a.csv", True),
        ("/procedure/a", True),
        ("/dev/null", False),
        ("/dev/shm/data/a", True),
        ("/share/data/a", True),
        ("/run/media/me/disk/a", True),
        ("/usr/local/share/data/a", True),
        ("/usr/local/lib/a", False),
        (os.path.join(sys.prefix, "share", "x"), False),
        (os.path.join(sys.base_prefix, "lib", "x"), False),
        (os.path.expanduser("~/.config/matplotlib/matplotlibrc"), False),
        (os.path.expanduser("~/.netrc"), False),
        (os.path.expanduser("~/.cache/torch/hub/weights.pt"), True),
        ("/p/wandb/run/model.pt", True),
    ],
)
def test_scope_counts_data_and_nothing_else(path: str, expected: bool) -> None:
    """Data counts wherever it lies; code, installed packages, the system, tools and the store do not."""
    assert Rules(Scope("/p", "/p/store")).counts(path) is expected


def test_scope_project_below_a_system_folder_counts() -> None:
    """Of a system folder and the project in it, the deeper decides; so does an environment in the project."""
    rules = Rules(Scope("/usr/share/app"))
    assert rules.counts("/usr/share/app/data/a")
    assert not rules.counts("/usr/share/other")
    assert Rules(Scope("/etc")).counts("/etc/data")


def test_scope_project_in_a_folder_of_a_tools_name_counts() -> None:
    """What a project's own folder is called does not matter."""
    assert Rules(Scope("/home/site-packages/p")).counts("/home/site-packages/p/a")


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.log", "/p/a.log", True),
        ("*.log", "/p/deep/er/a.log", True),
        ("*.log", "/q/a.log", True),
        ("*.log", "/p/a.log2", False),
        ("logs", "/p/deep/logs/a", True),
        ("p", "/p/a", False),
        ("logs/*.txt", "/p/logs/a.txt", True),
        ("logs/*.txt", "/p/logs/deep/a.txt", False),
        ("logs/*.txt", "/p/x/logs/a.txt", False),
        ("logs/**", "/p/logs/deep/a.txt", True),
        ("logs/**/a.txt", "/p/logs/a.txt", True),
        ("logs/**/a.txt", "/p/logs/x/y/a.txt", True),
        ("**/a.txt", "/p/x/a.txt", True),
        ("./logs/", "/p/logs/a", True),
        ("/q/*", "/q/a/b", True),
        ("/q/*", "/p/q/a", False),
        ("a?.[ch]", "/p/ab.c", True),
        ("a?.[!ch]", "/p/ab.c", False),
        ("~/x", os.path.expanduser("~/x/y"), True),
        ("a+b(1)", "/p/a+b(1)", True),
    ],
)
def test_scope_pattern_matches_names_or_whole_paths(pattern: str, path: str, expected: bool) -> None:
    """A pattern without a slash is a name anywhere, any other a path from where the sweep was started."""
    assert Rules(Scope("/p", excluded=(pattern,))).is_excluded(path) is expected


@pytest.mark.parametrize(
    ("path", "root", "shown"),
    [("/p/a", "/p", "a"), ("/p", "/p", "."), ("/q/a", "/p", "/q/a"), ("/pq", "/p", "/pq"), ("/a", "/", "a")],
)
def test_relative_path_is_that_below_the_root(path: str, root: str, shown: str) -> None:
    """Paths below the root are kept without it."""
    assert relative(path, root) == shown


# What is recorded holds as long as it is so.


def test_input_file_holds_by_content(root: Path) -> None:
    """A file is as it was where its content is, at any time; not where it has another one of the same size."""
    scope = Scope(str(root))
    (root / "a").write_text("one")
    data = kept(scope, seen(root / "a"))
    assert [each[:3] for each in Watched.parse(data).inputs] == [("a", FILE, 3)]
    os.utime(root / "a", (1, 1))
    assert holds(scope, data)
    for text in ("two", "three", ""):
        (root / "a").write_text(text)
        assert not holds(scope, data)
    (root / "a").unlink()
    assert not holds(scope, data)
    (root / "a").mkdir()
    assert not holds(scope, data)


def test_input_file_at_rest_is_not_read_again(root: Path, settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Size and times that are the same, and old enough, are proof; a later change time is not."""
    scope = Scope(str(root))
    (root / "a").write_text("one")
    data = kept(scope, seen(root / "a"))
    read: list[str] = []

    def reading(path: str) -> str:
        read.append(path)
        return content_digest(path)

    monkeypatch.setattr(digests, "content_digest", reading)
    assert holds(scope, data)
    assert read == []
    before = os.stat(root / "a").st_ctime_ns
    while os.stat(root / "a").st_ctime_ns == before:  # until the file system's clock has ticked
        (root / "a").chmod(0o600)
    assert holds(scope, data)
    assert read == [str(root / "a")]


def test_input_file_that_was_young_is_read_again(root: Path, young: None) -> None:
    """A file that changed within a short time before it was recorded is never believed by its times."""
    (root / "a").write_text("one")
    settle(root / "a")  # its change time is that of now
    (found,) = Watched.parse(kept(Scope(str(root)), seen(root / "a"))).inputs
    assert (found.mtime_ns, found.stamp) == (OLD[0], "")


def test_input_moved_with_its_root_holds(root: Path) -> None:
    """What lies below the root is found below another root; what lies elsewhere stays there."""
    (root / "a").write_text("one")
    (root.parent / "b").write_text("two")
    data = kept(Scope(str(root)), seen(root / "a", root.parent / "b"))
    moved = root.parent / "moved"
    shutil.move(root, moved)
    assert holds(Scope(str(moved)), data)
    (root.parent / "b").write_text("tow")
    assert not holds(Scope(str(moved)), data)


def test_input_absent_holds_until_it_is_there(root: Path) -> None:
    """Nothing is as good as nothing, until something is there."""
    scope = Scope(str(root))
    data = kept(scope, seen(root / "a"))
    assert [each.kind for each in Watched.parse(data).inputs] == [ABSENT]
    assert holds(scope, data)
    (root / "a").write_text("")
    assert not holds(scope, data)


@pytest.mark.parametrize("as_folder", [False, True])
def test_input_absent_and_written_by_the_job_holds_in_both_states(root: Path, as_folder: bool) -> None:
    """What the job made of nothing counts as nothing and as that."""
    scope, path = Scope(str(root)), root / "a"
    sightings = Sightings({str(path): Sighting(None)}, frozenset({str(path)}), frozenset({str(path)}))

    def write(name: str) -> None:
        if as_folder:
            path.mkdir()
            (path / name).touch()
        else:
            path.write_text(name)

    write("left")
    data = kept(scope, sightings)
    assert holds(scope, data)
    shutil.rmtree(path) if as_folder else path.unlink()
    assert holds(scope, data)
    write("other")
    assert not holds(scope, data)


def test_input_folder_holds_by_its_names(root: Path) -> None:
    """A listed folder counts by the names in it, caches and the sweep's own folders left out."""
    scope = Scope(str(root), sweep_dir=str(root / "results" / "today"))
    (root / "a").write_text("one")
    data = kept(scope, listed(root))
    for name in ("__pycache__", "results", "multirun", ".git"):
        (root / name).mkdir()
    (root / "a").write_text("another content")
    assert holds(scope, data)
    (root / "b").touch()
    assert not holds(scope, data)
    (root / "b").unlink()
    (root / "a").unlink()
    assert not holds(scope, data)


def test_input_folder_holds_with_and_without_what_the_job_made(root: Path) -> None:
    """A folder counts as the job found it and as the job left it."""
    scope = Scope(str(root))
    (root / "a").touch()
    before = listed(root)
    (root / "out").touch()
    data = kept(scope, before._replace(made=frozenset({str(root / "out")})))
    assert holds(scope, data)
    (root / "out").unlink()
    assert holds(scope, data)
    (root / "b").touch()
    assert not holds(scope, data)


@pytest.mark.parametrize("change", ["edit", "replace", "remove", "touch"])
def test_take_file_changed_since_it_was_opened_is_told(root: Path, change: str) -> None:
    """Nobody knows what was read of a file that has changed since."""
    path = root / "a"
    path.write_text("one")
    settle(path)
    sightings = seen(path)
    if change == "edit":
        path.write_text("two")
    elif change == "replace":
        (root / "b").write_text("two")
        os.replace(root / "b", path)
    elif change == "remove":
        path.unlink()
    else:
        os.utime(path)
    assert take(sightings, Rules(Scope(str(root))), Digester()).changed == (str(path),)


def test_take_absent_file_that_somebody_else_made_is_told(root: Path) -> None:
    """A file that came into being while the job ran, and not by the job, makes its result uncertain."""
    sightings = seen(root / "a")
    (root / "a").touch()
    assert take(sightings, Rules(Scope(str(root))), Digester()).changed == (str(root / "a"),)


def test_take_listed_folder_that_somebody_else_changed_is_told(root: Path) -> None:
    """So does a name that came into a listed folder."""
    sightings = listed(root)
    (root / "a").touch()
    assert take(sightings, Rules(Scope(str(root))), Digester()).changed == (str(root),)


def test_take_own_directory_and_what_does_not_count_is_left_out(root: Path) -> None:
    """What lies in the job's own directory is not recorded."""
    for name in ("own", "__pycache__"):
        (root / name).mkdir()
        (root / name / "a").touch()
    sightings = seen(root / "own" / "a", root / "__pycache__" / "a")
    assert take(sightings, Rules(Scope(str(root))), Digester(), str(root / "own")).inputs == ()


def test_take_after_its_time_is_up_records_without_reading(root: Path, settled: None) -> None:
    """Where reading would take too long, a file is believed by its times alone."""
    scope = Scope(str(root))
    (root / "a").write_text("one")
    taken = take(seen(root / "a"), Rules(scope), Digester(), until_s=time.perf_counter() - 1)
    assert [(each.digest, bool(each.stamp)) for each in taken.inputs] == [("", True)]
    data = watched([taken], scope).pack()
    assert holds(scope, data)
    os.utime(root / "a", (1, 1))
    assert not holds(scope, data)


def test_take_after_its_time_is_up_reads_what_its_times_do_not_prove(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that has just been written has no stamp, and an entry without either would never be served."""
    monkeypatch.setattr(digests, "RACY_NS", 10**18)
    scope = Scope(str(root))
    (root / "a").write_text("one")
    taken = take(seen(root / "a"), Rules(scope), Digester(), until_s=time.perf_counter() - 1)
    assert holds(scope, watched([taken], scope).pack())


def test_identity_is_that_of_the_contents(root: Path) -> None:
    """The same contents have one identity at any time, others another one, and none has none."""
    scope = Scope(str(root))
    (root / "a").write_text("one")
    first = kept(scope, seen(root / "a"))
    os.utime(root / "a", (1, 1))
    again = kept(scope, seen(root / "a"))
    assert first != again
    assert identity(Watched.parse(first)) == identity(Watched.parse(again))
    (root / "a").write_text("two")
    assert identity(Watched.parse(kept(scope, seen(root / "a")))) != identity(Watched.parse(first))
    assert identity(Watched()) == ""


# Named inputs.


def named_of(scope: Scope, /, **named: str) -> bytes:
    items, rules = tuple(named.items()), Rules(scope)
    taken = take_named(items, stamps_of(items, rules), rules, Digester())
    assert taken.changed == ()
    return watched([taken], scope, items).pack()


def test_named_folder_holds_by_all_that_lies_below_it(root: Path) -> None:
    """A named folder counts by names and contents, at any depth and through links, whatever the times."""
    (root / "d" / "e").mkdir(parents=True)
    (root / "d" / "e" / "a").write_text("one")
    (root / "far").mkdir()
    (root / "far" / "b").write_text("two")
    (root / "d" / "link").symlink_to(root / "far")
    (root / "d" / "circle").symlink_to(root / "d")
    scope, named = Scope(str(root)), {"data": str(root / "d")}
    data = named_of(scope, **named)
    assert [(each.kind, each.label, each.size) for each in Watched.parse(data).inputs] == [(TREE, "data", 6)]
    os.utime(root / "d" / "e" / "a", (1, 1))
    assert holds(scope, data, **named)
    (root / "far" / "b").write_text("tow")
    assert not holds(scope, data, **named)
    (root / "far" / "b").write_text("two")
    (root / "d" / "e" / "empty").mkdir()
    assert not holds(scope, data, **named)


def test_named_path_elsewhere_holds_by_its_label(root: Path) -> None:
    """What is named by a config key is looked for where the key says now."""
    for name in ("here", "there"):
        (root / name).write_text("same")
    scope = Scope(str(root))
    data = named_of(scope, data=str(root / "here"))
    (root / "here").unlink()
    assert holds(scope, data, data=str(root / "there"))
    assert not holds(scope, data, data=str(root / "here"))


def test_named_path_that_was_not_recorded_does_not_hold(root: Path) -> None:
    """An entry proves nothing about what it does not mention; nor does one whose job ran unwatched."""
    scope = Scope(str(root))
    assert holds(scope, b"")
    assert not holds(scope, b"", data=str(root))
    assert not holds(scope, Watched(is_watched=False).pack())


def test_named_file_changed_while_the_job_ran_is_told(root: Path) -> None:
    """What is named must not change between the start of the job and its end."""
    (root / "d").mkdir()
    items, rules = (("d", str(root / "d")),), Rules(Scope(str(root)))
    before = stamps_of(items, rules)
    (root / "d" / "a").touch()
    assert take_named(items, before, rules, Digester()).changed == (str(root / "d"),)


def test_named_path_covers_what_was_seen_below_it(root: Path) -> None:
    """What the job was seen to read below a named path counts with that alone."""
    (root / "d").mkdir()
    (root / "d" / "a").touch()
    scope, rules = Scope(str(root)), Rules(Scope(str(root)))
    taken = [take(seen(root / "d" / "a"), rules, Digester())]
    assert [each.path for each in watched(taken, scope).inputs] == ["d/a"]
    assert watched(taken, scope, (("d", str(root / "d")),)).inputs == ()


def test_tree_is_settled_only_where_all_its_files_are(root: Path, young: None) -> None:
    """One young file makes a folder's stamp worthless."""
    (root / "a").touch()
    assert not tree_of(str(root), Rules(Scope(str(root)))).is_settled


# Patterns of what is not to count.


def test_excluded_by_an_entry_but_not_now_does_not_hold(root: Path) -> None:
    """An entry that left something out proves nothing to those who do not; the other way round it does."""
    (root / "a.log").write_text("one")
    plain, without = Scope(str(root)), Scope(str(root), excluded=("*.log",))
    assert not holds(plain, kept(without, seen(root / "a.log")))
    data = kept(plain, seen(root / "a.log"))
    (root / "a.log").write_text("two")
    assert holds(without, data)
    assert not holds(plain, data)


# Bytes.

TEXT = st.text(max_size=5)
INPUTS = st.builds(
    Input, TEXT, st.sampled_from([FILE, ABSENT, FOLDER, TREE]), st.integers(0, 2**62), st.integers(0), TEXT
)


@given(st.lists(INPUTS, max_size=4), st.lists(TEXT, max_size=2), st.booleans())
def test_watched_packed_comes_back(inputs: list[Input], excluded: list[str], is_watched: bool) -> None:
    """What an entry keeps of its inputs is read as it was written."""
    expected = Watched(tuple(inputs), tuple(excluded), True) if is_watched else Watched(is_watched=False)
    assert Watched.parse(expected.pack()) == expected


def test_watched_members_that_are_unknown_are_ignored() -> None:
    """A later version may keep more of an input."""
    row = '["a","file",1,2,"d","s","","","new"]'
    found = Watched.parse(f'{{"inputs":[{row}],"colour":1}}'.encode())
    assert found.inputs == (Input("a", FILE, 1, 2, "d", "s"),)


@pytest.mark.parametrize(
    "data", [b"x", b"[]", b"3", b'{"inputs":3}', b'{"inputs":[[]]}', b'{"inputs":[[1,2]]}', b"\xff"]
)
def test_watched_bytes_that_are_none_do_not_hold(root: Path, data: bytes) -> None:
    """What cannot be read proves nothing, and breaks nothing."""
    assert not holds(Scope(str(root)), data)


class Counting:
    """A memo that counts."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.hits = 0

    def recall(self, path: str, stamp: str) -> str | None:
        found = self.kept.get((path, stamp))
        self.hits += found is not None
        return found

    def keep(self, path: str, stamp: str, digest: str) -> None:
        self.kept[path, stamp] = digest


def test_digester_keeps_large_settled_files_in_the_memo(
    root: Path, young: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large file at rest is read once for all who share a memo; a small or a young one is not kept there."""
    memo, path = Counting(), root / "big"
    path.write_bytes(b"x" * (1 << 20))
    (root / "small").write_bytes(b"x")
    state = look(str(path))
    assert state is not None
    expected = content_digest(str(path))
    assert Digester(memo).file(str(path), state) == expected
    assert memo.kept == {}
    monkeypatch.setattr(digests, "RACY_NS", -(10**18))
    for _ in range(2):
        assert Digester(memo).file(str(path), state) == expected
        small = look(str(root / "small"))
        assert small is not None
        assert Digester(memo).file(str(root / "small"), small) == content_digest(str(root / "small"))
    assert (len(memo.kept), memo.hits) == (1, 1)


def test_digest_of_a_file_of_several_chunks_is_that_of_its_content(root: Path) -> None:
    """Reading in pieces makes no difference."""
    import xxhash

    data = os.urandom((1 << 21) + 17)
    (root / "a").write_bytes(data)
    assert content_digest(str(root / "a")) == xxhash.xxh3_128_hexdigest(data)
