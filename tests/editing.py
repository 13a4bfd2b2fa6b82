"""Runs a case as its user would: sweep, edit, sweep, take the edit back, sweep; what ran tells the verdict."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.apps import Apps, run_afresh
from tests.edits.case import ALL, Case, Scene, edited

_COMMON = ["-m", "hydra/launcher=parcache", "hydra/job_logging=none", "hydra.output_subdir=null"]
_REFUSALS = ("Results are not stored", "without a cache")


@dataclass
class _Stage:
    """A project's folder, and the store as the project's first sweep left it. Cases on one project share it."""

    place: Path
    store: Path
    ran: dict[str, str]
    sweeps: int = 0
    text: str = ""


class Theatre:
    """Plays cases, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._apps = Apps()
        self._stages: dict[Any, _Stage] = {}

    def close(self) -> None:
        self._apps.close()

    def verdict(self, case: Case) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        """Return what each job returned that ran at first, after the edit, and after it was taken back."""
        stage = self._stage(case)
        scene = self._scene(case, stage)
        store = stage.place / "store"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(stage.store, store)
        try:
            apply_edit(case, scene)
            after = self._sweep(case, stage, scene, store)
        finally:
            scene = restored(case, scene, self._scene(case, stage))
        text = stage.text
        again = self._sweep(case, stage, scene, store)
        if case.may_refuse and any(words in text and words in stage.text for words in _REFUSALS):
            again = {}
        return stage.ran, after, again

    def play(self, case: Case) -> None:
        """Insist that an edit makes those jobs run again that it must, and that taking it back makes none run."""
        first, after, again = self.verdict(case)
        wanted = set(first) if case.again == ALL else set(case.again)
        assert set(after) == wanted, f"ran after the edit: {sorted(after)}, should have: {sorted(wanted)}"
        if not case.same_value:
            alike = [job for job in after if after[job] == first[job]]
            assert not alike, f"the edit does not change what these jobs return: {alike}"
        assert not again, f"ran after the edit was taken back: {sorted(again)}"

    def _stage(self, case: Case) -> _Stage:
        texts, env = tuple(case.files.items()), tuple(case.env.items())
        key = texts, env, case.jobs, case.command, case.sites, case.prepare, case.afresh, case.backend
        if key not in self._stages:
            place = Path(tempfile.mkdtemp(dir=self._folder))
            stage = _Stage(place, place / "first-store", {})
            scene = self._scene(case, stage)
            scene.aside.mkdir(parents=True)
            write_files(scene.folder, case.files)
            if case.prepare is not None:
                case.prepare(scene)
            stage.ran = self._sweep(case, stage, scene, stage.store)
            assert stage.ran, "nothing ran in the first sweep"
            self._stages[key] = stage
        return self._stages[key]

    @staticmethod
    def _scene(case: Case, stage: _Stage) -> Scene:
        overrides = [f"hydra/launcher/backend={case.backend}", *case.jobs]
        return Scene(stage.place / "project", stage.place / "aside", dict(case.env), overrides)

    def _sweep(self, case: Case, stage: _Stage, scene: Scene, store: Path) -> dict[str, str]:
        """Return, for each job that ran, what it returned."""
        stage.sweeps += 1
        runs = stage.place / "runs"
        runs.unlink(missing_ok=True)
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PARCACHE_")},
            "RUNS": str(runs),
            "PARCACHE_DIR": str(store),
            "PYTHONWARNINGS": "ignore",
            # Edits come within the second by which Python tells whether bytecode is that of a source.
            "PYTHONDONTWRITEBYTECODE": "1",
            **scene.env,
        }
        command = [*case.command, *_COMMON, f"hydra.sweep.dir={stage.place}/sweeps/{stage.sweeps}"]
        run = run_afresh if case.afresh else self._apps.run
        ended = run([*command, *scene.overrides], scene.folder, env, case.sites, stage.place / "output")
        stage.text = ended.text
        assert ended.code == 0, ended.text
        if not runs.exists():
            return {}
        lines = [json.loads(line) for line in runs.read_text().splitlines()]
        ran = dict(lines)
        assert len(lines) == len(ran), f"a job ran twice: {lines}"
        return ran


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files whose content is another one."""
    for name, text in files.items():
        path = folder / name
        if path.exists() and path.read_text() == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def apply_edit(case: Case, scene: Scene) -> None:
    """Do to a project what a case says."""
    if callable(case.edit):
        case.edit(scene)
        return
    for path, change in case.edit.items():
        text = edited(case, path, change)
        if text is None:
            (scene.folder / path).unlink()
        else:
            write_files(scene.folder, {path: text})


def restored(case: Case, scene: Scene, original: Scene) -> Scene:
    """Take back whatever an edit did to a project; return the scene as it was."""
    if not original.folder.exists():
        scene.folder.rename(original.folder)
    for path in sorted(original.folder.rglob("*"), reverse=True):
        if path.is_symlink() or (path.is_file() and str(path.relative_to(original.folder)) not in case.files):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for path in original.aside.iterdir():
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)
    write_files(original.folder, case.files)
    if case.prepare is not None:
        case.prepare(original)
    return original
