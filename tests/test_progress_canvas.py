"""What a terminal is told: output above, live lines below, nothing lost and nothing twice."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcache.progress.canvas import LONGEST_LINE, Canvas, LiveRow
from parcache.progress.frame import Painter, clock, shares, snapshot_of
from parcache.progress.snapshot import RunningJob, Snapshot

pytestmark = pytest.mark.any_hydra

WIDTH = 24
ROWS = [LiveRow(b"bar", 3), LiveRow(b"counts", 6)]
LAST = [LiveRow(b"the end", 7)]


class Shown:
    """A terminal that shows what a canvas says, and does with line ends what a terminal driver does."""

    def __init__(self, width: int = WIDTH, lines: int = 12) -> None:
        self._screen = pyte.HistoryScreen(width, lines, history=100_000)
        self._stream = pyte.ByteStream(self._screen)

    def write(self, data: bytes) -> None:
        self._stream.feed(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))

    @property
    def lines(self) -> list[str]:
        width = self._screen.columns
        found = ["".join(line[column].data for column in range(width)).rstrip() for line in self._screen.history.top]
        found += [line.rstrip() for line in self._screen.display]
        while found and not found[-1]:
            found.pop()
        return found

    @property
    def column(self) -> int:
        return int(self._screen.cursor.x)


@pytest.fixture
def shown() -> Shown:
    return Shown()


def test_canvas_whole_lines_go_above_the_live_ones(shown: Shown) -> None:
    """What is printed stands above the live lines, in its order, and those are there once."""
    canvas = Canvas(WIDTH)
    shown.write(canvas.feed(b"before\n"))
    shown.write(canvas.show(ROWS))
    shown.write(canvas.feed(b"one\ntwo\n"))
    shown.write(canvas.update())
    assert shown.lines == ["before", "one", "two", "bar", "counts"]


def test_canvas_line_in_pieces_is_shown_in_one(shown: Shown) -> None:
    """A line that is written in pieces stands above the live lines while it grows, and once when it is whole."""
    canvas = Canvas(WIDTH)
    shown.write(canvas.show(ROWS))
    shown.write(canvas.feed(b"par") + canvas.update())
    assert shown.lines == ["par", "bar", "counts"]
    shown.write(canvas.feed(b"tial") + canvas.update())
    assert shown.lines == ["partial", "bar", "counts"]
    shown.write(canvas.feed(b"\n") + canvas.update())
    assert shown.lines == ["partial", "bar", "counts"]
    shown.write(canvas.feed(b"next\n") + canvas.update())
    assert shown.lines == ["partial", "next", "bar", "counts"]


def test_canvas_bar_drawn_over_itself_is_one_line(shown: Shown) -> None:
    """A bar of the program's own moves above the live lines, however often it is drawn."""
    canvas = Canvas(WIDTH)
    shown.write(canvas.show(ROWS))
    for number in range(2000):
        shown.write(canvas.feed(b"\r%d of 2000" % number) + canvas.update())
    assert shown.lines == ["1999 of 2000", "bar", "counts"]
    shown.write(canvas.feed(b"\rall of it   \ndone\n") + canvas.update())
    assert shown.lines == ["all of it", "done", "bar", "counts"]


def test_canvas_line_begun_before_the_live_ones_is_not_lost(shown: Shown) -> None:
    """A line that is open when the live lines come moves above them, and is completed there."""
    canvas = Canvas(WIDTH)
    shown.write(canvas.feed(b"first\nhalf of a line that is longer than the terminal"))
    shown.write(canvas.show(ROWS))
    assert shown.lines[0] == "first"
    assert shown.lines[-2:] == ["bar", "counts"]
    assert len(shown.lines) == 4
    shown.write(canvas.feed(b", whole\n") + canvas.update())
    text = "".join(line.ljust(WIDTH) for line in shown.lines[1:-2]).rstrip()
    assert text == "half of a line that is longer than the terminal, whole"


def test_canvas_finished_leaves_an_open_line_to_be_continued(shown: Shown) -> None:
    """At the end the last lines stand above a line that is not ended, so that its program can go on with it."""
    canvas = Canvas(WIDTH)
    shown.write(canvas.show(ROWS) + canvas.feed(b"done\nopen"))
    shown.write(canvas.finish(LAST))
    shown.write(canvas.feed(b" line\n"))
    assert shown.lines == ["done", "the end", "open line"]


def test_canvas_hidden_passes_everything_on_at_once(shown: Shown) -> None:
    """While the live lines are hidden a prompt shows at once with the cursor behind it; then they come back below."""
    canvas = Canvas(WIDTH)
    shown.write(canvas.show(ROWS) + canvas.hide())
    shown.write(canvas.feed(b"name? "))
    shown.write(canvas.show(ROWS))
    assert shown.lines == ["name?"]
    assert shown.column == 6
    shown.write(b"me\n")  # the terminal's echo
    canvas.start_line()
    canvas.reveal()
    shown.write(canvas.show(ROWS) + canvas.feed(b"hello me\n") + canvas.update())
    assert shown.lines == ["name? me", "hello me", "bar", "counts"]


def test_canvas_narrower_terminal_takes_wrapped_lines_away() -> None:
    """Live lines that a narrower terminal has wrapped are taken away whole."""
    canvas = Canvas(40)
    canvas.show([LiveRow(b"x" * 30, 30)])
    canvas.width = 20
    assert canvas.finish().startswith(b"\r\x1b[2A\x1b[0m\x1b[J")


def test_canvas_endless_line_is_passed_on_without_live_lines(shown: Shown) -> None:
    """A line of a megabyte is passed on as it comes; the live lines come back when it ends."""
    canvas = Canvas(WIDTH)
    canvas.show(ROWS)
    data = b"".join(canvas.feed(b"y" * 1000) for _ in range(2 * LONGEST_LINE // 1000))
    assert data.count(b"y") == 2 * LONGEST_LINE // 1000 * 1000
    assert canvas.update() == b""
    canvas.feed(b"\n")
    assert b"bar" in canvas.update()


def pieces_of(letters: str) -> st.SearchStrategy[list[tuple[str, str]]]:
    actions = st.sampled_from(["feed", "show", "update", "hide", "reveal"])
    return st.lists(st.tuples(actions, st.text(letters, max_size=60)), max_size=40)


# Wide letters by themselves: the emulator neither draws over half of one nor wraps one that is half in the last column.
@given(st.one_of(pieces_of("ab cäö\n\r"), pieces_of("ab c\n\t"), pieces_of("世界\n")))
def test_canvas_whatever_is_written_is_shown_as_without_live_lines(pieces: list[tuple[str, str]]) -> None:
    """When the live lines have gone, a terminal shows what it would have shown without them."""
    canvas, shown, plain = Canvas(WIDTH), Shown(), Shown()
    for action, text in pieces:
        if action == "feed":
            shown.write(canvas.feed(text.encode()))
            plain.write(text.encode())
        elif action == "show":
            shown.write(canvas.show(ROWS))
        elif action == "update":
            shown.write(canvas.update())
        elif action == "hide":
            shown.write(canvas.hide())
        else:
            canvas.reveal()
    shown.write(canvas.finish() + canvas.feed(b"\n"))
    plain.write(b"\n")
    assert shown.lines == plain.lines


MOMENT = Snapshot(100, 20, 0, 30, 5, 1, (), 40, 65.0, 120.0)
JOBS = [[number, f"model=[red]x lr={number}", 7.0 + number] for number in range(20)]


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def rows_of(width: int, height: int = 24, encoding: str = "utf-8") -> list[LiveRow]:
    snapshot, running = snapshot_of({**MOMENT._asdict(), "running": JOBS, "running_count": 20})
    return Painter(encoding).live(snapshot, running, width, height)


def painted(width: int, height: int = 24, encoding: str = "utf-8") -> list[str]:
    terminal = Shown(width, 30)
    for row in rows_of(width, height, encoding):
        alone = Shown(width, 3)
        alone.write(row.shown)
        assert alone.column == row.cells < width
        terminal.write(row.shown + b"\n")
    return terminal.lines


def test_painter_wide_terminal_shows_bar_counts_and_jobs() -> None:
    """The live lines: how far, what jobs came to and when it will be done, the oldest jobs, and how many more."""
    lines = painted(100)
    assert lines[0] == "55/100 " + "━" * 33 + "╍" * 12 + "─" * 15 + " 1:05"
    assert lines[1] == "20 hits, 30 done, 5 failed, 1 retried; 20 running, 32 jobs/min, about 2 min left"
    assert lines[2] == "  #0  0:07  model=[red]x lr=0"
    assert lines[7] == "  and 15 more"
    assert len(lines) == 8


def test_painter_of_a_batch_whose_jobs_wait_says_so_until_it_is_over() -> None:
    """What never ran of a batch that was ended does not wait any more."""
    waiting = MOMENT._replace(left_s=None)
    shown = [Painter("utf-8").live(waiting, 0, 100, 24), Painter("utf-8").last(waiting, 100)]
    assert ["40 waiting" in rows[1].shown.decode() for rows in shown] == [True, False]


@pytest.mark.parametrize("width", [1, 2, 5, 12, 20, 40])
def test_painter_narrow_terminal_keeps_within_it(width: int) -> None:
    """No line reaches the last column, however narrow the terminal is."""
    assert len(painted(width, 30)) <= 8


def test_painter_low_terminal_leaves_room_for_output() -> None:
    """On a terminal of four lines, two at most are live."""
    assert len(painted(80, height=4)) == 2


def test_painter_terminal_of_ascii_draws_with_ascii() -> None:
    """Where the encoding has no bars, the bar is made of letters, and so are the dots of a cropped line."""
    lines = painted(30, encoding="ascii")
    assert all(line.isascii() for line in lines)
    assert lines[0].startswith("55/100 ===#####x>>>.....")
    assert lines[1].endswith("...")


def test_painter_without_colours_tells_it_by_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR takes the colours away, not the information."""
    coloured = painted(100)
    assert any(b"\x1b[33m" in row.shown for row in rows_of(100))
    monkeypatch.setenv("NO_COLOR", "1")
    assert painted(100) == coloured
    assert not any(b"[3" in row.shown for row in rows_of(100))


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4), st.integers(0, 60), st.integers(0, 80))
def test_shares_parts_of_a_bar_fill_it(numbers: list[int], waiting: int, cells: int) -> None:
    """The parts of a bar have its length together, whatever there is of each."""
    parts = dict(zip(("hits", "done", "failed", "running"), numbers, strict=True))
    found = shares(parts, sum(numbers) + waiting, cells)
    assert sum(found.values()) == cells
    assert min(found.values()) >= 0


def test_shares_one_failed_job_of_thousands_shows() -> None:
    """A failure is never too small to be seen."""
    assert shares({"hits": 0, "done": 5000, "failed": 1, "running": 0}, 10_000, 40)["failed"] == 1


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0:00"), (65.9, "1:05"), (3725.0, "1:02:05"), (-1.0, "0:00")])
def test_clock_span_is_shown_as_a_clock_does(seconds: float, text: str) -> None:
    """Minutes and seconds, with hours where there are some."""
    assert clock(seconds) == text


def test_snapshot_of_message_ages_go_on_while_no_other_comes() -> None:
    """Ages and the elapsed time are those of now, not of when they were sent."""
    message = {**MOMENT._asdict(), "running": [[3, "a=1", 2.0]], "running_count": 9}
    snapshot, count = snapshot_of(message, 5.0)
    assert snapshot.running == (RunningJob(3, ("a=1",), 7.0),)
    assert (snapshot.elapsed_s, count) == (70.0, 9)
