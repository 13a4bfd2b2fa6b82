"""Why what a process has run may be other code than the fingerprinted one, although all its modules are proven."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from parcache.keys import executions
from parcache.keys.code import Construct, Source, signature
from parcache.keys.witness import process_start_ns

_BY_HAND: Final = re.compile(r"exec|run_path|run_module|load_module|load_source|Loader|module_from_spec|spec_from_file")
_TICK_NS: Final = 10_000_000
_AGAIN: Final = "Start the command again to store results of the code as it is now"


def executes_files(constructs: Iterable[Construct]) -> bool:
    """Tell whether code with these constructs may execute files without importing them."""
    return any(_BY_HAND.search(construct.text) for construct in constructs)


def doubt(sources: Sequence[Source], *, by_hand: bool, started_ns: int | None, since: int) -> str:
    """Return why results of this process are not to be stored under the fingerprint of ``sources``, or an empty string.

    ``by_hand``: the code may execute files without importing them. ``started_ns`` is when this process started,
    ``since`` the moment at which the job began.
    """
    noted = executions.of_this_process()
    if noted.is_full:
        return "more files were executed or read as source than can be noted"
    found = noted.differing(sources, since)
    if not found and by_hand and not noted.is_early:
        found = _changed_since(started_ns, sources)
    if found:
        return f"{_listed(found)} may have been executed with another text than the present one. {_AGAIN}"
    if noted.starts_programs or (not noted.is_early and any(_children())):
        found = _seen_by_programs(sources)
        if found:
            return (
                f"{_listed(found)} changed while programs ran that jobs have started and that may import it. {_AGAIN}"
            )
    return ""


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths)


def _changed_since(started_ns: int | None, sources: Sequence[Source]) -> list[str]:
    """Return the files that have changed since the process started and that no module of it was imported from."""
    # The system tells the start in hundredths of a second, rounded down: a file that was written just before would seem
    # to have changed after it. Within that time no interpreter gets as far as code of the project.
    changed = [
        source.path for source in sources if started_ns is None or max(source.signature[2:]) > started_ns + _TICK_NS
    ]
    if not changed:
        return []
    imported = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return [path for path in changed if path not in imported]


def _seen_by_programs(sources: Sequence[Source]) -> list[str]:
    """Return the files that have changed since they were fingerprinted, or while a program ran that still does."""
    oldest_ns = min((start for start in map(process_start_ns, _children()) if start is not None), default=None)
    if oldest_ns is not None:
        oldest_ns -= _TICK_NS  # a file that changes later may bear a time that the system's clock had before
    found = []
    for source in sources:
        try:
            now = signature(source.path)
        except OSError:
            found.append(source.path)
            continue
        if now != source.signature or (oldest_ns is not None and max(now[2:]) > oldest_ns):
            found.append(source.path)
    return found


def _has_children() -> bool:
    """Tell whether there can be any; a look into /proc takes fifty times as long."""
    if not hasattr(os, "waitid"):  # macOS
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children() -> Iterator[int]:
    """Yield the processes that this one has started and that run, as far as they can import anything of the project."""
    if not _has_children():
        return
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    own = getattr(tracker, "_pid", None)
    try:
        threads = os.listdir("/proc/self/task")
    except OSError:
        return
    for thread in threads:
        try:
            with open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:
                numbers = file.read().split()
        except OSError:  # it has ended, or the kernel does not tell
            continue
        yield from (int(number) for number in numbers if int(number) != own)
