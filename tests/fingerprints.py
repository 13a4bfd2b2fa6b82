"""Fingerprints of small projects, each taken in a fresh process: a server forks one for each request."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

_SERVER = """
import importlib.machinery, importlib.util, json, os, sys, traceback
import numpy
from parcache.keys.fingerprint import Fingerprinter
from parcache.keys.task import identify

def serve(request):
    os.chdir(request["folder"])
    sys.path[:0] = request["path"]
    if request["main"]:
        loader = importlib.machinery.SourceFileLoader("__main__", request["main"])
        spec = importlib.util.spec_from_loader("__main__", loader)
        sys.modules["__main__"] = importlib.util.module_from_spec(spec)
        sys.modules["__main__"].__spec__ = None
        spec.loader.exec_module(sys.modules["__main__"])
    module = sys.modules["__main__"] if request["task"] is None else importlib.import_module(request["task"])
    fingerprinter = Fingerprinter(identify(module.main), with_program=request["with_program"])
    found = fingerprinter.fingerprint(request["names"])
    return {
        "digest": found.digest,
        "modules": [source.module for source in found.sources],
        "distributions": dict(found.distributions),
        "dynamic": list(map(str, found.dynamic)),
        "result": module.main(None) if request["run"] else None,
    }

for line in sys.stdin:
    sys.stdout.flush()
    if not (child := os.fork()):
        try:
            answer = serve(json.loads(line))
        except BaseException:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@dataclass(frozen=True)
class Found:
    """A fingerprint as data."""

    digest: str
    modules: frozenset[str]
    distributions: dict[str, str]
    dynamic: list[str]
    result: Any = None


class Server:
    """Answers requests for fingerprints."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()


class Code:
    """A project of a few modules; its task function is ``main`` in ``app.py``."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self._server = server
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, files: dict[str, str]) -> Code:
        """Write files by their paths."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        return self

    def take(
        self,
        *names: str,
        task: str | None = "app",
        main: str | None = None,
        path: Iterable[str] = ("",),
        with_program: bool = False,
        run: bool = False,
    ) -> Found:
        """Take the fingerprint of a job whose config has these names, and run the task if asked to."""
        answer = self._server.ask(
            {
                "folder": str(self.folder),
                "path": [str(self.folder / place) for place in path],
                "names": names,
                "task": task,
                "main": main and str(self.folder / main),
                "with_program": with_program,
                "run": run,
            }
        )
        if "error" in answer:
            raise RuntimeError(answer["error"])
        modules = frozenset(answer["modules"])
        return Found(answer["digest"], modules, answer["distributions"], answer["dynamic"], answer["result"])
