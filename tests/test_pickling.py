"""What travels between processes keeps what tells where it comes from."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import pytest

from parcache.pickling import dumps

pytestmark = pytest.mark.any_hydra


def made() -> dict[str, Any]:
    """Return functions that travel by value, as those of a main script do."""
    space: dict[str, Any] = {"__name__": "__main__"}
    text = "def outer(x):\n    def inner():\n        return x\n    return inner\n"
    text += "class Net:\n    def run(self):\n        return 7\n"
    exec(compile(text, "/home/me/train.py", "exec"), space)
    return space


def test_dumps_function_by_value_keeps_the_file_of_its_code() -> None:
    """Functions, those within them and methods of classes still say which file they were read from."""
    space = made()
    outer = pickle.loads(dumps(space["outer"]))
    assert outer(3)() == 3
    codes = [outer.__code__, outer(1).__code__, pickle.loads(dumps(space["Net"])).run.__code__]
    assert {code.co_filename for code in codes} == {"/home/me/train.py"}


def test_dumps_twice_what_has_arrived_keeps_the_file_of_its_code() -> None:
    """A function that a worker sends on arrives as it set out."""
    once = pickle.loads(dumps(made()["outer"]))
    assert pickle.loads(dumps(once)).__code__.co_filename == "/home/me/train.py"


@pytest.mark.parametrize("value", [1, "text", {"a": [1, (2.5, None)]}, len, dumps, ValueError("x").args])
def test_dumps_any_value_is_read_as_cloudpickle_has_it(value: object) -> None:
    """What holds no code arrives as it does by cloudpickle."""
    assert pickle.loads(dumps(value)) == pickle.loads(cloudpickle.dumps(value)) == value
