"""One request on its way through the policies, told once for the blocking and the awaiting transport.

The course is a coroutine, of which the transports say how to wait and send. Those of the blocking one never
suspend, so that one step drives it from its beginning to its end: see `at_once`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Coroutine, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from sluicegate._breaker_registry import CircuitBreakerRegistry
from sluicegate._circuit_breaker import CircuitBreaker
from sluicegate._composite_rate_limiter import CompositeRateLimiter
from sluicegate._durations import Duration
from sluicegate._errors import SluicegateError
from sluicegate._keyed_rate_limiter import KeyedRateLimiter
from sluicegate._rate_limiter import RateLimiter
from sluicegate._time import Clock
from sluicegate.integrations import _httpx_library
from sluicegate.integrations._httpx_policies import Counts, Key, Policies, host
from sluicegate.policies import Bulkhead, Retry, RetryConfig
from sluicegate.policies._retry_plan import Plan

if TYPE_CHECKING:
    # A transport of either library is one in all but its bases, which differ.
    Transport = Any
else:
    Transport = object

T = TypeVar("T")


class Exchange(Transport, metaclass=abc.ABCMeta):  # type: ignore[misc]
    """What both transports are: a course for requests, and what waits and sends on it."""

    def __init__(
        self,
        inner: Any,
        *,
        limiter: RateLimiter | KeyedRateLimiter | CompositeRateLimiter | None = None,
        breaker: CircuitBreaker | CircuitBreakerRegistry | None = None,
        retry: Retry | RetryConfig | None = None,
        timeout: Duration | None = None,
        key: Callable[[Any], Key] = host,
        bulkhead: Bulkhead | None = None,
        retry_methods: Iterable[str] = (),
        max_wait: Duration | None = None,
        heed: bool = True,
        counts: Counts | None = None,
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
            counts=counts,
        )
        self._set_timeout(timeout)

    @abc.abstractmethod
    def _set_timeout(self, timeout: Duration | None) -> None:
        """Keep what an attempt may take."""

    @abc.abstractmethod
    async def _draw(self, limiter: Any, *asked: Any, **counts: Any) -> Any:
        """Draw a permit, and wait for it."""

    @abc.abstractmethod
    async def _enter(self, bulkhead: Bulkhead) -> Any:
        """Take a place, and wait for it; gives what leaves it."""

    @abc.abstractmethod
    async def _answer(self, library: ModuleType, request: Any) -> Any:
        """Have the inner transport send the request."""

    @abc.abstractmethod
    async def _dispose(self, response: Any) -> None:
        """Close a response that nobody will read."""

    @abc.abstractmethod
    async def _sleep_until(self, clock: Clock, wake_at: int) -> None:
        """Wait until `wake_at`, in nanoseconds of the clock."""

    async def _handle(self, request: Any) -> Any:
        """Send a request; what refuses it is raised in terms of its library."""
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
                await self._dispose(response)
            await self._sleep_until(policies.retry.clock, wake_at)
            response = await self._try(plan, library, request)
        if response is None:
            return plan.end()
        if plan.error is not None:
            plan.failed(plan.error)
        return response

    async def _try(self, plan: Plan, library: ModuleType, request: Any) -> Any:
        """Make an attempt, and put into the plan what may be tried again; return the response, if any."""
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
            asked, counts = policies.draws(request)
            policies.check(await self._draw(policies.limiter, *asked, **counts))
        breaker = policies.breaker_for(request)
        if policies.bulkhead is None:
            return await self._through(breaker, library, request)
        bulkhead = await self._enter(policies.bulkhead)

        def leave() -> None:
            bulkhead.__exit__(None, None, None)

        try:
            response = await self._through(breaker, library, request)
        except BaseException:
            leave()
            raise
        response.stream = _httpx_library.held_stream(library, response.stream, leave)
        return response

    async def _through(self, breaker: CircuitBreaker | None, library: ModuleType, request: Any) -> Any:
        if breaker is None:
            response = await self._answer(library, request)
        else:
            with breaker as permit:
                response = await self._answer(library, request)
                self._policies.settle(permit, library, request, response)
        self._policies.heed(request, response)
        return response


def at_once(course: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return what it returns.

    Example:
        >>> async def ask():
        ...     return "here"
        >>> at_once(ask())
        'here'
    """
    try:
        course.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    course.close()
    raise RuntimeError("what was to block has suspended instead")
