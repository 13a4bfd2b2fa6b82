"""``parcache why`` as users see it: real sweeps, then the question, in each of its forms."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import APP, Project, Result

SWEEP = ("-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial")


def why(project: Project, *arguments: str, env: Mapping[str, str] | None = None, folder: Path | None = None) -> Result:
    """Ask, and return what was answered."""
    done = subprocess.run(
        [sys.executable, "-m", "parcache", "why", *arguments],
        cwd=folder or project.folder,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("PARCACHE_")},
            "RUNS": str(project.runs),
            **project.env,
            **(env or {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def told(project: Project, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
    """Ask for JSON, and return it."""
    return json.loads(why(project, "--json", *arguments, env=env).check().out)


def differences(project: Project, *arguments: str, env: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return what differs for the only job of an answer."""
    (job,) = told(project, *arguments, env=env)["jobs"]
    found: list[dict[str, Any]] = job["differences"]
    return found


def job_directory(project: Project, sweep: str, number: int) -> str:
    return str(project.folder / sweep / str(number))


FORMS: dict[str, Callable[[Project], list[str]]] = {
    "last sweep": lambda _: [],
    "directory": lambda project: [job_directory(project, "out", 0)],
    "overrides": lambda _: ["x=2"],
}


@pytest.mark.parametrize("form", list(FORMS))
def test_why_of_edited_code_shows_the_definition_and_its_diff(project: Project, form: str) -> None:
    """Every form names what was edited, its file, and the lines that changed."""
    project.run(*SWEEP, "x=2").check()
    project.write(helper="def compute(cfg):\n    return cfg.x * 77\n")
    if form != "overrides":
        project.run(*SWEEP, "x=2", "hydra.sweep.dir=out").check()
    out = why(project, *FORMS[form](project)).check().out
    assert "job 0 x=2: helper" in out
    assert "changed" in out
    assert "helper.py:1" in out
    assert "-    return cfg.x * 10\n" in out
    assert "+    return cfg.x * 77\n" in out


@pytest.mark.parametrize("form", list(FORMS))
def test_why_of_a_stored_job_is_a_hit(project: Project, form: str) -> None:
    """Every form tells a hit, and which job computed it."""
    project.run(*SWEEP, "x=2", "hydra.sweep.dir=first").check()
    project.run(*SWEEP, "x=2", "hydra.sweep.dir=out").check()
    out = why(project, *FORMS[form](project)).check().out
    assert "1 job: 1 hit\n" in out
    assert f"by {os.path.join('first', '0')} " in out


def test_why_of_overrides_runs_nothing_and_leaves_nothing(project: Project) -> None:
    """Asking runs no job, makes no directory and stores nothing, whatever the app prints."""
    project.write(app="print('noise')\n" + APP.replace("\n    ", "\n"))
    project.run(*SWEEP, "x=1").check()

    def files() -> set[str]:
        return {str(path) for path in project.folder.rglob("*") if "__pycache__" not in str(path)}

    before = files()
    result = why(project, "x=1,5,6").check()
    assert "noise" not in result.out
    assert "3 jobs: 2 misses, 1 hit\n" in result.out
    assert files() == before
    assert project.executions() == ["1"]


def test_why_of_overrides_keeps_the_settings_of_the_last_sweep(project: Project) -> None:
    """Settings such as the salt and the config's name are those of the last sweep; its values are not."""
    project.write(conf__other_yaml="x: 1\nname: other\n")
    project.run("--config-name", "other", *SWEEP, "x=3", "hydra.launcher.cache.salt=v2").check()
    answer = told(project, "x=3")
    assert [job["status"] for job in answer["jobs"]] == ["hit"]
    assert told(project)["jobs"][0]["key"] == answer["jobs"][0]["key"]


def test_why_of_a_named_app_needs_no_record(project: Project) -> None:
    """``--app`` and ``-m`` name an app; the keys are those of its real runs."""
    project.run(*SWEEP, "x=3").check()
    for record in (project.folder / ".parcache" / "sweeps").iterdir():
        record.unlink()
    assert told(project, "--app", "app.py", "x=3")["jobs"][0]["status"] == "hit"
    assert told(project, "-m", "app", "x=3")["jobs"][0]["status"] == "hit"


def test_why_of_an_app_run_as_a_module_finds_it_again(project: Project) -> None:
    """The last sweep's app is started as it was: as a module, too."""
    project.write(
        pkg____init__="", pkg__app=APP.replace('"conf"', '"../conf"').replace("import helper", "from . import helper")
    )
    project.write(pkg__helper="def compute(cfg):\n    return cfg.x\n")
    project.run("pkg.app", *SWEEP, "x=3", script="-m").check()
    assert told(project, "x=3")["jobs"][0]["status"] == "hit"


def test_why_of_every_batch_of_a_sweep_is_told(project: Project) -> None:
    """With several batches all jobs are told, before and after they run."""
    assert len(told(project, "--app", "app.py", "x=1,2,3", "hydra.sweeper.max_batch_size=2")["jobs"]) == 3
    project.run(*SWEEP, "x=1,2,3", "hydra.sweeper.max_batch_size=2").check()
    assert [job["status"] for job in told(project)["jobs"]] == ["miss"] * 3


SWEEPER = """
    from hydra.plugins.sweeper import Sweeper
    from hydra.core.plugins import Plugins

    class Searching(Sweeper):
        def __init__(self, **_):
            self.launcher = None

        def setup(self, *, hydra_context, task_function, config):
            self.launcher = Plugins.instance().instantiate_launcher(
                hydra_context=hydra_context, task_function=task_function, config=config
            )

        def sweep(self, arguments):
            best = self.launcher.launch([["x=1"], ["x=2"]], initial_job_idx=0)
            self.launcher.launch([[f"x={max(job.return_value for job in best) + 1}"]], initial_job_idx=2)
"""


def test_why_of_a_sweeper_that_looks_at_results_tells_its_first_batch(project: Project) -> None:
    """What a sweeper asks for next depends on results: the first batch is told, and nothing runs."""
    project.write(hydra_plugins__searching=SWEEPER)
    project.write(conf__config_yaml="x: 1\nhydra: {sweeper: {_target_: hydra_plugins.searching.Searching}}\n")
    project.run(*SWEEP).check()
    assert sorted(project.executions()) == ["1", "2", "21"]
    assert [job["status"] for job in told(project)["jobs"]] == ["miss"] * 3
    assert [job["status"] for job in told(project, "--app", "app.py")["jobs"]] == ["hit"] * 2
    assert len(project.executions()) == 3


def test_why_tells_the_users_callbacks_nothing_of_a_sweep_that_is_none(project: Project) -> None:
    """Callbacks do not hear of jobs or of an end, and what the app does after its sweep is not done."""
    project.write(
        spy="""
        from hydra.experimental.callback import Callback

        class Spy(Callback):
            def on_multirun_end(self, **_):
                open("heard.txt", "w").close()

            on_job_start = on_job_end = on_multirun_end
        """,
        conf__config_yaml="x: 1\nhydra: {callbacks: {spy: {_target_: spy.Spy}}}\n",
    )
    (project.folder / "app.py").write_text(
        (project.folder / "app.py").read_text() + "    open('after.txt', 'w').close()\n"
    )
    project.run(*SWEEP).check()
    for name in ("heard.txt", "after.txt"):
        (project.folder / name).unlink()
    assert told(project, "x=2")["jobs"][0]["status"] == "miss"
    assert not (project.folder / "heard.txt").exists()
    assert not (project.folder / "after.txt").exists()


def test_why_of_sweeps_from_python_is_told_but_not_repeated(project: Project) -> None:
    """A sweep from Python is recorded; overrides are for the last sweep that came from a command line."""
    project.write(
        call="""
        import hydra, parcache, app
        with hydra.initialize(config_path="conf", version_base=None):
            parcache.sweep(app.main, overrides=["x=1,2"], backend="serial")
        """
    )
    project.run(script="call.py").check()
    assert [job["status"] for job in told(project)["jobs"]] == ["miss"] * 2
    result = why(project, "x=1")
    assert result.code == 1
    assert "no record of a sweep from the command line" in result.err
    project.run(*SWEEP, "x=5").check()
    project.run(script="call.py").check()
    assert [job["status"] for job in told(project, "x=5")["jobs"]] == ["hit"]


def test_why_tells_config_values_with_their_types(project: Project) -> None:
    """Absent is not null, and 1 is not "1"."""
    project.write(conf__config_yaml="x: 1\nn: 1\nm: null\n")
    project.run(*SWEEP).check()
    project.write(conf__config_yaml="x: 1\nn: '1'\nk: null\n")
    project.run(*SWEEP).check()
    out = why(project).check().out
    assert 'config n: wanted "1", found 1\n' in out
    assert "config k: wanted null, found (absent)\n" in out
    assert "config m: wanted (absent), found null\n" in out


def test_why_tells_ignored_keys_apart(project: Project) -> None:
    """A key that is ignored now, and was not, is told as such."""
    project.write(conf__config_yaml="x: 1\nlog: 5\n")
    project.run(*SWEEP).check()
    project.run(*SWEEP, "hydra.launcher.cache.ignore=[log]").check()
    (change,) = differences(project)
    assert (change["what"], change["found"], change["note"]) == ("log", 5, "ignored now by cache.ignore")
    assert "wanted" not in change


def test_why_shows_secrets_as_digests_only(project: Project) -> None:
    """Values out of the environment are told by their digests, in the config and in cache.env."""
    project.write(conf__config_yaml="x: 1\nkey: ${oc.env:API_KEY}\n")
    setting = "hydra.launcher.cache.env=[API_TOKEN]"
    for value in ("s3cret-one", "s3cret-two"):
        project.run(*SWEEP, setting, env={"API_KEY": value, "API_TOKEN": value}).check()
    assert {(each["kind"], each["what"]) for each in differences(project)} == {("config", "key"), ("env", "API_TOKEN")}
    out = why(project).check().out + json.dumps(told(project))
    assert "s3cret" not in out
    assert "digest" in out
    records = b"".join(path.read_bytes() for path in (project.folder / ".parcache" / "sweeps").iterdir())
    assert b"s3cret" not in records


def test_why_shows_values_of_a_run_as_their_expression(project: Project) -> None:
    """A value that belongs to the run is told as what it counts by."""
    project.write(conf__config_yaml="x: 1\nout: ${hydra:runtime.output_dir}\n")
    project.run(*SWEEP).check()
    project.write(conf__config_yaml="x: 1\nout: ${hydra:sweep.dir}\n")
    project.run(*SWEEP).check()
    assert (
        "wanted ${hydra:sweep.dir} (counts as this expression), found ${hydra:runtime.output_dir} (" in why(project).out
    )


def test_why_tells_another_salt(project: Project) -> None:
    """A miss for its salt says so, with both."""
    project.run(*SWEEP).check()
    project.run(*SWEEP, "hydra.launcher.cache.salt=v2").check()
    assert differences(project) == [{"kind": "salt", "wanted": "v2", "found": ""}]


def test_why_tells_another_python(project: Project) -> None:
    """A miss for the interpreter says so, with both; asking again starts the app with the same options."""
    project.run(*SWEEP).check()
    project.run("app.py", *SWEEP, script="-O").check()
    (change,) = differences(project)
    assert change["kind"] == "python"
    assert change["wanted"] == f"{change['found']} -O"
    assert told(project, "x=1")["jobs"][0]["status"] == "hit"


def test_why_tells_code_that_does_not_count_any_more(project: Project) -> None:
    """Between cache.code=off and closure there is no other difference to tell."""
    project.run(*SWEEP).check()
    project.run(*SWEEP, "hydra.launcher.cache.code=off").check()
    assert differences(project) == [{"kind": "code", "what": "cache.code", "wanted": "off", "found": "closure"}]


def test_why_tells_an_absent_import_that_appeared(project: Project) -> None:
    """A module that could not be imported then, and can now, is named."""
    project.write(
        helper="try:\n    import extra\nexcept ImportError:\n    extra = None\ndef compute(cfg):\n    return 1\n"
    )
    project.run(*SWEEP).check()
    project.write(extra="VALUE = 1\n")
    project.run(*SWEEP).check()
    found = differences(project)
    assert ("absent import", "extra") in {(each["kind"], each.get("what")) for each in found}


def test_why_tells_the_version_of_a_distribution(project: Project, tmp_path: Path) -> None:
    """A distribution with another version is told with both."""
    site = tmp_path / "site-packages"
    for version in ("1.0", "2.0"):
        folder = site / f"toolbox-{version}.dist-info"
        folder.mkdir(parents=True)
        (site / "toolbox.py").write_text("")
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: toolbox\nVersion: {version}\n")
        (folder / "RECORD").write_text("toolbox.py,,\n")
        project.write(helper="import toolbox\ndef compute(cfg):\n    return 1\n")
        project.run(*SWEEP, env={"PYTHONPATH": str(site)}).check()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    found = [each for each in differences(project) if each["kind"] == "distribution"]
    assert found == [{"kind": "distribution", "what": "toolbox", "wanted": "2.0", "found": "1.0"}]


def test_why_of_values_that_globals_hold_says_what_it_can(project: Project) -> None:
    """Where no definition differs, the values that the code reads are what is left, and that is said."""
    project.write(
        helper="import os\nSCALE = int(os.environ.get('SCALE', 1))\ndef compute(cfg):\n    return SCALE\n",
        app=APP.replace("import helper", "from helper import SCALE, compute").replace("helper.compute(cfg)", "SCALE"),
    )
    project.run(*SWEEP, env={"SCALE": "1"}).check()
    project.run(*SWEEP, env={"SCALE": "2"}).check()
    (change,) = differences(project)
    assert change["kind"] == "code"
    assert "globals" in change["note"]


def test_why_groups_jobs_of_one_reason(project: Project) -> None:
    """A hundred jobs that miss for one edit are one paragraph."""
    jobs = f"x={','.join(map(str, range(100)))}"
    project.run(*SWEEP, jobs).check()
    project.write(helper="def compute(cfg):\n    return -1\n")
    project.run(*SWEEP, jobs).check()
    out = why(project).check().out
    assert "100 jobs (0-99): helper" in out
    assert len(out.splitlines()) < 20


def test_why_of_a_failed_job_tells_its_error_and_what_it_was_made_of(project: Project) -> None:
    """A job that left no entry is explained as well: by its error, and against the nearest entry."""
    project.write(helper="def compute(cfg):\n    return 1 // (cfg.x - 3)\n")
    project.run(*SWEEP, "x=1").check()
    assert project.run(*SWEEP, "x=3").code != 0
    (job,) = told(project)["jobs"]
    assert (job["status"], job["overrides"]) == ("failed", ["x=3"])
    assert "ZeroDivisionError" in job["note"]
    assert [(each["what"], each["wanted"], each["found"]) for each in job["differences"]] == [("x", 3, 1)]


def test_why_of_a_refused_result_tells_the_refusal(project: Project) -> None:
    """A result that could not be stored is told with the reason."""
    project.write(helper="import threading\ndef compute(cfg):\n    return threading.Lock()\n")
    project.run(*SWEEP)
    (job,) = told(project)["jobs"]
    assert job["status"] == "not stored"
    assert "cannot be stored" in job["note"]


def test_why_of_a_config_without_a_key_tells_why(project: Project) -> None:
    """A job that cannot be keyed is told as not cached, with the reason."""
    resolver = "class Model: pass\n    OmegaConf.register_new_resolver('odd', lambda: Model())"
    project.write(
        app=APP.replace("import helper", f"import helper\n    from omegaconf import OmegaConf\n    {resolver}")
    )
    project.write(conf__config_yaml="x: 1\nodd: ${odd:}\n")
    project.run(*SWEEP).check()
    (job,) = told(project)["jobs"]
    assert job["status"] == "not cached"
    assert "Cannot key the config" in job["note"]


def test_why_of_duplicates_names_the_twin(project: Project) -> None:
    """A job with the key of another job of its sweep says so."""
    project.write(conf__config_yaml="x: 1\nlog: 1\n")
    project.run(*SWEEP, "log=1,2", "hydra.launcher.cache.ignore=[log]").check()
    assert [job["status"] for job in told(project)["jobs"]] == ["miss", "duplicate"]
    assert told(project)["jobs"][1]["note"] == "the same key as job 0"


def test_why_in_refresh_mode_says_so(project: Project) -> None:
    """With mode=refresh it is the mode that runs a job, not a difference."""
    project.run(*SWEEP).check()
    project.run(*SWEEP, "hydra.launcher.cache.mode=refresh").check()
    (job,) = told(project)["jobs"]
    assert (job["note"], job["differences"]) == ("cache.mode=refresh runs every job", [])


def test_why_of_a_damaged_entry_says_so(project: Project) -> None:
    """An entry that cannot be read is why its job would run."""
    project.run(*SWEEP).check()
    (path,) = project.entries()
    path.write_bytes(path.read_bytes()[:-3])
    (job,) = told(project, "x=1")["jobs"]
    assert job["status"] == "miss"
    assert "damaged" in job["note"]


@pytest.mark.parametrize("lost", ["code", "sources"])
@pytest.mark.parametrize("how", ["absent", "damaged"])
def test_why_without_descriptions_or_sources_explains_what_it_can(project: Project, lost: str, how: str) -> None:
    """Without what was kept of the code, the rest is told, and what is missing is named."""
    project.run(*SWEEP, "x=1").check()
    project.write(helper="def compute(cfg):\n    return 0\n")
    project.run(*SWEEP, "x=1").check()
    for path in (project.folder / ".parcache" / lost).glob("*/*"):
        if how == "absent":
            path.unlink()
        else:
            path.write_bytes(b"\x00" + path.read_bytes()[1:])
    changed = differences(project)
    assert changed
    assert all(not each.get("diff") for each in changed)
    assert "not kept" in json.dumps(changed) or "is not there, or damaged" in json.dumps(changed)
    why(project).check()


def test_why_with_a_damaged_record_says_so(project: Project) -> None:
    """Of a record with a damaged line the rest is told."""
    project.run(*SWEEP, "x=1,2").check()
    project.run(*SWEEP, "x=1,2,3").check()
    record = max((project.folder / ".parcache" / "sweeps").iterdir())
    lines = record.read_bytes().splitlines(keepends=True)
    (place,) = (index for index, line in enumerate(lines) if b'"hits"' in line)
    lines[place] = lines[place].replace(b"hits", b"hots")
    record.write_bytes(b"".join(lines))
    out = why(project).check().out
    assert "The sweep's record is damaged in 1 places" in out


def test_why_on_a_terminal_is_coloured(project: Project) -> None:
    """On a terminal there are colours and the same words; NO_COLOR takes the colours away."""
    project.run(*SWEEP).check()
    assert "\x1b[" not in why(project).check().out
    for env, has_colours in (({}, True), ({"NO_COLOR": "1", "TERM": "dumb"}, False)):
        master, slave = pty.openpty()
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("PARCACHE_")}
        surroundings = {**surroundings, "TERM": "xterm", **env}
        process = subprocess.Popen(
            [sys.executable, "-m", "parcache", "why"], cwd=project.folder, env=surroundings, stdout=slave
        )
        os.close(slave)
        shown = b""
        try:
            while data := os.read(master, 1024):
                shown += data
        except OSError:  # the other end is closed
            pass
        os.close(master)
        assert process.wait() == 0
        assert b"1 job: 1 miss" in shown
        assert (b"\x1b[" in shown) is has_colours


def test_why_of_an_app_that_fails_shows_its_error(project: Project) -> None:
    """What keeps the app from composing is shown, with the command."""
    project.run(*SWEEP).check()
    project.write(helper="raise RuntimeError('not today')\n")
    result = why(project, "x=1")
    assert result.code == 1
    assert "RuntimeError: not today" in result.err
    assert "app.py --multirun" in result.err
    assert "Traceback" in result.err


def test_why_of_an_override_that_does_not_compose_shows_hydras_error(project: Project) -> None:
    """Hydra's own message is passed on."""
    project.run(*SWEEP).check()
    result = why(project, "nope=1")
    assert result.code == 1
    assert "nope" in result.err


def test_why_of_an_app_without_a_sweep_says_what_is_missing(project: Project) -> None:
    """A program that ends without asking parcache is told as such."""
    project.write(plain="print('hello')\n")
    result = why(project, "--app", "plain.py", "x=1")
    assert result.code == 1
    assert "is @hydra.main called" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 1, "There is no store at"),
        (("conf",), 1, "is not the directory of a job"),
        (("nonsense",), 2, "is neither an override"),
        (("--app", "a.py", "-m", "a", "x=1"), 2, "not allowed with"),
    ],
)
def test_why_asked_wrongly_says_what_to_do(
    project: Project, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """Wrong usage is exit code 2, what cannot be explained is 1; both are one message without a traceback."""
    result = why(project, *arguments)
    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err


def test_why_without_a_record_says_what_to_do(project: Project) -> None:
    """A store that has no record of the sweep says which it keeps, and the other way to ask."""
    project.run(*SWEEP, "hydra.sweep.dir=out").check()
    for record in (project.folder / ".parcache" / "sweeps").iterdir():
        record.unlink()
    for arguments in ([], [job_directory(project, "out", 0)]):
        result = why(project, *arguments)
        assert result.code == 1
        assert "has no record" in result.err
        assert "--app" in result.err


def test_why_of_a_job_that_another_launcher_ran_says_so(project: Project) -> None:
    """A directory of Hydra's own launcher is refused by name."""
    project.run("-m", "x=1", "hydra.sweep.dir=out").check()
    result = why(project, job_directory(project, "out", 0))
    assert result.code == 1
    assert "BasicLauncher" in result.err


def test_why_of_a_newer_record_says_upgrade(project: Project) -> None:
    """A record in a newer format is refused with the way out."""
    from parcache.store.sweeps import line

    project.run(*SWEEP).check()
    (record,) = (project.folder / ".parcache" / "sweeps").iterdir()
    record.write_bytes(line("sweep", 99, {}))
    result = why(project)
    assert result.code == 1
    assert "pip install -U parcache" in result.err


def test_why_asked_from_elsewhere_finds_the_store_by_the_directory(project: Project, tmp_path: Path) -> None:
    """A job's directory says itself which store it belongs to; ``--store`` names one."""
    project.run(*SWEEP, "hydra.sweep.dir=out").check()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert why(project, job_directory(project, "out", 0), folder=elsewhere).check().out.count("1 miss") == 1
    assert "1 miss" in why(project, "--store", str(project.folder / ".parcache"), folder=elsewhere).check().out
    assert "1 miss" in why(project, str(project.folder / "out"), folder=elsewhere).check().out


def test_why_of_a_sweep_that_was_killed_tells_what_is_known(project: Project) -> None:
    """A sweep that died in the middle is told as far as it came."""
    project.write(
        helper="import os, signal\ndef compute(cfg):\n    cfg.x == 2 and os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert project.run(*SWEEP, "x=1,2,3").code != 0
    assert [job["status"] for job in told(project)["jobs"]] == ["miss", "unfinished", "unfinished"]


def test_why_mentions_what_else_the_code_does(project: Project) -> None:
    """Dynamic imports, which make more count, are told with file and line."""
    project.write(helper="import importlib\ndef compute(cfg):\n    return importlib.import_module('o' + 's').sep\n")
    project.run(*SWEEP)
    out = why(project).check().out
    assert "helper.py:3 " in out


def test_why_help_names_only_what_works(project: Project) -> None:
    """The help lists the verbs that there are."""
    done = subprocess.run(
        [sys.executable, "-m", "parcache", "--help"], capture_output=True, text=True, check=True, cwd=project.folder
    )
    assert "why" in done.stdout
    assert "gc" not in done.stdout
