"""The fingerprint: what changes it, and what leaves it alone."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from parcache.keys.units import tabulate
from tests.fingerprints import Code, Server

pytestmark = pytest.mark.any_hydra

PROJECT = {
    "app.py": "import helper\n\ndef main(cfg):\n    return helper.f(cfg)\n",
    "helper.py": "def f(x):\n    return x + 1\n",
    "models/__init__.py": "",
    "models/a.py": "from models import common\nclass A: pass\n",
    "models/b.py": "from models import common\nclass B: pass\n",
    "models/common.py": "X = 1\n",
    "unrelated.py": "x = 1\n",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.fixture
def code(tmp_path: Path, server: Server) -> Code:
    return Code(tmp_path / "project", server).write(PROJECT)


def test_fingerprint_comments_docstrings_formatting_same_digest(code: Code) -> None:
    """Comments, docstrings and formatting do not count."""
    before = code.take()
    code.write({"helper.py": "'''About.'''\n# why\ndef f( x ):\n    'Add one.'\n    return (x+1)  # one more\n"})
    assert code.take().digest == before.digest


def test_fingerprint_docstring_read_another_digest(code: Code) -> None:
    """A docstring counts where reached code reads docstrings, be it in another module."""
    code.write({"app.py": "import helper\ndef main(cfg):\n    return helper.f.__doc__\n"})
    before = code.take()
    code.write({"helper.py": "def f(x):\n    'About.'\n    return x + 1\n"})
    assert code.take().digest != before.digest


def test_fingerprint_source_read_comment_counts(code: Code) -> None:
    """A comment counts where reached code reads source text."""
    code.write({"app.py": "import helper, inspect\ndef main(cfg):\n    return inspect.getsource(helper)\n"})
    before = code.take()
    code.write({"helper.py": PROJECT["helper.py"] + "# more\n"})
    assert code.take().digest != before.digest


def test_fingerprint_folder_moved_same_digest(code: Code, server: Server) -> None:
    """The folder that a project lies in does not count."""
    before = code.take("models.a.A")
    moved = code.folder.parent / "elsewhere" / "deeper"
    shutil.copytree(code.folder, moved)
    assert Code(moved, server).take("models.a.A").digest == before.digest


def test_fingerprint_run_as_program_same_as_imported(code: Code) -> None:
    """A task in the program itself has the fingerprint that it has when its module is imported."""
    assert code.take(task=None, main="app.py").digest == code.take().digest


def test_fingerprint_program_that_sweeps_another_modules_task_does_not_count(code: Code) -> None:
    """A script or notebook that sweeps a task from another module shares the results of the command line."""
    code.write({"run.py": "import app\n"})
    before = code.take()
    assert code.take(main="run.py").digest == before.digest


def test_fingerprint_program_on_the_command_line_counts_with_what_it_imports(code: Code) -> None:
    """What a command line's program imports for its side effects counts, though the task does not know of it."""
    code.write({"run.py": "import registered\nimport app\n", "registered.py": "import os\nos.environ['X'] = '1'\n"})
    before = code.take(main="run.py", with_program=True)
    code.write({"registered.py": "import os\nos.environ['X'] = '2'\n"})
    assert code.take(main="run.py", with_program=True).digest != before.digest


def test_fingerprint_program_without_suffix_is_followed(code: Code) -> None:
    """A program needs no suffix to be read as Python."""
    code.write({"train": "import helper\ndef main(cfg):\n    return helper.f(cfg)\n"})
    before = code.take(task=None, main="train")
    code.write({"helper.py": "def f(x):\n    return x + 2\n"})
    assert code.take(task=None, main="train").digest != before.digest


def test_fingerprint_other_models_edited_same_digest(code: Code) -> None:
    """Editing model B does not change what a job has that names A only."""
    before = code.take("models.a.A")
    code.write({"models/b.py": "class B: x = 1\n"})
    assert code.take("models.a.A").digest == before.digest


@pytest.mark.parametrize("edited", ["models/a.py", "models/common.py", "models/__init__.py", "helper.py", "app.py"])
def test_fingerprint_named_model_edited_another_digest(code: Code, edited: str) -> None:
    """Editing a model, what it imports, its package or the task's code changes what a job has that names the model."""
    before = code.take("models.a.A")
    code.write({edited: PROJECT[edited] + "\nassert True\n"})
    assert code.take("models.a.A").digest != before.digest


def test_fingerprint_config_names_importer_everything_counts(code: Code) -> None:
    """A config that names import_module itself can mean any module."""
    before = code.take("importlib.import_module")
    code.write({"unrelated.py": "x = 2\n"})
    assert code.take("importlib.import_module").digest != before.digest


def test_fingerprint_absent_import_appears_another_digest(code: Code) -> None:
    """An optional module that was missing and is there now changes the digest."""
    code.write({"helper.py": "try:\n    import fast\nexcept ImportError:\n    fast = None\ndef f(x): return x\n"})
    before = code.take()
    code.write({"fast.py": ""})
    assert code.take().digest != before.digest


def test_fingerprint_absent_submodule_appears_another_digest(code: Code) -> None:
    """An optional submodule that was missing and is there now changes the digest."""
    optional = "try:\n    from models import fast\nexcept ImportError:\n    fast = None\n"
    code.write({"helper.py": f"{optional}def f(x): return fast\n"})
    before = code.take()
    code.write({"models/fast.py": ""})
    assert code.take().digest != before.digest


def test_fingerprint_module_becomes_package_another_digest(code: Code) -> None:
    """A package that shadows a module of its name changes the digest."""
    before = code.take()
    code.write({"helper/__init__.py": "def f(x): return x\n"})
    assert code.take().digest != before.digest


def test_fingerprint_module_renamed_another_digest(code: Code) -> None:
    """A module counts under its name."""
    before = code.take()
    code.write({"helper2.py": PROJECT["helper.py"], "app.py": PROJECT["app.py"].replace("helper", "helper2")})
    assert code.take().digest != before.digest


def test_fingerprint_unparsable_module_counts_by_its_bytes(code: Code) -> None:
    """A file that is no Python counts byte by byte."""
    code.write({"app.py": "def main(cfg):\n    import helper\n", "helper.py": "def"})
    before = code.take()
    code.write({"helper.py": "def "})
    assert code.take().digest != before.digest


def test_fingerprint_warnings_as_errors_source_is_still_followed() -> None:
    """A source that Python warns about is taken apart, whatever warnings are made of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not tabulate(b'import helper\nPATTERN = "\\d"\n', "app", False).is_whole


def test_fingerprint_compiled_module_what_it_may_import_counts(code: Code) -> None:
    """Beside a compiled module everything counts that it could import, and the construct is named."""
    code.write({"app.py": "def main(cfg):\n    import native\n", "native.abi3.so": "1"})
    before = code.take()
    assert any("compiled code" in str(item) for item in before.dynamic)
    code.write({"unrelated.py": "x = 2\n"})
    assert code.take().digest != before.digest


def test_fingerprint_extension_module_counts_by_its_bytes(code: Code) -> None:
    """A compiled module counts by its content."""
    code.write({"app.py": "def main(cfg):\n    import native\n", "native.abi3.so": "1"})
    before = code.take()
    code.write({"native.abi3.so": "2"})
    assert code.take().digest != before.digest


def test_fingerprint_file_under_two_names_follows_both(code: Code) -> None:
    """A file that is reached under two names has the relative imports of each."""
    code.write({"app.py": "def main(cfg):\n    import both\n    import q.both\n    return both.x\n"})
    code.write({"q/__init__.py": "", "q/both.py": "from .deep import x\n", "q/deep.py": "x = 1\n"})
    before = code.take(path=("", "q"))
    code.write({"q/deep.py": "x = 2\n"})
    assert code.take(path=("", "q")).digest != before.digest


def install(folder: Path, version: str, body: str = "", direct_url: str = "", requires: str = "") -> None:
    """Make a folder look as if pip had put a distribution `fakelib` there."""
    info = folder / "fakelib-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: fakelib\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata + (f"Requires-Dist: {requires}\n" if requires else ""))
    (info / "RECORD").write_text(
        f"fakelib/__init__.py,sha256={len(body) and body.strip()[-1]},1\nfakelib-1.dist-info/RECORD,,\n"
    )
    if direct_url:
        (info / "direct_url.json").write_text(direct_url)
    (folder / "fakelib").mkdir(exist_ok=True)
    (folder / "fakelib" / "__init__.py").write_text(body)


SITE = "env/lib/site-packages"
USES = {"app.py": "def main(cfg):\n    import fakelib\n"}


def test_fingerprint_third_party_version_another_digest(code: Code) -> None:
    """A third-party distribution counts by its version."""
    code.write(USES)
    install(code.folder / SITE, "1.0")
    before = code.take(path=("", SITE))
    install(code.folder / SITE, "1.1")
    after = code.take(path=("", SITE))
    assert (before.distributions["fakelib"], after.distributions["fakelib"]) == ("1.0", "1.1")
    assert after.digest != before.digest


def test_fingerprint_third_party_files_do_not_count(code: Code) -> None:
    """The files of a distribution that came from an index are its version's."""
    code.write(USES)
    install(code.folder / SITE, "1.0")
    before = code.take(path=("", SITE))
    install(code.folder / SITE, "1.0", "x = 1\n")
    assert code.take(path=("", SITE)).digest == before.digest


def test_fingerprint_installed_from_folder_files_count(code: Code) -> None:
    """A distribution that was installed from a folder counts by its files: it changes without a new version."""
    code.write(USES)
    install(code.folder / SITE, "1.0", "x = 1\n", '{"url": "file:///p", "dir_info": {}}')
    before = code.take(path=("", SITE))
    install(code.folder / SITE, "1.0", "x = 2\n", '{"url": "file:///p", "dir_info": {}}')
    assert code.take(path=("", SITE)).digest != before.digest


def test_fingerprint_requirement_of_third_party_counts(code: Code) -> None:
    """What a reached distribution requires counts by its version as well."""
    code.write(USES)
    install(code.folder / SITE, "1.0", requires="numpy>=1")
    assert "numpy" in code.take(path=("", SITE)).distributions


def test_fingerprint_third_party_without_distribution_counts_by_its_files(code: Code) -> None:
    """A package that no distribution provides counts by its files, also where it imports them dynamically."""
    code.write({**USES, f"{SITE}/fakelib/__init__.py": "exec('')", f"{SITE}/fakelib/part.py": "", f"{SITE}/o.py": ""})
    before = code.take(path=("", SITE))
    assert before.modules == {"app", "fakelib", "fakelib.part"}
    code.write({f"{SITE}/fakelib/part.py": "x = 1"})
    assert code.take(path=("", SITE)).digest != before.digest


@pytest.mark.parametrize("package", ["numpy", "yaml", "rich"])
def test_fingerprint_third_party_package_counts_as_distribution(code: Code, package: str) -> None:
    """Installed packages count as distributions, whether or not their metadata lists top-level names."""
    code.write({"app.py": f"def main(cfg):\n    import {package}\n"})
    found = code.take()
    assert found.modules == {"app"}
    assert found.distributions


def test_fingerprint_platform_and_own_modules_do_not_count(code: Code) -> None:
    """Neither the standard library nor parcache itself is part of a fingerprint."""
    code.write({"app.py": "import os, sys, json.decoder, parcache.model\ndef main(cfg): pass\n"})
    found = code.take()
    assert found.modules == {"app"}
    assert found.distributions == {}
