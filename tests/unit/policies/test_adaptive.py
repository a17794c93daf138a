"""Concurrency that limits itself: what moves the limit, and that it finds what the far side takes."""

import asyncio

import pytest

from sluicegate import AdaptiveConcurrency, BulkheadFullError, ConfigurationError, RateLimitError
from sluicegate.policies._laws import Aimd, Correlation, Mean, Window
from sluicegate.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


class TestAimd:
    def test_adds_one_to_a_limit_of_which_half_is_in_use(self):
        assert Aimd().succeeded(20, 0.1, 10, 0.0) == 21

    def test_leaves_a_limit_alone_that_is_hardly_used(self):
        assert Aimd().succeeded(20, 0.1, 9, 0.0) == 20

    def test_takes_a_tenth_away_after_a_drop(self):
        assert Aimd().dropped(30) == 27


class TestCorrelation:
    def test_raises_a_limit_in_use_while_latency_stands_still(self):
        law, limit = Correlation(), 10.0
        for _ in range(5):
            limit = law.moved(limit, 0.01, int(limit))
        assert limit == 15

    def test_lowers_the_limit_where_a_long_queue_shows(self):
        law = Correlation()
        for _ in range(10):
            law.moved(10, 0.01, 10)
        assert law.moved(10, 0.1, 10) == 9

    def test_holds_where_a_short_queue_shows(self):
        law = Correlation()
        for _ in range(10):
            law.moved(10, 0.010, 10)
        # A queue of ceil(10 · (1 − 10.6/14)) = 3 lies between three and six.
        assert law.moved(10, 0.014, 5) == 10

    def test_does_not_drift_up_with_latency_that_grows_with_the_load(self):
        # The far side takes 20 at once; what is above waits, so that latency is concurrency by capacity.
        law, limit = Correlation(), 10.0
        for _ in range(2_000):
            in_use = int(limit)
            limit = law.moved(limit, 0.01 * max(1.0, in_use / 20), in_use)
        assert 10 <= limit <= 40

    def test_comes_down_where_a_limit_is_far_above_its_use(self):
        assert Correlation().moved(100, 0.01, 10) == 98

    def test_moves_only_at_the_end_of_a_window(self):
        law = Correlation(window=1.0, samples=50)
        moved = [law.succeeded(10, 0.01, 10, now=index / 100) for index in range(200)]
        assert moved[:49] == [10] * 49
        assert sum(limit != 10 for limit in moved) == 2


def test_a_mean_is_plain_at_first_and_forgets_later():
    mean = Mean(9)
    assert [mean.add(value) for value in (1, 2, 3)] == [1, 1.5, 2]
    for _ in range(100):
        mean.add(50)
    assert mean.value == pytest.approx(50)


def test_a_correlation_says_nothing_of_few_or_constant_values():
    window = Window(50)
    assert [window.add(x, x) for x in range(9)] == [0.0] * 9
    assert window.add(9, 9) == pytest.approx(1.0)
    assert [Window(50).add(1, 1) for _ in range(20)] == [0.0] * 20


class TestInUse:
    def test_refuses_beyond_the_limit(self, clock):
        adaptive = AdaptiveConcurrency(initial=1, name="search", clock=clock)

        def nested():
            return adaptive.call(int)

        with pytest.raises(BulkheadFullError) as caught:
            adaptive.call(nested)
        assert caught.value.policy == "search"
        assert adaptive.in_use == 0

    def test_aimd_halves_its_way_down_and_creeps_up(self, clock):
        adaptive = AdaptiveConcurrency(initial=30, law="aimd", clock=clock)

        def drop():
            raise RateLimitError(1)

        with pytest.raises(RateLimitError):
            adaptive.call(drop)
        assert adaptive.limit == 27

    def test_never_leaves_its_bounds(self, clock):
        adaptive = AdaptiveConcurrency(initial=3, min=2, max=4, law="aimd", clock=clock)
        for _ in range(50):
            with pytest.raises(TimeoutError):
                adaptive.call(self.time_out)
        assert adaptive.limit == 2
        for _ in range(50):
            adaptive.call(int)
        assert adaptive.limit == 3, "one call at a time makes no use of more"

    def test_never_rises_above_its_maximum_however_much_it_is_used(self, clock):
        adaptive = AdaptiveConcurrency(initial=2, max=2, law="aimd", clock=clock)
        assert [adaptive.call(int) for _ in range(5)] == [0] * 5
        assert adaptive.limit == 2

    @staticmethod
    def time_out():
        raise TimeoutError

    def test_other_failures_and_cancellations_move_nothing(self, clock):
        adaptive = AdaptiveConcurrency(initial=10, law="aimd", overload=ConnectionError, clock=clock)
        for error in (ValueError, TimeoutError, KeyboardInterrupt):
            with pytest.raises(error):
                adaptive.call(self.fail_with, error)
        assert (adaptive.limit, adaptive.in_use) == (10, 0)

    def test_what_is_no_exception_is_no_overload_either(self, clock):
        adaptive = AdaptiveConcurrency(initial=10, law="aimd", overload=lambda error: True, clock=clock)
        with pytest.raises(KeyboardInterrupt):
            adaptive.call(self.fail_with, KeyboardInterrupt)
        assert adaptive.limit == 10

    @staticmethod
    def fail_with(error):
        raise error

    def test_wakes_who_waits_when_the_limit_rises(self, clock):
        adaptive = AdaptiveConcurrency(initial=1, law="aimd", max_queue=10, clock=clock)

        async def sleep():
            await clock.sleep_until(clock.now_ns() + 1_000_000_000)

        async def main():
            await asyncio.gather(*(adaptive.call(sleep) for _ in range(7)))

        asyncio.run(main())
        # One, then two, then four at once: each success makes room for one more.
        assert clock.now() == 3.0

    def test_finds_what_the_far_side_takes_without_queueing(self, clock):
        capacity, busy, limits = 20, 0, set()
        adaptive = AdaptiveConcurrency(initial=5, max=200, max_queue=60, clock=clock)

        async def serve():
            nonlocal busy
            busy += 1
            seconds = 0.2 * max(1.0, busy / capacity)
            await clock.sleep_until(clock.now_ns() + int(seconds * 1e9))
            busy -= 1

        async def caller():
            while clock.now() < 300:
                await adaptive.call(serve)
                if clock.now() > 60:
                    limits.add(adaptive.limit)

        async def main():
            await asyncio.gather(*(caller() for _ in range(60)))

        asyncio.run(main())
        assert capacity / 3 <= min(limits)
        assert capacity < max(limits) <= 1.5 * capacity


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("min", {"min": 0}),
        ("max", {"min": 5, "max": 4}),
        ("initial", {"initial": 5, "max": 4}),
        ("initial", {"initial": 1, "min": 2}),
        ("law", {"law": "gradient"}),
        ("overload", {"overload": 3}),
        ("max_queue", {"max_queue": -1}),
    ],
)
def test_refuses_options_that_make_no_sense(field, options):
    with pytest.raises(ConfigurationError) as caught:
        AdaptiveConcurrency(**options)
    assert caught.value.field == field
