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
    "ServerError",
    "SluicegateError",
]
