"""The benchmarks' own arithmetic, tables and apps. What they measure is not tested: speed is no pass or fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from benchmarks import folders
from benchmarks.apps import WIDE_GROUPS, write_sleeping_app, write_small_app, write_wide_app
from benchmarks.clock import Contestant, FailedRunError, run_program, take_turns
from benchmarks.options import PARTS, read_options
from benchmarks.order import MIXES, scaled
from benchmarks.report import as_json, quantity, render, render_finding, render_grid, render_table, save
from benchmarks.series import Finding, Goal, Grid, Part, Series, Table, differences, ratios, sums
from benchmarks.slurm import cost_of_a_job, makespan, run_times
from benchmarks.startup import least_of_each

pytestmark = pytest.mark.any_hydra


def test_ratios_divide_round_by_round() -> None:
    """The samples of the same round are divided, so that a slow minute is slow on both sides."""
    assert ratios((2.0, 30.0, 8.0), (1.0, 10.0, 2.0)) == (2.0, 3.0, 4.0)


def test_ratios_with_a_single_sample_use_it_in_every_round() -> None:
    """A peer that is too slow for more than one round is held against all rounds of the others."""
    assert ratios((100.0,), (1.0, 2.0)) == (100.0, 50.0)
    assert ratios((1.0, 2.0), (2.0,)) == (0.5, 1.0)


def test_ratios_without_samples_or_divisor_are_none() -> None:
    """What was not measured, or came out as nothing, has no ratio."""
    assert ratios((), (1.0,)) == ()
    assert ratios((1.0, 4.0), (0.0, 2.0)) == (2.0,)


def test_least_of_each_block_leaves_no_sample_out() -> None:
    """Every sample is in one block; an incomplete block joins the one before it."""
    assert least_of_each((3.0, 1.0, 2.0, 5.0, 4.0), 2) == (1.0, 2.0)
    assert least_of_each((3.0, 1.0), 10) == (1.0,)
    assert least_of_each((), 10) == ()


def test_sums_and_differences_stay_in_their_rounds() -> None:
    """Floors are added and subtracted within a round; the shorter column ends it."""
    assert sums((1.0, 2.0, 3.0), (10.0, 20.0)) == (11.0, 22.0)
    assert differences((5.0, 7.0), (1.0, 2.0)) == (4.0, 5.0)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (369.4, "s", "369 s"),
        (0.0123456, "s", "12.3 ms"),
        (0.0000456, "s", "45.6 µs"),
        (0.0, "s", "0 µs"),
        (123456789.0, "bytes", "123 MB"),
        (1500.0, "bytes", "1.50 kB"),
        (41.26, "x", "41.3x"),
    ],
)
def test_quantity_shows_three_digits_in_a_fitting_unit(value: float, unit: str, shown: str) -> None:
    """Numbers of any size are short and carry their unit."""
    assert quantity(value, unit) == shown


def test_table_shows_extremes_median_and_ratio_to_the_first() -> None:
    """A row has its rounds, min, median, max and the median of the pairs' ratios."""
    shown = render_table(Table("sweep", (Series("basic", (2.0, 4.0, 6.0)), Series("warm", (1.0, 1.0, 1.0)))))
    title, head, first, second = shown.splitlines()
    assert title == "sweep"
    assert head.split() == ["rounds", "min", "median", "max", "÷", "first"]
    assert first.split() == ["basic", "3", "2.00", "s", "4.00", "s", "6.00", "s", "1.00"]
    assert second.split() == ["warm", "3", "1.00", "s", "1.00", "s", "1.00", "s", "0.250"]


def test_grid_shows_a_row_for_each_name_and_a_cell_for_each_column() -> None:
    """Names stand to the left, cells under their columns."""
    shown = render_grid(Grid("counts", ("theirs", "ours"), (("a crash", ("7", "19")), ("nothing", ("20", "20")))))
    assert shown.splitlines() == [
        "counts",
        "         theirs  ours",
        "a crash       7    19",
        "nothing      20    20",
    ]


def test_finding_states_its_goal_and_whether_it_is_met() -> None:
    """The median over the pairs is held against the goal; what was not measured says so."""
    goal = Goal(40, at_least=True)
    assert render_finding(Finding("a ÷ b", (39.0, 41.0, 50.0), goal)).endswith("41.0x (39.0x to 50.0x in 3 pairs); "
                                                                              "goal at least 40.0x: met")  # fmt: skip
    assert render_finding(Finding("a ÷ b", (1.6,), Goal(1.5, at_least=False))).endswith("MISSED")
    assert render_finding(Finding("a ÷ b", (), goal)) == "a ÷ b: not measured"


def test_turns_are_taken_round_by_round_and_the_broken_leave() -> None:
    """A B C A B C: a contestant that fails costs nobody else's samples, and is named in the notes."""
    order: list[str] = []

    def sample(name: str) -> float:
        order.append(name)
        if name == "broken":
            raise FailedRunError("it does not start")
        return float(len(order))

    names = {"a": 2, "broken": 2, "slow": 1}
    contestants = [
        Contestant(name, lambda name=name: sample(name), rounds)  # type: ignore[misc]
        for name, rounds in names.items()
    ]
    notes: list[str] = []
    series = take_turns(contestants, notes)
    assert order == ["a", "broken", "slow", "a"]
    assert {name: found.samples for name, found in series.items()} == {"a": (1.0, 4.0), "slow": (3.0,)}
    assert notes == ["broken: not measured. it does not start"]


def test_program_run_reports_time_memory_and_output(tmp_path: Path) -> None:
    """A run knows its output and its peak memory; a failure carries the output's end."""
    run = run_program([sys.executable, "-c", "print('here')"], tmp_path)
    assert run.output == "here\n"
    assert run.wall_s > 0
    assert run.peak_bytes > 1_000_000
    with pytest.raises(FailedRunError, match="ended with 3:\nbefore"):
        run_program([sys.executable, "-c", "print('before'); raise SystemExit(3)"], tmp_path)


def test_wide_app_has_sixty_keys_in_six_groups_with_six_interpolations(tmp_path: Path) -> None:
    """The config of the keying part is what its numbers are stated for."""
    app = write_wide_app(tmp_path / "app")
    groups = {group: OmegaConf.load(app.folder / "conf" / group / "base.yaml") for group in WIDE_GROUPS}
    assert len(groups) == 6
    written = [value for group in groups.values() for value in dict(OmegaConf.to_container(group)).values()]
    assert len(written) == 60
    assert sum(str(value).startswith("${") for value in written) == 6
    resolved = OmegaConf.to_container(OmegaConf.create(groups), resolve=True)
    assert "${" not in str(resolved)


def test_small_app_sweeps_and_its_folders_are_copied_byte_for_byte(tmp_path: Path) -> None:
    """A job's folder, as Hydra leaves it, is the template of the floor, whatever number of processes writes it."""
    app = write_small_app(tmp_path / "app")
    template = app.job_folder()
    shape = folders.read_template(str(template))
    assert {name for name, _ in shape[1]} == {
        "app.log",
        ".hydra/config.yaml",
        ".hydra/hydra.yaml",
        ".hydra/overrides.yaml",
    }
    for processes in (1, 2):
        target = tmp_path / str(processes)
        command = [sys.executable, str(folders.__file__), str(template), str(target), "3", str(processes)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert float(done.stdout) > 0
        assert all(folders.read_template(str(target / str(number))) == shape for number in range(3))


def test_sleeping_app_sleeps_as_long_as_each_job_is_told(tmp_path: Path) -> None:
    """The jobs of the sweep take their times in the order given, and a run time that is scaled keeps its share."""
    app = write_sleeping_app(tmp_path / "app", [0.0, 0.3])
    kept = app.fresh("kept")
    assert app.sweep(2, "hydra/launcher=basic", keep=kept).wall_s > 0.3
    for recorded in MIXES.values():
        found = scaled(recorded, 6.0)
        assert sum(found) == pytest.approx(6.0, abs=0.01)
        assert found[-1] / found[0] == pytest.approx(recorded[-1] / recorded[0], rel=0.02)


def test_options_choose_parts_and_refuse_unknown_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """All parts run unless some are named; a profile runs alone; a misspelled part is refused."""
    assert read_options([]).parts == PARTS
    assert read_options(["--only", "sweeps,store", "--quick"]).parts == ("sweeps", "store")
    assert read_options(["--profile"]).parts == ("profiling",)
    assert read_options(["--sizes", "50,10"], "sweeps").sizes == (10, 50)
    with pytest.raises(SystemExit):
        read_options(["--only", "sweep"])
    assert "no part is called sweep" in capsys.readouterr().err


def test_results_are_saved_by_part(tmp_path: Path) -> None:
    """A part's results replace its former ones and leave those of other parts, and every sample is there."""
    path = tmp_path / "results.json"
    part = Part("store", [Table("hit", (Series("own", (0.5, 0.25)),))], [Finding("x", (2.0,))], ["a note"])
    for name in ("store", "sweeps", "store"):
        save(path, name, as_json(part, {"cores": 2}, ["--quick"]))
    found = json.loads(path.read_text())
    assert set(found) == {"store", "sweeps"}
    assert found["store"]["tables"][0]["series"][0]["samples"] == [0.5, 0.25]
    assert found["store"]["machine"] == {"cores": 2}
    assert render(part).startswith("== store")
    part.grids.append(Grid("counted", ("ours",), (("a crash", ("19",)),)))
    assert "counted" in render(part)
    assert as_json(part, {}, [])["grids"][0]["rows"] == (("a crash", ("19",)),)


def test_makespan_is_that_of_workers_who_take_the_next_job() -> None:
    """Whoever is free first takes it."""
    assert makespan((4.0, 3.0, 2.0, 1.0), 2) == 5.0
    assert makespan((1.0, 1.0, 7.0), 2) == 8.0


def test_run_times_of_sleeping_jobs_are_from_one_to_ten_seconds() -> None:
    """They are the same each time, and in no order."""
    seconds = run_times(20, quick=False)
    assert (min(seconds), max(seconds)) == (1.0, 10.0)
    assert seconds == run_times(20, quick=False)
    assert list(seconds) not in (sorted(seconds), sorted(seconds, reverse=True))


def test_cost_of_a_job_is_counted_from_the_first_end_to_the_last(tmp_path: Path) -> None:
    """What came before the first worker was there is not in it; one line may tell of several jobs."""
    lines = [
        {"time": 1.0, "state": "running", "jobs": [0]},
        {"time": 10.0, "state": "completed", "jobs": [0]},
        {"time": 12.0, "state": "completed", "jobs": [1, 2, 3, 4]},
    ]
    journal = tmp_path / "journal.jsonl"
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert cost_of_a_job(journal) == 0.5


def test_options_of_the_slurm_part_may_leave_out_accounting() -> None:
    """No other part knows that."""
    assert not read_options(["--no-accounting"], "slurm").accounting
    assert read_options([], "slurm").accounting
    with pytest.raises(SystemExit):
        read_options(["--no-accounting"])
