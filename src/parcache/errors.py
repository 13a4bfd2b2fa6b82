"""Everything that parcache raises.

The exceptions carry data; the text is made when it is asked for. Each takes its data as positional
arguments only, which is what makes it survive pickling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class ParcacheError(Exception):
    """The root of every exception that parcache raises on its own behalf."""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "none"


class SettingError(ParcacheError, ValueError):
    """A launcher setting has a value that it cannot have."""

    def __init__(self, key: str, found: object, expected: str) -> None:
        super().__init__(key, found, expected)
        self.key, self.found, self.expected = key, found, expected

    def __str__(self) -> str:
        """Name the key, the value found and what is accepted."""
        return f"{self.key} is {self.found!r}; expected {self.expected}. Set it with {self.key}=VALUE."


class UnknownBackendError(ParcacheError, LookupError):
    """No backend of this name is registered."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name, known)
        self.name, self.known = name, known

    def __str__(self) -> str:
        """Name the backend and the known ones."""
        return (
            f"Unknown backend {self.name!r}; known: {_listed(self.known)}. "
            "Choose one with hydra/launcher/backend=NAME, or install the package that provides it "
            "(entry-point group 'parcache.backends')."
        )


class BackendNotInstalledError(ParcacheError, ImportError):
    """The backend is known, but a package that it needs is missing."""

    def __init__(self, name: str, missing: str, remedy: str) -> None:
        super().__init__(name, missing, remedy)
        self.backend, self.missing, self.remedy = name, missing, remedy

    def __str__(self) -> str:
        """Name the missing package and the command that installs it."""
        return f"Backend {self.backend!r} needs {self.missing}, which is not installed. {self.remedy}"


class InvalidBackendError(ParcacheError, TypeError):
    """What an entry point registered is not a backend."""

    def __init__(self, name: str, source: str, problem: str) -> None:
        super().__init__(name, source, problem)
        self.name, self.source, self.problem = name, source, problem

    def __str__(self) -> str:
        """Name the entry point and what is wrong with it."""
        return (
            f"Backend {self.name!r} from {self.source!r} is not usable: {self.problem}. "
            "See the Backend protocol in parcache.backends."
        )


class BackendSettingError(ParcacheError, TypeError):
    """A backend was given settings that it does not take."""

    def __init__(self, name: str, unknown: Sequence[str], known: Sequence[str]) -> None:
        super().__init__(name, unknown, known)
        self.name, self.unknown, self.known = name, unknown, known

    def __str__(self) -> str:
        """Name the settings that are unknown and those that are known."""
        return (
            f"Backend {self.name!r} does not take {_listed(self.unknown)}; known settings: {_listed(self.known)}. "
            f"Remove hydra.launcher.backend.{sorted(self.unknown)[0]}."
        )


class SharedProcessError(ParcacheError, ValueError):
    """Jobs that would run at once in one process want what one process can have only once."""

    def __init__(self, key: str, found: str, remedy: str, number: int, reason: str) -> None:
        super().__init__(key, found, remedy, number, reason)
        self.key, self.found, self.remedy, self.number, self.reason = key, found, remedy, number, reason

    def __str__(self) -> str:
        """Name the setting, why it cannot be, and the ways out."""
        return (
            f"{self.key} is {self.found} (job {self.number}), and several jobs would run at once in this process. "
            f"{self.reason}. Set {self.key}={self.remedy}, or run each job in a process of its own: "
            "hydra/launcher/backend=process, or one after the other: hydra.launcher.backend.workers=1."
        )


class WorkingDirectoryError(ParcacheError, RuntimeError):
    """A job has tried to change the working directory of a process in which others run."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        """Name the directory and the ways out."""
        return (
            f"A job cannot change to {self.path}: other jobs run at once in this process, and it has one working "
            "directory. Use absolute paths, or run each job in a process of its own: hydra/launcher/backend=process, "
            "or one after the other: hydra.launcher.backend.workers=1."
        )


class UnkeyableConfigError(ParcacheError, TypeError):
    """A value of the task config has no stable form."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        """Name the place, the problem and both ways out."""
        key = self.path.removeprefix("$.")
        return (
            f"Cannot key the config at {self.path}: {self.problem}. "
            f"Name it by a _target_ string, or ignore it: hydra.launcher.cache.ignore=[{key}]."
        )


class UnkeyableCodeError(ParcacheError, TypeError):
    """The task function's code has no stable form."""

    def __init__(self, task: str, problem: str) -> None:
        super().__init__(task, problem)
        self.task, self.problem = task, problem

    def _way_out(self) -> str:
        return "Make it in the function" if self.problem.startswith("task.<global ") else "Define it in a file"

    def __str__(self) -> str:
        """Name the task function, the problem and both ways out."""
        return (
            f"Cannot fingerprint the code of {self.task}: {self.problem}. "
            f"{self._way_out()}, or take the code out of the key: hydra.launcher.cache.code=off."
        )


class StoreUnavailableError(ParcacheError, OSError):
    """The store's directory cannot be used."""

    def __init__(self, directory: str, problem: str) -> None:
        super().__init__(directory, problem)
        self.directory, self.problem = directory, problem

    def __str__(self) -> str:
        """Name the directory, the problem and the way to choose another."""
        return (
            f"The store at {self.directory} cannot be used: {self.problem}. "
            "Choose another: export PARCACHE_DIR=DIR (or hydra.launcher.cache.dir=DIR)."
        )


class NewerFormatError(ParcacheError):
    """A file of the store was written in a format that this version does not know."""

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(path, found, known)
        self.path, self.found, self.known = path, found, known

    def __str__(self) -> str:
        """Name the file, both formats and both ways out."""
        return (
            f"{self.path} has store format {self.found}; this parcache reads up to {self.known}. "
            "Upgrade it: pip install -U parcache (or choose another store: export PARCACHE_DIR=DIR)."
        )


class NoStoreError(ParcacheError, FileNotFoundError):
    """There is no store where one was looked for."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self.directory = directory

    def __str__(self) -> str:
        """Name the place and the ways to name another one."""
        return (
            f"There is no store at {self.directory}. Go to where the sweep was started, or name the store: "
            "parcache why --store DIR (or export PARCACHE_DIR=DIR)."
        )


class NoRecordError(ParcacheError, LookupError):
    """The store has no record of a sweep."""

    def __init__(self, directory: str, what: str) -> None:
        super().__init__(directory, what)
        self.directory, self.what = directory, what

    def __str__(self) -> str:
        """Name the store, what was looked for and the way out."""
        return (
            f"The store at {self.directory} has no record {self.what}: it keeps those of its last 50 sweeps that were "
            "allowed to write. Explain a job by its overrides: parcache why --app SCRIPT key=value …"
        )


class ForeignDirectoryError(ParcacheError, ValueError):
    """A directory is not one that a sweep through parcache has made."""

    def __init__(self, directory: str, problem: str) -> None:
        super().__init__(directory, problem)
        self.directory, self.problem = directory, problem

    def __str__(self) -> str:
        """Name the directory, what is wrong with it and what is expected."""
        return (
            f"{self.directory} is not the directory of a job that ran with hydra/launcher=parcache: {self.problem}. "
            "Name one, such as multirun/2026-11-22/17-12-31/3, or explain the last sweep: parcache why"
        )


class AppFailedError(ParcacheError, RuntimeError):
    """An app that was to get as far as its jobs has not. ``output`` is what it printed."""

    def __init__(
        self,
        command: Sequence[str],
        directory: str,
        problem: str,
        output: str,
        remedy: str = "Mend it, or name another app: parcache why --app SCRIPT key=value …",
    ) -> None:
        super().__init__(command, directory, problem, output, remedy)
        self.command, self.directory, self.problem, self.output = command, directory, problem, output
        self.remedy = remedy

    def __str__(self) -> str:
        """Show what the app printed, then the command and how it ended."""
        said = f"{self.output.rstrip()}\n" if self.output.strip() else ""
        return (
            f"The app did not get as far as its jobs: {self.problem}.\n{said}"
            f"It was started in {self.directory} as: {' '.join(self.command)}\n"
            f"{self.remedy}"
        )


class CorruptEntryError(ParcacheError, ValueError):
    """An entry's bytes are not what was published."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        """Name the file and what is wrong with it."""
        return f"Entry {self.path} is damaged ({self.problem}); the job will run again and replace it."


class UnreadableValueError(ParcacheError, ValueError):
    """An entry is intact, but its value cannot be rebuilt here."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        """Name the file and why its value cannot be rebuilt."""
        return f"Entry {self.path} cannot be read here ({self.problem}); the job will run again and replace it."


class UnstorableResultError(ParcacheError, TypeError):
    """A result can be turned into bytes by no codec."""

    def __init__(self, type_name: str, problem: str) -> None:
        super().__init__(type_name, problem)
        self.type_name, self.problem = type_name, problem

    def __str__(self) -> str:
        """Name the type, the problem and the way out."""
        return (
            f"a result of type {self.type_name} cannot be stored: {self.problem}. "
            "Return plain data (numbers, strings, containers, arrays) or something that pickles"
        )


class AuditError(ParcacheError, RuntimeError):
    """An audit that was to find nothing found something: ``strays`` and ``untraced`` name it."""

    def __init__(self, strays: Sequence[str], untraced: Sequence[str]) -> None:
        super().__init__(strays, untraced)
        self.strays, self.untraced = strays, untraced

    def __str__(self) -> str:
        """Name the functions and the jobs, and the page that says what to do."""
        found = []
        if self.strays:
            found.append(f"functions that ran outside their jobs' code closures: {'; '.join(self.strays)}")
        if self.untraced:
            found.append(f"jobs that were not seen whole: {'; '.join(self.untraced)}")
        return (
            f"hydra.launcher.cache.audit=fail: {'. '.join(found)}. "
            "What that means is in docs/audit.md; to run all the same: hydra.launcher.cache.audit=report."
        )


class JobTimeoutError(ParcacheError, TimeoutError):
    """A job ran longer than it may and was stopped."""

    def __init__(self, number: int, timeout_s: float) -> None:
        super().__init__(number, timeout_s)
        self.number, self.timeout_s = number, timeout_s

    def __str__(self) -> str:
        """Name the job and the setting."""
        return (
            f"Job {self.number} ran longer than {self.timeout_s:g} s and was stopped. "
            "Give jobs more time: hydra.launcher.failures.timeout_s=SECONDS, or null for any time."
        )


class NoWorkerError(ParcacheError, RuntimeError):
    """Workers die before they start a job, one after the other; ``problem`` says how the last one ended."""

    def __init__(
        self, deaths: int, problem: str, remedy: str = "Run a job here to see why: hydra/launcher/backend=serial."
    ) -> None:
        super().__init__(deaths, problem, remedy)
        self.deaths, self.problem, self.remedy = deaths, problem, remedy

    def __str__(self) -> str:
        """Say how the last one ended, and how to see why."""
        return (
            f"{self.deaths} workers in a row ended before they had started a job, the last one so: {self.problem}. "
            f"{self.remedy}"
        )


class LostResultError(ParcacheError, RuntimeError):
    """A job ran in another process and what it returned could not travel back."""

    def __init__(self, number: int, type_name: str, problem: str) -> None:
        super().__init__(number, type_name, problem)
        self.number, self.type_name, self.problem = number, type_name, problem

    def __str__(self) -> str:
        """Name the job, the type and both ways out."""
        return (
            f"Job {self.number} returned a {self.type_name} that cannot leave its process: {self.problem}. "
            "Return something that pickles, or run it here: hydra/launcher/backend=serial."
        )


class RemoteJobError(ParcacheError, RuntimeError):
    """Stands in for a job's exception whose own class cannot be rebuilt in this process."""

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(type_name, message)
        self.type_name, self.message = type_name, message

    def __str__(self) -> str:
        """Show the original type and message."""
        return f"{self.type_name}: {self.message}"


class WorkerDiedError(ParcacheError, RuntimeError):
    """The process that executed a job ended before the job did.

    ``exit_code`` is the process's; negative: the number of the signal that ended it; None where it did not get to
    execute the job. ``reason`` is that in plain words. ``was_ready``: it had got as far as executing jobs.
    """

    def __init__(self, exit_code: int | None, reason: str, was_ready: bool = True) -> None:
        super().__init__(exit_code, reason, was_ready)
        self.exit_code, self.reason, self.was_ready = exit_code, reason, was_ready

    def __str__(self) -> str:
        """Say how the process ended."""
        code = "" if self.exit_code is None else f" (exit code {self.exit_code})"
        return f"the worker did not finish the job: {self.reason}{code}"


class NoDaskWorkerError(ParcacheError, RuntimeError):
    """A Dask cluster has had no worker for too long; ``state`` says what it is waiting for."""

    def __init__(self, cluster: str, wait_s: float, state: str) -> None:
        super().__init__(cluster, wait_s, state)
        self.cluster, self.wait_s, self.state = cluster, wait_s, state

    def __str__(self) -> str:
        """Name the cluster and its state, and how to wait longer."""
        return (
            f"No worker of {self.cluster} has come for {self.wait_s:g} s: {self.state}. "
            "Give it more time: hydra.launcher.backend.wait_s=SECONDS, or null for any time."
        )


class NoDaskResourcesError(ParcacheError, RuntimeError):
    """A Dask cluster has workers, and none has the resources that jobs take, ``wanted`` as Dask's workers are told."""

    def __init__(self, cluster: str, workers: int, wanted: str) -> None:
        super().__init__(cluster, workers, wanted)
        self.cluster, self.workers, self.wanted = cluster, workers, wanted

    def __str__(self) -> str:
        """Name the cluster and the resources, and both ways out."""
        return (
            f"None of the {self.workers} workers of {self.cluster} has the resources that a job takes: {self.wanted}. "
            f"Start workers that have them: dask worker SCHEDULER --resources '{self.wanted}'. Or change what jobs "
            "take: hydra.launcher.backend.worker_resources={NAME: AMOUNT}."
        )


class DaskWorkersRefusedError(ParcacheError, RuntimeError):
    """What a Dask cluster starts its workers by has taken none of them; ``state`` is what it says."""

    def __init__(self, cluster: str, state: str) -> None:
        super().__init__(cluster, state)
        self.cluster, self.state = cluster, state

    def __str__(self) -> str:
        """Show what was said, and where the arguments are."""
        return (
            f"All workers of {self.cluster} were refused: {self.state}. Mend the cluster's arguments, "
            "hydra.launcher.backend.cluster, or what they ask for; the job script is in the log."
        )


class DaskVersionError(ParcacheError, RuntimeError):
    """A Dask scheduler or worker has another Python than the sweeping process, or no parcache."""

    def __init__(self, where: str, found: str, wanted: str) -> None:
        super().__init__(where, found, wanted)
        self.where, self.found, self.wanted = where, found, wanted

    def __str__(self) -> str:
        """Name the place and both versions."""
        return (
            f"The {self.where} has {self.found}, the sweeping process {self.wanted}: what travels between them would "
            "not arrive. Start the cluster's workers with the sweeping process's environment."
        )


class SchedulerLostError(ParcacheError, ConnectionError):
    """The connection to a Dask scheduler has ended while jobs ran."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        """Name the scheduler and how to go on."""
        return (
            f"The Dask scheduler at {self.address} is gone. What had ended is stored: start the cluster again, and run "
            "the same command to go on."
        )


class SlurmEndedError(WorkerDiedError):
    """Slurm ended what a job ran in: ``job_id`` is its own, ``state`` and ``reason`` are what it says.

    ``blames_job``: the job itself has asked for too little, or somebody does not want it: to run it again as it is
    would come to the same.
    """

    _REMEDIES: ClassVar[Mapping[str, str]] = {
        "OUT_OF_MEMORY": "Ask for more memory: hydra.launcher.backend.mem_gb=GB",
        "TIMEOUT": "Ask for more time: hydra.launcher.backend.timeout_min=MINUTES",
        "DEADLINE": "Ask for more time: hydra.launcher.backend.timeout_min=MINUTES",
        "PREEMPTED": "Have it requeued: hydra.launcher.failures.retries=N",
        "REQUEUED": "Have it requeued more often: hydra.launcher.failures.retries=N",
        "NODE_FAIL": "Have it run again: hydra.launcher.failures.retries=N",
    }

    exit_code = None
    was_ready = True

    def __init__(self, job_id: str, state: str, reason: str) -> None:
        super(WorkerDiedError, self).__init__(job_id, state, reason)  # no process is known to have ended, and how
        self.job_id, self.state, self.reason = job_id, state, reason

    @property
    def blames_job(self) -> bool:
        """Tell whether to run it again as it is would come to the same."""
        return self.state in ("OUT_OF_MEMORY", "TIMEOUT", "DEADLINE", "CANCELLED")

    def __str__(self) -> str:
        """Say what Slurm says, and the setting that helps."""
        said = f" ({self.reason})" if self.reason else ""
        remedy = self._REMEDIES.get(self.state)
        ended = f"the worker did not finish the job: Slurm ended its own job {self.job_id}: {self.state}{said}"
        return f"{ended}. {remedy}" if remedy else ended


class NeverStartsError(ParcacheError, RuntimeError):
    """Slurm has a job waiting, or has not even taken it, and it will never start as it is."""

    def __init__(self, job_id: str, reason: str, remedy: str) -> None:
        super().__init__(job_id, reason, remedy)
        self.job_id, self.reason, self.remedy = job_id, reason, remedy

    def __str__(self) -> str:
        """Name the Slurm job, Slurm's reason and what to change."""
        return f"Slurm job {self.job_id} never starts: {self.reason}. {self.remedy}"


class SubmissionError(ParcacheError, RuntimeError):
    """Slurm's ``sbatch`` has refused a job. ``said`` is its own text, ``script`` the file that it was given."""

    def __init__(self, said: str, script: str, remedy: str) -> None:
        super().__init__(said, script, remedy)
        self.said, self.script, self.remedy = said, script, remedy

    def __str__(self) -> str:
        """Show what sbatch said, and what to change."""
        script = f" It was given {self.script}." if self.script else ""
        return f"sbatch refuses the job: {self.said.strip()}.{script} {self.remedy}"


class NotVisibleError(ParcacheError, ValueError):
    """Jobs would run on nodes that do not see what they need."""

    def __init__(self, invisible: Sequence[str], nodes: Sequence[str]) -> None:
        super().__init__(invisible, nodes)
        self.invisible, self.nodes = invisible, nodes

    def __str__(self) -> str:
        """Name the places, the nodes and both ways out."""
        shown = ", ".join(self.nodes[:3]) + (", …" if len(self.nodes) > 3 else "")
        return (
            f"The nodes of the cluster ({shown}) do not see {'; '.join(self.invisible)}. "
            "Put that on a file system that they share, or, if they do see it: "
            "hydra.launcher.backend.check_paths=false."
        )


class ElsewhereError(ParcacheError, RuntimeError):
    """A job was left to another sweep that had it already, ``where`` says in which place, and has ended there."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where

    def __str__(self) -> str:
        """Say so."""
        return f"another sweep had the job already, and it has ended there: {self.where}"


class DetachedError(ParcacheError, RuntimeError):
    """A sweep was left to its backend, as asked for; ``left`` tells the user of what and how to follow it."""

    def __init__(self, left: str) -> None:
        super().__init__(left)
        self.left = left

    def __str__(self) -> str:
        """Say so."""
        return f"{self.left} Call it again for the results."


class HydraNotInitializedError(ParcacheError, RuntimeError):
    """The Python API was called outside Hydra's initialize contexts."""

    def __init__(self, function: str) -> None:
        super().__init__(function)
        self.function = function

    def __str__(self) -> str:
        """Show how to open one."""
        return (
            f"{self.function} needs Hydra to be initialized. Call it inside one of Hydra's contexts: "
            "with hydra.initialize(config_path=..., version_base=None): ..."
        )


class CannotTravelError(ParcacheError, TypeError):
    """Something that every worker needs cannot be pickled."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        """Name what cannot be pickled and both ways out."""
        return (
            f"The workers cannot be given {self.problem}. Make it picklable (define it in a module, without locks or "
            "open files), or run here: hydra/launcher/backend=serial."
        )
