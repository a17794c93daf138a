"""Limiters against the promise itself, in exact fractions: one limiter, and one with a limit for each key."""

import math
from fractions import Fraction

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sluicegate import KeyedRateLimiter, RateLimiter, RateLimiterConfig
from sluicegate.testing import ManualClock

NANOS = 10**9
COUNTS = st.integers(1, 7)
WAITS = st.integers(0, 20).map(lambda tenths: tenths / 10)


class Promise:
    """Permits used, and whether in no window they are more than burst + rate × window."""

    def __init__(self, config, unit):
        self.config = config
        self.unit = unit
        self.uses = {}

    def present(self, at_ns):
        """Units gone by: a permit's worth of time is cut into whole units of a nanosecond or less."""
        rate = Fraction(self.config.rate) / Fraction(self.config.period) / NANOS
        return math.floor(at_ns * rate * self.unit)

    def is_kept(self, uses):
        """Whether every window between two uses holds no more than it may."""
        return all(
            sum(count for at, count in uses if first <= at <= last) * self.unit
            <= self.config.burst * self.unit + self.present(last) - self.present(first)
            for first, _ in uses
            for last, _ in uses
            if last >= first
        )


def finest_unit(config):
    """The least power of two by which a permit is cut into nanoseconds or less."""
    per_permit = Fraction(config.period) / Fraction(config.rate) * NANOS
    return 2 ** max(0, math.ceil(per_permit) - 1).bit_length()


class Limiters(RuleBasedStateMachine):
    """Draws, reservations and refunds at any time; the model knows only who used how much and when."""

    keys = st.just(None)

    def build(self, config):
        """The limiter as a function from a key to its verbs' first arguments."""
        self.limiter = RateLimiter(config, clock=self.clock)

    def of(self, key):
        """The arguments that come before the count."""
        return ()

    @initialize(
        rate=st.integers(1, 40), period=st.sampled_from([1, 7, 0.5]), burst=st.integers(1, 8), start=WAITS
    )
    def begin(self, rate, period, burst, start):
        self.clock = ManualClock(start)
        self.config = RateLimiterConfig(rate, period, burst)
        self.promise = Promise(self.config, finest_unit(self.config))
        self.uses = {}
        self.reserved = []
        self.build(self.config)

    def used(self, key):
        return self.uses.setdefault(key, [])

    @rule(tenths=st.integers(1, 30))
    def advance(self, tenths):
        self.clock.advance_ns(tenths * NANOS // 10)

    @rule(nanos=st.integers(1, 3))
    def advance_a_little(self, nanos):
        self.clock.advance_ns(nanos)

    @rule(data=st.data(), count=COUNTS)
    def draw(self, data, count):
        key = data.draw(self.keys)
        more = [self.clock.now_ns(), count]
        allowed = self.limiter.try_acquire(*self.of(key), count)
        if not any(owner == key for owner, _, _ in self.reserved):
            assert allowed == self.promise.is_kept([*self.used(key), more])
        if allowed:
            self.used(key).append(more)

    @rule(data=st.data(), count=COUNTS)
    def what_is_refused_is_granted_after_retry_after_and_not_before(self, data, count):
        key = data.draw(self.keys)
        seen = self.limiter.peek(*self.of(key), count)
        if seen.allowed or seen.retry_after == math.inf:
            assert seen.allowed == (count <= self.config.burst)
            return
        wait = round(seen.retry_after * NANOS)
        self.clock.advance_ns(wait - 1)
        assert not self.limiter.peek(*self.of(key), count)
        self.clock.advance_ns(1)
        assert self.limiter.peek(*self.of(key), count)

    @rule(data=st.data(), count=COUNTS, max_wait=WAITS)
    def reserve(self, data, count, max_wait):
        key = data.draw(self.keys)
        reservation = self.limiter.reserve(*self.of(key), count, max_wait=max_wait)
        if reservation is not None:
            assert reservation.delay <= max_wait
            use = [reservation.execute_at_ns, count]
            self.used(key).append(use)
            self.reserved.append((key, reservation, use))

    @precondition(lambda self: self.reserved)
    @rule(data=st.data())
    def cancel(self, data):
        _, reservation, use = data.draw(st.sampled_from(self.reserved))
        unsettled = self.clock.now_ns() < use[0] and "settled" not in repr(reservation)
        returned = reservation.cancel()
        assert 0 <= returned <= (reservation.count if unsettled else 0)
        if unsettled:
            use[1] = 0

    @precondition(lambda self: self.reserved)
    @rule(data=st.data(), actual=st.integers(0, 7))
    def commit(self, data, actual):
        _, reservation, use = data.draw(st.sampled_from(self.reserved))
        unsettled = "settled" not in repr(reservation)
        actual = min(actual, reservation.count)
        returned = reservation.commit(actual)
        assert 0 <= returned <= reservation.count - actual
        if unsettled:
            use[1] = actual

    @invariant()
    def every_promise_is_kept(self):
        for uses in getattr(self, "uses", {}).values():
            assert self.promise.is_kept([use for use in uses if use[1]])


class KeyedLimiters(Limiters):
    """The same of every key, in a table with room for all."""

    keys = st.sampled_from(["alice", b"bob", 3, ("tenant", 4), -(2**70)])

    def build(self, config):
        self.limiter = KeyedRateLimiter(config, max_keys=11, clock=self.clock)

    def of(self, key):
        return (key,)

    @invariant()
    def none_is_sent_to_the_overflow(self):
        if hasattr(self, "limiter"):
            assert self.limiter.stats().overflowed == 0


TestRateLimiter = Limiters.TestCase
TestKeyedRateLimiter = KeyedLimiters.TestCase
TestRateLimiter.settings = TestKeyedRateLimiter.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None
)
