"""What the launcher refuses before any job starts, and how it says so."""

from __future__ import annotations

import pytest

from tests.conftest import Project


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("hydra.launcher.cahce.dir=x", ["cahce"]),
        ("hydra.launcher.cache.modus=use", ["modus"]),
        ("hydra.launcher.cache.mode=sometimes", ["'sometimes'", "use, refresh, readonly, off"]),
        ("hydra.launcher.cache.code=half", ["'half'", "closure, off"]),
        ("hydra.launcher.cache.audit=perhaps", ["'perhaps'", "off, report, fail"]),
        ("hydra.launcher.cache.env=7", ["7"]),
        ("hydra.launcher.cache.dir=''", ["hydra.launcher.cache.dir"]),
        ("hydra.launcher.cache.dir=null", ["hydra.launcher.cache.dir is None", "a string"]),
        ("hydra.launcher.cache.salt=[a]", ["hydra.launcher.cache.salt is ['a']", "a string"]),
        ("hydra.launcher.cache.ignore=[[a]]", ["hydra.launcher.cache.ignore is [['a']]", "a list of strings"]),
        ("~hydra.launcher.cache.salt", ["hydra.launcher.cache.salt", "hydra/launcher=parcache has all of them"]),
        ("hydra.launcher.cache=null", ["hydra.launcher.cache is None", "a mapping"]),
        ("hydra/launcher/backend=slrum", ["slrum", "process", "serial"]),
        ("hydra.launcher.backend.workers=many", ["many"]),
        ("hydra.launcher.backend.workers=0", ["backend.workers is 0", "-1: all cores"]),
        ("hydra.launcher.backend.wrokers=2", ["wrokers"]),
        ("+hydra.launcher.dryrun=true", ["hydra.launcher.dryrun", "known: backend, cache", "dry_run"]),
        ("hydra.launcher.dry_run=maybe", ["hydra.launcher.dry_run is 'maybe'", "true or false"]),
        ("hydra.launcher.order=random", ["'random'", "auto, given"]),
        ("hydra.launcher.progress=loud", ["'loud'", "auto, rich, plain, off"]),
        ("hydra.launcher.failures.policy=panic", ["'panic'", "continue, stop"]),
        ("hydra.launcher.failures.retries=-1", ["failures.retries is -1", "a whole number from 0"]),
        ("hydra.launcher.failures.max_failures=1.5", ["failures.max_failures is 1.5", "a whole number from 0"]),
        ("hydra.launcher.failures.timeout_s=0", ["failures.timeout_s is 0", "a number of seconds above 0"]),
        ("+hydra.launcher.failures.retry=1", ["hydra.launcher.failures.retry", "retries, timeout_s"]),
        ("+hydra.launcher.cache.mood=use", ["hydra.launcher.cache.mood", "mode", "salt"]),
        ("hydra.launcher.backend=null", ["hydra.launcher.backend is None"]),
        ("hydra.launcher.backend.name=slrum", ["'slrum'", "process, serial"]),
    ],
)
def test_setting_that_is_wrong_is_refused_before_any_job(project: Project, override: str, said: list[str]) -> None:
    """A wrong setting ends the command with what was found and what is known; nothing has run."""
    result = project.run("-m", "x=1", "hydra/launcher=parcache", override)
    assert result.code == 1
    assert all(part in result.err for part in said), result.err
    assert "Traceback" not in result.err
    assert project.executions() == []
    assert not (project.folder / ".parcache").exists()


def test_setting_unknown_to_a_users_own_backend_yaml_is_refused_with_the_known_ones(project: Project) -> None:
    """A YAML of the user's own is checked against what the backend takes."""
    project.write(conf__hydra__launcher__backend__mine_yaml="name: process\nwrokers: 2\n")
    result = project.run("-m", "x=1", "hydra/launcher=parcache", "hydra/launcher/backend=mine")
    assert result.code == 1
    assert "does not take wrokers; known settings: fresh_process, slots" in result.err


def test_setting_in_environment_is_checked_as_well(project: Project) -> None:
    """PARCACHE_MODE is refused by its own name."""
    result = project.run("-m", "x=1", "hydra/launcher=parcache", env={"PARCACHE_MODE": "on"})
    assert result.code == 1
    assert "PARCACHE_MODE is 'on'; expected one of use, refresh, readonly, off" in result.err


def test_setting_store_by_environment_is_relative_to_where_the_sweep_started(project: Project) -> None:
    """PARCACHE_DIR names the store."""
    project.run(
        "-m", "x=1", "hydra/launcher=parcache", "hydra/launcher/backend=serial", env={"PARCACHE_DIR": "my/store"}
    ).check()
    assert len(list((project.folder / "my" / "store" / "entries").glob("*/*.entry"))) == 1


@pytest.mark.parametrize("profile", ["laptop", "debug"])
def test_setting_profile_that_ships_runs(project: Project, profile: str) -> None:
    """The profiles in conf/ are found with nothing to configure."""
    assert "1 misses" in project.run("-m", "hydra/launcher=parcache", f"hydra/launcher/backend={profile}").check().out


def test_setting_profile_and_overlay_of_the_user_are_chosen_by_name(project: Project) -> None:
    """A user's YAML extends a backend, and another one the whole launcher."""
    project.write(
        conf__hydra__launcher__backend__two_yaml="defaults: [process, _self_]\nworkers: 2\n",
        conf__hydra__launcher__mine_yaml="defaults: [parcache, override backend: two, _self_]\ncache: {salt: s}\n",
    )
    result = project.run("hydra/launcher=mine", "--cfg", "hydra", "--package", "hydra.launcher")
    assert "workers: 2" in result.out
    assert "salt: s" in result.out
    assert "1 misses" in project.run("-m", "x=1", "hydra/launcher=mine").check().out
