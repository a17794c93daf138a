"""Futures that are done from the start: the shortest way by which an `await` comes to a result.

Loaded where asyncio is, and not before.
"""

from asyncio import AbstractEventLoop, Future
from typing import TypeVar, cast

T = TypeVar("T")


class _Nowhere:
    """The loop of futures that are never waited for; asked once for each whether it is debugged."""

    def get_debug(self) -> bool:
        return False


_NOWHERE = cast(AbstractEventLoop, _Nowhere())


def done(result: T) -> "Future[T]":
    """Make a future that holds its result, and needs no running loop to be awaited."""
    future: Future[T] = Future(loop=_NOWHERE)
    future.set_result(result)
    return future
