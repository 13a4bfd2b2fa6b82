"""The Python API: the same keys and the same store as on the command line."""

from __future__ import annotations

from tests.conftest import Project

CALL = """
    import logging, sys
    import hydra, parcache
    from app import main

    handlers = list(logging.getLogger().handlers)
    with hydra.initialize(config_path="conf", version_base=None):
        values = parcache.sweep(main, overrides=sys.argv[2:], backend=sys.argv[1])
    assert logging.getLogger().handlers == handlers
    print("values", values)
"""


def test_sweep_from_python_returns_results_in_job_order(project: Project, backend: str) -> None:
    """sweep() returns what the task function returned, one for each job, in job order."""
    project.write(call=CALL)
    result = project.run(backend, "x=3,1,2", script="call.py").check()
    assert "values [30, 10, 20]" in result.out
    assert "values [30, 10, 20]" in project.run(backend, "x=3,1,2", script="call.py").check().out
    assert sorted(project.executions()) == ["1", "2", "3"]


def test_sweep_from_python_hits_what_the_command_line_stored(project: Project, backend: str) -> None:
    """What the command line stored, Python hits."""
    project.write(call=CALL)
    project.run("-m", "hydra/launcher=parcache", "x=1,2").check()
    assert "values [10, 20]" in project.run(backend, "x=1,2", script="call.py").check().out
    assert sorted(project.executions()) == ["1", "2"]


def test_sweep_on_the_command_line_hits_what_python_stored(project: Project, launcher: list[str], backend: str) -> None:
    """What Python stored, the command line hits."""
    project.write(call=CALL)
    project.run(backend, "x=1,2", script="call.py").check()
    assert "2 hits" in project.run(*launcher, "x=1,2").check().summary


def test_sweep_from_python_raises_the_first_failure_once_all_jobs_have_ended(project: Project, backend: str) -> None:
    """The user's own exception comes out; the other jobs' results are stored."""
    project.write(
        helper="""
        def compute(cfg):
            if cfg.x == 1:
                raise ArithmeticError("one")
            return cfg.x
        """,
        call="""
        import sys
        import hydra, parcache
        from app import main

        with hydra.initialize(config_path="conf", version_base=None):
            try:
                parcache.sweep(main, overrides=["x=1,2,3"], backend=sys.argv[1])
            except ArithmeticError as error:
                names = []
                trace = error.__traceback__
                while trace is not None:
                    names.append(trace.tb_frame.f_code.co_name)
                    trace = trace.tb_next
                print("raised", error, "compute" in names)
        """,
    )
    assert "raised one True" in project.run(backend, script="call.py").check().out
    assert len(project.entries()) == 2


def test_sweep_from_python_outside_an_initialize_context_says_what_to_do(project: Project) -> None:
    """Without Hydra's context there is nothing to compose from."""
    project.write(call="import parcache\nparcache.sweep(print)\n")
    result = project.run(script="call.py")
    assert "parcache.errors.HydraNotInitializedError" in result.err
    assert "with hydra.initialize(" in result.err


def test_sweep_from_python_refuses_settings_with_its_own_exceptions(project: Project) -> None:
    """A wrong setting raises SettingError, which is a ValueError."""
    project.write(
        call="""
        import hydra, parcache
        from app import main

        with hydra.initialize(config_path="conf", version_base=None):
            try:
                parcache.sweep(main, overrides=["hydra.launcher.cache.mode=on"])
            except ValueError as error:
                print(type(error).__name__, error)
        """
    )
    result = project.run(script="call.py").check()
    assert "SettingError hydra.launcher.cache.mode is 'on'; expected one of" in result.out


def test_sweep_from_python_twice_in_one_process_hits(project: Project, backend: str) -> None:
    """A second sweep in the same process finds the first one's results, modules that jobs imported included."""
    project.write(
        late="def compute(cfg):\n    return cfg.x + 1\n",
        helper="def compute(cfg):\n    import late\n    return late.compute(cfg)\n",
        call="""
        import sys
        import hydra, parcache
        from app import main

        with hydra.initialize(config_path="conf", version_base=None):
            print(parcache.sweep(main, overrides=["x=1,2"], backend=sys.argv[1]))
            print(parcache.sweep(main, overrides=["x=1,2,3"], backend=sys.argv[1]))
        """,
    )
    assert "[2, 3, 4]" in project.run(backend, script="call.py").check().out
    assert sorted(project.executions()) == ["1", "2", "3"]
    assert len(project.entries()) == 3


def test_sweep_from_python_that_fails_says_its_line_and_leaves_logging_alone(project: Project, backend: str) -> None:
    """Also a failing sweep ends with its one line, and the caller's log files go on."""
    project.write(
        helper="def compute(cfg):\n    return 1 / 0\n",
        call="""
        import logging, sys
        import hydra, parcache
        from app import main

        logging.basicConfig(filename="user.log", filemode="w", level="INFO")
        other = logging.getLogger("other")
        other.addHandler(logging.FileHandler("other.log", mode="w"))
        logging.info("before")
        with hydra.initialize(config_path="conf", version_base=None):
            try:
                parcache.sweep(main, overrides=["x=1,2"], backend=sys.argv[1])
            except ZeroDivisionError:
                logging.info("after")
                other.warning("too")
        """,
    )
    result = project.run(backend, script="call.py").check()
    assert "2 misses, 2 failed" in result.summary
    assert (project.folder / "user.log").read_text().splitlines()[0].endswith("before")
    assert "INFO:root:after" in (project.folder / "user.log").read_text()
    assert "too" in (project.folder / "other.log").read_text()
