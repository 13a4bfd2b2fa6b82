"""Bad input costs caching at the most: one clear line, and the sweep runs on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from parcache.store.entry import MAJOR
from tests.conftest import Project

SERIAL = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial"]
PROCESS = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=process"]


def test_store_that_cannot_be_made_costs_caching_only(project: Project, launcher: list[str]) -> None:
    """A store below a file: one line with the reason and the way out, and all jobs run."""
    (project.folder / "file").write_text("not a folder")
    result = project.run(*launcher, "x=1,2", "hydra.launcher.cache.dir=file/store").check()
    assert "2 misses, 0 failed" in result.summary
    assert result.out.count("cannot be used: Not a directory") == 1
    assert "export PARCACHE_DIR=DIR" in result.out


def test_store_made_by_a_newer_format_is_left_alone(project: Project, launcher: list[str]) -> None:
    """A store of a newer format is neither read nor written, and the line says to upgrade."""
    project.run(*launcher, "x=1").check()
    store = project.folder / ".parcache"
    (store / "format.json").write_text(json.dumps({"major": MAJOR + 1, "minor": 0}))
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    result = project.run(*launcher, "x=1,2").check()
    assert "0 hits, 2 misses" in result.summary
    assert result.out.count(f"has store format {MAJOR + 1}; this parcache reads up to {MAJOR}") == 1
    assert "pip install -U parcache" in result.out
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def _mount_tmpfs(folder: Path) -> bool:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_store_on_a_full_disk_costs_caching_only(project: Project, launcher: list[str], backend: str) -> None:
    """A result that no longer fits is not stored; it is said once, what was stored stays, and the sweep ends well."""
    if backend != "serial":  # side by side, a large one takes the room of a small one
        launcher = [*launcher, "hydra.launcher.backend.workers=1"]
    folder = project.folder / "full"
    limits = ""
    if not _mount_tmpfs(folder):  # without the right to mount, a limit on file sizes stands for the full disk
        limits = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
    try:
        project.write(helper=limits + "def compute(cfg):\n    return b'x' * cfg.x\n")
        sizes = "x=100,200000,300000,200"
        result = project.run(*launcher, sizes, f"hydra.launcher.cache.dir={folder}").check()
        assert "4 misses, 0 failed" in result.summary
        assert result.out.count("cannot be written") == 1
        assert "Make room there" in result.out
        again = project.run(*launcher, sizes, f"hydra.launcher.cache.dir={folder}").check()
        assert "2 hits, 2 misses, 0 failed" in again.summary
        assert list((folder / "tmp").iterdir()) == []
    finally:
        if not limits:
            subprocess.run(["umount", str(folder)], check=True)


def test_store_that_is_read_only_still_serves_what_it_holds(project: Project, launcher: list[str]) -> None:
    """A store that cannot be written is named once; hits are hits, and the rest runs."""
    folder = project.folder / "fixed"
    mounted = _mount_tmpfs(folder)
    store = f"hydra.launcher.cache.dir={folder}"
    project.run(*launcher, "x=1", store).check()
    try:
        if mounted:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        else:
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o555 if path.is_dir() else 0o444)
        result = project.run(*launcher, "x=1,2", store).check()
        assert "1 hits, 1 misses, 0 failed" in result.summary
        assert result.out.count("This sweep serves what is stored and stores nothing.") == 1
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def test_result_that_does_not_pickle_is_returned_by_serial(project: Project) -> None:
    """In the sweeping process an unpicklable result is passed on and merely not stored."""
    project.write(helper="def compute(cfg):\n    return (n for n in range(cfg.x))\n")
    result = project.run(*SERIAL, "x=1,2").check()
    assert "2 misses, 0 failed" in result.summary
    assert result.out.count("a result of type generator cannot be stored") == 1


def test_result_that_does_not_pickle_fails_its_own_job_in_process(project: Project) -> None:
    """From another process an unpicklable result cannot come back: that job fails by name, the others are stored."""
    project.write(helper="def compute(cfg):\n    return (n for n in range(3)) if cfg.x == 2 else cfg.x\n")
    result = project.run(*PROCESS, "x=1,2,3")
    assert result.code == 1
    assert "3 misses, 1 failed" in result.out
    assert "Job 1 returned a generator that cannot leave its process" in result.err
    assert "hydra/launcher/backend=serial" in result.err
    assert len(project.entries()) == 2


UNKEYABLE = """
    import os
    import hydra
    from omegaconf import OmegaConf

    class Model:
        pass

    OmegaConf.register_new_resolver("model", lambda: Model())

    @hydra.main(config_path="conf", config_name="config", version_base=None)
    def main(cfg):
        with open(os.environ["RUNS"], "a") as file:
            file.write(f"{cfg.x}\\n")
        return cfg.x

    if __name__ == "__main__":
        main()
"""


def test_config_that_cannot_be_keyed_runs_without_a_cache(project: Project, launcher: list[str]) -> None:
    """A value without a stable form is named by its place; such jobs run and are not stored."""
    project.write(app=UNKEYABLE, conf__config_yaml="x: 1\nnet: {init: '${model:}'}\n")
    result = project.run(*launcher, "x=1,2").check()
    assert "2 misses, 0 failed" in result.summary
    assert result.out.count("Cannot key the config at $.net.init") == 1
    assert "hydra.launcher.cache.ignore=[net.init]" in result.out
    assert project.entries() == []


def test_config_that_cannot_be_keyed_is_cached_once_the_key_is_ignored(project: Project, launcher: list[str]) -> None:
    """The command that the line names mends it."""
    project.write(app=UNKEYABLE, conf__config_yaml="x: 1\nnet: {init: '${model:}'}\n")
    ignored = "hydra.launcher.cache.ignore=[net.init]"
    project.run(*launcher, "x=1,2", ignored).check()
    assert "2 hits" in project.run(*launcher, "x=1,2", ignored).check().summary


WITHOUT_SOURCE = """
    import os
    import hydra

    exec(
        "def compute(cfg):\\n"
        "    with open(os.environ['RUNS'], 'a') as file:\\n"
        "        file.write(f'{cfg.x} ')\\n"
        "    return cfg.x\\n"
    )

    if __name__ == "__main__":
        hydra.main(config_path="conf", config_name="config", version_base=None)(compute)()
"""


WITHOUT_A_FORM = WITHOUT_SOURCE.replace(
    "    exec(\n", "    import random\n    dice = random.Random(1)\n\n    exec(\n", 1
).replace('"    return cfg.x', '"    dice.random()\\n"\n        "    return cfg.x')


def test_task_without_source_is_cached(project: Project, launcher: list[str]) -> None:
    """A task function made by exec counts as what is in memory: another text is a miss."""
    project.write(app=WITHOUT_SOURCE)
    project.run(*launcher, "x=1,2").check()
    assert "2 hits" in project.run(*launcher, "x=1,2").check().summary
    project.write(app=WITHOUT_SOURCE.replace("return cfg.x", "return -cfg.x"))
    assert "2 misses" in project.run(*launcher, "x=1,2").check().summary


def test_task_without_source_that_reads_dice_runs_without_a_cache(project: Project, launcher: list[str]) -> None:
    """A global without a stable form is named in one line; the jobs run and are not stored."""
    project.write(app=WITHOUT_A_FORM)
    result = project.run(*launcher, "x=1,2").check()
    assert "2 misses, 0 failed" in result.summary
    assert result.out.count("Cannot fingerprint the code of app:compute: task.<global dice> carries a") == 1
    assert "hydra.launcher.cache.code=off" in result.out
    assert project.entries() == []


def test_task_without_source_is_cached_when_the_caller_vouches_for_its_code(
    project: Project, launcher: list[str]
) -> None:
    """cache.code=off takes the code out of the key."""
    project.write(app=WITHOUT_A_FORM)
    project.run(*launcher, "x=1,2", "hydra.launcher.cache.code=off").check()
    assert "2 hits" in project.run(*launcher, "x=1,2", "hydra.launcher.cache.code=off").check().summary


def test_task_from_a_prompt_that_reads_a_lock_runs_without_a_cache(project: Project) -> None:
    """A task function typed into an interpreter reads what has no stable form: the sweep runs, and says so."""
    conf = str(project.folder / "conf")
    program = f"""
import hydra, parcache, threading
lock = threading.Lock()
def task(cfg):
    return cfg.x if not lock.locked() else None

with hydra.initialize_config_dir(config_dir={conf!r}, version_base=None):
    print("results", parcache.sweep(task, overrides=["x=1,2"], backend="serial"))

"""
    found = subprocess.run(
        [sys.executable, "-i"], input=program, capture_output=True, text=True, cwd=project.folder, check=True
    )
    assert "results [1, 2]" in found.stdout
    assert "task.<global lock> carries a _thread.lock" in found.stdout + found.stderr


def test_entry_that_is_damaged_is_a_miss_with_one_warning(project: Project) -> None:
    """Any damage to any file of the store costs a run at the most, and is said; the value is never wrong."""
    project.write(
        call="""
        import hydra, parcache
        from app import main

        with hydra.initialize(config_path="conf", version_base=None):
            print("values", parcache.sweep(main, overrides=["x=1"], backend="process"))
        """
    )
    project.run(script="call.py").check()
    store = project.folder / ".parcache"
    files = sorted(path for path in store.rglob("*") if path.is_file())
    assert {"format.json", "code", "entries", "sources", "sweeps"} <= {
        path.relative_to(store).parts[0] for path in files
    }
    for path in files:
        original = path.read_bytes()
        for damaged in (b"", original[: len(original) // 2], original[:-3] + b"\xff" + original[-2:]):
            path.write_bytes(damaged)
            result = project.run(script="call.py").check()
            assert "values [10]" in result.out
            if path.suffix == ".entry":
                assert (result.out + result.err).count("is damaged") == 1
                assert "0 hits, 1 misses" in result.summary
            path.write_bytes(original)


@pytest.mark.parametrize("what", ["x=1,2,oops", "model=none", "x=[1"])
def test_override_that_does_not_compose_runs_nothing(project: Project, launcher: list[str], what: str) -> None:
    """Errors of composition appear before any job starts, as with Hydra's own launcher."""
    project.write(app=TYPED)
    result = project.run(*launcher, what)
    assert result.code == 1
    assert project.executions() == []


TYPED = """
    import os
    from dataclasses import dataclass
    import hydra
    from hydra.core.config_store import ConfigStore

    @dataclass
    class Config:
        x: int = 1

    ConfigStore.instance().store(name="config", node=Config)

    @hydra.main(config_name="config", version_base=None)
    def main(cfg):
        with open(os.environ["RUNS"], "a") as file:
            file.write(f"{cfg.x}\\n")

    if __name__ == "__main__":
        main()
"""
