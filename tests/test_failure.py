"""An exception from another process is the exception that was raised there, whole."""

from __future__ import annotations

import copyreg
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from parcache.errors import RemoteJobError
from parcache.run.failure import Frozen, freeze, thaw

pytestmark = pytest.mark.any_hydra

# ruff: noqa: F821 - the names of groups are used where WITH_GROUPS says that they exist
WITH_GROUPS = sys.version_info >= (3, 11)  # before, Python has neither notes nor groups


class Keyword(Exception):
    """Its parameters are not its args."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Doubling(Exception):
    """Its text would grow with every round trip."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no {name}")


class Rebuilt(Exception):
    """Insists on more than its args, wherever it is made."""

    def __new__(cls, *args: Any) -> Rebuilt:
        if len(args) != 2:
            raise TypeError("two, please")
        return super().__new__(cls, *args)

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Holding(Exception):
    """Holds what does not pickle."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.frame = sys._getframe()


def raised(make: Callable[[], Any]) -> BaseException:
    try:
        make()
    except BaseException as error:
        return error
    raise RuntimeError("nothing was raised")


def travelled(error: BaseException) -> Any:
    """Return an exception as it arrives in another process."""
    frozen = pickle.loads(pickle.dumps(freeze(error)))
    assert isinstance(frozen, Frozen)
    return thaw(frozen)


def functions(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def outer() -> None:
    inner()


def inner() -> None:
    raise ValueError("deep inside", 3)


def chained() -> None:
    try:
        inner()
    except ValueError as error:
        raise KeyError("translated") from error


def in_context() -> None:
    try:
        inner()
    except ValueError:
        raise KeyError("while at it")  # noqa: B904 - the context is the subject


def hidden() -> None:
    try:
        inner()
    except ValueError:
        raise KeyError("alone") from None


@pytest.fixture(params=["plain", "with tblib's reducers"])
def reducers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a test without and with the reducers that ``import distributed`` registers for all exceptions."""
    before = dict(copyreg.dispatch_table)
    if request.param != "plain":
        from tblib import pickling_support

        pickling_support.install()
    yield
    copyreg.dispatch_table.clear()
    copyreg.dispatch_table.update(before)


@pytest.mark.usefixtures("reducers")
@pytest.mark.parametrize(
    "error",
    [
        ValueError("a", 3),
        KeyError("missing"),
        OSError(2, "No such file", "x.txt"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        SystemExit(3),
        KeyboardInterrupt(),
        Keyword(code=3),
        Doubling("luck"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_thaw_keeps_type_message_and_data(error: BaseException) -> None:
    """Class, arguments, attributes and text arrive, also where the class's own ``__init__`` breaks unpickling."""
    again = travelled(error)
    assert type(again) is type(error)
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_thaw_keeps_class_where_the_text_holds_an_address() -> None:
    """An argument without a repr of its own, whose address differs in every process, does not cost the class."""
    again = travelled(KeyError(Keyword, len, object()))
    assert type(again) is KeyError


def test_thaw_keeps_traceback() -> None:
    """The functions, files and lines of the traceback arrive, and the sources are shown as if it were at home."""
    error = raised(outer)
    again = travelled(error)
    assert functions(again) == functions(error) == ["raised", "outer", "inner"]
    assert traceback.extract_tb(again.__traceback__) == traceback.extract_tb(error.__traceback__)


def test_thaw_keeps_traceback_of_endless_recursion() -> None:
    """A traceback as deep as Python allows arrives whole."""

    def endless() -> None:
        endless()

    error = raised(endless)
    again = travelled(error)
    assert type(again) is RecursionError
    assert functions(again) == functions(error)


def test_thaw_never_raised_exception_has_no_traceback() -> None:
    """An exception that was made and returned has no traceback afterwards either."""
    assert travelled(ValueError()).__traceback__ is None


@pytest.mark.parametrize("make", [chained, in_context, hidden])
def test_thaw_keeps_cause_and_context(make: Callable[[], None]) -> None:
    """The printed chain is the same: cause, context, their tracebacks, and whether the context is shown."""
    error = raised(make)
    again = travelled(error)
    assert again.__suppress_context__ == error.__suppress_context__
    assert type(again.__cause__) is type(error.__cause__)
    assert type(again.__context__) is ValueError
    assert functions(again.__context__) == ["chained" if make is chained else make.__name__, "inner"]


def test_thaw_exception_that_is_cause_and_context_is_one() -> None:
    """An exception that is both the cause and the context is one object again."""
    again = travelled(raised(chained))
    assert again.__cause__ is again.__context__


def test_thaw_long_chain_is_whole() -> None:
    """A chain of many causes arrives whole."""
    error: BaseException = ValueError(0)
    for number in range(1, 500):
        following = ValueError(number)
        following.__cause__ = error
        error = following
    again = travelled(error)
    numbers = []
    while again is not None:
        numbers.append(again.args[0])
        again = again.__cause__
    assert numbers == list(range(499, -1, -1))


def test_thaw_cyclic_causes_are_cyclic_again() -> None:
    """Causes that run in a circle neither hang nor break."""
    one, two = ValueError("one"), KeyError("two")
    one.__cause__, two.__cause__ = two, one
    again = travelled(one)
    assert type(again.__cause__) is KeyError
    assert again.__cause__.__cause__ is again


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (Rebuilt(1, 2), f"{__name__}.Rebuilt", "1 and 2"),
        (Holding("held"), f"{__name__}.Holding", "held"),
    ],
    ids=["class", "attribute"],
)
def test_thaw_exception_that_cannot_be_rebuilt_is_shown(error: BaseException, name: str, message: str) -> None:
    """Where class or data do not pickle, a RemoteJobError shows type and message in their place."""
    again = travelled(error)
    assert type(again) is RemoteJobError
    assert (again.type_name, again.message) == (name, message)


def test_thaw_exception_without_a_text_keeps_its_class() -> None:
    """An exception whose ``__str__`` raises is no trouble on the way."""
    assert type(travelled(Silent())) is Silent


def test_thaw_exception_that_cannot_be_rebuilt_keeps_traceback_and_causes() -> None:
    """What stands in for another exception has its traceback and causes."""

    def fails() -> None:
        try:
            inner()
        except ValueError as error:
            raise Holding("held") from error

    error = raised(fails)
    again = travelled(error)
    assert type(again) is RemoteJobError
    assert functions(again) == ["raised", "fails"]
    assert type(again.__cause__) is ValueError


if WITH_GROUPS:

    def grouped() -> None:
        errors = [raised(outer), raised(chained)]
        errors[0].add_note("the first")
        raise ExceptionGroup("both", [ExceptionGroup("inside", errors), Keyword(code=1)])

    class Named(ExceptionGroup[Exception]):
        pass

    def test_thaw_keeps_notes() -> None:
        """Notes arrive."""
        error = ValueError("x")
        error.add_note("look here")
        assert travelled(error).__notes__ == ["look here"]

    def test_thaw_keeps_notes_of_what_cannot_be_rebuilt() -> None:
        """Notes arrive also with the exception that stands in for another."""
        error = Holding("x")
        error.add_note("look here")
        assert travelled(error).__notes__ == ["look here"]

    def test_freeze_notes_that_are_no_list_are_left_out() -> None:
        """Freezing never raises, whatever the user made of the notes."""
        error = Holding("x")
        error.__notes__ = 3  # type: ignore[assignment]
        assert type(travelled(error)) is RemoteJobError

    @pytest.mark.parametrize("kind", [ExceptionGroup, Named])
    def test_thaw_group_keeps_members_and_what_hangs_on_them(kind: Any) -> None:
        """A group's members arrive with their own tracebacks, notes and causes, at any depth."""
        again = travelled(kind("all", [raised(grouped)]))
        assert type(again) is kind
        inside = again.exceptions[0].exceptions[0]
        first, second = inside.exceptions
        assert (inside.message, type(first), first.__notes__) == ("inside", ValueError, ["the first"])
        assert functions(first) == ["raised", "outer", "inner"]
        assert type(second.__cause__) is ValueError
        assert functions(again.exceptions[0]) == ["raised", "grouped"]

    def test_thaw_group_with_member_that_cannot_be_rebuilt_keeps_the_others() -> None:
        """One member that does not pickle is shown in its place; group and other members are themselves."""
        again = travelled(ExceptionGroup("both", [Holding("held"), ValueError("x")]))
        assert type(again) is ExceptionGroup
        assert [type(member) for member in again.exceptions] == [RemoteJobError, ValueError]
        assert again.exceptions[0].message == "held"

    def test_thaw_base_group_is_one() -> None:
        """A group that holds an interrupt is a BaseExceptionGroup."""
        assert type(travelled(BaseExceptionGroup("both", [KeyboardInterrupt()]))) is BaseExceptionGroup
