"""A thousand tasks cancelled at random: no permit, place or probe is lost, on asyncio and on trio."""

import asyncio
import random

import pytest
import trio

from sluicegate import (
    Bulkhead,
    CircuitBreaker,
    CircuitState,
    Hedge,
    Pipeline,
    RateLimiter,
    Retry,
    RetryBudget,
    Timeout,
)
from sluicegate.testing import Chaos, ManualClock

TASKS = 1_000


class Storm:
    """A pipeline of everything, and a thousand calls through it of which most are cancelled."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        clock = self.clock = ManualClock(autojump=True)
        self.limiter = RateLimiter("50/s;burst=10", clock=clock)
        self.bulkhead = Bulkhead(20, max_queue=TASKS, clock=clock)
        self.breaker = CircuitBreaker(consecutive_failures=4, break_duration=1.0, clock=clock)
        self.inside = 0
        self.ended = {"answered": 0, "failed": 0}
        self.pipeline = Pipeline(
            Timeout(60, clock=clock),
            Retry(max_attempts=4, budget=RetryBudget(clock=clock), clock=clock),
            self.limiter,
            self.bulkhead,
            self.breaker,
            Hedge(0.2, clock=clock),
            Chaos(seed, fault=ConnectionError, fault_rate=0.3, latency=(0.0, 0.5), clock=clock),
            clock=clock,
        )

    async def work(self):
        self.inside += 1
        try:
            await self.clock.sleep_until(self.clock.now_ns() + self.dice.randrange(500_000_000))
        finally:
            self.inside -= 1

    async def call(self):
        try:
            await self.pipeline.call(self.work)
            self.ended["answered"] += 1
        except Exception:
            self.ended["failed"] += 1

    async def pause(self):
        await self.clock.sleep_until(self.clock.now_ns() + self.dice.randrange(400_000_000))

    async def calm(self):
        """Wait until whatever is left would have come to an end, then see that nothing is."""
        assert (self.bulkhead.in_use, self.bulkhead.waiting, self.inside) == (0, 0, 0)
        assert self.limiter.stats().waiting == 0
        await self.clock.sleep_until(self.clock.now_ns() + 120_000_000_000)
        # Every permit is back, and the breaker lets its next probe through.
        assert self.limiter.try_acquire(10)
        assert not self.limiter.try_acquire()
        with self.breaker:
            pass
        assert self.breaker.state is CircuitState.CLOSED
        assert all(self.bulkhead._places.enter() for _ in range(20))
        assert not self.bulkhead._places.enter()
        assert self.ended["answered"]


@pytest.mark.parametrize("seed", range(2))
def test_on_asyncio(seed):
    storm = Storm(seed)

    async def main():
        tasks = [asyncio.create_task(storm.call()) for _ in range(TASKS)]
        for _ in range(30):
            for task in storm.dice.sample(tasks, 40):
                task.cancel()
            await storm.pause()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(end, asyncio.CancelledError) for end in ended) > TASKS / 2
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await storm.calm()

    asyncio.run(main())
    assert storm.clock.sleepers == 0


@pytest.mark.parametrize("seed", range(2))
def test_on_trio(seed):
    storm = Storm(seed)

    async def main():
        scopes = [trio.CancelScope() for _ in range(TASKS)]

        async def run(scope):
            with scope:
                await storm.call()

        async with trio.open_nursery() as nursery:
            for scope in scopes:
                nursery.start_soon(run, scope)
            for _ in range(30):
                for scope in storm.dice.sample(scopes, 40):
                    scope.cancel()
                await storm.pause()
            for scope in scopes:
                scope.cancel()
        assert sum(scope.cancelled_caught for scope in scopes) > TASKS / 2
        await storm.calm()

    trio.run(main)
    assert storm.clock.sleepers == 0
