"""Sweeps from the command line: what runs, what is a hit, and what is said about it."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from parcache.store.entry import unpack
from tests.conftest import Project


def test_sweep_run_twice_executes_nothing_the_second_time(project: Project, launcher: list[str]) -> None:
    """The second run of a sweep is all hits and calls the task function not once."""
    first = project.run(*launcher, "x=1,2,3").check()
    assert first.summary.startswith("3 jobs: 0 hits, 3 misses, 0 failed in ")
    second = project.run(*launcher, "x=1,2,3").check()
    assert second.summary.startswith("3 jobs: 3 hits, 0 misses, 0 failed in ")
    assert "(saved " in second.summary
    assert sorted(project.executions()) == ["1", "2", "3"]


def test_sweep_summary_names_the_results_directory(project: Project, launcher: list[str]) -> None:
    """The one line at the end says where the results lie."""
    result = project.run(*launcher, "x=1", "hydra.sweep.dir=there").check()
    assert result.summary.endswith("results in there")


def test_sweep_extended_by_values_runs_only_the_new_ones(project: Project, launcher: list[str]) -> None:
    """A job is found by what it computes, whatever sweep it stands in."""
    project.run(*launcher, "x=1,2").check()
    project.run(*launcher, "x=2,3,1").check()
    assert sorted(project.executions()) == ["1", "2", "3"]


def test_sweep_on_another_backend_hits(project: Project) -> None:
    """What one backend stored, the other hits."""
    project.run("-m", "x=1,2", "hydra/launcher=parcache", "hydra/launcher/backend=serial").check()
    result = project.run("-m", "x=1,2", "hydra/launcher=parcache", "hydra/launcher/backend=process").check()
    assert "2 hits, 0 misses" in result.summary


def test_sweep_after_editing_a_helper_runs_again(project: Project, launcher: list[str]) -> None:
    """An edit of reached code is a miss; going back to the earlier code hits again."""
    project.run(*launcher, "x=1").check()
    original = (project.folder / "helper.py").read_text()
    project.write(helper="def compute(cfg):\n    return cfg.x * 99\n")
    assert "0 hits, 1 misses" in project.run(*launcher, "x=1").check().summary
    project.write(helper=original)
    assert "1 hits, 0 misses" in project.run(*launcher, "x=1").check().summary


def test_sweep_after_editing_a_comment_hits(project: Project, launcher: list[str]) -> None:
    """A comment is not code."""
    project.run(*launcher, "x=1").check()
    project.write(helper="# why\ndef compute(cfg):\n    # how\n    return cfg.x * 10\n")
    assert "1 hits" in project.run(*launcher, "x=1").check().summary


def test_sweep_with_equal_jobs_runs_one_of_them(project: Project, launcher: list[str]) -> None:
    """Two jobs of one sweep with one key are run once; the summary counts the duplicate."""
    project.write(conf__config_yaml="x: 1\nlog: {every: 1}\n")
    ignored = "hydra.launcher.cache.ignore=[log]"
    result = project.run(*launcher, "x=5", "log.every=1,2,3", ignored).check()
    assert result.summary.startswith("3 jobs: 0 hits, 2 duplicates, 1 misses, 0 failed")
    assert project.executions() == ["5"]


def test_sweep_in_batches_says_one_line_and_keeps_the_pool(project: Project, launcher: list[str]) -> None:
    """A sweeper that launches several batches still ends with exactly one line over all of them."""
    result = project.run(*launcher, "x=1,2,3,4,5", "hydra.sweeper.max_batch_size=2").check()
    assert result.summary.startswith("5 jobs: 0 hits, 5 misses, 0 failed")


@pytest.mark.parametrize(
    ("mode", "hits", "stored"), [("use", 2, 2), ("refresh", 0, 2), ("readonly", 2, 2), ("off", 0, 2)], ids=str
)
def test_sweep_mode_decides_what_is_read(project: Project, mode: str, hits: int, stored: int) -> None:
    """Use and readonly serve stored results, refresh and off run everything."""
    launcher = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial", "x=1,2"]
    project.run(*launcher).check()
    result = project.run(*launcher, f"hydra.launcher.cache.mode={mode}").check()
    assert result.summary.startswith(f"2 jobs: {hits} hits, {2 - hits} misses")
    assert len(project.entries()) == stored


@pytest.mark.parametrize(("mode", "stored"), [("use", 1), ("refresh", 1), ("readonly", 0), ("off", 0)])
def test_sweep_mode_decides_what_is_written(project: Project, mode: str, stored: int) -> None:
    """Readonly and off write nothing; the environment variable comes before the config."""
    launcher = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial", "x=1"]
    project.run(*launcher, "hydra.launcher.cache.mode=use", env={"PARCACHE_MODE": mode}).check()
    assert len(project.entries()) == stored


def test_sweep_mode_refresh_replaces_what_is_stored(project: Project) -> None:
    """Refresh runs a stored job again and stores what it returns now."""
    launcher = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial", "x=1"]
    project.run(*launcher).check()
    (before,) = (entry.read_bytes() for entry in project.entries())
    project.run(*launcher, "hydra.launcher.cache.mode=refresh").check()
    (after,) = (entry.read_bytes() for entry in project.entries())
    assert after != before
    assert project.executions() == ["1", "1"]


def test_sweep_mode_off_written_in_yaml_is_understood(project: Project) -> None:
    """YAML reads a bare off as false; the launcher takes it for what was meant."""
    project.write(
        conf__config_yaml="""
        defaults: [_self_, override hydra/launcher: parcache]
        x: 1
        hydra: {launcher: {cache: {mode: off}}}
        """
    )
    project.run("-m", "x=1", "hydra/launcher/backend=serial").check()
    assert project.entries() == []


def test_sweep_salt_starts_afresh(project: Project) -> None:
    """Another salt is another key; the earlier results stay."""
    launcher = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial", "x=1"]
    project.run(*launcher).check()
    assert "0 hits" in project.run(*launcher, "hydra.launcher.cache.salt=v2").check().summary
    assert "1 hits" in project.run(*launcher).check().summary


def test_sweep_named_environment_variable_counts(project: Project) -> None:
    """A variable named in cache.env belongs to the key, set or unset; others do not."""
    launcher = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial", "x=1"]
    named = [*launcher, "hydra.launcher.cache.env=[FLAVOUR]"]
    project.run(*named).check()
    assert "0 hits" in project.run(*named, env={"FLAVOUR": "sweet"}).check().summary
    assert "1 hits" in project.run(*named, env={"FLAVOUR": "sweet", "OTHER": "1"}).check().summary


def test_sweep_value_from_the_environment_counts(project: Project, launcher: list[str]) -> None:
    """A value that comes through oc.env counts as what it is."""
    project.write(conf__config_yaml="x: ${oc.env:X_VALUE}\n", helper="def compute(cfg):\n    return cfg.x\n")
    project.run(*launcher, env={"X_VALUE": "a"}).check()
    project.run(*launcher, env={"X_VALUE": "b"}).check()
    assert "1 hits" in project.run(*launcher, env={"X_VALUE": "a"}).check().summary
    assert project.executions() == ["a", "b"]


def test_sweep_value_from_env_set_counts(project: Project, launcher: list[str]) -> None:
    """hydra.job.env_set is in force when the task reads its config, and so when the job is keyed."""
    project.write(conf__config_yaml="x: ${oc.env:X_VALUE}\n", helper="def compute(cfg):\n    return cfg.x\n")
    for value in ("a", "b", "a"):
        project.run(*launcher, f"+hydra.job.env_set.X_VALUE={value}").check()
    assert project.executions() == ["a", "b"]


def test_sweep_named_environment_variable_counts_as_env_set_gives_it(project: Project, launcher: list[str]) -> None:
    """A variable named in cache.env counts as the job sees it."""
    project.write(helper="import os\ndef compute(cfg):\n    return os.environ['FLAVOUR']\n")
    for flavour in ("sweet", "sour", "sweet"):
        project.run(*launcher, "hydra.launcher.cache.env=[FLAVOUR]", f"+hydra.job.env_set.FLAVOUR={flavour}").check()
    assert project.executions() == ["1", "1"]


def test_sweep_ignored_value_that_changes_each_time_is_no_obstacle(project: Project, launcher: list[str]) -> None:
    """The way out that the refusal names works: an ignored key may have another value in the job."""
    project.write(
        app="""
        import os, random
        import hydra
        from omegaconf import OmegaConf

        OmegaConf.register_new_resolver("dice", lambda: random.SystemRandom().random())

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            return cfg.x

        if __name__ == "__main__":
            main()
        """,
        conf__config_yaml="x: 1\nlog: [{seed: '${dice:}'}]\n",
    )
    ignored = "hydra.launcher.cache.ignore=[log.*.seed]"
    project.run(*launcher, ignored).check()
    assert "1 hits" in project.run(*launcher, ignored).check().summary


def test_sweep_with_paths_of_the_run_in_its_config_hits(project: Project, launcher: list[str]) -> None:
    """Values that change with every run by construction do not make a miss."""
    project.write(
        conf__config_yaml="""
        x: 1
        paths: {out: "${hydra:runtime.output_dir}", stamp: "${now:%H-%M-%S-%f}"}
        ckpt: ${paths.out}/model.ckpt
        """
    )
    project.run(*launcher).check()
    assert "1 hits" in project.run(*launcher, "hydra.sweep.dir=elsewhere").check().summary


def test_sweep_over_a_group_choice_read_through_hydra_tells_jobs_apart(project: Project, launcher: list[str]) -> None:
    """A choice that the task is told by ${hydra:runtime.choices...} counts as a value."""
    project.write(
        conf__config_yaml="""
        defaults: [model: a, _self_]
        x: ${hydra:runtime.choices.model}
        """,
        conf__model__a_yaml="size: 1\n",
        conf__model__b_yaml="size: 1\n",
        helper="def compute(cfg):\n    return cfg.x\n",
    )
    project.run(*launcher, "model=a,b").check()
    assert sorted(project.executions()) == ["a", "b"]


def test_sweep_whose_resolver_gives_another_value_each_time_is_not_stored(
    project: Project, launcher: list[str]
) -> None:
    """A job that would see another value than it was keyed by runs, is not stored, and that is said once."""
    project.write(
        app="""
        import os, random
        import hydra
        from omegaconf import OmegaConf

        OmegaConf.register_new_resolver("dice", lambda: random.SystemRandom().random())

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            return cfg.seed

        if __name__ == "__main__":
            main()
        """,
        conf__config_yaml="x: 1\nseed: ${dice:}\n",
    )
    result = project.run(*launcher, "x=1,2").check()
    assert project.entries() == []
    assert result.out.count("$.seed had another value") == 1


def test_sweep_job_that_reads_a_constant_resolver_is_stored(project: Project, launcher: list[str]) -> None:
    """A custom resolver that answers the same in the worker is as good as a value."""
    project.write(
        app="""
        import hydra
        from omegaconf import OmegaConf

        OmegaConf.register_new_resolver("double", lambda value: 2 * value)

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            return cfg.y

        if __name__ == "__main__":
            main()
        """,
        conf__config_yaml="x: 1\ny: ${double:${x}}\n",
    )
    project.run(*launcher, "x=1,2").check()
    assert "2 hits" in project.run(*launcher, "x=1,2").check().summary


def test_sweep_store_keeps_itself_out_of_version_control_and_backups(project: Project) -> None:
    """The store carries a .gitignore that ignores everything and a CACHEDIR.TAG with the agreed signature."""
    project.run("-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial").check()
    store = project.folder / ".parcache"
    assert (store / ".gitignore").read_text() == "*\n"
    assert (store / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_sweep_multirun_yaml_is_where_hydra_puts_it(project: Project, launcher: list[str]) -> None:
    """The sweep directory holds Hydra's multirun.yaml beside the jobs' folders."""
    project.run(*launcher, "x=1,2", "hydra.sweep.dir=out").check()
    config = OmegaConf.load(project.folder / "out" / "multirun.yaml")
    assert config.hydra.launcher.cache.mode == "use"


def test_sweep_task_that_reads_a_global_of_its_program_counts_its_value(project: Project, backend: str) -> None:
    """A script that changes a global between two sweeps gets two results."""
    project.write(
        call="""
        import sys
        import hydra, parcache

        class Model:
            rate = 1

        def scaled(x):
            return SCALE * Model.rate * x

        def task(cfg):
            return scaled(cfg.x)

        if __name__ == "__main__":
            with hydra.initialize(config_path="conf", version_base=None):
                for SCALE in (1, 10):
                    print("values", parcache.sweep(task, overrides=["x=1,2"], backend=sys.argv[1]))
                Model.rate = 5
                print("values", parcache.sweep(task, overrides=["x=1,2"], backend=sys.argv[1]))
        """
    )
    for _ in range(2):
        out = project.run(backend, script="call.py").check().out
        assert [line for line in out.splitlines() if line.startswith("values")] == [
            "values [1, 2]",
            "values [10, 20]",
            "values [50, 100]",
        ]


def test_sweep_after_editing_what_only_the_entry_script_imports_runs_again(
    project: Project, launcher: list[str]
) -> None:
    """A registry that the command line's program fills counts, though the task's module does not import it."""
    project.write(
        conf____init__="",
        app="import plugins\nfrom core import main\nmain()\n",
        plugins="from core import REGISTRY\nREGISTRY['times'] = lambda x: x * 1\n",
        core="""
        import os
        import hydra

        REGISTRY = {}

        @hydra.main(config_path="conf", config_name="config", version_base=None)
        def main(cfg):
            with open(os.environ["RUNS"], "a") as file:
                file.write(f"{REGISTRY['times'](cfg.x)}\\n")
        """,
    )
    project.run(*launcher, "x=2").check()
    project.write(plugins="from core import REGISTRY\nREGISTRY['times'] = lambda x: x * 100\n")
    project.run(*launcher, "x=2").check()
    assert project.executions() == ["2", "200"]


def test_sweep_named_variable_that_a_job_changed_is_as_it_was_for_later_jobs(project: Project) -> None:
    """A job's change of the environment ends with it: the next one runs with what it was keyed by."""
    project.write(
        helper="""
        import os
        def compute(cfg):
            if cfg.x == 1:
                os.environ["FLAVOUR"] = "leaked"
            return os.environ.get("FLAVOUR")
        """
    )
    launcher = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial", "hydra.launcher.cache.env=[FLAVOUR]"]
    result = project.run(*launcher, "x=1,2").check()
    assert "not stored" not in result.out
    assert len(project.entries()) == 2


def test_sweep_refreshed_duplicate_of_a_failed_job_runs_itself(project: Project, launcher: list[str]) -> None:
    """With mode=refresh no duplicate is served what the store held before."""
    project.write(conf__config_yaml="x: 1\nn: 0\n")
    ignored = ["x=1", "n=1,2", "hydra.launcher.cache.ignore=[n]"]
    project.run(*launcher, *ignored).check()
    project.write(helper="import os\ndef compute(cfg):\n    raise SystemExit(3) if 'BAD' in os.environ else 0\n")
    project.run(*launcher, *ignored, env={"PARCACHE_MODE": "refresh"})
    project.runs.unlink()
    result = project.run(*launcher, *ignored, "hydra.launcher.cache.mode=refresh", env={"BAD": "1"})
    assert "0 hits, 2 misses, 2 failed" in result.out
    assert project.executions() == ["1", "1"]


def test_sweep_under_optimized_python_is_another_job(project: Project) -> None:
    """Without asserts the same code can give another result."""
    launcher = ["-m", "hydra/launcher=parcache", "hydra/launcher/backend=serial", "x=1"]
    project.run(*launcher).check()
    assert "0 hits" in project.run(*launcher, env={"PYTHONOPTIMIZE": "1"}).check().summary


def test_sweep_value_of_the_run_and_the_environment_mixed_counts_the_environment(
    project: Project, launcher: list[str]
) -> None:
    """What an expression reads besides the run counts, even where the run's value stands in it by chance."""
    project.write(
        conf__config_yaml="x: 1\nvar: DATA0\nout: '${hydra:job.num}/${oc.env:${var},none}'\n",
        helper="def compute(cfg):\n    return cfg.out\n",
    )
    for value in ("one", "two", "one"):
        project.run(*launcher, env={"DATA0": value}).check()
    assert len(project.executions()) == 2


def test_sweep_stored_explanation_holds_no_value_of_the_environment(project: Project, launcher: list[str]) -> None:
    """What came out of the environment can be a secret: entries keep its digest only."""
    project.write(conf__config_yaml="x: 1\nkey: ${oc.env:API_KEY}\n")
    project.run(*launcher, env={"API_KEY": "s3cret-token"}).check()
    (path,) = project.entries()
    entry = unpack(path.read_bytes(), str(path), path.stem).explanation()
    assert entry["config"]["x"] == 1
    assert "s3cret" not in str(entry)


def test_sweep_whose_code_does_not_count_stores_what_jobs_import_late(project: Project, launcher: list[str]) -> None:
    """With `cache.code=off` nothing is asked of the code that ran: imports by made-up names are no obstacle."""
    project.write(
        late="def value():\n    return 7\n",
        helper="import importlib\ndef compute(cfg):\n    return importlib.import_module('la' + 'te').value() + cfg.x\n",
    )
    overrides = ["-m", *launcher, "hydra.launcher.cache.code=off", "x=1,2"]
    project.run(*overrides).check()
    assert "2 hits" in project.run(*overrides).check().summary
