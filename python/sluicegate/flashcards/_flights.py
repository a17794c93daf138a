"""Identical calls in flight, made once: whoever asks while a call is under way shares its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_ABANDONED = object()


class Flights:
    """The calls under way, by what makes them identical.

    Attributes:
        shared: how many calls were answered by another's.

    Examples:
        >>> async def call():
        ...     print("called")
        ...     return await asyncio.sleep(0, 7)
        >>> async def twice():
        ...     flights = Flights()
        ...     return await asyncio.gather(flights.once("x", call), flights.once("x", call))
        >>> asyncio.run(twice())
        called
        [7, 7]
    """

    def __init__(self) -> None:
        self.shared = 0
        self._under_way: dict[Hashable, asyncio.Future[Any]] = {}

    async def once(self, key: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, or share the end of the one under way, be it an answer or an error.

        Where the one who makes the call is cancelled, the next in line makes it anew.
        """
        while (flight := self._under_way.get(key)) is not None:
            # Shielded: one who no longer waits must not end it for the others.
            answer = await asyncio.shield(flight)
            if answer is not _ABANDONED:
                self.shared += 1
                return answer  # type: ignore[no-any-return]
        flight = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            answer = await call()
        except Exception as error:
            flight.set_exception(error)
            flight.exception()  # retrieved, should nobody share it
            raise
        except BaseException:
            flight.set_result(_ABANDONED)
            raise
        else:
            flight.set_result(answer)
            return answer
        finally:
            del self._under_way[key]
