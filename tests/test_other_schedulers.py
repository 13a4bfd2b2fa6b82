"""A backend that hands its work to somebody else's scheduler: what it is told, and what becomes of its jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from parcache.backends import About
from parcache.errors import ElsewhereError, JobTimeoutError
from parcache.model import NOT_ASKED, Entry, Key, Outcome, Watched
from parcache.run.limits import Limits
from parcache.run.marks import Marks
from parcache.run.parts import Parts
from parcache.run.schedule import Crew, Event, Recovered, Schedule
from parcache.run.unit import Delivery, Parcel, Ticket, Unit
from tests.conftest import Project
from tests.sweeping import numbers

KEY = Key("d" * 32, 1, "c", "f", "3.11", "")
ENTRY = Entry(KEY, 10, 0.5, 1, Watched())


class Cluster:
    """Runs what it is given when it is flushed; ``ends`` says by job number how, in turn."""

    capacity = 100
    jobs_per_call = 1
    executes_elsewhere = True

    def __init__(self, ends: Mapping[int, list[str]] | None = None, *, detach: bool = False) -> None:
        self.ends = {number: list(each) for number, each in (ends or {}).items()}
        self.detach = detach
        self.told: list[About] = []
        self.flushes = 0
        self.killed: list[int] = []
        self._queued: list[tuple[Future[Any], Callable[[Any], Any], Parcel]] = []
        self._running: dict[Future[Any], int] = {}

    def start(self, initializer: Callable[[], None]) -> None:
        initializer()

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        raise AssertionError("submit_job takes its place")

    def submit_job(self, function: Callable[[Any], Any], argument: Any, about: About) -> Future[Any]:
        self.told.append(about)
        future: Future[Any] = Future()
        self._queued.append((future, function, argument))
        return future

    def flush(self) -> None:
        self.flushes += 1
        queued, self._queued = self._queued, []
        for future, function, parcel in queued:
            number = parcel.units[0].number
            end = (self.ends.get(number) or ["done"]).pop(0)
            if end == "elsewhere":
                future.set_exception(ElsewhereError("array task 7_3"))
            elif end == "hangs":
                self._running[future] = number
            elif end == "done":
                future.set_result(function(parcel))

    def running_s(self, future: Future[Any]) -> float | None:
        return 100.0 if future in self._running else None

    def kill(self, future: Future[Any]) -> None:
        self.killed.append(self._running.pop(future))
        future.cancel()
        future.set_running_or_notify_cancel()

    def stop(self, *, cancel: bool) -> None:
        pass

    def leave(self) -> str:
        return "some wait"


class Runner:
    """Knows no failures."""

    def error_of(self, report: Any) -> BaseException | None:
        return None


def execute(parcel: Parcel) -> Delivery:
    outcomes = [Outcome(unit.number, unit.own, None, 0.5, NOT_ASKED) for unit in parcel.units]
    return Delivery(tuple(outcomes), (0.0,) * len(outcomes))


def unit(number: int) -> Unit:
    return Unit(number, None, number, Ticket(0, KEY._replace(digest=f"{number:032x}"), "", {}))


def told(cluster: Cluster, count: int, stored: Mapping[int, Entry] | None = None, **options: Any) -> list[Event]:
    """Run units to their end and return what was told of them. ``stored`` is what was published whenever."""
    marks = Marks()
    runner: Any = Runner()
    crew = Crew(cluster, runner, execute, Parts(), marks)
    try:
        schedule = Schedule(crew, **options)
        return list(schedule.run(range(count), unit, lambda n, since: (stored or {}).get(n) if not since else None))
    finally:
        marks.close()


def test_scheduler_is_told_of_each_job_with_its_key_and_its_own_settings() -> None:
    """Each call is one job, and goes with its number, its key's digest and what of the settings depends on it."""
    cluster = Cluster()
    events = told(cluster, 3, varying=lambda number: {"mem_gb": number})
    assert sorted(event.number for event in events) == [0, 1, 2]
    assert cluster.told == [About(number, f"{number:032x}", {"mem_gb": number}) for number in range(3)]


def test_scheduler_is_flushed_once_when_all_that_fits_is_submitted() -> None:
    """A backend that submits in bulk gets everything before it is told to."""
    cluster = Cluster()
    told(cluster, 50)
    assert cluster.flushes == 1


def test_refreshed_job_has_no_key_that_another_sweep_could_have() -> None:
    """With cache.mode=refresh a job runs whatever others do."""
    cluster = Cluster()
    told(cluster, 1, is_refreshed=True)
    assert [about.key for about in cluster.told] == [None]


def test_job_that_another_sweep_had_is_taken_from_the_store_however_old() -> None:
    """What the other sweep published before this one submitted counts as well."""
    assert told(Cluster({0: ["elsewhere"]}), 1, {0: ENTRY}) == [Recovered(0, ENTRY)]


def test_job_that_another_sweep_left_without_a_result_runs_here_and_attaches_no_more() -> None:
    """It is submitted again without its key, so that it cannot be left to others for ever."""
    cluster = Cluster({0: ["elsewhere", "done"]})
    events = told(cluster, 1)
    assert [type(event) for event in events] == [Outcome]
    assert [about.key for about in cluster.told] == [f"{0:032x}", None]


def test_job_past_its_time_is_killed_by_what_the_backend_says_of_its_start() -> None:
    """A backend whose workers have another clock tells for how long a job has run."""
    cluster = Cluster({1: ["hangs"]})
    events = told(cluster, 2, limits=Limits(timeout_s=5.0))
    failed = [event for event in events if isinstance(event, Outcome) and event.error is not None]
    assert [(event.number, type(event.error)) for event in failed] == [(1, JobTimeoutError)]
    assert cluster.killed == [1]


def test_detached_schedule_ends_with_what_is_submitted() -> None:
    """Nothing is waited for, and nothing is told of what has not ended."""
    cluster = Cluster({1: ["hangs"], 2: ["hangs"]}, detach=True)
    events = told(cluster, 3)
    assert [event.number for event in events] == [0]


THEIRS = """
    import json, os, subprocess, sys
    from concurrent.futures import Future
    from parcache.backends.process import ProcessBackend

    class Cluster:
        capacity = 100
        workers = 2
        jobs_per_call = 1
        executes_elsewhere = True
        per_job = ("mem_gb", "extra")

        def __init__(self, mem_gb=None, extra=None, queue="any", detach=False):
            self.detach, self.mem_gb, self.queue = detach, mem_gb, queue
            self._pool = ProcessBackend(workers=2)
            self._told = {"asked": mem_gb, "queue": queue, "jobs": {}}

        def settle(self, place):
            self._told["place"] = place._asdict()

        def start(self, initializer):
            meanwhile = os.environ.pop("MEANWHILE", "")
            if meanwhile:  # another sweep ends before this one knows what others have
                other = [sys.executable, "app.py", "-m", "hydra/launcher=parcache", meanwhile]
                subprocess.run(other, check=True)
            self._pool.start(initializer)

        def submit(self, function, argument):
            raise AssertionError("submit_job takes its place")

        def submit_job(self, function, argument, about):
            self._told["jobs"][about.number] = dict(about.settings)
            return Future() if self.detach else self._pool.submit(function, argument)

        def running_s(self, future):
            return None

        def stop(self, *, cancel):
            self._pool.stop(cancel=cancel)
            with open("told.json", "w") as file:
                json.dump(self._told, file)

        def leave(self):
            self.stop(cancel=True)
            return "2 jobs wait on theirs. Follow them: theirq -u you"
"""
PROFILE = """
    name: theirs
    mem_gb: ${model.mem_gb}
    extra:
      tag: of ${model.name}
    queue: ${site.queue}
    detach: false
"""
ARGUMENTS = ("-m", "hydra/launcher=parcache", "hydra/launcher/backend=theirs")


@pytest.fixture
def clustered(project: Project) -> Project:
    """A project whose folder has an installed package with a backend, and a profile of it."""
    metadata = project.folder / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[parcache.backends]\ntheirs = theirs:Cluster\n")
    return project.write(
        theirs=THEIRS,
        conf__hydra__launcher__backend__theirs_yaml=PROFILE,
        conf__config_yaml="defaults: [model: small, _self_]\nx: 1\nsite: {queue: gpu}\n",
        conf__model__small_yaml="name: small\nmem_gb: 2\n",
        conf__model__large_yaml="name: large\nmem_gb: 64\n",
    )


def told_of(project: Project) -> Any:
    return json.loads((project.folder / "told.json").read_text())


def test_setting_with_an_interpolation_is_what_each_jobs_own_config_makes_of_it(clustered: Project) -> None:
    """A group choice and a value override both reach it; what may not vary is resolved once."""
    result = clustered.run(*ARGUMENTS, "model=small,large", "model.mem_gb=2,3").check()
    assert "4 jobs: 0 hits, 4 misses" in result.summary
    found = told_of(clustered)
    assert (found["asked"], found["queue"]) == (None, "gpu")
    assert found["jobs"] == {
        "0": {"mem_gb": 2, "extra": {"tag": "of small"}},
        "1": {"mem_gb": 3, "extra": {"tag": "of small"}},
        "2": {"mem_gb": 2, "extra": {"tag": "of large"}},
        "3": {"mem_gb": 3, "extra": {"tag": "of large"}},
    }


def test_setting_that_a_job_cannot_resolve_refuses_the_sweep_before_any_job(clustered: Project) -> None:
    """It names the setting and the job."""
    clustered.write(conf__model__large_yaml="name: large\n")
    result = clustered.run(*ARGUMENTS, "model=small,large")
    assert result.code == 1
    assert "hydra.launcher.backend.mem_gb" in result.err
    assert "(job 1)" in result.err
    assert clustered.executions() == []


def test_backend_is_told_where_the_sweep_is_at_home(clustered: Project) -> None:
    """Its own folder lies in the store; where nothing is stored there is none."""
    clustered.run(*ARGUMENTS, "x=1", "hydra.launcher.failures.retries=2", "hydra.sweep.dir=out").check()
    place = told_of(clustered)["place"]
    store = str(clustered.folder / ".parcache")
    assert place == {
        "name": "app",
        "sweep_dir": str(clustered.folder / "out"),
        "folder": str(clustered.folder),
        "store": store,
        "shared": f"{store}/backends/theirs",
        "retries": 2,
    }
    clustered.run(*ARGUMENTS, "x=1", "hydra.launcher.cache.mode=off").check()
    place = told_of(clustered)["place"]
    assert (place["store"], place["shared"]) == (None, None)


def test_result_that_another_sweep_stores_before_the_backend_is_ready_is_a_hit(clustered: Project) -> None:
    """The store is looked at once more when the backend knows what other sweeps have; nothing runs twice."""
    result = clustered.run(*ARGUMENTS, "x=1,2,3,2", env={"MEANWHILE": "x=1,2"}).check()
    assert "4 jobs: 3 hits, 1 misses, 0 failed" in result.out
    assert list(told_of(clustered)["jobs"]) == ["2"]
    assert sorted(clustered.executions()) == ["1", "2", "3"]


def test_detached_sweep_ends_well_says_how_to_follow_it_and_claims_no_result(clustered: Project) -> None:
    """The exit code is 0; the journal has the jobs as left, and the summary counts none of them."""
    result = clustered.run(*ARGUMENTS, "x=1,2", "hydra.launcher.backend.detach=true", "hydra.sweep.dir=out").check()
    assert "2 jobs wait on theirs. Follow them: theirq -u you" in result.out
    assert " misses, " not in result.out
    assert numbers(clustered.folder / "out", "left") == [0, 1]
    assert clustered.executions() == []


def test_detached_sweep_from_python_raises_what_it_left(clustered: Project) -> None:
    """The caller expects a list of results, and there is none."""
    clustered.write(
        api="""
            import hydra, parcache
            from app import main
            with hydra.initialize(config_path="conf", version_base=None):
                try:
                    parcache.sweep(main, overrides=["x=1,2", "hydra.launcher.backend.detach=true"], backend="theirs")
                except parcache.errors.DetachedError as error:
                    print(f"raised: {error}")
        """
    )
    result = clustered.run(script="api.py").check()
    assert "raised: 2 jobs wait on theirs. Follow them: theirq -u you Call it again for the results." in result.out


def test_detach_with_a_sweeper_that_needs_results_is_refused(clustered: Project) -> None:
    """A sweeper that chooses by results would choose by nothing."""
    clustered.write(
        hydra_plugins__mine____init__="",
        hydra_plugins__mine__choosing="""
            from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

            class Choosing(BasicSweeper):
                pass
        """,
        conf__hydra__sweeper__choosing_yaml="""
            _target_: hydra_plugins.mine.choosing.Choosing
            max_batch_size: null
            params: null
        """,
    )
    result = clustered.run(*ARGUMENTS, "x=1,2", "hydra.launcher.backend.detach=true", "hydra/sweeper=choosing")
    assert result.code == 1
    assert "false with the sweeper Choosing, which needs the results of its jobs" in result.err


def test_settings_of_a_sweep_without_interpolations_are_the_backends_alone(tmp_path: Path, clustered: Project) -> None:
    """Nothing is asked of the jobs where nothing depends on them."""
    clustered.write(conf__hydra__launcher__backend__theirs_yaml="name: theirs\nmem_gb: 5\n")
    clustered.run(*ARGUMENTS, "x=1,2").check()
    found = told_of(clustered)
    assert (found["asked"], found["jobs"]) == (5, {"0": {}, "1": {}})
