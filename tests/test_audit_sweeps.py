"""Sweeps under the audit: every job runs and is looked at, and what a hole in the closure let through is not stored."""

from __future__ import annotations

import pytest

from parcache.model import Stray, Trace
from parcache.run.audited import Audited
from tests.audits import audit
from tests.conftest import Project

# A closure with a hole: it is taken without what its source calls hidden.
HOLE = """
    import parcache.run.audit as audit

    whole = audit.closure_of

    def closure_of(fingerprint):
        definitions = []
        for item in fingerprint.definitions:
            with open(item.path) as file:
                lines = file.read().splitlines()
            at = next((number for number, line in enumerate(lines, 1) if line.startswith("def hidden")), 0)
            if not at:
                definitions.append(item)
            elif item.name == "*":
                definitions.append(item._replace(name="before", lines=(1, at - 1)))
                definitions.append(item._replace(name="after", lines=(at + 2, len(lines))))
            elif not item.lines[0] <= at <= item.lines[1]:
                definitions.append(item)
        details = fingerprint.details._replace(definitions=tuple(definitions))
        found = fingerprint.digest, fingerprint.task, fingerprint.sources, fingerprint.distributions, details
        return whole(type(fingerprint)(*found))

    audit.closure_of = closure_of
"""
HELPER = """
    VERSION = 1

    def hidden(x):
        return x + VERSION

    def compute(cfg):
        return hidden(cfg.x) if cfg.x > 1 else cfg.x
"""
REPORT = "hydra.launcher.cache.audit=report"
FAIL = "hydra.launcher.cache.audit=fail"


@pytest.fixture
def holed(project: Project) -> Project:
    """An app whose closure lacks a function that jobs with x > 1 call."""
    app = (project.folder / "app.py").read_text()
    return project.write(app=f"import hole\n{app}", helper=HELPER, hole=HOLE)


def test_audit_of_a_planted_hole_names_the_function_and_stores_no_such_result(holed: Project, apart: list[str]) -> None:
    """A function that ran and is in no definition is named once with its first job; only the other jobs are stored."""
    result = holed.run(*apart, "x=1,2,3", REPORT).check()
    path = holed.folder / "helper.py"
    lines = [line for line in result.out.splitlines() if "not in the job's code closure" in line]
    assert len(lines) == 1, result.out
    assert f"helper:hidden ({path}:4), called from {path}:8 (first: job 1)" in lines[0]
    assert result.out.count("Results are not stored: cache.audit saw code run") == 1
    assert "Audit: 3 jobs traced, functions that ran outside their code closures: 1" in result.out
    assert "3 misses, 0 failed" in result.summary
    assert len(holed.entries()) == 1


def test_audit_that_fails_ends_the_command_after_its_jobs(holed: Project, apart: list[str]) -> None:
    """With cache.audit=fail every job runs, and the command ends with what was found and the page that explains it."""
    result = holed.run(*apart, "x=1,2,3", FAIL)
    assert result.code == 1
    assert f"helper:hidden ({holed.folder / 'helper.py'}:4)" in result.err
    assert "docs/audit.md" in result.err
    assert "Traceback" not in result.err
    assert sorted(holed.executions()) == ["1", "2", "3"]


def test_audit_that_finds_nothing_stores_and_succeeds(project: Project, apart: list[str]) -> None:
    """An audit of a closure without holes costs time alone: the results are stored and hit afterwards."""
    result = project.run(*apart, "x=1,2", FAIL).check()
    assert "Audit: 2 jobs traced, functions that ran outside their code closures: 0" in result.out
    assert "2 hits" in project.run(*apart, "x=1,2").check().summary


def test_audit_runs_what_is_stored(project: Project, apart: list[str]) -> None:
    """A hit shows nothing: under the audit every job runs."""
    project.run(*apart, "x=1").check()
    assert "1 misses" in project.run(*apart, "x=1", REPORT).check().summary
    assert project.executions() == ["1", "1"]


def test_audit_that_is_off_traces_nothing(holed: Project, apart: list[str]) -> None:
    """Without the setting no job is looked at."""
    result = holed.run(*apart, "x=2").check()
    assert "Audit" not in result.out
    assert len(holed.entries()) == 1


def test_audit_names_what_a_failed_job_ran(holed: Project, apart: list[str]) -> None:
    """What ran before a job failed is named, and the job's own exception ends the command."""
    holed.write(helper=HELPER.replace("x + VERSION", "x / 0"))
    result = holed.run(*apart, "x=2", REPORT)
    assert result.code == 1
    assert "helper:hidden" in result.out
    assert "ZeroDivisionError" in result.err


def test_audit_sees_what_a_worker_runs_to_unpickle_its_task(holed: Project) -> None:
    """A function that a module calls when the worker imports it, before any job, is named."""
    holed.write(
        helper=HELPER.replace("def compute", "STATE = hidden(0)\n\n    def compute").replace("cfg.x > 1", "False")
    )
    report = audit(holed, "x=1", backend="process")
    assert len(report.findings) == 1
    assert "helper:hidden" in report.findings[0]
    assert holed.entries() == []


def test_audit_from_python_raises_what_it_found(holed: Project) -> None:
    """From Python, cache.audit=fail raises an error that has what was found as data."""
    holed.write(
        call=f"""
        import hydra, parcache
        from parcache.errors import AuditError
        from app import main

        with hydra.initialize(config_path="conf", version_base=None):
            try:
                parcache.sweep(main, overrides=["x=1,2", "{FAIL}"], backend="serial")
            except AuditError as error:
                print("found", len(error.strays), len(error.untraced))
        """
    )
    assert "found 1 0" in holed.run(script="call.py").check().out


def test_audit_that_fails_does_so_where_a_job_could_not_be_looked_at(project: Project, apart: list[str]) -> None:
    """A job without a fingerprint cannot be audited: that is not taken for a job in which nothing was found."""
    lines = "eval('1'); open(os.environ['RUNS'], 'a').write(f'{cfg.x} ')"
    project.write(
        app=f"""
        import os
        import hydra

        space = dict(globals())
        exec("def main(cfg):\\n    {lines}\\n    return cfg.x", space)
        main = hydra.main(config_path="conf", config_name="config", version_base=None)(space["main"])

        if __name__ == "__main__":
            main()
        """
    )
    result = project.run(*apart, "x=1", FAIL)
    assert result.code == 1
    assert "job 0: it had no code fingerprint" in result.err
    assert "Audit: 0 jobs traced" in result.out
    assert project.executions() == ["1"]


@pytest.mark.parametrize("other", ["mode=readonly", "mode=off", "code=off"])
def test_audit_with_nothing_to_compare_is_refused(project: Project, other: str) -> None:
    """Where there are no keys with code in them, or nothing may be written, an audit is refused before any job."""
    result = project.run("-m", "hydra/launcher=parcache", f"hydra.launcher.cache.{other}", REPORT)
    assert result.code == 1
    assert "hydra.launcher.cache.audit is 'report'" in result.err
    assert f"cache.{other}" in result.err
    assert project.executions() == []


def test_findings_name_each_function_once_with_the_first_job_that_ran_it() -> None:
    """Whatever order jobs end in, the job that a finding names is the one with the lowest number."""
    stray, other = Stray("m", "f", "/m.py", 3), Stray("m", "g", "/m.py", 1)
    findings = Audited()
    findings.add(4, Trace((stray,)))
    findings.add(2, Trace((stray._replace(caller="/m.py:9"), other), made=2))
    findings.add(3, Trace((stray,), problem="half of it"))
    findings.add(5, None)
    assert findings.strays == [(other, 2), (stray._replace(caller="/m.py:9"), 2)]
    assert (findings.traced, findings.made) == (3, 2)
    assert [item.number for item in findings.untraced] == [3, 5]
