"""The benches compare like with like: the pure-Python reference means what the native core means."""

import random
from fractions import Fraction

import pytest

import reference
import sluicegate


def step(dice, clock, longest):
    """Move the clock by anything from nothing to `longest` nanoseconds."""
    clock.advance_ns(round(longest * dice.random() ** 4))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", ["3/s", "7/11s;burst=5", "1/day", "0.1/s;burst=3"])
def test_the_exact_bucket_admits_what_the_limiter_admits(clock, rate, seed):
    dice = random.Random(seed)
    limit = sluicegate.RateLimiterConfig.parse(rate)
    limiter = sluicegate.RateLimiter(limit, clock=clock)
    rate, period = Fraction(str(limit.rate)), Fraction(str(limit.period))
    bucket = reference.ExactTokenBucket(rate, period, limit.burst, clock.now_ns)
    for _ in range(500):
        step(dice, clock, 2e9 * period / rate)
        count = dice.randint(0, limit.burst)
        assert bucket.try_acquire(count) == limiter.try_acquire(count)


def test_the_lean_bucket_answers_as_the_limiter_does(clock):
    dice = random.Random(1)
    limiter = sluicegate.RateLimiter("4/s;burst=8", clock=clock)
    bucket = reference.TokenBucket(4.0, 8, clock.now)
    for _ in range(500):
        step(dice, clock, 2**29)
        ours, theirs = limiter.attempt(), bucket.attempt()
        assert ours.allowed == theirs.allowed
        assert ours.remaining == theirs.remaining
        assert ours.retry_after == pytest.approx(theirs.retry_after, abs=1e-6)
        assert ours.reset_after == pytest.approx(theirs.reset_after, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_deque_breaker_refuses_what_the_breaker_refuses(clock, seed):
    dice = random.Random(seed)
    ours = sluicegate.CircuitBreaker(clock=clock)
    theirs = reference.CircuitBreaker(now=clock.now)
    trips = 0
    for _ in range(500):
        clock.advance(dice.choice([0.0, 0.25, 1.0, 5.0]))
        call = dice.choice([int, lambda: 1 // 0])
        refused = []
        for breaker, refusal in ((ours, sluicegate.CircuitOpenError), (theirs, reference.Rejected)):
            try:
                breaker.call(call)
            except refusal:
                refused.append(breaker)
            except ZeroDivisionError:
                pass
        assert len(refused) in (0, 2)
        trips += len(refused) // 2
    assert trips
