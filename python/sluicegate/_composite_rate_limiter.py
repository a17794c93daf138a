"""Several limiters as one: requests and tokens, user and organisation; all or nothing."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Self

from sluicegate import _native
from sluicegate._errors import ConfigurationError
from sluicegate._limit import Limit
from sluicegate._native import RateLimitResult, Wait
from sluicegate._rate_limiter import RateLimiter
from sluicegate._rate_limiter_config import RateLimiterConfig, read_configs
from sluicegate._reservation import CompositeReservation
from sluicegate._time import Clock, resolve_clock
from sluicegate._waiting import Guarding, Waiting

_RESERVED = ("clock", "max_wait", "name", "timeout")


class CompositeRateLimiter(Waiting, Guarding, _native.CompositeRateLimiter):
    """Draws from several limiters at once, each its own count: from all of them, or from none.

    The verbs of `RateLimiter` with counts by keyword; a unit that is not named is asked for 1. A limiter may
    serve in several composites and by itself: the tokens of one API key, the requests of one organisation.

    Args:
        name: Tells one limiter from another in errors and telemetry.
        clock: For the units given as quotas: that of the limiters given, or else the machine's.
        limiters: The units by name, one to eight: a `RateLimiter`, a `RateLimiterConfig` or a string.

    Raises:
        ConfigurationError: A quota makes no sense, the limiters' clocks differ, or a unit has the name of an
            argument of the verbs.

    Example:
        >>> from sluicegate.testing import ManualClock
        >>> limiter = CompositeRateLimiter(requests="3/min", tokens="1000/min", clock=ManualClock())
        >>> limiter.try_acquire(tokens=900), limiter.try_acquire(tokens=200), limiter.try_acquire(tokens=100)
        (True, False, True)
    """

    __slots__ = ("__weakref__", "_clock", "_limiters", "_name")

    _clock: Clock
    _limiters: dict[str, RateLimiter]
    _name: str

    def __new__(
        cls,
        *,
        name: str = "",
        clock: Clock | None = None,
        **limiters: RateLimiter | RateLimiterConfig | str,
    ) -> Self:
        """Build the native limiter over its units."""
        if (taken := next((unit for unit in limiters if unit in _RESERVED), None)) is not None:
            raise ConfigurationError(f"a unit cannot be named {taken}", field="limiters", value=taken)
        if clock is None:
            clocks = (unit._clock for unit in limiters.values() if isinstance(unit, RateLimiter))
            clock = next(clocks, None)
        units = {
            unit: given if isinstance(given, RateLimiter) else RateLimiter(given, name=unit, clock=clock)
            for unit, given in limiters.items()
        }
        limiter = super().__new__(cls, list(units.items()))
        limiter._limiters = units
        limiter._name = name
        limiter._clock = resolve_clock(clock)
        return limiter

    @property
    def limiters(self) -> Mapping[str, RateLimiter]:
        """The units by name; each keeps its own statistics."""
        return MappingProxyType(self._limiters)

    async def acquire(self, timeout: float | timedelta | None = None, **counts: int) -> RateLimitResult:
        """Draw from every unit, waiting its turn up to `timeout` seconds; cancelling gives back.

        Where the wait would be longer it returns refused at once, and costs nothing.

        Raises:
            ValueError: There is no timeout, and the counts can never be granted.
        """
        admitted = self._admit(timeout, counts)
        return admitted if isinstance(admitted, RateLimitResult) else await self._wait(admitted)

    def acquire_blocking(self, timeout: float | timedelta | None = None, **counts: int) -> RateLimitResult:
        """Draw from every unit, waiting in this thread: as `acquire`."""
        admitted = self._admit(timeout, counts)
        return admitted if isinstance(admitted, RateLimitResult) else self._wait_blocking(admitted)

    def reserve(
        self, max_wait: float | timedelta | None = None, **counts: int
    ) -> CompositeReservation | None:
        """Charge every unit now, and say when all of them may be used.

        Returns:
            The reservation, or None where the delay would be longer than `max_wait` seconds, or endless; then
            nothing is charged.

        Raises:
            ValueError: A count or `max_wait` is negative, or `max_wait` is NaN.
        """
        reserved = self._reserve(counts, max_wait)
        if isinstance(reserved, RateLimitResult):
            return None
        return CompositeReservation(dict(zip(self._limiters, reserved, strict=True)), self._clock)

    def limit(self, timeout: float | timedelta | None = None, **counts: int) -> Limit:
        """Guard a block or a function: acquire these counts, or raise `LimitExceededError`."""
        return Limit(self, timeout=timeout, **counts)

    def update(self, **configs: RateLimiterConfig | str) -> None:
        """Change the quotas of the units named while in use, as `RateLimiter.update` does.

        Raises:
            ConfigurationError: A quota makes no sense; then nothing changes.
            TypeError: There is no such unit; then nothing changes.
        """
        read = {unit: read_configs((config,)) for unit, config in configs.items()}
        for unit in read:
            if unit not in self._limiters:
                raise TypeError(f"this limiter has no unit {unit}, only {', '.join(self._limiters)}")
            if len(self._limiters[unit].configs) != 1:
                raise ConfigurationError(
                    f"{unit} has several quotas: update it itself", field=unit, value=configs[unit]
                )
        for unit, config in read.items():
            self._limiters[unit].update(*config)

    def stats(self) -> dict[str, _native.RateLimiterStats]:
        """Read the counts of every unit since its start."""
        return {name: limiter.stats() for name, limiter in self._limiters.items()}

    def __repr__(self) -> str:
        units = ", ".join(f"{name}={limiter!r}" for name, limiter in self._limiters.items())
        return f"CompositeRateLimiter({units}, name={self._name!r})"

    def _admit(self, timeout: float | timedelta | None, counts: dict[str, int]) -> RateLimitResult | Wait:
        admitted = self._charge(counts, timeout)
        if timeout is None and isinstance(admitted, RateLimitResult) and admitted.retry_after == float("inf"):
            asked = ", ".join(f"{name}={count}" for name, count in counts.items())
            raise ValueError(
                f"{asked} can never be granted here, where the limit is {admitted.limit}: ask for fewer, or "
                "pass a timeout and read the result"
            )
        return admitted
