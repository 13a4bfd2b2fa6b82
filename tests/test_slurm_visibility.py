"""Whether nodes see what jobs need: rules over what is mounted here and which nodes there are."""

from __future__ import annotations

import pytest

from parcache.backends.slurm.visibility import Mount, Node, invisible, others, read_mounts, read_nodes

pytestmark = pytest.mark.any_hydra

HERE = "login"
NODES = [Node("n1", "n1", "10.0.0.1"), Node("n2", "n2", "10.0.0.2")]
MOUNTS = [
    Mount("/", "ext4"),
    Mount("/home", "nfs4"),
    Mount("/dev/shm", "tmpfs"),
    Mount("/scratch", "lustre"),
    Mount("/tmp/shared", "nfs"),
    Mount("/box", "overlay"),
]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/dev/shm/store", "tmpfs"),
        ("/tmp/store", "every machine has for itself"),
        ("/var/tmp/x", "every machine has for itself"),
        ("/box/app", "overlay"),
    ],
)
def test_place_of_one_machines_own_is_named_with_the_reason(path: str, word: str) -> None:
    """What is in memory, in a container or below a temporary folder no node sees."""
    (found,) = invisible({"the store": path}, NODES, MOUNTS, HERE)
    assert found.startswith(f"the store at {path}")
    assert word in found


@pytest.mark.parametrize(
    "path", ["/home/me/.parcache", "/scratch/x", "/opt/python", "/tmp/shared/x", "/tmpx", "/boxes"]
)
def test_place_that_may_be_shared_passes(path: str) -> None:
    """A disk of this machine may be exported to all nodes: only what surely is not is refused."""
    assert invisible({"the store": path}, NODES, MOUNTS, HERE) == []


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [Node("n1", "login", "10.0.0.1"), Node("n2", "login", "10.0.0.2")],
        [Node("login", "login", "login")],
        [Node("n1", "n1", "127.0.0.1")],
        [Node("localhost", "localhost", "localhost")],
    ],
)
def test_cluster_that_is_this_machine_sees_everything(nodes: list[Node]) -> None:
    """Where all nodes are here, also by other names, nothing is invisible."""
    assert invisible({"the store": "/tmp/x"}, nodes, MOUNTS, HERE) == []
    assert others(nodes, HERE) == []


def test_machine_with_a_domain_in_its_name_is_known_by_the_first_part() -> None:
    """Slurm's names are mostly without it."""
    assert others([Node("login", "login", "10.0.0.9"), *NODES], "login.site.example") == ["n1", "n2"]


def test_nodes_are_read_as_sinfo_prints_them() -> None:
    """A node stands there once for each of its partitions."""
    text = "n1-a|host|127.0.0.1\nn1-a|host|127.0.0.1\nn2|n2|10.0.0.2\n\n"
    assert set(read_nodes(text)) == {Node("n1-a", "host", "127.0.0.1"), Node("n2", "n2", "10.0.0.2")}
    assert read_nodes("") == []


def test_mounts_are_read_as_the_kernel_prints_them() -> None:
    """A space in a path is written as a number."""
    text = (
        "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
        "30 22 0:26 / /mnt/my\\040disk rw shared:5 - nfs4 server:/x rw\n"
        "nonsense\n"
    )
    assert read_mounts(text) == [Mount("/", "ext4"), Mount("/mnt/my disk", "nfs4")]
