"""Part A of the exact cases, for one limiter; the number of each in brackets."""

import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sluicegate import ConfigurationError, RateLimiter, RateLimiterConfig, RateLimitResult


def taken(limiter, *counts):
    return [limiter.try_acquire(count) for count in counts]


def at(clock, limiter, *steps):
    """Attempt at each of (seconds, count), and say what was allowed."""
    results = []
    for seconds, count in steps:
        clock.set(seconds)
        results.append(limiter.try_acquire(count))
    return results


def test_admits_the_burst_then_says_how_long_to_wait(clock):
    """[1]"""
    limiter = RateLimiter("5/s", clock=clock)
    assert all(taken(limiter, 1, 1, 1, 1, 1))
    refused = limiter.attempt()
    assert not refused
    assert refused.retry_after == 0.2
    clock.advance(2)
    assert taken(limiter, 1, 1, 1, 1, 1, 1) == [True] * 5 + [False]


def test_a_permit_comes_back_a_period_after_it_was_drawn(clock):
    """[2]"""
    limiter = RateLimiter("2/s", clock=clock)
    assert at(clock, limiter, (0, 1), (0.001, 1)) == [True, True]
    clock.set(0.002)
    assert limiter.attempt().retry_after == 0.498
    assert at(clock, limiter, (1.002, 1), (1.003, 1), (1.004, 1)) == [True, True, False]


def test_two_at_once_wait_for_both(clock):
    """[3]"""
    limiter = RateLimiter("4/s", clock=clock)
    assert taken(limiter, 2, 2) == [True, True]
    clock.set(0.001)
    assert limiter.attempt(2).retry_after == 0.499
    assert at(clock, limiter, (1.001, 2), (1.001, 2)) == [True, True]


def test_more_than_the_burst_is_never_granted_and_changes_nothing(clock):
    """[4]"""
    limiter = RateLimiter("5/s", clock=clock)
    assert [limiter.attempt(count).retry_after for count in (15, 7, 6)] == [math.inf] * 3
    assert limiter.try_acquire(5)


def test_twenty_threads_share_one_limit(clock):
    """[5]"""
    limiter = RateLimiter("20/s", clock=clock)
    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(lambda _: limiter.try_acquire(), range(20)))
    clock.set(0.002)
    assert not limiter.try_acquire()
    clock.set(1)
    assert limiter.try_acquire()


def test_a_rate_above_a_permit_a_nanosecond_loses_none(clock):
    """[6]"""
    limiter = RateLimiter("1000000001/s", clock=clock)
    with ThreadPoolExecutor(2) as pool:
        draws = pool.map(lambda _: all(limiter.try_acquire() for _ in range(1_000_000)), range(2))
    assert all(draws)


def test_remaining_counts_down(clock):
    """[7]"""
    limiter = RateLimiter("4/s", clock=clock)
    assert [limiter.attempt().remaining for _ in range(4)] == [3, 2, 1, 0]
    assert not limiter.attempt()


@pytest.mark.parametrize("text", ["3/s", "7/11s;burst=3", "600000000/s;burst=3", "1/day", "0.7692307692/s"])
def test_refuses_until_retry_after_and_admits_exactly_then(clock, text):
    """[9]"""
    limiter = RateLimiter(text, clock=clock)
    clock.advance(12.3456789)
    while (refused := limiter.attempt()).allowed:
        pass
    wait_ns = round(refused.retry_after * 1e9)
    clock.advance_ns(wait_ns - 1)
    assert not limiter.try_acquire()
    clock.advance_ns(1)
    assert limiter.try_acquire()


def test_a_burst_of_one_spaces_calls_evenly(clock):
    """[11]"""
    limiter = RateLimiter("10/s;burst=1", clock=clock)
    assert taken(limiter, 1, 1, 1) == [True, False, False]
    assert at(clock, limiter, (0.1, 1), (0.1, 1)) == [True, False]
    clock.set(0.2)
    assert limiter.attempt(2).retry_after == math.inf
    assert limiter.try_acquire()


def test_counts_above_one_draw_on_the_same_burst(clock):
    """[12]"""
    limiter = RateLimiter("10/s;burst=3", clock=clock)
    assert taken(limiter, 2, 2, 1, 1) == [True, False, True, False]
    clock.set(0.1)
    assert limiter.attempt(4).retry_after == math.inf
    assert at(clock, limiter, (0.1, 1), (0.2, 1), (0.3, 1), (0.4, 1), (0.4, 1)) == [True] * 4 + [False]
    assert at(clock, limiter, (0.9, 3), (0.9, 0)) == [True, True]


def test_a_rate_of_sixteen_digits_admits_the_first_call(clock):
    """[13]"""
    assert RateLimiter("0.7692307692307693/s;burst=1", clock=clock).try_acquire()


def test_fifteen_threads_get_exactly_the_burst(clock):
    """[14]"""
    limiter = RateLimiter("1/s;burst=5", clock=clock)
    barrier = threading.Barrier(15)

    def draw(_):
        barrier.wait()
        return limiter.try_acquire()

    with ThreadPoolExecutor(15) as pool:
        assert sum(pool.map(draw, range(15))) == 5


def test_a_clock_that_steps_back_never_admits_more(clock):
    """[16]"""
    limiter = RateLimiter("10/s;burst=3", clock=clock)
    steps = ((0.1, 1), (0, 1), (0, 1), (0.1, 1), (0.1, 1), (0.2, 1))
    assert at(clock, limiter, *steps) == [True, True, False, True, False, True]


def test_a_rate_of_zero_is_the_burst_and_no_more(clock):
    """[24]"""
    limiter = RateLimiter("0/s;burst=1", clock=clock)
    assert limiter.try_acquire()
    clock.advance(1e9)
    assert limiter.attempt().retry_after == math.inf
    limiter.update("10/s;burst=1")
    assert limiter.attempt().retry_after == 0.1


def test_a_rate_of_a_permit_in_centuries_does_not_overflow(clock):
    """[25]"""
    limiter = RateLimiter(RateLimiterConfig(1e-10), clock=clock)
    assert taken(limiter, 1, 1) == [True, False]
    assert limiter.attempt().retry_after == pytest.approx(1e10)


def test_an_unlimited_rate_admits_whatever_the_burst(clock):
    """[26]"""
    limiter = RateLimiter(RateLimiterConfig(math.inf, burst=0), clock=clock)
    result = limiter.attempt(3)
    assert result == RateLimitResult(True, sys.maxsize, sys.maxsize, 0.0, 0.0)
    assert limiter.reserve(10**30).delay == 0.0


def test_a_partly_refilled_bucket_tells_the_rest_of_the_wait(clock):
    """[29]"""
    limiter = RateLimiter("1/s;burst=4", clock=clock)
    assert limiter.try_acquire(4)
    clock.set(0.2)
    assert limiter.attempt().retry_after == 0.8
    assert limiter.attempt(3).retry_after == 2.8


def test_of_two_quotas_the_longer_wait_decides_in_either_order(clock):
    """[31]"""
    slow, fast = RateLimiterConfig(10, 100e-9), RateLimiterConfig(5, 10e-9)
    for configs in ((slow, fast), (fast, slow)):
        limiter = RateLimiter(*configs, clock=clock)
        limiter.try_acquire(5)
        limiter.reserve(3).commit()
        assert limiter.attempt(5).retry_after == pytest.approx(30e-9)


def test_one_quota_with_one_permit_left_and_one_with_two_wait_as_long_as_the_slower(clock):
    """[31], to the letter: brought to one and two permits left by draws that the fast one has slept off."""
    slow, fast = RateLimiterConfig(10, 100e-9), RateLimiterConfig(5, 10e-9)
    for configs in ((slow, fast), (fast, slow)):
        limiter = RateLimiter(*configs, clock=clock)
        for nanoseconds, count in ((14, 5), (2, 5), (4, 1)):
            assert limiter.try_acquire(count)
            clock.advance_ns(nanoseconds)
        assert limiter.peek(0).remaining == 1
        assert not limiter.peek(2).allowed
        assert limiter.attempt(3).retry_after == 20e-9
        clock.advance_ns(19)
        assert not limiter.try_acquire(3)
        clock.advance_ns(1)
        assert limiter.try_acquire(3)


def test_peeking_never_draws(clock):
    """[32]"""
    limiter = RateLimiter(RateLimiterConfig(100, 100e-9), clock=clock)
    assert limiter.try_acquire(30)
    refused = limiter.peek(80)
    assert (refused.allowed, refused.remaining, refused.retry_after) == (False, 70, 10e-9)
    assert limiter.peek(120).retry_after == math.inf
    assert limiter.attempt(70).remaining == 0


def test_peek_says_what_attempt_would_say(clock):
    limiter = RateLimiter("3/s", clock=clock)
    for count in (1, 2, 3, 1, 0):
        assert limiter.peek(count) == limiter.attempt(count)


def test_debt_is_paid_off_before_anything_is_granted(clock):
    """[33]"""
    limiter = RateLimiter(RateLimiterConfig(100, 100e-9), clock=clock)
    assert limiter.try_acquire(100)
    clock.advance_ns(50)
    assert limiter.reserve(1).commit(52) == -51
    assert limiter.peek(0).remaining == 0
    assert not limiter.peek(0).allowed
    clock.advance_ns(2)
    assert limiter.peek(0).allowed
    assert not limiter.try_acquire()
    clock.advance_ns(1)
    assert limiter.try_acquire()


def test_what_is_given_back_never_fills_it_past_its_burst(clock):
    """[34]"""
    limiter = RateLimiter(RateLimiterConfig(100, 100e-9), clock=clock)
    assert limiter.try_acquire(60)
    reservation = limiter.reserve(40)
    clock.advance_ns(90)
    assert limiter.peek(0).remaining == 90
    assert reservation.commit(0) == 40
    assert limiter.peek(0).remaining == 100
    assert taken(limiter, 100, 1) == [True, False]


def test_reset_after_is_the_time_until_nothing_is_owed(clock):
    """[36]"""
    limiter = RateLimiter(RateLimiterConfig(10, 100e-9), clock=clock)
    limiter.try_acquire(9)
    assert limiter.peek(0).reset_after == 90e-9
    limiter = RateLimiter(RateLimiterConfig(2, 100e-9, burst=10), clock=clock)
    limiter.try_acquire(10)
    limiter.reserve(1).commit(23)
    assert limiter.peek(0).reset_after == pytest.approx(1650e-9)


def test_a_request_above_the_limit_leaves_remaining_and_reset_as_they_are(clock):
    """[39]"""
    limiter = RateLimiter("1/s;burst=5", clock=clock)
    refused = limiter.attempt(6)
    assert (refused.retry_after, refused.remaining) == (math.inf, 5)
    assert [limiter.attempt().reset_after for _ in range(5)] == [1, 2, 3, 4, 5]
    assert limiter.attempt().retry_after == 1
    clock.set(3)
    assert limiter.attempt() == RateLimitResult(True, 5, 2, 0.0, 3.0)
    clock.set(3.1)
    assert limiter.attempt() == RateLimitResult(True, 5, 1, 0.0, 3.9)


def test_a_refusal_burns_nothing(clock):
    """[41]"""
    limiter = RateLimiter("10/2min", clock=clock)
    assert not limiter.try_acquire(11)
    assert taken(limiter, *[1] * 11) == [True] * 10 + [False]
    limiter = RateLimiter("10/2min", clock=clock)
    result = limiter.attempt(5)
    assert result.remaining == 5
    assert taken(limiter, 6, 5) == [False, True]


def test_a_long_run_admits_the_burst_and_the_rate_exactly(clock):
    """[43], shortened: the arithmetic itself is held against an oracle in the core."""
    limiter = RateLimiter("3/s", clock=clock)
    admitted = 0
    for step in range(30_000):
        clock.set(step / 10)
        admitted += limiter.try_acquire()
    assert admitted == 3 + math.floor(3 * 2999.9)


def test_an_age_of_idling_fills_the_burst_and_no_more(clock):
    """[44]"""
    limiter = RateLimiter("3/s", clock=clock)
    clock.set(100 * 365.25 * 86_400)
    assert taken(limiter, 3, 1) == [True, False]


def test_a_burst_of_zero_admits_nothing(clock):
    limiter = RateLimiter("5/s;burst=0", clock=clock)
    assert limiter.attempt().retry_after == math.inf
    assert limiter.try_acquire(0)


@pytest.mark.parametrize("verb", ["try_acquire", "attempt", "peek", "reserve", "acquire", "acquire_blocking"])
class TestCounts:
    def test_a_negative_count_is_a_value_error(self, verb):
        with pytest.raises(ValueError, match="count must be at least 0, not -1"):
            getattr(RateLimiter("1/s"), verb)(-1)

    @pytest.mark.parametrize("count", [1.0, "1", None])
    def test_anything_but_an_integer_is_a_type_error(self, verb, count):
        with pytest.raises(TypeError, match="count"):
            getattr(RateLimiter("1/s"), verb)(count)


def test_a_count_of_zero_is_a_peek_that_is_not_counted(clock):
    limiter = RateLimiter("1/s", clock=clock)
    assert limiter.attempt(0) == limiter.peek(0)
    assert limiter.stats().allowed == 0


def test_a_count_beyond_any_word_can_never_be_granted(clock):
    limiter = RateLimiter("1/s", clock=clock)
    assert limiter.attempt(2**200).retry_after == math.inf
    assert limiter.reserve(2**200) is None


def test_statistics_count_calls_and_permits_apart(clock):
    limiter = RateLimiter("5/s", clock=clock)
    taken(limiter, 1, 3, 3, 1, 1)
    stats = limiter.stats()
    assert (stats.allowed, stats.allowed_permits) == (3, 5)
    assert (stats.denied, stats.denied_permits) == (2, 4)


class TestUpdate:
    def test_granted_times_stand_and_later_ones_follow_the_new_rate(self, clock):
        """[23]"""
        limiter = RateLimiter("5/s;burst=2", clock=clock)
        assert [limiter.reserve(2).execute_at for _ in range(2)] == [0.0, 0.4]
        clock.set(0.2)
        limiter.update("10/s;burst=2")
        assert limiter.reserve().execute_at == 0.4

    def test_the_amount_used_is_kept(self, clock):
        limiter = RateLimiter("10/s", clock=clock)
        limiter.try_acquire(7)
        limiter.update("20/s")
        assert limiter.peek(0).remaining == 13
        limiter.update("5/s")
        assert limiter.peek(0).remaining == 0

    @pytest.mark.parametrize("text", ["1/day;burst=10", "1000000000/s;burst=10", "0/s;burst=10"])
    def test_a_rate_of_another_order_keeps_the_amount_used(self, clock, text):
        limiter = RateLimiter("10/s", clock=clock)
        limiter.try_acquire(7)
        clock.advance(0.05)
        limiter.update(text)
        assert limiter.peek(0).remaining == 3
        assert taken(limiter, 3, 1) == [True, False]

    def test_there_and_back_again_is_as_if_nothing_was_changed(self, clock):
        limiter = RateLimiter("10/s", clock=clock)
        limiter.try_acquire(10)
        for text in ("1/day;burst=10", "10/s", "inf/s", "10/s"):
            limiter.update(text)
        assert limiter.attempt().allowed
        limiter.try_acquire(9)
        assert limiter.attempt().retry_after == 0.1

    @pytest.mark.parametrize("configs", [(), ("nonsense",), ("1/s", "2/s")])
    def test_invalid_input_changes_nothing(self, clock, configs):
        limiter = RateLimiter("10/s", clock=clock)
        with pytest.raises(ConfigurationError):
            limiter.update(*configs)
        assert limiter.configs == (RateLimiterConfig(10),)
        assert limiter.attempt().limit == 10


class TestSeveralQuotas:
    def test_a_refusal_by_one_leaves_the_others_untouched(self, clock):
        limiter = RateLimiter("10/s", "12/minute", clock=clock)
        assert limiter.try_acquire(10)
        clock.advance(1)
        assert not limiter.try_acquire(3)
        assert limiter.try_acquire(2)
        assert limiter.stats().allowed_permits == 12

    def test_the_one_with_the_least_remaining_is_told(self, clock):
        result = RateLimiter("10/s", "4/minute", clock=clock).attempt()
        assert (result.limit, result.remaining) == (4, 3)

    def test_there_are_eight_at_most(self):
        with pytest.raises(ConfigurationError, match="configs"):
            RateLimiter(*["1/s"] * 9)


def test_a_limiter_needs_a_quota():
    with pytest.raises(ConfigurationError):
        RateLimiter()
    with pytest.raises(TypeError, match="RateLimiterConfig"):
        RateLimiter(5)


def test_a_limiter_takes_no_other_clock():
    with pytest.raises(TypeError, match="ManualClock"):
        RateLimiter("1/s", clock=object())


def test_a_limiter_says_what_it_is():
    limiter = RateLimiter("5/minute", name="search")
    assert repr(limiter) == "RateLimiter(RateLimiterConfig(rate=5, period=60.0, burst=5), name='search')"
    assert limiter.name == "search"


def test_a_result_is_a_frozen_value():
    result = RateLimitResult(False, 5, 0, 0.2, 1.0)
    assert not result
    assert hash(result) == hash(RateLimitResult(False, 5, 0, 0.2, 1.0))
    assert repr(result) == (
        "RateLimitResult(allowed=False, limit=5, remaining=0, retry_after=0.2, reset_after=1.0)"
    )
    with pytest.raises(AttributeError):
        result.allowed = True


def test_a_result_that_is_kept_stays_as_it_is(clock):
    limiter = RateLimiter("3/h", clock=clock)
    other = RateLimiter("9/h", clock=clock)
    kept = [limiter.attempt(), other.attempt(), limiter.peek(), limiter.attempt()]
    limiter.attempt()
    kept.append(limiter.attempt())
    other.attempt()
    assert [(result.allowed, result.limit, result.remaining) for result in kept] == [
        (True, 3, 2),
        (True, 9, 8),
        (True, 3, 1),
        (True, 3, 1),
        (False, 3, 0),
    ]


def test_a_result_that_another_thread_keeps_stays_as_it_is(clock):
    limiter = RateLimiter("9/h", clock=clock)
    with ThreadPoolExecutor(1) as other:
        first = other.submit(limiter.attempt).result()
        second = limiter.attempt()
        other.submit(limiter.attempt).result()
    assert (first.remaining, second.remaining, limiter.attempt().remaining) == (8, 7, 5)
