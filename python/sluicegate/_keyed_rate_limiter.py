"""The keyed rate limiter: a limit of its own for each of millions of users, hosts or tenants."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from sluicegate import _native
from sluicegate._limit import Limit
from sluicegate._native import RateLimitResult
from sluicegate._rate_limiter_config import RateLimiterConfig, adopted_configs, read_configs, written_configs
from sluicegate._reservation import TokenReservation
from sluicegate._shared import Shared, Sharing, prepare
from sluicegate._time import Clock, resolve_clock
from sluicegate._waiting import Waiting

Key: TypeAlias = "str | bytes | int | tuple[Key, ...]"
"""What tells one from another: a str equals the bytes of its UTF-8; an int equals neither."""

DEFAULT_MAX_KEYS = 65_536


class KeyedRateLimiter(Sharing, Waiting, _native.KeyedRateLimiter):
    """A limit of its own for every key, all under the same quotas, in a table that never grows.

    The verbs of `RateLimiter`, key first. The table takes 23 bytes a key with one quota and 12 more with each
    further one, all of it when the limiter is built. A key that owes nothing is forgotten without loss when
    another needs its place; one that owes is never forgotten. Where more than `max_keys` owe at once, the
    newcomers among them share one bucket: they are denied more, never less, and `stats().overflowed` counts
    it. A decision neither allocates nor locks, and costs a cache miss above one of `RateLimiter`.

    Keys are str, bytes, ints of any size, or tuples of these. They are told apart under a secret (by
    SipHash-1-3, ints of 64 bits by a permutation), so that nobody outside can choose keys that collide; two
    of a million share a limit with a chance of 3 * 10^-8. Whoever waits for one key delays no other.

    Args:
        configs: Quotas for each key, each a `RateLimiterConfig` or a string such as "100/s"; up to eight.
        max_keys: How many keys may owe something at once.
        name: Tells one limiter from another in errors and telemetry.
        clock: None for the machine's monotonic clock, or a `sluicegate.testing.ManualClock`.
        shared: A name, or a path (a str with a separator, or a `PathLike`): the limits are the same for all
            processes of this machine that name it, and live in a mapped file that outlasts them.
        adopt: Take the quotas and the size of the shared table as they are, should there be one already.

    Raises:
        ConfigurationError: A quota makes no sense, or there is none; `max_keys` is not from 1 to 2^28; the
            shared table was made with others.
        BackendError: The shared file is foreign, damaged, or of before the machine's last start.

    Example:
        >>> from sluicegate.testing import ManualClock
        >>> clock = ManualClock()
        >>> limiter = KeyedRateLimiter("2/s", clock=clock)
        >>> limiter.try_acquire("alice", 2), limiter.try_acquire("alice"), limiter.try_acquire("bob")
        (True, False, True)
        >>> clock.advance(0.5)
        >>> limiter.try_acquire("alice")
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
        max_keys: int = DEFAULT_MAX_KEYS,
        name: str = "",
        clock: Clock | None = None,
        shared: Shared | None = None,
        adopt: bool = False,
    ) -> Self:
        """Build the native limiter for these quotas."""
        path = None if shared is None else prepare(shared)
        found = adopted_configs(path, "keyed limiter") if adopt and path is not None else None
        read = read_configs(configs) if found is None else found[0]
        max_keys = max_keys if found is None else found[1]["max_keys"]
        place = None if path is None else (path, written_configs(read, max_keys=max_keys))
        limiter = super().__new__(cls, [config._quota for config in read], max_keys, clock, place)
        limiter._path = path
        limiter._configs = read
        limiter._name = name
        limiter._clock = resolve_clock(clock)
        return limiter

    @property
    def configs(self) -> tuple[RateLimiterConfig, ...]:
        """The quotas in force for every key."""
        return self._configs

    def reserve(
        self, key: Key, count: int = 1, max_wait: float | timedelta | None = None
    ) -> TokenReservation | None:
        """Charge `count` permits of `key` now, and say when they may be used.

        Args:
            key: Whose permits.
            count: Permits.
            max_wait: The longest delay to put up with, in seconds; None for any.

        Returns:
            The reservation, or None where the delay would be longer, or endless; then nothing is charged.

        Raises:
            TypeError: `key` is none.
            ValueError: `count` or `max_wait` is negative, or `max_wait` is NaN.
        """
        native = self._reserve(key, count, max_wait)
        return None if native is None else TokenReservation(native, self._clock, key)

    def limit(
        self,
        key: "Key | Callable[..., Key]",
        count: int = 1,
        timeout: float | timedelta | None = None,
    ) -> Limit:
        """Guard a block or a function: acquire `count` permits of `key`, or raise `LimitExceededError`.

        Args:
            key: Whose permits; for a decorator also a function that makes the key of the call's arguments.
            count: Permits for every entry or call.
            timeout: The longest wait in seconds, 0 for none at all; None for any.

        Returns:
            A context manager for `with` and `async with`, and a decorator; it may be used many times at once.

        Example:
            >>> limiter = KeyedRateLimiter("1/min")
            >>> with limiter.limit("alice", timeout=0):
            ...     print("admitted")
            admitted
            >>> @limiter.limit(key=lambda user, text: user, timeout=0)
            ... def post(user, text):
            ...     return f"{user}: {text}"
            >>> post("bob", "hello")
            'bob: hello'
        """
        if callable(key):
            return _LimitOfCall(self, key, count, timeout=timeout)
        return Limit(self, key, count, timeout=timeout)

    def update(self, *configs: RateLimiterConfig | str) -> None:
        """Change the quotas of every key while in use: the amounts used are kept, granted times stand.

        A decision in flight counts as made before the change. Permits are counted in a unit that was chosen
        for the first rate; it serves rates from a thousandth of that to four times as much at least. Below
        the first rate the unit is longer than a nanosecond, and a permit may come early by as much: by a
        microsecond at most.

        Raises:
            ConfigurationError: A quota makes no sense, their number is another, or a rate is too far from the
                first; then nothing changes.
        """
        read = read_configs(configs)
        self._update([config._quota for config in read], configs)
        self._configs = read

    def __repr__(self) -> str:
        configs = ", ".join(map(repr, self._configs))
        return f"KeyedRateLimiter({configs}, name={self._name!r})"


class _LimitOfCall(Limit):
    """A guard whose key is made of each call's arguments."""

    __slots__ = ()

    def _of_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Limit:
        key, count = self._asked
        made = key(*args, **kwargs) if callable(key) else key
        return Limit(self._limiter, made, count, timeout=self._timeout)

    def _prepared(self) -> None:
        return None

    def __enter__(self) -> RateLimitResult:
        raise TypeError("a block has no arguments to make a key of: pass the key itself")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing: no block was entered."""

    async def __aenter__(self) -> RateLimitResult:
        return self.__enter__()
