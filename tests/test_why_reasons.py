"""Every reason for a miss, told by ``parcache why`` after a real sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.asking import SWEEP, differences, told, why
from tests.conftest import APP, Project


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


def test_why_of_a_newer_record_says_upgrade(project: Project) -> None:
    """A record in a newer format is refused with the way out."""
    from parcache.store.sweeps import line

    project.run(*SWEEP).check()
    (record,) = (project.folder / ".parcache" / "sweeps").iterdir()
    record.write_bytes(line("sweep", 99, {}))
    result = why(project)
    assert result.code == 1
    assert "pip install -U parcache" in result.err


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
