"""Every exception of parcache carries data, survives pickling and says how to mend what failed."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
import pytest

import parcache.errors
from parcache.errors import ParcacheError

pytestmark = pytest.mark.any_hydra

SAMPLES = {
    "str": "a 'text'",
    "int": 3,
    "object": {"a": 1},
    "Sequence[str]": ("beta", "alpha"),
    "float": 1.5,
    "int | None": 9,
    "bool": True,
}


def subclasses(kind: type[ParcacheError]) -> Iterator[type[ParcacheError]]:
    for each in kind.__subclasses__():
        if each.__module__ == parcache.errors.__name__:
            yield each
            yield from subclasses(each)


KINDS = sorted(set(subclasses(ParcacheError)), key=lambda kind: kind.__name__)


def sample(kind: type[ParcacheError]) -> ParcacheError:
    """Return an exception of this class; a new parameter type wants a new sample."""
    parameters = list(inspect.signature(kind).parameters.values())
    return kind(*(SAMPLES[parameter.annotation] for parameter in parameters))


def attributes(error: ParcacheError) -> dict[str, Any]:
    return {name: value for name, value in vars(error).items() if name != "__notes__"}


def test_errors_module_has_no_exception_outside_the_root() -> None:
    """Every exception class that parcache defines is a ParcacheError, and this test has found them all."""
    defined = {
        value
        for value in vars(parcache.errors).values()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == "parcache.errors"
    }
    assert defined == {ParcacheError, *KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "travel",
    [lambda error: pickle.loads(pickle.dumps(error)), lambda error: pickle.loads(cloudpickle.dumps(error)), copy.copy],
    ids=["pickle", "cloudpickle", "copy"],
)
def test_error_pickled_keeps_class_data_and_text(kind: type[ParcacheError], travel: Callable[[Any], Any]) -> None:
    """An exception from a worker is the same exception in the sweeping process."""
    error = sample(kind)
    again = travel(error)
    assert type(again) is kind
    assert again.args == error.args
    assert attributes(again) == attributes(error)
    assert str(again) == str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_error_text_names_every_datum(kind: type[ParcacheError]) -> None:
    """The message shows all data that the exception carries but flags, and carries all that it was given."""
    error = sample(kind)
    assert len(attributes(error)) == len(error.args)
    for value in (each for each in error.args if not isinstance(each, bool)):
        for part in value if isinstance(value, tuple) else [value]:
            assert str(part) in str(error) or repr(part) in str(error)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.__bases__ == (ParcacheError,)])
def test_error_without_builtin_is_the_known_one(kind: type[ParcacheError]) -> None:
    """An exception that callers of Python expect by a builtin's name is one: only the newer format has no builtin."""
    assert kind is parcache.errors.NewerFormatError


# Of an app that has failed what it printed is shown, as it printed it.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not parcache.errors.AppFailedError])
def test_error_text_is_one_line(kind: type[ParcacheError]) -> None:
    """A message is one line, so that a log line is one too."""
    assert len(str(sample(kind)).splitlines()) == 1
