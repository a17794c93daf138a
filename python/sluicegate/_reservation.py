"""Permits charged now, to be used later: when to act, and settling at what was really used."""

from collections.abc import Generator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol, Self

from sluicegate import _native
from sluicegate._time import Clock, sleep_until, sleep_until_blocking


class _Charged(Protocol):
    _clock: Clock

    @property
    def execute_at_ns(self) -> int: ...
    def commit(self) -> object: ...
    def cancel(self) -> object: ...


class _Settling:
    """What every reservation does alike: wait for its time, and settle at the end of a block."""

    __slots__ = ()

    def wait(self: _Charged) -> None:
        """Block this thread until `execute_at`."""
        sleep_until_blocking(self._clock, self.execute_at_ns)

    def __await__(self: _Charged) -> Generator[Any, Any, None]:
        """Wait until `execute_at`; a cancelled wait leaves the reservation as it is."""
        return sleep_until(self._clock, self.execute_at_ns).__await__()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self: _Charged,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)  # type: ignore[misc]  # what settles has what is charged


class TokenReservation(_Settling):
    """Permits that a limiter has charged already, to be used from `execute_at` on.

    Reserving charges at once, so that those who reserve are served in that order. As a context manager it
    commits, or cancels where its block raises; it does not wait: `await` it, or call `wait`. Settling twice
    is a no-op.

    The limit's promise holds for the times it grants: whoever delays an execution by hand may bunch calls.

    Example:
        >>> from sluicegate import RateLimiter
        >>> from sluicegate.testing import ManualClock
        >>> limiter = RateLimiter("10/s;burst=2", clock=ManualClock())
        >>> limiter.reserve(2).delay, limiter.reserve(2).delay
        (0.0, 0.2)
    """

    __slots__ = ("_clock", "_native", "key")

    def __init__(self, native: _native.Reservation, clock: Clock, key: object = None) -> None:
        self._native = native
        self._clock = clock
        self.key = key

    @property
    def count(self) -> int:
        """The permits charged."""
        return self._native.count

    @property
    def reserved_at(self) -> float:
        """When they were charged, in seconds on the limiter's clock."""
        return self._native.reserved_at

    @property
    def execute_at(self) -> float:
        """From when on they may be used, in seconds on the limiter's clock."""
        return self._native.execute_at

    @property
    def execute_at_ns(self) -> int:
        """From when on they may be used, in nanoseconds on the limiter's clock."""
        return self._native.execute_at_ns

    @property
    def delay(self) -> float:
        """Seconds from now until `execute_at`, 0.0 once it has come."""
        return self._native.delay

    def delay_execution(self, seconds: float | timedelta) -> None:
        """Set `execute_at` to `reserved_at` + `seconds`, never earlier than it was granted.

        Refunds of others then leave room for it at the later time.

        Raises:
            ValueError: `seconds` is negative or NaN.
        """
        self._native.delay_execution(seconds)

    def cancel(self) -> int:
        """Give back what cannot break the limit: whole permits, rounded down, 0 from `execute_at` on.

        Those who wait behind keep their times; those who come later profit. The last in line gives all back.
        """
        return self._native.cancel()

    def commit(self, actual: int | None = None) -> int:
        """Settle at `actual` permits, by default those reserved.

        Returns:
            The permits given back, by the rule of `cancel`; negative where more were charged, as debt.

        Raises:
            ValueError: `actual` is negative.
        """
        return self._native.commit(actual)

    def __repr__(self) -> str:
        key = "" if self.key is None else f"key={self.key!r}, "
        settled = ", settled" if self._native.settled else ""
        return f"<TokenReservation {key}count={self.count}, execute_at={self.execute_at!r}{settled}>"


class CompositeReservation(_Settling):
    """Permits of several units that are charged already, to be used from `execute_at` on.

    Every unit starts at the same time and is settled by itself. As a context manager it commits what is not
    settled yet, or cancels where its block raises. Settling a unit twice is a no-op.

    Example:
        >>> from sluicegate import CompositeRateLimiter
        >>> from sluicegate.testing import ManualClock
        >>> limiter = CompositeRateLimiter(requests="500/min", tokens="10000/min", clock=ManualClock())
        >>> reservation = limiter.reserve(tokens=2_000)
        >>> reservation.commit(tokens=1_250)
        {'requests': 0, 'tokens': 750}
    """

    __slots__ = ("_clock", "_units")

    def __init__(self, units: Mapping[str, _native.Reservation], clock: Clock) -> None:
        self._units = units
        self._clock = clock

    @property
    def counts(self) -> dict[str, int]:
        """The permits charged, by unit."""
        return {name: unit.count for name, unit in self._units.items()}

    @property
    def reserved_at(self) -> float:
        """When they were charged, in seconds on the limiter's clock."""
        return self._first.reserved_at

    @property
    def execute_at(self) -> float:
        """From when on they may be used, in seconds on the limiter's clock."""
        return self._first.execute_at

    @property
    def execute_at_ns(self) -> int:
        """From when on they may be used, in nanoseconds on the limiter's clock."""
        return self._first.execute_at_ns

    @property
    def delay(self) -> float:
        """Seconds from now until `execute_at`, 0.0 once it has come."""
        return self._first.delay

    def delay_execution(self, seconds: float | timedelta) -> None:
        """Set `execute_at` to `reserved_at` + `seconds`, never earlier than it was granted.

        Raises:
            ValueError: `seconds` is negative or NaN.
        """
        for unit in self._units.values():
            unit.delay_execution(seconds)

    def cancel(self) -> dict[str, int]:
        """Give back what cannot break a limit: whole permits by unit, 0 from `execute_at` on."""
        return {name: unit.cancel() for name, unit in self._units.items()}

    def commit(self, **actual: int) -> dict[str, int]:
        """Settle at what was used; a unit that is not named, at what was reserved of it.

        Returns:
            The permits given back, by unit; negative where more were charged, as debt.

        Raises:
            TypeError: There is no such unit; then nothing is settled.
            ValueError: A count is negative; then nothing is settled.
        """
        for name, count in actual.items():
            if name not in self._units:
                raise TypeError(f"this reservation has no unit {name}, only {', '.join(self._units)}")
            if isinstance(count, bool) or not isinstance(count, int):
                raise TypeError(f"{name} must be an integer, not {type(count).__name__}")
            if count < 0:
                raise ValueError(f"{name} must be at least 0, not {count}")
        return {name: unit.commit(actual.get(name)) for name, unit in self._units.items()}

    def __repr__(self) -> str:
        return f"<CompositeReservation {self.counts}, execute_at={self.execute_at!r}>"

    @property
    def _first(self) -> _native.Reservation:
        return next(iter(self._units.values()))
