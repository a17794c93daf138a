"""Trouble on purpose: as often as told, and the same in every run."""

import asyncio
import threading

import pytest
import trio

from sluicegate import ConfigurationError, Pipeline, Retry
from sluicegate.testing import Chaos, ManualClock


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


def plainly(policy, clock):
    return policy.call(clock.now)


def later(clock):
    async def now():
        return clock.now()

    return now


def on_asyncio(policy, clock):
    return asyncio.run(policy(later(clock))())


def on_trio(policy, clock):
    return trio.run(policy.call, later(clock))


everywhere = pytest.mark.parametrize("run", [plainly, on_asyncio, on_trio])


@everywhere
def test_raises_a_fault_in_the_place_of_a_call(run, clock):
    with pytest.raises(ConnectionError):
        run(Chaos(fault=ConnectionError, clock=clock), clock)


@everywhere
def test_raises_what_a_function_returns(run, clock):
    with pytest.raises(OSError, match="no route"):
        run(Chaos(fault=lambda: OSError("no route"), clock=clock), clock)


@everywhere
def test_delays_a_call_by_its_clock(run, clock):
    assert run(Chaos(latency=2.5, clock=clock), clock) == 2.5


@everywhere
def test_answers_in_the_place_of_a_call(run, clock):
    assert run(Chaos(outcome=lambda: "wrong", clock=clock), clock) == "wrong"


@everywhere
def test_without_options_or_while_disabled_there_is_no_trouble(run, clock):
    assert run(Chaos(clock=clock), clock) == 0.0
    chaos = Chaos(fault=OSError, latency=5, enabled=False, clock=clock)
    assert run(chaos, clock) == 0.0
    assert chaos.stats().calls == 0
    chaos.enabled = True
    with pytest.raises(OSError):
        run(chaos, clock)
    assert clock.now() == 5.0


def fates(chaos, clock, calls=300):
    told = []
    for _ in range(calls):
        before = clock.now_ns()
        try:
            told.append((chaos.call(int), clock.now_ns() - before))
        except OSError:
            told.append(("fault", clock.now_ns() - before))
    return told


def troubled(seed, clock, **options):
    chosen = {
        "fault": OSError,
        "fault_rate": 0.2,
        "latency": (0.1, 0.3),
        "latency_rate": 0.5,
        "outcome": lambda: "wrong",
        "outcome_rate": 0.1,
    }
    return Chaos(seed, **(chosen | options), clock=clock)


def test_the_same_seed_makes_the_same_trouble(clock):
    first = fates(troubled(3, clock), clock)
    assert fates(troubled(3, clock), clock) == first
    assert fates(troubled(4, clock), clock) != first


def test_a_rate_changes_nothing_but_what_it_is_the_rate_of(clock):
    usual = fates(troubled(3, clock), clock)
    prompt = fates(troubled(3, clock, latency=0), clock)
    assert [end for end, _ in prompt] == [end for end, _ in usual]


def test_keeps_its_rates_and_its_bounds(clock):
    chaos = troubled(3, clock)
    told = fates(chaos, clock, calls=5_000)
    stats = chaos.stats()
    assert stats.calls == 5_000
    assert stats.faults == sum(end == "fault" for end, _ in told) == pytest.approx(1_000, rel=0.1)
    assert stats.outcomes == sum(end == "wrong" for end, _ in told) == pytest.approx(400, rel=0.2)
    delays = [delay for _, delay in told if delay]
    assert stats.delayed == len(delays) == pytest.approx(2_500, rel=0.1)
    assert 100_000_000 <= min(delays) <= max(delays) <= 300_000_000


def test_the_share_of_faults_is_the_same_however_many_threads_there_are(clock):
    chaos = troubled(3, clock, latency=0)

    def work():
        fates(chaos, clock, calls=250)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = troubled(3, clock, latency=0)
    fates(alone, clock, calls=1_000)
    assert chaos.stats() == alone.stats()


def test_a_retry_around_it_bears_it(clock):
    chaos = Chaos(1, fault=OSError, fault_rate=0.3, clock=clock)
    pipeline = Pipeline(Retry(max_attempts=12, clock=clock), chaos)
    assert [pipeline.call(int) for _ in range(200)] == [0] * 200
    assert chaos.stats().calls == 200 + chaos.stats().faults


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("fault_rate", {"fault_rate": 1.5}),
        ("latency_rate", {"latency_rate": -0.1}),
        ("outcome_rate", {"outcome_rate": float("nan")}),
        ("fault", {"fault": OSError("one object, raised for ever")}),
        ("fault", {"fault": "OSError"}),
        ("outcome", {"outcome": 3}),
        ("latency", {"latency": -1}),
        ("latency", {"latency": (2, 1)}),
    ],
)
def test_refuses_options_that_make_no_sense(field, options):
    with pytest.raises(ConfigurationError) as caught:
        Chaos(**options)
    assert caught.value.field == field


def test_delays_are_drawn_from_all_of_their_span(clock):
    chaos, delays = Chaos(1, latency=(1.0, 3.0), clock=clock), []
    for _ in range(200):
        began = clock.now()
        delays.append(chaos.call(clock.now) - began)
    assert 1.0 <= min(delays) < 1.2
    assert 2.8 < max(delays) <= 3.0


def test_no_latency_is_no_delay():
    chaos = Chaos(1, fault=OSError, fault_rate=0.0)
    chaos.call(int)
    assert (chaos.stats().calls, chaos.stats().delayed) == (1, 0)
