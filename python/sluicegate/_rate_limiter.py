"""The rate limiter: native decisions, with the waiting and the guards that services use."""

from datetime import timedelta
from pathlib import Path
from typing import Self

from sluicegate import _native
from sluicegate._limit import Limit
from sluicegate._rate_limiter_config import RateLimiterConfig, adopted_configs, read_configs, written_configs
from sluicegate._reservation import TokenReservation
from sluicegate._shared import Shared, Sharing, prepare
from sluicegate._time import Clock, resolve_clock
from sluicegate._waiting import Guarding, Waiting


class RateLimiter(Sharing, Waiting, Guarding, _native.RateLimiter):
    """At most so many permits at once and so many in a time, exact at any rate.

    The generic cell rate algorithm (ITU-T I.371) on integers: a decision is one compare-and-swap on one word,
    and neither allocates nor locks. Several quotas are all or nothing. Waiting is a reservation, so waiters
    are served first in, first out; in asyncio, in trio and in threads alike.

    Args:
        configs: Quotas, each a `RateLimiterConfig` or a string such as "100/s"; up to eight.
        name: Tells one limiter from another in errors and telemetry.
        clock: None for the machine's monotonic clock, or a `sluicegate.testing.ManualClock`.
        shared: A name, or a path (a str with a separator, or a `PathLike`): the limit is one for all
            processes of this machine that name it, and lives in a mapped file that outlasts them. A decision
            costs the same, to count it some 5 ns more.
        adopt: Take the quotas of the shared limiter as they are, should there be one already.

    Raises:
        ConfigurationError: A quota makes no sense, or there is none; the shared limiter was made with others.
        BackendError: The shared file is foreign, damaged, or of before the machine's last start.

    Example:
        >>> from sluicegate.testing import ManualClock
        >>> clock = ManualClock()
        >>> limiter = RateLimiter("2/s", clock=clock)
        >>> limiter.try_acquire(2), limiter.try_acquire()
        (True, False)
        >>> clock.advance(0.5)
        >>> limiter.try_acquire()
        True
    """

    __slots__ = ("__weakref__", "_clock", "_configs", "_name", "_path")

    _clock: Clock
    _configs: tuple[RateLimiterConfig, ...]
    _name: str
    _path: Path | None

    def __new__(
        cls,
        *configs: RateLimiterConfig | str,
        name: str = "",
        clock: Clock | None = None,
        shared: Shared | None = None,
        adopt: bool = False,
    ) -> Self:
        """Build the native limiter for these quotas."""
        path = None if shared is None else prepare(shared)
        found = adopted_configs(path, "limiter") if adopt and path is not None else None
        read = read_configs(configs) if found is None else found[0]
        place = None if path is None else (path, written_configs(read))
        limiter = super().__new__(cls, [config._quota for config in read], clock, place)
        limiter._path = path
        limiter._configs = read
        limiter._name = name
        limiter._clock = resolve_clock(clock)
        return limiter

    @property
    def configs(self) -> tuple[RateLimiterConfig, ...]:
        """The quotas in force."""
        return self._configs

    def reserve(self, count: int = 1, max_wait: float | timedelta | None = None) -> TokenReservation | None:
        """Charge `count` permits now, and say when they may be used.

        Args:
            count: Permits.
            max_wait: The longest delay to put up with, in seconds; None for any.

        Returns:
            The reservation, or None where the delay would be longer, or endless; then nothing is charged.

        Raises:
            ValueError: `count` or `max_wait` is negative, or `max_wait` is NaN.
        """
        native = self._reserve(count, max_wait)
        return None if native is None else TokenReservation(native, self._clock)

    def limit(self, count: int = 1, timeout: float | timedelta | None = None) -> Limit:
        """Guard a block or a function: acquire `count` permits, or raise `LimitExceededError`.

        Args:
            count: Permits for every entry or call.
            timeout: The longest wait in seconds, 0 for none at all; None for any.

        Returns:
            A context manager for `with` and `async with`, and a decorator; it may be used many times at once.

        Example:
            >>> limiter = RateLimiter("1/s")
            >>> with limiter.limit(timeout=0):
            ...     print("admitted")
            admitted
        """
        return Limit(self, count, timeout=timeout)

    def update(self, *configs: RateLimiterConfig | str) -> None:
        """Change the quotas while in use: the amount used is kept, granted times stand.

        A decision in flight counts as made before the change. Of a shared limiter it changes the limit for
        all processes, within the range that `KeyedRateLimiter.update` tells of; the file keeps the quotas it
        was made with, and those who come later name these.

        Raises:
            ConfigurationError: A quota makes no sense, or their number is another, or one is too far from a
                shared limiter's first; then nothing changes.
        """
        read = read_configs(configs)
        self._update([config._quota for config in read])
        self._configs = read

    def __repr__(self) -> str:
        configs = ", ".join(map(repr, self._configs))
        return f"RateLimiter({configs}, name={self._name!r})"
