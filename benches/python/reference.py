"""The same meaning in pure Python: what the native core is measured against, and checked against.

Each class is written the way a careful programmer would for speed: slots, one lock, locals in the
hot path, nothing that a caller did not ask for. `TokenBucket` is as lean as a bucket can be, with
floats, no checks and no statistics; `ExactTokenBucket` promises what `sluicegate.RateLimiter` does.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from threading import Lock
from time import monotonic, monotonic_ns
from typing import Any, NamedTuple

CELLS = 64


class Result(NamedTuple):
    """What `attempt` answers: the fields of `sluicegate.RateLimitResult`."""

    allowed: bool
    limit: int
    remaining: int
    retry_after: float
    reset_after: float


class TokenBucket:
    """The best hand-written token bucket: floats under a lock, counting nothing.

    Example:
        >>> bucket = TokenBucket(rate=2.0, burst=2, now=lambda: 0.0)
        >>> bucket.try_acquire(), bucket.try_acquire(), bucket.try_acquire()
        (True, True, False)
        >>> bucket.attempt().retry_after
        0.5
    """

    __slots__ = ("_at", "_burst", "_lock", "_now", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int, now: Callable[[], float] = monotonic) -> None:
        self._lock = Lock()
        self._now = now
        self._rate = rate
        self._burst = burst
        self._tokens: float = burst
        self._at = now()

    def try_acquire(self, count: int = 1) -> bool:
        """Take `count` permits, or none where they are not there."""
        with self._lock:
            now = self._now()
            tokens = self._tokens + (now - self._at) * self._rate
            if tokens > self._burst:
                tokens = self._burst
            self._at = now
            if tokens < count:
                self._tokens = tokens
                return False
            self._tokens = tokens - count
            return True

    def attempt(self, count: int = 1) -> Result:
        """Take `count` permits and say how things stand."""
        burst, rate = self._burst, self._rate
        with self._lock:
            now = self._now()
            tokens = self._tokens + (now - self._at) * rate
            if tokens > burst:
                tokens = burst
            self._at = now
            allowed = tokens >= count
            if allowed:
                tokens -= count
            self._tokens = tokens
        retry_after = 0.0 if allowed else (count - tokens) / rate
        return Result(allowed, burst, int(tokens), retry_after, (burst - tokens) / rate)

    async def acquire(self, count: int = 1) -> Result:
        """Charge `count` permits at once, and sleep until they are earned."""
        burst, rate = self._burst, self._rate
        with self._lock:
            now = self._now()
            tokens = self._tokens + (now - self._at) * rate
            if tokens > burst:
                tokens = burst
            tokens -= count
            self._at = now
            self._tokens = tokens
        if tokens < 0:
            await asyncio.sleep(-tokens / rate)
        return Result(True, burst, max(0, int(tokens)), 0.0, (burst - tokens) / rate)


class ExactTokenBucket:
    """A token bucket with the promises of `sluicegate.RateLimiter`: exact, checked, counted.

    The arrival time is kept in integers of which a nanosecond holds `scale` and a permit costs
    `cost`, so that no rate rounds, however long it runs.

    Example:
        >>> bucket = ExactTokenBucket(rate=3, period=1, burst=1, now_ns=lambda: 0)
        >>> bucket.try_acquire(), bucket.try_acquire()
        (True, False)
        >>> bucket.allowed, bucket.denied
        (1, 1)
    """

    __slots__ = ("_arrival", "_cost", "_lock", "_now_ns", "_scale", "_tolerance", "allowed", "denied")

    def __init__(
        self,
        rate: int | Fraction,
        period: int | Fraction,
        burst: int,
        now_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        nanos_per_permit = Fraction(period) * 10**9 / Fraction(rate)
        self._lock = Lock()
        self._now_ns = now_ns
        self._cost, self._scale = nanos_per_permit.as_integer_ratio()
        self._tolerance = burst * self._cost
        self._arrival = 0
        self.allowed = self.denied = 0

    def try_acquire(self, count: int = 1) -> bool:
        """Take `count` permits, or none where they are not there.

        Raises:
            TypeError: `count` is no integer.
            ValueError: `count` is negative.
        """
        if type(count) is not int:
            raise TypeError(count)
        if count < 0:
            raise ValueError(count)
        with self._lock:
            now = self._now_ns() * self._scale
            arrival = self._arrival
            if arrival < now:
                arrival = now
            arrival += count * self._cost
            if arrival - now > self._tolerance:
                self.denied += 1
                return False
            self._arrival = arrival
            self.allowed += 1
            return True


class Rejected(Exception):  # noqa: N818 - a refusal, as in sluicegate
    """The breaker is open."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class CircuitBreaker:
    """A breaker over a deque of time cells: closed, open, and half-open with a single probe.

    As in `sluicegate.CircuitBreaker`, the window is made of cells, not of calls, so that it stays
    small at any rate; a trip needs a failure, and a late result of another time moves nothing.

    Example:
        >>> breaker = CircuitBreaker(min_throughput=2, now=lambda: 0.0)
        >>> breaker.call(int, "1")
        1
        >>> breaker.call(int, "not a number")
        Traceback (most recent call last):
        ValueError: invalid literal for int() with base 10: 'not a number'
        >>> breaker.call(int, "1")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        reference.Rejected: 30.0
    """

    __slots__ = (
        "_break_duration", "_calls", "_cells", "_failures", "_generation", "_lock", "_min_throughput",
        "_now", "_open_until", "_probing", "_ratio", "_sampling_duration", "_width",
    )  # fmt: skip

    def __init__(
        self,
        failure_ratio: float = 0.5,
        min_throughput: int = 10,
        sampling_duration: float = 10.0,
        break_duration: float = 30.0,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._lock = Lock()
        self._now = now
        self._ratio = failure_ratio
        self._min_throughput = min_throughput
        self._sampling_duration = sampling_duration
        self._width = sampling_duration / CELLS
        self._break_duration = break_duration
        self._cells: deque[list[Any]] = deque()  # [start, calls, failures], oldest first
        self._calls = self._failures = self._generation = 0
        self._open_until: float | None = None
        self._probing = False

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `func` and count how it went.

        Raises:
            Rejected: The breaker is open, or its probe is under way; `func` was not called.
        """
        generation = self._generation
        open_until = self._open_until
        if open_until is not None:
            generation = self._admit_probe(open_until)
        try:
            result = func(*args, **kwargs)
        except Exception:
            self._record(generation, True)
            raise
        self._record(generation, False)
        return result

    def _admit_probe(self, open_until: float) -> int:
        with self._lock:
            remaining = open_until - self._now()
            if remaining > 0.0 or self._probing:
                raise Rejected(max(remaining, 0.0))
            self._probing = True
            return self._generation

    def _record(self, generation: int, failed: bool) -> None:
        with self._lock:
            if generation != self._generation:
                return
            now = self._now()
            if self._probing:
                self._move(now + self._break_duration if failed else None)
                return
            cells = self._cells
            if not cells or now - cells[-1][0] >= self._width:
                self._evict(now - self._sampling_duration)
                cells.append([now, 0, 0])
            cell = cells[-1]
            cell[1] += 1
            self._calls += 1
            if failed:
                cell[2] += 1
                self._failures += 1
                self._evict(now - self._sampling_duration)
                if self._calls >= self._min_throughput and self._failures >= self._ratio * self._calls:
                    self._move(now + self._break_duration)

    def _evict(self, horizon: float) -> None:
        cells = self._cells
        while cells and cells[0][0] <= horizon:
            _, calls, failures = cells.popleft()
            self._calls -= calls
            self._failures -= failures

    def _move(self, open_until: float | None) -> None:
        self._open_until = open_until
        self._probing = False
        self._generation += 1
        self._cells.clear()
        self._calls = self._failures = 0
