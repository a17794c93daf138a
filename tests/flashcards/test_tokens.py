"""Tokens: reserved by estimate, settled at what was used, and never more than the budget."""

import asyncio

import pytest

from sluicegate.flashcards._tokens import FIRST_ESTIMATE, BudgetError, Tokens
from sluicegate.testing import ManualClock

BODY = b"x" * 300
ESTIMATE = 100 + FIRST_ESTIMATE


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


async def test_holds_the_estimate_until_it_is_settled(clock):
    tokens = Tokens(None, None, clock)
    taken = await tokens.take(BODY)
    assert (tokens.spent, tokens.reserved) == (0, ESTIMATE)
    tokens.settle(taken, 50)
    assert (tokens.spent, tokens.reserved) == (50, 0)


async def test_learns_from_what_answers_used(clock):
    tokens = Tokens(None, None, clock)
    for used in (100, 300, 0):  # a failed request says nothing of answers
        tokens.settle(await tokens.take(BODY), used)
    assert tokens.estimate(BODY) == 100 + 200


async def test_what_is_held_for_others_counts_against_the_budget(clock):
    tokens = Tokens(None, 2 * ESTIMATE, clock)
    first = await tokens.take(BODY)
    await tokens.take(BODY)
    with pytest.raises(BudgetError, match=r"1,400 held .* raise token_budget"):
        await tokens.take(BODY)
    tokens.give_back(first)
    await tokens.take(BODY)


async def test_the_rate_is_charged_what_was_used(clock):
    tokens = Tokens("100/s;burst=1000", None, clock)
    tokens.settle(await tokens.take(BODY), 1_000)
    assert clock.now() == 0.0
    await tokens.take(BODY)
    # 1,000 were used; the mean of the answers makes the next one dearer than the burst, which is 10 s away.
    assert clock.now() == pytest.approx(10.0)


async def test_a_request_that_was_not_sent_gives_its_tokens_back(clock):
    tokens = Tokens("100/s;burst=700", None, clock)
    tokens.give_back(await tokens.take(BODY))
    await tokens.take(BODY)
    assert clock.now() == 0.0


async def test_who_is_cancelled_while_waiting_holds_nothing():
    clock = ManualClock()
    tokens = Tokens("100/s;burst=700", None, clock)
    await tokens.take(BODY)
    waiting = asyncio.create_task(tokens.take(BODY))
    await asyncio.sleep(0)
    assert tokens.reserved == 2 * ESTIMATE
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert tokens.reserved == ESTIMATE
