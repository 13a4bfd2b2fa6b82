"""The spool: the folder through which a sweep and its agents talk, on a file system that both see.

A sweep makes one spool. Its *agents* are what Slurm starts; they look into the spool for calls, and the sweep looks
into it for answers. Nothing is sent over a network, no port is open, and whoever dies leaves files that tell of it.
This module alone knows the names; it is the specification of the format::

    setup                  what every worker process is sent first: a pickled backends.child.Setup
    owner.json             who sweeps: host, boot, pid, started, and is_detached once the sweep has left its jobs alone
    alive                  empty; its time is when the owner last gave a sign of life
    closed                 once there is nothing more to come: "end", or "cancel" where what runs is to be ended as well
    groups/GROUP.json      how the agents of a group work: see agent.Orders
    queue/GROUP/CALL       a call that waits: pickled (function, argument), as Pool.relay takes it
    taken/CALL.AGENT       a call that an agent has taken: the same file, renamed. Whose rename succeeds has it
    answers/NUMBER         what became of a call: pickled (True, result) or (False, exception)
    started/NUMBER         empty; its time is when a worker began the call. Calls that end at once have none
    kills/NUMBER           empty: the call is to be ended
    agents/AGENT           JSON about an agent that has started
    agents/AGENT.left      empty: it takes no more calls
    agents/AGENT.told      empty: nor does this one; it has ended because its scheduler, or whoever, told it to
    jobs/ID.json           a job of the scheduler: cluster, tasks (how many agents it is), group

A GROUP is a number: calls that need the same resources. A CALL is ``NUMBER.ATTEMPT.KEY``: its place in the sweep, how
often it has been given back, and the digest that it publishes under, or ``-``. An AGENT is ``JOB-RESTART``: the
scheduler's id of the array task (``123_4``) and how many agents that had been before, for it may be requeued.

A file appears whole, by a rename within its folder; names that begin with a dot are not there yet. A spool whose own
name does is being deleted. A call is in one of ``queue`` and ``taken`` until its answer is there. The spool is readable
by its owner alone, as what lies in it is unpickled. Times are those of the file server, so they are compared with one
another and never with a clock.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, Final, NamedTuple

_NO_KEY: Final = "-"
_serial: Final = itertools.count()


class Call(NamedTuple):
    """The name of a call. Sorted, calls stand in the order in which they were submitted."""

    number: int
    attempt: int = 0
    key: str | None = None

    def __str__(self) -> str:
        return f"{self.number:07d}.{self.attempt}.{self.key or _NO_KEY}"

    @staticmethod
    def parse(text: str) -> Call:
        """Return the call of this name.

        Raises:
            ValueError: It is none.
        """
        number, attempt, key = text.split(".")
        return Call(int(number), int(attempt), None if key == _NO_KEY else key)


class Claim(NamedTuple):
    """A call in the hands of an agent."""

    call: Call
    agent: str


class Closing(Enum):
    """What a sweep has asked of its agents for good."""

    END = "end"
    CANCEL = "cancel"


def agent_name(task: str, restart: int) -> str:
    """Return the name of the agent that is an array task, which so many have been before it."""
    return f"{task}-{restart}"


def task_of(agent: str) -> str:
    """Return the scheduler's id of the array task that an agent is."""
    return agent.rpartition("-")[0]


def restart_of(agent: str) -> int:
    """Return how many agents its task had been before."""
    return int(agent.rpartition("-")[2])


class Spool:
    """One spool. Safe to use from several threads, processes and machines at a time."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def _path(self, *names: str) -> str:
        return os.path.join(self.folder, *names)

    # The owner's side.

    def create(self, owner: Mapping[str, Any]) -> None:
        """Make the folders, and say who sweeps."""
        os.makedirs(os.path.dirname(self.folder), exist_ok=True)
        os.mkdir(self.folder, 0o700)
        for name in ("groups", "taken", "answers", "started", "kills", "agents", "jobs"):
            os.mkdir(self._path(name), 0o700)
        self.touch()
        self.write_owner(owner)
        os.mkdir(self._path("queue"), 0o700)  # last: from now on it exists, and others see whose it is

    def write_owner(self, owner: Mapping[str, Any]) -> None:
        """Say who sweeps."""
        self._write(json.dumps(dict(owner)).encode(), "owner.json")

    def touch(self) -> None:
        """Give a sign of life."""
        self._write(b"", "alive")

    def write_setup(self, data: bytes) -> None:
        """Leave what workers are sent first."""
        self._write(data, "setup")

    def add_group(self, group: int, orders: Mapping[str, Any]) -> None:
        """Make room for the calls of a group, and say how its agents work."""
        self._write(json.dumps(dict(orders)).encode(), "groups", f"{group}.json")
        os.mkdir(self._path("queue", str(group)), 0o700)

    def put(self, group: int, call: Call, data: bytes) -> None:
        """Queue a call."""
        self._write(data, "queue", str(group), str(call))

    def withdraw(self, group: int, call: Call) -> bool:
        """Take a call out of the queue; return False where an agent has it, or had it."""
        try:
            os.unlink(self._path("queue", str(group), str(call)))
        except FileNotFoundError:
            return False
        return True

    def take_answer(self, number: int) -> bytes | None:
        """Return a call's answer and forget the call; None where there is none."""
        path = self._path("answers", str(number))
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return None
        for stale in (path, self._path("started", str(number)), self._path("kills", str(number))):
            with suppress(OSError):
                os.unlink(stale)
        return data

    def drop(self, claim: Claim) -> None:
        """Forget a call whose agent is gone."""
        with suppress(FileNotFoundError):
            os.unlink(self._path("taken", _taken_name(claim)))

    def ask_to_end(self, number: int) -> None:
        """Ask for the end of a call."""
        self._write(b"", "kills", str(number))

    def close(self, closing: Closing) -> None:
        """Tell all agents that there is nothing more to come."""
        self._write(closing.value.encode(), "closed")

    def add_job(self, job: str, about: Mapping[str, Any]) -> None:
        """Note what was submitted to the scheduler."""
        self._write(json.dumps(dict(about)).encode(), "jobs", f"{job}.json")

    def remove(self) -> None:
        """Delete the spool, as far as that goes. An agent that is about to write into it finds it gone."""
        folder, name = os.path.split(self.folder)
        gone = os.path.join(folder, f".{name}-{os.getpid()}-{next(_serial)}")
        try:
            os.rename(self.folder, gone)
        except OSError:
            gone = self.folder
        shutil.rmtree(gone, ignore_errors=True)

    # The agents' side.

    def read_setup(self) -> bytes:
        """Return what workers are sent first.

        Raises:
            FileNotFoundError: The spool is gone.
        """
        with open(self._path("setup"), "rb") as file:
            return file.read()

    def orders(self, group: int) -> dict[str, Any]:
        """Return how the agents of a group work; nothing where that cannot be read."""
        return self._json("groups", f"{group}.json")

    def claim(self, group: int, call: Call, agent: str) -> bytes | None:
        """Take a call and return it; None where somebody else has it."""
        claimed = self._path("taken", _taken_name(Claim(call, agent)))
        # A rename that NFS repeats fails although it has succeeded: whether it has is told by what is there.
        with suppress(FileNotFoundError):
            os.rename(self._path("queue", str(group), str(call)), claimed)
        return self.peek(Claim(call, agent))

    def peek(self, claim: Claim) -> bytes | None:
        """Return a call that an agent has; None where it has not, or not any more."""
        try:
            with open(self._path("taken", _taken_name(claim)), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def give_back(self, group: int, claim: Claim, *, attempt: int) -> None:
        """Put a call back into the queue, as one that has been given back so often."""
        back = self._path("queue", str(group), str(claim.call._replace(attempt=attempt)))
        with suppress(FileNotFoundError):
            os.unlink(self._path("started", str(claim.call.number)))
        with suppress(FileNotFoundError):
            os.rename(self._path("taken", _taken_name(claim)), back)

    def answer(self, claim: Claim, data: bytes) -> None:
        """Tell what became of a call."""
        self._write(data, "answers", str(claim.call.number))
        self.drop(claim)

    def note_start(self, number: int) -> None:
        """Note that a worker has begun a call."""
        self._write(b"", "started", str(number))

    def greet(self, agent: str, about: Mapping[str, Any]) -> None:
        """Note that an agent has started."""
        self._write(json.dumps(dict(about)).encode(), "agents", agent)

    def leave(self, agent: str) -> None:
        """Note that an agent takes no more calls. It looks once more after that: a call may have come meanwhile."""
        self._write(b"", "agents", f"{agent}.left")

    def obey(self, agent: str) -> None:
        """Note that an agent ends as it was told to, with all that it ran; what comes of it, the scheduler knows."""
        self._write(b"", "agents", f"{agent}.told")

    def stay(self, agent: str) -> None:
        """Take that back."""
        with suppress(FileNotFoundError):
            os.unlink(self._path("agents", f"{agent}.left"))

    # Everybody's.

    @property
    def exists(self) -> bool:
        """Tell whether it is there."""
        return os.path.isdir(self._path("queue"))

    def owner(self) -> dict[str, Any]:
        """Return who sweeps; nothing where that cannot be read."""
        return self._json("owner.json")

    def silence_s(self) -> float:
        """Return for how long the owner has given no sign of life, by the file server's clock; inf without any."""
        try:
            return self.now_s() - os.stat(self._path("alive")).st_mtime
        except OSError:
            return float("inf")

    def now_s(self) -> float:
        """Return what time it is by the file server's clock (s since the epoch)."""
        probe = self._path("agents", f".clock-{os.getpid()}-{next(_serial)}")
        try:
            with open(probe, "wb"):
                return os.stat(probe).st_mtime
        finally:
            with suppress(OSError):
                os.unlink(probe)

    def closing(self) -> Closing | None:
        """Return what all agents are asked; a spool that is gone wants the end of everything."""
        try:
            with open(self._path("closed"), encoding="ascii") as file:
                return Closing(file.read())
        except FileNotFoundError:
            return None if self.exists else Closing.CANCEL
        except (OSError, ValueError):
            return None

    def groups(self) -> list[int]:
        """Return the groups that there are."""
        return sorted(int(name) for name in self._names("queue") if name.isdecimal())

    def waiting(self, group: int) -> list[Call]:
        """Return the calls that wait, in their order."""
        found = []
        for name in self._names("queue", str(group)):
            with suppress(ValueError):
                found.append(Call.parse(name))
        return sorted(found, key=lambda call: call.number)

    def claims(self) -> list[Claim]:
        """Return the calls that agents have."""
        found = []
        for name in self._names("taken"):
            call, _, agent = name.rpartition(".")
            with suppress(ValueError):
                found.append(Claim(Call.parse(call), agent))
        return found

    def answered(self) -> list[int]:
        """Return the calls that have an answer."""
        return sorted(int(name) for name in self._names("answers") if name.isdecimal())

    def kills(self) -> frozenset[int]:
        """Return the calls that are to be ended."""
        return frozenset(int(name) for name in self._names("kills") if name.isdecimal())

    def starts(self) -> dict[int, float]:
        """Return when calls were begun, by the file server's clock (s since the epoch)."""
        found = {}
        for name in self._names("started"):
            if name.isdecimal():
                with suppress(OSError):
                    found[int(name)] = os.stat(self._path("started", name)).st_mtime
        return found

    def agents(self) -> dict[str, bool]:
        """Return the agents that have started, and of each whether it has left."""
        return {agent: bool(how) for agent, how in self._departures().items()}

    def tasks(self) -> dict[str, bool]:
        """Return the array tasks that have started, and of each whether its last agent has left."""
        return {task: bool(how) for task, how in self._last_departures().items()}

    def left(self) -> set[str]:
        """Return the array tasks whose last agent has left of its own accord."""
        return {task for task, how in self._last_departures().items() if how == "left"}

    def told(self) -> set[str]:
        """Return the array tasks whose last agent has ended as it was told to."""
        return {task for task, how in self._last_departures().items() if how == "told"}

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Return what was submitted to the scheduler, by its ids."""
        return {name.removesuffix(".json"): self._json("jobs", name) for name in self._names("jobs")}

    # How.

    def _departures(self) -> dict[str, str]:
        """Return the agents that have started, and of each how it went: ``told``, ``left``, or empty."""
        names = set(self._names("agents"))
        agents = (name for name in names if name.rpartition("-")[2].isdecimal())
        return {name: next((how for how in ("told", "left") if f"{name}.{how}" in names), "") for name in agents}

    def _last_departures(self) -> dict[str, str]:
        """Return that of the last agent of each array task."""
        departures = self._departures()
        return {task_of(agent): departures[agent] for agent in sorted(departures, key=restart_of)}

    def _write(self, data: bytes, *names: str) -> None:
        path = self._path(*names)
        folder, name = os.path.split(path)
        partial = os.path.join(folder, f".{name}-{os.getpid()}-{next(_serial)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
        os.rename(partial, path)

    def _names(self, *names: str) -> Iterator[str]:
        with suppress(FileNotFoundError):
            yield from (name for name in os.listdir(self._path(*names)) if not name.startswith("."))

    def _json(self, *names: str) -> dict[str, Any]:
        try:
            with open(self._path(*names), "rb") as file:
                found = json.loads(file.read())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _taken_name(claim: Claim) -> str:
    return f"{claim.call}.{claim.agent}"
