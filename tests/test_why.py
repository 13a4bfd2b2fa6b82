"""``parcache why`` as users see it: real sweeps, then the question, in each of its forms."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.asking import SWEEP, job_directory, told, why
from tests.conftest import APP, Project

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


def test_why_takes_flags_wherever_they_stood(project: Project) -> None:
    """Hydra's flags may stand behind overrides, and can be given to why itself."""
    project.write(conf__other_yaml="x: 1\nname: other\n")
    project.run(*SWEEP, "x=3", "--config-name", "other").check()
    assert [job["status"] for job in told(project, "x=3")["jobs"]] == ["hit"]
    assert [job["status"] for job in told(project, "--config-name", "config", "x=3")["jobs"]] == ["miss"]
    answer = told(project, "--app", "app.py", "--config-name", "other", "--config-path", "conf", "x=3")
    assert [job["status"] for job in answer["jobs"]] == ["hit"]


def test_why_of_values_of_a_run_is_the_real_runs_key(project: Project) -> None:
    """Where a sweep lies and when it ran is as irrelevant to asking as it is to running."""
    project.write(
        conf__config_yaml="x: 1\nout: ${hydra:sweep.dir}/a\nwhen: ${now:%S%f}\nat: ${hydra:runtime.output_dir}\n"
    )
    project.run(*SWEEP, "x=3", "hydra.sweep.dir=out/${now:%f}").check()
    assert [job["status"] for job in told(project, "x=3")["jobs"]] == ["hit"]


def test_why_in_a_store_of_several_projects_means_the_last_sweep_here(project: Project, tmp_path: Path) -> None:
    """With a store for all projects, the last sweep is the last one that was started where one asks."""
    env = {"PARCACHE_DIR": str(tmp_path / "shared")}
    other = Project(tmp_path / "other").write(
        app=APP, helper="def compute(cfg):\n    return 0\n", conf__config_yaml="x: 1\n"
    )
    project.run(*SWEEP, "x=1,2", env=env).check()
    other.run(*SWEEP, "x=1,2,3", env=env).check()
    assert len(told(project, env=env)["jobs"]) == 2
    assert len(told(other, env=env)["jobs"]) == 3


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


def test_why_asked_from_elsewhere_finds_the_store_by_the_directory(project: Project, tmp_path: Path) -> None:
    """A job's directory says itself which store it belongs to; ``--store`` names one."""
    project.run(*SWEEP, "hydra.sweep.dir=out").check()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert why(project, job_directory(project, "out", 0), folder=elsewhere).check().out.count("1 miss") == 1
    assert "1 miss" in why(project, "--store", str(project.folder / ".parcache"), folder=elsewhere).check().out
    assert "1 miss" in why(project, str(project.folder / "out"), folder=elsewhere).check().out


def test_why_help_names_only_what_works(project: Project) -> None:
    """The help lists the verbs that there are."""
    done = subprocess.run(
        [sys.executable, "-m", "parcache", "--help"], capture_output=True, text=True, check=True, cwd=project.folder
    )
    assert "why" in done.stdout
    assert "gc" not in done.stdout
