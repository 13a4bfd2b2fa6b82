"""Imports point down only, and what Hydra loads at every start of every app is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_hydra

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {
    path: path.relative_to(ROOT / base).with_suffix("").parts
    for base in ("src", ".")
    for path in sorted((ROOT / base / ("parcache" if base == "src" else "hydra_plugins")).rglob("*.py"))
}
# docs/design.md, section 2. A package of the project that is not listed here has no place in it.
FLOORS = {
    "parcache.errors": 0,
    "parcache.home": 0,
    "parcache.model": 0,
    "parcache.pickling": 0,
    "parcache.__version__": 0,  # a constant of the facade
    "parcache.keys": 1,
    "parcache.store": 1,
    "parcache.backends": 2,
    "parcache.progress": 2,
    "parcache.run": 3,
    "parcache.hydra": 4,
    "parcache.api": 5,
    "parcache.report": 5,
    "parcache.cli": 6,
    "parcache.__main__": 7,
    "parcache": 7,  # the facade, which names the API
    "hydra_plugins": 8,
}
WITHOUT_HYDRA = (
    "parcache.errors",
    "parcache.home",
    "parcache.model",
    "parcache.pickling",
    "parcache.keys",
    "parcache.store",
    "parcache.backends",
    "parcache.progress",
    "parcache.run",
)
HEAVY = ("joblib", "submitit", "dask", "distributed", "numpy", "rich", "cloudpickle", "tblib", "pandas")


def name_of(parts: tuple[str, ...]) -> str:
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def place_of(module: str) -> str:
    """Return the package of the list above that a module of the project belongs to."""
    if module.partition(".")[0] != "parcache":
        return "hydra_plugins"
    return ".".join(module.split(".")[:2])


def is_for_types_only(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def nodes_at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node, also inside functions, except what only a type checker sees."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.stmt) and is_for_types_only(child):
            for other in child.orelse:  # type: ignore[attr-defined] # an If has one
                yield other
                yield from nodes_at_run_time(other)
            continue
        yield child
        yield from nodes_at_run_time(child)


def imports_of(path: Path, modules: set[str]) -> set[str]:
    """Return the modules that a file imports when it runs; of the project's own, the very module that is meant."""
    found = set()
    for node in nodes_at_run_time(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name != "parcache"}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "parcache":
            found.add(f"parcache.{node.attr}")  # `import parcache` is as good as what is taken from it
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                part = f"{node.module}.{alias.name}"
                found.add(part if part in modules or part in FLOORS else str(node.module))
    return found


MODULES = {name_of(parts) for parts in SOURCES.values()}
CASES = [pytest.param(path, name_of(parts), id=name_of(parts)) for path, parts in SOURCES.items()]


def test_sources_are_found() -> None:
    """The tests below look at the whole project."""
    assert {
        "parcache",
        "parcache.store.codec",
        "parcache.hydra.launch",
        "hydra_plugins.hydra_parcache.plugins",
    } <= MODULES


@pytest.mark.parametrize(("path", "module"), CASES)
def test_module_imports_point_down(path: Path, module: str) -> None:
    """A module imports of the project only its own package and the floors below it."""
    here = place_of(module)
    for imported in imports_of(path, MODULES):
        if imported.partition(".")[0] in ("parcache", "hydra_plugins"):
            there = place_of(imported)
            assert there == here or FLOORS[there] < FLOORS[here], f"{module} imports {imported}"


@pytest.mark.parametrize(("path", "module"), [case for case in CASES if place_of(str(case.values[1])) in WITHOUT_HYDRA])
def test_module_below_the_border_does_not_know_hydra(path: Path, module: str) -> None:
    """Everything below ``parcache.hydra`` works on plain data, without Hydra and OmegaConf."""
    roots = {imported.partition(".")[0] for imported in imports_of(path, MODULES)}
    assert not roots & {"hydra", "omegaconf", "hydra_plugins"}


# Tests that are shipped: pytest rewrites their asserts.
SUITES = {"parcache.testing"}


@pytest.mark.parametrize(("path", "module"), [case for case in CASES if case.values[1] not in SUITES])
def test_module_checks_input_without_assert(path: Path, module: str) -> None:
    """``python -O`` takes no check away: there is no assert statement."""
    lines = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
    assert lines == []


@pytest.mark.parametrize(("path", "module"), CASES)
def test_module_uses_optional_and_heavy_packages_late(path: Path, module: str) -> None:
    """Packages of the extras, and numpy and joblib, are imported in the function that needs them."""
    top = ast.Module([node for node in ast.parse(path.read_text()).body if not is_for_types_only(node)], [])
    late = {"submitit", "dask", "distributed", "dask_jobqueue", "numpy", "joblib", "pandas"}
    found = set()
    for node in top.body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    assert not found & late


def loaded_after(program: str) -> set[str]:
    """Return the top-level modules in a fresh interpreter that has run a program."""
    shown = "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program + shown], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_plugin_imported_by_hydra_leaves_heavy_packages_out() -> None:
    """Loading the plugin, which Hydra does at every start of every app, loads nothing that Hydra has not."""
    program = "import hydra\nimport hydra_plugins.hydra_parcache.plugins"
    assert not loaded_after(program) & set(HEAVY)


def test_plugins_discovered_by_hydra_leave_heavy_packages_out() -> None:
    """Hydra's own discovery of plugins loads them neither."""
    program = "from hydra.core.plugins import Plugins\nPlugins.instance()\nimport hydra_plugins.hydra_parcache.plugins"
    assert not loaded_after(program) & set(HEAVY)


def test_package_imported_alone_does_not_load_hydra() -> None:
    """``import parcache`` is light: Hydra comes with the API when that is first asked for."""
    assert not loaded_after("import parcache") & {"hydra", "omegaconf", *HEAVY}


def test_floors_below_the_border_imported_alone_do_not_load_hydra() -> None:
    """Whatever stands below the border runs without Hydra being loaded, also indirectly."""
    below = sorted(module for module in MODULES if place_of(module) in WITHOUT_HYDRA)
    assert not loaded_after("\n".join(f"import {module}" for module in below)) & {"hydra", "omegaconf"}


def test_plugin_imported_by_hydra_imports_nothing_of_parcache() -> None:
    """An app that does not use parcache does not load it either: it has found the folder of configs, no more."""
    program = (
        "import sys\n"
        "from hydra._internal.utils import create_config_search_path\n"
        "from hydra.core.plugins import Plugins\n"
        "Plugins.instance()\n"
        "path = create_config_search_path(None).get_path()\n"
        "assert any(item.provider == 'parcache' for item in path), path\n"
        "print(*sorted(name for name in sys.modules if name.partition('.')[0] == 'parcache'))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
