"""Rate limits, circuit breakers and retries for services that make or take a great many calls."""

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
