"""Ask a service that fails and dawdles, and answer every time: `python examples/bear_what_fails.py`.

The service is made of chaos with a seed and a clock that jumps, so that a run is over in a moment.
"""

import asyncio
import random

from sluicegate import (
    Bulkhead,
    CircuitBreaker,
    Fallback,
    Hedge,
    Pipeline,
    PolicyEvent,
    Retry,
    RetryBudget,
    Timeout,
)
from sluicegate.testing import Chaos, ManualClock

clock = ManualClock(autojump=True)
service = Chaos(11, fault=ConnectionError, fault_rate=0.8, latency=(0.0, 1.5), clock=clock)
retry = Retry(
    max_attempts=4, initial_interval=0.1, budget=RetryBudget(clock=clock), rng=random.Random(3), clock=clock
)
hedge = Hedge(0.5, clock=clock)
bulkhead = Bulkhead(8, max_queue=100, clock=clock)
quotes = Pipeline(
    Fallback("no quote today", on=(ConnectionError, TimeoutError)),
    Timeout(10.0, clock=clock),
    retry,
    bulkhead,
    CircuitBreaker(failure_ratio=0.9, clock=clock),
    hedge,
    service,
    name="quotes",
    clock=clock,
)


@quotes
async def quote(number: int) -> str:
    """Return a quote; in a service, ask for it."""
    return f"quote {number}"


async def main() -> None:
    """Ask forty times, eight at once."""
    ended: list[PolicyEvent] = []
    quotes.subscribe(ended.append)
    answers = await asyncio.gather(*(quote(number) for number in range(40)))
    longest = max(event.duration or 0.0 for event in ended)
    print(f"{len(answers)} answers, {answers.count('no quote today')} of them the fallback's")
    print(f"{service.stats().faults} faults, {retry.stats().retries} retries, at most {longest:.1f} s a call")


asyncio.run(main())
