"""Signals that come while a process with interrupts forks, or is about to end."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.any_hydra

PROGRAM = """
import os, signal, sys, threading, time
from parcache.run.interrupt import Interrupts

def mask():
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())

def code_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def kill():
    print("killed", flush=True)

# As they are where nobody has changed them, whatever started the tests.
signal.pthread_sigmask(signal.SIG_SETMASK, ())
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
"""
ROUNDS = """
def rounds():
    for _ in range(20):
        pid = os.fork()
        if not pid:
            time.sleep(60)
            os._exit(9)
        os.kill(pid, signal.{name})
        code = code_of(pid)
        print(code, mask() == set(), flush=True)
        if code == 9:
            break

with Interrupts(kill):
    {does}
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program that has what the tests need."""
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM + program],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        start_new_session=True,
    )


@pytest.mark.parametrize("does", ["rounds()", "(one := threading.Thread(target=rounds)).start(); one.join()"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_fork_signalled_at_once_ends_by_that(name: str, does: str) -> None:
    """A signal that comes before the child's first line is not lost, whichever thread forks."""
    done = run(ROUNDS.format(name=name, does=does))
    assert (done.stdout.splitlines(), done.stderr) == ([f"{-signal.Signals[name]} True"] * 20, "")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_fork_signalled_while_it_begins_ends_by_that(name: str) -> None:
    """In a child that has not got to its own line yet, KeyboardInterrupt has nowhere to go: SIGINT ends it as well."""
    done = run(
        f"""
def await_signal():
    end = time.monotonic() + 60
    while not signal.sigpending() and time.monotonic() < end:
        time.sleep(0.001)
os.register_at_fork(after_in_child=await_signal)  # called before what is registered later
with Interrupts(kill):
    pid = os.fork()
    if not pid:
        os._exit(9)
    os.kill(pid, signal.{name})
    print(code_of(pid))
"""
    )
    assert (done.stdout, done.stderr) == (f"{-signal.Signals[name]}\n", "")


def test_fork_while_no_interrupts_are_taken_holds_nothing() -> None:
    """What is hooked for good does nothing after the context, and within it not to signals of the user's own."""
    done = run(
        """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
held = []
os.register_at_fork(before=lambda: held.append(sorted(map(int, mask()))))  # called after what is registered later
signal.signal(signal.SIGHUP, lambda number, frame: None)
def fork():
    pid = os.fork()
    if not pid:
        os._exit(7 if mask() == {signal.SIGUSR1} and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else 8)
    print(code_of(pid), mask() == {signal.SIGUSR1}, held.pop())
with Interrupts(kill):
    fork()
    with Interrupts(kill):
        fork()
    fork()
fork()
"""
    )
    ours = sorted([signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
    assert done.stdout.splitlines() == [
        *[f"7 True {list(map(int, ours))}"] * 3,
        f"7 True {[int(signal.SIGUSR1)]}",
    ], done.stderr


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("when", ["before", "after_in_parent"])
def test_interrupt_while_the_process_forks_is_raised_after_that(when: str, others: int) -> None:
    """Python drops what is raised in a fork's hooks: Ctrl-C comes when they are through, and the second one can end."""
    done = run(
        f"""
for _ in range({others}):  # it gets the signal that is held back from the one that forks
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
sends = True
def send():
    global sends
    if sends:
        sends = False
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)  # another thread gets it meanwhile, and its handler is called here
os.register_at_fork({when}=send)  # while what is registered later holds signals
try:
    with Interrupts(kill) as interrupts:
        pid = os.fork()
        if not pid:
            os._exit(0)
        time.sleep(60)
        print("not reached")
except KeyboardInterrupt:
    print("interrupted", interrupts.is_requested, code_of(pid), mask() == set())
"""
    )
    assert (done.stdout, done.stderr) == ("interrupted True 0 True\n", "")


def test_interrupt_that_comes_twice_waits_for_workers_to_be_killed_though_that_stalls() -> None:
    """Some seconds in which a machine does nothing leave no worker behind."""
    done = run(
        """
def stall():
    time.sleep(4)
    kill()
with Interrupts(stall, raises=False):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
    print("not reached")
"""
    )
    assert (done.returncode, done.stdout) == (130, "killed\n"), done.stderr


def test_interrupts_that_go_on_coming_do_not_put_off_the_end() -> None:
    """What kills the workers has its time once, however often the user insists."""
    done = run(
        """
from parcache.run import interrupt
interrupt._GRACE_S = 2.0
def stall():
    time.sleep(30)
with Interrupts(stall, raises=False):
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.5)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    time.sleep(60)
    print("not reached")
"""
    )
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
