"""The live display where things go wrong, or a person steps in: terminal and output stay whole."""

from __future__ import annotations

import signal

import pytest

from tests.terminals import LAST, LIVE, Displayed

pytestmark = pytest.mark.any_hydra


def test_live_display_interrupted_leaves_a_sane_terminal(displayed: Displayed) -> None:
    """Ctrl-C reaches the program as ever: KeyboardInterrupt below the last counts, the terminal as before."""
    with displayed(
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


def test_live_display_flood_of_output_passes_while_the_interpreter_is_locked(
    displayed: Displayed,
) -> None:
    """C code that prints a megabyte while it holds the interpreter's lock is not waited for by anybody it waits for."""
    with displayed(
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
def test_live_display_of_a_program_that_dies_leaves_its_last_words(displayed: Displayed, death: str, code: int) -> None:
    """What a program writes just before it dies is on the terminal, and the live lines are not."""
    with displayed(
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
        # The display's process outlives the program: the lines go, and the words come, when it gets to them.
        seen.await_sight(lambda seen: bool(seen.screen) and not any(LIVE in line for line in seen.screen))
        assert seen.screen[0] == "last words"
        if code == -11:
            seen.await_sight(lambda seen: "Segmentation fault" in "".join(seen.screen[1:3]))


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


def test_live_display_worker_that_lives_on_can_always_print(displayed: Displayed) -> None:
    """A worker of several batches prints above the live lines, between batches and even after the display's end."""
    with displayed(WORKER) as seen:
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
def test_live_display_input_asked_for_makes_room_for_the_prompt(displayed: Displayed, editor: str) -> None:
    """``input`` shows its prompt with the cursor behind it and no live lines; they come back with the answer."""
    with displayed(
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


def test_live_display_debugger_can_be_used(displayed: Displayed) -> None:
    """``breakpoint()`` in a job stops at a prompt that can be talked to, and the sweep goes on after it."""
    with displayed(
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


def test_live_display_process_that_passes_output_on_killed_costs_the_display_only(displayed: Displayed) -> None:
    """Where the process that has the terminal is killed, the program and its workers print on, without live lines."""
    with displayed(
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


def test_live_display_stopped_by_the_terminal_comes_back_with_it(displayed: Displayed) -> None:
    """Ctrl-Z stops the program and the live lines, as in any shell; in the foreground again both go on."""
    with displayed(
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


def test_live_display_without_pseudo_terminals_shows_lines(displayed: Displayed) -> None:
    """Where the system has no pseudo-terminal to give, there are plain lines, and output is left where it leads."""
    with displayed(
        """
    import resource
    import parcache.progress.plain
    parcache.progress.plain.pauses.__defaults__ = (1e6, 1e6)
    resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))
    display.start(lambda: now)
    print("printed")
    display.stop()
    display.close()
    """
    ) as seen:
        assert seen.finish() == 0
        assert seen.screen == ["printed"]


def test_live_display_snapshot_that_raises_does_no_harm(displayed: Displayed) -> None:
    """What is wrong with counting costs the display: output goes on, and stopping raises nothing."""
    with displayed(
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


def test_live_display_within_another_is_plain(displayed: Displayed) -> None:
    """A job that runs a sweep of its own has live lines above it already: its own progress is lines."""
    with displayed(
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
