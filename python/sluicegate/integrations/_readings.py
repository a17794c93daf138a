"""What limiters, breakers and retries have counted, added up by name; the core counts, this only reads."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sluicegate._breaker_registry import CircuitBreakerRegistry
from sluicegate._circuit_breaker import CircuitBreaker
from sluicegate._composite_rate_limiter import CompositeRateLimiter
from sluicegate._native import KeyedRateLimiterStats, RateLimiterStats
from sluicegate.policies import Retry


class Reading(NamedTuple):
    """One figure: of which instrument, whose, and which of its kind."""

    instrument: str
    policy: str
    kind: str
    value: float


COUNTERS = {
    "sluicegate.limiter.calls": ("{call}", "Calls by what the limiter said"),
    "sluicegate.limiter.permits": ("{permit}", "Permits granted, refused and given back"),
    "sluicegate.limiter.waited": ("s", "Time spent waiting for permits, in sum"),
    "sluicegate.limiter.overflowed": ("{call}", "Decisions made by a full table's overflow"),
    "sluicegate.breaker.calls": ("{call}", "Calls by how the breaker counted them"),
    "sluicegate.breaker.slow_calls": ("{call}", "Calls that took longer than slow_call_duration"),
    "sluicegate.breaker.trips": ("{trip}", "How often the breaker opened"),
    "sluicegate.retry.calls": ("{call}", "Calls begun under a retry"),
    "sluicegate.retry.retries": ("{attempt}", "Attempts beyond the first"),
    "sluicegate.retry.failures": ("{call}", "Calls that failed all the same"),
}
"""The instruments that only go up: unit and description."""
LEVELS = {
    "sluicegate.limiter.waiting": ("{call}", "Callers that wait for their turn now"),
    "sluicegate.limiter.keys": ("{key}", "Keys that owe something now"),
    "sluicegate.breaker.breakers": ("{breaker}", "Breakers by their state; of a registry, all it holds"),
}
"""The instruments that go up and down."""


def totals(sources: Iterable[Any], instrument: str) -> dict[tuple[str, str], float]:
    """Add up one instrument's figures over `sources`, by policy and kind: equal names are one series."""
    found: Counter[tuple[str, str]] = Counter()
    for source in sources:
        for reading in read(source):
            if reading.instrument == instrument:
                found[reading.policy, reading.kind] += reading.value  # type: ignore[assignment]  # floats too
    return dict(found)


def read(source: Any) -> Iterator[Reading]:
    """Read every figure of a limiter, a breaker, a registry or a retry; of anything else there is none."""
    match source:
        case CompositeRateLimiter():
            for unit, stats in source.stats().items():
                yield from _of_limiter(f"{source.name}.{unit}" if source.name else unit, stats)
        case CircuitBreaker():
            snapshot = source.snapshot()
            yield Reading("sluicegate.breaker.breakers", source.name, snapshot.state.value, 1)
            yield from _of_breakers(source.name, snapshot)
        case CircuitBreakerRegistry():
            held = source.stats()
            yield Reading("sluicegate.breaker.breakers", source.name, "live", held.live)
            yield from _of_breakers(source.name, held)
        case Retry():
            done = source.stats()
            for kind in ("calls", "retries", "failures"):
                yield Reading(f"sluicegate.retry.{kind}", source.name, "", getattr(done, kind))
        case _ if callable(take := getattr(source, "stats", None)):
            if isinstance(taken := take(), RateLimiterStats):
                yield from _of_limiter(source.name, taken)


def _of_limiter(name: str, stats: RateLimiterStats) -> Iterator[Reading]:
    yield Reading("sluicegate.limiter.calls", name, "allowed", stats.allowed)
    yield Reading("sluicegate.limiter.calls", name, "denied", stats.denied)
    yield Reading("sluicegate.limiter.permits", name, "allowed", stats.allowed_permits)
    yield Reading("sluicegate.limiter.permits", name, "denied", stats.denied_permits)
    yield Reading("sluicegate.limiter.permits", name, "returned", stats.returned_permits)
    yield Reading("sluicegate.limiter.waited", name, "", stats.waited)
    yield Reading("sluicegate.limiter.waiting", name, "", stats.waiting)
    if isinstance(stats, KeyedRateLimiterStats):
        yield Reading("sluicegate.limiter.overflowed", name, "", stats.overflowed)
        yield Reading("sluicegate.limiter.keys", name, "", stats.slots_in_use)


def _of_breakers(name: str, figures: Any) -> Iterator[Reading]:
    yield Reading("sluicegate.breaker.calls", name, "success", figures.total_successes)
    yield Reading("sluicegate.breaker.calls", name, "failure", figures.total_failures)
    yield Reading("sluicegate.breaker.calls", name, "ignored", figures.total_ignored)
    yield Reading("sluicegate.breaker.calls", name, "rejected", figures.total_rejected)
    yield Reading("sluicegate.breaker.slow_calls", name, "", figures.total_slow)
    yield Reading("sluicegate.breaker.trips", name, "", figures.trips)
