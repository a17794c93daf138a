"""The peers from PyPI: the same work, asked of each in its own words.

They are no dependency of anything: a group of its own installs them (`uv sync --group peers`), and
each is imported when its turn comes, so that a missing one is named and leaves the others be. Each
gets the algorithm nearest to a token bucket that it has, its state in memory, and its defaults.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from importlib.metadata import version

from cases import (
    DAY,
    KEYED,
    RATE,
    Case,
    awaited,
    called,
    fail,
    given,
    keyed,
    looped,
    nothing,
    nothing_async,
    refused,
    table_for,
)

PERMITTED = "try_acquire"
REFUSED = "try_acquire, refused"
AWAITED = "await acquire"
CALLED = "breaker.call"
DECORATED = "@breaker"
DECORATED_ASYNC = "@breaker, async"
OPEN = "breaker.call, open"
RETRIED = "retry"
RETRIED_ASYNC = "retry, async"
PIPELINED = "pipeline of four, async"
NEVER = 10**6  # seconds an open breaker stays open: longer than any run


def trip(call: Callable[[], object]) -> None:
    """Let a guarded function fail, where a single failure opens its breaker."""
    with suppress(RuntimeError):
        call()


def aiolimiter() -> Iterator[Case]:
    """A leaky bucket for asyncio, which knows neither refusals nor keys."""
    import asyncio
    import atexit

    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(RATE, 1)
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    loop.run_until_complete(limiter.acquire())  # from here on it asks this loop for the time, running or not
    yield Case(AWAITED, "aiolimiter", awaited(limiter.acquire))


def limits() -> Iterator[Case]:
    """Fixed windows, its cheapest strategy; every limit has a key."""
    from limits import RateLimitItemPerDay
    from limits.storage import MemoryStorage
    from limits.strategies import FixedWindowRateLimiter

    limiter = FixedWindowRateLimiter(MemoryStorage())
    many, one = RateLimitItemPerDay(RATE), RateLimitItemPerDay(1)
    limiter.hit(one, "refused")
    yield Case(PERMITTED, "limits", called(partial(limiter.hit, many, "hot")))
    yield Case(REFUSED, "limits", called(partial(limiter.hit, one, "refused")))
    for count in KEYED:
        limiter = FixedWindowRateLimiter(
            MemoryStorage()
        )  # one a case: its timer goes over all keys there are
        yield keyed("limits", count, partial(limiter.hit, many))


def pyrate_limiter() -> Iterator[Case]:
    """A token bucket, whose limiter has one name at a time: many keys take a factory of one's own."""
    from pyrate_limiter import Duration
    from pyrate_limiter.limiter_factory import create_token_bucket_limiter

    granting = create_token_bucket_limiter(RATE, Duration.SECOND)
    refusing = create_token_bucket_limiter(1, Duration.DAY)
    refusing.try_acquire("refused", blocking=False)
    yield Case(PERMITTED, "pyrate-limiter", called(partial(granting.try_acquire, "hot", blocking=False)))
    yield Case(REFUSED, "pyrate-limiter", called(partial(refusing.try_acquire, "refused", blocking=False)))


def rust_py_rate_limit() -> Iterator[Case]:
    """Fixed windows in a concurrent map in Rust; every limit has a key, and each call releases the GIL."""
    from rust_py_rate_limit import RateLimiter

    granting = RateLimiter(limit=RATE, window_seconds=DAY)
    refusing = RateLimiter(limit=1, window_seconds=DAY)
    refusing.allow("refused")
    yield Case(PERMITTED, "rust-py-rate-limit", given(granting.allow, "hot"))
    yield Case(REFUSED, "rust-py-rate-limit", given(refusing.allow, "refused"))
    for count in KEYED:
        limiter = RateLimiter(limit=RATE, window_seconds=DAY)
        yield keyed("rust-py-rate-limit", count, limiter.allow)


def throttled_py() -> Iterator[Case]:
    """A token bucket in a store of a bounded number of keys, answering with the state of the limit."""
    from throttled import Throttled, rate_limiter, store
    from throttled.asyncio import Throttled as AsyncThrottled
    from throttled.asyncio import store as async_store

    quota, single = rate_limiter.per_sec(RATE, burst=RATE), rate_limiter.per_day(1, burst=1)
    held = store.MemoryStore(options={"MAX_SIZE": table_for(max(KEYED))})
    granting = Throttled(using="token_bucket", quota=quota, store=held)
    refusing = Throttled(using="token_bucket", quota=single, store=held)
    awaiting = AsyncThrottled(using="token_bucket", quota=quota, store=async_store.MemoryStore())
    refusing.limit("refused")
    yield Case(PERMITTED, "throttled-py", given(granting.limit, "hot"))
    yield Case(REFUSED, "throttled-py", given(refusing.limit, "refused"))
    yield Case(AWAITED, "throttled-py", awaited(partial(awaiting.limit, "hot")))
    for count in KEYED:
        yield keyed("throttled-py", count, granting.limit)


def cachetools() -> Iterator[Case]:
    """No limiter, but what many make one of: a count for each key that forgets it after a day."""
    from cachetools import TTLCache

    counts: TTLCache[str, int] = TTLCache(table_for(max(KEYED)), DAY)

    def try_acquire(key: str) -> bool:
        used: int = counts.get(key, 0) + 1
        counts[key] = used
        return used <= RATE

    for count in KEYED:
        yield keyed("count in cachetools.TTLCache", count, try_acquire)


def circuitbreaker() -> Iterator[Case]:
    """Failures in a row, without a lock; only what it decorates looks whether it is open."""
    from circuitbreaker import CircuitBreaker, CircuitBreakerError

    open_breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=NEVER, name="open")
    refusing = open_breaker(fail)
    trip(refusing)
    yield Case(CALLED, "circuitbreaker", given(CircuitBreaker(name="call").call, nothing))
    yield Case(DECORATED, "circuitbreaker", called(CircuitBreaker(name="sync")(nothing)))
    yield Case(DECORATED_ASYNC, "circuitbreaker", awaited(CircuitBreaker(name="async")(nothing_async)))
    yield Case(OPEN, "circuitbreaker", refused(refusing, CircuitBreakerError))


def pybreaker() -> Iterator[Case]:
    """Failures in a row under a lock; coroutines only on Tornado."""
    from pybreaker import CircuitBreaker, CircuitBreakerError

    open_breaker = CircuitBreaker(fail_max=1, reset_timeout=NEVER)
    open_breaker.open()
    yield Case(CALLED, "pybreaker", given(CircuitBreaker().call, nothing))
    yield Case(DECORATED, "pybreaker", called(CircuitBreaker()(nothing)))
    yield Case(OPEN, "pybreaker", refused(partial(open_breaker.call, nothing), CircuitBreakerError))


def aiobreaker() -> Iterator[Case]:
    """The same for asyncio, without the lock."""
    from aiobreaker import CircuitBreaker, CircuitBreakerError

    open_breaker = CircuitBreaker(timeout_duration=timedelta(seconds=NEVER))
    open_breaker.open()
    yield Case(CALLED, "aiobreaker", given(CircuitBreaker().call, nothing))
    yield Case(DECORATED, "aiobreaker", called(CircuitBreaker()(nothing)))
    yield Case(DECORATED_ASYNC, "aiobreaker", awaited(CircuitBreaker()(nothing_async)))
    yield Case(OPEN, "aiobreaker", refused(partial(open_breaker.call, nothing), CircuitBreakerError))


def interlock_cb() -> Iterator[Case]:
    """A failure ratio over a window of time, as ours."""
    from interlock import CircuitBreaker, CircuitOpenError, Config, WindowType

    config = Config(window_type=WindowType.TIME_BASED, window_size=10)
    open_breaker = CircuitBreaker(name="open", config=config)
    open_breaker.force_open()
    breaker = CircuitBreaker(name="closed", config=config)
    yield Case(CALLED, "interlock-cb", given(breaker.call, nothing))
    yield Case(DECORATED, "interlock-cb", called(breaker(nothing)))
    yield Case(DECORATED_ASYNC, "interlock-cb", awaited(breaker(nothing_async)))
    yield Case(OPEN, "interlock-cb", refused(partial(open_breaker.call, nothing), CircuitOpenError))


def interlock_pipeline() -> Iterator[Case]:
    """Timeout, retry by tenacity, breaker, and for want of a limiter its bulkhead, which costs less."""
    from interlock import BulkheadStrategy, CircuitBreaker, CircuitBreakerStrategy, Pipeline, TimeoutStrategy
    from interlock.integrations.tenacity import RetryStrategy

    breaker = CircuitBreakerStrategy(CircuitBreaker(name="pipeline"))
    strategies = (TimeoutStrategy(DAY), RetryStrategy(attempts=3), breaker, BulkheadStrategy(100))
    yield Case(PIPELINED, "interlock-cb", looped(Pipeline(*strategies)(nothing_async)))


def tenacity() -> Iterator[Case]:
    """Three attempts with exponential waits, as ours."""
    from tenacity import retry, stop_after_attempt, wait_exponential

    policy = retry(stop=stop_after_attempt(3), wait=wait_exponential())
    yield Case(RETRIED, "tenacity", called(policy(nothing)))
    yield Case(RETRIED_ASYNC, "tenacity", awaited(policy(nothing_async)))


def backoff() -> Iterator[Case]:
    """Three attempts with exponential waits and jitter, as ours."""
    from backoff import expo, on_exception

    policy = on_exception(expo, Exception, max_tries=3)
    yield Case(RETRIED, "backoff", called(policy(nothing)))


def hyx() -> Iterator[Case]:
    """Three attempts, of coroutine functions only."""
    from hyx.retry import retry

    yield Case(RETRIED_ASYNC, "hyx", awaited(retry(on=Exception, attempts=3)(nothing_async)))


def purgatory_circuitbreaker() -> Iterator[Case]:
    """Failures in a row, with events on a bus of their own; it has decorators and blocks, no call."""
    from purgatory import AsyncCircuitBreakerFactory, SyncCircuitBreakerFactory
    from purgatory.domain.model import OpenedState

    breakers = SyncCircuitBreakerFactory(default_threshold=1, default_ttl=NEVER)
    refusing = breakers("open")(fail)
    trip(refusing)
    yield Case(DECORATED, "purgatory-circuitbreaker", called(breakers("closed")(nothing)))
    decorated = AsyncCircuitBreakerFactory()("closed")(nothing_async)
    yield Case(DECORATED_ASYNC, "purgatory-circuitbreaker", awaited(decorated))
    yield Case(OPEN, "purgatory-circuitbreaker", refused(refusing, OpenedState))


PEERS: dict[str, Callable[[], Iterator[Case]]] = {
    "limits": limits,
    "pyrate-limiter": pyrate_limiter,
    "throttled-py": throttled_py,
    "aiolimiter": aiolimiter,
    "rust-py-rate-limit": rust_py_rate_limit,
    "cachetools": cachetools,
    "circuitbreaker": circuitbreaker,
    "pybreaker": pybreaker,
    "aiobreaker": aiobreaker,
    "interlock-cb": interlock_cb,
    "interlock-cb, its pipeline": interlock_pipeline,
    "tenacity": tenacity,
    "backoff": backoff,
    "hyx": hyx,
    "purgatory-circuitbreaker": purgatory_circuitbreaker,
}


def peer_cases(names: Iterable[str] = PEERS) -> tuple[list[Case], dict[str, str]]:
    """Build the cases of these peers, and tell of each that is not here why it is missing."""
    found: list[Case] = []
    missing = {}
    with warnings.catch_warnings(action="ignore"):  # what a peer deprecates is no concern of ours
        for name in names:
            try:
                found += PEERS[name]()
            except ImportError as error:
                missing[name] = str(error)
    return found, missing


def roll(missing: dict[str, str]) -> Iterator[str]:
    """Call the roll of the peers: each with its version, or with the reason why it is not measured."""
    for name in PEERS:
        project = name.partition(",")[0]
        yield f"{name}: not measured, {missing[name]}" if name in missing else f"{name} {version(project)}"
