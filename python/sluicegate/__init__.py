"""Rate limits, circuit breakers and retries for services that make or take a great many calls.

Importing this imports nothing else: each name brings its module along when it is first asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluicegate import shared
    from sluicegate._breaker_config import CircuitBreakerConfig
    from sluicegate._breaker_control import CircuitBreakerManualControl, CircuitBreakerStateProvider
    from sluicegate._breaker_registry import BreakerRegistryStats, CircuitBreakerRegistry
    from sluicegate._circuit_breaker import BreakerSnapshot, CircuitBreaker
    from sluicegate._composite_rate_limiter import CompositeRateLimiter
    from sluicegate._errors import (
        APIError,
        AttemptTimeoutError,
        AuthenticationError,
        BackendError,
        BulkheadFullError,
        CircuitIsolatedError,
        CircuitOpenError,
        ConfigurationError,
        InvalidRequestError,
        LimitExceededError,
        RateLimitError,
        RejectedError,
        ServerError,
        SluicegateError,
    )
    from sluicegate._events import BreakerEvent, CircuitState
    from sluicegate._keyed_rate_limiter import KeyedRateLimiter
    from sluicegate._limit import Limit
    from sluicegate._native import (
        BreakerPermit,
        KeyedRateLimiterStats,
        MonotonicClock,
        RateLimiterStats,
        RateLimitResult,
    )
    from sluicegate._pipeline import Pipeline
    from sluicegate._rate_limiter import RateLimiter
    from sluicegate._rate_limiter_config import RateLimiterConfig
    from sluicegate._recovery import ErrorRecoveryStrategy, RecoveryAction
    from sluicegate._reservation import CompositeReservation, TokenReservation
    from sluicegate._sharded_rate_limiter import ShardedRateLimiter
    from sluicegate._structured_error import ErrorCategory, StructuredError
    from sluicegate.policies import (
        AdaptiveConcurrency,
        Bulkhead,
        Fallback,
        Hedge,
        Policy,
        PolicyEvent,
        Retry,
        RetryBudget,
        RetryConfig,
        RetryStats,
        Timeout,
        retry_async,
    )

__all__ = [
    "APIError",
    "AdaptiveConcurrency",
    "AttemptTimeoutError",
    "AuthenticationError",
    "BackendError",
    "BreakerEvent",
    "BreakerPermit",
    "BreakerRegistryStats",
    "BreakerSnapshot",
    "Bulkhead",
    "BulkheadFullError",
    "CircuitBreaker",
    "CircuitBreakerConfig",
    "CircuitBreakerManualControl",
    "CircuitBreakerRegistry",
    "CircuitBreakerStateProvider",
    "CircuitIsolatedError",
    "CircuitOpenError",
    "CircuitState",
    "CompositeRateLimiter",
    "CompositeReservation",
    "ConfigurationError",
    "ErrorCategory",
    "ErrorRecoveryStrategy",
    "Fallback",
    "Hedge",
    "InvalidRequestError",
    "KeyedRateLimiter",
    "KeyedRateLimiterStats",
    "Limit",
    "LimitExceededError",
    "MonotonicClock",
    "Pipeline",
    "Policy",
    "PolicyEvent",
    "RateLimitError",
    "RateLimitResult",
    "RateLimiter",
    "RateLimiterConfig",
    "RateLimiterStats",
    "RecoveryAction",
    "RejectedError",
    "Retry",
    "RetryBudget",
    "RetryConfig",
    "RetryStats",
    "ServerError",
    "ShardedRateLimiter",
    "SluicegateError",
    "StructuredError",
    "Timeout",
    "TokenReservation",
    "retry_async",
    "shared",
]

_NAMES = {
    "_breaker_config": ("CircuitBreakerConfig",),
    "_breaker_control": ("CircuitBreakerManualControl", "CircuitBreakerStateProvider"),
    "_breaker_registry": ("BreakerRegistryStats", "CircuitBreakerRegistry"),
    "_circuit_breaker": ("BreakerSnapshot", "CircuitBreaker"),
    "_composite_rate_limiter": ("CompositeRateLimiter",),
    "_errors": (
        "APIError",
        "AttemptTimeoutError",
        "AuthenticationError",
        "BackendError",
        "BulkheadFullError",
        "CircuitIsolatedError",
        "CircuitOpenError",
        "ConfigurationError",
        "InvalidRequestError",
        "LimitExceededError",
        "RateLimitError",
        "RejectedError",
        "ServerError",
        "SluicegateError",
    ),
    "_events": ("BreakerEvent", "CircuitState"),
    "_keyed_rate_limiter": ("KeyedRateLimiter",),
    "_limit": ("Limit",),
    "_native": (
        "BreakerPermit",
        "KeyedRateLimiterStats",
        "MonotonicClock",
        "RateLimiterStats",
        "RateLimitResult",
    ),
    "_pipeline": ("Pipeline",),
    "_rate_limiter": ("RateLimiter",),
    "_rate_limiter_config": ("RateLimiterConfig",),
    "_recovery": ("ErrorRecoveryStrategy", "RecoveryAction"),
    "_reservation": ("CompositeReservation", "TokenReservation"),
    "_sharded_rate_limiter": ("ShardedRateLimiter",),
    "_structured_error": ("ErrorCategory", "StructuredError"),
    "policies": (
        "AdaptiveConcurrency",
        "Bulkhead",
        "Fallback",
        "Hedge",
        "Policy",
        "PolicyEvent",
        "Retry",
        "RetryBudget",
        "RetryConfig",
        "RetryStats",
        "Timeout",
        "retry_async",
    ),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names} | {
    "policies": "policies",
    "shared": "shared",
}

if not TYPE_CHECKING:  # else a name that is misspelt would pass

    def __getattr__(name: str) -> object:
        """Import the module that a public name comes from, when the name is first asked for."""
        from importlib import import_module  # noqa: PLC0415 - once a name

        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f"{__name__}.{home}")
        found = globals()[name] = module if home == name else getattr(module, name)
        return found

    def __dir__() -> list[str]:
        """List the public names besides what was imported so far."""
        return sorted({*globals(), *__all__})
