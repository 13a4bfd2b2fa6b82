"""Where tasks run: a Slurm, or this machine in its place. What is submitted goes through submitit."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from parcache.backends.slurm import states
from parcache.backends.slurm.settings import Resources, Settings, load_submitit
from parcache.backends.slurm.states import GONE, Phase, State
from parcache.backends.slurm.visibility import Node, read_nodes
from parcache.errors import BackendNotInstalledError, SubmissionError

if TYPE_CHECKING:
    from submitit.core.core import PicklingExecutor

log = logging.getLogger("parcache")

_ASKING_S: Final = 60.0
# sbatch says these where slurmctld has too much to do, or is just being restarted.
_BUSY: Final = ("Socket timed out", "Unable to contact", "Resource temporarily unavailable", "Connection refused")
_TRIES: Final = 4
_NO_LIMIT_MIN: Final = 60.0 * 24 * 365


class Submitted(NamedTuple):
    """What was submitted: the scheduler's id and the ids of its tasks."""

    job: str
    tasks: tuple[str, ...]


class Cluster(Protocol):
    """What takes tasks. ``look`` and ``submit`` may be called from any thread."""

    @property
    def name(self) -> str:
        """What tells it from all others: their jobs may have the same ids."""

    def submit(self, resources: Resources, command: str, number: int) -> list[Submitted]:
        """Start so many tasks that each run a command of the shell.

        Raises:
            SubmissionError: They are refused.
        """

    def look(self, jobs: Collection[str], waits: bool) -> dict[str, State] | None:
        """Return what has become of the tasks of jobs; None where nobody answers. ``waits``: some have been waiting."""

    def alive(self, jobs: Collection[str]) -> set[str] | None:
        """Return the tasks of jobs that wait or run; None where nobody answers."""

    def nodes(self) -> list[Node]:
        """Return the nodes; none where that is not known, or where they are this machine."""

    def cancel(self, jobs: Collection[str], *, only_waiting: bool = False) -> None:
        """End jobs, or those of their tasks that have not started."""


def command_of(settings: Settings, spool: str, group: int, logs: str) -> str:
    """Return what an agent is started by."""
    python = shlex.quote(sys.executable) if settings.python is None else settings.python
    return f"{python} -u -m parcache.backends.slurm.task {shlex.quote(spool)} {group} {shlex.quote(logs)}"


def connect(settings: Settings, logs: str) -> Cluster:
    """Return the cluster that the settings name; ``logs`` is the folder for the batch scripts and the tasks' output.

    Raises:
        BackendNotInstalledError: There is no Slurm here.
    """
    load_submitit()
    return LocalCluster(logs) if settings.cluster == "local" else SlurmCluster(settings, logs)


class SlurmCluster:
    """A Slurm, as its commands show it."""

    def __init__(self, settings: Settings, logs: str) -> None:
        from submitit.slurm.slurm import SlurmExecutor

        self._at_once = settings.at_once
        self._logs = logs
        try:
            SlurmExecutor(logs)
        except RuntimeError as error:
            remedy = (
                "Start the sweep where Slurm's commands are (a login node), "
                "or run it on this machine: hydra.launcher.backend.cluster=local"
            )
            raise BackendNotInstalledError("slurm", "Slurm (sbatch, srun)", remedy) from error
        config = _config()
        self.name = f"slurm {config.get('ClusterName', '')}".strip()
        # Slurm's default; the highest index is one less.
        self._most = int(config["MaxArraySize"]) if config.get("MaxArraySize", "").isdecimal() else 1001
        self._has_accounting = True
        self._asked_queue = False

    def submit(self, resources: Resources, command: str, number: int) -> list[Submitted]:
        """Submit arrays: as many as it takes, by the site's MaxArraySize."""
        submitted = []
        while number > 0:
            size = min(number, max(1, self._most - 1))
            submitted.append(self._submit(resources, command, size))
            number -= size
        return submitted

    def _submit(self, resources: Resources, command: str, size: int) -> Submitted:
        executor = script_writer(self._logs, resources, self._at_once, size)
        job: Any = None
        for attempt in range(1, _TRIES + 1):
            try:
                job = executor._submit_command(command)
                break
            except Exception as error:
                said = str(error)
                if attempt == _TRIES or not any(each in said for each in _BUSY):
                    raise SubmissionError(said, _last_script(self._logs), states.remedy(said)) from None
                time.sleep(attempt)
        _remove_links(self._logs)
        return Submitted(job.job_id, tuple(f"{job.job_id}_{index}" for index in range(size)))

    def look(self, jobs: Collection[str], waits: bool) -> dict[str, State] | None:
        """Ask once: the accounting, and in turns the queue where something waits: only that knows why."""
        if self._has_accounting and not (waits and not self._asked_queue):
            self._asked_queue = False
            done = _run(["sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode", "-j", ",".join(sorted(jobs))])
            if done is not None and done.returncode == 0:
                return states.read_sacct(done.stdout)
            self._has_accounting = False
            return None
        self._asked_queue = True
        found = self._queue(jobs)
        return found if found is None or self._has_accounting else _Known(found, frozenset(jobs))

    def _queue(self, jobs: Collection[str]) -> dict[str, State] | None:
        done = _run(["squeue", "-h", "-t", "all", "-o", "%i|%T|%r", "-j", ",".join(sorted(jobs))])
        if done is None:
            return None
        if done.returncode and "Invalid job id" not in done.stderr:
            log.debug("squeue says: %s", done.stderr.strip())
            return None
        return states.read_squeue(done.stdout)

    def alive(self, jobs: Collection[str]) -> set[str] | None:
        """Ask the queue: the accounting learns of a job with delay."""
        found = self._queue(jobs)
        return None if found is None else {task for task, each in found.items() if each.phase is not Phase.ENDED}

    def nodes(self) -> list[Node]:
        """Ask sinfo."""
        return read_nodes(_said(["sinfo", "-h", "-N", "-o", "%N|%n|%o"]) or "")

    def cancel(self, jobs: Collection[str], *, only_waiting: bool = False) -> None:
        """End them by one scancel."""
        if jobs:
            _run(["scancel", *(["--state=PENDING"] if only_waiting else []), *sorted(jobs)])


class _Known(dict[str, State]):
    """The states of all tasks of some jobs: those that Slurm does not show any more have ended."""

    def __init__(self, found: dict[str, State], jobs: frozenset[str]) -> None:
        super().__init__(found)
        self._jobs = jobs

    def get(self, task: str, default: Any = None) -> Any:
        """Return what is known of a task."""
        return super().get(task, GONE if task.partition("_")[0] in self._jobs else default)


def script_writer(logs: str, resources: Resources, at_once: int, size: int) -> PicklingExecutor:
    """Return submitit's executor for an array of so many tasks: it makes the batch script and submits it."""
    from submitit.slurm.slurm import SlurmExecutor

    os.makedirs(logs, exist_ok=True)
    executor = SlurmExecutor(logs)
    executor.parameters = {**resources.parameters, "array_parallelism": at_once, "map_count": size}
    return executor


class LocalCluster:
    """This machine in a Slurm's place: submitit's local executor."""

    def __init__(self, logs: str) -> None:
        self.name = f"local {socket.gethostname()}"
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, resources: Resources, command: str, number: int) -> list[Submitted]:
        """Start so many processes, each with submitit's controller around it."""
        from submitit.local.local import LocalExecutor

        executor = LocalExecutor(self._logs)
        given = resources.parameters
        limit_min = _NO_LIMIT_MIN if resources.timeout_s is None else resources.timeout_s / 60
        executor.parameters = {
            "timeout_min": limit_min,
            "signal_delay_s": resources.signal_delay_s,
            **{name: given[name] for name in ("setup", "gpus_per_node", "stderr_to_stdout") if name in given},
        }
        submitted = []
        for _ in range(number):
            job: Any = executor._submit_command(command)
            self._processes[job.job_id] = job._process
            # It outlives the sweep by a moment, and is not to stay a zombie in a program that goes on.
            threading.Thread(target=job._process.wait, name="parcache-slurm-local", daemon=True).start()
            submitted.append(Submitted(job.job_id, (job.job_id,)))
        return submitted

    def look(self, jobs: Collection[str], waits: bool) -> dict[str, State] | None:
        """Ask the system."""
        return {job: self._state(job) for job in jobs}

    def alive(self, jobs: Collection[str]) -> set[str] | None:
        """Ask the system."""
        return {job for job in jobs if self._state(job).phase is not Phase.ENDED}

    def nodes(self) -> list[Node]:
        """Return none: it is this machine."""
        return []

    def _state(self, job: str) -> State:
        process = self._processes.get(job)
        if process is None:
            return State(Phase.RUNNING, "RUNNING") if _runs(job) else GONE
        code = process.poll()
        if code is None:
            return State(Phase.RUNNING, "RUNNING")
        return states.state("FAILED", f"exit code {code}") if code else states.state("COMPLETED")

    def cancel(self, jobs: Collection[str], *, only_waiting: bool = False) -> None:
        """Pass SIGTERM on to them."""
        for job in () if only_waiting else jobs:
            process = self._processes.get(job)
            if process is None or process.poll() is None:
                with suppress(OSError, ValueError):
                    os.kill(int(job), signal.SIGTERM)


def _runs(pid: str) -> bool:
    with suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    return False


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    # SLURM_BITSTR_LEN: the ids of a long array's tasks would otherwise be cut off.
    environ = {**os.environ, "SLURM_BITSTR_LEN": "0"}
    try:
        return subprocess.run(  # noqa: S603 # Slurm's own, by their names
            list(command),
            capture_output=True,
            text=True,
            timeout=_ASKING_S,
            check=False,
            env=environ,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.debug("%s: %s", command[0], error)
        return None


def _said(command: Sequence[str]) -> str | None:
    done = _run(command)
    return done.stdout if done is not None and done.returncode == 0 else None


def _config() -> dict[str, str]:
    """Return the site's configuration, as far as Slurm tells it."""
    lines = (_said(["scontrol", "show", "config"]) or "").splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def _last_script(logs: str) -> str:
    """Return the batch script that submitit has left; a submitted one it has renamed."""
    scripts = _links(logs)
    return max(scripts, key=os.path.getmtime, default="") if all(map(os.path.exists, scripts)) else ""


def _links(logs: str) -> list[str]:
    names = [name for name in os.listdir(logs) if name.startswith(".submission_file_")]
    return [os.path.join(logs, name) for name in names]


def _remove_links(logs: str) -> None:
    """Delete what submitit leaves beside each script: a link to it by another name."""
    for path in _links(logs):
        if os.path.islink(path):
            with suppress(OSError):
                os.unlink(path)
