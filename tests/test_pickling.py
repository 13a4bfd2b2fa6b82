"""What travels between processes keeps what tells where it comes from."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from parcache.pickling import dumps

pytestmark = pytest.mark.any_hydra


@functools.cache
def cached(value: int) -> int:
    """Stand for a cached function of a module."""
    return value


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


WRAPPED = """
import functools

@functools.lru_cache(maxsize=7, typed=True)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

fib.note = "own"

@functools.singledispatch
def kind(value):
    return "any"

@kind.register
def _(value: int):
    return "int"

class Net:
    @functools.cached_property
    def depth(self):
        return fib(9)

    @functools.lru_cache
    def width(self):
        return 5

    @functools.singledispatchmethod
    def of(self, value):
        return "any"

    @of.register
    def _(self, value: int):
        return "int"

def task():
    net = Net()
    return [fib(10), kind(1), kind("a"), net.depth, net.width(), net.of(1), net.of("a")]
"""


def test_dumps_what_the_standard_library_wraps_in_a_main_script_works_in_another_process(tmp_path: Path) -> None:
    """Cached functions and properties and those that dispatch by type travel with the script that they are in."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(WRAPPED, "/home/me/train.py", "exec"), space)
    assert space["task"]() == [55, "int", "any", 34, 5, "int", "any"]
    sent = tmp_path / "sent"
    sent.write_bytes(dumps((space["task"], space["fib"])))
    program = f"""
import pickle
task, fib = pickle.loads(open({str(sent)!r}, "rb").read())
print(task() == {space["task"]()!r}, fib.cache_parameters(), fib.note, fib is task.__globals__["fib"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True {'maxsize': 7, 'typed': True} own True\n"


def test_dumps_cached_function_of_a_module_goes_by_its_name() -> None:
    """Its cache is that of the process in which it arrives."""
    assert pickle.loads(dumps(cached)) is cached
