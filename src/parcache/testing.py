"""The contract of all backends, as tests: a package that adds a backend runs them on it.

::

    from parcache.testing import BackendContract

    class TestFresh(BackendContract):
        overrides = ("hydra/launcher/backend=fresh",)

Needs pytest. Each test sweeps a small app in a folder of its own, as a user does.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Final

_PATIENCE_S: Final = 300.0
_DEEDS: Final = '''\
import os
import signal
import sys
import threading
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))


class Odd(Exception):
    """An exception that unpickles with nothing."""

    def __init__(self, one, two):
        super().__init__("odd")
        self.lock = threading.Lock()


def healthy(n):
    return {"n": n, "squares": [n * n] * 3}


def raises(n):
    raise ValueError(f"as it happens in {n}")


def raises_odd(n):
    raise Odd(1, 2)


def unpicklable(n):
    return threading.Lock()


def leaves(n):
    sys.exit("I am done")


def dies(n):
    os.kill(os.getpid(), signal.SIGKILL)


def flaky(n):
    if not os.path.exists(f"{FOLDER}/tried-{n}"):
        open(f"{FOLDER}/tried-{n}", "w").close()
        raise OSError("the first time")
    return n


def hangs(n):
    time.sleep(600)
'''
_APP: Final = """\
import logging
import os

import deeds
import hydra

log = logging.getLogger(__name__)


@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    with open(f"{deeds.FOLDER}/runs.txt", "a") as file:
        file.write(f"{cfg.n} {os.getpid()}\\n")
    log.info("deed %s of %d", cfg.deed, cfg.n)
    return getattr(deeds, cfg.deed)(cfg.n)


if __name__ == "__main__":
    main()
"""
_CONFIG: Final = """\
job: {deed: healthy, n: 0}
deed: ${job.deed}
n: ${job.n}
"""
_RESULTS: Final = """\
import json, sys
import hydra, parcache
from app import main

if __name__ == "__main__":
    with hydra.initialize(config_path="conf", version_base=None):
        backend, *overrides = sys.argv[1:]
        print("RESULTS", json.dumps(parcache.sweep(main, "config", overrides, backend=backend)))
"""


class Sweep:
    """A sweep of the app that has ended: its exit code, what it printed, what its journal says of each job."""

    def __init__(self, folder: Path, code: int, text: str) -> None:
        self.code, self.text = code, text
        path = folder / "out" / "journal.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        self.states: dict[int, str] = {}
        self.errors: dict[int, str] = {}
        for line in lines:
            for number in line.get("jobs", ()):
                self.states[number] = line["state"]
                self.errors[number] = line.get("error", "")


class BackendContract:
    """What every backend holds. ``overrides`` choose the one under test.

    Without ``has_processes``, jobs run in the sweeping process, and none can die alone.
    """

    overrides: ClassVar[Sequence[str]] = ()
    has_processes: ClassVar[bool] = True

    def test_contract_results_come_in_job_order_and_are_hits_on_any_backend(self, tmp_path: Path) -> None:
        """Each job runs once; the same sweep from Python, on another backend, runs none."""
        _write(tmp_path)
        sweep = self._sweep(tmp_path, ["healthy"] * 7)
        assert sweep.code == 0, sweep.text
        assert "7 jobs: 0 hits, 7 misses, 0 failed" in sweep.text
        assert sorted(_runs(tmp_path)) == list(range(7))
        # parcache.sweep has no directory "out" to find: its results are those of the store.
        text = _run(tmp_path, "results.py", "serial", _jobs(["healthy"] * 7))[1]
        results = json.loads(text.partition("RESULTS ")[2].splitlines()[0])
        assert results == [{"n": n, "squares": [n * n] * 3} for n in range(7)], text
        assert len(_runs(tmp_path)) == 7

    def test_contract_results_of_python_come_back_in_job_order(self, tmp_path: Path) -> None:
        """Results travel whole, in the order of the jobs."""
        _write(tmp_path)
        chosen = [each.partition("=")[2] for each in self.overrides if each.startswith("hydra/launcher/backend=")]
        rest = [each for each in self.overrides if not each.startswith("hydra/launcher/backend=")]
        text = _run(tmp_path, "results.py", chosen[0], *rest, _jobs(["healthy"] * 5))[1]
        results = json.loads(text.partition("RESULTS ")[2].splitlines()[0])
        assert results == [{"n": n, "squares": [n * n] * 3} for n in range(5)], text

    def test_contract_misfortune_of_a_job_costs_nobody_else(self, tmp_path: Path) -> None:
        """Errors, results and errors that cannot travel, exits and deaths fail alone; a retry mends what it can."""
        _write(tmp_path)
        causes = {"raises": "ValueError: as it happens in", "raises_odd": "odd", "leaves": "I am done"}
        if self.has_processes:
            causes |= {"unpicklable": "pickle", "dies": "SIGKILL|-9"}
        deeds = ["flaky", *(deed for cause in causes for deed in (cause, "healthy"))]
        sweep = self._sweep(tmp_path, deeds, "hydra.launcher.failures.retries=1")
        assert sweep.code == 1, sweep.text
        wanted = {n: "failed" if deed in causes else "completed" for n, deed in enumerate(deeds)}
        assert sweep.states == wanted, sweep.text
        for number, deed in enumerate(deeds):
            assert re.search(causes.get(deed, ""), sweep.errors[number]), sweep.errors[number]

    def test_contract_job_leaves_its_directory_as_hydra_does(self, tmp_path: Path) -> None:
        """Its .hydra folder, its log with its own lines alone, and its overrides."""
        _write(tmp_path)
        sweep = self._sweep(tmp_path, ["healthy"] * 3)
        assert sweep.code == 0, sweep.text
        for number in range(3):
            folder = tmp_path / "out" / str(number)
            assert sorted(os.listdir(folder / ".hydra")) == ["config.yaml", "hydra.yaml", "overrides.yaml"]
            lines = (folder / "app.log").read_text().splitlines()
            assert [line.partition("] - ")[2] for line in lines] == [f"deed healthy of {number}"]

    def test_contract_job_past_its_time_is_stopped_and_fails_alone(self, tmp_path: Path) -> None:
        """A backend that cannot stop one refuses the setting before anything runs."""
        _write(tmp_path)
        sweep = self._sweep(tmp_path, ["hangs", "healthy"], "hydra.launcher.failures.timeout_s=20")
        if "which cannot stop a job" in sweep.text:
            assert sweep.code == 1
            assert _runs(tmp_path) == []
            return
        assert sweep.states == {0: "failed", 1: "completed"}, sweep.text
        assert "longer than 20 s" in sweep.errors[0]

    def test_contract_interrupt_ends_the_sweep_and_all_that_it_has_started(self, tmp_path: Path) -> None:
        """Ctrl-C: exit code 130, no process of the sweep is left, what was done is stored."""
        _write(tmp_path)
        process = self._start(tmp_path, ["healthy", *["hangs"] * 3], "hydra.launcher.order=given")
        _wait(lambda: len(_runs(tmp_path)) >= 2 and _stored(tmp_path) == 1, process)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=_PATIENCE_S)
        assert process.returncode == 130, text
        assert "Run the same command again to go on" in text
        pids = {int(line.split()[1]) for line in (tmp_path / "runs.txt").read_text().splitlines()}
        _wait(lambda: not any(_is_alive(pid) for pid in pids))
        assert _stored(tmp_path) == 1

    def _sweep(self, folder: Path, deeds: Sequence[str], *more: str) -> Sweep:
        process = self._start(folder, deeds, *more)
        try:
            text, _ = process.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"the sweep does not end: {process.communicate()[0]}") from None
        return Sweep(folder, process.returncode, text)

    def _start(self, folder: Path, deeds: Sequence[str], *more: str) -> subprocess.Popen[str]:
        arguments = ("-m", "hydra/launcher=parcache", "hydra.sweep.dir=out", *self.overrides, _jobs(deeds), *more)
        return _started(folder, "app.py", *arguments)


def _write(folder: Path) -> None:
    (folder / "conf").mkdir()
    files = {"app.py": _APP, "deeds.py": _DEEDS, "results.py": _RESULTS, "conf/config.yaml": _CONFIG}
    for name, text in files.items():
        (folder / name).write_text(text)


def _jobs(deeds: Sequence[str]) -> str:
    return "job=" + ",".join(f"{{deed:{deed},n:{n}}}" for n, deed in enumerate(deeds))


def _run(folder: Path, script: str, *arguments: str) -> tuple[int, str]:
    process = _started(folder, script, *arguments)
    text, _ = process.communicate(timeout=_PATIENCE_S)
    return process.returncode, text


def _started(folder: Path, script: str, *arguments: str) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PARCACHE_")}

    def as_a_shell_does() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    return subprocess.Popen(  # noqa: S603 # the app above
        [sys.executable, script, *arguments],
        cwd=folder,
        env={**env, "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=as_a_shell_does,  # nothing else runs in this process at the time
    )


def _runs(folder: Path) -> list[int]:
    path = folder / "runs.txt"
    return [int(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []


def _stored(folder: Path) -> int:
    return len(list((folder / ".parcache/entries").glob("*/*.entry")))


def _wait(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while not condition():
        has_ended = process is not None and process.poll() is not None
        if has_ended or time.monotonic() > until_s:
            raise AssertionError(f"the sweep has ended too early: {process.communicate()[0]}" if process else "timeout")
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][:1] != "Z"
    except OSError:
        return False
