"""A case's function as each caching tool wants it written, by the tool's own documentation."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.editing import apply_edit, restored, write_files
from tests.edits.case import Case, Scene, edited

Files = Mapping[str, str]
_PROGRAM: Final = "train.py"
_TOP: Final = "from hydra.core.hydra_config import HydraConfig\n"
_END: Final = "\n\n@hydra.main("
_VALUE: Final = "    value = "
_BODY: Final = """    value = {value}
    with open(os.environ["RUNS"], "a") as file:
        file.write("ran")
    return value
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """How a tool is used. ``imports`` come before any call, ``head`` stands above the function, ``call`` asks for 1.

    ``decorate`` is what the tool wants done to the other modules.
    """

    imports: str
    head: str
    call: str
    decorate: Callable[[str], str] = str


def _tracked(text: str) -> str:
    """Return a module whose functions and classes mandala is to track: it sees those alone that say so."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return mark + text
    lines = text.splitlines()
    for node in sorted(_trackable(tree.body), key=lambda node: node.lineno, reverse=True):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
        indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
        lines.insert(first, f"{indent}@track")
    future = [
        node.end_lineno or 0 for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    lines.insert(max(future, default=0), "from mandala.imports import track")
    return mark + "\n".join([*lines, ""])


def _trackable(body: Iterable[ast.AST]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Yield what a module defines, at its top and in the branches there."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
        elif isinstance(node, ast.ClassDef):
            if _has_methods_only(node):
                yield node
        elif isinstance(node, (ast.stmt, ast.ExceptHandler)):
            yield from _trackable(ast.iter_child_nodes(node))


def _has_methods_only(node: ast.ClassDef) -> bool:
    """Tell whether mandala tracks a class: it refuses those with other attributes, and what decorators generate."""
    return not node.decorator_list and all(isinstance(part, ast.FunctionDef) for part in node.body)


PEERS: Final = {
    "nothing": Peer("", "def main(x):\n", "import train\nvalue = train.main(1)\n"),
    "joblib": Peer(
        "import joblib",
        "import joblib\n@joblib.Memory(os.environ['CACHE'], verbose=0).cache\ndef main(x):\n",
        "import train\nvalue = train.main(1)\n",
    ),
    "exca": Peer(
        "import exca, pydantic",
        "import exca, pydantic\nclass Task(pydantic.BaseModel):\n    x: int\n"
        "    infra: exca.TaskInfra = exca.TaskInfra(version='1')\n"
        "    @infra.apply\n    def main(self):\n        return calculate(self.x)\ndef calculate(x):\n",
        "import os, train\nvalue = train.Task(x=1, infra={'folder': os.environ['CACHE']}).main()\n",
    ),
    "redun": Peer(
        # An empty database is made once, and copied: making one takes longer than all the rest.
        "import redun, redun.config, redun.scheduler, shutil\n"
        "EMPTY = os.path.join(os.path.dirname(__file__), 'redun.db')\n"
        "redun.Scheduler(config=redun.config.Config({'backend': {'db_uri': 'sqlite:///' + EMPTY}})).load()",
        "import redun\nredun_namespace = 'edits'\n@redun.task()\ndef main(x):\n",
        "import os, redun, redun.config, shutil, __main__\nimport train\npath = os.environ['CACHE'] + '.db'\n"
        "if not os.path.exists(path):\n    shutil.copy(__main__.EMPTY, path)\n"
        "scheduler = redun.Scheduler(config=redun.config.Config({'backend': {'db_uri': 'sqlite:///' + path}}))\n"
        "scheduler.load()\nvalue = scheduler.run(train.main(1))\n",
    ),
    "mandala": Peer(
        "import mandala.imports",
        "from mandala.imports import op\n@op\ndef main(x):\n",
        "import os\nfrom mandala.imports import Storage\nimport train\n"
        "storage = Storage(db_path=os.environ['CACHE'] + '.db', deps_path=os.getcwd())\n"
        "with storage:\n    found = train.main(1)\nvalue = storage.unwrap(found)\n",
        _tracked,
    ),
}
DISTRIBUTIONS: Final = {"mandala": "pymandala"}


@dataclass(frozen=True, slots=True)
class Project:
    """A case as a plain function call of one argument."""

    case: Case

    def states(self, peer: Peer) -> Iterator[tuple[Files, bool]]:
        """Yield the project's files before the edit, after it and before it again, and whether to act beside that."""
        before = self._written(peer, dict(self.case.files))
        acts = callable(self.case.edit)
        yield before, False
        yield before if acts else self._written(peer, _edited_files(self.case)), acts
        yield before, False

    def stage(self, scene: Scene, files: Files, acts: bool) -> Scene:
        """Make the project's folder hold these files, and do what the case's action does."""
        original = Scene(scene.aside.with_name("project"), scene.aside, dict(self.case.env), [])
        scene.folder.mkdir(exist_ok=True)
        case = Case(self.case.name, files, self.case.edit, self.case.again, prepare=self.case.prepare)
        scene = restored(case, scene, original)
        write_files(scene.folder, files)
        if acts:
            apply_edit(case, scene)
        return scene

    def _written(self, peer: Peer, files: dict[str, str]) -> Files:
        program = files.pop(_PROGRAM)
        found = {
            path: peer.decorate(text) if path.endswith(".py") and not path.startswith(("env/", "tests/")) else text
            for path, text in files.items()
        }
        top = peer.decorate(program.partition(_TOP)[2].partition(_END)[0])
        value = _expression(program)
        return {**found, _PROGRAM: f"import os\n{top}\n{peer.head}{_BODY.format(value=value)}"}


def plain_projects(cases: Iterable[Case]) -> list[Project]:
    """Return the cases that a plain function call of 1 can show."""
    return [
        Project(case)
        for case in cases
        if case.plain and case.jobs == ("x=1",) and "cfg" not in _expression(case.files[_PROGRAM])
    ]


def _expression(program: str) -> str:
    value = next((line for line in program.splitlines() if line.startswith(_VALUE)), "cfg")
    return value.removeprefix(_VALUE).replace("cfg.x", "x")


def _edited_files(case: Case) -> dict[str, str]:
    found = dict(case.files)
    if callable(case.edit):
        return found
    for path, change in case.edit.items():
        text = edited(case, path, change)
        if text is None:
            del found[path]
        else:
            found[path] = text
    return found
