"""The spool: files through which a sweep and its agents talk."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcache.backends import owner
from parcache.backends.slurm.spool import Call, Claim, Closing, Spool, agent_name, restart_of, task_of

pytestmark = pytest.mark.any_hydra


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    found = Spool(str(tmp_path / "store" / "one"))
    found.create(owner.this_process())
    found.add_group(0, {"parallel": 1})
    return found


@given(st.integers(0, 10**9), st.integers(0, 99), st.none() | st.text("0123456789abcdef", min_size=1, max_size=64))
def test_name_of_a_call_read_back_is_the_call(number: int, attempt: int, key: str | None) -> None:
    """What a file is called says all about its call."""
    call = Call(number, attempt, key)
    assert Call.parse(str(call)) == call


@pytest.mark.parametrize("name", ["", "1", "a.b.c", "1.2.3.4", "x.0.-"])
def test_name_of_something_else_is_no_call(name: str) -> None:
    """A stray file is no call."""
    with pytest.raises(ValueError, match=r".*"):
        Call.parse(name)


def test_name_of_an_agent_tells_its_task() -> None:
    """An array task that was requeued is another agent."""
    name = agent_name("123_4", 2)
    assert (task_of(name), restart_of(name)) == ("123_4", 2)


def test_spool_is_its_owners_alone(spool: Spool) -> None:
    """What lies in it is unpickled: nobody else may put anything there."""
    assert stat.S_IMODE(os.stat(spool.folder).st_mode) == 0o700


def test_waiting_calls_are_in_the_order_of_submission(spool: Spool) -> None:
    """The tenth comes after the ninth, also when it was given back."""
    for number in (10, 9, 2):
        spool.put(0, Call(number), b"")
    spool.put(0, Call(1, 3), b"")
    assert [call.number for call in spool.waiting(0)] == [1, 2, 9, 10]


def test_claimed_call_is_one_agents(spool: Spool) -> None:
    """Of many that want it one gets it, with what was put there."""
    call = Call(1, 0, "abc")
    spool.put(0, call, b"work")
    found: list[bytes | None] = []
    start = threading.Barrier(8)

    def claim(number: int) -> None:
        start.wait()
        found.append(spool.claim(0, call, f"1_{number}-0"))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each for each in found if each is not None] == [b"work"]
    (claimed,) = spool.claims()
    assert claimed.call == call
    assert spool.waiting(0) == []


def test_claim_of_a_repeated_rename_succeeds(spool: Spool) -> None:
    """Over NFS a rename may succeed and be repeated: the agent has the call all the same."""
    spool.put(0, Call(1), b"work")
    assert spool.claim(0, Call(1), "1_0-0") == b"work"
    assert spool.claim(0, Call(1), "1_0-0") == b"work"


def test_withdrawn_call_cannot_be_claimed_and_a_claimed_one_not_withdrawn(spool: Spool) -> None:
    """One side has it."""
    spool.put(0, Call(1), b"")
    spool.put(0, Call(2), b"")
    assert spool.withdraw(0, Call(1))
    assert spool.claim(0, Call(1), "1_0-0") is None
    assert spool.claim(0, Call(2), "1_0-0") == b""
    assert not spool.withdraw(0, Call(2))


def test_call_given_back_waits_again_with_its_attempts(spool: Spool) -> None:
    """How often that has happened stands in its name."""
    spool.put(0, Call(1, 0, "k"), b"work")
    spool.claim(0, Call(1, 0, "k"), "1_0-0")
    spool.note_start(1)
    spool.give_back(0, Claim(Call(1, 0, "k"), "1_0-0"), attempt=1)
    assert spool.waiting(0) == [Call(1, 1, "k")]
    assert spool.claims() == []
    assert spool.starts() == {}
    assert spool.claim(0, Call(1, 1, "k"), "1_1-0") == b"work"


def test_answer_taken_leaves_nothing_of_the_call(spool: Spool) -> None:
    """An answer is handed out once, and the notes about its call go with it."""
    spool.put(0, Call(1), b"")
    spool.claim(0, Call(1), "1_0-0")
    spool.note_start(1)
    spool.ask_to_end(1)
    assert spool.kills() == {1}
    spool.answer(Claim(Call(1), "1_0-0"), b"done")
    assert spool.answered() == [1]
    assert spool.take_answer(1) == b"done"
    assert spool.take_answer(1) is None
    assert (spool.claims(), spool.starts(), spool.kills()) == ([], {}, frozenset())


def test_agent_that_leaves_may_stay(spool: Spool) -> None:
    """Who sees a call after it has said that it leaves takes that back."""
    spool.greet("1_0-0", {})
    spool.greet("1_1-0", {})
    spool.leave("1_0-0")
    assert spool.agents() == {"1_0-0": True, "1_1-0": False}
    spool.stay("1_0-0")
    assert spool.agents() == {"1_0-0": False, "1_1-0": False}


def test_task_was_told_to_end_when_its_last_agent_was(spool: Spool) -> None:
    """An agent that a requeued task is later has heard nothing yet."""
    spool.greet("1_0-0", {})
    spool.greet("1_1-0", {})
    spool.obey("1_0-0")
    assert spool.agents() == {"1_0-0": True, "1_1-0": False}
    assert spool.told() == {"1_0"}
    spool.leave("1_1-0")
    assert (spool.told(), spool.left()) == ({"1_0"}, {"1_1"})
    spool.greet("1_0-1", {})
    assert spool.told() == set()


def test_removed_spool_leaves_nothing_to_an_agent_that_still_writes(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes while the files are being deleted goes nowhere, and it is told that all is over."""
    spool.greet("1_0-0", {})
    remove, errors = shutil.rmtree, []

    def remove_late(folder: str, **given: Any) -> None:
        try:
            spool.leave("1_0-0")
        except FileNotFoundError as error:
            errors.append(error)
        remove(folder, **given)

    monkeypatch.setattr(shutil, "rmtree", remove_late)
    spool.remove()
    assert len(errors) == 1
    assert spool.closing() is Closing.CANCEL
    assert list(Path(spool.folder).parent.iterdir()) == []


def test_spool_that_is_gone_asks_for_the_end(spool: Spool) -> None:
    """An agent that starts when all is over finds nothing and ends."""
    assert spool.closing() is None
    spool.close(Closing.END)
    assert spool.closing() is Closing.END
    spool.remove()
    assert spool.closing() is Closing.CANCEL
    assert spool.waiting(0) == []
    assert not spool.exists


def test_half_written_and_stray_files_are_not_seen(spool: Spool) -> None:
    """A file counts from the rename on, and what is no call is none."""
    for folder, name in (
        ("queue/0", ".7"),
        ("queue/0", "notes.txt"),
        ("answers", ".1-2"),
        ("taken", "x"),
        ("jobs", ".j"),
    ):
        Path(spool.folder, folder, name).write_bytes(b"")
    assert (spool.waiting(0), spool.answered(), spool.claims(), spool.jobs()) == ([], [], [], {})


def test_unreadable_notes_count_as_absent(spool: Spool) -> None:
    """A damaged note costs what it says, no more."""
    Path(spool.folder, "owner.json").write_bytes(b"{")
    Path(spool.folder, "groups", "0.json").write_bytes(b"[]")
    Path(spool.folder, "jobs", "5.json").write_bytes(b"")
    assert (spool.owner(), spool.orders(0), spool.jobs()) == ({}, {}, {"5": {}})


def test_owner_on_this_machine_lives_as_its_process_does(spool: Spool) -> None:
    """The number of a process alone is not enough: another one may have it now."""
    me = spool.owner()
    assert owner.lives(me, spool.silence_s())
    assert not owner.lives({**me, "started": "1"}, 0.0)
    assert not owner.lives({**me, "pid": 2**22 + 1}, 0.0)
    assert not owner.lives({**me, "is_detached": True}, 0.0)


def test_owner_on_another_machine_lives_as_long_as_it_gives_signs(spool: Spool) -> None:
    """Nobody can look at its processes from here."""
    other = {**spool.owner(), "host": "elsewhere"}
    assert owner.lives(other, spool.silence_s())
    os.utime(Path(spool.folder, "alive"), (1, 1))
    assert spool.silence_s() > owner.SILENT_S
    assert not owner.lives(other, spool.silence_s())
