"""The retry budget: how many retries calls earn, whoever shares it."""

import asyncio
import threading
from fractions import Fraction

import pytest

from sluicegate import ConfigurationError, Retry, RetryBudget
from sluicegate.testing import ManualClock


def drain(budget):
    taken = 0
    while budget.try_withdraw():
        taken += 1
    return taken


def test_a_retry_takes_what_five_calls_earn(clock):
    budget = RetryBudget(min_per_second=0, clock=clock)
    for _ in range(4):
        budget.deposit()
    assert not budget.try_withdraw()
    budget.deposit()
    assert budget.available == 1
    assert drain(budget) == 1


def test_a_ratio_is_counted_as_its_shortest_decimal(clock):
    budget = RetryBudget(0.1, 0, clock=clock)
    for _ in range(10):
        budget.deposit()
    assert drain(budget) == 1


def test_the_reserve_comes_back_with_time(clock):
    budget = RetryBudget(0, 10, clock=clock)
    assert drain(budget) == 10
    clock.advance(0.5)
    assert drain(budget) == 5
    clock.advance(60)
    assert drain(budget) == 10


def test_no_more_is_saved_than_five_hundred_calls_earn(clock):
    budget = RetryBudget(0.2, 0, clock=clock)
    for _ in range(10_000):
        budget.deposit()
    assert drain(budget) == 100


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), "0.2", True, None])
def test_refuses_a_ratio_that_makes_no_sense(ratio):
    with pytest.raises(ConfigurationError, match="ratio") as caught:
        RetryBudget(ratio)
    assert caught.value.field == "ratio"


@pytest.mark.parametrize("least", [-1, float("nan")])
def test_refuses_a_reserve_that_makes_no_sense(least):
    with pytest.raises(ConfigurationError) as caught:
        RetryBudget(0.2, least)
    assert caught.value.field == "min_per_second"


def test_a_ratio_of_many_digits_is_counted_all_the_same(clock):
    budget = RetryBudget(0.12345678901234567, 0, clock=clock)
    for _ in range(1_000):
        budget.deposit()
    assert drain(budget) == 61


def test_shows_what_it_is_made_of():
    assert repr(RetryBudget(name="all")) == "RetryBudget(ratio=0.2, min_per_second=10, name='all')"


def test_a_retry_refuses_a_budget_that_is_none():
    with pytest.raises(ConfigurationError, match="budget"):
        Retry(budget=0.2)


def test_threads_that_share_it_never_take_more_than_was_earned(clock):
    budget = RetryBudget(0.25, 0, clock=clock)
    taken = []

    def work():
        count = 0
        for _ in range(4_000):
            budget.deposit()
            count += budget.try_withdraw()
        taken.append(count)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) + budget.available == 4_000


@pytest.mark.parametrize("ratio", [0.1, 0.2, 0.5])
def test_in_a_storm_the_share_of_retries_stays_at_the_ratio(ratio):
    clock = ManualClock(autojump=True)
    budget = RetryBudget(ratio, min_per_second=0, clock=clock)
    # Two policies share it, as the clients of one service do.
    policies = [Retry(max_attempts=5, budget=budget, clock=clock) for _ in range(2)]
    attempts = 0

    async def fail():
        nonlocal attempts
        attempts += 1
        raise ConnectionError

    async def caller(number):
        for _ in range(50):
            with pytest.raises(ConnectionError):
                await policies[number % 2].call(fail)
            await clock.sleep_until(clock.now_ns() + 10_000_000)

    async def storm():
        await asyncio.gather(*(caller(number) for number in range(100)))

    asyncio.run(storm())
    calls = 100 * 50
    retries = attempts - calls
    assert sum(policy.stats().retries for policy in policies) == retries
    assert Fraction(retries) <= Fraction(str(ratio)) * calls
    assert retries >= 0.99 * ratio * calls
