"""The live display under a real pseudo-terminal: programs print as they like, and nothing is lost or broken."""

from __future__ import annotations

import re
import sys

import pytest

from tests.terminals import LAST, LIVE, Displayed

pytestmark = pytest.mark.any_hydra

# What a program says before a batch that is to be over before anything is shown of it, however slow the machine is.
NEVER_SHOWN = """
    import parcache.progress.live
    parcache.progress.live.DELAY_S = 1e6
"""
FRAME = re.compile(
    r"""before
3/8 ━━━━━.*
2 hits, 1 done; 2 running, 0\.7 jobs/h, about 9 s left
 *#3 +\S+ +lr=0\.1
 *#4 +\S+ +lr=\[red\]0\.2"""
)


def test_live_display_on_a_terminal_shows_a_frame_and_leaves_the_last_counts(displayed: Displayed) -> None:
    """While jobs run there are a bar, counts and jobs; when the batch is over only the last counts are left."""
    with displayed(
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
        seen.await_sight(lambda seen: bool(FRAME.fullmatch("\n".join(seen.screen))))
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


def test_live_display_whatever_the_program_prints_is_there_once_and_in_order(displayed: Displayed) -> None:
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
    with displayed(PRINTER) as seen:
        seen.await_text(LIVE)
        seen.step()
        seen.await_sight(lambda seen: seen.screen[-5:-4] == ["open"])
        assert seen.screen[-4].startswith("3/8 ━━━━━")
        assert seen.scrolled[:-5] == expected[:-1]
        seen.step()
        seen.await_sight(lambda seen: seen.screen[-5:-4] == ["open and closed"])
        assert seen.scrolled[:-4] == expected
        seen.step()
        assert seen.finish() == 0
        assert seen.scrolled == [*expected, *LAST, "after"]


def test_live_display_stopped_leaves_file_descriptors_and_terminal_as_they_were(displayed: Displayed) -> None:
    """While it is shown the program still has a terminal of the right size; afterwards it has the very same one."""
    with displayed(
        NEVER_SHOWN
        + """
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


def test_live_display_short_batch_shows_nothing(displayed: Displayed) -> None:
    """A batch that is over in a moment leaves no trace on the terminal, and brings no rich into the program."""
    with displayed(
        NEVER_SHOWN
        + """
    display.start(lambda: now)
    print("job")
    display.stop()
    display.close()
    print("rich" in sys.modules)
    """
    ) as seen:
        assert seen.finish() == 0
        assert seen.screen == ["job", "False"]


def test_live_display_terminal_resized_follows(displayed: Displayed) -> None:
    """The live lines keep within a terminal that has become narrower, and the program sees its new size."""
    with displayed(
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


def test_live_display_terminal_of_ascii_gets_ascii(displayed: Displayed) -> None:
    """Where standard output takes ASCII only, nothing else is written."""
    with displayed(
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
def test_choose_display_terminal_that_nobody_watches_gets_lines(displayed: Displayed, env: dict[str, str]) -> None:
    """On a terminal that cannot do it, and in CI, there are plain lines."""
    with displayed("\n    print(type(display).__name__)\n", **env) as seen:
        assert seen.finish() == 0
        assert seen.screen == ["PeriodicDisplay"]


def test_choose_display_rich_asked_for_in_ci_is_live(displayed: Displayed) -> None:
    """Who asks for the live display gets it on every terminal that can show it."""
    program = """
    print(type(choose_display(Progress.RICH, os.environ, sys.stdout, sys.stderr)).__name__)
    """
    with displayed(program, CI="true") as seen:
        assert seen.finish() == 0
        assert seen.screen == ["LiveDisplay"]


def test_show_plan_on_a_terminal_keeps_within_it_and_has_colours(displayed: Displayed) -> None:
    """On a terminal each job of a plan is one line, hits and misses in colours of their own."""
    with displayed(
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


def test_live_display_needs_no_rich_in_the_program(displayed: Displayed) -> None:
    """The process that has the terminal draws: the program's own process never loads what it draws with."""
    with displayed(
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
