"""Guard a payment provider that is limited, fails at times, and is down for a while.

Forty orders are charged at once. The limiter spaces the calls, the retry repeats those that fail, and
the breaker keeps the service from hammering a provider that is down. Everything runs on a manual clock
that jumps to the next deadline, so that twelve seconds pass in no time; leave out `clock=` for real.
"""

import asyncio
import random
from collections import Counter

from sluicegate import BreakerEvent, CircuitBreaker, CircuitOpenError, Pipeline, RateLimiter, Retry
from sluicegate.testing import ManualClock

ORDERS = 40
OUTAGE = range(2, 6)  # the seconds in which the provider is down

clock = ManualClock(autojump=True)
dice = random.Random(1)
calls: Counter[str] = Counter()


def report(event: BreakerEvent) -> None:
    """Say what the breaker does, when it does it."""
    print(f"{event.at:6.2f} s  the breaker is now {event.to_state.name}")


limiter = RateLimiter("10/s;burst=5", name="payments", clock=clock)
breaker = CircuitBreaker(
    name="payments", min_throughput=5, sampling_duration=2.0, break_duration=2.0, clock=clock, listener=report
)
retry = Retry(
    max_attempts=8,
    initial_interval=0.5,
    max_interval=4.0,
    retry_on=(ConnectionError, CircuitOpenError),
    rng=dice,
    clock=clock,
)
payments = Pipeline(retry, limiter, breaker)


async def charge(order: int) -> str:
    """Stand in for the provider's API."""
    calls["made"] += 1
    if int(clock.now()) in OUTAGE or dice.random() < 0.1:
        calls["failed"] += 1
        raise ConnectionError(f"order {order}: no answer")
    return f"order {order}: charged"


async def main() -> None:
    """Charge every order, and say what it took."""
    answers = await asyncio.gather(*(payments.call(charge, order) for order in range(ORDERS)))
    print(f"{clock.now():6.2f} s  {len(answers)} orders charged")
    print(f"          {calls['made']} calls, of which {calls['failed']} failed")
    print(f"          {breaker.snapshot().total_rejected} more were spared by the breaker")


if __name__ == "__main__":
    asyncio.run(main())
