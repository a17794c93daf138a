"""Reservations under a manual clock; the numbers are those of the exact cases, part A."""

import asyncio

import pytest

from sluicegate import RateLimiter
from sluicegate.testing import ManualClock


@pytest.fixture
def limiter(clock):
    return RateLimiter("10/s;burst=2", clock=clock)


def test_reservations_queue_at_distinct_times(clock, limiter):
    """[17]"""
    assert [limiter.reserve(2).execute_at for _ in range(2)] == [0.0, 0.2]
    clock.set(0.3)
    assert limiter.reserve(2).execute_at == 0.4
    assert limiter.reserve(3) is None


def test_the_last_in_line_gives_all_back(clock, limiter):
    """[18]"""
    limiter.reserve(2)
    last = limiter.reserve(2)
    clock.set(0.1)
    assert last.cancel() == 2
    assert limiter.reserve(2).execute_at == 0.2


def test_nothing_goes_back_once_the_time_has_come(clock, limiter):
    """[19]"""
    limiter.reserve(2)
    acted = limiter.reserve(2)
    clock.set(0.3)
    assert acted.cancel() == 0
    assert limiter.reserve(2).execute_at == 0.4


def test_what_those_behind_were_promised_is_not_given_back(clock, limiter):
    """[20], a moment earlier, since nothing goes back from `execute_at` on."""
    limiter.reserve(2)
    middle = limiter.reserve(2)
    assert limiter.reserve(1).execute_at == 0.3
    clock.advance_ns(199_999_999)
    assert middle.cancel() == 1
    clock.advance_ns(1)
    assert limiter.reserve(2).execute_at == 0.4


def test_a_wait_that_is_too_long_is_refused_free_of_charge(limiter):
    """[22]"""
    assert limiter.reserve(2).delay == 0.0
    assert limiter.reserve(1, max_wait=0.1).delay == 0.1
    assert limiter.reserve(1, max_wait=0.1) is None
    assert limiter.reserve(1).delay == 0.2


def test_those_who_stay_keep_their_times(clock):
    """[40]"""
    limiter = RateLimiter("3/3s", clock=clock)
    limiter.reserve(1)
    first, second, third = (limiter.reserve(3) for _ in range(3))
    assert [each.execute_at for each in (first, second, third)] == [1.0, 4.0, 7.0]
    second.cancel()
    assert (first.execute_at, third.execute_at) == (1.0, 7.0)
    assert third.cancel() == 3
    assert limiter.reserve(3).execute_at == 4.0, "the second's place as well, once none is behind"


def test_settling_at_less_gives_back_what_is_still_owed(clock):
    limiter = RateLimiter("10/s", clock=clock)
    reservation = limiter.reserve(10)
    assert reservation.commit(4) == 6
    assert limiter.peek(0).remaining == 6


def test_settling_late_gives_back_no_more_than_is_still_owed(clock):
    limiter = RateLimiter("10/s", clock=clock)
    reservation = limiter.reserve(10)
    clock.advance(0.75)
    assert reservation.commit(4) == 2
    assert limiter.peek(0).remaining == 10


def test_settling_at_more_is_charged_as_debt(clock):
    limiter = RateLimiter("10/s", clock=clock)
    assert limiter.reserve(10).commit(25) == -15
    assert limiter.attempt().retry_after == 1.6


@pytest.mark.parametrize("settle", ["cancel", "commit"])
def test_settling_twice_is_a_no_op(limiter, settle):
    limiter.reserve(2)
    reservation = limiter.reserve(2)
    getattr(reservation, settle)()
    assert reservation.cancel() == 0
    assert reservation.commit(100) == 0


def test_a_block_that_ends_well_commits(limiter):
    with limiter.reserve(2) as reservation:
        pass
    assert reservation.cancel() == 0
    assert limiter.peek(0).remaining == 0


def test_a_block_that_raises_cancels(limiter):
    limiter.reserve(2)
    with pytest.raises(KeyError), limiter.reserve(2):
        raise KeyError
    assert limiter.reserve(2).delay == 0.2


async def test_an_async_block_settles_alike(limiter):
    limiter.reserve(2)
    with pytest.raises(KeyError):
        async with limiter.reserve(2):
            raise KeyError
    assert limiter.reserve(2).delay == 0.2


def test_an_execution_may_be_delayed_but_not_advanced(clock, limiter):
    clock.set(1)
    limiter.reserve(2)
    reservation = limiter.reserve(2)
    reservation.delay_execution(5)
    assert (reservation.execute_at, reservation.delay) == (6.0, 5.0)
    reservation.delay_execution(0.1)
    assert reservation.execute_at == 1.2


def test_a_delayed_execution_holds_its_room_against_the_refunds_of_others(clock):
    limiter = RateLimiter("1/s;burst=4", clock=clock)
    limiter.reserve(4)
    first, second = limiter.reserve(2), limiter.reserve(2)
    second.delay_execution(8)
    assert first.cancel() == 0


@pytest.mark.parametrize("bad", [-1, float("nan")])
def test_a_negative_wait_or_delay_is_a_value_error(limiter, bad):
    with pytest.raises(ValueError, match="max_wait"):
        limiter.reserve(1, max_wait=bad)
    with pytest.raises(ValueError, match="seconds"):
        limiter.reserve(1).delay_execution(bad)


async def test_awaiting_waits_until_the_time_has_come():
    clock = ManualClock(autojump=True)
    limiter = RateLimiter("10/s;burst=2", clock=clock)
    limiter.reserve(2)
    await limiter.reserve(2)
    assert clock.now() == 0.2


def test_waiting_blocks_until_the_time_has_come():
    clock = ManualClock(autojump=True)
    limiter = RateLimiter("10/s;burst=2", clock=clock)
    limiter.reserve(2)
    limiter.reserve(2).wait()
    assert clock.now() == 0.2


async def test_a_cancelled_wait_leaves_the_reservation_as_it_is(clock, limiter):
    limiter.reserve(2)
    reservation = limiter.reserve(2)
    task = asyncio.ensure_future(reservation)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reservation.cancel() == 2


def test_giving_back_is_counted(clock, limiter):
    limiter.reserve(2)
    limiter.reserve(2).cancel()
    assert limiter.stats().returned_permits == 2


def test_a_reservation_shows_what_it_is(limiter):
    reservation = limiter.reserve(2)
    assert repr(reservation) == "<TokenReservation count=2, execute_at=0.0>"
    reservation.commit()
    assert repr(reservation).endswith("settled>")
    assert (reservation.key, reservation.count, reservation.reserved_at) == (None, 2, 0.0)
