"""Whether the nodes of a cluster see what jobs need, as far as that can be told from here.

Only what surely is a machine's own is named: memory, a container's layers, the folders for temporary files. A local
disk may be exported to all nodes by the machine that has it, so it passes; what no rule sees, the jobs' failure tells.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})
_OF_A_CONTAINER: Final = frozenset({"overlay", "aufs"})
_TEMPORARY: Final = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108 # named, not used


class Mount(NamedTuple):
    """A mounted file system."""

    point: str
    kind: str


class Node(NamedTuple):
    """A node of the cluster: its name, that of its machine, and the address by which Slurm reaches it."""

    name: str
    host: str
    address: str


def invisible(places: Mapping[str, str], nodes: Collection[Node], mounts: Collection[Mount], here: str) -> list[str]:
    """Return which of these places, path by what it is, nodes on other machines than this one do not see."""
    if all(_is_here(node, here) for node in nodes):
        return []
    found = []
    for what, path in places.items():
        why = _local_for(os.path.abspath(path), mounts)
        if why:
            found.append(f"{what} at {path} ({why})")
    return found


def others(nodes: Collection[Node], here: str) -> list[str]:
    """Return the names of the nodes that are other machines than this one."""
    return sorted({node.name for node in nodes if not _is_here(node, here)})


def _is_here(node: Node, here: str) -> bool:
    names = {here, here.partition(".")[0], "localhost"}
    return node.host in names or node.name in names or node.address in names or node.address.startswith("127.")


def _local_for(path: str, mounts: Collection[Mount]) -> str:
    above = [mount for mount in mounts if path == mount.point or path.startswith(mount.point.rstrip("/") + "/")]
    mount = max(above, key=lambda each: len(each.point), default=Mount("/", ""))
    if mount.kind in _IN_MEMORY:
        return f"{mount.kind}: in the memory of this machine"
    temporary = next((each for each in _TEMPORARY if path == each or path.startswith(each + "/")), None)
    # A temporary folder of its own file system may be a shared one.
    if temporary is not None and not mount.point.startswith(temporary):
        return f"below {temporary}, which every machine has for itself"
    if mount.kind in _OF_A_CONTAINER:
        return f"{mount.kind}: of this container"
    return ""


def read_nodes(text: str) -> list[Node]:
    """Return the nodes, from ``sinfo -h -N -o '%N|%n|%o'``."""
    found = []
    for line in text.splitlines():
        name, host, address = (*line.strip().split("|"), "", "", "")[:3]
        if name:
            found.append(Node(name, host or name, address or name))
    return found


def read_mounts(text: str) -> list[Mount]:
    """Return what is mounted, from ``/proc/self/mountinfo``."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) > 4 and kind:
            # A space in a path is written as its octal number.
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
            found.append(Mount(point, kind[0]))
    return found


def mounts_here() -> list[Mount]:
    """Return what is mounted on this machine; nothing where it does not tell."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            return read_mounts(file.read())
    except OSError:
        return []


def name_here() -> str:
    """Return this machine's name."""
    return socket.gethostname()
