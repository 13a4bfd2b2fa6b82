"""A sweep whose workers are killed again and again loses nothing and leaves nothing behind."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.conftest import Project
from tests.sweeping import ends, numbers, processes_of

JOBS = 200
KILLERS = frozenset({13, 77, 141})
GAP_S = 0.2
# Fewer than the starts in a row that may fail before a job is given up: on a slow machine every worker is struck while
# it starts, and none would ever get to the last job.
MOST_KILLS = 60


def running_jobs(folder: Path) -> dict[int, int]:
    """Return which job each worker process says that it runs, as ``parcache.run.marks`` has it."""
    found = {}
    for path in folder.glob("parcache-marks-*/*"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # the sweep ends just now
            continue
        if len(data) == 32:
            found[int(path.name.partition("-")[0])] = struct.unpack("=QQQQ", data)[1]
    return found


def workers_of(sweep: int) -> Iterator[int]:
    """Yield the worker processes of a sweep."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == sweep and fields[0] != "Z":
                yield int(path.parent.name)
        except OSError:
            continue


def test_sweep_whose_workers_are_killed_all_the_time_completes_every_job_once(project: Project, tmp_path: Path) -> None:
    """Of 200 jobs on 4 workers each completes exactly once, but those that kill their workers, and nothing is left.

    Every 0.2 s, up to 60 times, a random worker is killed: any but one that runs a job which has been struck before,
    for a job that costs two workers is taken for a killer. Each is halted first: what it runs cannot change while that
    is looked up.
    """
    project.write(
        helper=f"""
        import os, signal, time
        def compute(cfg):
            time.sleep(0.02)
            if cfg.x in {sorted(KILLERS)}:
                os.kill(os.getpid(), signal.SIGKILL)
            return cfg.x
        """
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    out = project.folder / "out"
    chosen = ["hydra/launcher=parcache", "hydra.launcher.backend.workers=4", "hydra.sweep.dir=out"]
    running = project.start("-m", f"x=range({JOBS})", *chosen, env={"TMPDIR": str(temporary)})
    chance = random.Random(20)
    kills = 0
    while running.process.poll() is None:
        time.sleep(GAP_S)
        workers = list(workers_of(running.process.pid))
        if not workers or kills == MOST_KILLS:
            continue
        victim = chance.choice(workers)
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGSTOP)
            struck = set(numbers(out, "retry")) if (out / "journal.jsonl").exists() else set()
            spared = running_jobs(temporary).get(victim) in struck
            os.kill(victim, signal.SIGCONT if spared else signal.SIGKILL)
            kills += not spared
    result = running.finish()
    assert kills >= 10, "the sweep was over before anything happened"
    found = ends(out)
    assert sorted(found) == list(range(JOBS)), result.out + result.err
    assert {number: states for number, states in found.items() if states != ["completed"]} == {
        number: ["failed"] for number in KILLERS
    }, result.out + result.err
    assert f"{JOBS} misses, {len(KILLERS)} failed" in result.out
    # A struck job runs again; one that had ended before it was struck does not.
    runs = Counter(project.executions())
    assert all(runs[str(number)] <= 2 for number in range(JOBS))
    assert len(project.entries()) == JOBS - len(KILLERS)
    assert processes_of(project) == []
    assert list(temporary.iterdir()) == []
    assert [path for path in (project.folder / ".parcache" / "tmp").rglob("*") if path.is_file()] == []


def test_sweep_whose_worker_is_killed_while_it_stores_leaves_nothing_half_written(project: Project) -> None:
    """What it was writing is deleted with the sweep's end, and the job runs once more."""
    project.write(
        helper="""
        import os, signal
        replace = os.replace
        def killing(source, target):
            if str(target).endswith(".entry") and not os.path.exists("struck"):
                open("struck", "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)
        def compute(cfg):
            os.replace = killing
            return cfg.x
        """
    )
    result = project.run("-m", "x=1,2", "hydra/launcher=parcache", "hydra.launcher.backend.workers=1").check()
    assert "runs again after" in result.out
    assert "2 misses, 0 failed" in result.summary
    assert len(project.entries()) == 2
    assert list((project.folder / ".parcache" / "tmp").iterdir()) == []
