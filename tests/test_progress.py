"""Progress in words, estimates, the plan's table, the plain displays and which display is chosen."""

from __future__ import annotations

import io
import os
import queue
import sys
import types
from collections.abc import Callable
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcache.model import Job
from parcache.progress.choose import choose_display, obstacle_to_live
from parcache.progress.estimate import Age, makespan, time_left
from parcache.progress.kinds import Progress
from parcache.progress.plain import NoDisplay, PeriodicDisplay, line_display, notebook_display, pauses
from parcache.progress.snapshot import RunningJob, Snapshot
from parcache.progress.table import PlannedJob, Verdict, plan_table, show_plan
from parcache.progress.text import about, cropped, harmless, plain_line, rate
from parcache.run.marks import Mark
from parcache.run.status import Status

pytestmark = pytest.mark.any_hydra

RUNNING = tuple(RunningJob(number, ("a=1",), 0.0) for number in range(4))
MOMENT = Snapshot(
    total=1000,
    hits=40,
    duplicates=0,
    completed=78,
    failed=2,
    retried=0,
    running=RUNNING,
    waiting=876,
    elapsed_s=38.0,
    left_s=360.0,
)


def test_plain_line_moment_of_a_batch_says_all_in_one_line() -> None:
    """A line has the jobs concluded, what they came to, how many run, the rate and the time left."""
    expected = "120/1000 jobs: 40 hits, 78 done, 2 failed; 4 running, 2.1 jobs/s, about 6 min left"
    assert plain_line(MOMENT) == expected


def test_plain_line_beginning_of_a_batch_leaves_out_what_is_not_known() -> None:
    """Before anything has ended there is no count, no rate and no estimate."""
    beginning = MOMENT._replace(hits=0, completed=0, failed=0, left_s=None)
    assert plain_line(beginning) == "0/1000 jobs: 4 running"


def test_plain_line_of_a_batch_whose_jobs_wait_says_so() -> None:
    """Nothing runs, and it is not told when all will be done."""
    waiting = MOMENT._replace(running=(), waiting=880, left_s=None)
    assert plain_line(waiting) == "120/1000 jobs: 40 hits, 78 done, 2 failed; 0 running, 880 waiting, 2.1 jobs/s"


def test_plain_line_end_of_a_batch_has_no_time_left() -> None:
    """When all jobs are concluded nothing is left, whatever the estimate says."""
    end = MOMENT._replace(completed=957, failed=0, hits=40, duplicates=3, retried=1, running=(), waiting=0)
    assert plain_line(end) == "1000/1000 jobs: 40 hits, 3 duplicates, 957 done, 1 retried; 0 running, 25 jobs/s"


@pytest.mark.parametrize(
    ("jobs_per_s", "text"),
    [
        (0.0, ""),
        (250.0, "250 jobs/s"),
        (2.06, "2.1 jobs/s"),
        (0.5, "30 jobs/min"),
        (1 / 600, "6.0 jobs/h"),
        (1e-6, ""),
    ],
)
def test_rate_takes_the_unit_that_gives_a_readable_number(jobs_per_s: float, text: str) -> None:
    """Fast sweeps are counted by the second, slow ones by the hour; what would round to nought is left out."""
    assert rate(jobs_per_s) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.0, "59 s"), (61.0, "1 min"), (5400.0, "90 min"), (30_000.0, "8 h"), (500_000.0, "6 days")],
)
def test_about_is_no_more_exact_than_an_estimate(seconds: float, text: str) -> None:
    """An estimate has one unit."""
    assert about(seconds) == text


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("x=[red]a[/red]", "x=[red]a[/red]"),
        ("x=\x1b[2Jb", "x=\\x1b[2Jb"),
        ("x=a\nb\tc", "x=a\\nb\\tc"),
        ("x=\ud800", "x=\\ud800"),
        ("x=\u202eabc", "x=\\u202eabc"),
        ("x=größe", "x=größe"),
    ],
)
def test_harmless_override_has_nothing_that_a_terminal_acts_on(override: str, text: str) -> None:
    """Escapes, control characters, half characters and changes of direction are written out."""
    assert harmless([override]) == text


def test_time_left_nothing_known_is_none() -> None:
    """Without one finished job or an expectation there is no estimate."""
    assert time_left([], [None, None], [Age(3.0)], 2) is None


def test_time_left_nothing_to_do_is_nought() -> None:
    """A batch without waiting and running jobs is done."""
    assert time_left([], [], [], 2) == 0.0


def test_time_left_unknown_jobs_count_as_average_ones() -> None:
    """Four jobs of about 10 s over two workers that are free take 20 s."""
    assert time_left([8.0, 12.0], [None] * 4, [], 2) == 20.0


def test_time_left_running_jobs_have_their_rest_to_go() -> None:
    """A job that runs for 4 s of 10 takes 6 more, and the one that waits follows it."""
    assert time_left([10.0], [None], [Age(4.0)], 1) == 16.0


def test_time_left_history_is_believed_before_averages() -> None:
    """A waiting job with a known time counts with that, also while nothing has finished."""
    assert time_left([1.0], [100.0], [], 4) == 100.0
    assert time_left([], [100.0, None], [], 1) == 200.0


def test_time_left_overdue_job_takes_as_long_again_as_it_is_overdue() -> None:
    """A job that should have ended 5 s ago is given 5 s more, never a negative time."""
    assert time_left([10.0], [], [Age(15.0)], 1) == 5.0


def test_time_left_one_long_job_is_not_shared_between_workers() -> None:
    """What one job takes is no less for more workers."""
    assert time_left([1.0], [1.0, 1.0, 30.0], [], 8) == 30.0


@given(st.lists(st.floats(0.0, 1e4), max_size=400), st.integers(1, 9))
def test_makespan_lies_between_what_must_be_and_twice_that(times_s: list[float], capacity: int) -> None:
    """Graham's bound: nothing is faster than the longest job or the equal share, and no order takes twice that."""
    least = max(max(times_s, default=0.0), sum(times_s) / capacity)
    found = makespan(times_s, capacity)
    assert least * 0.999 <= found <= 2 * least + 1e-6


PLAN = [
    PlannedJob(0, ("lr=0.1", "model=svm"), Verdict.HIT, "stored", 4.0),
    PlannedJob(1, ("lr=0.2", "model=[red]"), Verdict.MISS, "code", 60.0),
    PlannedJob(10, ("lr=0.2", "model=[red]"), Verdict.DUPLICATE, "of job 1", 60.0),
    PlannedJob(11, ("lr=\x1b[2J", "x=" + "y" * 80), Verdict.MISS, "new"),
]


def test_plan_table_has_a_line_for_each_job_and_the_totals() -> None:
    """A line says a job's number, overrides, verdict, why and time; the totals what is to run and how long."""
    lines = plan_table(PLAN, workers=1).splitlines()
    assert [line.split()[0] for line in lines] == ["job", "0", "1", "10", "11", "4"]
    assert lines[1].split() == ["0", "lr=0.1", "model=svm", "hit", "stored", "4.0", "s"]
    assert lines[2].split() == ["1", "lr=0.2", "model=[red]", "miss", "code", "60", "s"]
    assert lines[3].split()[3:] == ["duplicate", "of", "job", "1", "60", "s"]
    assert "\x1b" not in lines[4]
    assert lines[5] == (
        "4 jobs: 1 hits, 1 duplicates, 2 to run in about 2 min over 1 worker (1 of unknown time taken for average)"
    )


def test_plan_table_narrow_crops_overrides_only() -> None:
    """No line is longer than asked for, and all but the overrides are whole."""
    lines = plan_table(PLAN, workers=1, width=60).splitlines()[:-1]
    assert max(map(len, lines)) < 60
    assert lines[4].split()[-2:] == ["miss", "new"]
    assert "..." in lines[4]


def test_plan_table_wide_letters_keep_columns_below_each_other() -> None:
    """Letters that take two columns of a terminal count as two."""
    rows = [PlannedJob(0, ("x=世界",), Verdict.MISS), PlannedJob(1, ("x=ab",), Verdict.MISS)]
    lines = plan_table(rows, workers=1).splitlines()
    assert lines[1].index("miss") + 2 == lines[2].index("miss")
    assert cropped("世界世界", 6) == "世..." + " "


def test_plan_table_without_known_times_promises_none() -> None:
    """Where nothing is expected the totals have no time."""
    rows = [PlannedJob(0, (), Verdict.MISS, "new")]
    assert plan_table(rows, workers=2).splitlines()[-1] == "1 jobs: 0 hits, 1 to run"


def test_show_plan_stream_of_few_characters_writes_the_rest_as_escapes() -> None:
    """A pipe whose encoding lacks a character gets the whole table all the same."""
    out = io.BytesIO()
    stream = io.TextIOWrapper(out, encoding="ascii")
    show_plan([PlannedJob(0, ("x=größe",), Verdict.MISS)], 1, stream)
    assert rb"x=gr\xf6\xdfe" in out.getvalue()


def test_pauses_grow_and_stay_within_minutes() -> None:
    """The first line comes after 10 s, the next after 30, and a long sweep gets one every five minutes."""
    pause = pauses()
    found = [pause() for _ in range(12)]
    assert found[:3] == [10.0, 30.0, 45.0]
    assert found == sorted(found, key=lambda each: (each != 10.0, each))
    assert found[-1] == 300.0


class Lines(io.StringIO):
    """A stream that tells of each line that is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: queue.Queue[str] = queue.Queue()

    def write(self, text: str) -> int:
        self.lines.put(text)
        return len(text)


def at_once() -> Callable[[], float]:
    return lambda: 0.001


def test_line_display_writes_lines_until_it_is_stopped() -> None:
    """Lines come by themselves; after stop, which may be called twice, none comes."""
    stream = Lines()
    display = line_display(stream, at_once)
    display.start(lambda: MOMENT)
    assert stream.lines.get(timeout=60) == f"[parcache] {plain_line(MOMENT)}\n"
    display.stop()
    display.stop()
    while not stream.lines.empty():
        stream.lines.get()
    display.close()
    assert stream.lines.empty()


def test_line_display_started_again_shows_the_next_batch() -> None:
    """One display serves the batches of a sweep one after the other."""
    stream = Lines()
    display = line_display(stream, at_once)
    for total in (1000, 2000):
        display.start(lambda total=total: MOMENT._replace(total=total))  # type: ignore[misc] # its type is told
        while f"120/{total} jobs" not in stream.lines.get(timeout=60):
            pass
        display.stop()


def test_line_display_stream_that_is_closed_does_no_harm() -> None:
    """Where nobody reads any more nothing is shown, and nothing is raised."""
    stream = io.StringIO()
    stream.close()
    asked: queue.Queue[int] = queue.Queue()

    def snapshot() -> Snapshot:
        asked.put(1)
        return MOMENT

    display = line_display(stream, at_once)
    display.start(snapshot)
    asked.get(timeout=60)
    display.stop()


def test_line_display_snapshot_that_raises_does_no_harm() -> None:
    """What is wrong with counting ends the display, not the sweep."""
    stream = Lines()
    asked: queue.Queue[int] = queue.Queue()

    def snapshot() -> Snapshot:
        asked.put(1)
        raise RuntimeError("a dictionary changed its size")

    display = line_display(stream, at_once)
    display.start(snapshot)
    asked.get(timeout=60)
    display.stop()
    assert stream.lines.empty()


def test_notebook_display_updates_one_line() -> None:
    """A notebook's cell gets one output that is updated, the last time when the batch is over."""
    shown: queue.Queue[str] = queue.Queue()

    class Handle:
        def update(self, data: dict[str, str], raw: bool) -> None:
            shown.put("update " + data["text/plain"])

    def display(data: dict[str, str], raw: bool, display_id: bool) -> Handle:
        shown.put("first " + data["text/plain"])
        return Handle()

    found = notebook_display(display, at_once)
    found.start(lambda: MOMENT)
    assert shown.get(timeout=60) == "first " + plain_line(MOMENT)
    found.stop()
    assert shown.get(timeout=60) == "update " + plain_line(MOMENT)


@pytest.mark.parametrize("kind", [Progress.AUTO, Progress.RICH, Progress.PLAIN])
def test_choose_display_pipe_gets_lines_on_standard_error(kind: Progress) -> None:
    """Where standard output is no terminal there are lines, and they leave it alone."""
    with open(os.devnull, "w") as stdout:
        display = choose_display(kind, {"TERM": "xterm"}, stdout, Lines())
    assert isinstance(display, PeriodicDisplay)


def test_choose_display_off_shows_nothing() -> None:
    """``off`` is off everywhere."""
    assert isinstance(choose_display(Progress.OFF, {"TERM": "xterm"}, sys.stdout, sys.stderr), NoDisplay)


def test_status_of_a_batch_of_which_nothing_runs_estimates_nothing() -> None:
    """Jobs that wait in a queue may do so for days; in the moment between two jobs the estimate stays."""
    now_s = 0.0
    marks: list[Mark] = []
    jobs = [Job(number, (f"x={number}",), None) for number in range(4)]
    status = Status(4, 0, jobs, lambda: marks, {}, 1, clock=lambda: now_s)
    marks.append(Mark(0, 0, 0.0))
    now_s = 10.0
    status.completed(0, 10.0)
    marks.clear()
    assert status.snapshot().left_s == 30.0
    now_s = 13.0
    assert status.snapshot().left_s is None
    assert plain_line(status.snapshot()).startswith("1/4 jobs: 1 done; 0 running, 3 waiting")
    marks.append(Mark(1, 1, 12.0))
    assert status.snapshot().left_s == 29.0


class OwnTerminal(io.StringIO):
    """Somebody's stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [OwnTerminal(), types.SimpleNamespace(), None])
def test_obstacle_stream_that_is_not_the_process_own_is_no_terminal(stream: TextIO) -> None:
    """Streams without a file, objects in their place and none at all are no terminal."""
    assert obstacle_to_live({"TERM": "xterm"}, stream) == "standard output is no terminal"


def test_choose_display_notebook_updates_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where standard output is a kernel's, the display is the notebook's."""
    shown: queue.Queue[str] = queue.Queue()
    iostream = types.ModuleType("ipykernel.iostream")
    iostream.OutStream = Lines  # type: ignore[attr-defined] # what there is of ipykernel here
    module = types.ModuleType("IPython.display")
    module.display = lambda data, **_: shown.put(data["text/plain"])  # type: ignore[attr-defined] # and of IPython
    for each in (types.ModuleType("ipykernel"), iostream, types.ModuleType("IPython"), module):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    out, err = Lines(), Lines()
    display = choose_display(Progress.AUTO, {}, out, err)
    display.start(lambda: MOMENT)
    assert shown.get(timeout=60) == plain_line(MOMENT)
    display.stop()
    assert out.lines.empty()
    assert err.lines.empty()
