"""Which files count as inputs of a job, by where they lie.

What counts is data of the project: not code, which has rules of its own, nothing that belongs to the system, to
installed packages or to tools, not the store and not the job's own directory. Where a system folder holds the
project (``/usr/src/app``), or the project an environment, the deeper of the two decides.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Final, NamedTuple

# Folders of tools, wherever they lie: what is in them changes without the data having changed.
SKIPPED_FOLDERS: Final = frozenset(
    {"__pycache__", "site-packages", "dist-packages", ".git", ".hg", ".svn", ".ipynb_checkpoints", ".parcache"}
)
# Here trackers of experiments look for their own earlier runs: listing one does not count, reading a file in it does.
UNLISTED_FOLDERS: Final = frozenset({"multirun", "wandb", "mlruns", "lightning_logs", ".neptune", ".aim"})
_SKIPPED_ENDINGS: Final = (".egg-info", ".dist-info")
# Compiled code and stubs. A .py counts where the job itself reads it (see parcache.run.recorder).
_CODE: Final = (".pyc", ".pyi", ".pyd", *EXTENSION_SUFFIXES)
_NEVER: Final = (*_SKIPPED_ENDINGS, *_CODE)
# Not all of /run (removable disks are mounted there), not /share and /opt (data of clusters lies there).
_SYSTEM: Final = (
    *("/proc", "/sys", "/dev", "/etc", "/boot", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/snap", "/nix/store"),
    *("/run/systemd", "/run/udev", "/System", "/Library"),
)
_DATA_AFTER_ALL: Final = ("/dev/shm",)  # noqa: S108 - data is put there to be read fast
_INSTALLED: Final = ("bin", "sbin", "etc", "include", "lib", "lib32", "lib64", "libexec", "pyvenv.cfg")
_INSTALLED_DATA: Final = ("share", "ssl", "conda-meta", "pkgs")
# Settings, credentials and caches that libraries keep for a user: the same results with and without them.
_OF_A_USER: Final = (
    *("~/.cache/matplotlib", "~/.config/matplotlib", "~/.matplotlib", "~/.cache/fontconfig", "~/.cache/pip"),
    *("~/.cache/uv", "~/.cache/torch_extensions", "~/.cache/torch/kernels", "~/.triton", "~/.nv", "~/.theano"),
    *("~/.config/wandb", "~/.cache/wandb", "~/.netrc", "~/.aws", "~/.config/gcloud", "~/.azure", "~/.kaggle"),
    *("~/.ssh", "~/.gitconfig", "~/.config/git", "~/.ipython", "~/.jupyter", "~/.cache/huggingface/token"),
    *("~/.numba", "~/.cython", "~/.local/share/jupyter"),
)


class Scope(NamedTuple):
    """What is told about a sweep's inputs. All paths are absolute; an empty one is none.

    ``root`` is where the sweep was started, ``excluded`` are the patterns of paths that are not to count.
    """

    root: str
    store: str = ""
    sweep_dir: str = ""
    excluded: tuple[str, ...] = ()


class Rules:
    """Decides for one scope. Safe to share between threads: what it keeps is only ever added to."""

    def __init__(self, scope: Scope) -> None:
        self._root = scope.root
        self._store = scope.store
        self._sweep_dir = scope.sweep_dir
        self._excluded = tuple(pattern_of(item, scope.root) for item in scope.excluded)
        self._folders: dict[str, bool] = {}

    def counts(self, path: str) -> bool:
        """Tell whether a file or folder counts when a job opens or lists it."""
        if path == self._root:
            return True
        folder, _, name = path.rpartition("/")
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = self._is_of_project(folder or "/")
        if not known or name in SKIPPED_FOLDERS or name.endswith(_NEVER):
            return False
        if path == self._store or path in _foreign_folders():
            return False
        return not self._excluded or not self.is_excluded(path)

    def lists(self, path: str) -> bool:
        """Tell whether a path counts as a name in a listed folder; those that lead to a sweep's results do not."""
        name = path.rpartition("/")[2]
        if name in SKIPPED_FOLDERS or name in UNLISTED_FOLDERS or name.endswith(_NEVER):
            return False
        if path == self._store or is_below(self._sweep_dir, path):
            return False
        return not self.is_excluded(path)

    def is_listed(self, path: str) -> bool:
        """Tell whether the names in a folder that counts do: not in what earlier runs have made, however deep."""
        if path == self._root:
            return True
        inside = relative(path, self._root)
        return UNLISTED_FOLDERS.isdisjoint((inside if inside != path else path.rpartition("/")[2]).split("/"))

    def is_excluded(self, path: str) -> bool:
        """Tell whether the user has excluded a path."""
        if not self._excluded:
            return False
        inside = relative(path, self._root)
        return any(by_name.search(inside) if by_name else whole.match(path) for by_name, whole in self._excluded)

    def _is_of_project(self, path: str) -> bool:
        if is_below(path, self._store):
            return False
        for part in relative(path, self._root).split("/"):
            if part in SKIPPED_FOLDERS or part.endswith(_SKIPPED_ENDINGS):
                return False
        depth = max((len(folder) for folder in _foreign_folders() if is_below(path, folder)), default=0)
        own = (self._root, *_DATA_AFTER_ALL)
        return depth == 0 or depth <= max((len(folder) for folder in own if is_below(path, folder)), default=0)


@lru_cache(maxsize=16)
def rules_of(scope: Scope) -> Rules:
    """Return the rules of a scope."""
    return Rules(scope)


def is_below(path: str, folder: str) -> bool:
    """Tell whether a path is a folder or lies below it; no path is below no folder."""
    return bool(folder) and (path == folder or folder == "/" or path.startswith(folder + "/"))


def relative(path: str, root: str) -> str:
    """Return a path as it is recorded: relative where it lies below the root, else as it is."""
    if path == root:
        return "."
    return path[len(root.rstrip("/")) + 1 :] if is_below(path, root) else path


def pattern_of(item: str, root: str) -> tuple[re.Pattern[str] | None, re.Pattern[str]]:
    """Return what a pattern matches: a name anywhere (first, where it has no slash), or a whole path (second).

    ``*`` and ``?`` stay within one segment, ``**`` spans any number; what lies below a match is matched as well.
    """
    item = os.path.expanduser(item).rstrip("/") or "/"
    if "/" not in item:
        return re.compile(f"(?:^|/){_segment(item)}(?:/|$)", re.DOTALL), re.compile("")
    prefix = "" if item.startswith("/") else re.escape(root.rstrip("/")) + "/"
    segments = [part for part in item.removeprefix("./").split("/") if part != "."]
    text = ""
    for number, part in enumerate(segments):
        is_last = number == len(segments) - 1
        if part == "**":
            text += ".*" if is_last else "(?:[^/]+/)*"
        else:
            text += _segment(part) + ("" if is_last else "/")
    return None, re.compile(f"{prefix}{text}(?:/.*)?$", re.DOTALL)


def _segment(part: str) -> str:
    pieces = re.split(r"(\*+|\?|\[[^\]]+\])", part)
    return "".join(map(_piece, pieces))


def _piece(piece: str) -> str:
    if piece[:1] == "*":
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if len(piece) > 2 and piece[0] == "[" and piece[-1] == "]":
        within = piece[1:-1].replace("\\", "\\\\")
        return f"[{'^' + within[1:] if within[0] == '!' else within}]"
    return re.escape(piece)


@lru_cache(maxsize=1)
def _foreign_folders() -> frozenset[str]:
    prefixes = {"/usr", "/usr/local", sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    of_python = [
        os.path.join(prefix, name)
        for prefix in prefixes
        for name in (_INSTALLED if prefix == "/usr/local" else (*_INSTALLED, *_INSTALLED_DATA))
    ]
    return frozenset(_each_with_its_target((*_SYSTEM, *of_python, *map(os.path.expanduser, _OF_A_USER))))


def _each_with_its_target(paths: Iterable[str]) -> set[str]:
    found = set()
    for path in paths:
        if os.path.isabs(path):  # no home folder is known: the tilde stays
            found |= {path, os.path.realpath(path)}
    return found - {"/"}
