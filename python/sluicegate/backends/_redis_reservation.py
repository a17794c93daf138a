"""Permits of a limit in Redis that are charged already, to be used later."""

from collections.abc import Generator
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from sluicegate._durations import NANOS_PER_SECOND, nanoseconds
from sluicegate._keyed_rate_limiter import Key
from sluicegate._time import sleep_until, sleep_until_blocking
from sluicegate.backends._redis_logic import Booked, Logic
from sluicegate.backends._redis_server import run, run_async


class _Reservation:
    """What both kinds say of themselves."""

    __slots__ = ("_booked", "_client", "_logic")

    def __init__(self, logic: Logic, client: Any, booked: Booked) -> None:
        self._logic = logic
        self._client = client
        self._booked = booked

    @property
    def key(self) -> Key:
        """Whose permits they are."""
        return self._booked.key

    @property
    def count(self) -> int:
        """The permits charged."""
        return self._booked.count

    @property
    def reserved_at(self) -> float:
        """When the server had charged them, in seconds on the limiter's clock."""
        return self._booked.reserved_ns / NANOS_PER_SECOND

    @property
    def execute_at(self) -> float:
        """From when on they may be used, in seconds on the limiter's clock."""
        return self._booked.execute_ns / NANOS_PER_SECOND

    @property
    def delay(self) -> float:
        """Seconds from now until `execute_at`, 0.0 once it has come."""
        return max(0, self._booked.execute_ns - self._logic.clock.now_ns()) / NANOS_PER_SECOND

    def delay_execution(self, seconds: float | timedelta) -> None:
        """Set `execute_at` to `reserved_at` + `seconds`, never earlier than it was granted.

        The server is not told: refunds of others leave no room for it at the later time.

        Raises:
            ValueError: `seconds` is negative or NaN.
        """
        later = self._booked.reserved_ns + nanoseconds(seconds, "seconds")
        self._booked.execute_ns = max(self._booked.execute_ns, later)

    def __repr__(self) -> str:
        settled = ", settled" if self._booked.settled else ""
        shown = f"key={self.key!r}, count={self.count}, execute_at={self.execute_at!r}{settled}"
        return f"<{type(self).__name__} {shown}>"


class RedisReservation(_Reservation):
    """Permits charged with the server, to be used from `execute_at` on; settling is one round trip.

    As a context manager it commits, or cancels where its block raises; it does not wait: call `wait`.
    Settling twice is a no-op, also where the server's first answer was lost. Settled at the reserved count,
    there is nothing to tell the server and no round trip.
    """

    __slots__ = ()

    def wait(self) -> None:
        """Block this thread until `execute_at`."""
        sleep_until_blocking(self._logic.clock, self._booked.execute_ns)

    def cancel(self) -> int:
        """Give back what cannot break the limit: whole permits, rounded down, 0 from `execute_at` on."""
        return run(self._client, self._logic.settle(self._booked, None), self._logic.clock)

    def commit(self, actual: int | None = None) -> int:
        """Settle at `actual` permits, by default those reserved; negative where more were charged.

        Raises:
            ValueError: `actual` is negative.
            BackendError: The server does not answer, and `on_error` is "raise".
        """
        used = self.count if actual is None else actual
        return run(self._client, self._logic.settle(self._booked, used), self._logic.clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.cancel()


class AsyncRedisReservation(_Reservation):
    """The same for a client of asyncio: `await reservation` waits for its time; settling is awaited too."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        """Wait until `execute_at`; a cancelled wait leaves the reservation as it is."""
        return sleep_until(self._logic.clock, self._booked.execute_ns).__await__()

    async def cancel(self) -> int:
        """Give back what cannot break the limit: whole permits, rounded down, 0 from `execute_at` on."""
        return await run_async(self._client, self._logic.settle(self._booked, None), self._logic.clock)

    async def commit(self, actual: int | None = None) -> int:
        """Settle at `actual` permits, by default those reserved; negative where more were charged.

        Raises:
            ValueError: `actual` is negative.
            BackendError: The server does not answer, and `on_error` is "raise".
        """
        used = self.count if actual is None else actual
        return await run_async(self._client, self._logic.settle(self._booked, used), self._logic.clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.commit()
        else:
            await self.cancel()
