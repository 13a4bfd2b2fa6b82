"""Parcache works as people install it: from a wheel, from an editable copy, and with a backend from elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
IGNORED = shutil.ignore_patterns(
    ".git", ".venv*", "envs", ".*_cache", ".hypothesis", "__pycache__", "multirun", "outputs"
)
APP = """
import os
import hydra

@hydra.main(config_path=None, version_base=None)
def main(cfg):
    print("ran", cfg.x, "in", os.getpid())
    if cfg.x == 99:
        os._exit(7)
    return cfg.x * 10

if __name__ == "__main__":
    main()
"""
DISCOVERY = """
import json
import parcache, parcache.store.store
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path

launchers = sorted(plugin.__name__ for plugin in Plugins.instance().discover(Launcher))
loader = ConfigLoaderImpl(config_search_path=create_config_search_path(None))
print(json.dumps({
    "from": parcache.__file__,
    "launchers": launchers,
    "backends": loader.get_group_options("hydra/launcher/backend"),
}))
"""


def run(*command: object, folder: Path | None = None, **env: str) -> str:
    """Run a program to its successful end in surroundings without this project, and return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PARCACHE_", "PYTHON"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**kept, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


class Environment:
    """A virtual environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        run(sys.executable, "-m", "venv", "--without-pip", folder)

    def install(self, *what: object) -> None:
        run(sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet", *what)

    def sweep(self, app: Path, *overrides: str) -> str:
        return run(self.python, app.name, "-m", "hydra/launcher=parcache", *overrides, folder=app.parent)

    def assert_works(self, app: Path, *, source: Path) -> None:
        """Check that Hydra discovers the plugin and the profiles, that the code lies below ``source``, and a sweep."""
        found = json.loads(run(self.python, "-c", DISCOVERY, folder=app.parent))
        assert Path(found["from"]).is_relative_to(source)
        assert "ParcacheLauncher" in found["launchers"]
        assert set(found["backends"]) == {path.stem for path in (ROOT / "conf/hydra/launcher/backend").glob("*.yaml")}
        overrides = ("hydra/launcher/backend=laptop", "+x=1,2")
        assert "2 jobs: 0 hits, 2 misses, 0 failed" in self.sweep(app, *overrides)
        assert "2 jobs: 2 hits, 0 misses, 0 failed" in self.sweep(app, *overrides)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app" / "app.py"
    path.parent.mkdir()
    path.write_text(APP)
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"), ROOT)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Iterator[Environment]:
    """An environment with the running Hydra, and with all that parcache needs."""
    folder = tmp_path_factory.mktemp("environment")
    environment = Environment(folder / "venv")
    environment.install(wheel, f"hydra-core=={version('hydra-core')}", f"omegaconf=={version('omegaconf')}")
    yield environment
    shutil.rmtree(folder)


def built(folder: Path, project: Path) -> Path:
    """Build the wheel of a project from a copy, which leaves no trace in the original."""
    copy = folder / f"{project.name}-copy"
    shutil.copytree(project, copy, ignore=IGNORED)
    wheels = folder / f"{project.name}-wheel"
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, copy)
    return next(wheels.glob("*.whl"))


def test_wheel_holds_package_plugin_and_profiles_only(wheel: Path) -> None:
    """The wheel holds both import roots, the profiles and the marker of types, and nothing of the tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {
        "parcache/py.typed",
        "parcache/conf/hydra/launcher/backend/laptop.yaml",
        "parcache/conf/hydra/launcher/backend/debug.yaml",
        "hydra_plugins/hydra_parcache/plugins.py",
    } <= names
    roots = {name.partition("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"parcache", "hydra_plugins"}
    assert "hydra_plugins/__init__.py" not in names  # a namespace package, shared with other plugins


def test_installed_from_wheel_works(environment: Environment, wheel: Path, app: Path) -> None:
    """Installed from a wheel, parcache is discovered by Hydra, its profiles are found, and a sweep runs."""
    environment.install("--no-deps", "--force-reinstall", wheel)
    environment.assert_works(app, source=environment.folder)


def test_installed_editable_works(environment: Environment, tmp_path: Path, app: Path) -> None:
    """Installed editable, parcache is discovered by Hydra, its profiles are found, and a sweep runs."""
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=IGNORED)
    environment.install("--no-deps", "--force-reinstall", "--editable", copy)
    environment.assert_works(app, source=copy)


@pytest.fixture(scope="module")
def with_example(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install examples/custom_backend into a folder of its own; return the surroundings that see it."""
    folder = tmp_path_factory.mktemp("example")
    target = folder / "target"
    wheel = built(folder, ROOT / "examples" / "custom_backend")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel)
    return {"PYTHONPATH": str(target)}


def test_custom_backend_installed_runs_a_sweep_and_hits(with_example: dict[str, str], app: Path) -> None:
    """A third party's package adds a backend and its config: every job has a process of its own, then all are hits."""
    command = (sys.executable, app.name, "-m", "hydra/launcher=parcache", "hydra/launcher/backend=fresh", "+x=1,2,3")
    first = run(*command, folder=app.parent, **with_example)
    assert "3 jobs: 0 hits, 3 misses, 0 failed" in first
    assert len({line.partition(" in ")[2] for line in first.splitlines() if line.startswith("ran ")}) == 3
    assert "3 jobs: 3 hits, 0 misses, 0 failed" in run(*command, folder=app.parent, **with_example)


def test_custom_backend_passes_the_contract_of_backends(with_example: dict[str, str], tmp_path: Path) -> None:
    """The example's own tests are the contract's, by one line, and none is skipped."""
    tests = ROOT / "examples" / "custom_backend" / "tests"
    shutil.copytree(tests, tmp_path / "tests")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert "6 passed" in run(*command, folder=tmp_path, **with_example)


def test_custom_backend_stores_what_other_backends_hit(with_example: dict[str, str], app: Path) -> None:
    """Where a job runs does not belong to its key: what one backend stored, another hits."""
    command = (sys.executable, app.name, "-m", "hydra/launcher=parcache", "+x=1,2")
    run(*command, "hydra/launcher/backend=fresh", folder=app.parent, **with_example)
    again = run(*command, "hydra/launcher/backend=serial", folder=app.parent, **with_example)
    assert "2 jobs: 2 hits, 0 misses, 0 failed" in again


def test_custom_backend_job_that_kills_its_process_fails_alone(with_example: dict[str, str], app: Path) -> None:
    """A job whose process dies fails with its exit code, and the others' results are stored."""
    command = [sys.executable, app.name, "-m", "hydra/launcher=parcache", "hydra/launcher/backend=fresh", "+x=99,1,2"]
    env = {**os.environ, **with_example}
    env.pop("PARCACHE_DIR")
    done = subprocess.run(command, cwd=app.parent, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "its process ended without an answer (exit code 7)" in done.stdout + done.stderr
    assert "3 jobs: 0 hits, 3 misses, 1 failed" in done.stdout
    assert len(list((app.parent / ".parcache" / "entries").glob("*/*.entry"))) == 2
