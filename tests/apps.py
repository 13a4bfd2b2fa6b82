"""Command lines of Hydra apps, run as if each had a fresh process: a server that has imported Hydra forks one for each.

What an app imports itself is imported in its own process, after the fork. The witness is told so: it takes the
process that imported parcache for the one that it watches, and here that is the child.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_SERVER: Final = """
import atexit, copy, json, os, runpy, site, sys, threading, traceback, types
import hydra, numpy, omegaconf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
import hydra._internal.hydra, hydra._internal.callbacks, hydra._internal.core_plugins.basic_sweeper
import parcache.hydra.launch, parcache.run.worker, parcache.backends.serial, parcache.keys.distributions
from parcache.keys import witness

Plugins.instance()
sys.path.remove("")

def remembering(kind):
    read, seen = kind.load_config, {}
    def load_config(source, config_path):  # what comes with Hydra and with parcache is the same in every run
        if source.provider not in ("hydra", "parcache"):
            return read(source, config_path)
        place = source.path, config_path
        if place not in seen:
            seen[place] = read(source, config_path)
        return copy.deepcopy(seen[place])
    kind.load_config = load_config

for scheme in ("pkg", "file"):
    remembering(SourcesRegistry.instance().resolve(scheme))
# Composes for `hydra.mode`, which no case sets: None is what it says where nothing is set.
hydra._internal.hydra.Hydra.get_mode = lambda *args, **kwargs: None
# Compose once: the parsers learn their grammars at first use.
loader = ConfigLoaderImpl(create_config_search_path(None))
jobs = ["hydra/launcher=parcache", "hydra/launcher/backend=serial", "hydra.sweep.dir=/x", "+a.b={c: [1, d]}", "+m=1,2"]
loader.load_configuration(None, jobs[:4], RunMode.MULTIRUN)
OverridesParser.create(loader).parse_overrides(jobs)

def run(request):
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    out = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    witness._IMPORTED_IN = os.getpid()
    witness.of_this_process.cache_clear()
    script, *rest = request["command"]
    first = os.getcwd() if script == "-m" else os.path.dirname(os.path.realpath(script))
    paths = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:0] = [first, *map(os.path.abspath, paths)]
    for place in request["sites"]:
        site.addsitedir(os.path.abspath(place))
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__builtins__ = __builtins__
    code = 0
    try:
        if script == "-m":
            sys.argv = ["-m", *rest[1:]]
            runpy._run_module_as_main(rest[0])
        else:
            sys.argv = [script, *rest]
            main.__file__ = os.path.abspath(script)
            with open(script, "rb") as file:
                source = file.read()
            exec(compile(source, main.__file__, "exec", dont_inherit=True), main.__dict__)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

for line in sys.stdin:
    if not (child := os.fork()):
        try:
            run(json.loads(line))
        finally:
            os._exit(70)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
# Site folders of a run: as if they belonged to the environment, their .pth files and distributions included.
_CUSTOMIZE: Final = "import os, site\nfor place in os.environ['SITES'].split(os.pathsep):\n    site.addsitedir(place)\n"


@dataclass(frozen=True)
class Ended:
    """How an app ended, and all that it printed."""

    code: int
    text: str


class Apps:
    """Runs command lines, one after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, command: Sequence[str], folder: Path, env: Mapping[str, str], sites: Sequence[str], output: Path
    ) -> Ended:
        """Run what would stand after ``python`` on the command line (a script's path, or ``-m`` and a module)."""
        request: dict[str, Any] = {
            "command": list(command),
            "folder": str(folder),
            "env": dict(env),
            "sites": list(sites),
            "output": str(output),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Ended(code, output.read_text(errors="replace") if output.exists() else "")

    def close(self) -> None:
        self._process.communicate()


def run_afresh(
    command: Sequence[str], folder: Path, env: Mapping[str, str], sites: Sequence[str], output: Path
) -> Ended:
    """Run a command line in a process of its own."""
    env = dict(env)
    if sites:
        place = output.with_suffix(".site")
        place.mkdir(exist_ok=True)
        (place / "sitecustomize.py").write_text(_CUSTOMIZE)
        env["SITES"] = os.pathsep.join(str(folder / site) for site in sites)
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(place), env.get("PYTHONPATH")]))
    done = subprocess.run([sys.executable, "-B", *command], cwd=folder, env=env, capture_output=True, text=True)
    return Ended(done.returncode, done.stdout + done.stderr)
