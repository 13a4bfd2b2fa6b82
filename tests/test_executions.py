"""What a process executes beside its imports is noted, within bounds. Each scene in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from parcache.keys.code import Construct
from parcache.keys.doubts import executes_files
from parcache.keys.texts import Texts

pytestmark = pytest.mark.any_hydra

PRELUDE = """
import importlib, importlib.util, os, runpy, sys, types
sys.path.insert(0, os.getcwd())
from parcache.keys import doubts, executions, loading, witness
from parcache.keys.code import Source, content_digest, signature

noted = executions.of_this_process()
OLD, NEW = "x = 1\\n", "x = 200\\n"

def write(text, name="hit.py"):
    with open(name, "w") as file:
        file.write(text)

def source(name="hit", path="hit.py"):
    path = os.path.abspath(path)
    with open(path, "rb") as file:
        return Source(name, path, content_digest(file.read()), signature(path))

def differing(since=0):
    return [os.path.basename(path) for path in noted.differing([keyed], since)]

keyed = source()
noted.enable()
"""
SCENES = {
    "imported": ("import hit; write(NEW); print(differing())", "[]"),
    "executed as it is": ("exec(open('hit.py').read()); print(differing())", "[]"),
    "executed after an edit": ("write(NEW); exec(open('hit.py').read()); print(differing())", "['hit.py']"),
    "read, no text executed": (
        "write(NEW); open('hit.py').read(); print(differing(noted.now()), differing())",
        "[] ['hit.py']",
    ),
    "read, then a text executed": (
        "write(NEW); text = open('hit.py').read(); exec(text); print(differing(noted.now()))",
        "['hit.py']",
    ),
    "compiled under its name": (
        "write(NEW); exec(compile(OLD, 'hit.py', 'exec')); print(differing(noted.now()))",
        "['hit.py']",
    ),
    "run as a path": ("write(NEW); runpy.run_path('hit.py'); print(differing(noted.now()))", "['hit.py']"),
    "shown in a traceback": (
        "import hit, traceback; write(NEW)\\ntry: exec(compile('1/0', 'else.py', 'exec'))\\n"
        "except Exception: traceback.format_exc()\\nprint(differing())",
        "[]",
    ),
    "copied": ("import shutil; write(NEW); shutil.copy('hit.py', 'copy.py'); print(differing())", "[]"),
    "deleted": ("os.remove('hit.py'); exec(compile(OLD, 'hit.py', 'exec')); print(differing())", "['hit.py']"),
    "more contents than are kept": (
        "for n in range(100): write(f'x = {n}'); open('hit.py').read()\\nprint(noted.is_full, differing())",
        "True ['hit.py']",
    ),
    "more files than are noted": (
        "executions._MAX_FILES = 3\\nfor n in range(5):\\n    write(OLD, f'f{n}.py'); runpy.run_path(f'f{n}.py')\\n"
        "print(noted.is_full, doubts.doubt([keyed], by_hand=False, started_ns=0, since=0))",
        "True more files were executed or read as source than can be noted",
    ),
    "more modules than are noted": (
        "executions._MAX_FILES = 3\\nfor n in range(5): write(OLD, f'f{n}.py'); importlib.import_module(f'f{n}')\\n"
        "print(len(noted._imported), noted.is_full)",
        "3 False",
    ),
    "made of what it was imported from": (
        "w = witness.Witness(None); write(NEW); import hit; s = source(); print(w.unproven([keyed]), w.unproven([s]))",
        "[keyed] []",
    ),
    "programs": ("import subprocess; subprocess.run(['true']); print(noted.starts_programs)", "True"),
    "no programs": ("import subprocess; print(noted.starts_programs)", "False"),
    "programs of parcache's own": (
        "print(witness.process_start_ns() is not None, noted.starts_programs)",
        "True False",
    ),
    "changed before the hook was added, executed by hand": (
        "write(NEW); noted.is_early = False; print(bool(doubts.doubt([source()], by_hand=True, started_ns=0, since=0)),"
        "bool(doubts.doubt([source()], by_hand=False, started_ns=0, since=0)))",
        "True False",
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hit.py").write_text("x = 1\n")
    return tmp_path


def play(folder: Path, scene: str) -> str:
    """Run a scene to its end and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", PRELUDE + dedent(scene.replace("\\n", "\n"))],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", SCENES)
def test_executions_scene_noted_rightly(folder: Path, name: str) -> None:
    """A file differs exactly where it may have been executed with another content than the fingerprinted one."""
    scene, expected = SCENES[name]
    assert play(folder, scene) == expected.replace("keyed", repr(str(folder / "hit.py")))


PATCHED = """
    import importlib.machinery as machinery
    plain = machinery.SourceFileLoader.source_to_code

    def source_to_code(self, data, path, **options):
        return plain(self, data.replace(b"1", str({number}).encode()), path, **options)

    machinery.SourceFileLoader.source_to_code = source_to_code
    w = witness.Witness(witness.process_start_ns())
    import hit
    print(hit.x, [os.path.basename(path) for path in w.unproven([keyed])])
"""


def test_patched_import_system_with_bytecode_of_an_earlier_patch_is_not_believed(folder: Path) -> None:
    """What a patched loader has compiled is kept as bytecode; once the patch is edited, that is still what runs."""
    long_ago = (folder / "hit.py").stat().st_mtime - 100
    os.utime(folder / "hit.py", (long_ago, long_ago))
    for number, expected in ((2, "2"), (3, "2")):
        shown = subprocess.run(
            [sys.executable, "-c", PRELUDE + dedent(PATCHED.format(number=number))],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        ).stdout
        assert shown.strip() == f"{expected} ['hit.py']"


@pytest.mark.parametrize(
    ("text", "expected"), [("exec", True), ("run_path", True), ("exec_module", True), ("import_module(…)", False)]
)
def test_constructs_that_execute_files_are_told(text: str, expected: bool) -> None:
    """Code that may execute files without importing them is known by its constructs."""
    assert executes_files([Construct("a.py", 1, text)]) is expected


def test_texts_beyond_their_bound_go_oldest_first() -> None:
    """Texts of modules take no more memory than they may."""
    kept = Texts(max_bytes=10)
    for name in (b"a", b"b", b"c"):
        kept.keep(name, name * 4)
    kept.keep(b"large", b"x" * 11)
    assert [kept.get(name) for name in (b"a", b"b", b"c", b"large")] == [None, b"bbbb", b"cccc", None]
