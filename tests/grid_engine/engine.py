"""A whole Grid Engine in one folder: one host, one queue, on ports of the loopback. Needs root and Debian's packages.

Tried with 8.1.9. Several can run side by side.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.grid_engine import why_not
from tests.slurm.daemons import ClusterError, Daemons, end_process, free_ports, wait_for

QUEUE = "all.q"
SLOTS = 8  # whatever the machine has
_INSTALLED = Path("/var/lib/gridengine")
_PROGRAMS = Path("/usr/lib/gridengine")
_PATIENCE_S = 120
_SHARE = Path("/usr/share/gridengine")


class GridEngine:
    """A Grid Engine whose every file lies in a folder; ``env`` is what its commands need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.host = socket.gethostname()
        self._common = self.folder / "default" / "common"
        self._find()

    def _find(self) -> None:
        """Set the variables by which programs find this one: its ports are known once it has been brought up."""
        self.variables = {"SGE_ROOT": str(self.folder), "SGE_CELL": "default"}
        ports = self.folder / "ports"
        if ports.exists():
            names = ("SGE_QMASTER_PORT", "SGE_EXECD_PORT")
            self.variables |= dict(zip(names, ports.read_text().split(), strict=True))
        self.env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", **self.variables}
        self.daemons = Daemons(self.folder, {**self.env, "SGE_ND": "1"})  # in the foreground

    def up(self) -> None:
        """Bring everything up and return when the queue takes jobs; what an earlier one left is put away first.

        Raises:
            ClusterError: Something is missing, or does not start; the message has the end of its log.
        """
        reason = why_not()
        if reason:
            raise ClusterError(reason)
        self.down()
        self._write()
        try:
            self.daemons.start("qmaster", [str(_PROGRAMS / "sge_qmaster")])
            self._wait("qmaster", lambda: self.run("qconf", "-sh", check=False).strip())
            self._configure()
            self.daemons.start("execd", [str(_PROGRAMS / "sge_execd")])
            self._wait("execd", self._takes_jobs)
        except ClusterError as error:
            logs = "\n".join(f"--- {name}\n{self.daemons.log(name)}" for name in self.daemons.names())
            self.down()
            raise ClusterError(f"{error}\n{logs}") from None

    def down(self) -> None:
        """Delete all jobs, end what was started, remove the folder. Nothing happens where there is none.

        Raises:
            ClusterError: The folder holds something else.
        """
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return
        if not self._common.exists():
            raise ClusterError(f"{self.folder} is not the folder of a Grid Engine")
        if self.daemons.pid("qmaster"):
            self.run("qdel", "-f", "-u", "*", check=False)
        for name in ["execd", "qmaster"]:
            self.daemons.stop(name, patience_s=2)
        for pid in self.daemons.strays():
            end_process(pid, signal.SIGKILL, 2)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str, check: bool = True) -> str:
        """Run one of Grid Engine's commands and return what it prints.

        Raises:
            ClusterError: It fails.
        """
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode:
            raise ClusterError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def jobs(self) -> list[str]:
        """Return a line for each job that waits or runs."""
        return self.run("qstat", "-u", "*").splitlines()[2:]

    def _takes_jobs(self) -> bool:
        lines = self.run("qstat", "-f", check=False).splitlines()
        # A sixth word would be its trouble, such as "au".
        return any(line.startswith(QUEUE) and len(line.split()) == 5 for line in lines)

    def _write(self) -> None:
        for name in ("default/common", "spool", "qmaster/job_scripts", "execd"):
            (self.folder / name).mkdir(parents=True)
        for name in ("bin", "lib", "util", "utilbin"):
            (self.folder / name).symlink_to(_INSTALLED / name)
        (self.folder / "ports").write_text(" ".join(str(port) for port in free_ports(2)))
        self._find()
        settings = {
            "admin_user": "root",
            "default_domain": "none",
            "ignore_fqdn": "true",
            "spooling_method": "berkeleydb",
            "spooling_lib": "libspoolb",
            "spooling_params": f"{self.folder}/spool",
            "binary_path": "/usr/sbin",
            "qmaster_spool_dir": f"{self.folder}/qmaster",
            "security_mode": "none",
            "listener_threads": "2",
            "worker_threads": "2",
            "scheduler_threads": "1",
        }
        (self._common / "bootstrap").write_text(lines(settings))
        (self._common / "act_qmaster").write_text(self.host + "\n")
        # Where the host's name is one of 127.0.0.1, that address leads back to another name of it.
        address = socket.gethostbyname(self.host)
        first, others, _ = socket.gethostbyaddr(address)
        aliases = dict.fromkeys([self.host, first, *others, "localhost"])
        (self._common / "host_aliases").write_text(" ".join(aliases) + "\n")
        changes = {
            "execd_spool_dir": f"{self.folder}/execd",
            "min_uid": "0",
            "min_gid": "0",
            "load_report_time": "00:00:02",
        }
        configuration = self.folder / "configuration"
        configuration.write_text(changed((_SHARE / "default-configuration").read_text(), changes))
        resources = _SHARE / "util" / "resources"
        env = {**self.env, "SGE_ARCH": "lx-amd64"}
        for command in (
            ["spoolinit", "berkeleydb", "libspoolb", f"{self.folder}/spool", "init"],
            ["spooldefaults", "configuration", str(configuration)],
            ["spooldefaults", "complexes", str(resources / "centry")],
            ["spooldefaults", "usersets", str(resources / "usersets")],
            ["spooldefaults", "managers", "root"],
        ):
            subprocess.run([str(_PROGRAMS / command[0]), *command[1:]], env=env, check=True, capture_output=True)

    def _configure(self) -> None:
        self.run("qconf", "-as", self.host, check=False)
        self.run("qconf", "-ah", self.host, check=False)
        parallel = self.folder / "smp"
        parallel.write_text((_SHARE / "util" / "resources" / "pe" / "smp").read_text())
        self.run("qconf", "-Ap", str(parallel))
        queue = {
            "qname": QUEUE,
            "hostlist": self.host,
            "slots": str(SLOTS),
            "load_thresholds": "NONE",
            "pe_list": "smp",
            "tmpdir": str(self.folder),
        }
        (self.folder / "queue").write_text(changed(self.run("qconf", "-sq"), queue))
        self.run("qconf", "-Aq", f"{self.folder}/queue")
        schedule = {
            "schedule_interval": "0:0:1",
            "flush_submit_sec": "1",
            "flush_finish_sec": "1",
            "job_load_adjustments": "NONE",
        }
        (self.folder / "schedule").write_text(changed(self.run("qconf", "-ssconf"), schedule))
        self.run("qconf", "-Msconf", f"{self.folder}/schedule")

    def _wait(self, name: str, condition: object) -> None:
        def is_so() -> bool:
            if self.daemons.pid(name) is None:
                raise ClusterError(f"{name} has ended")
            return bool(condition())  # type: ignore[operator]

        wait_for(is_so, name, _PATIENCE_S)


def lines(settings: Mapping[str, str]) -> str:
    """Return Grid Engine's form of settings: a name and a value in each line."""
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def changed(text: str, settings: Mapping[str, str]) -> str:
    """Return a text of such lines with other values for some names."""
    kept = [line for line in text.splitlines() if line.split(" ", 1)[0] not in settings]
    return "\n".join(kept) + "\n" + lines(settings)
