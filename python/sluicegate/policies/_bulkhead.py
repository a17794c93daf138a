"""The bulkhead: so many calls at once and no more, so that one slow service cannot take every task."""

from types import TracebackType
from typing import Self

from sluicegate._durations import Duration
from sluicegate._time import Clock
from sluicegate.policies._crowd import Crowd, check_count


class Bulkhead(Crowd):
    """Lets so many calls run at once; others wait in line, first in, first out, or are refused.

    One bulkhead serves threads, asyncio and trio at the same time. Whoever is cancelled while it waits leaves
    the line, and a call that is cancelled while it runs gives up its place: none is ever lost. Also a context
    manager for `with` and `async with`, to hold a place for a block, or for as long as a stream is open.
    Costs a lock and two additions, under a microsecond a call.

    Args:
        max_concurrent: How many calls may run at once, at least 1.
        max_queue: How many more may wait; 0 refuses at once.
        max_wait: How long they wait, in seconds or as a `timedelta`, before they are refused; None for any
            time.
        name: What its errors call it.
        clock: What the waits are measured on; None for the machine's monotonic clock.

    Raises:
        ConfigurationError: An option makes no sense.

    Example:
        >>> from sluicegate import BulkheadFullError
        >>> bulkhead = Bulkhead(1, name="search")
        >>> @bulkhead
        ... def search(word):
        ...     return f"found {word}"
        >>> search("ginkgo"), bulkhead.in_use
        ('found ginkgo', 0)
        >>> with bulkhead:
        ...     search("ginkgo")
        Traceback (most recent call last):
        sluicegate._errors.BulkheadFullError: search is full: 1 calls run, as many as may
    """

    def __init__(
        self,
        max_concurrent: int,
        max_queue: int = 0,
        max_wait: Duration | None = None,
        *,
        name: str = "",
        clock: Clock | None = None,
    ) -> None:
        check_count("max_concurrent", max_concurrent, 1)
        super().__init__(max_concurrent, max_queue, max_wait, name, clock)
        self.max_concurrent = max_concurrent

    def __repr__(self) -> str:
        options = f"{self.max_concurrent}, max_queue={self.max_queue}, max_wait={self.max_wait}"
        return f"Bulkhead({options}, name={self.name!r})"

    def _begin(self) -> None:
        pass

    def _end(self, begun: None, error: BaseException | None) -> None:
        self._places.leave()

    def __enter__(self) -> Self:
        """Take a place for the block, waiting for it as a call would.

        Raises:
            BulkheadFullError: There is none, and no waiting for one.
        """
        self._enter_blocking()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place up."""
        self._places.leave()

    async def __aenter__(self) -> Self:
        """Take a place for the block, waiting for it as a call would."""
        if not self._places.enter():
            await self._wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place up."""
        self._places.leave()
