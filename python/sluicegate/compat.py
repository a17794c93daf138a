"""The names of the earlier pipeline, for code on its way here: each works, and warns with its replacement.

Every use is a `DeprecationWarning` that says since which version, until when, and what to write instead.
`docs/how-to/migrate.md` lists them. What is not listed there has the same name in `sluicegate`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import sluicegate

__all__ = ["SINCE", "UNTIL", "CircuitBreaker", "RateLimiter", "RetryConfig"]

SINCE = "0.1"
"""The version in which the names were replaced."""

UNTIL = "1.0"
"""The version in which they go."""

_CLASSES = {
    "ApiError": "APIError",
    "CircuitBreakerError": "CircuitOpenError",
    "CircuitBreakerOpenError": "CircuitOpenError",
    "CircuitBreakerState": "CircuitState",
    "RateLimitExceeded": "LimitExceededError",
}
_RETRY = {"initial_delay": "initial_interval", "max_delay": "max_interval"}
_BREAKER = {
    "failure_threshold": "consecutive_failures",
    "recovery_timeout": "break_duration",
    "expected_exception": "handle",
}
_RATES = {"requests_per_second": "s", "requests_per_minute": "minute", "requests_per_hour": "hour"}


def RetryConfig(**fields: Any) -> sluicegate.RetryConfig:  # noqa: N802 - the earlier name
    """Return a `sluicegate.RetryConfig`, also from `initial_delay` and `max_delay`.

    Raises:
        ConfigurationError: a value makes no sense, or a name stands beside its replacement.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     RetryConfig(initial_delay=0.5, max_delay=8.0).max_interval
        8.0
    """
    return sluicegate.RetryConfig(**_renamed("RetryConfig", fields, _RETRY))


def CircuitBreaker(config: Any = None, **fields: Any) -> sluicegate.CircuitBreaker:  # noqa: N802
    """Return a `sluicegate.CircuitBreaker`, also from the three options it once had.

    `failure_threshold` is failures in a row, as it was: no ratio opens the breaker earlier unless
    asked to. `recovery_timeout` is the break in seconds, `expected_exception` what counts as a failure.

    Raises:
        ConfigurationError: a value makes no sense, or a name stands beside its replacement.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     breaker = CircuitBreaker(failure_threshold=5, recovery_timeout=60)
        >>> breaker.state
        <CircuitState.CLOSED: 'closed'>
    """
    threshold = fields.get("failure_threshold")
    fields = _renamed("CircuitBreaker", fields, _BREAKER)
    if threshold is not None:
        # All of so many calls failed: never sooner than so many in a row.
        fields = {"failure_ratio": 1.0, "min_throughput": threshold, **fields}
    return sluicegate.CircuitBreaker(config, **fields)


def RateLimiter(*configs: Any, **fields: Any) -> sluicegate.RateLimiter:  # noqa: N802
    """Return a `sluicegate.RateLimiter`, also from `requests_per_minute` and the like, and `burst_size`.

    Several of them are several quotas, all or nothing. Without `burst_size` a whole period's requests may
    come at once, as they could.

    Raises:
        ConfigurationError: a value makes no sense, or `burst_size` stands without a rate.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     limiter = RateLimiter(requests_per_minute=60, burst_size=10)
        >>> limiter.peek().limit
        10
    """
    burst = fields.pop("burst_size", None)
    quotas = []
    for name, unit in _RATES.items():
        if name in fields:
            rate = fields.pop(name)
            ending = "" if burst is None else f";burst={burst}"
            quota = f"{rate}/{unit}{ending}"
            _warn(f"RateLimiter({name}={rate!r})", f"sluicegate.RateLimiter({quota!r})")
            quotas.append(sluicegate.RateLimiterConfig.parse(quota))
    if burst is not None and not quotas:
        raise sluicegate.ConfigurationError(
            f"burst_size={burst!r} needs requests_per_minute beside it", field="burst_size", value=burst
        )
    return sluicegate.RateLimiter(*configs, *quotas, **fields)


def __getattr__(name: str) -> Any:
    if name not in _CLASSES:
        raise AttributeError(f"sluicegate.compat has no {name!r}; look for it in sluicegate")
    _warn(name, f"sluicegate.{_CLASSES[name]}")
    return getattr(sluicegate, _CLASSES[name])


def __dir__() -> list[str]:
    return sorted([*__all__, *_CLASSES])


def _renamed(owner: str, fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    renamed = dict(fields)
    for old, new in names.items():
        if old not in renamed:
            continue
        if new in renamed:
            raise sluicegate.ConfigurationError(
                f"{owner}: {old} and {new} are the same; leave {old} out", field=old, value=renamed[old]
            )
        renamed[new] = renamed.pop(old)
        _warn(f"{owner}({old}=…)", f"sluicegate.{owner}({new}=…)", level=4)
    return renamed


def _warn(old: str, new: str, *, level: int = 3) -> None:
    message = f"{old} is deprecated since sluicegate {SINCE} and goes in {UNTIL}; write {new}"
    warnings.warn(message, DeprecationWarning, stacklevel=level)
