import asyncio
import gc
import math
import weakref

import pytest

from sluicegate import (
    CompositeRateLimiter,
    ConfigurationError,
    LimitExceededError,
    RateLimiter,
    RateLimiterConfig,
)
from sluicegate.testing import ManualClock


@pytest.fixture
def limiter(clock):
    return CompositeRateLimiter(requests="3/min", tokens="1000/min", clock=clock)


def test_draws_from_every_unit_or_from_none(limiter):
    assert limiter.try_acquire(tokens=900)
    assert not limiter.try_acquire(tokens=200)
    assert limiter.limiters["requests"].peek(0).remaining == 2
    assert limiter.try_acquire(tokens=100)


def test_a_unit_that_is_not_named_is_asked_for_one(limiter):
    limiter.try_acquire()
    assert [each.peek(0).remaining for each in limiter.limiters.values()] == [2, 999]


def test_the_unit_with_the_least_remaining_is_told_and_the_longest_wait(clock, limiter):
    assert limiter.attempt(tokens=1000).remaining == 0
    refused = limiter.peek(tokens=500)
    assert (refused.limit, refused.retry_after) == (1000, 30.0)
    assert limiter.peek(requests=4).retry_after == math.inf


def test_a_limiter_serves_in_several_composites_and_by_itself(clock):
    tokens = RateLimiter("100/s", clock=clock)
    first, second = (CompositeRateLimiter(requests="10/s", tokens=tokens) for _ in range(2))
    assert first.try_acquire(tokens=60)
    assert not second.try_acquire(tokens=60)
    assert tokens.try_acquire(40)
    assert second.limiters["requests"].peek(0).remaining == 10


def test_units_given_as_quotas_take_the_clock_of_the_limiters(clock):
    limiter = CompositeRateLimiter(requests="1/s", tokens=RateLimiter("100/s", clock=clock))
    assert limiter.try_acquire()
    clock.advance(1)
    assert limiter.try_acquire()


def test_units_share_one_clock(clock):
    with pytest.raises(ConfigurationError, match="one clock"):
        CompositeRateLimiter(a=RateLimiter("1/s", clock=clock), b=RateLimiter("1/s"))


@pytest.mark.parametrize("name", ["timeout", "max_wait"])
def test_a_unit_cannot_be_named_like_an_argument(name):
    with pytest.raises(ConfigurationError, match=name):
        CompositeRateLimiter(**{name: "1/s"})


def test_there_is_at_least_one_unit_and_at_most_eight():
    with pytest.raises(ConfigurationError, match="1 to 8 units"):
        CompositeRateLimiter()
    with pytest.raises(ConfigurationError, match="1 to 8 units"):
        CompositeRateLimiter(**{f"unit{number}": "1/s" for number in range(9)})


@pytest.mark.parametrize("verb", ["try_acquire", "attempt", "peek", "reserve", "acquire_blocking"])
class TestCounts:
    def test_an_unknown_unit_is_a_type_error_that_names_those_there_are(self, limiter, verb):
        with pytest.raises(TypeError, match="no unit credits, only requests, tokens"):
            getattr(limiter, verb)(credits=1)

    def test_a_negative_count_is_a_value_error(self, limiter, verb):
        with pytest.raises(ValueError, match="at least 0, not -1"):
            getattr(limiter, verb)(tokens=-1)


class TestReservation:
    def test_all_units_start_together_and_later_ones_queue_behind(self, clock, limiter):
        assert limiter.reserve(tokens=1000).delay == 0.0
        second = limiter.reserve(tokens=500)
        assert (second.execute_at, second.counts) == (30.0, {"requests": 1, "tokens": 500})
        assert limiter.reserve(tokens=500).execute_at == 60.0

    def test_settles_each_unit_at_what_was_used(self, limiter):
        reservation = limiter.reserve(tokens=800)
        assert reservation.commit(tokens=300) == {"requests": 0, "tokens": 500}
        assert limiter.limiters["tokens"].peek(0).remaining == 700

    def test_settling_at_more_is_debt_of_that_unit(self, limiter):
        assert limiter.reserve(tokens=800).commit(tokens=1500) == {"requests": 0, "tokens": -700}
        assert limiter.limiters["tokens"].attempt().retry_after == pytest.approx(30.06)
        assert limiter.limiters["requests"].peek(0).remaining == 2

    def test_cancelling_gives_back_every_unit(self, limiter):
        limiter.reserve(requests=3)
        assert limiter.reserve(tokens=10).cancel() == {"requests": 1, "tokens": 10}

    def test_a_block_that_raises_cancels_and_one_that_settled_is_left_alone(self, limiter):
        limiter.reserve(requests=3)
        with pytest.raises(KeyError), limiter.reserve():
            raise KeyError
        with limiter.reserve(max_wait=20, tokens=100) as reservation:
            reservation.commit(tokens=1)
        assert limiter.reserve(max_wait=20) is None

    @pytest.mark.parametrize(
        ("actual", "error"),
        [({"credits": 1}, TypeError), ({"tokens": 1.5}, TypeError), ({"tokens": -1}, ValueError)],
    )
    def test_a_bad_settlement_settles_nothing(self, limiter, actual, error):
        reservation = limiter.reserve(tokens=800)
        with pytest.raises(error):
            reservation.commit(**actual)
        assert reservation.commit(tokens=0)["tokens"] == 800

    def test_delaying_moves_all_units(self, limiter):
        reservation = limiter.reserve()
        reservation.delay_execution(5)
        assert (reservation.execute_at, reservation.delay) == (5.0, 5.0)


async def test_waits_for_the_slowest_unit():
    clock = ManualClock(autojump=True)
    limiter = CompositeRateLimiter(requests="60/min", tokens="1000/min", clock=clock)
    assert await limiter.acquire(tokens=1000)
    assert (await limiter.acquire(tokens=500)).allowed
    assert clock.now() == 30.0
    assert limiter.acquire_blocking(tokens=250).allowed
    assert clock.now() == 45.0


async def test_a_cancelled_wait_gives_every_unit_back(clock, limiter):
    limiter.try_acquire(requests=3)
    task = asyncio.create_task(limiter.acquire(tokens=400))
    await asyncio.sleep(0)
    assert limiter.stats()["tokens"].waiting == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limiter.limiters["tokens"].peek(0).remaining == 999
    assert limiter.reserve().delay == 20.0


async def test_a_wait_past_the_timeout_is_refused_at_once_and_costs_nothing(limiter):
    limiter.try_acquire(requests=3)
    refused = await limiter.acquire(timeout=1, tokens=5)
    assert (refused.allowed, refused.retry_after) == (False, 20.0)
    assert limiter.limiters["tokens"].peek(0).remaining == 999


async def test_what_can_never_be_granted_is_an_error_without_a_timeout(limiter):
    with pytest.raises(ValueError, match="tokens=1001 can never be granted"):
        await limiter.acquire(tokens=1001)
    assert (await limiter.acquire(timeout=1, tokens=1001)).retry_after == math.inf


async def test_guards_blocks_and_functions(clock, limiter):
    @limiter
    def plain():
        return "done"

    @limiter.limit(timeout=0, tokens=500)
    async def coroutine():
        return "done"

    assert plain() == await coroutine() == "done"
    with pytest.raises(LimitExceededError):
        await coroutine()
    async with limiter as result:
        assert result.allowed
    assert limiter.stats()["requests"].allowed == 3


def test_update_changes_the_units_it_names(clock, limiter):
    limiter.try_acquire(tokens=900)
    limiter.update(tokens="2000/min")
    assert limiter.limiters["tokens"].peek(0).remaining == 1100
    assert limiter.limiters["requests"].configs == (RateLimiterConfig(3, 60.0),)


@pytest.mark.parametrize("configs", [{"tokens": "nonsense"}, {"tokens": "1/s", "credits": "1/s"}])
def test_a_bad_update_changes_nothing(limiter, configs):
    with pytest.raises((ConfigurationError, TypeError)):
        limiter.update(**configs)
    assert limiter.limiters["tokens"].configs == (RateLimiterConfig(1000, 60.0),)


def test_a_unit_of_several_quotas_is_updated_by_itself(clock):
    tokens = RateLimiter("1/s", "100/min", clock=clock)
    limiter = CompositeRateLimiter(requests="3/min", tokens=tokens)
    with pytest.raises(ConfigurationError, match="tokens has several quotas: update it itself") as caught:
        limiter.update(requests="9/min", tokens="2/s")
    assert caught.value.field == "tokens"
    assert limiter.limiters["requests"].configs == (RateLimiterConfig(3, 60.0),)


def test_shows_its_units(limiter):
    assert repr(limiter).startswith("CompositeRateLimiter(requests=RateLimiter(")
    assert repr(limiter.reserve()) == "<CompositeReservation {'requests': 1, 'tokens': 1}, execute_at=0.0>"


def test_a_limiter_that_is_named_twice_is_refused(clock):
    limiter = RateLimiter("3/s;burst=3", clock=clock)
    with pytest.raises(ConfigurationError, match="first and third are one"):
        CompositeRateLimiter(first=limiter, second=RateLimiter("1/s", clock=clock), third=limiter)


def test_one_that_only_its_own_units_hold_is_collected(clock):
    class Attributed(RateLimiter):
        """A limiter of a user's own, with a place for attributes."""

    unit = Attributed("1/s", clock=clock)
    unit.own = CompositeRateLimiter(unit=unit)
    left = weakref.ref(unit)
    del unit
    gc.collect()
    assert left() is None
