"""Limits, breakers and retries under any client of httpx and httpx2, the SDKs built on them included."""

from __future__ import annotations

from types import ModuleType, TracebackType
from typing import Any, Self

from sluicegate._durations import Duration, seconds
from sluicegate._errors import SluicegateError
from sluicegate._time import Clock, sleep_until, sleep_until_blocking
from sluicegate.integrations import _httpx_library
from sluicegate.integrations._httpx_exchange import Exchange, at_once
from sluicegate.integrations._httpx_policies import host
from sluicegate.policies import Bulkhead, Timeout

__all__ = ["AsyncResilientTransport", "ResilientTransport", "host"]


class ResilientTransport(Exchange):
    """Sends the requests of a client through a limiter, a breaker and retries.

    Each attempt waits for a permit of the limiter, passes the breaker, and is sent by `inner`. An attempt
    that ended with 408, 429, 5xx (not 501) or a connection error is made again where the method is
    idempotent and the body lies in memory: its response is closed, the wait is that of `Retry`, a
    `Retry-After` waited in full. The last response is returned as it is, whatever its status. To the breaker
    5xx, timeouts and connection errors are failures; 429 is not.

    What the limiter, the breaker or the bulkhead refuses is raised as their own error that is also the
    library's `TransportError`, so that handlers and SDKs know it. Nothing is stored per request; one
    transport serves all threads.

    Args:
        inner: The transport that sends, such as `httpx.HTTPTransport()`.
        limiter: One for all requests, a keyed one, or a composite of units such as requests and tokens.
        breaker: One for all requests, or a registry, which has one for each key.
        retry: The attempts; None for one.
        timeout: Seconds an attempt's every step may take (connecting, sending, waiting for a part of the
            answer), where the client would give it longer. A thread cannot be cut short as a task can.
        key: Makes the key of a request; by default of scheme, host and port.
        bulkhead: Holds a place from before an attempt until its response is closed.
        retry_methods: Methods to repeat besides the idempotent ones, such as "POST" where the far side takes
            an idempotency key.
        max_wait: The longest wait for the limiter, in seconds; None for any.
        heed: Whether the limiter is pulled down to what responses announce of their own limit (`RateLimit`,
            `x-ratelimit-*` and their kin, `Retry-After` of a refusal). It is never raised. Of a composite
            limiter the units `requests` and `tokens` are, each by what is announced of it.
        counts: Says what a request draws of the units of a composite limiter, as a mapping; by default, and
            of a unit that it leaves out, 1.

    Raises:
        TypeError: One of them is none.
        ConfigurationError: `timeout` is negative or NaN.

    Example:
        >>> import httpx2
        >>> from sluicegate import KeyedRateLimiter, Retry
        >>> from sluicegate.testing import ManualClock
        >>> clock = ManualClock(autojump=True)
        >>> answers = iter([503, 200])
        >>> inner = httpx2.MockTransport(lambda request: httpx2.Response(next(answers)))
        >>> transport = ResilientTransport(
        ...     inner, limiter=KeyedRateLimiter("10/s", clock=clock), retry=Retry(clock=clock)
        ... )
        >>> with httpx2.Client(transport=transport) as client:
        ...     client.get("http://localhost").status_code
        200
    """

    def handle_request(self, request: Any) -> Any:
        """Send a request; called by the client."""
        return at_once(self._handle(request))

    def _set_timeout(self, timeout: Duration | None) -> None:
        self._timeout = None if timeout is None else seconds(timeout, "timeout")

    async def _draw(self, limiter: Any, *asked: Any, **counts: Any) -> Any:
        return limiter.acquire_blocking(*asked, **counts)

    async def _enter(self, bulkhead: Bulkhead) -> Any:
        return bulkhead.__enter__()

    async def _answer(self, library: ModuleType, request: Any) -> Any:
        if self._timeout is not None:
            request.extensions = _capped(request.extensions, self._timeout)
        return self._inner.handle_request(request)

    async def _dispose(self, response: Any) -> None:
        response.close()

    async def _sleep_until(self, clock: Clock, wake_at: int) -> None:
        sleep_until_blocking(clock, wake_at)

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inner.__exit__(kind, error, trace)


class AsyncResilientTransport(Exchange):
    """Sends the requests of an asynchronous client through a limiter, a breaker and retries.

    As `ResilientTransport`, for asyncio and trio; nothing in it blocks, and cancelling a request gives back
    what it waited for.

    Args:
        inner: The transport that sends, such as `httpx.AsyncHTTPTransport()`.
        limiter: One for all requests, a keyed one, or a composite of units such as requests and tokens.
        breaker: One for all requests, or a registry, which has one for each key.
        retry: The attempts; None for one.
        timeout: Seconds an attempt may take until its response begins; raises `AttemptTimeoutError`, which is
            also the library's `TimeoutException`.
        key: Makes the key of a request; by default of scheme, host and port.
        bulkhead: Holds a place from before an attempt until its response is closed.
        retry_methods: Methods to repeat besides the idempotent ones.
        max_wait: The longest wait for the limiter, in seconds; None for any.
        heed: Whether the limiter is pulled down to what responses announce of their own limit (`RateLimit`,
            `x-ratelimit-*` and their kin, `Retry-After` of a refusal). It is never raised. Of a composite
            limiter the units `requests` and `tokens` are, each by what is announced of it.
        counts: Says what a request draws of the units of a composite limiter, as a mapping; by default, and
            of a unit that it leaves out, 1.

    Raises:
        TypeError: One of them is none.
        ConfigurationError: `timeout` is negative or NaN.

    Example:
        >>> import asyncio
        >>> import httpx2
        >>> from sluicegate import CircuitBreakerConfig, CircuitBreakerRegistry, CircuitOpenError
        >>> breakers = CircuitBreakerRegistry(CircuitBreakerConfig(consecutive_failures=1))
        >>> inner = httpx2.MockTransport(lambda request: httpx2.Response(503))
        >>> transport = AsyncResilientTransport(inner, breaker=breakers)
        >>> async def twice():
        ...     async with httpx2.AsyncClient(transport=transport) as client:
        ...         print((await client.get("http://localhost")).status_code)
        ...         try:
        ...             await client.get("http://localhost")
        ...         except httpx2.TransportError as error:
        ...             print(isinstance(error, CircuitOpenError))
        >>> asyncio.run(twice())
        503
        True
    """

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request; called by the client."""
        return await self._handle(request)

    def _set_timeout(self, timeout: Duration | None) -> None:
        clock = self._policies.retry.clock if self._policies.retry is not None else None
        self._timeout = None if timeout is None else Timeout(timeout, clock=clock)

    async def _draw(self, limiter: Any, *asked: Any, **counts: Any) -> Any:
        return await limiter.acquire(*asked, **counts)

    async def _enter(self, bulkhead: Bulkhead) -> Any:
        return await bulkhead.__aenter__()

    async def _answer(self, library: ModuleType, request: Any) -> Any:
        if self._timeout is None:
            return await self._inner.handle_async_request(request)
        try:
            return await self._timeout.call(self._inner.handle_async_request, request)
        except SluicegateError as error:
            raise _httpx_library.in_terms_of(library, error, request) from error

    async def _dispose(self, response: Any) -> None:
        await response.aclose()

    async def _sleep_until(self, clock: Clock, wake_at: int) -> None:
        await sleep_until(clock, wake_at)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)


def _capped(extensions: dict[str, Any], most: float) -> dict[str, Any]:
    """Return the extensions with no step's timeout above `most`; what the client was given may be shared."""
    steps = {"connect": None, "read": None, "write": None, "pool": None, **extensions.get("timeout", {})}
    capped = {step: most if given is None else min(given, most) for step, given in steps.items()}
    return {**extensions, "timeout": capped}
