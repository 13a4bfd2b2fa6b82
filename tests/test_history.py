"""What is known of run times: the same configuration first, else its neighbours, and the order that follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcache.model import Job, Key
from parcache.run.history import Past, expected_times, longest_first
from tests.conftest import Project
from tests.sweeping import journal

anyhow = pytest.mark.any_hydra


def job(number: int, config: str, *overrides: str) -> Job:
    return Job(number, overrides, Key("", 1, config, "", "", ""))


@anyhow
def test_expected_time_of_the_same_config_is_its_last() -> None:
    """Whatever the code was, and however near others are: the newest time of the same configuration counts."""
    past = [Past("a", 3.0, ("x=1",)), Past("a", 9.0, ("x=1",)), Past("b", 1.0, ("x=1", "y=2"))]
    assert expected_times([job(0, "a", "x=1", "y=2")], past) == {0: 3.0}


@anyhow
def test_expected_time_of_a_new_config_is_that_of_its_neighbours() -> None:
    """Those that share the most overrides count, by their median."""
    past = [
        Past("a", 1.0, ("model=svm", "seed=1")),
        Past("b", 2.0, ("model=svm", "seed=2")),
        Past("c", 30.0, ("model=svm", "seed=3")),
        Past("d", 100.0, ("model=net", "seed=4")),
    ]
    found = expected_times([job(0, "x", "model=svm", "seed=9"), job(1, "y", "model=net", "seed=4")], past)
    assert found == {0: 2.0, 1: 100.0}


@anyhow
def test_expected_time_of_what_nothing_is_known_of_is_not_made_up() -> None:
    """A job that shares nothing with any other has none."""
    assert expected_times([job(0, "x", "z=1")], [Past("a", 1.0, ("x=1",))]) == {}


@anyhow
def test_expected_times_of_thousands_of_new_jobs_look_at_few_of_those_that_share_what_all_share() -> None:
    """An override that all jobs have tells nothing: a rare one decides (else this takes minutes)."""
    past = [Past(f"c{number}", float(number % 50), ("a=1", "b=2", f"lr={number % 50}")) for number in range(20_000)]
    jobs = [job(number, "new", "a=1", "b=2", f"lr={number % 50}", f"seed={number}") for number in range(5_000)]
    found = expected_times(jobs, past)
    assert found == {number: float(number % 50) for number in range(5_000)}


@anyhow
def test_longest_first_unknown_jobs_count_as_average() -> None:
    """What nothing is known of stands between the long and the short."""
    jobs = [job(number, str(number)) for number in range(4)]
    ordered = longest_first(jobs, {0: 1.0, 1: 9.0, 3: 4.9})
    assert [each.number for each in ordered] == [1, 2, 3, 0]


@anyhow
def test_longest_first_times_alike_keep_the_given_order() -> None:
    """Where all take about as long, nothing speaks against the given order."""
    jobs = [job(number, str(number)) for number in range(5)]
    assert longest_first(jobs, {0: 1.0, 1: 1.1, 2: 1.05}) == tuple(jobs)


@anyhow
@given(st.lists(st.none() | st.floats(min_value=0, max_value=100), max_size=20))
def test_longest_first_any_times_loses_and_repeats_no_job(times_s: list[float | None]) -> None:
    """The order is an order of all jobs, and known times do not increase in it."""
    jobs = [job(number, str(number)) for number in range(len(times_s))]
    expected = {number: time_s for number, time_s in enumerate(times_s) if time_s is not None}
    ordered = [each.number for each in longest_first(jobs, expected)]
    assert sorted(ordered) == list(range(len(times_s)))
    known = [expected[number] for number in ordered if number in expected]
    if ordered != list(range(len(times_s))):
        assert known == sorted(known, reverse=True)


@pytest.fixture
def sleeping(project: Project) -> Project:
    """An app whose jobs take 0.1 s times their number."""
    return project.write(helper="import time\ndef compute(cfg):\n    time.sleep(cfg.x / 10)\n    return cfg.x\n")


LAUNCHER = ("-m", "hydra/launcher=parcache", "hydra.launcher.backend.workers=2", "hydra.sweep.dir=out")
TIMES_MS = {f"x={number}": 100 * number for number in range(1, 5)}


def started(project: Project) -> list[int]:
    """Return the jobs of the last sweep in the order in which the backend was given them."""
    lines = journal(project.folder / "out")
    last = max(number for number, line in enumerate(lines) if "journal" in line)
    return [number for line in lines[last:] if line.get("state") == "running" for number in line["jobs"]]


def test_sweep_with_history_starts_the_longest_jobs_first(sleeping: Project) -> None:
    """Under another salt nothing is served, and the times are known: the longest job starts first."""
    sleeping.run(*LAUNCHER, "x=1,3,2,4").check()
    sleeping.remember(TIMES_MS)
    assert started(sleeping) == [0, 1, 2, 3]
    sleeping.run(*LAUNCHER, "x=1,3,2,4", "hydra.launcher.cache.salt=other").check()
    assert started(sleeping) == [3, 1, 2, 0]


def test_sweep_with_order_given_starts_jobs_as_they_come(sleeping: Project) -> None:
    """The order can be pinned."""
    sleeping.run(*LAUNCHER, "x=1,3,2").check()
    sleeping.remember(TIMES_MS)
    sleeping.run(*LAUNCHER, "x=1,3,2", "hydra.launcher.cache.salt=other", "hydra.launcher.order=given").check()
    assert started(sleeping) == [0, 1, 2]


def test_sweep_one_job_at_a_time_starts_jobs_as_they_come(sleeping: Project) -> None:
    """Where nothing can be gained, the order is the given one."""
    serial = (*LAUNCHER[:2], "hydra/launcher/backend=serial", "hydra.sweep.dir=out")
    sleeping.run(*serial, "x=1,3,2").check()
    sleeping.remember(TIMES_MS)
    sleeping.run(*serial, "x=1,3,2", "hydra.launcher.cache.salt=other").check()
    assert started(sleeping) == [0, 1, 2]


def test_sweep_whose_records_are_damaged_starts_jobs_as_they_come(sleeping: Project) -> None:
    """History serves speed alone: what cannot be read is nothing."""
    sleeping.run(*LAUNCHER, "x=1,3,2").check()
    sleeping.remember(TIMES_MS)
    for path in (sleeping.folder / ".parcache" / "sweeps").iterdir():
        path.write_bytes(path.read_bytes().replace(b'["times"', b'["times",,'))
    sleeping.run(*LAUNCHER, "x=1,3,2", "hydra.launcher.cache.salt=other").check()
    assert started(sleeping) == [0, 1, 2]
