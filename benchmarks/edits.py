"""Which edits caching tools notice: ``python -m benchmarks.edits [--tools joblib,exca] [--cases WORD]``.

The cases are those of the tests of parcache that a plain function call can show. Each tool wraps the function as its
own documentation says, and is asked three times, each time in a process of its own: before the edit, after it, and
after it has been taken back. What the function returns without any cache tells what is right.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.edits_peers import DISTRIBUTIONS, PEERS, Peer, Project, plain_projects
from tests.editing import Theatre
from tests.edits import CASES
from tests.edits.case import Case, Scene

_RESULTS: Final = Path(__file__).resolve().parent / "edits.json"
_UNCACHED: Final = "nothing"
_SERVER: Final = """
import json, os, signal, sys, traceback
{imports}
sys.path.pop(0)

def answer(request):
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path.insert(0, request["folder"])
    place = {{}}
    exec(request["call"], place)
    return repr(place["value"])

def serve():
    for line in sys.stdin:
        request = json.loads(line)
        if not (child := os.fork()):
            signal.alarm(60)
            os.dup2(os.open(request["answers"], os.O_RDONLY), 0)
            for number in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            try:
                found = {{"value": answer(request)}}
            except BaseException:
                found = {{"error": traceback.format_exc()[-2000:]}}
            with open(request["output"], "w") as file:
                json.dump(found, file)
            os._exit(0)
        os.waitpid(child, 0)
        print(flush=True)

if __name__ == "__main__":  # mandala imports what it finds a function in
    serve()
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one call: whether the function ran, and what it returned; or why there is nothing."""

    ran: bool
    value: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one case. ``right`` is what the edited function returns, ``matters`` whether that is another."""

    case: str
    right: str | None
    matters: bool
    before: Asked
    after: Asked
    back: Asked

    @property
    def crashed(self) -> bool:
        """Tell whether the tool failed where the function does not."""
        return any(asked.error is not None for asked in (self.before, self.after, self.back))

    @property
    def noticed(self) -> bool:
        """Tell whether an edit that matters led to the new result."""
        return not self.crashed and self.matters and self.after.value == self.right

    @property
    def kept(self) -> bool:
        """Tell whether an edit that cannot matter led to no run."""
        return not self.crashed and not self.matters and not self.after.ran

    @property
    def came_back(self) -> bool:
        """Tell whether the first result was served when the edit had been taken back."""
        return not self.crashed and not self.back.ran and self.back.value == self.before.value


class Asker:
    """Calls functions through one tool, each in a forked process."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self._peer = peer
        self._folder = folder
        server = Path(tempfile.mkdtemp(dir=folder)) / "server.py"  # in a file: mandala wants the source of its callers
        server.write_text(_SERVER.format(imports=peer.imports))
        self._process = subprocess.Popen(
            [sys.executable, "-B", str(server)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        """End the server."""
        self._process.communicate()

    def ask(self, project: Project) -> list[Asked]:
        """Return what came of the calls before the edit, after it and when it was taken back."""
        place = Path(tempfile.mkdtemp(dir=self._folder))
        scene = Scene(place / "project", place / "aside", dict(project.case.env), [])
        scene.aside.mkdir()
        found = []
        for files, edit in project.states(self._peer):
            scene = project.stage(scene, files, edit)
            found.append(self._call(scene, place))
        shutil.rmtree(place)
        return found

    def _call(self, scene: Scene, place: Path) -> Asked:
        runs, output = place / "runs", place / "output"
        runs.unlink(missing_ok=True)
        output.unlink(missing_ok=True)
        env = {**os.environ, **scene.env, "RUNS": str(runs), "CACHE": str(place / "cache")}
        request = {"folder": str(scene.folder), "env": env, "call": self._peer.call, "output": str(output)}
        answers = place / "answers"
        answers.write_text("y\n" * 100)  # mandala asks whether a change breaks its dependents
        request["answers"] = str(answers)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()
        if not output.exists():
            return Asked(runs.exists(), error="no answer")
        return Asked(runs.exists(), **json.loads(output.read_text()))


def _verdict(case: Case, truth: Sequence[Asked], asked: Sequence[Asked]) -> Verdict:
    before, after, back = asked
    return Verdict(case.name, truth[1].value, truth[0].value != truth[1].value, before, after, back)


def ask_peer(peer: Peer, projects: Sequence[Project], right: Mapping[str, list[Asked]], folder: Path) -> list[Verdict]:
    """Return what came of all cases with one tool."""
    asker = Asker(peer, folder)
    found = []
    for project in projects:
        truth = right[project.case.name]
        asked = asker.ask(project)
        found.append(_verdict(project.case, truth, asked))
    asker.close()
    return found


def ask_parcache(cases: Sequence[Case], right: Mapping[str, list[Asked]], folder: Path) -> list[Verdict]:
    """Return what came of all cases with parcache: there the function is the task of a sweep of one job."""
    theatre = Theatre(folder)
    found = []
    for case in cases:
        try:
            states = [next(iter(ran.values()), None) for ran in theatre.verdict(case)]
            asked = [Asked(value is not None, value if value is not None else states[0]) for value in states]
        except AssertionError as error:
            asked = [Asked(False, error=str(error)[-2000:])] * 3
        found.append(_verdict(case, right[case.name], asked))
    theatre.close()
    return found


def table(rows: Mapping[str, list[Verdict] | str]) -> str:
    """Return the summary as a Markdown table; a row without verdicts says why there are none."""
    first = next(row for row in rows.values() if not isinstance(row, str))
    misses = sum(verdict.matters for verdict in first)
    hits = len(first) - misses
    lines = [
        f"| | noticed, of {misses} edits that matter | kept, of {hits} that do not | back to the first | crashes |",
        "|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        if isinstance(row, str):
            lines.append(f"| {name} | {row} | | | |")
            continue
        counts = (
            sum(getattr(verdict, kind) for verdict in row) for kind in ("noticed", "kept", "came_back", "crashed")
        )
        noticed, kept, back, crashes = counts
        lines.append(f"| {name} | {noticed} | {kept} | {back} of {len(row)} | {crashes} |")
    return "\n".join(lines)


def _installed(name: str) -> str | None:
    try:
        return f"{name} {version(DISTRIBUTIONS.get(name, name))}"
    except PackageNotFoundError:
        return None


def _rows(tools: Sequence[str], words: str, folder: Path) -> Iterator[tuple[str, list[Verdict] | str]]:
    projects = [project for project in plain_projects(CASES.values()) if words in project.case.name]
    asker = Asker(PEERS[_UNCACHED], folder)
    right = {project.case.name: asker.ask(project) for project in projects}
    asker.close()
    # Without a cache, too, some cases cannot be called plainly, or return what no process returns again.
    sound = [
        project
        for project in projects
        if all(asked.error is None for asked in right[project.case.name])
        and right[project.case.name][0].value == right[project.case.name][2].value
        and bool(project.case.again) == (right[project.case.name][0].value != right[project.case.name][1].value)
    ]
    ways: dict[str, Callable[[], list[Verdict]]] = {
        name: (lambda peer=peer: ask_peer(peer, sound, right, folder))  # type: ignore[misc] # mypy knows no such lambda
        for name, peer in PEERS.items()
        if name != _UNCACHED
    }
    ways["parcache"] = lambda: ask_parcache([project.case for project in sound], right, folder)
    for name in tools:
        title = _installed(name)
        yield title or name, ways[name]() if title is not None else "not installed"


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit code."""
    known = ["parcache", *(name for name in PEERS if name != _UNCACHED)]
    parser = argparse.ArgumentParser(prog="benchmarks.edits", description=__doc__)
    parser.add_argument("--tools", default=",".join(known), help="which, of %(default)s")
    parser.add_argument("--cases", default="", metavar="WORD", help="only cases with this in their names")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="the JSON file (default: %(default)s)")
    options = parser.parse_args(arguments)
    tools = options.tools.split(",")
    if unknown := set(tools) - set(known):
        parser.error(f"no tool is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    rows: dict[str, list[Verdict] | str] = {}
    with tempfile.TemporaryDirectory(prefix="bench-edits-") as folder:
        for name, row in _rows(tools, options.cases, Path(folder)):
            print(f"{name}: done", file=sys.stderr, flush=True)
            rows[name] = row
    listing = {name: row if isinstance(row, str) else [asdict(one) for one in row] for name, row in rows.items()}
    options.results.write_text(json.dumps(listing, indent=1) + "\n")
    print(table(rows))
    print(f"\neach case: {options.results}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
