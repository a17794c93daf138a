"""Permits of a limit in Redis that are charged ahead: their times, how they are settled, and outages."""

import math
from datetime import timedelta

import pytest
import redis.asyncio

from sluicegate import BackendError
from sluicegate.backends.redis import AsyncRedisRateLimiter


@pytest.fixture
def down(server):
    """The server, killed."""
    server.kill()
    return server


@pytest.fixture
async def coroutines(server):
    """Make limiters for coroutines that close their connections at the end."""
    client = redis.asyncio.Redis(unix_socket_path=server.path, socket_timeout=1)
    made = []

    def make(*configs, **options):
        limiter = AsyncRedisRateLimiter(client, *configs, **{"name": "test", "on_error": "raise", **options})
        made.append(limiter)
        return limiter

    yield make
    for limiter in made:
        await limiter.aclose()
    await client.aclose()


def test_a_reservation_tells_what_it_is_and_when_it_may_be_used(limiter_of, clock):
    clock.set(100)
    limiter = limiter_of("1/s;burst=2", clock=clock)
    limiter.try_acquire("alice", 2)

    booked = limiter.reserve("alice", 2)

    assert (booked.key, booked.count, booked.reserved_at) == ("alice", 2, 100.0)
    assert 101.9 < booked.execute_at <= 102.0
    assert booked.delay == pytest.approx(booked.execute_at - 100.0)
    assert repr(booked) == f"<RedisReservation key='alice', count=2, execute_at={booked.execute_at!r}>"
    booked.commit()
    assert repr(booked).endswith(", settled>")


def test_its_delay_ends_at_nothing(limiter_of, clock):
    booked = limiter_of("1/s;burst=2", clock=clock).reserve("alice")
    clock.advance(5)
    assert booked.delay == 0.0


def test_it_may_be_used_later_than_granted_and_never_earlier(limiter_of, clock):
    limiter = limiter_of("1/s;burst=2", clock=clock)
    limiter.try_acquire("alice", 2)
    booked = limiter.reserve("alice", 2)
    granted = booked.execute_at

    booked.delay_execution(0.5)
    assert booked.execute_at == granted
    booked.delay_execution(timedelta(seconds=30))
    assert booked.execute_at == 30.0
    with pytest.raises(ValueError, match="seconds"):
        booked.delay_execution(-1)


def test_waiting_for_it_ends_at_its_time(limiter_of, jumping):
    limiter = limiter_of("1/s;burst=2", clock=jumping)
    limiter.try_acquire("alice", 2)
    booked = limiter.reserve("alice", 2)

    booked.wait()

    assert jumping.now() == booked.execute_at > 1.9


def test_a_block_that_ends_well_keeps_what_it_reserved_without_a_round_trip(limiter_of):
    limiter = limiter_of("1/h;burst=4")
    with limiter.reserve("alice", 3) as booked:
        asked = limiter.stats().round_trips
    assert limiter.stats().round_trips == asked
    assert booked.cancel() == 0
    assert limiter.peek("alice").remaining == 1


async def test_a_block_of_coroutines_commits_or_cancels_as_it_ends(coroutines, clock):
    limiter = coroutines("1/h;burst=4", clock=clock)
    async with await limiter.reserve("alice", 3):
        pass
    assert (await limiter.peek("alice")).remaining == 1

    with pytest.raises(KeyError):
        async with await limiter.reserve("alice", 4):
            raise KeyError
    # Its time was hours away, so all of it came back.
    assert (await limiter.peek("alice")).remaining == 1


async def test_coroutines_wait_for_it_and_settle_at_what_was_used(coroutines, jumping):
    limiter = coroutines("1/s;burst=4", clock=jumping)
    await limiter.try_acquire("alice", 4)
    booked = await limiter.reserve("alice", 3)

    await booked

    assert jumping.now() == booked.execute_at > 2.9
    assert await booked.commit(4) == -1
    assert await limiter.reserve("alice", 1, max_wait=0) is None


@pytest.mark.parametrize("count", [-1, True, 1.5, "2"])
def test_what_is_no_number_of_permits_settles_nothing(limiter_of, count):
    limiter = limiter_of("1/h;burst=4")
    booked = limiter.reserve("alice", 3)
    with pytest.raises(ValueError if count == -1 else TypeError, match="count"):
        booked.commit(count)
    assert booked.commit(1) == 2


def test_without_a_limit_everything_is_reserved_at_once_and_nothing_asked(limiter_of, clock):
    limiter = limiter_of("inf/s", clock=clock)
    booked = limiter.reserve("alice", 10**9)
    assert (booked.delay, booked.commit(3), limiter.stats().round_trips) == (0.0, 0, 0)
    assert limiter.acquire_blocking("alice", 10**9)
    assert limiter.peek("alice").retry_after == 0.0


def test_more_than_the_burst_is_never_reserved(limiter_of):
    limiter = limiter_of("1/s;burst=2")
    assert limiter.reserve("alice", 3) is None
    assert limiter.acquire_blocking("alice", 3, timeout=100).retry_after == math.inf
    with pytest.raises(ValueError, match="3 permits can never be granted, the burst is 2"):
        limiter.acquire_blocking("alice", 3)
    assert limiter.stats().round_trips == 0


def test_what_was_drawn_ahead_is_reserved_without_a_round_trip(limiter_of):
    limiter = limiter_of("10/min;burst=10", lease=5)
    assert limiter.try_acquire("alice")
    asked = limiter.stats().round_trips
    booked = limiter.reserve("alice", 4)
    assert (booked.delay, booked.commit()) == (0.0, 0)
    assert limiter.stats().round_trips == asked


@pytest.mark.usefixtures("down")
def test_in_an_outage_a_reservation_is_made_denied_or_an_error_as_told(limiter_of, clock):
    allowed = limiter_of("1/s;burst=1", on_error="allow", clock=clock).reserve("alice")
    assert (allowed.delay, allowed.commit(0)) == (0.0, 0)
    assert limiter_of("1/s;burst=1", on_error="deny").reserve("alice") is None
    with pytest.raises(BackendError):
        limiter_of("1/s;burst=1", on_error="raise").reserve("alice")


@pytest.mark.usefixtures("down")
def test_in_an_outage_what_the_share_has_no_room_for_in_time_is_not_reserved(limiter_of, clock):
    limiter = limiter_of("100/s;burst=100", on_error="local", clock=clock)
    assert limiter.reserve("alice", 10, max_wait=0).delay == 0.0
    assert limiter.reserve("alice", 10, max_wait=0.5) is None
    assert limiter.reserve("alice", 10, max_wait=1).delay == 1.0


@pytest.mark.usefixtures("down")
def test_in_an_outage_a_reservation_of_the_share_is_settled_at_what_was_used(limiter_of, clock):
    limiter = limiter_of("100/s;burst=100", on_error="local", clock=clock)
    assert limiter.reserve("alice", 10).commit(4) == 6
    assert limiter.attempt("alice", 6)
    assert not limiter.attempt("alice")


@pytest.mark.usefixtures("down")
@pytest.mark.parametrize(("on_error", "allowed"), [("allow", True), ("deny", False), ("local", True)])
def test_in_an_outage_a_peek_says_what_a_draw_would(limiter_of, clock, on_error, allowed):
    limiter = limiter_of("100/s;burst=100", on_error=on_error, clock=clock)
    assert limiter.peek("alice", 10).allowed is limiter.attempt("alice", 10).allowed is allowed


@pytest.mark.usefixtures("down")
def test_in_an_outage_a_peek_is_an_error_where_that_was_told(limiter_of):
    with pytest.raises(BackendError, match="the limit 'test'"):
        limiter_of("1/s").peek("alice")


def test_what_cannot_be_told_of_a_reservation_is_lost_or_tried_again_as_told(server, limiter_of, clock):
    quiet = limiter_of("1/h;burst=9", name="quiet", on_error="deny", clock=clock).reserve("alice", 5)
    strict = limiter_of("1/h;burst=9", name="strict", on_error="raise", clock=clock).reserve("alice", 5)
    server.kill()

    assert quiet.commit(1) == 0
    with pytest.raises(BackendError):
        strict.commit(1)

    server.start()
    clock.advance(1)
    assert strict.commit(1) == 0  # of a server that has forgotten it there is nothing to give back
    assert strict.commit(1) == 0
