"""What is measured: each verb beside its pure-Python equivalent and its floor.

A case is a batch: told how many calls to make, it makes them in a tight loop. `test_cases.py` hands
the batches to pytest-benchmark, `ratios.py` interleaves them and compares.
"""

import asyncio
import atexit
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import cycle, islice, repeat
from time import monotonic_ns
from typing import TypeAlias, TypeVar

import reference
import sluicegate
from reference import Rejected
from sluicegate import CircuitOpenError
from sluicegate._native import CallFloor

T = TypeVar("T")
Key: TypeAlias = tuple[str, str]

RATE = 1_000_000_000  # permits a second: more than any loop takes, so that every call is admitted
DAY = 86_400  # seconds
LOOP = ("floor", "empty loop")
KEYED = (1_000, 100_000)  # how many keys
SLOTS = 4  # that a cache line has


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure, in the group of those it is compared with."""

    group: str
    name: str
    batch: Callable[[int], None]
    loop: Key = LOOP  # the case that is what the batch costs besides its calls

    @property
    def key(self) -> Key:
        """What a run files its figures under."""
        return self.group, self.name


def called(call: Callable[[], object]) -> Callable[[int], None]:
    """Make a batch of plain calls."""

    def batch(count: int) -> None:
        for _ in repeat(None, count):
            call()

    return batch


def given(call: Callable[[T], object], argument: T) -> Callable[[int], None]:
    """Make a batch of calls with one argument, which cost less than those of a partial."""

    def batch(count: int) -> None:
        for _ in repeat(None, count):
            call(argument)

    return batch


def refused(call: Callable[[], object], refusal: type[BaseException]) -> Callable[[int], None]:
    """Make a batch of calls that all raise `refusal`, and catch it."""

    def batch(count: int) -> None:
        for _ in repeat(None, count):
            try:
                call()
            except refusal:
                continue
            raise RuntimeError("a call that should be refused has gone through")

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


def looped(call: Callable[[], Awaitable[object]]) -> Callable[[int], None]:
    """Make a batch of awaited calls in an event loop, for what needs one: a timeout sets its alarm there."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)

    async def batch(count: int) -> None:
        for _ in repeat(None, count):
            await call()

    return lambda count: loop.run_until_complete(batch(count))


def empty_loop(count: int) -> None:
    """Make no call at all: what every other batch costs besides its calls."""
    for _ in repeat(None, count):
        pass


@cache
def shuffled_keys(count: int) -> Sequence[str]:
    """Name `count` clients, in an order of chance that is the same in every run."""
    keys = [f"client:{number}" for number in range(count)]
    random.Random(count).shuffle(keys)
    return keys


def keyed(name: str, count: int, call: Callable[[str], object]) -> Case:
    """Make a case of calls that go round `count` keys, each of which is known from the start."""
    keys = shuffled_keys(count)
    endless = cycle(keys)
    for key in keys:
        call(key)

    def batch(calls: int) -> None:
        for key in islice(endless, calls):
            call(key)

    return Case(f"try_acquire(key), {count:,} keys", name, batch, loop=key_loop(count).key)


def key_loop(count: int) -> Case:
    """Make a case of the loop over `count` keys, which calls nothing."""
    endless = cycle(shuffled_keys(count))

    def batch(calls: int) -> None:
        for _ in islice(endless, calls):
            pass

    return Case("floor", f"loop over {count:,} keys", batch)


def nothing() -> None:
    """Return at once."""


async def nothing_async() -> None:
    """Return at once, to be awaited."""


def fail() -> None:
    """Fail, so that a breaker opens."""
    raise RuntimeError("what a breaker counts")


class PlainRefusal(Exception):  # noqa: N818 - a refusal, as in sluicegate
    """An exception as plain as can be, with the fields of `sluicegate.CircuitOpenError`."""

    def __init__(
        self, message: str, *, policy: str, retry_after: float, state: str, last_failure: Exception | None
    ) -> None:
        super().__init__(message)
        self.policy = policy
        self.retry_after = retry_after
        self.state = state
        self.last_failure = last_failure


def refuse(name: str = "payments") -> None:
    """Raise a plain refusal, with a message of its own."""
    raise PlainRefusal(
        f"circuit breaker {name!r} is open", policy=name, retry_after=30.0, state="open", last_failure=None
    )


def cases() -> list[Case]:
    """Build every case anew."""
    keyed = [case for count in KEYED for case in keyed_cases(count)]
    return [*floor_cases(), *limiter_cases(), *keyed, *breaker_cases(), *policy_cases()]


def floor_cases() -> list[Case]:
    """Build what a machine charges before anything is decided."""
    floor = CallFloor()
    return [
        Case("floor", "empty loop", empty_loop),
        Case("floor", "empty Python function", called(nothing)),
        Case("floor", "empty native method", called(floor.empty)),
        Case("floor", "native method with a default", called(floor.count)),
        Case("floor", "native method that only calls a function", given(floor.through, nothing)),
        Case("floor", "native method that reads the clock", called(floor.clock)),
        Case("floor", "time.monotonic_ns", called(monotonic_ns)),
        Case("floor", "empty coroutine", awaited(nothing_async)),
        Case("floor", "plain exception, raised and caught", refused(refuse, PlainRefusal)),
    ]


def limiter_cases() -> list[Case]:
    """Build the verbs of a limiter beside a token bucket in pure Python."""
    limiter = sluicegate.RateLimiter(sluicegate.RateLimiterConfig(RATE, burst=RATE))
    lean = reference.TokenBucket(RATE, RATE)
    refusing = sluicegate.RateLimiter("1/day")
    refusing_lean = reference.TokenBucket(rate=1e-6, burst=1)
    assert refusing.try_acquire()
    assert refusing_lean.try_acquire()
    exact = reference.ExactTokenBucket(RATE, 1, RATE)
    raising = refusing.limit(timeout=0)(nothing)
    return [
        Case("try_acquire", "sluicegate", called(limiter.try_acquire)),
        Case("try_acquire", "pure Python, as exact and checked", called(exact.try_acquire)),
        Case("try_acquire", "pure Python, leanest", called(lean.try_acquire)),
        Case("try_acquire, refused", "sluicegate", called(refusing.try_acquire)),
        Case("try_acquire, refused", "pure Python, leanest", called(refusing_lean.try_acquire)),
        Case("attempt", "sluicegate", called(limiter.attempt)),
        Case("attempt", "pure Python, leanest", called(lean.attempt)),
        Case("attempt, refused", "sluicegate", called(refusing.attempt)),
        Case("attempt, refused", "pure Python, leanest", called(refusing_lean.attempt)),
        Case("@limit, refused", "sluicegate", refused(raising, sluicegate.LimitExceededError)),
        Case("await acquire", "sluicegate", awaited(limiter.acquire)),
        Case("await acquire", "pure Python, leanest", awaited(lean.acquire)),
    ]


def table_for(count: int) -> int:
    """Choose how many keys a table is made for: as many as by default, or more where `count` needs it."""
    return max(65_536, count * 7 // 5)


def keyed_cases(count: int) -> list[Case]:
    """Build a decision for one of `count` keys, all of which owe something."""
    quota = sluicegate.RateLimiterConfig(1, DAY, burst=RATE)
    limiter = sluicegate.KeyedRateLimiter(quota, max_keys=table_for(count))
    floor = CallFloor(lines=limiter.stats().slots // SLOTS)
    return [
        key_loop(count),
        keyed("sluicegate", count, limiter.try_acquire),
        keyed("native method that hashes its key", count, floor.hash),
        keyed("native method that also looks at a line of a table", count, floor.look),
    ]


def breaker_cases() -> list[Case]:
    """Build the ways through a breaker, closed and open, beside one in pure Python."""
    breaker = sluicegate.CircuitBreaker(name="payments")
    lean = reference.CircuitBreaker()
    opened = sluicegate.CircuitBreaker(name="payments", consecutive_failures=1, break_duration=DAY)
    opened_lean = reference.CircuitBreaker(min_throughput=1, break_duration=DAY)
    for failing in (opened, opened_lean):
        with suppress(RuntimeError):
            failing.call(fail)
    return [
        Case("breaker.call", "sluicegate", given(breaker.call, nothing)),
        Case("breaker.call", "pure Python", given(lean.call, nothing)),
        Case("@breaker", "sluicegate", called(breaker(nothing))),
        Case("@breaker, async", "sluicegate", awaited(breaker(nothing_async))),
        Case("breaker.call, open", "sluicegate", refused(partial(opened.call, nothing), CircuitOpenError)),
        Case("breaker.call, open", "pure Python", refused(partial(opened_lean.call, nothing), Rejected)),
        Case("breaker.try_enter, open", "sluicegate", called(opened.try_enter)),
    ]


def policy_cases() -> list[Case]:
    """Build calls through policies that have nothing to do: no failure, no wait, no refusal."""
    retry = sluicegate.Retry()
    budgeted = sluicegate.Retry(budget=sluicegate.RetryBudget())
    bulkhead = sluicegate.Bulkhead(100)
    adaptive = sluicegate.AdaptiveConcurrency(100)
    pipeline = sluicegate.Pipeline(
        sluicegate.Timeout(DAY),
        retry,
        sluicegate.CircuitBreaker(),
        sluicegate.RateLimiter(sluicegate.RateLimiterConfig(RATE, burst=RATE)),
    )
    return [
        Case("retry", "sluicegate, retry.call", given(retry.call, nothing)),
        Case("retry", "sluicegate, @retry", called(retry(nothing))),
        Case("retry", "sluicegate, with a budget", given(budgeted.call, nothing)),
        Case("retry, async", "sluicegate", awaited(retry(nothing_async))),
        Case("concurrency, async", "sluicegate, bulkhead", awaited(bulkhead(nothing_async))),
        Case("concurrency, async", "sluicegate, adaptive", awaited(adaptive(nothing_async))),
        Case("pipeline of four, async", "empty coroutine", looped(nothing_async)),
        Case("pipeline of four, async", "sluicegate", looped(pipeline(nothing_async))),
    ]
