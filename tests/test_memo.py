"""What was found out about code is remembered, and never believed when anything that it rests on has changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parcache.keys.fingerprint import Fingerprinter
from parcache.keys.task import TaskIdentity
from parcache.keys.units import Table, tabulate
from parcache.store.notes import Notes
from parcache.store.store import Store

pytestmark = pytest.mark.any_hydra

FILES = {
    "memo_app.py": "from memo_pack import helper\ndef main(cfg):\n    return helper.f(cfg)\n",
    "memo_pack/__init__.py": "",
    "memo_pack/helper.py": "try:\n    import memo_fast as a\nexcept ImportError:\n    a = None\ndef f(x): return a\n",
}
IDENTITY = TaskIdentity("memo_app:main", b"", frozenset({("memo_app", "main")}))


class Counting:
    """Notes in memory that count what is asked of them."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.puts = 0

    def get(self, name: str) -> bytes | None:
        return self.kept.get(name)

    def put(self, name: str, data: bytes) -> None:
        self.puts += 1
        self.kept[name] = data


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def take(notes: Counting | None, *names: str) -> str:
    return Fingerprinter(IDENTITY, notes=notes).fingerprint(names).digest


def test_walk_again_is_remembered_whole(folder: Path) -> None:
    """The second time nothing is parsed and nothing new is kept, and the fingerprint is the same in all its parts."""
    notes = Counting()
    first = Fingerprinter(IDENTITY, notes=notes).fingerprint()
    puts = notes.puts
    again = Fingerprinter(IDENTITY, notes=notes).fingerprint()
    assert (again.digest, again.sources, again.definitions) == (first.digest, first.sources, first.definitions)
    assert again.description() == first.description()
    assert notes.puts == puts
    assert first.digest == take(None)


def edit(name: str, text: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    return change


CHANGES: dict[str, Callable[[Path], object]] = {
    "an edit": edit("memo_pack/helper.py", "def f(x): return 2\n"),
    "an edit of the same size": edit("memo_app.py", FILES["memo_app.py"].replace("(cfg)\n", "(cfx)\n", 1)),
    "a module that was absent": edit("memo_fast.py", "x = 1\n"),
    "a package in a module's place": edit("memo_app/__init__.py", "def main(cfg): return 3\n"),
    "a module that is gone": lambda folder: os.unlink(folder / "memo_pack/helper.py"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_walk_after_a_change_is_made_anew(folder: Path, name: str) -> None:
    """After any change that a walk rests on, the remembered fingerprint is what one without a memory would be."""
    notes = Counting()
    before = take(notes)
    CHANGES[name](folder)
    assert take(notes) == take(None) != before


def test_walk_of_other_names_is_another(folder: Path) -> None:
    """Walks are told apart by what the config names."""
    notes = Counting()
    (folder / "memo_model.py").write_text("class A: pass\n")
    assert take(notes) != take(notes, "memo_model.A") == take(None, "memo_model.A")


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-3], lambda data: b"x" + data[1:]])
def test_notes_damaged_are_none(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A note that is not what was put is not there."""
    notes = Notes(Store.open(str(tmp_path), writable=True).paths)
    notes.put("a", b"what was found out")
    assert notes.get("a") == b"what was found out"
    (path,) = (tmp_path / "notes").glob("*/*.note")
    path.write_bytes(damage(path.read_bytes()))
    assert notes.get("a") is None


def test_notes_under_another_name_are_none(tmp_path: Path) -> None:
    """A note that was copied over another is not taken for it."""
    notes = Notes(Store.open(str(tmp_path), writable=True).paths)
    notes.put("a", b"1")
    (first,) = (tmp_path / "notes").glob("*/*.note")
    notes.put("b", b"2")
    (second,) = (path for path in (tmp_path / "notes").glob("*/*.note") if path != first)
    second.write_bytes(first.read_bytes())
    assert (notes.get("a"), notes.get("b")) == (b"1", None)


def test_notes_not_writable_keep_nothing(tmp_path: Path) -> None:
    """A store that is only read gets no notes."""
    notes = Notes(Store.open(str(tmp_path), writable=True).paths, writable=False)
    notes.put("a", b"1")
    assert notes.get("a") is None
    assert not (tmp_path / "notes").exists()


def test_table_as_data_is_the_same_table() -> None:
    """What is kept of a module makes the same table again."""
    source = Path(__file__).read_bytes()
    table = tabulate(source, "tests.test_memo", False)
    again = Table.of_data(table.data())
    assert (again.units, again.binders, again.aliases) == (table.units, table.binders, table.aliases)
    assert (again.changed, again.stars, again.lines) == (table.changed, table.stars, table.lines)
