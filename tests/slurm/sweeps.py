"""Sweeps on the real Slurm: an app whose jobs do what they are told, and programs that sweep it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import Project, Result
from tests.slurm.cluster import Cluster
from tests.slurm.counting import Calls
from tests.slurm.daemons import wait_for

LAUNCHER = ("-m", "hydra/launcher=parcache", "hydra/launcher/backend=slurm", "hydra.sweep.dir=out")
PATIENCE_S = 300.0
DEEDS = """
    import os
    import subprocess
    import time

    def healthy(cfg):
        return cfg.n * 10

    def raises(cfg):
        raise ValueError(f"as it happens in {cfg.n}")

    def stuck(cfg):
        subprocess.Popen(["sleep", "600"])
        time.sleep(600)

    def waits(cfg):
        while not os.path.exists(os.path.join(os.environ["HOME_FOLDER"], "go")):
            time.sleep(0.05)
        return cfg.n * 10

    def waits_once(cfg):
        mark = os.path.join(os.environ["HOME_FOLDER"], f"tried-{cfg.n}")
        if not os.path.exists(mark):
            open(mark, "w").close()
            time.sleep(600)
        return cfg.n * 10

    def told(cfg):
        names = ("SLURM_MEM_PER_NODE", "SLURM_CPUS_PER_TASK", "SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID")
        return {name: os.environ.get(name) for name in names}
"""
APP = """
    import os
    import hydra
    import deeds

    @hydra.main(config_path="conf", config_name="config", version_base=None)
    def main(cfg):
        with open(os.environ["RUNS"], "a") as file:
            file.write(f"{cfg.n}\\n")
        return getattr(deeds, cfg.deed)(cfg)

    if __name__ == "__main__":
        main()
"""
RESULTS = """
    import json
    import sys
    import hydra
    import parcache
    from app import main

    if __name__ == "__main__":
        with hydra.initialize(config_path="conf", version_base=None):
            print("RESULTS", json.dumps(parcache.sweep(main, overrides=sys.argv[1:], backend="slurm")))
"""


def write_app(folder: Path, cluster: Cluster, calls: Calls) -> Project:
    """Write the app: ``job={deed:NAME,n:NUMBER}`` says what a job does. Its programs find the cluster."""
    env = {"HOME_FOLDER": str(folder), "SLURM_CONF": str(cluster.conf), "PARCACHE_DIR": ".parcache", **calls.env}
    config = "defaults: [_self_]\njob: {deed: healthy, n: 0}\ndeed: ${job.deed}\nn: ${job.n}\n"
    return Project(folder, env).write(app=APP, deeds=DEEDS, results=RESULTS, conf__config_yaml=config)


def jobs_of(*deeds: str) -> str:
    """Return the override that sweeps over these deeds, numbered from 0."""
    return "job=" + ",".join(f"{{deed:{deed},n:{number}}}" for number, deed in enumerate(deeds))


def sweep(project: Project, *overrides: str) -> Result:
    """Sweep to the end."""
    return project.run(*LAUNCHER, *overrides)


@contextmanager
def sweeping(project: Project, *overrides: str) -> Iterator[subprocess.Popen[str]]:
    """Sweep as from a terminal: the leader of its own processes, with Ctrl-C as Python has it."""

    def as_a_shell_does() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        [sys.executable, "app.py", *LAUNCHER, *overrides],
        cwd=project.folder,
        env={**os.environ, "RUNS": str(project.runs), "PYTHONWARNINGS": "ignore", **project.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=as_a_shell_does,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(process: subprocess.Popen[str], patience_s: float = PATIENCE_S) -> tuple[int, str]:
    """Return how a sweep ended and all that it printed."""
    out, _ = process.communicate(timeout=patience_s)
    return process.returncode, out


def release(project: Project) -> None:
    """Let the jobs go on that wait."""
    (project.folder / "go").touch()


def wait_for_runs(project: Project, count: int) -> None:
    """Wait until so many jobs have begun."""
    wait_for(lambda: len(project.executions()) >= count, f"{count} jobs run", PATIENCE_S)


def wait_for_empty_queue(cluster: Cluster, patience_s: float = PATIENCE_S) -> None:
    """Insist that nothing is left with Slurm, which takes a moment to see the end of what was cancelled."""
    wait_for(lambda: cluster.queue() == [], "the queue is empty", patience_s)


def results(project: Project, *overrides: str) -> list[Any]:
    """Sweep from Python and return what the jobs returned."""
    result = project.run("hydra.sweep.dir=out", *overrides, script="results.py").check()
    return json.loads(result.out.partition("RESULTS ")[2].splitlines()[0])  # type: ignore[no-any-return]
