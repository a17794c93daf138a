"""Read by type checkers alone: what a policy decorates keeps its signature, and its awaitability."""

from typing import assert_type

from sluicegate import (
    AdaptiveConcurrency,
    Bulkhead,
    CircuitBreaker,
    Fallback,
    Hedge,
    Pipeline,
    RateLimiter,
    Retry,
    RetryBudget,
    RetryConfig,
    Timeout,
    retry_async,
)
from sluicegate.testing import Chaos

retry = Retry(RetryConfig(max_attempts=2), name="search")
limiter = RateLimiter("100/s")
pipeline = Pipeline(retry, CircuitBreaker(), limiter, limiter.limit(timeout=1.0), Timeout(2.0))


@retry
def count(word: str, *, times: int = 1) -> int:
    """Return a number."""
    return len(word) * times


@pipeline
@Timeout(1.0)
@retry
async def fetch(url: str) -> bytes:
    """Return bytes, later."""
    return url.encode()


@Fallback(0)
@Bulkhead(5)
@AdaptiveConcurrency()
@Chaos(fault=OSError, fault_rate=0.1)
def weigh(word: str, /, grams: float = 1.0) -> int:
    """Return a number."""
    return round(len(word) * grams)


@Fallback(lambda error: b"")
@Hedge(0.5)
@Bulkhead(5, max_queue=10, max_wait=1.0)
@Retry(budget=RetryBudget(0.1))
async def read(path: str, *parts: int) -> bytes:
    """Return bytes, later."""
    return path.encode() + bytes(parts)


class Client:
    """Has methods."""

    @retry
    def get(self, url: str) -> str:
        """Return what it is given."""
        return url


async def main() -> None:
    """Use them all."""
    assert_type(count("word", times=2), int)
    assert_type(await fetch("here"), bytes)
    assert_type(Client().get("here"), str)
    assert_type(weigh("word", grams=2.0), int)
    assert_type(await read("here", 1, 2), bytes)
    assert_type(Bulkhead(5).call(weigh, "word"), int)
    assert_type(AdaptiveConcurrency().call(weigh, "word", 2.0), int)
    assert_type(await Fallback(b"").call(read, "here"), bytes)
    assert_type(await Hedge(0.5).call(read, "here", 1), bytes)
    assert_type(retry.call(count, "word", times=2), int)
    assert_type(await retry.call(fetch, "here"), bytes)
    assert_type(await Timeout(1.0).call(fetch, "here"), bytes)
    assert_type(await pipeline.call(fetch, "here"), bytes)
    assert_type(await retry_async(fetch, "here", max_attempts=2), bytes)
    for attempt in retry:
        with attempt:
            assert_type(attempt.number, int)
    async for attempt in retry:
        async with attempt:
            assert_type(attempt.number, int)

    count(1)  # type: ignore[arg-type]
    await fetch()  # type: ignore[call-arg]
    retry.call(count, "word", times="2")  # type: ignore[arg-type]
    Client().get(1)  # type: ignore[arg-type]
    await Timeout(1.0).call(count, "word")  # type: ignore[arg-type]
    Timeout(1.0)(count)  # type: ignore[type-var]
    Retry(max_attempt=3)  # type: ignore[call-arg]
    Retry(max_attempts="3")  # type: ignore[arg-type]
    weigh(word="word")  # type: ignore[call-arg]
    await read("here", "one")  # type: ignore[arg-type]
    Bulkhead(5).call(weigh, 3)  # type: ignore[arg-type]
    await Hedge(0.5).call(count, "word")  # type: ignore[arg-type]
    Hedge(0.5)(count)  # type: ignore[type-var]
    Bulkhead("5")  # type: ignore[arg-type]
    Pipeline(len)  # type: ignore[arg-type]
