"""The rate limiters of a fleet: one limit in Redis or Valkey, asked through the client that users have."""

import asyncio
from datetime import timedelta
from typing import Any

from sluicegate._keyed_rate_limiter import Key
from sluicegate._limit import Limit
from sluicegate._native import RateLimitResult
from sluicegate._rate_limiter_config import RateLimiterConfig
from sluicegate._time import Clock, sleep_until, sleep_until_blocking
from sluicegate.backends._redis_logic import Booked, Logic, RedisRateLimiterStats
from sluicegate.backends._redis_reservation import AsyncRedisReservation, RedisReservation
from sluicegate.backends._redis_server import OnError, check_client, run, run_async

DEFAULT_LOCAL_SHARE = 0.1
DEFAULT_PREFIX = "sluicegate:"


class _RedisLimiter:
    """What both kinds share: how they are built, changed and counted."""

    __slots__ = ("_client", "_logic")
    _is_async: bool

    def __init__(
        self,
        client: Any,
        *configs: RateLimiterConfig | str,
        name: str,
        lease: int = 0,
        on_error: OnError = "local",
        local_share: float = DEFAULT_LOCAL_SHARE,
        prefix: str = DEFAULT_PREFIX,
        clock: Clock | None = None,
    ) -> None:
        check_client(client, type(self).__name__, is_async=self._is_async)
        self._logic = Logic(
            client,
            configs,
            name=name,
            lease=lease,
            on_error=on_error,
            local_share=local_share,
            prefix=prefix,
            clock=clock,
        )
        self._client = self._logic.server.client

    @property
    def name(self) -> str:
        """Which limit of the server this is."""
        return self._logic.name

    @property
    def configs(self) -> tuple[RateLimiterConfig, ...]:
        """The quotas that this process applies to every key."""
        return self._logic.configs

    def update(self, *configs: RateLimiterConfig | str) -> None:
        """Apply other quotas in this process; what is owed at the server stays owed, rounded up.

        Raises:
            ConfigurationError: A quota makes no sense, or does not fit; then nothing changes.
        """
        self._logic.update(configs)

    def stats(self) -> RedisRateLimiterStats:
        """Read what was decided in this process, and what it cost in round trips."""
        return self._logic.stats()

    def limit(self, key: Key, count: int = 1, timeout: float | timedelta | None = None) -> Limit:
        """Guard a block or a function: acquire `count` permits of `key`, or raise `LimitExceededError`."""
        return Limit(self, key, count, timeout=timeout)  # type: ignore[arg-type]  # one verb of two, the other says so

    def __repr__(self) -> str:
        configs = ", ".join(map(repr, self.configs))
        return f"{type(self).__name__}({configs}, name={self.name!r})"


class RedisRateLimiter(_RedisLimiter):
    """One limit for each key, for every process that gives the same server the same name.

    A decision is one round trip: a script on one key, by the server's clock, in integers. With `lease`, a
    worker draws up to so many permits ahead and spends them by itself; the server counts what is out, so that
    the fleet never exceeds the limit. What is unspent after one period is lost. A refusal is remembered here
    until it can change by time alone.

    A server that fails costs one timeout: for a second nobody asks it, then one call tries again. Meanwhile
    `on_error` decides. An answer that is none of the script's is an outage too. A server that lost its data,
    by a flush or a fail-over, admits at most one burst more.

    A decision waits for one `socket_timeout` of the client in all: connecting, TLS, greeting and logging in,
    the question, and the script where it must be sent along. Give the client a short one: where it is None,
    it is a second here, and redis-py 8 has five by default. Within it `socket_connect_timeout` ends the try
    of each address. What a blocking client does outside of its connections has no end here: looking a name
    up, a credential provider, and what the client of a cluster or a sentinel, or one whose pool makes callers
    wait, does by itself; `AsyncRedisRateLimiter` ends these as well.

    Questions go by connections of the limiter's own, with the client's settings but not its retries, so what
    wraps the client's `execute_command` does not see them. A cluster's client is used without its retries, a
    sentinel's as it is.

    Args:
        client: A blocking client of redis-py or valkey-py, or a cluster's.
        configs: Quotas for each key; each process applies its own, so that a limit may change while in use.
        name: Which limit this is; processes that share it share the limit.
        lease: The most permits drawn ahead per key and worker; 0 asks the server every time.
        on_error: What decides in an outage: "local" (this process alone within `local_share` of the limit),
            "allow", "deny" or "raise" (`BackendError`).
        local_share: The part of the limit for "local"; up to 1 / `local_share` processes stay within it
            together. The burst is rounded down, so that one below 1 / `local_share` admits nothing.
        prefix: What all keys begin with.
        clock: What waiting, leases and outages go by here; None for the machine's monotonic clock.

    Raises:
        ConfigurationError: A quota makes no sense or does not fit into 53 bits, or an option is out of range.

    Example:
        >>> import redis
        >>> client = redis.Redis(port=1, socket_timeout=0.1)  # nobody listens there
        >>> limiter = RedisRateLimiter(client, "100/s", name="api", on_error="local")
        >>> limiter.try_acquire("alice", 10), limiter.try_acquire("alice")
        (True, False)
    """

    __slots__ = ()
    _is_async = False

    def try_acquire(self, key: Key, count: int = 1) -> bool:
        """Draw permits of `key` and tell whether there were enough; never waits for them."""
        logic = self._logic
        return logic.spends(key, count) or run(self._client, logic.attempt(key, count), logic.clock).allowed

    def attempt(self, key: Key, count: int = 1) -> RateLimitResult:
        """Draw permits of `key`, and say how things stand."""
        return run(self._client, self._logic.attempt(key, count), self._logic.clock)

    def peek(self, key: Key, count: int = 1) -> RateLimitResult:
        """Say what the server would answer to `attempt`; consumes nothing."""
        return run(self._client, self._logic.peek(key, count), self._logic.clock)

    def reserve(
        self, key: Key, count: int = 1, max_wait: float | timedelta | None = None
    ) -> RedisReservation | None:
        """Charge now, and say when the permits may be used; None where it is later than `max_wait`."""
        booked = run(self._client, self._logic.reserve(key, count, max_wait), self._logic.clock)
        return RedisReservation(self._logic, self._client, booked) if isinstance(booked, Booked) else None

    def acquire_blocking(
        self, key: Key, count: int = 1, timeout: float | timedelta | None = None
    ) -> RateLimitResult:
        """Draw permits, waiting for them; where that would pass `timeout`, refuse at once and charge nothing.

        Raises:
            ValueError: There is no timeout, and `count` can never be granted.
        """
        clock = self._logic.clock
        booked, result = run(self._client, self._logic.waits(key, count, timeout), clock)
        if booked is not None:
            try:
                sleep_until_blocking(clock, booked.execute_ns)
            except BaseException:
                run(self._client, self._logic.settle(booked, None), clock)
                raise
        return result

    def acquire(self, *_asked: object, **_options: object) -> Any:
        """Refuse: a blocking client would hold up the event loop.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "RedisRateLimiter blocks: use AsyncRedisRateLimiter in coroutines, or acquire_blocking"
        )

    def close(self) -> None:
        """Close the connections that were opened beside those of the client; the next call opens others."""
        self._client.close()


class AsyncRedisRateLimiter(_RedisLimiter):
    """`RedisRateLimiter` for a client of asyncio: the same verbs, awaited.

    Example:
        >>> import asyncio, redis.asyncio
        >>> async def main():
        ...     client = redis.asyncio.Redis(port=1, socket_timeout=0.1)  # nobody listens there
        ...     limiter = AsyncRedisRateLimiter(client, "100/s", name="api", on_error="deny")
        ...     return await limiter.try_acquire("alice")
        >>> asyncio.run(main())
        False
    """

    __slots__ = ()
    _is_async = True

    async def try_acquire(self, key: Key, count: int = 1) -> bool:
        """Draw permits of `key` and tell whether there were enough; never waits for them."""
        logic = self._logic
        if logic.spends(key, count):
            return True
        return (await run_async(self._client, logic.attempt(key, count), logic.clock)).allowed

    async def attempt(self, key: Key, count: int = 1) -> RateLimitResult:
        """Draw permits of `key`, and say how things stand."""
        return await run_async(self._client, self._logic.attempt(key, count), self._logic.clock)

    async def peek(self, key: Key, count: int = 1) -> RateLimitResult:
        """Say what the server would answer to `attempt`; consumes nothing."""
        return await run_async(self._client, self._logic.peek(key, count), self._logic.clock)

    async def reserve(
        self, key: Key, count: int = 1, max_wait: float | timedelta | None = None
    ) -> AsyncRedisReservation | None:
        """Charge now, and say when the permits may be used; None where it is later than `max_wait`."""
        booked = await run_async(self._client, self._logic.reserve(key, count, max_wait), self._logic.clock)
        return (
            AsyncRedisReservation(self._logic, self._client, booked) if isinstance(booked, Booked) else None
        )

    async def acquire(
        self, key: Key, count: int = 1, timeout: float | timedelta | None = None
    ) -> RateLimitResult:
        """Draw permits, waiting for them; where that would pass `timeout`, refuse at once and charge nothing.

        Cancelled while waiting, it gives the permits back.

        Raises:
            ValueError: There is no timeout, and `count` can never be granted.
        """
        clock = self._logic.clock
        booked, result = await run_async(self._client, self._logic.waits(key, count, timeout), clock)
        if booked is not None:
            try:
                await sleep_until(clock, booked.execute_ns)
            except BaseException:
                await asyncio.shield(run_async(self._client, self._logic.settle(booked, None), clock))
                raise
        return result

    def acquire_blocking(self, *_asked: object, **_options: object) -> Any:
        """Refuse: an asyncio client cannot be used by a thread without its loop.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "AsyncRedisRateLimiter is for coroutines: use RedisRateLimiter in threads, or acquire"
        )

    async def aclose(self) -> None:
        """Close the connections that were opened beside those of the client; the next call opens others."""
        await self._client.aclose()
