"""The sharded rate limiter: one limit for many threads that would queue for one word."""

from datetime import timedelta
from typing import Self, TypeAlias

from sluicegate import _native
from sluicegate._limit import Limit
from sluicegate._rate_limiter_config import RateLimiterConfig, read_configs
from sluicegate._reservation import TokenReservation
from sluicegate._time import Clock, resolve_clock
from sluicegate._waiting import Waiting

Key: TypeAlias = "str | bytes | int | tuple[Key, ...]"
"""Who asks: a str equals the bytes of its UTF-8; an int equals neither."""


class ShardedRateLimiter(Waiting, _native.ShardedRateLimiter):
    """ONE limit over all keys, spread over shards so that many threads draw side by side.

    The verbs of `RateLimiter`, key first. The key (str, bytes, int or a tuple of these) only chooses the two
    shards that a call turns to first, the same in every process; whichever it is, all calls share one limit.
    In any window no more than burst + rate x window is admitted. One call after another, the answers are
    exactly those of a `RateLimiter` with the same config; beside others, a call may be refused while they
    have the missing permits in their hands.

    Shards pay where threads draw at once, on a free-threaded interpreter or from Rust, each under a key of
    its own (its number, say), and the bucket is neither full nor nearly empty: 22 ns a decision on two cores,
    where one word takes 35. Elsewhere they cost: a draw from a full bucket and a refusal read every shard and
    take 27 to 55 ns for 15 to 34, and keys that change from call to call gain nothing. With a burst below 64
    permits a shard there is nothing but the one word. With the GIL nobody draws at once: use `RateLimiter`.
    `docs/explanation/sharding.md` says why, and gives the figures.

    A reservation, waiting included, takes all that the shards hold, and they stay empty until what is owed
    with it is paid.

    Args:
        config: The quota, a `RateLimiterConfig` or a string such as "1000000/s".
        shards: How many, from 1; about as many as threads that draw. Each takes 256 bytes.
        name: Tells one limiter from another in errors and telemetry.
        clock: None for the machine's monotonic clock, or a `sluicegate.testing.ManualClock`.

    Raises:
        ConfigurationError: The quota makes no sense, or `shards` is not from 1 to 65,536.

    Example:
        >>> from sluicegate.testing import ManualClock
        >>> limiter = ShardedRateLimiter("1000/s", shards=4, clock=ManualClock())
        >>> limiter.try_acquire("alice", 600), limiter.try_acquire("bob", 600)
        (True, False)
        >>> limiter.peek("carol").remaining
        399
    """

    __slots__ = ("__weakref__", "_clock", "_config", "_name")

    _clock: Clock
    _config: RateLimiterConfig
    _name: str

    def __new__(
        cls, config: RateLimiterConfig | str, shards: int = 1, *, name: str = "", clock: Clock | None = None
    ) -> Self:
        """Build the native limiter for this quota."""
        (read,) = read_configs((config,))
        limiter = super().__new__(cls, read._quota, shards, clock)
        limiter._config = read
        limiter._name = name
        limiter._clock = resolve_clock(clock)
        return limiter

    @property
    def config(self) -> RateLimiterConfig:
        """The quota in force."""
        return self._config

    def reserve(
        self, key: Key, count: int = 1, max_wait: float | timedelta | None = None
    ) -> TokenReservation | None:
        """Charge `count` permits now, and say when they may be used.

        Args:
            key: Who asks.
            count: Permits.
            max_wait: The longest delay to put up with, in seconds; None for any.

        Returns:
            The reservation, or None where the delay would be longer, or endless; then nothing is charged.

        Raises:
            TypeError: `key` is no key, a float or bool say.
            ValueError: `count` or `max_wait` is negative, or `max_wait` is NaN.
        """
        native = self._reserve(key, count, max_wait)
        return None if native is None else TokenReservation(native, self._clock, key)

    def limit(self, key: Key, count: int = 1, timeout: float | timedelta | None = None) -> Limit:
        """Guard a block or a function: acquire `count` permits for `key`, or raise `LimitExceededError`.

        Args:
            key: Who asks.
            count: Permits for every entry or call.
            timeout: The longest wait in seconds, 0 for none at all; None for any.

        Returns:
            A context manager for `with` and `async with`, and a decorator; it may be used many times at once.

        Example:
            >>> limiter = ShardedRateLimiter("1/s")
            >>> with limiter.limit("alice", timeout=0):
            ...     print("admitted")
            admitted
        """
        return Limit(self, key, count, timeout=timeout)

    def update(self, config: RateLimiterConfig | str) -> None:
        """Change the quota while in use: the amount used is kept, granted times stand.

        The shards keep the room they were built with.

        Raises:
            ConfigurationError: The quota makes no sense; then nothing changes.
        """
        (read,) = read_configs((config,))
        self._update(read._quota)
        self._config = read

    def __repr__(self) -> str:
        return f"ShardedRateLimiter({self._config!r}, shards={len(self.balance())}, name={self._name!r})"
