"""The circuit breaker of a fleet for clients of asyncio: the same logic, awaited."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from sluicegate._breaker_config import CircuitBreakerConfig
from sluicegate._calls import is_coroutine_function, refuse_generator_function
from sluicegate._circuit_breaker import BreakerSnapshot
from sluicegate._errors import ConfigurationError
from sluicegate._events import CircuitState
from sluicegate.backends._redis_breaker import Breaker, Permit, enter_block, leave_block
from sluicegate.backends._redis_breaker_known import Admission, Refused
from sluicegate.backends._redis_breaker_words import Outcome
from sluicegate.backends._redis_server import run_async

_P = ParamSpec("_P")
_R = TypeVar("_R")


class AsyncRedisBreakerPermit(Permit):
    """`RedisBreakerPermit` for a client of asyncio: settling is awaited."""

    __slots__ = ()

    async def success(self, result: Any = None) -> None:
        """Count a success; a failure where `handle_result` says so of `result`."""
        await self._settle(self._outcome(result), None)

    async def failure(self, error: BaseException | None = None) -> None:
        """Count a failure, whatever `handle` and `ignore` would say; `error` becomes `last_failure`."""
        await self._settle(Outcome.FAILURE, error)

    async def ignore(self) -> None:
        """Count nothing, and free the place where the call was a probe."""
        await self._settle(Outcome.IGNORED, None)

    async def _raised(self, error: BaseException) -> None:
        if isinstance(error, GeneratorExit):  # nothing can be awaited any more
            self._logic.drop(self._admission)
            return
        settling = self._settle(self._outcome_of_error(error), error)
        # A task that is cancelled frees its place all the same.
        await (asyncio.shield(settling) if isinstance(error, asyncio.CancelledError) else settling)

    async def _settle(self, outcome: Outcome, error: BaseException | None) -> None:
        await run_async(self._client, self._logic.settle(self._admission, outcome, error), self._logic.clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.success()
        else:
            await self._raised(error)


class AsyncRedisCircuitBreaker(Breaker):
    """`RedisCircuitBreaker` for a client of asyncio: the same options and verbs, awaited.

    It takes neither a state provider nor a manual control, which cannot await.

    Raises:
        ConfigurationError: A field or an option makes no sense.

    Example:
        >>> import asyncio, redis.asyncio
        >>> async def main():
        ...     client = redis.asyncio.Redis(port=1, socket_timeout=0.1)  # nobody listens there
        ...     breaker = AsyncRedisCircuitBreaker(client, name="search", on_error="deny")
        ...     return await breaker.try_enter()
        >>> asyncio.run(main()) is None
        True
    """

    _is_async = True

    def _attach(self, config: CircuitBreakerConfig) -> None:
        for field in ("state_provider", "manual_control"):
            if (given := getattr(config, field)) is not None:
                message = (
                    f"{field} cannot await, so AsyncRedisCircuitBreaker takes none: read `snapshot()`, or"
                )
                raise ConfigurationError(f"{message} `isolate` it yourself", field=field, value=given)

    async def try_enter(self) -> AsyncRedisBreakerPermit | None:
        """Ask for a permit; None where the call is refused.

        Raises:
            BackendError: The server does not answer, and `on_error` is "raise".
        """
        admitted = await self._admit()
        if isinstance(admitted, Refused):
            return None
        return AsyncRedisBreakerPermit(self._logic, self._client, admitted)

    async def call(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function and await what it gives, or raise `CircuitOpenError`; how it ends is what counts.

        Raises:
            CircuitOpenError: The breaker is open; `CircuitIsolatedError` where by hand.
        """
        permit = await self._enter()
        try:
            result = func(*args, **kwargs)
            if inspect.isawaitable(result):
                result = await result
        except BaseException as error:
            await permit._raised(error)
            raise
        await permit.success(result)
        return result

    def __call__(self, func: Callable[_P, Awaitable[_R]]) -> Callable[_P, Awaitable[_R]]:
        """Decorate a coroutine function, so that each of its calls goes through the breaker.

        Raises:
            TypeError: `func` is a plain function, which cannot wait for the server, or an async generator.
        """
        refuse_generator_function(func, "a circuit breaker")
        if not is_coroutine_function(func):
            raise TypeError("AsyncRedisCircuitBreaker is for coroutine functions: use RedisCircuitBreaker")

        @functools.wraps(func)
        async def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            result: _R = await self.call(func, *args, **kwargs)
            return result

        return guarded

    async def snapshot(self) -> BreakerSnapshot:
        """Ask the server for the figures, one round trip; others' successes that were kept back are missing.

        Raises:
            BackendError: The server does not answer.
        """
        return await run_async(self._client, self._logic.snapshot(), self._logic.clock)

    async def isolate(self, reason: str | None = None) -> None:
        """Refuse every call of every process, `refresh` seconds later at most, until `reset`.

        Raises:
            BackendError: The server does not answer.
        """
        await self._force(CircuitState.ISOLATED, reason)

    async def reset(self) -> None:
        """Close it for every process, and forget its window; totals stay.

        Raises:
            BackendError: The server does not answer.
        """
        self._logic.last_failure = None
        await self._force(CircuitState.CLOSED)

    async def metrics_only(self) -> None:
        """Let every call through and record it, but never trip.

        Raises:
            BackendError: The server does not answer.
        """
        await self._force(CircuitState.METRICS_ONLY)

    async def disable(self) -> None:
        """Let every call through and record nothing.

        Raises:
            BackendError: The server does not answer.
        """
        await self._force(CircuitState.DISABLED)

    async def aclose(self) -> None:
        """Close the connections that were opened beside those of the client; the next call opens others."""
        await self._client.aclose()

    async def __aenter__(self) -> AsyncRedisBreakerPermit:
        """Let the block in, or raise; how it ends is what counts. Blocks nest, across tasks."""
        permit = await self._enter()
        enter_block(self, permit)
        return permit

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take note of how the block ended."""
        permit = leave_block(self)
        if permit is not None:
            await permit.__aexit__(kind, error, trace)

    async def _admit(self) -> Admission | Refused:
        logic = self._logic
        known = logic.known()
        return known if known is not None else await run_async(self._client, logic.enter(), logic.clock)

    async def _enter(self) -> AsyncRedisBreakerPermit:
        admitted = await self._admit()
        if isinstance(admitted, Refused):
            raise self._logic.error(admitted)
        return AsyncRedisBreakerPermit(self._logic, self._client, admitted)

    async def _force(self, state: CircuitState, reason: str | None = None) -> None:
        await run_async(self._client, self._logic.force(state, reason), self._logic.clock)
