"""Fixtures for all tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.plugins import Plugins
from hypothesis import HealthCheck, settings

from parcache.store.sweeps import line
from tests.editing import Theatre
from tests.terminals import Displayed, program_of_a_batch

HYDRA_13 = hydra.__version__.startswith("1.3")
# The property under which a test records how much it has done.
COMPARED = "compositions compared with Hydra's"

# Who starts the tests in the background, or by nohup, ignores these; programs under test inherit that.
for _number, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)

# How long an example takes is the machine's affair. In CI the profile that this adds to has it so already.
settings.register_profile(
    "parcache",
    parent=settings.default,
    deadline=None,
    suppress_health_check={*settings.default.suppress_health_check, HealthCheck.too_slow},
)
settings.load_profile("parcache")

# Hydra 1.4 fills its config store with plugins only when somebody asks for them.
Plugins.instance()


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give every test a store of its own, whatever the caller's environment says."""
    monkeypatch.setenv("PARCACHE_DIR", str(tmp_path_factory.mktemp("store") / "s"))
    monkeypatch.delenv("PARCACHE_MODE", raising=False)
    folder = Path.cwd()
    yield
    os.chdir(folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much the property tests of composing have compared."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    counts = [number for report in reports for name, number in report.user_properties if name == COMPARED]
    if counts:
        terminalreporter.write_line(f"{sum(counts)} {COMPARED}")


@dataclass
class Result:
    """What a program did."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> str:
        """Return the end-of-sweep line, of which there is exactly one."""
        lines = [line for line in self.out.splitlines() if " misses, " in line]
        assert len(lines) == 1, self.out + self.err
        return lines[0].partition("] ")[2]

    def check(self) -> Result:
        """Insist that it succeeded."""
        assert self.code == 0, self.out + self.err
        return self


class Project:
    """A user's project in a folder of its own: files to write, programs to run, executions to count."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.runs = folder / "runs.txt"
        self.env = dict(env or {})

    def write(self, **files: str) -> Project:
        """Write files: ``__`` in a name is a folder, Python unless a suffix is given by ``_yaml`` or ``_txt``."""
        for name, text in files.items():
            path = name.replace("__init__", "\0").replace("__", "/").replace("\0", "__init__")
            for suffix in ("yaml", "txt"):
                if path.endswith("_" + suffix):
                    path = path.removesuffix("_" + suffix) + "." + suffix
                    break
            else:
                path += ".py"
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            before = target.stat().st_mtime_ns if target.exists() else 0
            target.write_text(textwrap.dedent(text))
            if target.stat().st_mtime_ns < before + 2_000_000_000:
                # Python takes bytecode for valid by size and second: an edit that is to be seen needs another one.
                stamp = before - 1_000_000_000
                os.utime(target, ns=(stamp, stamp))
        return self

    def run(self, *overrides: str, script: str = "app.py", env: Mapping[str, str] | None = None) -> Result:
        """Run a program to its end."""
        return self.start(*overrides, script=script, env=env).finish()

    def start(
        self,
        *overrides: str,
        script: str = "app.py",
        env: Mapping[str, str] | None = None,
        to: Path | None = None,
        **more: Any,
    ) -> Running:
        """Start a program; ``to`` is the file for all that it prints, which can be read meanwhile."""
        surroundings = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PARCACHE_")},
            "RUNS": str(self.runs),
            "PYTHONWARNINGS": "ignore",
            "PYTHONDONTWRITEBYTECODE": "",  # stale bytecode is one of the traps
            **self.env,
            **(env or {}),
        }
        with contextlib.ExitStack() as stack:
            out = subprocess.PIPE if to is None else stack.enter_context(to.open("w"))
            process = subprocess.Popen(
                [sys.executable, script, *overrides],
                cwd=self.folder,
                env=surroundings,
                stdout=out,
                stderr=subprocess.PIPE if to is None else subprocess.STDOUT,
                text=True,
                **more,
            )
        _running.append(process)
        return Running(process, to)

    def executions(self) -> list[str]:
        """Return what the task function wrote each time it ran, in the order in which it ran."""
        return self.runs.read_text().split() if self.runs.exists() else []

    def entries(self) -> list[Path]:
        """Return the files of all entries in the project's store."""
        return sorted((self.folder / ".parcache" / "entries").glob("*/*.entry"))

    def remember(self, times_ms: Mapping[str, int]) -> None:
        """Have the store's records say how long jobs took, by their overrides: what was measured is chance."""
        for path in (self.folder / ".parcache" / "sweeps").iterdir():
            lines = []
            for data in path.read_bytes().splitlines(keepends=True):
                kind, *items = json.loads(data[9:])
                if kind == "times":
                    items = [[[config, times_ms[" ".join(names)], names] for config, _, names in items[0]]]
                lines.append(line(kind, *items))
            path.write_bytes(b"".join(lines))


@dataclass
class Running:
    """A program that runs."""

    process: subprocess.Popen[str]
    to: Path | None = None

    def finish(self) -> Result:
        """Wait for its end."""
        try:
            out, err = self.process.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"the program does not end: {self.process.args}")
        return Result(self.process.returncode, out if self.to is None else self.to.read_text(), err or "")


_running: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def end_programs() -> Iterator[None]:
    """End what a failed test has left: it would go on beside the next ones."""
    yield
    while _running:
        process = _running.pop()
        if process.returncode is None:
            process.kill()
            process.communicate()


APP = """
    import os
    import hydra
    import helper

    @hydra.main(config_path="conf", config_name="config", version_base=None)
    def main(cfg):
        with open(os.environ["RUNS"], "a") as file:
            file.write(f"{cfg.x}\\n")
        return helper.compute(cfg)

    if __name__ == "__main__":
        main()
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take which backend the tests that run on each of them are to run on."""
    parser.addoption("--backend", help="run the tests that every backend has to pass on this one alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs on another backend than the one that was asked for."""
    wanted = config.getoption("--backend")
    if wanted is None:
        return
    others = [item for item in items if getattr(item, "callspec", None) and _backend_of(item) not in (None, wanted)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in set(others)]


def _backend_of(item: pytest.Item) -> object:
    return item.callspec.params.get("backend")  # type: ignore[attr-defined] # it has been looked for


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A small app with a helper module: x goes in, x * 10 comes out."""
    return Project(tmp_path / "project").write(
        app=APP,
        helper="def compute(cfg):\n    return cfg.x * 10\n",
        conf__config_yaml="x: 1\n",
    )


@pytest.fixture(params=["serial", "process", "threading"])
def backend(request: pytest.FixtureRequest) -> str:
    """Name each built-in backend: the contract holds for all of them."""
    return str(request.param)


@pytest.fixture
def launcher(backend: str) -> list[str]:
    """Return the overrides that choose parcache with each backend."""
    return ["-m", "hydra/launcher=parcache", f"hydra/launcher/backend={backend}"]


@pytest.fixture
def apart(launcher: list[str], backend: str) -> list[str]:
    """Return the overrides that choose each backend so that jobs may set what belongs to their process."""
    return [*launcher, "hydra.launcher.backend.workers=1"] if backend == "threading" else launcher


@pytest.fixture(scope="session")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """Return what plays the edits' cases: one for all that a test process runs."""
    found = Theatre(tmp_path_factory.mktemp("edits"))
    yield found
    found.close()


@pytest.fixture
def displayed(tmp_path: Path) -> Displayed:
    """Return what starts a program with a batch and its display under a pseudo-terminal."""
    return partial(program_of_a_batch, tmp_path)
