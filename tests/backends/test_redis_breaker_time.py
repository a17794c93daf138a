"""A breaker in Redis by the server's time: how long a probe's lease lasts, and a clock that is set back."""

import pytest
from breaker_time import BreakerTime

from sluicegate import CircuitIsolatedError, CircuitState

KEY = "sluicegate:{test:}breaker"
DAY, WINDOW = 86_400, 10


@pytest.fixture
def time(server):
    return BreakerTime(server.client)


@pytest.fixture
def timed(time, breaker_of, clock):
    """Make breakers that ask before every call, on the time of the test; the clock of the process stands."""

    def make(**options):
        return time.put_under(breaker_of(refresh=0, clock=clock, **{"consecutive_failures": 1, **options}))

    return make


def trip(breaker):
    breaker.try_enter().failure(OSError("down"))
    assert breaker.state is CircuitState.OPEN


@pytest.mark.parametrize(
    ("options", "lease"),
    [
        ({"break_duration": 5}, 30),
        ({"break_duration": 31}, 31),
        ({"break_duration": 90}, 90),
        ({"break_duration": 90, "probe_timeout": 7}, 7),
    ],
    ids=str,
)
def test_a_lost_probe_holds_its_place_for_the_break_but_at_least_thirty_seconds(time, timed, options, lease):
    breaker = timed(**options)
    trip(breaker)
    began = options["break_duration"]
    time.set(began)
    lost = breaker.try_enter()

    assert lost is not None
    time.set(began + lease - 1, 999_999)
    assert breaker.try_enter() is None
    assert breaker.retry_after == 0.000_001
    time.set(began + lease)
    assert breaker.try_enter() is not None


def test_the_length_of_a_break_that_was_stretched_is_the_lease_of_its_probe(time, timed):
    breaker = timed(break_duration_generator=lambda _trips: 120)
    trip(breaker)
    time.set(120)
    lost = breaker.try_enter()
    assert lost is not None

    time.set(120 + 119)
    assert breaker.try_enter() is None
    time.set(120 + 120)
    assert breaker.try_enter() is not None
    del lost


@pytest.mark.parametrize(
    ("pause", "timeout", "lease"), [(5, None, 30), (90, None, 90), (5, 200, 200)], ids=str
)
def test_the_key_outlives_a_probe_that_is_under_way(server, time, timed, pause, timeout, lease):
    breaker = timed(break_duration=pause, probe_timeout=timeout)
    trip(breaker)
    time.set(pause)
    probe = breaker.try_enter()
    assert probe is not None

    left = server.client.pttl(KEY) / 1_000
    assert 0 <= DAY + WINDOW + lease - left < 5  # what a busy machine takes
    probe.ignore()


def test_a_clock_set_back_a_little_stands_still(time, timed):
    breaker = timed(break_duration=60, consecutive_failures=2)
    time.set(100)
    breaker.try_enter().failure()
    time.set(99)
    seen = breaker.snapshot()
    assert (seen.throughput, seen.time_in_state) == (1, 0)
    trip(breaker)

    assert breaker.retry_after == 60
    time.set(159, 999_999)
    assert breaker.try_enter() is None
    time.set(160)
    assert breaker.try_enter() is not None


def test_a_clock_set_back_takes_a_break_along(time, timed):
    breaker = timed(break_duration=60)
    time.set(1_000)
    trip(breaker)
    time.set(1_020)
    assert breaker.try_enter() is None
    time.set(500)  # by 520 seconds, a third of the break being over

    seen = breaker.snapshot()
    assert (seen.state, seen.time_in_state, seen.trips) == (CircuitState.OPEN, 20, 1)
    time.set(539, 999_999)
    assert breaker.try_enter() is None
    time.set(540)
    probe = breaker.try_enter()
    assert probe is not None
    probe.success()
    assert breaker.snapshot().state is CircuitState.CLOSED


def test_a_clock_set_back_forgets_the_window_and_nothing_else(time, timed):
    breaker = timed(consecutive_failures=None, min_throughput=3, failure_ratio=0.5)
    time.set(1_000)
    for _ in range(2):
        breaker.try_enter().failure()
    time.set(998, 999_999)

    breaker.try_enter().failure()
    seen = breaker.snapshot()
    assert (seen.state, seen.throughput, seen.total_failures) == (CircuitState.CLOSED, 1, 3)
    for _ in range(2):
        breaker.try_enter().failure()
    assert breaker.snapshot().state is CircuitState.OPEN


def test_a_clock_set_back_keeps_failures_in_a_row(time, timed):
    breaker = timed(consecutive_failures=3)
    time.set(1_000)
    for _ in range(2):
        breaker.try_enter().failure()
    time.set(0)
    trip(breaker)


def test_a_clock_set_back_lifts_no_isolation(time, timed):
    breaker = timed()
    time.set(1_000)
    breaker.isolate("by hand")
    time.set(0)

    with pytest.raises(CircuitIsolatedError, match="by hand"):
        breaker.call(len, "four")
    assert breaker.snapshot().time_in_state == 0


def test_a_clock_set_back_frees_the_places_of_probes(time, timed):
    breaker = timed(break_duration=60)
    time.set(1_000)
    trip(breaker)
    time.set(1_060)
    lost = breaker.try_enter()
    assert breaker.try_enter() is None
    time.set(500)

    probe = breaker.try_enter()
    assert probe is not None
    lost.failure()  # its place is gone, so it counts in totals only
    assert breaker.snapshot().state is CircuitState.HALF_OPEN
    probe.success()
    assert breaker.snapshot().state is CircuitState.CLOSED


def test_a_key_takes_no_more_than_is_said_of_it(server, time, timed):
    breaker = timed()
    breaker.snapshot()
    assert server.client.memory_usage(KEY) <= 400
    for step in range(64):  # of 156.25 ms each
        time.set(*divmod(step * 156_250, 1_000_000))
        breaker.try_enter().success()
    assert breaker.snapshot().throughput == 64
    assert server.client.memory_usage(KEY) <= 7_000
    time.set(10)
    trip(breaker)
    assert server.client.memory_usage(KEY) <= 400
