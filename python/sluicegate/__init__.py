"""Rate limits, circuit breakers and retries for services that make or take a great many calls."""

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
from sluicegate.policies import Retry, RetryConfig, RetryStats, retry_async

__all__ = [
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
    "Retry",
    "RetryConfig",
    "RetryStats",
    "ServerError",
    "SluicegateError",
    "retry_async",
]
