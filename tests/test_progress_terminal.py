"""How a live display ends: at once, and with the batch's own time."""

from __future__ import annotations

import pytest

from tests.terminals import LAST, LIVE, Displayed

pytestmark = pytest.mark.any_hydra

CLOSING = """
import signal, subprocess, threading
from parcache.progress import terminal

display.start(lambda: now)
holder = subprocess.Popen(["sleep", "1000"])
step()
display.stop()
drawing = display._terminal._process.pid
{before}
closing = threading.Thread(target=display.close)
closing.start()
closing.join(15)
print("still closing" if closing.is_alive() else "closed")
{after}
holder.kill()
closing.join()
"""


def test_terminal_close_does_not_wait_for_a_drawing_process_that_is_stopped(displayed: Displayed) -> None:
    """No answer in time is no end: while something else can print, that process would be waited for as long."""
    program = CLOSING.format(
        before="terminal._ENDED_S = 0.3\nos.kill(drawing, signal.SIGSTOP)", after="os.kill(drawing, signal.SIGCONT)"
    )
    with displayed(program) as seen:
        seen.await_text(LIVE)
        seen.step()
        assert seen.finish() == 0
        assert seen.screen[-1] == "closed"


def test_terminal_close_takes_no_late_answer_for_an_end(displayed: Displayed) -> None:
    """An answer to "stop" that nobody waited for any more is not the one to the farewell."""
    before = 'display._terminal.send({"last": {}})\ndisplay._terminal.say("stop")'
    with displayed(CLOSING.format(before=before, after="")) as seen:
        seen.await_text(LIVE)
        seen.step()
        assert seen.finish() == 0
        assert seen.screen[-1] == "closed"


def test_live_display_last_frame_has_the_time_that_the_batch_took(displayed: Displayed) -> None:
    """What passes between the last count and the end of the display is not counted."""
    with displayed(
        """
    display.start(lambda: now)
    step()
    say = display._terminal.say
    def say_late(word):
        time.sleep(1.5)
        say(word)
    display._terminal.say = say_late
    finish()
    display.stop()
    display.close()
    """
    ) as seen:
        seen.await_text(LIVE)
        seen.step()
        assert seen.finish() == 0
        assert seen.screen == LAST
