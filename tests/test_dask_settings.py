"""What the backend ``dask`` accepts, and how many calls it takes, before anything of Dask is started."""

from __future__ import annotations

import importlib.util
import json
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parcache.backends import create, machine
from parcache.backends.dask import connection, quiet, relay
from parcache.backends.dask.address import find_scheduler
from parcache.backends.dask.settings import cluster_class
from parcache.errors import BackendNotInstalledError, DaskVersionError, SettingError

pytestmark = pytest.mark.any_hydra

SLURM = {"_target_": "dask_jobqueue.SLURMCluster", "cores": 8, "memory": "1GB"}


@pytest.mark.parametrize(
    ("settings", "key", "expected"),
    [
        ({"address": 8786}, "address", "a scheduler's address"),
        ({"address": "tcp://a:1", "cluster": SLURM}, "address", "null where cluster is set"),
        ({"address": "tcp://a:1", "scale": 2}, "scale", "that cluster is not ours"),
        ({"address": "tcp://a:1", "adapt": {"maximum": 2}}, "adapt", "that cluster is not ours"),
        ({"address": "tcp://a:1", "workers": 2}, "workers", "null where address or cluster is set"),
        ({"cluster": SLURM, "memory_limit": "1GB"}, "memory_limit", "null where address or cluster is set"),
        ({"cluster": "SLURMCluster"}, "cluster", "a mapping with the cluster class as _target_"),
        ({"cluster": {"_target_": "SLURMCluster"}}, "cluster", "a mapping with the cluster class as _target_"),
        ({"cluster": SLURM, "scale": 0}, "scale", "a whole number from 1"),
        ({"cluster": SLURM, "scale": 2, "adapt": {"maximum": 3}}, "scale", "null where adapt is set"),
        ({"cluster": SLURM, "adapt": 3}, "adapt", "a mapping such as {minimum: 0, maximum: 10}"),
        ({"cluster": SLURM, "adapt": {"minimum": 0}}, "adapt", "a mapping such as {minimum: 0, maximum: 10}"),
        ({"cluster": SLURM, "adapt": {"minimum": 3, "maximum": 2}}, "adapt.minimum", "a whole number from 0 to 2"),
        ({"scale": 2}, "scale", "null without cluster"),
        ({"workers": 0}, "workers", "a whole number from 1"),
        ({"threads_per_worker": 0}, "threads_per_worker", "a whole number from 1"),
        ({"memory_limit": True}, "memory_limit", "a size such as 4GB"),
        ({"worker_resources": ["GPU"]}, "worker_resources", "a mapping of resources to amounts"),
        ({"worker_resources": {"GPU": "one"}}, "worker_resources", "a mapping of resources to amounts"),
        ({"wait_s": -1}, "wait_s", "a number of seconds"),
        ({"log_level": "loud"}, "log_level", "one of debug, info, warning, error, critical"),
    ],
)
def test_dask_setting_that_cannot_be_is_refused(settings: dict[str, Any], key: str, expected: str) -> None:
    """A wrong setting is refused by its name, with what is accepted, before anything is started."""
    with pytest.raises(SettingError) as caught:
        create("dask", settings)
    assert caught.value.key == f"hydra.launcher.backend.{key}"
    assert expected in caught.value.expected


def test_dask_memory_limit_that_is_no_size_is_refused() -> None:
    """A text that is no size is refused when the backend starts, which is when Dask is there to read it."""
    with pytest.raises(SettingError, match="memory_limit is 'much'; expected a size such as 4GB"):
        create("dask", {"memory_limit": "much"}).start(print)


@pytest.mark.parametrize(
    ("settings", "workers"),
    [
        ({"workers": 3}, 3),
        ({"workers": 3, "threads_per_worker": 2}, 6),
        ({}, machine.cores()),
        ({"adapt": {"maximum": 5}}, 5),
        ({"cluster": {**SLURM, "processes": 1}, "scale": 3}, 24),
        ({"cluster": {**SLURM, "processes": 8}, "adapt": {"maximum": 3}}, 3),
        ({"cluster": {"_target_": "some.Cluster", "threads_per_worker": 2}, "scale": 3}, 6),
        ({"address": "tcp://a:1"}, machine.cores()),
        ({"cluster": SLURM, "scale": 100_000}, 800_000),
    ],
)
def test_dask_capacity_is_twice_the_workers_that_there_will_be(settings: dict[str, Any], workers: int) -> None:
    """Before there is a cluster its size is what the settings say; calls in flight are bounded."""
    backend: Any = create("dask", settings)
    assert backend.workers == workers
    assert backend.capacity == min(2 * workers, 4096)


def test_dask_cluster_of_a_package_that_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """dask-jobqueue comes with the extra: where it is missing, the command that installs it is told."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "dask_jobqueue" else found(name))
    with pytest.raises(BackendNotInstalledError, match=r"needs dask_jobqueue.*pip install 'parcache\[dask\]'"):
        create("dask", {"cluster": SLURM})


def test_dask_settings_are_read_without_importing_dask() -> None:
    """Choosing the backend is cheap: Dask is imported when it starts."""
    program = (
        "import sys; from parcache.backends import create; create('dask', {'workers': 2}).capacity;"
        "print({'dask', 'distributed', 'tornado'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_dask_cluster_class_imported_leaves_ctrl_c_alone() -> None:
    """dask-jobqueue 0.9 replaces the handler of SIGINT when it is imported; here it stays."""
    program = (
        "import signal; from parcache.backends.dask.settings import cluster_class;"
        "print(cluster_class('dask_jobqueue.SLURMCluster').__name__, signal.getsignal(signal.SIGINT).__name__)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "SLURMCluster default_int_handler\n"


@pytest.mark.parametrize("target", ["no_such_package.Cluster", "os.no_such_class", "os.sep"])
def test_dask_cluster_class_that_is_none_is_refused(target: str) -> None:
    """What cannot be imported or called is refused by the setting's name."""
    with pytest.raises(SettingError, match=r"cluster\._target_ is .*; expected the dotted path of a cluster class"):
        cluster_class(target)


@pytest.mark.parametrize(("text", "told"), [(None, "No such file"), ("{", "no JSON"), ("[1]", "no JSON")])
def test_dask_scheduler_file_that_tells_no_address_is_refused_in_time(
    tmp_path: Path, text: str | None, told: str
) -> None:
    """A file that is not there, or not what a scheduler writes, is not waited for longer than for an answer."""
    path = tmp_path / "s.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingError, match=rf"address is .*{told}.*dask scheduler --scheduler-file {path}"):
        find_scheduler(str(path), 0.0)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("nonsense", "missing port number"),
        ("tcp://host:port", "invalid literal"),
        ("udp://host:1", "unknown address scheme 'udp'"),
    ],
)
def test_dask_address_that_cannot_be_is_refused_before_a_client_begins(tmp_path: Path, address: str, told: str) -> None:
    """Dask's own client would say so as well, and then take 20 s to close; a file may tell such a one too."""
    with pytest.raises(SettingError, match=rf"address is '{address}'; expected .* such as tcp://HOST:8786 \({told}"):
        find_scheduler(address, 0.0)
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"address": address}))
    with pytest.raises(SettingError, match=rf"in place of {address}, which its file names \({told}"):
        find_scheduler(str(path), 0.0)


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "tls://host:1", "tcp://[::1]:8786", "inproc://10.0.0.1/7/1"])
def test_dask_address_that_dask_reads_is_taken_as_it_is(address: str) -> None:
    """What scheme and form there are is Dask's to say."""
    assert find_scheduler(address, 0.0) == address


def test_dask_scheduler_file_that_is_written_later_is_waited_for(tmp_path: Path) -> None:
    """Whoever starts a scheduler and a sweep together does not know which is first."""
    path = tmp_path / "s.json"
    times = iter([0.0, 1.0, 2.0])

    def clock() -> float:
        now_s = next(times)
        if now_s == 2.0:
            path.write_text('{"address": "tcp://10.0.0.1:8786"}')
        return now_s

    assert find_scheduler(str(path), 10.0, clock) == "tcp://10.0.0.1:8786"


def told(python: str = "", packages: dict[str, str] | None = None) -> dict[str, Any]:
    return {"host": {"python": python}, "packages": packages if packages is not None else {"parcache": "1"}}


def test_dask_versions_that_calls_cannot_travel_between_are_refused() -> None:
    """Another minor version of Python anywhere, and workers without parcache, are errors that name the place."""
    here = {"python": "3.11", "parcache": "1"}
    same, other = told("3.11.9.final.0"), told("3.10.2.final.0")
    connection._check_versions({"scheduler": same, "workers": {"tcp://a": same}}, here)
    with pytest.raises(DaskVersionError, match=r"Dask scheduler has Python 3\.10, the sweeping process Python 3\.11"):
        connection._check_versions({"scheduler": other, "workers": {}}, here)
    with pytest.raises(DaskVersionError, match=r"Dask worker at tcp://b has Python 3\.10"):
        connection._check_versions({"scheduler": same, "workers": {"tcp://a": same, "tcp://b": other}}, here)
    bare = told("3.11.9.final.0", {"parcache": ""})
    with pytest.raises(DaskVersionError, match="Dask worker at tcp://a has no parcache"):
        connection._check_versions({"scheduler": same, "workers": {"tcp://a": bare}}, here)


def test_dask_versions_are_those_that_must_agree() -> None:
    """Of Python the minor version counts, of packages the whole one."""
    found = relay.versions()
    assert found["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert {"parcache", "hydra-core", "omegaconf", "cloudpickle", "distributed"} <= set(found)


def test_dask_loggers_are_quiet_until_it_is_undone() -> None:
    """Dask's loggers say nothing below the level, and have their own levels again afterwards."""
    logger = logging.getLogger("distributed.worker")
    logger.setLevel(logging.INFO)
    restore = quiet.quieten(logging.CRITICAL)
    assert not logger.isEnabledFor(logging.ERROR)
    restore()
    assert logger.level == logging.INFO
    logger.setLevel(logging.NOTSET)


def test_dask_main_script_is_hidden_only_while_processes_start() -> None:
    """What multiprocessing would import in each process it starts is there again afterwards."""
    main = sys.modules["__main__"]
    before = getattr(main, "__file__", None), main.__spec__
    with quiet.without_main():
        assert getattr(main, "__file__", None) is None
        assert main.__spec__ is None
    assert (getattr(main, "__file__", None), main.__spec__) == before


def test_dask_terminal_is_kept_away_only_while_a_cluster_is_made() -> None:
    """SIGINT is blocked for what starts meanwhile, and delivered afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with quiet.without_terminal():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
