"""What bounds how many calls run at once: entering, waiting and leaving, for threads, asyncio and trio."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sluicegate._durations import FOREVER_NS, Duration, nanoseconds
from sluicegate._durations import seconds as read_seconds
from sluicegate._errors import BulkheadFullError, ConfigurationError
from sluicegate._signals import Signal
from sluicegate._time import Clock, resolve_clock
from sluicegate.policies._places import Places
from sluicegate.policies._policy import Dressing


class Crowd(Dressing):
    """A policy that lets so many calls in at once, and keeps a line before the door.

    Args:
        limit: How many calls may run at once.
        max_queue: How many may wait for one of them to end.
        max_wait: The longest wait; None for any.
        name: What its errors call it.
        clock: What waits and calls are measured on.
    """

    def __init__(
        self, limit: int, max_queue: int, max_wait: Duration | None, name: str, clock: Clock | None
    ) -> None:
        check_count("max_queue", max_queue, 0)
        self.max_queue = max_queue
        self.max_wait = None if max_wait is None else read_seconds(max_wait, "max_wait")
        self.name = name
        self.clock = resolve_clock(clock)
        self._wait_ns = FOREVER_NS if max_wait is None else nanoseconds(max_wait, "max_wait")
        self._places = Places(limit, max_queue)

    @property
    def in_use(self) -> int:
        """How many calls run now."""
        return self._places.in_use

    @property
    def waiting(self) -> int:
        """How many calls wait now."""
        return self._places.waiting

    @abstractmethod
    def _begin(self) -> Any:
        """Note that a call begins, which has its place."""

    @abstractmethod
    def _end(self, begun: Any, error: BaseException | None) -> None:
        """Note how a call ended, and give up its place."""

    def _dress(self, func: Callable[..., Any]) -> Callable[..., Any]:
        def let_in(*args: Any, **kwargs: Any) -> Any:
            self._enter_blocking()
            begun = self._begin()
            try:
                result = func(*args, **kwargs)
            except BaseException as error:
                self._end(begun, error)
                raise
            self._end(begun, None)
            # An awaitable has not begun yet: it takes a place of its own once it is awaited.
            return self._await(result) if hasattr(result, "__await__") else result

        return let_in

    def _dress_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        async def let_in(*args: Any, **kwargs: Any) -> Any:
            if not self._places.enter():
                await self._wait()
            begun = self._begin()
            try:
                result = await func(*args, **kwargs)
            except BaseException as error:
                self._end(begun, error)
                raise
            self._end(begun, None)
            return result

        return let_in

    async def _await(self, awaitable: Awaitable[Any]) -> Any:
        async def later() -> Any:
            return await awaitable

        return await self._dress_async(later)()

    def _enter_blocking(self) -> None:
        if not self._places.enter():
            signal = Signal(blocking=True)
            with self._in_line(signal) as deadline_ns:
                signal.wait_blocking(self.clock, deadline_ns)

    async def _wait(self) -> None:
        signal = Signal(blocking=False)
        with self._in_line(signal) as deadline_ns:
            await signal.wait(self.clock, deadline_ns)

    @contextmanager
    def _in_line(self, signal: Signal) -> Iterator[int]:
        """Stand in line for the block, which waits; leave with a place, or raise."""
        waiter = self._places.join(signal.set)
        if waiter is None:
            raise self._refusal("and as many wait as may" if self.max_queue else "as many as may")
        try:
            yield min(self.clock.now_ns() + self._wait_ns, FOREVER_NS)
        except BaseException:
            if self._places.quit(waiter):
                self._places.leave()
            raise
        if not self._places.quit(waiter):
            raise self._refusal(f"and none ended within {self.max_wait} s")

    def _refusal(self, why: str) -> BulkheadFullError:
        who = self.name or type(self).__name__.lower()
        error = BulkheadFullError(f"{who} is full: {self._places.limit} calls run, {why}", policy=self.name)
        self._tell("rejected", error=error)
        return error


def check_count(field: str, value: object, least: int) -> None:
    """Refuse what is no whole number of at least so many."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        message = f"{field} must be a whole number of at least {least}, not {value!r}"
        raise ConfigurationError(message, field=field, value=value)
