"""The plan loses and repeats no job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcache.model import Entry, Job, Key
from parcache.run.plan import make_plan

pytestmark = pytest.mark.any_hydra

DIGESTS = st.sampled_from(["a", "b", "c", "d"])


def key(digest: str) -> Key:
    return Key(digest, 1, "config", "code", "3.11", "")


def job(number: int, digest: str | None) -> Job:
    return Job(number, (f"x={number}",), None if digest is None else key(digest))


def shelf(stored: set[str]) -> dict[str, Entry]:
    return {digest: Entry(key(digest), digest, 1.0) for digest in stored}


@st.composite
def batches(draw: st.DrawFn) -> list[Job]:
    """Draw batches whose jobs share keys, lack keys, and are numbered from anywhere."""
    first = draw(st.integers(min_value=0, max_value=50))
    digests = draw(st.lists(st.none() | DIGESTS, max_size=12))
    return [job(first + index, digest) for index, digest in enumerate(digests)]


@given(batches(), st.sets(DIGESTS))
def test_plan_any_batch_holds_every_job_once(jobs: list[Job], stored: set[str]) -> None:
    """Hits, misses and duplicates are disjoint and together are all jobs."""
    entries = shelf(stored)
    plan = make_plan(jobs, lambda wanted: entries.get(wanted.key.digest))
    numbers = [*plan.hits, *(miss.number for miss in plan.misses), *plan.duplicates]
    assert sorted(numbers) == [each.number for each in jobs]


@given(batches(), st.sets(DIGESTS))
def test_plan_any_batch_sorts_jobs_by_what_is_stored(jobs: list[Job], stored: set[str]) -> None:
    """A job is a hit if its key is stored, a duplicate if an earlier miss has its key, else a miss, in job order."""
    entries = shelf(stored)
    plan = make_plan(jobs, lambda wanted: entries.get(wanted.key.digest))
    first: dict[str, int] = {}
    hits, misses, duplicates = {}, [], {}
    for each in jobs:
        if each.key is None:
            misses.append(each)
        elif each.key.digest in stored:
            hits[each.number] = entries[each.key.digest]
        elif each.key.digest in first:
            duplicates[each.number] = first[each.key.digest]
        else:
            first[each.key.digest] = each.number
            misses.append(each)
    assert (plan.hits, plan.misses, plan.duplicates) == (hits, tuple(misses), duplicates)


@given(batches(), st.lists(st.booleans(), min_size=12, max_size=12))
def test_plan_store_that_changes_meanwhile_loses_no_job(jobs: list[Job], answers: list[bool]) -> None:
    """Entries that come and go while the plan is made cost a run at most: every duplicate's twin is a miss."""
    coming = iter(answers)
    plan = make_plan(jobs, lambda wanted: Entry(wanted.key, None, 1.0) if next(coming) else None)
    misses = [miss.number for miss in plan.misses]
    assert sorted([*plan.hits, *misses, *plan.duplicates]) == [each.number for each in jobs]
    assert set(plan.duplicates.values()) <= set(misses)


def test_plan_two_hits_of_one_key_share_no_value() -> None:
    """Each hit decodes its own value."""
    plan = make_plan([job(0, "a"), job(1, "a")], lambda wanted: Entry(wanted.key, [], 1.0))
    assert plan.hits[0].value is not plan.hits[1].value


def test_plan_key_that_is_not_stored_is_looked_up_once() -> None:
    """A key that several jobs miss is asked for once."""
    asked: list[str] = []

    def read(wanted: Job) -> None:
        assert wanted.key is not None
        asked.append(wanted.key.digest)

    make_plan([job(0, "a"), job(1, "a"), job(2, "b"), job(3, "a")], read)
    assert asked == ["a", "b"]


def test_plan_jobs_of_one_key_with_other_named_inputs_are_no_duplicates() -> None:
    """Where ``cache.inputs`` names different files for two jobs, one's result is not the other's."""
    jobs = [Job(number, (), key("a"), (("data.path", f"/data/{number % 2}"),)) for number in range(3)]
    plan = make_plan(jobs, lambda _: None)
    assert (plan.misses, plan.duplicates) == ((jobs[0], jobs[1]), {2: 0})


def test_plan_empty_batch_is_empty() -> None:
    """No jobs need nothing."""
    plan = make_plan([], lambda _: None)
    assert (plan.hits, plan.misses, plan.duplicates) == ({}, (), {})
