"""Records of sweeps: what is written is read back, damage costs what was damaged, and there are not too many."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from parcache.errors import NewerFormatError
from parcache.model import Entry, Job, Key, Plan
from parcache.run.record import Explained, Recorder, in_store
from parcache.store.store import Store
from parcache.store.sweeps import (
    KEPT,
    Heading,
    KeyParts,
    RecordedJob,
    Status,
    SweepRecord,
    line,
    read_record,
    records,
)

HEADING = Heading(7, ("python", "app.py"), ("-m", "x=1"), "/here", "/here/out", "parcache", "config")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), writable=True)


def key(number: int, env: Mapping[str, str] | None = None) -> Key:
    return Key(f"{number:040x}", 1, f"{number + 500:040x}", "c0de", "3.11", "", tuple((env or {}).items()))


def jobs(count: int) -> list[Job]:
    return [Job(number, (f"x={number}",), key(number)) for number in range(count)]


def entry(job: Job) -> Entry:
    assert job.key is not None
    return Entry(job.key, None, 0.0)


def explained(number: int) -> Explained | None:
    return 1, {"x": 0}, {"overrides": [f"x={number}"], "changes": {"$.x": number}}


def missing(recorder: Recorder, planned: list[Job]) -> None:
    recorder.planned(planned, Plan({}, tuple(planned), {}), {})


def only_record(store: Store) -> SweepRecord:
    (record,) = records(store.paths)
    return record


def test_record_of_hits_misses_and_duplicates_is_read_back(store: Store) -> None:
    """Every job has its status, its key, and a miss the parts of its key."""
    hit, miss, twin = jobs(3)
    recorder = in_store(store, HEADING)
    recorder.planned([hit, miss, twin], Plan({0: entry(hit)}, (miss,), {2: 1}), {})
    recorder.ended(1, Status.MISS)
    recorder.close(explained)
    record = only_record(store)
    parts = KeyParts(1, "c0de", "3.11", "")
    assert record.heading == HEADING
    assert record.damaged == 0
    assert record.jobs == {
        0: RecordedJob(0, Status.HIT, key(0).digest),
        1: RecordedJob(1, Status.MISS, key(1).digest, key(1).config, parts),
        2: RecordedJob(2, Status.DUPLICATE, key(1).digest, twin=1),
    }


def test_record_of_jobs_without_an_entry_keeps_what_explains_them(store: Store) -> None:
    """Failed, refused and unfinished jobs have their config in the record, stored ones have it in their entry."""
    recorder = in_store(store, HEADING)
    missing(recorder, jobs(4))
    recorder.ended(0, Status.MISS)
    recorder.ended(1, Status.FAILED, "ValueError: no")
    recorder.ended(2, Status.REFUSED, "too large")
    recorder.close(explained)
    found = only_record(store).jobs
    assert [job.status for job in found.values()] == [
        Status.MISS,
        Status.FAILED,
        Status.REFUSED,
        Status.UNFINISHED,
    ]
    assert [job.reason for job in found.values()] == ["", "ValueError: no", "too large", ""]
    assert found[0].explanation is None
    for number in (1, 2, 3):
        assert found[number].explanation == {"config": {"x": 0}, **(explained(number) or ())[2]}


def test_record_of_a_sweep_that_died_has_unfinished_jobs(store: Store) -> None:
    """A record that ends with its plan tells of jobs that have not ended."""
    missing(in_store(store, HEADING), jobs(2))
    assert {job.status for job in only_record(store).jobs.values()} == {Status.UNFINISHED}


def test_record_of_several_batches_is_one_file(store: Store) -> None:
    """Batches of a sweep follow each other; the base of one is not taken for that of another."""
    recorder = in_store(store, HEADING)
    for first, base in ((0, 10), (1, 20)):
        missing(recorder, [jobs(2)[first]])
        recorder.ended(first, Status.FAILED, "no")
        recorder.close(lambda number, base=base: (1, {"base": base}, {"changes": {}}))  # type: ignore[misc]
    found = only_record(store).jobs
    assert [(job.explanation or {})["config"] for job in found.values()] == [{"base": 10}, {"base": 20}]


def test_record_of_uncached_jobs_keeps_the_reason(store: Store) -> None:
    """A job without a key has the reason for it."""
    job = Job(0, (), None)
    recorder = in_store(store, HEADING)
    recorder.planned([job], Plan({}, (job,), {}), {0: "no form"})
    recorder.ended(0, Status.MISS)
    recorder.close(lambda _: None)
    found = only_record(store).jobs[0]
    assert found.status is Status.UNCACHED
    assert found.reason == "no form"


def test_record_holds_no_value_of_the_environment(store: Store) -> None:
    """Of named variables the record has digests: their values can be secrets."""
    planned = [Job(0, (), key(0, {"TOKEN": "s3cret"}))]
    missing(in_store(store, HEADING), planned)
    record = only_record(store)
    assert b"s3cret" not in Path(record.path).read_bytes()
    parts = record.jobs[0].parts
    assert parts is not None
    assert parts.env[0][0] == "TOKEN"


def test_record_of_many_jobs_is_small(store: Store) -> None:
    """A hit takes 55 bytes at most, a miss 110."""
    planned = jobs(2000)
    hits = in_store(store, HEADING)
    hits.planned(planned, Plan({job.number: entry(job) for job in planned}, (), {}), {})
    hits.close(explained)
    assert os.path.getsize(only_record(store).path) < 2000 * 55
    missing(in_store(store, HEADING._replace(started_ns=8)), planned)
    assert os.path.getsize(next(records(store.paths)).path) < 2000 * 110


def test_records_are_kept_of_the_last_sweeps_only(store: Store) -> None:
    """The oldest records make room for new ones."""
    for started in range(KEPT + 5):
        missing(in_store(store, HEADING._replace(started_ns=started)), jobs(1))
    found = [record.heading.started_ns for record in records(store.paths)]
    assert found == list(reversed(range(5, KEPT + 5)))


def test_record_with_any_byte_damaged_is_read_without_a_wrong_job(store: Store) -> None:
    """A flipped bit costs the lines that it stands in: no job is told wrongly, and nothing raises."""
    recorder = in_store(store, HEADING)
    missing(recorder, jobs(3))
    recorder.ended(1, Status.FAILED, "no")
    recorder.close(explained)
    whole = only_record(store)
    assert_damage_is_harmless(whole, lambda data, place: data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])


def test_record_cut_off_anywhere_is_read_without_a_wrong_job(store: Store) -> None:
    """A record that ends early is read as far as it goes."""
    missing(in_store(store, HEADING), jobs(3))
    assert_damage_is_harmless(only_record(store), lambda data, place: data[:place])


def assert_damage_is_harmless(whole: SweepRecord, damage: Callable[[bytes, int], bytes]) -> None:
    path = Path(whole.path)
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(damage(data, place))
        record = read_record(str(path))
        if record is None:
            continue
        assert record.heading == whole.heading
        for number, job in record.jobs.items():
            assert (job.key, job.config) in {("", ""), (whole.jobs[number].key, whole.jobs[number].config)}


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"\xff" * 50, line("sweep", 1), line("jobs", 1), line(), line(None)]
)
def test_record_of_something_else_is_none(tmp_path: Path, data: bytes) -> None:
    """What does not begin like a record is none."""
    path = tmp_path / "1.log"
    path.write_bytes(data)
    assert read_record(str(path)) is None


@pytest.mark.parametrize("items", [("misses", 5), ("hits", [[1]]), ("why", 9, 0, None), ("base",), ("code", "a", 3)])
def test_record_with_a_line_of_odd_content_counts_it_as_damaged(tmp_path: Path, items: tuple[Any, ...]) -> None:
    """A line that fits its checksum and makes no sense is passed by."""
    path = tmp_path / "1.log"
    path.write_bytes(line("sweep", 1, HEADING._asdict()) + line(*items) + line("later", 1))
    record = read_record(str(path))
    assert record is not None
    assert record.damaged == 1


def test_record_in_a_newer_format_is_refused(tmp_path: Path) -> None:
    """A newer format is refused by its number."""
    path = tmp_path / "1.log"
    path.write_bytes(line("sweep", 2, {}))
    with pytest.raises(NewerFormatError, match="format 2"):
        read_record(str(path))


def test_record_that_cannot_be_written_costs_nothing(store: Store) -> None:
    """Without room for it there is no record, and nothing raises."""
    Path(store.paths.sweeps).write_text("a file where the folder would be")
    recorder = in_store(store, HEADING)
    missing(recorder, jobs(1))
    recorder.close(explained)
    assert list(records(store.paths)) == []
