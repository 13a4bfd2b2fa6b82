"""Which distributions provide a name, and what they require: the standard library's answers, found faster."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from parcache.keys.distributions import normalized, providers, versions

pytestmark = pytest.mark.any_hydra


def told_by_the_standard_library() -> dict[str, set[str]]:
    """Return every top-level name with its distributions, by the slow way and with Python 3.10's gap filled."""
    found = {name: {normalized(each) for each in names} for name, names in metadata.packages_distributions().items()}
    for distribution in metadata.distributions():
        if distribution.read_text("top_level.txt"):
            continue
        for file in distribution.files or ():
            top = file.parts[0]
            if len(file.parts) > 1 or top.endswith((".py", *EXTENSION_SUFFIXES)):
                name = normalized(distribution.metadata["Name"])
                found.setdefault(top.partition(".")[0], set()).add(name)
    return found


def test_providers_every_installed_name_as_the_standard_library_says() -> None:
    """For every top-level name in this environment the answer is that of ``importlib.metadata``."""
    told = told_by_the_standard_library()
    assert told
    assert {name: set(providers(name)) for name in told} == told


def test_versions_every_installed_distribution_as_the_standard_library_says() -> None:
    """Versions and requirements read from the header lines are those that the whole parse gives."""
    told = {normalized(each.metadata["Name"]): each for each in metadata.distributions()}
    told.pop("parcache", None)  # its own version is left out
    for name, distribution in told.items():
        found = versions([name])
        assert found[name].partition("+")[0] == distribution.version.partition("+")[0]
        for requirement in distribution.requires or ():
            required = normalized(re.split(r"[^A-Za-z0-9._-]", requirement)[0])
            assert "extra" in requirement or required not in told or required in found


ROWS = {
    "package": ("pkg/__init__.py,,", "pkg", True),
    "namespace package": ("pkg/sub/mod.py,,", "pkg", True),
    "single module": ("pkg.py,,", "pkg", True),
    "extension module": (f"pkg{EXTENSION_SUFFIXES[0]},,", "pkg", True),
    "quoted row": ('"pkg/a,b.py",sha256=x,1', "pkg", True),
    "quoted module": ('"pkg.py",sha256=x,1', "pkg", True),
    "with a dot": ("./pkg/__init__.py,,", "pkg", True),
    "longer name": ("pkg2/__init__.py,,", "pkg", False),
    "below another": ("other/pkg/__init__.py,,", "pkg", False),
    "data file": ("pkg.txt,,", "pkg", False),
    "script": ("../../../bin/pkg,,", "pkg", False),
}


@pytest.mark.parametrize("case", ROWS)
def test_providers_row_of_a_record_told_rightly(tmp_path: Path, case: str) -> None:
    """A distribution without declared names provides what its files can be imported as."""
    row, name, provides = ROWS[case]
    info = tmp_path / "some_dist-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Some.Dist\nVersion: 1.0\n\nName: wrong\n")
    (info / "RECORD").write_text(f"{row}\nsome_dist-1.0.dist-info/METADATA,,\n")
    program = f"from parcache.keys.distributions import providers, versions; print(*providers({name!r}))"
    shown = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({str(tmp_path)!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.split() == (["some-dist"] if provides else [])


UNUSUAL: dict[str, dict[str, str]] = {
    "two versions": {
        "some_dist-1.0.dist-info/METADATA": "Name: some-dist\nVersion: 1.0\n",
        "some_dist-2.0.dist-info/METADATA": "Name: some-dist\nVersion: 2.0\n",
    },
    "egg info": {"some_dist.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: some-dist\nVersion: 3.0\n"},
    "egg": {"some_dist-4.0-py3.egg/EGG-INFO/PKG-INFO": "Metadata-Version: 2.1\nName: some-dist\nVersion: 4.0\n"},
    # What it requires is a wheel wherever it is installed; of hydra-core's requirements, older pips make eggs.
    "usual": {
        "Some.Dist-5.0.dist-info/METADATA": "Name: Some.Dist\nVersion: 5.0\nRequires-Dist: cloudpickle\n\nVersion: 6\n"
    },
    "nothing": {},
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_versions_of_any_layout_are_those_of_the_standard_library(tmp_path: Path, case: str) -> None:
    """Eggs and double installations count with the version that the standard library finds; so does what is absent."""
    added = [str(tmp_path)]
    for name, text in UNUSUAL[case].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        if ".egg/" in name:
            added = [str(tmp_path / name.partition("/")[0])]
    program = f"""
import sys
sys.path[:0] = {added!r}
from parcache.keys.distributions import versions
found = versions(["some-dist"])
loaded = "importlib.metadata" in sys.modules
from importlib import metadata
try:
    told = metadata.version("some-dist")
except metadata.PackageNotFoundError:
    told = None
print(found.get("some-dist") == told, "cloudpickle" in found, loaded)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    usual = case in {"usual", "nothing"}
    assert done.stdout.split() == ["True", str(case == "usual"), str(not usual)]
