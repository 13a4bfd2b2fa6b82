"""The fingerprint of drawn projects: it changes with what the task reaches, and with nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from tests.code_trees import Program, programs
from tests.fingerprints import Code, Found, Server

pytestmark = pytest.mark.any_hydra

# Projects in all for each law; `make fuzz-code` asks for more.
EXAMPLES = int(os.environ.get("PARCACHE_FUZZ_CODE_EXAMPLES", "60"))
FUZZING = "PARCACHE_FUZZ_CODE_EXAMPLES" in os.environ
SHARDS = 16 if FUZZING else 2
# Files are written thousands of times over: in memory, where there is such a place.
FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
# What can be written into a module and changes nothing: into any, and into one whose names nobody looks up.
COMMENT = "# Nothing."
UNUSED = ("def unused_function(x):\n    return x", "class UnusedClass:\n    size = 1", "UNUSED_NUMBER = 1")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


def fuzz(function: Callable[..., None]) -> Callable[..., None]:
    """Draw as many projects as belong to one shard."""
    wanted = settings(
        max_examples=max(1, -(-EXAMPLES // SHARDS)),
        deadline=None,
        derandomize=not FUZZING,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    return wanted(function)


class Taker:
    """Takes the fingerprint of each state of a project in one folder, and runs its task."""

    def __init__(self, server: Server, folder: str) -> None:
        self._code = Code(Path(folder) / "project", server)

    def __call__(self, program: Program) -> Found:
        shutil.rmtree(self._code.folder)
        self._code.write(dict(program.files))
        return self._code.take(run=True)


def told(program: Program) -> str:
    """Return a project's text."""
    return "\n".join(f"--- {path}\n{text}" for path, text in sorted(program.files.items()))


@pytest.mark.parametrize("shard", range(SHARDS))
def test_fingerprint_any_reached_definition_edited_another_digest(shard: int, server: Server) -> None:
    """An edit of what the task reaches changes the digest, and so does any that changes what the task returns."""

    @fuzz
    @given(program=programs(), data=st.data())
    def check(program: Program, data: st.DataObject) -> None:
        assume(program.reached)
        number = data.draw(st.sampled_from(sorted(program.perhaps)))
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            note(f"edited: d{number}\n{told(program)}")
            take = Taker(server, folder)
            before = take(program)
            edited = program.with_value(number, 5 * 10**6)
            after = take(edited)
            note(f"{before}\n{after}")
            assert (before.result != after.result) == (number in program.reached), "the drawn graph is wrong"
            if before.result != after.result:
                assert before.digest != after.digest
            assert take(program).digest == before.digest, "taken back, it is another digest"

    check()


@pytest.mark.parametrize("shard", range(SHARDS))
def test_fingerprint_any_unreached_definition_edited_same_digest(shard: int, server: Server) -> None:
    """An edit of what the task does not reach, and no import runs, leaves the digest alone."""

    @fuzz
    @given(program=programs(), data=st.data())
    def check(program: Program, data: st.DataObject) -> None:
        others = sorted({one.number for one in program.definitions} - program.perhaps)
        edits: list[Program] = [program.with_value(number, 5 * 10**6) for number in others]
        edits.append(replace(program, backwards=True))
        for module in range(len(program.modules)):
            texts = (COMMENT,) if module in program.looked_into else (COMMENT, *UNUSED)
            edits += [replace(program, noise=((module, text),)) for text in texts]
        edited = data.draw(st.sampled_from(edits))
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            note(f"{told(program)}\n=== edited\n{told(edited)}")
            take = Taker(server, folder)
            before, after = take(program), take(edited)
            assert before.result == after.result, "the drawn graph is wrong"
            assert before.digest == after.digest

    check()
