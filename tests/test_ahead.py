"""Helpers that parse ahead of a walk change how long it takes, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.projects import write_project
from parcache.keys import ahead
from parcache.keys.ahead import Ahead
from parcache.keys.code import content_digest
from parcache.keys.fingerprint import Fingerprinter
from parcache.keys.memo import packed_table
from parcache.keys.modules import Module, Party
from parcache.keys.task import TaskIdentity
from parcache.keys.units import tabulate
from parcache.store.notes import Notes
from parcache.store.store import Store

pytestmark = pytest.mark.any_hydra

IDENTITY = TaskIdentity("app:main", b"", frozenset({("app", "main")}))
DEADLINE_S = 300.0


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of some fifty modules in packages that import each other, and what begins as soon as it can."""
    folder = tmp_path / "project"
    write_project(folder, 5_000)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(ahead, "_ALONE_S", -1.0)
    return folder


def module_of(project: Path, name: str) -> tuple[Module, bytes]:
    path = project.joinpath(*name.split(".")).with_suffix(".py")
    return Module(name, str(path), Party.FIRST), path.read_bytes()


asked_for = Ahead.take


def take(helped: Ahead, project: Path, name: str) -> bytes | None:
    module, data = module_of(project, name)
    return asked_for(helped, module, content_digest(data))


def wait_for_all(helped: Ahead, project: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    assert take(helped, project, "app") is None
    assert helped._has_started
    while helped._running:
        assert time.monotonic() < deadline, "the helpers make what there is, and end"
        assert take(helped, project, "app") is None
        time.sleep(0.01)


@pytest.mark.parametrize("helpers", [1, 3])
def test_helpers_make_the_tables_of_all_that_lies_beside_a_module(project: Path, helpers: int) -> None:
    """Each as it is made here, once, by whichever helper."""
    helped = Ahead(helpers)
    try:
        wait_for_all(helped, project)
        names = [".".join(path.relative_to(project).with_suffix("").parts) for path in project.glob("part*/m*.py")]
        assert len(names) > 40
        for name in names:
            module, data = module_of(project, name)
            assert take(helped, project, name) == packed_table(tabulate(data, module.name, module.is_package))
            assert take(helped, project, name) is None
    finally:
        helped.close()


def test_helpers_begin_where_the_walk_has_been(project: Path) -> None:
    """The rest of its package comes first, then what lies beside that; nothing that the walk has been to is made."""
    plan = ahead._Plan(0, 1)
    plan.been(str(project), "part1.m0")
    plan.been(str(project), "part1.m3")
    found = []
    while (item := plan.next()) is not None:
        found.append(item[0])
    inside = [name for name in found if name.startswith("part1.")]
    assert found[: len(inside)] == inside
    assert len(inside) > 10
    assert not {"part1.m0", "part1.m3"} & set(found)
    assert {"app", "part0", "part0.m0"} <= set(found)
    assert len(found) == len(set(found))
    plan.been(str(project), "part1.m4")
    assert plan.next() is None


def fingerprint(helpers: int, store: Path | None = None) -> tuple[str, object]:
    notes = Notes(Store.open(store, writable=True).paths) if store is not None else None
    found = Fingerprinter(IDENTITY, notes=notes, helpers=helpers).fingerprint()
    return found.digest, found.description()


def test_fingerprint_with_helpers_is_the_same(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all tables but the first come from a helper; what it made is remembered, and no process is left."""
    taken, pids = [], set()

    def patient(helped: Ahead, module: Module, content: bytes) -> bytes | None:
        found = asked_for(helped, module, content)
        pids.update(helper._process.pid for helper in helped._running)
        if helped._running:
            wait_for_all(helped, project)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(Ahead, "take", patient)
    alone = fingerprint(0)
    assert fingerprint(1, tmp_path / "store") == alone
    assert taken.count(False) <= 2
    assert len(taken) > 40
    assert len(pids) == 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    pids.clear()
    assert fingerprint(1, tmp_path / "store") == alone
    assert not pids


@pytest.mark.parametrize("program", ["/nonexistent/python", "false", "yes"], ids=["absent", "fails", "another"])
def test_fingerprint_without_helpers_that_start_is_the_same(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """Where this Python cannot be started again, the walk parses by itself."""
    alone = fingerprint(0)
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nexec {program}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", program if program.startswith("/") else str(script))
    assert fingerprint(2, tmp_path / "store") == alone


def test_helper_of_another_parcache_or_python_makes_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both may be others on disk than they are in memory, and mean other things by a table."""
    monkeypatch.setattr(ahead, "_likeness", lambda: ["another"])
    helped = Ahead(1)
    try:
        wait_for_all(helped, project)
        assert not helped._tables
    finally:
        helped.close()


def test_helpers_leave_to_the_walk_what_they_cannot_take_apart(project: Path) -> None:
    """What is no Python to them, what is too large, what is no file and what has no name: all else is made."""
    (project / "part0" / "broken.py").write_text("def f(:\n")
    (project / "part0" / "table.py").write_text("ROWS = [\n" + "    1,\n" * 200_000 + "]\n")
    os.mkfifo(project / "part0.py")
    os.mkfifo(project / "aaa.py")
    Path(os.fsdecode(os.fsencode(project) + b"/part0/caf\xe9.py")).write_text("x = 1\n")
    (project / "one").mkdir()
    (project / "two").mkdir()
    helped = Ahead(1)
    try:
        wait_for_all(helped, project)
        made = {name.split()[1] for name in helped._tables}
    finally:
        helped.close()
    assert not {"part0.broken", "part0.table", "aaa"} & made, "the walk has to"
    assert {"part0.m0", "part1.m0"} <= made


SIGPIPE = """
import signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
sys.path[:0] = sys.argv[1:]
from tests.test_ahead import DEADLINE_S, Ahead, Path, ahead, take, time
ahead._ALONE_S = -1.0
helped = Ahead(2)
project = Path(sys.argv[1])
take(helped, project, "app")
for helper in helped._running:
    helper._process.kill()
    helper._process.wait()
deadline = time.monotonic() + DEADLINE_S
while helped._running and time.monotonic() < deadline:  # a take reads a piece of what they have made
    take(helped, project, "app")
print(helped._running)
"""


def test_helper_that_has_ended_does_not_end_a_program_that_takes_sigpipe_as_it_comes(project: Path) -> None:
    """Many command-line programs do, so that they end quietly in a pipeline."""
    arguments = [sys.executable, "-c", SIGPIPE, str(project), str(Path(__file__).parent.parent)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def pipes() -> set[str]:
    """Return the pipes that are open in this process."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile, as that of the listing itself is
            found.add(os.readlink(path))
    return {name for name in found if name.startswith("pipe:")}


def test_walk_that_may_start_nothing_goes_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a sandbox has it, whatever it raises."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("nothing is started here")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    helped = Ahead(2)
    before = pipes()
    assert take(helped, project, "app") is None
    assert not helped._running
    assert pipes() <= before
    helped.close()


def test_fingerprint_whose_helpers_are_killed_is_the_same(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk does the rest by itself."""
    alone = fingerprint(0)
    count = []

    def deadly(helped: Ahead, module: Module, content: bytes) -> bytes | None:
        if len(count) == 10:
            for helper in helped._running:
                os.kill(helper._process.pid, signal.SIGKILL)
        count.append(module)
        return asked_for(helped, module, content)

    monkeypatch.setattr(Ahead, "take", deadly)
    assert fingerprint(2, tmp_path / "store") == alone
    assert len(count) > 40
