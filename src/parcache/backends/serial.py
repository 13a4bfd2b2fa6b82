"""One job after the other, in the sweeping process: for debugging, and for work that is parallel by itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

R = TypeVar("R")


class SerialBackend:
    """Executes each function where and when it is submitted."""

    capacity = 1

    def start(self, initializer: Callable[[], None]) -> None:
        """Call the initializer here."""
        initializer()

    def submit(self, function: Callable[[Any], R], argument: Any) -> Future[R]:
        """Execute now. KeyboardInterrupt passes; every other exception goes into the future."""
        future: Future[R] = Future()
        try:
            future.set_result(function(argument))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            future.set_exception(error)
        return future

    def stop(self, *, cancel: bool) -> None:
        """Do nothing: nothing runs outside ``submit``."""
