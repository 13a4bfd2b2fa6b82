"""Sweeps whose jobs read files: what is read counts, as it was, and nothing else does."""

from __future__ import annotations

import os
import shutil

import pytest

from parcache.store.entry import unpack
from tests.conftest import Project, Result

SERIAL = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial"]
HITS = "1 hits, 0 misses"
MISSES = "0 hits, 1 misses"


def reading(project: Project, body: str, head: str = "") -> Project:
    """Make the helper's compute() of this body; ``HERE`` is the project's folder."""
    lines = ["import os, json, glob, shutil, tempfile, threading", "from pathlib import Path"]
    lines += ["HERE = os.path.dirname(os.path.abspath(__file__))", *head.splitlines(), "def compute(cfg):"]
    lines += [f"    {line}" for line in body.splitlines()]
    return project.write(helper="\n".join(lines) + "\n")


def data(project: Project, **files: str) -> None:
    """Write files into the project's data folder, exactly as given."""
    (project.folder / "data").mkdir(exist_ok=True)
    for name, text in files.items():
        (project.folder / "data" / name).write_text(text)


def ran(result: Result) -> str:
    """Return the hits and misses in a sweep's summary."""
    return result.check().summary.partition(": ")[2].partition(", 0 failed")[0]


def inputs_of(project: Project) -> dict[str, str]:
    """Return the kinds of the inputs, by path, that all of the project's entries have alike."""
    found = [unpack(path.read_bytes(), str(path), path.stem).inputs() for path in project.entries()]
    kinds = [{each.path: each.kind for each in inputs} for inputs in found]
    assert kinds
    assert all(each == kinds[0] for each in kinds)
    return kinds[0]


OPEN = 'return open(os.path.join(HERE, "data", "a")).read()'


def test_input_edited_is_a_miss_and_going_back_a_hit(project: Project, launcher: list[str]) -> None:
    """Another content is a miss; the earlier content hits again without running, and so does the other one."""
    reading(project, OPEN)
    for text, expected in [("one", MISSES), ("one", HITS), ("two", MISSES), ("one", HITS), ("two", HITS)]:
        data(project, a=text)
        assert ran(project.run(*launcher, "x=1")) == expected
    assert project.executions() == ["1", "1"]
    assert inputs_of(project) == {"data/a": "file"}


def test_input_touched_is_a_hit(project: Project, launcher: list[str]) -> None:
    """The same content with another time is the same input."""
    reading(project, OPEN)
    data(project, a="one")
    project.run(*launcher, "x=1").check()
    os.utime(project.folder / "data" / "a", (1, 1))
    assert ran(project.run(*launcher, "x=1")) == HITS


def test_input_edited_with_its_size_and_time_kept_is_a_miss(project: Project) -> None:
    """A modification time that was set back deceives nobody."""
    reading(project, OPEN)
    data(project, a="one")
    path = project.folder / "data" / "a"
    os.utime(path, (1, 1))
    project.run(*SERIAL, "x=1").check()
    data(project, a="two")
    os.utime(path, (1, 1))
    assert ran(project.run(*SERIAL, "x=1")) == MISSES


def test_input_of_one_job_does_not_concern_another(project: Project, launcher: list[str]) -> None:
    """Each job counts what it has read itself."""
    reading(project, 'return open(os.path.join(HERE, "data", f"f{cfg.x}")).read()')
    data(project, f1="1", f2="2", f3="3")
    project.run(*launcher, "x=1,2,3").check()
    data(project, f2="22")
    assert ran(project.run(*launcher, "x=1,2,3")) == "2 hits, 1 misses"


def test_input_folder_listed_with_a_new_file_is_a_miss(project: Project, launcher: list[str]) -> None:
    """A new name in a folder that a job has listed is a miss; without it the earlier result is back."""
    reading(project, 'return sorted(os.path.basename(p) for p in glob.glob(os.path.join(HERE, "data", "*.csv")))')
    data(project, **{"a.csv": "1"})
    project.run(*launcher, "x=1").check()
    data(project, **{"b.csv": "2"})
    assert ran(project.run(*launcher, "x=1")) == MISSES
    (project.folder / "data" / "b.csv").unlink()
    assert ran(project.run(*launcher, "x=1")) == HITS


def test_input_project_folder_listed_counts_without_the_sweeps_own(project: Project, launcher: list[str]) -> None:
    """Where the job lists the project's folder, another sweep directory is no new name, and another file is."""
    reading(project, "return sorted(os.listdir(HERE))")
    project.env["RUNS"] = os.devnull
    project.run(*launcher, "x=1").check()
    assert ran(project.run(*launcher, "x=1", "hydra.sweep.dir=there/deep")) == HITS
    (project.folder / "new").touch()
    assert ran(project.run(*launcher, "x=1", "hydra.sweep.dir=there/deep")) == MISSES


def test_input_absent_that_appears_is_a_miss(project: Project, launcher: list[str]) -> None:
    """A file that was looked for in vain counts: once it is there, the job runs again."""
    body = 'try:\n    return open(os.path.join(HERE, "data", "extra")).read()\nexcept FileNotFoundError:\n    return 0'
    reading(project, body)
    data(project)
    assert ran(project.run(*launcher, "x=1")) == MISSES
    assert ran(project.run(*launcher, "x=1")) == HITS
    data(project, extra="more")
    assert ran(project.run(*launcher, "x=1")) == MISSES


def test_input_in_a_moved_project_is_a_hit(project: Project, launcher: list[str]) -> None:
    """Files below the folder in which the sweep was started are found where the project has gone."""
    reading(project, OPEN)
    data(project, a="one")
    project.run(*launcher, "x=1").check()
    moved = project.folder.parent / "elsewhere"
    shutil.copytree(project.folder, moved, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(project.folder)
    assert ran(Project(moved, {"RUNS": str(moved / "runs.txt")}).run(*launcher, "x=1")) == HITS


def test_input_written_by_the_job_before_does_not_count(project: Project, launcher: list[str]) -> None:
    """What the job itself made and read back, in place, by a rename or in a folder of its own, is no input."""
    body = """
made = os.path.join(HERE, "made.txt")
with open(made + ".tmp", "w") as file: file.write("x")
os.replace(made + ".tmp", made)
text = open(made).read()
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "t").write_text("y")
    text += Path(folder, "t").read_text() + str(os.listdir(folder))
with tempfile.NamedTemporaryFile("w+") as file:
    file.write("z")
    file.seek(0)
    text += file.read() + open(file.name).read()
Path("own.txt").write_text("w")
return text + Path("own.txt").read_text()
"""
    reading(project, body)
    project.run(*launcher, "x=1").check()
    assert inputs_of(project) == {}
    (project.folder / "made.txt").write_text("other")
    assert ran(project.run(*launcher, "x=1")) == HITS


def test_input_absent_then_written_by_the_job_counts_by_both_states(project: Project, launcher: list[str]) -> None:
    """A cache that the job fills is a hit empty and as the job has left it, and a miss with another content."""
    body = """
path = os.path.join(HERE, "cache.txt")
try:
    return open(path).read()
except FileNotFoundError:
    Path(path).write_text("computed")
    return "computed"
"""
    reading(project, body)
    project.run(*launcher, "x=1").check()
    assert ran(project.run(*launcher, "x=1")) == HITS
    (project.folder / "cache.txt").unlink()
    assert ran(project.run(*launcher, "x=1")) == HITS
    (project.folder / "cache.txt").write_text("poisoned")
    assert ran(project.run(*launcher, "x=1")) == MISSES


def test_input_folder_listed_and_written_by_the_job_is_a_hit(project: Project, launcher: list[str]) -> None:
    """The names that the job itself has added are no reason to run it again."""
    body = (
        'names = os.listdir(os.path.join(HERE, "data"))\nPath(HERE, "data", "out").write_text("x")\nreturn len(names)'
    )
    reading(project, body)
    data(project, a="one")
    project.run(*launcher, "x=1").check()
    assert ran(project.run(*launcher, "x=1")) == HITS


def test_input_with_chdir_is_found_from_the_jobs_directory(project: Project, launcher: list[str]) -> None:
    """Relative paths lie where the job runs, and what lies in its directory is its own."""
    body = (
        'Path("mine").write_text("1")\nos.listdir(".")\nreturn open("../../../../data/a").read() + open("mine").read()'
    )
    reading(project, body)
    data(project, a="one")
    chdir = "hydra.job.chdir=true"
    project.run(*launcher, "x=1", chdir).check()
    assert inputs_of(project) == {"data/a": "file"}
    assert ran(project.run(*launcher, "x=1", chdir)) == HITS
    data(project, a="two")
    assert ran(project.run(*launcher, "x=1", chdir)) == MISSES


def test_input_read_by_a_thread_counts(project: Project, launcher: list[str]) -> None:
    """Threads of the job read for it."""
    body = """
found = []
thread = threading.Thread(target=lambda: found.append(open(os.path.join(HERE, "data", "a")).read()))
thread.start()
thread.join()
return found
"""
    reading(project, body)
    data(project, a="one")
    project.run(*launcher, "x=1").check()
    data(project, a="two")
    assert ran(project.run(*launcher, "x=1")) == MISSES


def test_input_read_at_import_counts_for_every_job(project: Project) -> None:
    """In workers, what a module reads when it is imported counts for all jobs of the process."""
    reading(project, "return TABLE.total + cfg.x", head=TABLE)
    data(project, **{"table.json": "[1, 2]"})
    launcher = ["-m", "hydra/launcher=parcache", "hydra.launcher.backend.workers=1"]
    assert ran(project.run(*launcher, "x=1,2,3")) == "0 hits, 3 misses"
    assert inputs_of(project) == {"data/table.json": "file"}
    assert ran(project.run(*launcher, "x=1,2,3")) == "3 hits, 0 misses"
    data(project, **{"table.json": "[1, 5]"})
    assert ran(project.run(*launcher, "x=1,2,3")) == "0 hits, 3 misses"
    data(project, **{"table.json": "[1, 2]"})
    assert ran(project.run(*launcher, "x=1,2,3")) == "3 hits, 0 misses"


def test_input_read_at_import_inside_a_job_counts_for_the_later_ones(project: Project, launcher: list[str]) -> None:
    """A module that the first job imports is there for all that follow in its process."""
    reading(project, "import table\nreturn table.TABLE.total + cfg.x")
    project.write(table=f"import os, json\nHERE = os.path.dirname(os.path.abspath(__file__))\n{TABLE}")
    data(project, **{"table.json": "[1, 2]"})
    assert ran(project.run(*launcher, "x=1,2,3")) == "0 hits, 3 misses"
    assert inputs_of(project) == {"data/table.json": "file"}
    data(project, **{"table.json": "[1, 5]"})
    assert ran(project.run(*launcher, "x=1,2,3")) == "0 hits, 3 misses"


def test_input_read_at_import_before_parcache_counts_as_plain_data(project: Project, launcher: list[str]) -> None:
    """What the sweeping process has read before counts by the value of the global that holds it."""
    head = 'TABLE = json.load(open(os.path.join(HERE, "data", "table.json")))'
    reading(project, "return sum(TABLE)", head=head)
    data(project, **{"table.json": "[1, 2]"})
    assert ran(project.run(*launcher, "x=1")) == MISSES
    assert ran(project.run(*launcher, "x=1")) == HITS
    data(project, **{"table.json": "[1, 5]"})
    assert ran(project.run(*launcher, "x=1")) == MISSES


# A class of the standard library: no value that counts by itself.
TABLE = """
import collections
class Table(collections.UserList):
    @property
    def total(self): return sum(self.data)
TABLE = Table(json.load(open(os.path.join(HERE, "data", "table.json"))))
"""


def test_input_that_changes_while_the_job_runs_is_returned_but_not_stored(
    project: Project, launcher: list[str]
) -> None:
    """Nobody knows which content such a job has read; one line says so and how to go on."""
    reading(
        project, 'path = Path(HERE, "data", "a")\ntext = path.read_text()\npath.write_text(text + "!")\nreturn text'
    )
    data(project, a="one")
    result = project.run(*launcher, "x=1").check()
    assert MISSES in result.summary
    assert project.entries() == []
    assert "Results are not stored: data/a changed while a job that reads it ran" in result.out
    assert 'hydra.launcher.cache.inputs=["!data/a"]' in result.out
    allowed = project.run(*launcher, "x=1", 'hydra.launcher.cache.inputs=["!data/a"]').check()
    assert "not stored" not in allowed.out
    assert len(project.entries()) == 1


# cache.inputs


def test_inputs_off_counts_no_file_and_is_not_believed_by_auto(project: Project, launcher: list[str]) -> None:
    """With off, files do not count; what was stored so is not served where they do."""
    reading(project, OPEN)
    data(project, a="one")
    project.run(*launcher, "x=1", "hydra.launcher.cache.inputs=off").check()
    data(project, a="two")
    assert ran(project.run(*launcher, "x=1", "hydra.launcher.cache.inputs=off")) == HITS
    assert ran(project.run(*launcher, "x=1")) == MISSES


def test_inputs_named_by_config_key_and_path_count_unseen(project: Project, launcher: list[str]) -> None:
    """What no hook sees counts where it is named: a file by a config key, a folder with all below it by its path."""
    body = "import subprocess, sys\ncode = 'import sys; print(open(sys.argv[1]).read())'\n"
    body += "path = os.path.join(HERE, cfg.data.path)\n"
    reading(project, body + "return subprocess.run([sys.executable, '-c', code, path], capture_output=True).stdout")
    project.write(conf__config_yaml="x: 1\ndata: {path: data/a}\n")
    data(project, a="one")
    (project.folder / "more" / "deep").mkdir(parents=True)
    (project.folder / "more" / "deep" / "b").write_text("b")
    named = "hydra.launcher.cache.inputs=[data.path,more]"
    assert ran(project.run(*launcher, "x=1", named)) == MISSES
    assert ran(project.run(*launcher, "x=1", named)) == HITS
    assert inputs_of(project) == {"data/a": "file", "more": "tree"}
    data(project, a="two")
    assert ran(project.run(*launcher, "x=1", named)) == MISSES
    (project.folder / "more" / "deep" / "c").write_text("c")
    assert ran(project.run(*launcher, "x=1", named)) == MISSES
    (project.folder / "more" / "deep" / "c").unlink()
    assert ran(project.run(*launcher, "x=1", named)) == HITS


def test_inputs_named_later_are_not_taken_for_recorded(project: Project) -> None:
    """A result that was stored before a file was named proves nothing about that file."""
    reading(project, "return 1")
    data(project, a="one")
    project.run(*SERIAL, "x=1").check()
    assert ran(project.run(*SERIAL, "x=1", "hydra.launcher.cache.inputs=[data/a]")) == MISSES


def test_inputs_named_by_an_ignored_key_count_by_content_alone(project: Project) -> None:
    """Data that is named by a key counts wherever it lies, if the key's value itself is ignored."""
    reading(project, "return open(cfg.path).read()")
    project.write(conf__config_yaml="x: 1\npath: nowhere\n")
    for place in ("here", "there"):
        (project.folder / place).mkdir()
        (project.folder / place / "a").write_text("same")
    options = ["hydra.launcher.cache.inputs=[path]", "hydra.launcher.cache.ignore=[path]"]
    assert ran(project.run(*SERIAL, "path=here/a", *options)) == MISSES
    assert ran(project.run(*SERIAL, "path=there/a", *options)) == HITS
    (project.folder / "there" / "a").write_text("diff")
    assert ran(project.run(*SERIAL, "path=here/a,there/a", *options)) == "1 hits, 1 misses"


@pytest.mark.parametrize("pattern", ["*.log", "data/*.log", "data", "**/*.log"])
def test_inputs_excluded_by_pattern_do_not_count(project: Project, pattern: str) -> None:
    """A pattern names files, folders or whole paths that do not count."""
    reading(project, 'os.listdir(os.path.join(HERE, "data"))\nreturn open(os.path.join(HERE, "data", "n.log")).read()')
    data(project, **{"n.log": "one"})
    excluded = f'hydra.launcher.cache.inputs=["!{pattern}"]'
    project.run(*SERIAL, "x=1", excluded).check()
    data(project, **{"n.log": "two", "m.log": "new"})
    assert ran(project.run(*SERIAL, "x=1", excluded)) == HITS
    assert ran(project.run(*SERIAL, "x=1")) == MISSES


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("[data.pth]", ["data.pth", "a config key (at the top there are: data, x)", "data/data.pth"]),
        ("[data]", ["is 'data'", "a config key that names a file or folder", "a mapping"]),
        ("[x]", ["is 'x'", "this one's value is 1"]),
        ("[data.gap]", ["is 'data.gap'", "Missing mandatory value"]),
        ("sometimes", ["'sometimes'", "auto, off, or a list"]),
        ("[[a]]", ["auto, off, or a list"]),
        ('["!"]', ["auto, off, or a list"]),
        ('["![z-a]"]', ["![z-a]", "a pattern such as"]),
    ],
)
def test_inputs_setting_that_is_wrong_is_refused_before_any_job(
    project: Project, setting: str, said: list[str]
) -> None:
    """A wrong item ends the command with what is known; nothing has run."""
    project.write(conf__config_yaml="x: 1\ndata: {path: a, gap: '???'}\n")
    result = project.run(*SERIAL, "x=1,2", f"hydra.launcher.cache.inputs={setting}")
    assert result.code == 1
    assert all(part in result.err for part in said), result.err
    assert "Traceback" not in result.err
    assert project.executions() == []


def test_inputs_mode_refresh_replaces_the_result_of_the_same_inputs(project: Project) -> None:
    """Refresh runs again and replaces the result of these inputs, not that of others."""
    reading(project, OPEN + " + os.environ.get('EXTRA', '')")
    for text in ("one", "two"):
        data(project, a=text)
        project.run(*SERIAL, "x=1").check()
    project.run(*SERIAL, "x=1", "hydra.launcher.cache.mode=refresh", env={"EXTRA": "!"}).check()
    (variants,) = (project.folder / ".parcache" / "entries").glob("*/*.d")
    assert len(list(variants.iterdir())) == 2
    data(project, a="one")
    assert ran(project.run(*SERIAL, "x=1")) == HITS


def test_inputs_of_duplicates_are_served_from_the_batch(project: Project, launcher: list[str]) -> None:
    """A duplicate of a job that reads is served by what that published."""
    reading(project, OPEN)
    data(project, a="one")
    project.write(conf__config_yaml="x: 1\nlog: 1\n")
    result = project.run(*launcher, "x=1", "log=1,2,3", "hydra.launcher.cache.ignore=[log]").check()
    assert "0 hits, 2 duplicates, 1 misses" in result.summary
    assert project.executions() == ["1"]


def test_inputs_mode_readonly_verifies_and_writes_nothing(project: Project) -> None:
    """A store that is only read is looked up by inputs as well."""
    reading(project, OPEN)
    data(project, a="one" * 200_000)
    project.run(*SERIAL, "x=1").check()
    before = sorted(path for path in (project.folder / ".parcache").rglob("*"))
    os.utime(project.folder / "data" / "a", (1, 1))
    readonly = "hydra.launcher.cache.mode=readonly"
    assert ran(project.run(*SERIAL, "x=1", readonly)) == HITS
    data(project, a="two" * 200_000)
    assert ran(project.run(*SERIAL, "x=1", readonly)) == MISSES
    assert sorted(path for path in (project.folder / ".parcache").rglob("*")) == before


def test_inputs_source_that_the_job_reads_itself_counts(project: Project, launcher: list[str]) -> None:
    """Code that is read as a file and executed is data, whatever its name ends in."""
    reading(
        project, 'space = {}\nexec(open(os.path.join(HERE, "data", "snippet.py")).read(), space)\nreturn space["a"]'
    )
    data(project, **{"snippet.py": "a = 1"})
    project.run(*launcher, "x=1").check()
    data(project, **{"snippet.py": "a = 2"})
    assert ran(project.run(*launcher, "x=1")) == MISSES


def test_inputs_imports_and_installed_packages_do_not_count(project: Project, launcher: list[str]) -> None:
    """Importing, asking for versions and reading what packages install leaves no inputs."""
    body = "import importlib.metadata as m, linecache, inspect, late, sklearn.datasets\n"
    body += "return m.version('numpy'), linecache.getlines(__file__), inspect.getsource(late), "
    body += "sklearn.datasets.load_iris().data.sum()"
    reading(project, body)
    project.write(late="def f(): pass\n")
    project.run(*launcher, "x=1").check()
    assert inputs_of(project) == {}


def test_names_in_what_earlier_sweeps_have_made_do_not_count_however_deep(project: Project) -> None:
    """A job that looks for data everywhere below the project hits, although each sweep makes folders of its own."""
    reading(project, 'return sorted(map(str, Path(HERE).rglob("*.csv")))')
    data(project, **{"a.csv": "one"})
    assert ran(project.run(*SERIAL, "x=1")) == MISSES
    assert ran(project.run(*SERIAL, "x=1")) == HITS
    data(project, **{"b.csv": "one"})
    assert ran(project.run(*SERIAL, "x=1")) == MISSES
