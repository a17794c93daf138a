"""What operators see of a shared limiter or breaker, as plain values."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from sluicegate._breaker_registry import CircuitBreakerRegistry
from sluicegate._circuit_breaker import CircuitBreaker
from sluicegate._errors import BackendError, ConfigurationError
from sluicegate._keyed_rate_limiter import KeyedRateLimiter
from sluicegate._native import RateLimiterStats, RateLimitResult
from sluicegate._rate_limiter import RateLimiter
from sluicegate._shared import BACKEND
from sluicegate.shared import Segment

Figures = dict[str, Any]


def attach(segment: Segment) -> RateLimiter | KeyedRateLimiter | CircuitBreaker | CircuitBreakerRegistry:
    """Attach what lives in a segment, with the configuration that it has.

    Raises:
        BackendError: It cannot be used.
    """
    if segment.problem:
        raise BackendError(segment.problem, backend=BACKEND)
    kinds: dict[str, Any] = {
        "limiter": RateLimiter,
        "keyed limiter": KeyedRateLimiter,
        "breaker": CircuitBreaker,
        "breaker registry": CircuitBreakerRegistry,
    }
    attached: RateLimiter | KeyedRateLimiter | CircuitBreaker | CircuitBreakerRegistry
    attached = kinds[segment.kind](shared=segment.path, adopt=True, name=segment.name)
    return attached


def breaker_of(segment: Segment, key: str | None) -> CircuitBreaker:
    """Attach the breaker of a segment, or of a key in a registry's.

    Raises:
        ConfigurationError: It holds none, a registry's key is missing, or there is a key and no registry.
    """
    attached = attach(segment)
    if isinstance(attached, CircuitBreakerRegistry):
        if key is None:
            message = f"{segment.name} holds a breaker for each key: name one with --key"
            raise ConfigurationError(message, field="key")
        breaker = attached[key]
        if not breaker._is_shared:
            message = f"{segment.name} is full, so that every process has a breaker of its own for {key!r}"
            raise ConfigurationError(message, field="key", value=key)
        return breaker
    if not isinstance(attached, CircuitBreaker):
        message = f"{segment.name} holds a {segment.kind}, not a breaker"
        raise ConfigurationError(message, field="name", value=segment.name)
    if key is not None:
        message = f"{segment.name} holds one breaker, which has no key"
        raise ConfigurationError(message, field="key", value=key)
    return attached


def figures(segment: Segment, key: str | None = None) -> Figures:
    """Read a segment's figures, all of which JSON knows; an endless wait is None."""
    head = {"name": segment.name, "path": str(segment.path), "kind": segment.kind, "size": segment.size}
    if segment.problem:
        return {**head, "problem": segment.problem}
    return {**head, "config": segment.config, **_state(segment, key)}


def _state(segment: Segment, key: str | None) -> Figures:
    if segment.kind == "breaker" or (segment.kind == "breaker registry" and key is not None):
        snapshot = breaker_of(segment, key).snapshot()
        return {**asdict(snapshot), "state": str(snapshot.state)}
    attached = attach(segment)
    if isinstance(attached, RateLimiter):
        return {**_standing(attached.peek(0), attached.peek(1)), **_counts(attached.stats())}
    if isinstance(attached, KeyedRateLimiter):
        stats = attached.stats()
        table = {name: getattr(stats, name) for name in ("overflowed", "slots", "slots_in_use")}
        asked = {} if key is None else _standing(attached.peek(key, 0), attached.peek(key, 1))
        return {**asked, **_counts(stats), **table}
    assert isinstance(attached, CircuitBreakerRegistry)  # noqa: S101 - the last of four kinds
    return {"keys": attached._shared_keys()}


def _standing(now: RateLimitResult, one: RateLimitResult) -> Figures:
    waits = {"retry_after": one.retry_after, "reset_after": now.reset_after}
    return {
        "limit": now.limit,
        "remaining": now.remaining,
        **{name: None if math.isinf(wait) else wait for name, wait in waits.items()},
    }


def _counts(stats: RateLimiterStats) -> Figures:
    names = (
        "allowed",
        "denied",
        "allowed_permits",
        "denied_permits",
        "returned_permits",
        "waiting",
        "waited",
    )
    return {name: getattr(stats, name) for name in names}


def rates(before: Figures, after: Figures, seconds: float) -> Figures:
    """Tell what happened between two readings of one segment, per second."""
    names = ("allowed", "denied", "total_successes", "total_failures", "total_rejected")
    return {
        f"{name.removeprefix('total_')}_per_second": (after[name] - before[name]) / seconds
        for name in names
        if name in before and name in after
    }
