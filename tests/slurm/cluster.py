"""A whole Slurm in one folder: two nodes, four partitions, with or without accounting, on ports of the loopback.

Needs root, and Debian's packages (``PACKAGES``). Several can run side by side. Tried with Slurm 22.05.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.slurm.configuration import (
    ACCOUNT,
    CLUSTER,
    GPUS,
    TIGHT_QOS,
    Site,
    cgroup_conf,
    gres_conf,
    slurm_conf,
    slurmdbd_conf,
)
from tests.slurm.daemons import ClusterError, Daemons, answers, end_process, free_ports, wait_for
from tests.slurm.database import start_database

PACKAGES = ("slurm-wlm", "munge", "slurmdbd", "mariadb-server")
_PROGRAMS = ("munged", "slurmctld", "slurmd", "squeue")
_ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "sacctmgr")
_PATIENCE_S = 120
_CGROUPS = Path("/sys/fs/cgroup")


def why_not(accounting: bool = True) -> str | None:
    """Return why no cluster can be brought up here, None where one can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "a Slurm of one's own needs root"
    wanted = (*_PROGRAMS, *(_ACCOUNTING_PROGRAMS if accounting else ()))
    missing = [name for name in wanted if shutil.which(name, path=_search_path()) is None]
    if missing:
        return f"{', '.join(missing)} not found: python3 tools/dev.py slurm install"
    return None


def has_cgroups() -> bool:
    """Tell whether the kernel can hold the memory of jobs: cgroups of version 1 that may be written to."""
    return (_CGROUPS / "memory" / "cgroup.procs").exists() and os.access(_CGROUPS / "memory", os.W_OK)


class Cluster:
    """A Slurm whose every file lies in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.conf = self.folder / "slurm.conf"
        self.env = {**_neutral(os.environ), "PATH": _search_path(), "SLURM_CONF": str(self.conf)}
        self.daemons = Daemons(self.folder, self.env)
        # Their names are unique: the kernel's folders for the jobs of a node are called after it and the job's number.
        mark = hashlib.sha256(str(self.folder).encode()).hexdigest()[:4]
        self.nodes = (f"n1-{mark}", f"n2-{mark}")

    def up(self, *, accounting: bool = True, cgroups: bool = False, settings: Mapping[str, str] | None = None) -> None:
        """Bring everything up and return when both nodes are idle; what an earlier one left is put away first.

        With ``cgroups`` a job that needs too much memory is OUT_OF_MEMORY, as on most sites, instead of FAILED.

        Raises:
            ClusterError: Something is missing, or does not start; the message has the end of its log.
        """
        reason = why_not(accounting)
        if reason:
            raise ClusterError(reason)
        self.down()
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        names = ("slurmctld", "slurmdbd", "database", *self.nodes)
        site = Site(
            folder=self.folder,
            host=_host(),
            ports=dict(zip(names, free_ports(len(names)), strict=True)),
            accounting=accounting,
            password=secrets.token_hex(16),
            nodes=self.nodes,
            cgroups=cgroups,
            settings=settings or {},
        )
        self._write(site)
        try:
            self._start_munge()
            if accounting:
                self._start_accounting()
            self.daemons.start("slurmctld", ["slurmctld", "-D"])
            for node in self.nodes:
                self.start_node(node)
            self._wait("slurmctld", lambda: self.node_states().values())
            self._wait("slurmctld", lambda: set(self.node_states().values()) == {"idle"})
        except ClusterError as error:
            logs = "\n".join(f"--- {name}\n{self.daemons.log(name)}" for name in self.daemons.names())
            self.down()
            raise ClusterError(f"{error}\n{logs}") from None

    def down(self) -> None:
        """Cancel all jobs, end what was started, remove the folder. Nothing happens where there is none.

        Raises:
            ClusterError: The folder holds something else.
        """
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return
        if not self.conf.exists():
            raise ClusterError(f"{self.folder} is not the folder of a Slurm")
        if self.daemons.pid("slurmctld"):
            self.cancel_all()
        order = ["slurmctld", *map(_daemon, self.nodes), "slurmdbd", "database", "munged"]
        for name in [*order, *self.daemons.names()]:
            self.daemons.stop(name)
        for pid in self.daemons.strays():
            end_process(pid, signal.SIGKILL, 2)
        self._remove_cgroups()
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_up(self) -> bool:
        """Tell whether the controller runs."""
        return self.daemons.pid("slurmctld") is not None

    def run(self, *command: str, check: bool = True) -> str:
        """Run one of Slurm's commands and return what it prints.

        Raises:
            ClusterError: It fails.
        """
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode:
            raise ClusterError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def node_states(self) -> dict[str, str]:
        """Return each node's state in short words, as sinfo has them; nothing while the controller does not answer."""
        lines = self.run("sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %t", check=False)
        return dict(line.split() for line in lines.splitlines())

    def queue(self, *options: str) -> list[str]:
        """Return a line for each job that waits, runs or is completing: its number, state, reason and node."""
        return self.run("squeue", "--noheader", "--array", "--format=%i %T %r %N", *options).splitlines()

    def cancel_all(self) -> None:
        """Cancel every job and wait until none is left; after some seconds, leave it at that."""
        self.run("scancel", "--user=root", "--full", check=False)
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and self.run("squeue", "--noheader", check=False).strip():
            time.sleep(0.1)

    def refresh(self) -> None:
        """Empty the queue, and start and resume the nodes that a test has taken away."""
        self.cancel_all()
        for node in self.nodes:
            if self.daemons.pid(_daemon(node)) is None:
                self.start_node(node)
        for node, state in self.node_states().items():
            if state.startswith(("down", "drain", "drng")):
                self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        self._wait("slurmctld", lambda: set(self.node_states().values()) == {"idle"})

    def start_node(self, node: str) -> None:
        """Start the daemon of one node."""
        self.daemons.start(_daemon(node), ["slurmd", "-D", "-N", node])

    def kill_node(self, node: str) -> None:
        """Let a node fail: its daemon, and everything that it runs, end by SIGKILL."""
        for pid in self.daemons.strays(_daemon(node)):
            end_process(pid, signal.SIGKILL, 2)
        self.daemons.stop(_daemon(node), signal.SIGKILL)

    def _write(self, site: Site) -> None:
        self.conf.write_text(slurm_conf(site))
        (self.folder / "gres.conf").write_text(gres_conf(site))
        (self.folder / "cgroup.conf").write_text(cgroup_conf())
        for number in range(GPUS):
            (self.folder / f"gpu{number}").touch()
        (self.folder / "state").mkdir()
        for node in self.nodes:
            (self.folder / f"spool-{node}").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        if site.accounting:
            conf = self.folder / "slurmdbd.conf"
            conf.touch(mode=0o600)
            conf.write_text(slurmdbd_conf(site))
        self.site = site

    def _remove_cgroups(self) -> None:
        """Remove the kernel's folders for jobs, which stay for a moment after their last process."""
        deadline = time.monotonic() + 2
        while tops := [top for node in self.nodes for top in _CGROUPS.glob(f"*/slurm_{node}")]:
            for top in tops:
                for folder, _, _ in os.walk(top, topdown=False):
                    with contextlib.suppress(OSError):
                        os.rmdir(folder)
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)

    def _start_munge(self) -> None:
        names = {"key-file": "key", "socket": "socket", "pid-file": "own", "log-file": "log", "seed-file": "seed"}
        files = [f"--{option}={self.folder}/munge.{suffix}" for option, suffix in names.items()]
        # --force: its own rules for the folder's owner would forbid everything below /tmp.
        self.daemons.start("munged", ["munged", "--foreground", "--force", *files])
        self._wait("munged", (self.folder / "munge.socket").exists)

    def _start_accounting(self) -> None:
        port = self.site.ports["database"]
        start_database(self.daemons, port, self.site.password)
        self._wait("database", lambda: answers(port))
        self.daemons.start("slurmdbd", ["slurmdbd", "-D"])
        self._wait("slurmdbd", lambda: answers(self.site.ports["slurmdbd"]))
        for command in (
            f"add cluster {CLUSTER}",
            f"add account {ACCOUNT} cluster={CLUSTER}",
            f"add qos {TIGHT_QOS} MaxJobsPerUser=1",
            f"add user root account={ACCOUNT} qos=normal,{TIGHT_QOS}",
            f"modify user root set defaultaccount={ACCOUNT}",
        ):
            self.run("sacctmgr", "-i", *command.split())

    def _wait(self, name: str, condition: Callable[[], object]) -> None:
        def is_so() -> bool:
            if self.daemons.pid(name) is None:
                raise ClusterError(f"{name} has ended")
            return bool(condition())

        wait_for(is_so, name, _PATIENCE_S)


def _daemon(node: str) -> str:
    return f"slurmd-{node}"


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _search_path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _neutral(env: Mapping[str, str]) -> dict[str, str]:
    """Leave out what a surrounding Slurm may have set."""
    return {
        name: value for name, value in env.items() if not name.startswith(("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_"))
    }
