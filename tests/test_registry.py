"""Backends by name: what is known, what is missing, and what is no backend at all."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parcache.backends import create, known_names
from parcache.backends.process import ProcessBackend
from parcache.errors import (
    BackendNotInstalledError,
    BackendSettingError,
    InvalidBackendError,
    SettingError,
    UnknownBackendError,
)

pytestmark = pytest.mark.any_hydra

BACKENDS = """
    class Whole:
        def __init__(self, queue="short", capacity=1):
            self.queue, self.capacity = queue, capacity
        def start(self, initializer): pass
        def submit(self, function, argument): pass
        def stop(self, *, cancel): pass

    class Open(Whole):
        def __init__(self, **settings):
            super().__init__(**settings)

    class NoSubmit:
        capacity = 1
        def start(self, initializer): pass
        def stop(self, *, cancel): pass

    def made(queue="short"):
        return Whole(queue)

    def made_wrong():
        return NoSubmit()

    constant = 3
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what installs a distribution whose entry points register backends: real metadata on the import path."""

    def install(text: str = BACKENDS, **points: str) -> None:
        (tmp_path / "theirs.py").write_text("".join(line[4:] for line in text.splitlines(keepends=True)))
        metadata = tmp_path / "theirs-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (metadata / "entry_points.txt").write_text("[parcache.backends]\n" + "\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(tmp_path)
        # Another test's module of this name must not be found again.
        monkeypatch.delitem(sys.modules, "theirs", raising=False)

    return install


def test_known_names_are_built_in_and_registered_ones(install: Install) -> None:
    """The known names are the built-in ones and those that installed packages register."""
    before = known_names()
    install(lab="theirs:Whole")
    assert {"process", "serial"} <= set(before)
    assert set(known_names()) == {*before, "lab"}


@pytest.mark.parametrize("name", ["serial", "process", "threading", "dask"])
def test_create_built_in_backend_has_capacity(name: str) -> None:
    """Every built-in backend is made without settings, and takes at least one job."""
    assert create(name, {}).capacity >= 1


def test_create_registered_backend_gets_its_settings(install: Install) -> None:
    """A third party's backend is found by its entry point and made with the settings of its YAML."""
    install(lab="theirs:Whole")
    backend: Any = create("lab", {"queue": "long", "capacity": 7})
    assert (type(backend).__name__, backend.queue, backend.capacity) == ("Whole", "long", 7)


def test_create_registered_function_makes_the_backend(install: Install) -> None:
    """An entry point may be a function that returns the backend."""
    install(lab="theirs:made")
    backend: Any = create("lab", {"queue": "long"})
    assert backend.queue == "long"


def test_create_registered_backend_cannot_take_a_built_in_name(install: Install) -> None:
    """A package that registers a built-in's name does not replace it."""
    install(process="theirs:Whole")
    assert type(create("process", {})) is ProcessBackend


def test_create_unknown_name_lists_the_known_ones(install: Install) -> None:
    """An unknown name is refused with all known ones, a third party's included."""
    install(lab="theirs:Whole")
    with pytest.raises(UnknownBackendError, match=r"'slrum'; known: .*lab.*process.*serial") as caught:
        create("slrum", {})
    assert caught.value.known == known_names()


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("serial", "none"),
        ("process", "fresh_process, slots, stagger_s, threads, workers"),
        ("threading", "workers"),
        (
            "dask",
            "adapt, address, cluster, log_level, memory_limit, scale, threads_per_worker, wait_s, worker_resources, "
            "workers",
        ),
        ("lab", "capacity, queue"),
        ("function", "queue"),
    ],
)
def test_create_unknown_setting_lists_the_known_ones(install: Install, name: str, known: str) -> None:
    """An unknown setting is refused with the known ones and the override to remove."""
    install(lab="theirs:Whole", function="theirs:made")
    wanted = rf"does not take colour; known settings: {known}\. Remove hydra\.launcher\.backend\.colour"
    with pytest.raises(BackendSettingError, match=wanted):
        create(name, {"colour": "red"})


def test_create_backend_that_takes_any_setting_gets_it(install: Install) -> None:
    """A backend with open settings checks them itself."""
    install(lab="theirs:Open")
    backend: Any = create("lab", {"queue": "long"})
    assert backend.queue == "long"


@pytest.mark.parametrize("workers", [0, "two", 1.5, True])
def test_create_process_with_impossible_workers_is_refused(workers: object) -> None:
    """A number of workers that is none is refused with what is accepted."""
    with pytest.raises(SettingError, match=r"hydra\.launcher\.backend\.workers is .*expected a whole number"):
        create("process", {"workers": workers})


def test_create_process_with_negative_workers_leaves_cores_free() -> None:
    """-1 are all cores, -2 all but one, and at least one is left."""
    cores = create("process", {}).capacity // 2
    assert create("process", {"workers": -1}).capacity == 2 * cores
    assert create("process", {"workers": -2}).capacity == 2 * max(1, cores - 1)
    assert create("process", {"workers": -1000}).capacity == 2


def test_create_backend_whose_package_is_missing_names_the_command(install: Install) -> None:
    """A known backend that needs a missing package is refused with the command that installs it."""
    install("    import no_such_package.part\n", lab="theirs:Whole")
    with pytest.raises(BackendNotInstalledError) as caught:
        create("lab", {})
    assert str(caught.value) == (
        "Backend 'lab' needs no_such_package, which is not installed. Install it: pip install no_such_package"
    )


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("slurm", "submitit")])
def test_create_built_in_backend_without_its_extra_names_the_command(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    """A built-in backend whose packages are missing is refused with the extra that brings them."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendNotInstalledError) as caught:
        create(name, {})
    assert str(caught.value) == (
        f"Backend '{name}' needs {package}, which is not installed. Install it: pip install 'parcache[{name}]'"
    )


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("theirs:NoSubmit", "it has no submit"),
        ("theirs:made_wrong", "it has no submit"),
        ("theirs:constant", "it is a int, not a class"),
        ("theirs:Absent", "has no attribute 'Absent'"),
    ],
)
def test_create_entry_point_that_is_no_backend_is_refused(install: Install, target: str, problem: str) -> None:
    """What an entry point names is checked when it is loaded, and refused by what it lacks."""
    install(lab=target)
    with pytest.raises(InvalidBackendError, match=problem) as caught:
        create("lab", {})
    assert caught.value.source == target


@pytest.mark.parametrize("text", ["    1 / 0\n", "    from os import nothing\n", "    def (:\n"])
def test_create_package_that_breaks_on_import_is_refused(install: Install, text: str) -> None:
    """A package that does not import is named, with the original exception as the cause."""
    install(text, lab="theirs:Whole")
    with pytest.raises(InvalidBackendError, match="Backend 'lab' from 'theirs:Whole'") as caught:
        create("lab", {})
    assert type(caught.value.__cause__) in (ZeroDivisionError, ImportError, SyntaxError)


@pytest.mark.parametrize("capacity", [0, -1, "many", None])
def test_create_backend_with_impossible_capacity_is_refused(install: Install, capacity: object) -> None:
    """A backend that takes no job at a time is refused before it is started."""
    install(lab="theirs:Whole")
    with pytest.raises(InvalidBackendError, match=r"its capacity is .*, not a number of 1 or more"):
        create("lab", {"capacity": capacity})
