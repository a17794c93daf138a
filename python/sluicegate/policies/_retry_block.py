"""The attempts of a block: `for attempt in retry:` around `with attempt:`, and its async twin."""

from types import TracebackType
from typing import Self

from sluicegate._time import Clock, sleep_until, sleep_until_blocking
from sluicegate.policies._retry_plan import UNSET, Plan


class Attempts:
    """The attempts of one block: hands out one after another, and waits before each but the first."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._waits = plan.waits()
        self._wake_at: int | None = 0
        self._number = 0

    def __iter__(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    def __next__(self) -> "Attempt":
        if self._wake_at is None:
            raise StopIteration
        sleep_until_blocking(self._clock, self._wake_at)
        return self._begin()

    async def __anext__(self) -> "Attempt":
        if self._wake_at is None:
            raise StopAsyncIteration
        await sleep_until(self._clock, self._wake_at)
        return self._begin()

    def _begin(self) -> "Attempt":
        self._wake_at = None
        attempt = Attempt(self, self._number)
        self._number += 1
        return attempt

    def settle(self, error: BaseException | None, result: object) -> bool:
        """Take in how an attempt ended; tell whether there is to be another."""
        if error is not None and not isinstance(error, Exception):
            return False
        self._plan.error, self._plan.result = error, result
        self._wake_at = next(self._waits, None)
        self._plan.error = None
        if self._wake_at is None and error is not None:
            self._plan.failed(error)
        return self._wake_at is not None


class Attempt:
    """One attempt of a block: `with attempt:` or `async with attempt:`, which are the same.

    An exception that is worth another attempt goes no further, and the loop comes round; any other leaves it.

    Attributes:
        number: Which attempt it is, from 0.
        result: What a `retry_result` is to look at, where the block sets it.
    """

    __slots__ = ("_attempts", "number", "result")

    def __init__(self, attempts: Attempts, number: int) -> None:
        self._attempts = attempts
        self.number = number
        self.result: object = UNSET

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self._attempts.settle(error, self.result)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self._attempts.settle(error, self.result)
