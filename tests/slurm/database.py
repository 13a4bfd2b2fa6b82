"""The database of a slurmdbd: a MariaDB in the same folder."""

from __future__ import annotations

import subprocess

from tests.slurm.daemons import ClusterError, Daemons


def start_database(daemons: Daemons, port: int, password: str) -> None:
    """Make a database that slurmdbd's user alone may use by its password, and start it."""
    data = daemons.folder / "database"
    # --skip-grant-tables would need no tables, nor the two seconds for them; slurmdbd's stored procedures do.
    install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db"]
    done = subprocess.run(install, env=daemons.env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"mariadb-install-db: {done.stdout}{done.stderr}")
    users = daemons.folder / "database.sql"
    users.touch(mode=0o600)
    users.write_text(
        f"CREATE USER 'slurm'@'localhost' IDENTIFIED BY '{password}';\nGRANT ALL ON *.* TO 'slurm'@'localhost';\n"
    )
    options = [
        "--no-defaults",
        "--user=root",
        f"--datadir={data}",
        f"--socket={daemons.folder}/database.socket",
        f"--pid-file={daemons.folder}/database.own",
        f"--init-file={users}",
        "--bind-address=127.0.0.1",
        f"--port={port}",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-buffer-pool-size=64M",
        "--innodb-lock-wait-timeout=900",
    ]
    daemons.start("database", ["mariadbd", *options])
