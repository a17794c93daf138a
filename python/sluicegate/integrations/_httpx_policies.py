"""What both transports share: whom a request is for, what may be repeated, and what counts as failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, TypeAlias

from sluicegate._breaker_registry import CircuitBreakerRegistry
from sluicegate._circuit_breaker import CircuitBreaker
from sluicegate._composite_rate_limiter import CompositeRateLimiter
from sluicegate._durations import Duration
from sluicegate._errors import LimitExceededError, RejectedError
from sluicegate._keyed_rate_limiter import KeyedRateLimiter
from sluicegate._native import BreakerPermit, RateLimitResult
from sluicegate._rate_limiter import RateLimiter
from sluicegate.integrations._heeding import heed
from sluicegate.integrations._httpx_library import failed_status, is_replayable
from sluicegate.policies import Bulkhead, Retry, RetryConfig
from sluicegate.policies._retry_plan import Plan

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""The methods that RFC 9110 lets a client repeat."""

Key: TypeAlias = "str | bytes | int"
Counts: TypeAlias = "Callable[[Any], Mapping[str, int]]"
"""Says what a request draws of each unit of a composite limiter."""


def host(request: Any) -> str:
    """Return what a request goes to: scheme, host and port."""
    url = request.url
    port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
    return f"{url.scheme}://{url.host}:{port}"


class Policies:
    """What surrounds a request, and what one attempt of it comes to."""

    def __init__(
        self,
        *,
        limiter: RateLimiter | KeyedRateLimiter | CompositeRateLimiter | None,
        breaker: CircuitBreaker | CircuitBreakerRegistry | None,
        retry: Retry | RetryConfig | None,
        bulkhead: Bulkhead | None,
        key: Callable[[Any], Key],
        retry_methods: Iterable[str],
        max_wait: Duration | None,
        heed: bool,
        counts: Counts | None,
    ) -> None:
        for name, value, verb in (("limiter", limiter, "acquire"), ("bulkhead", bulkhead, "call")):
            if value is not None and not callable(getattr(value, verb, None)):
                raise TypeError(f"{name} must be a {name}, not {value!r}")
        if breaker is not None and not isinstance(breaker, CircuitBreaker | CircuitBreakerRegistry):
            raise TypeError(f"breaker must be a CircuitBreaker or a CircuitBreakerRegistry, not {breaker!r}")
        if not callable(key):
            raise TypeError(f"key must be a function of a request, not {key!r}")
        if counts is not None and not isinstance(limiter, CompositeRateLimiter):
            raise TypeError(f"counts are those of a CompositeRateLimiter's units, not of {limiter!r}")
        self.limiter = limiter
        self._counts = counts
        self.retry = Retry(retry) if isinstance(retry, RetryConfig) else retry
        self.bulkhead = bulkhead
        self._breaker = breaker
        self._key = key
        self._methods = IDEMPOTENT | {method.upper() for method in retry_methods}
        self._max_wait = max_wait
        self._heeds = heed and isinstance(limiter, RateLimiter | KeyedRateLimiter | CompositeRateLimiter)

    def breaker_for(self, request: Any) -> CircuitBreaker | None:
        """Return the breaker that the request passes."""
        if isinstance(self._breaker, CircuitBreakerRegistry):
            return self._breaker[self._key(request)]
        return self._breaker

    def draws(self, request: Any) -> tuple[tuple[Key, ...], dict[str, Any]]:
        """Return with what to acquire from the limiter: the request's key where it has keys, and the rest."""
        if isinstance(self.limiter, CompositeRateLimiter):
            counts = {} if self._counts is None else self._counts(request)
            return (), {"timeout": self._max_wait, **counts}
        return self._key_for_limiter(request), {"timeout": self._max_wait}

    def heed(self, request: Any, response: Any) -> None:
        """Pull the limiter down to what the response announces."""
        if self._heeds and self.limiter is not None:
            heed(self.limiter, self._key_for_limiter(request), response)

    def _key_for_limiter(self, request: Any) -> tuple[Key, ...]:
        is_keyless = isinstance(self.limiter, RateLimiter | CompositeRateLimiter)
        return () if is_keyless else (self._key(request),)

    def check(self, result: RateLimitResult) -> None:
        """Raise where the limiter refused."""
        if result.allowed:
            return
        name = self.limiter.name if self.limiter is not None else ""
        raise LimitExceededError(
            f"{name or 'the rate limiter'} lets no request through: try again in {result.retry_after:.3f} s",
            policy=name,
            retry_after=result.retry_after,
            limit=result.limit,
            remaining=result.remaining,
        )

    def plan(self, library: ModuleType, request: Any) -> Plan | None:
        """Return the plan of a request that may be repeated, None for one that may not."""
        if self.retry is None or request.method.upper() not in self._methods:
            return None
        if not is_replayable(library, request):
            return None
        self.retry._begin()
        return self.retry._plan()

    @staticmethod
    def settle(permit: BreakerPermit, library: ModuleType, request: Any, response: Any) -> None:
        """Tell the breaker how an attempt went: 5xx is a failure, whatever else was answered is not."""
        if response.status_code >= 500:
            permit.failure(failed_status(library, request, response))
        else:
            permit.success(response)

    @staticmethod
    def is_worth_another(library: ModuleType, error: Exception) -> bool:
        """Tell whether an exception may go away by itself: the network's, not our refusals or a misuse."""
        if isinstance(error, RejectedError):
            return False
        misuse = (library.UnsupportedProtocol, library.LocalProtocolError)
        return isinstance(error, library.TransportError) and not isinstance(error, misuse)

    @staticmethod
    def is_unfit(response: Any) -> bool:
        """Tell whether a response is one to try again after."""
        status = response.status_code
        return status in (408, 429) or (status >= 500 and status != 501)
