"""The limiter in Redis, against a real server: what it grants, keeps and gives back."""

import asyncio
import math
import sys

import pytest
import redis.asyncio
import valkey

from sluicegate import ConfigurationError, LimitExceededError
from sluicegate.backends.redis import AsyncRedisRateLimiter, RedisRateLimiter


def test_grants_the_burst_and_then_says_how_long_to_wait(limiter_of):
    limiter = limiter_of("1/min;burst=3")

    results = [limiter.attempt("alice") for _ in range(4)]

    assert [result.allowed for result in results] == [True, True, True, False]
    assert [result.remaining for result in results] == [2, 1, 0, 0]
    assert 59 < results[3].retry_after <= 60
    assert results[3].limit == 3
    assert limiter.try_acquire("bob")


def test_waiting_exactly_the_retry_after_succeeds(limiter_of):
    limiter = limiter_of("20/s;burst=1")
    assert limiter.try_acquire("alice")

    assert not limiter.try_acquire("alice")
    assert limiter.acquire_blocking("alice", timeout=1)
    assert not limiter.acquire_blocking("alice", timeout=0)


def test_processes_of_one_name_share_a_limit_and_others_do_not(limiter_of):
    one, two, other = limiter_of("1/h;burst=2"), limiter_of("1/h;burst=2"), limiter_of("1/h", name="other")

    assert one.try_acquire(5, 2)
    assert not two.try_acquire(5)
    assert other.try_acquire(5)
    assert two.try_acquire("5")
    assert two.try_acquire((5, "5"))


def test_several_quotas_are_all_or_nothing(limiter_of):
    limiter = limiter_of("10/h;burst=5", "2/h;burst=2")

    assert limiter.try_acquire("alice", 2)
    refused = limiter.attempt("alice")
    assert (refused.allowed, refused.limit, refused.remaining) == (False, 2, 0)
    assert limiter_of("10/h;burst=5").peek("alice").remaining == 3


def test_a_peek_consumes_nothing(limiter_of):
    limiter = limiter_of("1/h;burst=1")

    assert limiter.peek("alice")
    assert limiter.peek("alice")
    assert limiter.try_acquire("alice")
    assert not limiter.peek("alice")


def test_more_than_the_burst_is_refused_for_ever_without_a_round_trip(limiter_of):
    limiter = limiter_of("10/s;burst=5")

    assert limiter.attempt("alice", 6).retry_after == math.inf
    assert limiter.stats().round_trips == 0
    with pytest.raises(ValueError, match="never"):
        limiter.acquire_blocking("alice", 6)


def test_no_limit_needs_no_server(limiter_of):
    limiter = limiter_of("inf/s")

    assert limiter.attempt("alice", 10**9).remaining == sys.maxsize
    assert limiter.stats().round_trips == 0


def test_a_refusal_is_remembered_until_it_can_change(limiter_of, clock):
    limiter = limiter_of("1/h;burst=2", clock=clock)
    assert limiter.try_acquire("alice", 2)
    assert not limiter.try_acquire("alice")
    asked = limiter.stats().round_trips

    assert not limiter.try_acquire("alice")
    assert not limiter.try_acquire("alice", 2)
    assert limiter.stats().round_trips == asked
    clock.advance(3600)
    assert not limiter.try_acquire("alice")  # the server's own clock has not moved
    assert limiter.stats().round_trips == asked + 1


def test_every_key_expires_once_it_owes_nothing(server, limiter_of):
    limiter = limiter_of("100/s;burst=100")
    limiter.try_acquire("alice", 100)
    limiter.reserve("bob", 50)

    keys = server.client.keys("*")
    assert len(keys) == 3
    assert all(0 < server.client.pttl(key) <= 2_000 for key in keys)
    assert all(key.startswith(b"sluicegate:{test:") for key in keys)


def test_a_reservation_is_charged_at_once_and_given_back_by_its_cancel(limiter_of):
    limiter = limiter_of("1/s;burst=5")
    first, second = limiter.reserve("alice", 5), limiter.reserve("alice", 5)

    assert first.delay == 0
    assert 4.5 < second.delay <= 5
    assert limiter.reserve("alice", 1, max_wait=1) is None
    assert second.cancel() == 5
    assert second.cancel() == 0
    assert limiter.reserve("alice", 1, max_wait=1.1) is not None


def test_a_reservation_is_settled_at_what_was_used(limiter_of):
    limiter = limiter_of("1/h;burst=10")
    booked = limiter.reserve("alice", 8)

    assert booked.commit(3) == 5
    assert limiter.peek("alice").remaining == 7
    assert limiter.reserve("alice", 2).commit(5) == -3
    assert limiter.peek("alice").remaining == 2


def test_settling_again_by_a_lost_answer_changes_nothing(limiter_of):
    limiter = limiter_of("1/h;burst=10")
    booked = limiter.reserve("alice", 8)
    assert booked.commit(3) == 5

    booked._booked.settled = False  # as if the answer had been lost on its way

    assert booked.commit(3) == 5
    assert limiter.peek("alice").remaining == 7


def test_a_block_that_raises_gives_its_reservation_back(limiter_of):
    limiter = limiter_of("1/h;burst=4", "2/h;burst=4")

    with pytest.raises(KeyError), limiter.reserve("alice", 4):
        raise KeyError

    # It could be used at once, so it counts as used.
    assert limiter.peek("alice").remaining == 0


def test_another_quota_takes_over_what_is_owed_rounded_up(limiter_of):
    old, new = limiter_of("3/h;burst=3"), limiter_of("7/day;burst=7")
    assert old.try_acquire("alice", 2)

    assert not new.peek("alice", 6)
    assert new.try_acquire("alice", 5)
    assert not old.try_acquire("alice")


def test_an_update_changes_what_is_granted_next(limiter_of):
    limiter = limiter_of("1/h;burst=2")
    assert limiter.try_acquire("alice", 2)
    assert not limiter.try_acquire("alice")

    limiter.update("1/h;burst=4")

    assert limiter.try_acquire("alice", 2)
    with pytest.raises(ConfigurationError):
        limiter.update("nonsense")


def test_a_guard_acquires_or_raises(limiter_of):
    limiter = limiter_of("1/h;burst=1")

    with limiter.limit("alice", timeout=0):
        pass
    with pytest.raises(LimitExceededError), limiter.limit("alice", timeout=0):
        pass


def test_a_script_that_the_server_has_lost_is_sent_again(server, limiter_of):
    limiter = limiter_of("1/h;burst=2")
    assert limiter.try_acquire("alice")
    server.client.script_flush()

    assert limiter.try_acquire("alice")
    assert not limiter.try_acquire("alice")


def test_a_flush_admits_one_more_burst_and_no_more(server, limiter_of):
    limiter = limiter_of("1/h;burst=5")
    granted = sum(limiter.try_acquire("alice") for _ in range(5))
    server.client.flushall()

    granted += sum(limiter.try_acquire("alice") for _ in range(20))
    assert granted == 10


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a}b"}, "name"),
        ({"lease": -1}, "lease"),
        ({"on_error": "panic"}, "on_error"),
        ({"local_share": math.nan}, "local_share"),
        ({"client": "redis://"}, "client"),
    ],
)
def test_an_option_out_of_range_is_named(limiter_of, options, field):
    with pytest.raises(ConfigurationError) as caught:
        limiter_of("1/s", **options)
    assert caught.value.field == field


def test_a_quota_that_53_bits_cannot_hold_is_refused():
    with pytest.raises(ConfigurationError, match="53 bits"):
        RedisRateLimiter(valkey.Valkey(), "0.7692307692307693/s", name="test")


def test_bad_counts_and_keys_are_refused(limiter_of):
    limiter = limiter_of("1/s")
    with pytest.raises(ValueError, match="at least 0"):
        limiter.try_acquire("alice", -1)
    with pytest.raises(TypeError):
        limiter.try_acquire("alice", 1.0)
    with pytest.raises(TypeError):
        limiter.try_acquire(True)


def test_the_client_of_valkey_shares_limits_with_that_of_redis(server, limiter_of):
    client = valkey.Valkey(unix_socket_path=server.path, socket_timeout=1)
    one, two = limiter_of("1/h;burst=2"), limiter_of("1/h;burst=2", client=client)

    assert two.try_acquire("alice", 2)
    assert not one.try_acquire("alice")
    client.close()


async def test_coroutines_share_the_limit_and_wait_for_their_turn(server, limiter_of):
    client = redis.asyncio.Redis(unix_socket_path=server.path, socket_timeout=1)
    limiter = AsyncRedisRateLimiter(client, "2/h", name="test", on_error="raise")
    blocking = limiter_of("2/h")
    assert await limiter.try_acquire("alice", 2)
    assert not blocking.try_acquire("alice")
    assert (await limiter.peek("alice")).reset_after > 3_000
    with pytest.raises(TypeError, match="RedisRateLimiter"):
        limiter.acquire_blocking("alice")

    quick = AsyncRedisRateLimiter(client, "50/s;burst=2", name="quick", on_error="raise")
    assert await quick.try_acquire("alice", 2)
    async with quick.limit("alice"):
        pass
    reservation = await quick.reserve("alice", 2)
    await reservation
    assert await reservation.commit() == 0
    await quick.aclose()
    await limiter.aclose()
    await client.aclose()


async def test_whoever_is_cancelled_while_waiting_gives_the_permits_back(server):
    client = redis.asyncio.Redis(unix_socket_path=server.path, socket_timeout=1)
    limiter = AsyncRedisRateLimiter(client, "1/min;burst=1", name="test", on_error="raise")
    assert await limiter.try_acquire("alice")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await limiter.acquire("alice")

    assert (await limiter.peek("alice")).reset_after <= 60
    await limiter.aclose()
    await client.aclose()


@pytest.mark.parametrize("lease", [True, 1.5, "9"])
def test_a_lease_is_a_whole_number(limiter_of, lease):
    with pytest.raises(TypeError, match="lease must be an integer"):
        limiter_of("1/s", lease=lease)
