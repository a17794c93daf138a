"""Print how many decisions a second one limiter makes for 1, 2 and 8 threads.

Run it with `uv run python benches/python/threads.py`. With the GIL no figure can rise with the number
of threads; what it shows is what handing the GIL over costs, which a limiter decides by whether it
gives it up in every call.
"""

import argparse
from collections.abc import Callable
from itertools import repeat
from statistics import median
from threading import Barrier, Thread
from time import perf_counter

import reference
import sluicegate
from cases import DAY, RATE

THREADS = (1, 2, 8)


def subjects() -> dict[str, tuple[Callable[[], object], int]]:
    """Build the limiters: what a decision is, and how many all threads together make."""
    ours = sluicegate.RateLimiter(sluicegate.RateLimiterConfig(RATE, burst=RATE))
    found: dict[str, tuple[Callable[[], object], int]] = {
        "sluicegate": (ours.try_acquire, 1_000_000),
        "pure Python, leanest": (reference.TokenBucket(RATE, RATE).try_acquire, 200_000),
    }
    try:
        from rust_py_rate_limit import RateLimiter  # noqa: PLC0415 - a peer that may be missing
    except ImportError:
        return found
    peer = RateLimiter(limit=RATE, window_seconds=DAY)
    found["rust-py-rate-limit"] = (lambda: peer.allow("hot")), 100_000
    return found


def decisions(call: Callable[[], object], threads: int, calls: int) -> float:
    """Share `calls` decisions among threads that begin together; decisions a second."""
    barrier = Barrier(threads + 1)

    def decide() -> None:
        barrier.wait()
        for _ in repeat(None, calls // threads):
            call()

    workers = [Thread(target=decide) for _ in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    begin = perf_counter()
    for worker in workers:
        worker.join()
    return calls / (perf_counter() - begin)


def measure(rounds: int) -> dict[tuple[str, int], float]:
    """Measure every limiter with every number of threads in turns: medians, by name and threads."""
    found = subjects()
    samples: dict[tuple[str, int], list[float]] = {
        (name, threads): [] for name in found for threads in THREADS
    }
    for _ in range(rounds):
        for (name, threads), rates in samples.items():
            call, calls = found[name]
            rates.append(decisions(call, threads, calls))
    return {key: median(rates) for key, rates in samples.items()}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description="Print decisions a second by number of threads.")
    arguments.add_argument("--rounds", type=int, default=9)
    for (name, threads), rate in measure(arguments.parse_args().rounds).items():
        print(f"{name:<22}{threads} thread{'s' if threads > 1 else ' '}{rate:>14,.0f} decisions a second")


if __name__ == "__main__":
    main()
