"""Limits, breakers and retries under any client of httpx and httpx2, the SDKs built on them included."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from sluicegate._breaker_registry import CircuitBreakerRegistry
from sluicegate._circuit_breaker import CircuitBreaker
from sluicegate._durations import Duration, seconds
from sluicegate._errors import SluicegateError
from sluicegate._keyed_rate_limiter import KeyedRateLimiter
from sluicegate._rate_limiter import RateLimiter
from sluicegate._time import sleep_until, sleep_until_blocking
from sluicegate.integrations import _httpx_library
from sluicegate.integrations._httpx_policies import Key, Policies, host
from sluicegate.policies import Bulkhead, Retry, RetryConfig, Timeout

__all__ = ["AsyncResilientTransport", "ResilientTransport", "host"]

if TYPE_CHECKING:
    # A transport of either library is one in all but its bases, which differ.
    _Transport = Any
else:
    _Transport = object


class ResilientTransport(_Transport):  # type: ignore[misc]
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
        limiter: One for all requests, or a keyed one.
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
            `x-ratelimit-*` and their kin, `Retry-After` of a refusal). It is never raised.

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

    def __init__(
        self,
        inner: Any,
        *,
        limiter: RateLimiter | KeyedRateLimiter | None = None,
        breaker: CircuitBreaker | CircuitBreakerRegistry | None = None,
        retry: Retry | RetryConfig | None = None,
        timeout: Duration | None = None,
        key: Callable[[Any], Key] = host,
        bulkhead: Bulkhead | None = None,
        retry_methods: Iterable[str] = (),
        max_wait: Duration | None = None,
        heed: bool = True,
    ) -> None:
        self._inner = inner
        self._policies = Policies(
            limiter=limiter,
            breaker=breaker,
            retry=retry,
            bulkhead=bulkhead,
            key=key,
            retry_methods=retry_methods,
            max_wait=max_wait,
            heed=heed,
        )
        self._timeout = None if timeout is None else seconds(timeout, "timeout")

    def handle_request(self, request: Any) -> Any:
        """Send a request; called by the client."""
        library = _httpx_library.library_of(request)
        try:
            return self._send(library, request)
        except SluicegateError as error:
            raise _httpx_library.in_terms_of(library, error, request) from error

    def _send(self, library: ModuleType, request: Any) -> Any:
        policies = self._policies
        if self._timeout is not None:
            request.extensions = _capped(request.extensions, self._timeout)
        plan = policies.plan(library, request)
        if plan is None or policies.retry is None:
            return self._attempt(library, request)
        response = self._try(plan, library, request)
        for wake_at in plan.waits():
            if response is not None:
                response.close()
            sleep_until_blocking(policies.retry.clock, wake_at)
            response = self._try(plan, library, request)
        if response is None:
            return plan.end()
        if plan.error is not None:
            plan.failed(plan.error)
        return response

    def _try(self, plan: Any, library: ModuleType, request: Any) -> Any:
        """Make an attempt, and put into the plan what may be tried again; return the response, if any."""
        plan.error = None
        try:
            response = self._attempt(library, request)
        except Exception as error:
            if not self._policies.is_worth_another(library, error):
                raise
            plan.error = error
            return None
        if self._policies.is_unfit(response):
            plan.error = _httpx_library.failed_status(library, request, response)
        return response

    def _attempt(self, library: ModuleType, request: Any) -> Any:
        policies = self._policies
        if policies.limiter is not None:
            policies.check(policies.draw(policies.limiter.acquire_blocking, request))
        breaker = policies.breaker_for(request)
        if policies.bulkhead is None:
            response = self._through(breaker, library, request)
            policies.heed(request, response)
            return response
        bulkhead = policies.bulkhead.__enter__()
        try:
            response = self._through(breaker, library, request)
            policies.heed(request, response)
        except BaseException:
            bulkhead.__exit__(None, None, None)
            raise
        leave = lambda: bulkhead.__exit__(None, None, None)  # noqa: E731
        response.stream = _httpx_library.held_stream(library, response.stream, leave)
        return response

    def _through(self, breaker: CircuitBreaker | None, library: ModuleType, request: Any) -> Any:
        if breaker is None:
            return self._inner.handle_request(request)
        with breaker as permit:
            response = self._inner.handle_request(request)
            self._policies.settle(permit, library, request, response)
        return response

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


class AsyncResilientTransport(_Transport):  # type: ignore[misc]
    """Sends the requests of an asynchronous client through a limiter, a breaker and retries.

    As `ResilientTransport`, for asyncio and trio; nothing in it blocks, and cancelling a request gives back
    what it waited for.

    Args:
        inner: The transport that sends, such as `httpx.AsyncHTTPTransport()`.
        limiter: One for all requests, or a keyed one.
        breaker: One for all requests, or a registry, which has one for each key.
        retry: The attempts; None for one.
        timeout: Seconds an attempt may take until its response begins; raises `AttemptTimeoutError`, which is
            also the library's `TimeoutException`.
        key: Makes the key of a request; by default of scheme, host and port.
        bulkhead: Holds a place from before an attempt until its response is closed.
        retry_methods: Methods to repeat besides the idempotent ones.
        max_wait: The longest wait for the limiter, in seconds; None for any.
        heed: Whether the limiter is pulled down to what responses announce of their own limit (`RateLimit`,
            `x-ratelimit-*` and their kin, `Retry-After` of a refusal). It is never raised.

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

    def __init__(
        self,
        inner: Any,
        *,
        limiter: RateLimiter | KeyedRateLimiter | None = None,
        breaker: CircuitBreaker | CircuitBreakerRegistry | None = None,
        retry: Retry | RetryConfig | None = None,
        timeout: Duration | None = None,
        key: Callable[[Any], Key] = host,
        bulkhead: Bulkhead | None = None,
        retry_methods: Iterable[str] = (),
        max_wait: Duration | None = None,
        heed: bool = True,
    ) -> None:
        self._inner = inner
        self._policies = Policies(
            limiter=limiter,
            breaker=breaker,
            retry=retry,
            bulkhead=bulkhead,
            key=key,
            retry_methods=retry_methods,
            max_wait=max_wait,
            heed=heed,
        )
        clock = self._policies.retry.clock if self._policies.retry is not None else None
        self._timeout = None if timeout is None else Timeout(timeout, clock=clock)

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request; called by the client."""
        library = _httpx_library.library_of(request)
        try:
            return await self._send(library, request)
        except SluicegateError as error:
            raise _httpx_library.in_terms_of(library, error, request) from error

    async def _send(self, library: ModuleType, request: Any) -> Any:
        policies = self._policies
        plan = policies.plan(library, request)
        if plan is None or policies.retry is None:
            return await self._attempt(library, request)
        response = await self._try(plan, library, request)
        for wake_at in plan.waits():
            if response is not None:
                await response.aclose()
            await sleep_until(policies.retry.clock, wake_at)
            response = await self._try(plan, library, request)
        if response is None:
            return plan.end()
        if plan.error is not None:
            plan.failed(plan.error)
        return response

    async def _try(self, plan: Any, library: ModuleType, request: Any) -> Any:
        """Make an attempt, and put into the plan what may be tried again; return the response, if any."""
        plan.error = None
        try:
            response = await self._attempt(library, request)
        except Exception as error:
            if not self._policies.is_worth_another(library, error):
                raise
            plan.error = error
            return None
        if self._policies.is_unfit(response):
            plan.error = _httpx_library.failed_status(library, request, response)
        return response

    async def _attempt(self, library: ModuleType, request: Any) -> Any:
        policies = self._policies
        if policies.limiter is not None:
            policies.check(await policies.draw(policies.limiter.acquire, request))
        breaker = policies.breaker_for(request)
        if policies.bulkhead is None:
            response = await self._through(breaker, library, request)
            policies.heed(request, response)
            return response
        bulkhead = await policies.bulkhead.__aenter__()
        try:
            response = await self._through(breaker, library, request)
            policies.heed(request, response)
        except BaseException:
            bulkhead.__exit__(None, None, None)
            raise
        leave = lambda: bulkhead.__exit__(None, None, None)  # noqa: E731
        response.stream = _httpx_library.held_stream(library, response.stream, leave)
        return response

    async def _through(self, breaker: CircuitBreaker | None, library: ModuleType, request: Any) -> Any:
        if breaker is None:
            return await self._answer(library, request)
        async with breaker as permit:
            response = await self._answer(library, request)
            self._policies.settle(permit, library, request, response)
        return response

    async def _answer(self, library: ModuleType, request: Any) -> Any:
        if self._timeout is None:
            return await self._inner.handle_async_request(request)
        try:
            return await self._timeout.call(self._inner.handle_async_request, request)
        except SluicegateError as error:
            raise _httpx_library.in_terms_of(library, error, request) from error

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
