"""``python3 tools/dev.py slurm COMMAND``: a real Slurm on this machine, by hand. Needs root, and nothing but Python.

install  installs Debian's packages
up       brings the cluster up, or says that it is up; --no-accounting leaves out slurmdbd and its database
env      prints what a shell needs to use it: eval "$(python3 tools/dev.py slurm env)"
down     cancels its jobs and ends it
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import grid_engine
from tests.slurm.cluster import PACKAGES, Cluster, why_not
from tests.slurm.daemons import ClusterError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py slurm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["install", "up", "env", "down"])
    parser.add_argument("--no-accounting", action="store_true")
    parser.add_argument("--cgroups", action="store_true", help="let the kernel hold the memory of jobs")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / f"parcache-slurm-{os.geteuid()}")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="more for slurm.conf")
    options = parser.parse_args()
    if options.command == "install":
        return install()
    try:
        return command(options, Cluster(options.folder))
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1


def command(options: argparse.Namespace, cluster: Cluster) -> int:
    """Do what is asked of one cluster; return the exit code."""
    if options.command == "down":
        cluster.down()
    elif options.command == "env":
        if not cluster.is_up():
            print("no Slurm of this folder is up: python3 tools/dev.py slurm up", file=sys.stderr)
            return 1
        print(f"export SLURM_CONF={cluster.conf}")
    elif cluster.is_up():
        print(f"is up already: export SLURM_CONF={cluster.conf}")
    else:
        settings = dict(item.split("=", 1) for item in options.set)
        cluster.up(accounting=not options.no_accounting, cgroups=options.cgroups, settings=settings)
        print(f"export SLURM_CONF={cluster.conf}")
    return 0


def install() -> int:
    """Install what the tests of Slurm and Grid Engine need, unless it is there."""
    if why_not() is None and grid_engine.why_not() is None:
        return 0
    if shutil.which("apt-get") is None:
        print("there is no apt-get: install Slurm, munge, slurmdbd, MariaDB, Grid Engine by hand", file=sys.stderr)
        return 1
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-qq", "-y", *PACKAGES, *grid_engine.PACKAGES]):
        code = subprocess.run(["apt-get", *command], env=env, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
