"""Print how late a thousand waiting tasks wake, beside `asyncio.sleep` of the same lengths.

Run it with `uv run python benches/python/waiters.py`. Every run takes a second: the tasks begin
together and are due one after another, a millisecond apart. Runs of the limiter and of plain sleep
take turns, and a figure is the median over the runs.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles

from sluicegate import MonotonicClock, RateLimiter

TASKS = 1_000
RATE = 1_000  # tasks due in a second
LEAD = 200  # permits charged beforehand, so that every task sleeps before the first is due


@dataclass(frozen=True, slots=True)
class Wakings:
    """What one run came to: lateness in seconds, and how many tasks woke after one that was due later."""

    p50: float
    p99: float
    overtaken: int


async def wake(wait: Callable[[float], Awaitable[object]], first: float) -> Wakings:
    """Let the tasks wait, each until it is due, and see when each of them runs again."""
    clock = MonotonicClock()
    woken: list[tuple[int, float]] = []

    async def task(number: int) -> None:
        due = first + number / RATE
        await wait(due - clock.now())
        woken.append((number, clock.now() - due))

    await asyncio.gather(*(task(number) for number in range(TASKS)))
    percentiles = quantiles((late for _, late in woken), n=100)
    overtaken = sum(later < sooner for (sooner, _), (later, _) in pairwise(woken))
    return Wakings(percentiles[49], percentiles[98], overtaken)


async def limited() -> Wakings:
    """Wait for the permits of one limiter, whose times are known beforehand."""
    limiter = RateLimiter(f"{RATE}/s;burst=1")
    charged = [limiter.reserve() for _ in range(LEAD)][-1]
    assert charged is not None
    return await wake(lambda _: limiter.acquire(), charged.execute_at + 1 / RATE)


async def slept() -> Wakings:
    """Sleep until the same times."""
    return await wake(asyncio.sleep, MonotonicClock().now() + (LEAD + 1) / RATE)


def measure(runs: int) -> tuple[list[Wakings], list[Wakings]]:
    """Run the limiter and plain sleep in turns, `runs` times each."""
    pairs = [(asyncio.run(limited()), asyncio.run(slept())) for _ in range(runs)]
    ours, plain = zip(*pairs, strict=True)
    return list(ours), list(plain)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description="Print how late waiting tasks wake.")
    arguments.add_argument("--runs", type=int, default=9, help="runs of each kind, a second each")
    for name, runs in zip(("sluicegate", "asyncio.sleep"), measure(arguments.parse_args().runs), strict=True):
        p50, p99 = (median(getattr(run, of) for run in runs) * 1e3 for of in ("p50", "p99"))
        overtaken = sum(run.overtaken for run in runs)
        print(f"{name:<16}late by {p50:.3f} ms (p50), {p99:.3f} ms (p99); {overtaken} overtaken")


if __name__ == "__main__":
    main()
