"""What speaks another language is an outage like any other: no strange error, no strange grant."""

import contextlib
import math

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_server import SlowServer, answer

from sluicegate import BackendError, CircuitState, RateLimitResult
from sluicegate.backends.redis import AsyncRedisRateLimiter, RedisCircuitBreaker, RedisRateLimiter
from sluicegate.testing import ManualClock

BURST = 5

numbers = st.one_of(st.integers(-3, 9), st.integers(), st.sampled_from([2**53, -(2**53), 10**400]))
texts = st.one_of(
    st.lists(numbers.map(str), max_size=12).map(" ".join),
    st.tuples(
        st.lists(numbers.map(str), min_size=8, max_size=8),
        st.lists(numbers.map(str), min_size=11, max_size=11),
    ).map(lambda both: " ; ".join(map(" ".join, both))),
    st.text(max_size=20),
)
scalars = st.one_of(
    numbers, texts, texts.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=12),
    st.none(), st.booleans(), st.floats(),
)  # fmt: skip
replies = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
"""Whatever a library's parser may make of what it read."""


class Foreign(redis.Redis):
    """A client of a server that gives any answer to any question."""

    def __init__(self):
        self.connection_pool = None
        self.reply = None

    def __del__(self):
        """Close nothing."""

    def execute_command(self, *_words, **_options):
        return self.reply


def raised(ask):
    """Ask, and return what came, or the one error that may come instead."""
    try:
        return ask()
    except BackendError as error:
        return error


def assert_sane(result):
    if isinstance(result, BackendError):
        return
    assert isinstance(result, RateLimitResult)
    assert result.limit == BURST
    assert 0 <= result.remaining <= BURST
    assert (result.retry_after == 0) == result.allowed
    assert 0 <= result.reset_after <= math.inf


@pytest.mark.parametrize("quotas", [[f"1/h;burst={BURST}"], [f"1/h;burst={BURST}", f"2/h;burst={BURST}"]])
@pytest.mark.parametrize("lease", [0, 3])
@given(reply=replies)
@settings(deadline=None)
def test_a_limiter_takes_no_answer_but_its_own(quotas, lease, reply):
    client, clock = Foreign(), ManualClock()
    client.reply = reply
    limiter = RedisRateLimiter(client, *quotas, name="test", lease=lease, on_error="raise", clock=clock)

    for verb in (limiter.attempt, limiter.peek):
        assert_sane(raised(lambda verb=verb: verb("alice")))
        clock.advance(1)
    if lease:
        assert sum(limiter._logic.spends("alice", 1) for _ in range(9)) <= lease
    booked = raised(lambda: limiter.reserve("alice", 2))
    if booked is not None and not isinstance(booked, BackendError):
        assert booked.delay >= 0
        clock.advance(1)
        given_back = raised(booked.cancel)
        assert isinstance(given_back, BackendError) or 0 <= given_back <= 2


@given(reply=replies)
@settings(deadline=None)
def test_a_breaker_takes_no_answer_but_its_own(reply):
    client, clock = Foreign(), ManualClock()
    client.reply = reply
    breaker = RedisCircuitBreaker(
        client,
        name="test",
        on_error="raise",
        clock=clock,
        break_duration_generator=lambda trips: 1 + trips % 2,
    )

    permit = raised(breaker.try_enter)
    if permit is not None and not isinstance(permit, BackendError):
        permit.failure()
    clock.advance(1)
    snapshot = raised(breaker.snapshot)
    if not isinstance(snapshot, BackendError):
        assert snapshot.state in CircuitState
        assert min(snapshot.throughput, snapshot.failures, snapshot.trips, snapshot.total_rejected) >= 0
    assert breaker.state in CircuitState
    assert breaker.retry_after is None or breaker.retry_after >= 0


@pytest.mark.parametrize("on_error", ["local", "allow", "deny"])
def test_a_foreign_answer_goes_the_way_of_an_outage(on_error):
    client = Foreign()
    client.reply = b"HTTP/1.1 400 Bad Request"
    limiter = RedisRateLimiter(client, "10/s", name="test", on_error=on_error, clock=ManualClock())
    breaker = RedisCircuitBreaker(client, name="test", on_error=on_error, clock=ManualClock())

    assert [limiter.try_acquire("alice") for _ in range(3)] == {
        "local": [True, False, False],
        "allow": [True, True, True],
        "deny": [False, False, False],
    }[on_error]
    assert (breaker.try_enter() is None) == (on_error == "deny")
    assert (limiter.stats().errors, limiter.stats().round_trips, breaker.stats().errors) == (1, 1, 1)


LINES = st.one_of(
    st.binary(max_size=40),
    st.tuples(st.sampled_from(b"+-:$*%~#,_(=>!|".decode()), st.text("0123456789-tf", max_size=6)).map(
        lambda both: f"{both[0]}{both[1]}\r\n".encode()
    ),
    st.sampled_from(
        [b"$2\r\n\xff\xfe\r\n", b"%1\r\n*0\r\n:1\r\n", b":1_0\r\n", b"*1\r\n" * 2_000, b":-9\r\n"]
    ),
)


@pytest.fixture(scope="module")
def foreign():
    """A server that says to a greeting, or to a question, what it is told, and hangs up."""
    said = {"greeting": None, "answer": b""}

    def reply(_number, words):
        if words[0] == b"HELLO" and said["greeting"] is not None:
            return [said["greeting"], None]
        return [said["answer"], None] if words[0] in (b"EVALSHA", b"EVAL") else [answer(words)]

    server = SlowServer(reply)
    server.said = said
    yield server
    server.close()


BYTES = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
@given(said=st.lists(LINES, max_size=4).map(b"".join), in_greeting=st.booleans())
@BYTES
def test_no_bytes_are_an_error_of_another_kind(foreign, protocol, decode, said, in_greeting):
    foreign.said.update(greeting=said if in_greeting else None, answer=b":0\r\n" if in_greeting else said)
    client = redis.Redis(port=foreign.port, protocol=protocol, decode_responses=decode, socket_timeout=2)
    limiter = RedisRateLimiter(client, f"1/h;burst={BURST}", name="test", on_error="raise")

    assert_sane(raised(lambda: limiter.attempt("alice")))
    limiter.close()


@pytest.mark.parametrize("protocol", [2, 3])
async def test_no_bytes_are_an_error_of_another_kind_for_coroutines(foreign, protocol):
    said = [
        b"",
        b"\r\n",
        b"$x\r\n",
        b"$-9\r\n",
        b"*1\r\n" * 2_000,
        b"%1\r\n*0\r\n:1\r\n",
        b":9\r\n",
        b"$3\r\n0 0\r\n",
    ]
    for greeting in (False, True):
        for line in said:
            foreign.said.update(greeting=line if greeting else None, answer=b":0\r\n" if greeting else line)
            client = redis.asyncio.Redis(port=foreign.port, protocol=protocol, socket_timeout=2)
            limiter = AsyncRedisRateLimiter(client, f"1/h;burst={BURST}", name="test", on_error="raise")
            with contextlib.suppress(BackendError):
                assert_sane(await limiter.attempt("alice"))
            await limiter.aclose()
