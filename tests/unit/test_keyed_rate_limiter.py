"""A limit for each key: keys, room, waiting, guards. What the quotas mean is tested of one limiter."""

import asyncio
import enum
import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sluicegate import ConfigurationError, KeyedRateLimiter, LimitExceededError, RateLimiterConfig


@pytest.fixture
def limiter(clock):
    return KeyedRateLimiter("2/s", clock=clock)


def draws(limiter, key):
    """How many of five permits are granted."""
    return sum(limiter.try_acquire(key) for _ in range(5))


def test_every_key_has_a_limit_of_its_own(clock, limiter):
    assert [draws(limiter, key) for key in ("alice", "bob", "alice")] == [2, 2, 0]
    clock.advance(0.5)
    assert [draws(limiter, key) for key in ("alice", "carol")] == [1, 2]


def test_a_refusal_says_how_long_to_wait(limiter):
    assert limiter.attempt("alice", 2).remaining == 0
    refused = limiter.attempt("alice")
    assert (refused.allowed, refused.retry_after, refused.limit) == (False, 0.5, 2)
    assert limiter.attempt("bob", 3).retry_after == math.inf


def test_peeking_never_draws(limiter):
    assert [limiter.peek("alice", 2).allowed for _ in range(3)] == [True] * 3
    assert limiter.stats().slots_in_use == 0
    assert limiter.attempt("alice", 2).allowed


class TestKeys:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("alice", b"alice"),
            ("가방", "가방".encode()),
            (("tenant", 1), (b"tenant", 1)),
            (enum.IntEnum("Level", {"LOW": 7}).LOW, 7),
            (enum.StrEnum("Name", {"ALICE": "alice"}).ALICE, "alice"),
        ],
    )
    def test_the_same_key_in_other_clothes_is_the_same(self, limiter, one, other):
        assert [draws(limiter, key) for key in (one, other)] == [2, 0]

    def test_others_are_strangers_to_each_other(self, limiter):
        sizes = [0, 1, -1, 255, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, -(2**64), 2**200, -(2**200)]
        eight = [(1).to_bytes(8, "little"), (2**64).to_bytes(9, "little"), "1", "", b"\0"]
        nested = [(), ((),), ("a",), ("a", "b"), ("ab",), ("a", ("b",)), (1, 2), (1, (2,)), (2, 1)]
        keys = [*sizes, *eight, *nested]
        assert [draws(limiter, key) for key in keys] == [2] * len(keys)
        assert [draws(limiter, key) for key in keys] == [0] * len(keys)

    @pytest.mark.parametrize("key", [1.5, True, None, ["a"], bytearray(b"a"), ("a", 1.5), ("a", (False,))])
    @pytest.mark.parametrize(
        "verb", ["try_acquire", "attempt", "peek", "reserve", "acquire", "acquire_blocking"]
    )
    def test_anything_else_is_a_type_error_that_names_its_type(self, limiter, verb, key):
        kinds = "float|bool|NoneType|list|bytearray"
        with pytest.raises(TypeError, match=f"a str, bytes, an int or a tuple of these, not ({kinds})"):
            getattr(limiter, verb)(key)

    def test_tuples_nest_up_to_a_depth(self, limiter):
        key = "bottom"
        for _ in range(32):
            key = (key,)
        assert limiter.try_acquire(key)
        with pytest.raises(ValueError, match="nests tuples deeper than 32"):
            limiter.try_acquire((key,))

    def test_a_text_without_utf8_is_a_value_error(self, limiter):
        with pytest.raises(UnicodeEncodeError):
            limiter.try_acquire("\ud800")

    def test_the_key_comes_first_and_by_name(self, limiter):
        assert limiter.try_acquire(key="alice", count=2)
        with pytest.raises(TypeError):
            limiter.try_acquire()


class TestRoom:
    def test_more_debtors_than_room_share_the_overflow(self, clock):
        limiter = KeyedRateLimiter("2/s", max_keys=1, clock=clock)
        slots = limiter.stats().slots
        assert sum(draws(limiter, key) for key in range(slots)) == 2 * slots
        assert sum(draws(limiter, key) for key in range(slots, 1_000)) == 2
        stats = limiter.stats()
        assert (stats.slots_in_use, stats.overflowed) == (slots, 5 * (1_000 - slots))

    def test_who_owes_nothing_makes_room(self, clock):
        limiter = KeyedRateLimiter("2/s", max_keys=1, clock=clock)
        for key in range(200):
            assert draws(limiter, key) == 2
            clock.advance(1)
        assert limiter.stats().overflowed == 0

    def test_who_owes_is_not_forgotten(self, clock):
        limiter = KeyedRateLimiter("2/day", max_keys=100, clock=clock)
        assert draws(limiter, "debtor") == 2
        for key in range(5_000):
            limiter.try_acquire(key)
        assert draws(limiter, "debtor") == 0

    def test_a_full_house_takes_less_than_24_bytes_a_key(self):
        assert sys.getsizeof(KeyedRateLimiter("2/s", max_keys=1_400_000)) <= 24 * 1_400_000

    @pytest.mark.parametrize("max_keys", [0, -1, 2**28 + 1, 2**100])
    def test_room_that_makes_no_sense_is_a_configuration_error(self, max_keys):
        with pytest.raises(ConfigurationError, match="max_keys") as caught:
            KeyedRateLimiter("2/s", max_keys=max_keys)
        assert (caught.value.field, caught.value.value) == ("max_keys", max_keys)

    def test_room_that_is_no_integer_is_a_type_error(self):
        with pytest.raises(TypeError):
            KeyedRateLimiter("2/s", max_keys="many")


def test_several_quotas_of_a_key_are_all_or_nothing(clock):
    limiter = KeyedRateLimiter("10/s", "12/minute", clock=clock)
    assert limiter.try_acquire("alice", 10)
    clock.advance(1)
    assert not limiter.try_acquire("alice", 3)
    assert limiter.try_acquire("alice", 2)
    assert limiter.try_acquire("bob", 10)


def test_threads_share_the_limit_of_a_key(clock):
    limiter = KeyedRateLimiter("20/s", clock=clock)
    barrier = threading.Barrier(8)

    def draw(number):
        barrier.wait()
        return [key for key in range(50) for _ in range(5) if limiter.try_acquire(key)]

    with ThreadPoolExecutor(8) as pool:
        granted = [key for keys in pool.map(draw, range(8)) for key in keys]
    assert all(granted.count(key) == 20 for key in range(50))


class TestWaiting:
    async def test_who_waits_for_one_key_delays_no_other(self, jumping):
        limiter = KeyedRateLimiter("10/s;burst=1", clock=jumping)
        served = []

        async def wait(key):
            assert await limiter.acquire(key)
            served.append((key, jumping.now()))

        await asyncio.gather(*map(wait, ["busy", "busy", "busy", "idle"]))
        assert served == [("busy", 0.0), ("idle", 0.0), ("busy", 0.1), ("busy", 0.2)]

    async def test_the_result_after_a_wait_is_the_keys_own(self, jumping):
        limiter = KeyedRateLimiter("10/s;burst=3", clock=jumping)
        limiter.try_acquire("busy", 3)
        result = await limiter.acquire("busy")
        assert (result.allowed, result.remaining, result.retry_after) == (True, 0, 0.0)

    async def test_a_cancelled_wait_gives_back(self, clock):
        limiter = KeyedRateLimiter("10/s;burst=3", clock=clock)
        limiter.try_acquire("busy", 3)
        task = asyncio.create_task(limiter.acquire("busy", 3))
        await asyncio.sleep(0)
        assert limiter.stats().waiting == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert limiter.attempt("busy", 2).retry_after == 0.2
        assert (limiter.stats().waiting, limiter.stats().returned_permits) == (0, 3)

    async def test_a_wait_past_the_timeout_is_refused_at_once(self, limiter):
        limiter.try_acquire("busy", 2)
        refused = await limiter.acquire("busy", 2, timeout=0.9)
        assert (refused.allowed, refused.retry_after) == (False, 1.0)

    def test_a_thread_waits_its_turn(self, jumping):
        limiter = KeyedRateLimiter("10/s;burst=1", clock=jumping)
        assert all(limiter.acquire_blocking(key) for key in ("busy", "idle", "busy"))
        assert jumping.now() == 0.1

    async def test_more_than_can_ever_be_granted_is_an_error_without_a_timeout(self, limiter):
        with pytest.raises(ValueError, match="3 permits can never be granted"):
            await limiter.acquire("alice", 3)
        with pytest.raises(ValueError, match="3 permits can never be granted"):
            limiter.acquire_blocking("alice", 3)
        assert (await limiter.acquire("alice", 3, timeout=1)).retry_after == math.inf


class TestReservations:
    def test_a_reservation_knows_its_key(self, limiter):
        reservation = limiter.reserve("alice", 2)
        assert (reservation.key, reservation.count, reservation.delay) == ("alice", 2, 0.0)
        assert repr(reservation) == "<TokenReservation key='alice', count=2, execute_at=0.0>"

    def test_each_key_has_a_queue_of_its_own(self, limiter):
        assert [limiter.reserve("alice", 2).delay for _ in range(3)] == [0.0, 1.0, 2.0]
        assert limiter.reserve("bob", 2).delay == 0.0
        assert limiter.reserve("alice", 2, max_wait=2.9) is None
        assert limiter.reserve("bob", 3) is None

    def test_the_last_in_line_gives_all_back(self, limiter):
        reservations = [limiter.reserve("alice", 2) for _ in range(3)]
        assert reservations[2].cancel() == 2
        assert limiter.reserve("alice", 2).delay == 2.0

    def test_settling_at_the_actual_cost_is_the_keys_own(self, limiter):
        limiter.reserve("alice", 2).commit(5)
        limiter.reserve("bob", 2).commit(0)
        assert limiter.attempt("alice").retry_after == 2.0
        assert limiter.attempt("bob", 2).allowed

    def test_a_delayed_execution_holds_its_room_against_the_refunds_of_others(self, clock):
        limiter = KeyedRateLimiter("1/s;burst=4", clock=clock)
        limiter.reserve("busy", 4)
        first, second = (limiter.reserve("busy", 2) for _ in range(2))
        second.delay_execution(8)
        assert (first.cancel(), second.execute_at) == (0, 8.0)

    def test_what_was_paid_off_gives_nothing_back(self, clock):
        limiter = KeyedRateLimiter("2/s", max_keys=1, clock=clock)
        reservation = limiter.reserve("early", 2)
        clock.advance(1)
        for key in range(40):
            limiter.try_acquire(key, 2)
        assert reservation.commit(0) == 0


class TestLimit:
    def test_a_block_is_guarded_by_its_key(self, clock):
        limiter = KeyedRateLimiter("1/s", name="per user", clock=clock)
        with limiter.limit("alice", timeout=0) as result:
            assert result.remaining == 0
        with pytest.raises(LimitExceededError, match="per user refuses"), limiter.limit("alice", timeout=0):
            pass
        with limiter.limit("bob", timeout=0):
            pass

    async def test_functions_take_the_key_from_their_arguments(self, clock):
        limiter = KeyedRateLimiter("1/s", clock=clock)

        @limiter.limit(key=lambda user, **_: user, timeout=0)
        def plain(user, *, text=""):
            return text

        @limiter.limit(lambda user: ("async", user), timeout=0)
        async def coroutine(user):
            return user

        assert plain("alice", text="hello") == "hello"
        assert await coroutine("alice") == "alice"
        with pytest.raises(LimitExceededError):
            plain("alice", text="again")
        with pytest.raises(LimitExceededError):
            await coroutine("alice")
        assert plain("bob") == ""

    def test_a_function_may_be_guarded_by_one_key(self, clock):
        limiter = KeyedRateLimiter("1/s", clock=clock)
        search = limiter.limit("search", timeout=0)(str.upper)
        assert search("a") == "A"
        with pytest.raises(LimitExceededError):
            search("b")

    async def test_a_block_cannot_make_a_key(self, limiter):
        guard = limiter.limit(str)
        with pytest.raises(TypeError, match="no arguments to make a key of"), guard:
            pass
        with pytest.raises(TypeError, match="no arguments to make a key of"):
            async with guard:
                pass


class TestUpdate:
    def test_it_changes_every_key_and_keeps_what_was_used(self, limiter):
        limiter.try_acquire("alice", 2)
        limiter.update("4/s")
        assert [limiter.peek(key).remaining for key in ("alice", "bob")] == [1, 3]
        assert limiter.configs == (RateLimiterConfig(4),)

    def test_a_rate_may_fall_far(self, limiter):
        limiter.update("1/minute;burst=2")
        assert draws(limiter, "alice") == 2
        assert limiter.attempt("alice").retry_after == 60.0

    @pytest.mark.parametrize("configs", [(), ("nonsense",), ("1/s", "2/s"), ("1000000/s",), ("inf/s",)])
    def test_what_cannot_be_changes_nothing(self, limiter, configs):
        with pytest.raises(ConfigurationError):
            limiter.update(*configs)
        assert limiter.configs == (RateLimiterConfig(2),)
        assert draws(limiter, "alice") == 2

    def test_a_rate_too_far_off_is_named(self, limiter):
        with pytest.raises(ConfigurationError, match="too far") as caught:
            limiter.update("1000000/s")
        assert (caught.value.field, caught.value.value) == ("rate", ("1000000/s",))


def test_statistics_count_all_keys_and_the_table(clock):
    limiter = KeyedRateLimiter("2/s", max_keys=1, clock=clock)
    for key in ("alice", "alice", "alice", "bob"):
        limiter.try_acquire(key)
    stats = limiter.stats()
    assert (stats.allowed, stats.denied, stats.slots, stats.slots_in_use) == (3, 1, 32, 2)
    assert stats == limiter.stats()
    assert stats != KeyedRateLimiter("2/s", clock=clock).stats()
    assert repr(stats) == (
        "KeyedRateLimiterStats(allowed=3, denied=1, allowed_permits=3, denied_permits=1, returned_permits=0, "
        "waiting=0, waited=0.0, overflowed=0, slots=32, slots_in_use=2)"
    )


def test_an_unlimited_rate_admits_every_key_whatever_the_burst(clock):
    limiter = KeyedRateLimiter(RateLimiterConfig(math.inf, burst=0), clock=clock)
    assert limiter.attempt("alice", 3).remaining == sys.maxsize
    assert limiter.stats().slots_in_use == 0


@pytest.mark.parametrize("count", [-1, 1.0, None])
def test_a_count_that_makes_no_sense_is_an_error(limiter, count):
    with pytest.raises((ValueError, TypeError), match="count"):
        limiter.try_acquire("alice", count)


def test_a_limiter_says_what_it_is():
    limiter = KeyedRateLimiter("5/minute", name="users")
    assert repr(limiter) == "KeyedRateLimiter(RateLimiterConfig(rate=5, period=60.0, burst=5), name='users')"
    assert limiter.name == "users"
