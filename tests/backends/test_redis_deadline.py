"""One timeout for a whole decision, however slowly the server accepts, greets, answers or forgets scripts."""

import asyncio
import time

import pytest
import redis.asyncio
import valkey.asyncio
from slow_server import HELLO, NO_SCRIPT, SlowServer, answer

from sluicegate import CircuitState
from sluicegate.backends.redis import (
    AsyncRedisCircuitBreaker,
    AsyncRedisRateLimiter,
    RedisCircuitBreaker,
    RedisRateLimiter,
)

TIMEOUT = 1.0
LATE = 0.6
"""Seconds within the timeout, of which two together are not."""


def is_script(words):
    return words[0].upper() in (b"EVALSHA", b"EVAL")


def late_in_the_handshake(_number, words):
    """Take a while before each answer until the first question."""
    return [answer(words)] if is_script(words) else [LATE, answer(words)]


def late_at_first_and_then_again(_number, words):
    """Greet late and answer late."""
    return [LATE, answer(words)] if is_script(words) or words[0] == b"HELLO" else [answer(words)]


def trickling_a_greeting(_number, words):
    """Greet in so many pieces that no read of one of them is late."""
    if words[0] != b"HELLO":
        return [answer(words)]
    return [part for byte in HELLO for part in (0.2, bytes([byte]))]


def trickling_an_answer(_number, words):
    """Answer a question in pieces."""
    if not is_script(words):
        return [answer(words)]
    return [part for byte in b":123456789\r\n" for part in (0.2, bytes([byte]))]


def without_the_script(_number, words):
    """Say late that the script is unknown, and then take as long to run its text."""
    if words[0] == b"EVALSHA":
        return [LATE, NO_SCRIPT]
    return [LATE, answer(words)] if words[0] == b"EVAL" else [answer(words)]


def silent(_number, words):
    """Greet, and never answer a question."""
    return [] if is_script(words) else [answer(words)]


CASES = [
    (late_in_the_handshake, redis),
    (late_at_first_and_then_again, redis),
    (late_at_first_and_then_again, valkey),
    (trickling_a_greeting, redis),
    (trickling_an_answer, redis),
    (trickling_an_answer, valkey),
    (without_the_script, redis),
    (silent, redis),
]


@pytest.fixture
def slow():
    """Make slow servers, and end them."""
    made = []

    def make(reply):
        made.append(SlowServer(reply))
        return made[-1]

    yield make
    for server in made:
        server.close()


def client_of(server, library=redis, **options):
    return library.Redis(port=server.port, socket_timeout=TIMEOUT, protocol=3, db=1, **options)


def assert_one_timeout(took):
    assert TIMEOUT - 0.1 < took < 2 * TIMEOUT, took


@pytest.mark.parametrize(("reply", "library"), CASES, ids=lambda value: value.__name__)
def test_a_decision_ends_with_one_timeout(slow, reply, library):
    client = client_of(slow(reply), library)
    limiter = RedisRateLimiter(client, "1/h", name="test", on_error="deny")

    began = time.monotonic()
    assert not limiter.try_acquire("alice")
    assert_one_timeout(time.monotonic() - began)
    assert limiter.stats().errors == 1
    limiter.close()


@pytest.mark.parametrize(("reply", "library"), CASES, ids=lambda value: value.__name__)
async def test_a_decision_of_a_coroutine_ends_with_one_timeout(slow, reply, library):
    client = client_of(slow(reply), library.asyncio)
    limiter = AsyncRedisRateLimiter(client, "1/h", name="test", on_error="deny")

    began = time.monotonic()
    assert not await limiter.try_acquire("alice")
    assert_one_timeout(time.monotonic() - began)
    assert limiter.stats().errors == 1
    await limiter.aclose()


async def test_a_client_that_is_used_as_it_is_ends_with_the_decision_too(slow):
    server = slow(late_at_first_and_then_again)
    pool = redis.asyncio.BlockingConnectionPool(port=server.port, socket_timeout=TIMEOUT, protocol=3)
    client = redis.asyncio.Redis(connection_pool=pool)
    limiter = AsyncRedisRateLimiter(client, "1/h", name="test", on_error="deny")

    began = time.monotonic()
    assert not await limiter.try_acquire("alice")
    assert_one_timeout(time.monotonic() - began)
    while not server.asked[b"EVALSHA"]:  # what was begun goes on behind it
        await asyncio.sleep(0.01)
        assert time.monotonic() - began < 10
    while limiter._client._late:
        await asyncio.sleep(0.01)
        assert time.monotonic() - began < 10
    await limiter.aclose()
    await client.aclose()
    await pool.disconnect()


CLOSED, TRIPPED = (
    b"$%d\r\n%b\r\n" % (len(text), text) for text in (b"1 0 0 7 0 -1 -1 0", b"0 0 1 8 9000000 0 1 1")
)


def tripping_late(_number, words):
    """Let a call in at once, take its end late for a trip, and as late what the break's length is."""
    if not is_script(words):
        return [answer(words)]
    return [CLOSED] if words[-1].startswith(b"enter ") else [LATE, TRIPPED]


def test_a_trip_and_the_length_of_its_break_share_a_timeout(slow):
    breaker = RedisCircuitBreaker(
        client_of(slow(tripping_late)), name="test", break_duration_generator=lambda _trips: 5.0
    )
    permit = breaker.try_enter()

    began = time.monotonic()
    permit.failure()
    assert_one_timeout(time.monotonic() - began)
    assert (breaker.state, breaker.stats().errors) == (CircuitState.OPEN, 1)
    breaker.close()


async def test_the_same_for_coroutines(slow):
    breaker = AsyncRedisCircuitBreaker(
        client_of(slow(tripping_late), redis.asyncio),
        name="test",
        break_duration_generator=lambda _trips: 5.0,
    )
    permit = await breaker.try_enter()

    began = time.monotonic()
    await permit.failure()
    assert_one_timeout(time.monotonic() - began)
    assert (breaker.state, breaker.stats().errors) == (CircuitState.OPEN, 1)
    await breaker.aclose()


def test_time_that_a_generator_takes_is_not_the_servers(slow):
    def after_a_while(_trips):
        time.sleep(TIMEOUT)
        return 5.0

    at_once = slow(lambda number, words: [part for part in tripping_late(number, words) if part != LATE])
    breaker = RedisCircuitBreaker(client_of(at_once), name="test", break_duration_generator=after_a_while)
    breaker.try_enter().failure()

    assert (at_once.asked[b"EVALSHA"], breaker.stats().errors) == (3, 0)
    breaker.close()


def half_of_the_first_answer(number, words):
    """Send the end of the first connection's answer when its time is over; others grant what they should."""
    if number > 1 or not is_script(words):
        return [answer(words)]
    return [b":77", TIMEOUT + LATE, b"7\r\n:888\r\n"]


def test_a_connection_whose_time_ran_out_is_asked_nothing_more(slow, clock):
    server = slow(half_of_the_first_answer)
    limiter = RedisRateLimiter(client_of(server), "1/h;burst=5", name="test", on_error="deny", clock=clock)

    assert not limiter.try_acquire("alice")
    time.sleep(LATE)  # the rest is sent, to nobody
    clock.advance(1)
    assert limiter.try_acquire("alice")
    assert (server.connections, server.asked[b"EVALSHA"]) == (2, 2)
    limiter.close()


async def test_a_coroutines_connection_whose_time_ran_out_is_asked_nothing_more(slow, clock):
    server = slow(half_of_the_first_answer)
    client = client_of(server, redis.asyncio)
    limiter = AsyncRedisRateLimiter(client, "1/h;burst=5", name="test", on_error="deny", clock=clock)

    assert not await limiter.try_acquire("alice")
    await asyncio.sleep(LATE)
    clock.advance(1)
    assert await limiter.try_acquire("alice")
    assert (server.connections, server.asked[b"EVALSHA"]) == (2, 2)
    await limiter.aclose()


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_server_that_hangs_costs_a_new_connection_no_more_than_a_used_one(server, asked_before):
    client = redis.Redis(unix_socket_path=server.path, socket_timeout=TIMEOUT, protocol=3, db=1)
    limiter = RedisRateLimiter(client, "1000/s", name="test", on_error="local")
    if asked_before:
        assert limiter.try_acquire("alice")
    server.pause()

    began = time.monotonic()
    assert sum(limiter.try_acquire("alice") for _ in range(200)) >= 100
    assert_one_timeout(time.monotonic() - began)
    server.resume()
    limiter.close()
