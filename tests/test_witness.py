"""The witness: what is in memory is what was fingerprinted, or it is not proven. Each scene in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from parcache.keys import witness
from parcache.keys.witness import process_start_ns

pytestmark = pytest.mark.any_hydra

PRELUDE = """
import importlib, os, py_compile, sys, time
sys.path.insert(0, os.getcwd())
from parcache.keys import witness
from parcache.keys.code import Source, content_digest, signature

start = witness.process_start_ns()
OLD, NEW, LONG = "x = 1\\n", "x = 2\\n", "x = 100\\n"

def write(text, name="hit.py"):
    with open(name, "w") as file:
        file.write(text)

def source(name="hit", path="hit.py"):
    path = os.path.abspath(path)
    with open(path, "rb") as file:
        return Source(name, path, content_digest(file.read()), signature(path))

def unproven(*sources):
    return [os.path.basename(path) for path in w.unproven(sources)]

def strangers(job, *sources):
    before = w.begin(sources)
    exec(job)
    return list(w.end(before, sources).strangers)

def settle(sources):
    assert not unproven(*sources) and not w.end(w.begin(sources), sources).unproven

def told(sources):
    return [os.path.basename(path) for path in w.end(w.begin(sources), sources).unproven]

w = witness.Witness(start)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hit.py").write_text("x = 1\n")
    return tmp_path


def play(folder: Path, scene: str, *, bytecode: bool = False) -> str:
    """Run a scene to its end and return what it prints."""
    flags = [] if bytecode else ["-B"]
    done = subprocess.run(
        [sys.executable, *flags, "-c", PRELUDE + dedent(scene)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SCENES = {
    "unchanged since the start": ("import hit; print(unproven(source()))", "[]"),
    "not loaded": ("write(NEW); print(unproven(source()))", "[]"),
    "loaded after it was seen unloaded": (
        "write(NEW); s = source(); w.observe([s]); import hit; print(unproven(s))",
        "[]",
    ),
    "edited after the import": ("import hit; write(LONG); print(unproven(source()))", "['hit.py']"),
    "edited after the import, same length": ("import hit; write(NEW); print(unproven(source()))", "['hit.py']"),
    "edited between fingerprint and import": (
        "s = source(); write(LONG); import hit; print(unproven(s))",
        "['hit.py']",
    ),
    "edited after it was seen unloaded": (
        "write(NEW); s = source(); w.observe([s]); write(LONG); import hit; print(unproven(s))",
        "['hit.py']",
    ),
    "edited within a tick after it was seen unloaded": (
        "s = source(); w.observe([s]); write(NEW); import hit; print(unproven(s))",
        "['hit.py']",
    ),
    "modification time set back": (
        "import hit; t = os.stat('hit.py'); write(NEW); os.utime('hit.py', ns=(t.st_atime_ns, t.st_mtime_ns));"
        "print(unproven(source()))",
        "['hit.py']",
    ),
    "written again with the same text": ("import hit; write(OLD); print(unproven(source()))", "['hit.py']"),
    "deleted after the import": ("s = source(); import hit; os.remove('hit.py'); print(unproven(s))", "['hit.py']"),
    "proven, then edited": ("import hit; s = source(); w.observe([s]); write(LONG); print(unproven(s))", "[]"),
    "proven, then deleted": ("import hit; s = source(); w.observe([s]); os.remove('hit.py'); print(unproven(s))", "[]"),
    "proven, edited, the edit asked for": (
        "import hit; s = source(); w.observe([s]); write(LONG); print(unproven(source()))",
        "['hit.py']",
    ),
    "proven, edited, reloaded": (
        "import hit; s = source(); w.observe([s]); write(LONG); importlib.reload(hit); print(unproven(s))",
        "['hit.py']",
    ),
    "reloaded without an edit": (
        "import hit; s = source(); w.observe([s]); importlib.reload(hit); print(unproven(s))",
        "[]",
    ),
    "replaced by a package of its name": (
        "import hit; os.mkdir('hit'); write(NEW, 'hit/__init__.py'); print(unproven(source(path='hit/__init__.py')))",
        "['__init__.py']",
    ),
    "loaded under another name": (
        "spec = importlib.util.spec_from_file_location('other', os.path.abspath('hit.py'));"
        "m = sys.modules['other'] = importlib.util.module_from_spec(spec); spec.loader.exec_module(m);"
        "write(LONG); print(unproven(source()))",
        "['hit.py']",
    ),
    "settled, then replaced under its name": (
        "import hit, types; s = (source(),); settle(s); write(LONG); m = types.ModuleType('hit');"
        "m.__file__ = hit.__file__; sys.modules['hit'] = m; print(told(s))",
        "['hit.py']",
    ),
    "settled, then edited and reloaded": (
        "import hit; s = (source(),); settle(s); write(LONG); importlib.reload(hit); print(told(s))",
        "['hit.py']",
    ),
    "settled, then edited": ("import hit; s = (source(),); settle(s); write(LONG); print(told(s))", "[]"),
    "settled, then edited and taken up anew": (
        "import hit; s = (source(),); settle(s); write(LONG); print(told((source(),)))",
        "['hit.py']",
    ),
    "settled unloaded, then edited and loaded": (
        "s = (source(),); settle(s); write(LONG); import hit; print(told(s))",
        "['hit.py']",
    ),
    "settled unloaded, then loaded": ("s = (source(),); settle(s); import hit; print(told(s))", "[]"),
    "settled unloaded, then edited, loaded and edited back": (
        "s = (source(),); settle(s); write(NEW); import hit; write(OLD); print(told(s))",
        "['hit.py']",
    ),
    "settled, then loaded a second time under another name": (
        "import hit; s = (source(),); settle(s); write(LONG);"
        "spec = importlib.util.spec_from_file_location('other', os.path.abspath('hit.py'));"
        "m = sys.modules['other'] = importlib.util.module_from_spec(spec); spec.loader.exec_module(m); print(told(s))",
        "['hit.py']",
    ),
    "settled, then another file's module put under its name": (
        "import hit; s = (source(),); settle(s); write(LONG, 'else_.py'); import else_;"
        "sys.modules['hit'] = else_; print(told(s))",
        "['hit.py']",
    ),
    "settled, then a loaded module moved to its name": (
        "write(LONG, 'else_.py'); import else_; s = (source(),); settle(s);"
        "sys.modules['hit'] = sys.modules.pop('else_'); print(told(s))",
        "['hit.py']",
    ),
    "settled, then imported by another thread during a job": (
        "import threading; s = (source(),); settle(s); before = w.begin(s); write(LONG);"
        "t = threading.Thread(target=importlib.import_module, args=('hit',)); t.start(); t.join();"
        "print([os.path.basename(each) for each in w.end(before, s).unproven])",
        "['hit.py']",
    ),
    "settled twice, one of them edited": (
        "write(OLD, 'two.py'); a, b = (source(),), (source('two', 'two.py'),); settle(b); import hit, two;"
        "settle(a); settle(b);"
        "write(LONG, 'two.py'); importlib.reload(two); print(told(a), told(b))",
        "[] ['two.py']",
    ),
    "start unknown": ("import hit; w = witness.Witness(None); print(unproven(source()))", "['hit.py']"),
}


@pytest.mark.parametrize("name", SCENES)
def test_witness_scene_told_rightly(folder: Path, name: str) -> None:
    """What was loaded is unproven exactly where it may have come from another text than the fingerprinted one."""
    scene, expected = SCENES[name]
    assert play(folder, scene) == expected


def test_witness_link_turned_after_import_unproven(folder: Path) -> None:
    """A link on the way to a file that is turned after the import voids the proof: the new file's times are its own."""
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "linked.py").write_text(f"x = '{name}'\n")
    (folder / "now").symlink_to("a")
    scene = """
        sys.path.insert(0, os.path.abspath("now")); import linked
        before = unproven(source("linked", "now/linked.py"))
        os.remove("now"); os.symlink("b", "now")
        print(linked.x, before, unproven(source("linked", "now/linked.py")))
    """
    assert play(folder, scene) == "a [] ['linked.py']"


STALE = """
    stamp = os.stat("hit.py")
    py_compile.compile("hit.py"{mode})
    write(NEW)
    os.utime("hit.py", ns=(stamp.st_atime_ns, stamp.st_mtime_ns // 10**9 * 10**9 + 900_000_000))
    s = source(); w.observe([s])
    import hit
    print(hit.x, unproven(s))
"""


def test_witness_stale_bytecode_same_second_and_length_unproven(folder: Path) -> None:
    """An edit of the same length within one second, for which Python runs the old bytecode, is caught."""
    assert play(folder, STALE.replace("{mode}", ""), bytecode=True) == "1 ['hit.py']"


def test_witness_unchecked_bytecode_stale_unproven(folder: Path) -> None:
    """Bytecode that Python does not validate at all is compared with its source."""
    mode = ", invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH"
    assert play(folder, STALE.replace("{mode}", mode), bytecode=True) == "1 ['hit.py']"


def test_witness_fresh_bytecode_proven(folder: Path) -> None:
    """Bytecode that was made from the present text proves it."""
    assert play(folder, "py_compile.compile('hit.py'); import hit; print(unproven(source()))", bytecode=True) == "[]"


def test_witness_forked_child_inherited_module_edited_unproven(folder: Path) -> None:
    """A child does not prove an edit that fell between its parent's import and the fork."""
    scene = """
        import hit
        write(LONG)
        if not (child := os.fork()):
            print(len(witness.of_this_process().unproven([source()])), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    """
    assert play(folder, scene) == "1"


def test_witness_stranger_stays_one_for_later_jobs(folder: Path) -> None:
    """A module that no fingerprint covers is told again to later jobs, which find it imported already."""
    scene = """
        first = strangers("import hit")
        print(len(first), len(strangers("pass")), strangers("pass", source()))
    """
    assert play(folder, scene) == "1 1 []"


def test_witness_stranger_in_a_settled_process_told(folder: Path) -> None:
    """A module that comes during a job is told, however many jobs before it changed nothing."""
    scene = """
        import json
        s = (source("json", json.__file__),)
        quiet = [strangers("pass", *s) for _ in range(3)]
        before = w.begin(s); w.begin(s); import hit
        print(quiet, len(w.end(before, s).strangers), len(strangers("pass", *s)))
    """
    assert play(folder, scene) == "[[], [], []] 1 1"


def test_witness_stranger_that_came_before_a_look_within_the_job_told(folder: Path) -> None:
    """A look in the middle of a job, by a sweep that the job starts, hides nothing that came before it."""
    scene = """
        before = w.begin(()); import hit; w.observe(())
        print(len(w.end(before, ()).strangers))
    """
    assert play(folder, scene) == "1"


def test_witness_stranger_that_another_job_covers_forgotten(folder: Path) -> None:
    """A module that another job's fingerprint covers is a stranger only to the job during which it came."""
    scene = """
        print(len(strangers("import hit")), strangers("pass", source()), strangers("pass"))
    """
    assert play(folder, scene) == "1 [] []"


def test_process_start_this_process_lies_in_the_past() -> None:
    """A process's start is known, and lies before the present and after its parent's."""
    own, parent = process_start_ns(), process_start_ns(os.getppid())
    assert own is not None
    assert parent is not None
    assert parent - 20_000_000 <= own


class Clocks:
    """Clocks of a system that stands still before readings of them, each time for as long as it is told."""

    CLOCK_BOOTTIME = 7

    def __init__(self, pauses: Iterator[int]) -> None:
        self._pauses, self._now = pauses, 10**12

    def time_ns(self) -> int:
        return EPOCH + self.clock_gettime_ns(self.CLOCK_BOOTTIME)

    def clock_gettime_ns(self, clock: int) -> int:
        assert clock == self.CLOCK_BOOTTIME
        self._now += next(self._pauses)
        return self._now


EPOCH, SECOND = 10**18, 10**9


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
@pytest.mark.parametrize(
    ("pauses", "error"),
    [
        ([0, 0, 0], 0),
        ([0, SECOND, 0, 0, 0, 0], 0),
        ([0, 0, SECOND, 0, 0, 0], 0),
        ([0, 100_000, 0], -100_000),
        ([0, SECOND, 2 * SECOND] * 9 + [0, SECOND // 2, 0] + [0, SECOND, 2 * SECOND] * 10, -SECOND // 2),
    ],
)
def test_process_start_where_the_system_stands_between_two_clocks_not_too_late(
    monkeypatch: pytest.MonkeyPatch, pauses: list[int], error: int
) -> None:
    """A start that is too late proves what was edited before it: clocks are read again, and what is wrong is early."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    monkeypatch.setattr(witness, "time", Clocks(iter(pauses)))
    assert process_start_ns() == EPOCH + error + int(fields[19]) * SECOND // os.sysconf("SC_CLK_TCK")


def test_process_start_unknown_process_none() -> None:
    """Nothing is known of a process that is not there."""
    assert process_start_ns(2**22 + 1) is None


@pytest.mark.parametrize("before", ["pass", "import slow"])
def test_module_that_another_thread_is_importing_is_proven_for_now_only(folder: Path, before: str) -> None:
    """Looks at a module whose import or reload is under way prove nothing for later: its file may still be read."""
    scene = f"""
    import threading
    with open("slow.py", "w") as file:
        file.write("import threading\\n")
    s = source("slow", "slow.py")
    w.observe([s])
    {before}
    begun, go = threading.Event(), threading.Event()
    class Finder:
        def find_spec(self, name, path, target=None):
            if name == "slow":
                spec = importlib.util.spec_from_file_location(name, "slow.py")
                run = spec.loader.exec_module
                def exec_module(module):
                    begun.set()
                    go.wait(60)
                    run(module)
                spec.loader.exec_module = exec_module
                return spec
    sys.meta_path.insert(0, Finder())
    def load():
        importlib.reload(sys.modules["slow"]) if "slow" in sys.modules else importlib.import_module("slow")
    thread = threading.Thread(target=load)
    thread.start()
    begun.wait(60)
    print(unproven(s), unproven(s))
    write("import threading, time\\n", "slow.py")
    go.set()
    thread.join()
    print(unproven(s))
    """
    assert play(folder, "import importlib.util\n" + dedent(scene)) == "[] []\n['slow.py']"


def test_module_whose_code_has_begun_to_run_is_proven_for_good(folder: Path) -> None:
    """A module that starts a sweep at its top is being imported all the while; its file has been read."""
    (folder / "sweeping.py").write_text("import __main__\n__main__.sweep()\n")
    scene = """
    def sweep():
        print(sys.modules["sweeping"].__spec__._initializing, told(s))
        write(LONG, "sweeping.py")
        print(told(s), told(s))
    s = (source("sweeping", "sweeping.py"),)
    import sweeping
    """
    assert play(folder, scene) == "True []\n[] []"


def test_modules_of_other_jobs_are_strangers_only_where_no_fingerprint_covers_them(folder: Path) -> None:
    """What another job has imported in a job's time does not count against it, if the other's fingerprint has it."""
    (folder / "theirs.py").write_text("")
    scene = """
    mine, both = (source(),), (source(), source("theirs", "theirs.py"))
    for covered in (both, mine):
        w = witness.Witness(start)
        before = w.begin(mine)
        w.begin(covered)
        import theirs
        print([os.path.basename(path) for path in w.end(before, mine, (), lambda: {"theirs"}).strangers])
        del sys.modules["theirs"]
    """
    assert play(folder, scene) == "[]\n['theirs.py']"


def test_module_that_another_job_imports_while_a_job_ends_is_no_stranger(folder: Path) -> None:
    """Who has imported what is asked after what is loaded, so that no import falls between the two."""
    (folder / "theirs.py").write_text("")
    scene = """
    mine, theirs = (source(),), (source("theirs", "theirs.py"),)
    w = witness.Witness(start)
    before = w.begin(mine)
    w.begin(theirs)
    def of_others():
        import theirs
        return ()
    import colorsys  # else nothing has changed, and nothing is asked
    print(w.end(before, mine, (), of_others).strangers, "theirs" in sys.modules)
    """
    assert play(folder, scene) == "() True"
