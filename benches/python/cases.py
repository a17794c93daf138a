"""What is measured: each verb beside its pure-Python equivalent and its floor.

A case is a batch: told how many calls to make, it makes them in a tight loop. `test_cases.py` hands
the batches to pytest-benchmark, `ratios.py` interleaves them and compares.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from time import monotonic_ns

import reference
import sluicegate
from sluicegate._native import CallFloor

RATE = 1_000_000_000  # permits a second: more than any loop takes, so that every call is admitted


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure, in the group of those it is compared with."""

    group: str
    name: str
    batch: Callable[[int], None]


def called(call: Callable[[], object]) -> Callable[[int], None]:
    """Make a batch of plain calls."""

    def batch(count: int) -> None:
        for _ in repeat(None, count):
            call()

    return batch


def awaited(call: Callable[[], Awaitable[object]]) -> Callable[[int], None]:
    """Make a batch of awaited calls, of which none may wait; no event loop is measured with them."""

    async def batch(count: int) -> None:
        for _ in repeat(None, count):
            await call()

    def drive(count: int) -> None:
        coroutine = batch(count)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        coroutine.close()
        raise RuntimeError("a call that should not wait has waited")

    return drive


def empty_loop(count: int) -> None:
    """Make no call at all: what every other batch costs besides its calls."""
    for _ in repeat(None, count):
        pass


def nothing() -> None:
    """Return at once."""


async def nothing_async() -> None:
    """Return at once, to be awaited."""


def cases() -> list[Case]:
    """Build every case anew."""
    floor = CallFloor()
    limiter = sluicegate.RateLimiter(sluicegate.RateLimiterConfig(RATE, burst=RATE))
    lean = reference.TokenBucket(RATE, RATE)
    refusing = sluicegate.RateLimiter("1/day")
    refusing_lean = reference.TokenBucket(rate=1e-6, burst=1)
    assert refusing.try_acquire()
    assert refusing_lean.try_acquire()
    exact = reference.ExactTokenBucket(RATE, 1, RATE)
    return [
        Case("floor", "empty loop", empty_loop),
        Case("floor", "empty Python function", called(nothing)),
        Case("floor", "empty native method", called(floor.empty)),
        Case("floor", "native method with a default", called(floor.count)),
        Case("floor", "native method that reads the clock", called(floor.clock)),
        Case("floor", "time.monotonic_ns", called(monotonic_ns)),
        Case("floor", "empty coroutine", awaited(nothing_async)),
        Case("try_acquire", "sluicegate", called(limiter.try_acquire)),
        Case("try_acquire", "pure Python, as exact and checked", called(exact.try_acquire)),
        Case("try_acquire", "pure Python, leanest", called(lean.try_acquire)),
        Case("try_acquire, refused", "sluicegate", called(refusing.try_acquire)),
        Case("try_acquire, refused", "pure Python, leanest", called(refusing_lean.try_acquire)),
        Case("attempt", "sluicegate", called(limiter.attempt)),
        Case("attempt", "pure Python, leanest", called(lean.attempt)),
        Case("await acquire", "sluicegate", awaited(limiter.acquire)),
        Case("await acquire", "pure Python, leanest", awaited(lean.acquire)),
        Case("breaker.call", "sluicegate", called(partial(sluicegate.CircuitBreaker().call, nothing))),
        Case("breaker.call", "pure Python", called(partial(reference.CircuitBreaker().call, nothing))),
    ]
