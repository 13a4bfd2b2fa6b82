"""The live display under a real pseudo-terminal: programs print as they like, and nothing is lost or broken."""

from __future__ import annotations

import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.terminals import Seen

pytestmark = pytest.mark.any_hydra

HEAD = """
from parcache.progress.choose import choose_display
from parcache.progress.snapshot import Progress, RunningJob, Snapshot

jobs = (RunningJob(3, ("lr=0.1",), time.monotonic()), RunningJob(4, ("lr=[red]0.2",), time.monotonic()))
now = Snapshot(8, 2, 0, 1, 0, 0, jobs, 3, 5000.0, 9.0)
display = choose_display(Progress.AUTO, os.environ, sys.stdout, sys.stderr)

def finish():
    global now
    now = now._replace(completed=5, failed=1, running=(), waiting=0)
"""
LIVE = "lr=[red]0.2"
LAST = ["8/8 " + "━" * 60 + " 1:23:20", "2 hits, 5 done, 1 failed; 4.3 jobs/h"]

Run = Callable[..., Seen]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def start(program: str, *, columns: int = 100, lines: int = 30, **env: str) -> Seen:
        return Seen(HEAD + textwrap.dedent(program), tmp_path, env, columns, lines)

    return start


def test_live_display_on_a_terminal_shows_a_frame_and_leaves_the_last_counts(run: Run) -> None:
    """While jobs run there are a bar, counts and jobs; when the batch is over only the last counts are left."""
    with run(
        """
    print("before")
    display.start(lambda: now)
    step()
    finish()
    display.stop()
    print("after")
    display.close()
    """
    ) as seen:
        seen.await_text(LIVE)
        assert seen.screen[0] == "before"
        assert seen.screen[1].startswith("3/8 ━━━━━")
        assert seen.screen[2] == "2 hits, 1 done; 2 running, 0.7 jobs/h, about 9 s left"
        assert [line.split() for line in seen.screen[3:]] == [
            ["#3", seen.screen[3].split()[1], "lr=0.1"],
            ["#4", seen.screen[4].split()[1], "lr=[red]0.2"],
        ]
        seen.step()
        assert seen.finish() == 0
        assert seen.screen == ["before", *LAST, "after"]


PRINTER = """
import ctypes, logging, subprocess

old_out, old_err = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
log = logging.getLogger("app")
log.addHandler(old_out)
other = logging.getLogger("other")
other.addHandler(old_err)
display.start(lambda: now)
step()
for number in range(40):
    print("print", number)
    os.write(1, b"os.write %d\\n" % number)
    log.error("logging to the old standard output %d", number)
    other.error("logging to the old standard error %d", number)
    print("standard error", number, file=sys.stderr)
    print("in ", end="", flush=True)
    print("pieces", number)
libc = ctypes.CDLL(None)
libc.printf(b"from C %d\\n", 1)
libc.fflush(None)
subprocess.run(["sh", "-c", "echo from a shell; echo and its standard error >&2"], check=True)
for number in range(5):
    print(f"\\rbar {number}", end="", flush=True)
print("\\n\\x1b[31mred\\x1b[0m")
print("windows\\r")
print("x" * 150)
print("open", end="", flush=True)
step()
print(" and closed")
step()
finish()
display.stop()
print("after")
display.close()
"""


def test_live_display_whatever_the_program_prints_is_there_once_and_in_order(run: Run) -> None:
    """Prints, file descriptors, loggers, C, subprocesses, pieces of lines and bars: all above the live lines."""
    expected = []
    for number in range(40):
        expected += [
            f"print {number}",
            f"os.write {number}",
            f"logging to the old standard output {number}",
            f"logging to the old standard error {number}",
            f"standard error {number}",
            f"in pieces {number}",
        ]
    expected += ["from C 1", "from a shell", "and its standard error", "bar 4", "red", "windows"]
    expected += ["x" * 100, "x" * 50, "open and closed"]
    with run(PRINTER) as seen:
        seen.await_text(LIVE)
        seen.step()
        seen.await_sight(lambda seen: seen.screen[-5:-4] == ["open"])
        assert seen.screen[-4].startswith("3/8 ━━━━━")
        assert seen.scrolled[:-5] == expected[:-1]
        seen.step()
        seen.await_text("open and closed")
        assert seen.scrolled[:-4] == expected
        seen.step()
        assert seen.finish() == 0
        assert seen.scrolled == [*expected, *LAST, "after"]


def test_live_display_stopped_leaves_file_descriptors_and_terminal_as_they_were(run: Run) -> None:
    """While it is shown the program still has a terminal of the right size; afterwards it has the very same one."""
    with run(
        """
    def state():
        return [(os.fstat(fd).st_dev, os.fstat(fd).st_ino, os.fstat(fd).st_rdev) for fd in (0, 1, 2)]
    before = state()
    display.start(lambda: now)
    taken = state()
    facts = [sys.stdout.isatty(), sys.stderr.isatty(), *os.get_terminal_size(), taken == before, taken[0] == before[0]]
    display.stop()
    display.stop()
    print("same" if state() == before else "other", *facts)
    display.start(lambda: now)
    os.dup2(0, 2)
    kept = state()[2]
    display.stop()
    display.close()
    display.close()
    print("same" if state()[:2] == before[:2] and state()[2] == kept else "other")
    import gc, threading
    print(*(thread.name for thread in threading.enumerate()))
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("no child")
    """
    ) as seen:
        modes = seen.modes()
        assert seen.finish() == 0
        assert seen.screen == ["same True True 100 30 False True", "same", "MainThread", "no child"]
        assert seen.modes() == modes


def test_live_display_short_batch_shows_nothing(run: Run) -> None:
    """A batch that is over in a moment leaves no trace on the terminal, and brings no rich into the program."""
    with run(
        """
    display.start(lambda: now)
    print("job")
    display.stop()
    display.close()
    print("rich" in sys.modules)
    """
    ) as seen:
        assert seen.finish() == 0
        assert seen.screen == ["job", "False"]


def test_live_display_interrupted_leaves_a_sane_terminal(run: Run) -> None:
    """Ctrl-C reaches the program as ever: KeyboardInterrupt below the last counts, the terminal as before."""
    with run(
        """
    import signal
    display.start(lambda: now)
    try:
        while True:
            signal.pause()
    finally:
        display.close()
    """
    ) as seen:
        modes = seen.modes()
        seen.await_text(LIVE)
        seen.type("\x03")
        assert seen.finish() == -signal.SIGINT
        assert seen.screen[-1] == "KeyboardInterrupt"
        assert "Traceback (most recent call last):" in seen.screen
        assert seen.screen.index("Traceback (most recent call last):") == 2
        assert not any(LIVE in line for line in seen.screen)
        assert seen.modes() == modes


def test_live_display_output_larger_than_any_buffer_passes_while_the_interpreter_is_locked(run: Run) -> None:
    """C code that prints a megabyte while it holds the interpreter's lock is not waited for by anybody it waits for."""
    with run(
        """
    import ctypes
    display.start(lambda: now)
    step()
    block = (b"y" * 79 + b"\\n") * 12_500
    left = len(block)
    write = ctypes.PyDLL(None).write
    while left:
        left -= write(1, block[-left:], left)
    print("done")
    display.stop()
    display.close()
    """
    ) as seen:
        seen.await_text(LIVE)
        seen.step()
        assert seen.finish() == 0
        assert seen.scrolled[:12_501] == ["y" * 79] * 12_500 + ["done"]


@pytest.mark.parametrize(
    ("death", "code"),
    [
        ("os._exit(3)", 3),
        ("os.kill(os.getpid(), 9)", -9),
        ("import faulthandler; faulthandler.enable(); faulthandler._sigsegv()", -11),
    ],
)
def test_live_display_of_a_program_that_dies_leaves_its_last_words(run: Run, death: str, code: int) -> None:
    """What a program writes just before it dies is on the terminal, and the live lines are not."""
    with run(
        f"""
    display.start(lambda: now)
    step()
    print("last words")
    sys.stdout.flush()
    {death}
    """
    ) as seen:
        seen.await_text(LIVE)
        seen.step()
        assert seen.finish() == code
        seen.await_sight(lambda seen: not any(LIVE in line for line in seen.screen))
        assert seen.screen[0] == "last words"
        if code == -11:
            assert "Segmentation fault" in seen.screen[1] + seen.screen[2]


WORKER = """
import subprocess, textwrap
display.start(lambda: now)
worker = subprocess.Popen(
    [sys.executable, "-u", "-c", "for line in iter(input, 'end'): print('worker', line)"],
    stdin=subprocess.PIPE, text=True, bufsize=1,
)
def tell(line):
    worker.stdin.write(line + "\\n")
step()
tell("in the first batch")
step()
display.stop()
tell("between batches")
step()
display.start(lambda: now)
tell("in the second batch")
step()
display.stop()
display.close()
tell("after the end")
step()
tell("end")
worker.wait()
print("worker", worker.returncode)
"""


def test_live_display_worker_that_lives_on_can_always_print(run: Run) -> None:
    """A worker of several batches prints above the live lines, between batches and even after the display's end."""
    with run(WORKER) as seen:
        seen.await_text(LIVE)
        seen.step()
        seen.await_text("worker in the first batch")
        seen.step()
        seen.await_text("worker between batches")
        assert not any(LIVE in line for line in seen.screen)
        seen.step()
        seen.await_text("worker in the second batch", LIVE)
        seen.step()
        seen.await_text("worker after the end")
        seen.step()
        assert seen.finish() == 0
        words = [line for line in seen.screen if "worker" in line]
        assert words == [
            "worker in the first batch",
            "worker between batches",
            "worker in the second batch",
            "worker after the end",
            "worker 0",
        ]


@pytest.mark.parametrize("editor", ["", "import readline"])
def test_live_display_input_asked_for_makes_room_for_the_prompt(run: Run, editor: str) -> None:
    """``input`` shows its prompt with the cursor behind it and no live lines; they come back with the answer."""
    with run(
        f"""
    {editor}
    display.start(lambda: now)
    step()
    print("answer", input("name? "))
    step()
    display.stop()
    display.close()
    """
    ) as seen:
        seen.await_text(LIVE)
        seen.step()
        seen.await_text("name?")
        seen.await_sight(lambda seen: seen.screen[-1] == "name?" and seen.cursor[1] == len("name? "))
        seen.type("me\n")
        seen.await_text("answer me", LIVE)
        assert seen.screen[:2] == ["name? me", "answer me"]
        seen.step()
        assert seen.finish() == 0


def test_live_display_debugger_can_be_used(run: Run) -> None:
    """``breakpoint()`` in a job stops at a prompt that can be talked to, and the sweep goes on after it."""
    with run(
        """
    display.start(lambda: now)
    step()
    value = 42
    breakpoint()
    print("went on")
    step()
    display.stop()
    display.close()
    """
    ) as seen:
        seen.await_text(LIVE)
        seen.step()
        seen.await_sight(lambda seen: seen.screen[-1:] == ["(Pdb)"])
        seen.type("p value + 1\n")
        seen.await_sight(lambda seen: "43" in seen.screen and seen.screen[-1] == "(Pdb)")
        seen.type("c\n")
        seen.await_text("went on", LIVE)
        seen.step()
        assert seen.finish() == 0


def test_live_display_terminal_resized_follows(run: Run) -> None:
    """The live lines keep within a terminal that has become narrower, and the program sees its new size."""
    with run(
        """
    display.start(lambda: now)
    step()
    print(os.get_terminal_size().columns)
    display.stop()
    display.close()
    """
    ) as seen:
        seen.await_text(LIVE)
        seen.resize(20, 10)
        seen.await_sight(lambda seen: any(line == "2 hits, 1 done; 2 …" for line in seen.screen))
        seen.step()
        assert seen.finish() == 0
        assert "20" in seen.screen


def test_live_display_process_that_passes_output_on_killed_costs_the_display_only(run: Run) -> None:
    """Where the process that has the terminal is killed, the program and its workers print on, without live lines."""
    with run(
        """
    import signal, subprocess
    display.start(lambda: now)
    worker = subprocess.Popen(["sh", "-c", "read x; echo from the worker; read x"], stdin=subprocess.PIPE)
    step()
    os.kill(display._terminal._process.pid, signal.SIGKILL)
    display._terminal._process.wait()
    print("from the program")
    worker.stdin.write(b"\\n")
    worker.stdin.flush()
    step()
    display.stop()
    display.start(lambda: now)
    display.stop()
    worker.communicate(b"\\n")
    display.close()
    print("after")
    """
    ) as seen:
        seen.await_text(LIVE)
        seen.step()
        seen.await_text("from the program", "from the worker")
        seen.step()
        assert seen.finish() == 0
        assert seen.screen[-1] == "after"


def test_live_display_stopped_by_the_terminal_comes_back_with_it(run: Run) -> None:
    """Ctrl-Z stops the program and the live lines, as in any shell; in the foreground again both go on."""
    with run(
        """
    display.start(lambda: now)
    step()
    print("went on")
    finish()
    display.stop()
    display.close()
    """
    ) as seen:
        seen.await_text(LIVE)
        seen.type("\x1a")
        seen.await_text("stopped")
        seen.step()
        seen.await_sight(lambda seen: any(LIVE in line for line in seen.screen[seen.screen.index("stopped") :]))
        seen.step()
        assert seen.finish() == 0
        assert seen.screen[-3:] == ["went on", *LAST]


def test_live_display_terminal_of_ascii_gets_ascii(run: Run) -> None:
    """Where standard output takes ASCII only, nothing else is written."""
    with run(
        """
    display.start(lambda: now)
    step()
    finish()
    display.stop()
    display.close()
    """,
        PYTHONIOENCODING="ascii",
    ) as seen:
        seen.await_text(LIVE)
        seen.step()
        assert seen.finish() == 0
        assert seen.raw.isascii()
        assert seen.screen[0] == "8/8 " + "=" * 15 + "#" * 37 + "x" * 8 + " 1:23:20"


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"CI": "true"}])
def test_choose_display_terminal_that_is_no_terminal_to_a_person_gets_lines(run: Run, env: dict[str, str]) -> None:
    """On a terminal that cannot do it, and in CI, there are plain lines."""
    with run("\n    print(type(display).__name__)\n", **env) as seen:
        assert seen.finish() == 0
        assert seen.screen == ["PeriodicDisplay"]


def test_live_display_without_pseudo_terminals_shows_lines(run: Run) -> None:
    """Where the system has no pseudo-terminal to give, there are plain lines, and output is left where it leads."""
    with run(
        """
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))
    display.start(lambda: now)
    print("printed")
    display.stop()
    display.close()
    """
    ) as seen:
        assert seen.finish() == 0
        assert seen.screen == ["printed"]


def test_live_display_snapshot_that_raises_does_no_harm(run: Run) -> None:
    """What is wrong with counting costs the display: output goes on, and stopping raises nothing."""
    with run(
        """
    import threading
    asked = threading.Event()
    def broken():
        asked.set()
        raise RuntimeError("a dictionary changed its size")
    display.start(broken)
    asked.wait()
    print("printed")
    display.stop()
    display.close()
    """
    ) as seen:
        assert seen.finish() == 0
        assert seen.screen == ["printed"]


def test_show_plan_on_a_terminal_keeps_within_it_and_has_colours(run: Run) -> None:
    """On a terminal each job of a plan is one line, hits and misses in colours of their own."""
    with run(
        """
    from parcache.progress.table import PlannedJob, Verdict, show_plan
    hit = PlannedJob(0, ("model=[red]",), Verdict.HIT, "stored")
    rows = [hit, PlannedJob(1, ("x=" + "y" * 200,), Verdict.MISS, "code")]
    show_plan(rows, 4, sys.stdout)
    """,
        columns=60,
    ) as seen:
        assert seen.finish() == 0
        assert [line.split()[-1] for line in seen.screen] == ["time", "stored", "code", "run"]
        assert "model=[red]" in seen.screen[1]
        assert b"\x1b[32m" in seen.raw


def test_live_display_within_another_is_plain(run: Run) -> None:
    """A job that runs a sweep of its own has live lines above it already: its own progress is lines."""
    with run(
        """
    import subprocess
    display.start(lambda: now)
    code = (
        "import os, sys; from parcache.progress.choose import *; "
        "print('inner', type(choose_display(Progress.AUTO, os.environ, sys.stdout, sys.stderr)).__name__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    display.stop()
    display.close()
    """
    ) as seen:
        assert seen.finish() == 0
        assert seen.screen[0] == "inner PeriodicDisplay"


def test_live_display_needs_no_rich_in_the_program(run: Run) -> None:
    """The process that has the terminal draws: the program's own process never loads what it draws with."""
    with run(
        """
    display.start(lambda: now)
    step()
    display.stop()
    display.close()
    print("rich" in sys.modules, len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0)
    """
    ) as seen:
        seen.await_text(LIVE)
        seen.step()
        assert seen.finish() == 0
        # 0, 1, 2, the steps' and the folder's own
        assert seen.screen[-1] == ("False 5" if sys.platform == "linux" else "False 0")
