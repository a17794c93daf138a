"""The sharded limiter: one limit over all keys, whichever shards serve them."""

import asyncio
import os
import subprocess
import sys
import threading

import pytest

from sluicegate import (
    ConfigurationError,
    LimitExceededError,
    RateLimiter,
    RateLimiterConfig,
    ShardedRateLimiter,
)
from sluicegate.testing import ManualClock

SPREAD = RateLimiterConfig(1_000, burst=1_000)


@pytest.fixture
def limiter(clock):
    """Four stashes of three permits each, over a burst of 1,000."""
    return ShardedRateLimiter(SPREAD, 4, name="all", clock=clock)


@pytest.mark.parametrize("shards", range(1, 17))
def test_grants_the_burst_exactly_among_a_thousand_keys_and_to_one(clock, shards):
    limiter = ShardedRateLimiter("100/s", shards, clock=clock)
    assert sum(limiter.try_acquire(f"user {number}") for number in range(1_000)) == 100
    clock.advance(1.0)
    assert sum(limiter.try_acquire("hot") for _ in range(1_000)) == 100


@pytest.mark.parametrize("shards", [1, 3, 16])
def test_a_count_is_granted_up_to_the_burst_and_impossible_beyond(clock, shards):
    limiter = ShardedRateLimiter("100/s", shards, clock=clock)
    assert limiter.try_acquire("key", 30)
    assert limiter.attempt("key", 101).retry_after == float("inf")
    assert limiter.peek("key").remaining == 69


def test_decides_as_one_limiter_does_whatever_the_keys(limiter, clock):
    direct = RateLimiter(SPREAD, clock=clock)
    for number in range(3_000):
        count = number % 7
        assert limiter.attempt(number, count) == direct.attempt(count)
        clock.advance_ns(number * 701 % 2_000_000)
    clock.advance(0.9)
    assert limiter.attempt("all that is there", 900) == direct.attempt(900)


def test_a_refused_draw_consumes_nothing(limiter):
    for number in range(50):
        assert limiter.try_acquire(number)
    assert not limiter.try_acquire("much", 951)
    assert limiter.try_acquire("much", 950)


def test_waiting_exactly_retry_after_succeeds_and_less_fails(limiter, clock):
    assert limiter.try_acquire("first", 1_000)
    refused = limiter.attempt("second", 7)
    clock.advance_ns(round(refused.retry_after * 1e9) - 1)
    assert not limiter.try_acquire("third", 7)
    clock.advance_ns(1)
    assert limiter.try_acquire("fourth", 7)


def test_equal_keys_meet_in_the_same_shards_in_every_process():
    program = (
        "from sluicegate import ShardedRateLimiter\n"
        "limiter = ShardedRateLimiter('1000000/s', 8)\n"
        "keys = ['alice', b'bob', 7, -1, 2**70, ('tenant', 3)]\n"
        "print([limiter.try_acquire(key) and limiter.balance() for key in keys])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_a_text_is_the_bytes_of_its_utf_8_and_a_number_is_neither():
    limiter = ShardedRateLimiter("1000000/s", 4_096)
    for key in ("pré", "pré".encode()):
        assert limiter.try_acquire(key)
    assert max(limiter.balance()) == 2
    assert limiter.try_acquire(5)
    assert limiter.try_acquire("5")
    assert max(limiter.balance()) == 2


@pytest.mark.parametrize("key", [1.0, True, None, ["a"], ("a", 1.0)])
def test_what_is_no_key_is_a_type_error(limiter, key):
    for verb in (limiter.try_acquire, limiter.attempt, limiter.peek, limiter.acquire, limiter.reserve):
        with pytest.raises(TypeError, match="a key is a str, bytes, an int or a tuple"):
            verb(key)


def test_tuples_nested_without_end_are_refused(limiter):
    key = ()
    for _ in range(100):
        key = (key,)
    with pytest.raises(ValueError, match="nests"):
        limiter.try_acquire(key)


@pytest.mark.parametrize("shards", [0, -1, 65_537])
def test_a_number_of_shards_that_makes_no_sense_is_named(shards):
    with pytest.raises(ConfigurationError) as error:
        ShardedRateLimiter("1/s", shards)
    assert (error.value.field, error.value.value) == ("shards", shards)


def test_the_balance_tells_the_draws_of_each_shard(limiter):
    for number in range(800):
        limiter.try_acquire(number)
    assert sum(limiter.balance()) == limiter.stats().allowed == 800
    assert all(140 < draws < 260 for draws in limiter.balance())


def test_reservations_are_first_in_first_out_over_all_keys(limiter):
    reserved = [limiter.reserve(key, 500) for key in ("a", "b", "c", "d")]
    assert [each.delay for each in reserved] == [0.0, 0.0, 0.5, 1.0]
    assert [each.key for each in reserved] == ["a", "b", "c", "d"]


def test_a_cancelled_reservation_is_as_if_never_made(limiter):
    limiter.try_acquire("a", 995)
    reservation = limiter.reserve("b", 10)
    assert reservation.cancel() == 10
    assert limiter.peek("c").remaining == 4


def test_a_reservation_settles_at_what_was_used(limiter):
    assert limiter.reserve("a", 10).commit(4) == 6
    assert limiter.reserve("a", 10).commit(15) == -5
    assert limiter.peek("b", 0).remaining == 981
    assert limiter.stats().returned_permits == 6


async def test_waiters_of_all_keys_are_served_in_their_order():
    limiter = ShardedRateLimiter(SPREAD, 4, clock=ManualClock(autojump=True))
    limiter.try_acquire("spent", 1_000)
    served = []

    async def wait(key):
        assert await limiter.acquire(key, 100)
        served.append(key)

    await asyncio.gather(*(wait(f"key {number}") for number in range(5)))
    assert served == [f"key {number}" for number in range(5)]


async def test_a_cancelled_wait_gives_its_permits_back(clock):
    limiter = ShardedRateLimiter(SPREAD, 4, clock=clock)
    limiter.try_acquire("spent", 1_000)
    waiting = asyncio.ensure_future(limiter.acquire("patient", 10))
    await asyncio.sleep(0)
    assert limiter.stats().waiting == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    clock.advance(0.01)
    assert limiter.try_acquire("next", 10)


def test_a_guard_acquires_for_its_key_or_raises(limiter):
    with limiter.limit("a", 999, timeout=0):
        pass
    with pytest.raises(LimitExceededError) as error, limiter.limit("b", 2, timeout=0):
        pass
    assert (error.value.policy, error.value.remaining) == ("all", 1)


def test_acquire_blocking_refuses_at_once_what_would_take_too_long(limiter):
    limiter.try_acquire("a", 1_000)
    assert not limiter.acquire_blocking("b", 10, timeout=0.009)
    with pytest.raises(ValueError, match="can never be granted"):
        limiter.acquire_blocking("b", 1_001)


def test_an_update_keeps_what_is_owed(limiter, clock):
    for number in range(600):
        assert limiter.try_acquire(number)
    limiter.update("1/s;burst=700")
    assert limiter.config.burst == 700
    assert limiter.peek("any", 0).remaining == 100
    clock.advance(1.0)
    assert limiter.peek("any", 0).remaining == 101


def test_without_a_limit_everything_is_granted():
    limiter = ShardedRateLimiter("inf/s", 4)
    assert all(limiter.try_acquire(number, 10**9) for number in range(100))


def test_threads_draw_the_burst_to_the_permit(clock):
    limiter = ShardedRateLimiter(RateLimiterConfig(1, burst=20_000), 4, clock=clock)
    granted = []

    def draw(thread):
        granted.append(sum(limiter.try_acquire(number * 8 + thread) for number in range(4_000)))

    threads = [threading.Thread(target=draw, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 20_000
