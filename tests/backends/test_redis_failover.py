"""A fail-over: the primary is killed and its replica promoted, in step with it or lagging behind.

Clients connect to a path that is a link to whichever server is the primary, as a name or an address would be.
"""

import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
import redis
from patience import PATIENCE, eventually

from sluicegate import CircuitState
from sluicegate.backends.redis import RedisCircuitBreaker, RedisRateLimiter


class Pair:
    """A primary and its replica on loopback; nothing is kept on disk."""

    def __init__(self, executable, folder):
        self._executable, self._folder = executable, folder
        self._processes = {}
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        self.path = str(Path(folder) / "current.sock")
        self.primary = self._start("primary", "--port", str(port))
        self.replica = self._start("replica", "--port", "0", "--replicaof", "127.0.0.1", str(port))
        self._link("primary")
        eventually(lambda: self.replica.info("replication")["master_link_status"] == "up")

    def _start(self, name, *options):
        path = str(Path(self._folder) / f"{name}.sock")
        fixed = ["--bind", "127.0.0.1", "--dir", self._folder, "--dbfilename", name, "--save", ""]
        sync = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"]
        command = [self._executable, "--unixsocket", path, *fixed, *sync, *options]
        self._processes[name] = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        client = redis.Redis(unix_socket_path=path, socket_timeout=PATIENCE)
        eventually(client.ping)
        return client

    def _link(self, name):
        fresh = Path(self._folder) / "fresh"
        fresh.symlink_to(f"{name}.sock")
        fresh.replace(self.path)

    def client(self):
        return redis.Redis(unix_socket_path=self.path, socket_timeout=1)

    def catch_up(self):
        """Wait until the replica knows all that the primary does."""
        written = self.primary.info("replication")["master_repl_offset"]
        eventually(lambda: self.replica.info("replication")["slave_repl_offset"] >= written)

    def cut_off(self):
        """Let nothing more reach the replica."""
        self.replica.execute_command("REPLICAOF", "127.0.0.1", 1)
        eventually(lambda: self.primary.info("replication")["connected_slaves"] == 0)

    def kill(self):
        """Kill the primary."""
        self._processes["primary"].kill()
        self._processes["primary"].wait()

    def fail_over(self):
        """Kill the primary, and make the replica one."""
        self.kill()
        self.promote()

    def promote(self):
        """Make the replica the primary."""
        self.replica.execute_command("REPLICAOF", "NO", "ONE")
        self._link("replica")

    def close(self):
        for client in (self.primary, self.replica):
            client.close()
        for process in self._processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def pair(executable):
    with tempfile.TemporaryDirectory() as folder:
        made = Pair(executable, folder)
        yield made
        made.close()


@pytest.fixture
def client(pair):
    client = pair.client()
    yield client
    client.close()


def draw_all(limiter):
    """Draw until refused, and count."""
    granted = 0
    while limiter.try_acquire("alice"):
        granted += 1
    return granted


BURST = 60


@pytest.mark.parametrize("lease", [0, 20])
def test_a_replica_in_step_admits_nothing_more(pair, client, clock, lease):
    limiter, other = (
        RedisRateLimiter(client, f"1/h;burst={BURST}", name="test", lease=lease, on_error="deny", clock=clock)
        for _ in range(2)
    )
    granted = sum(limiter.try_acquire("alice") for _ in range(25)) + other.try_acquire("alice")
    pair.catch_up()
    pair.fail_over()

    granted += draw_all(limiter) + draw_all(other)
    clock.advance(1)  # whoever met the outage asks again
    granted += draw_all(limiter) + draw_all(other)
    assert BURST - 2 * lease <= granted <= BURST
    assert limiter.stats().round_trips > 2
    limiter.close()
    other.close()


@pytest.mark.parametrize("lease", [0, 20])
def test_a_replica_that_lags_admits_at_most_one_more_burst(pair, client, clock, lease):
    limiter, other = (
        RedisRateLimiter(client, f"1/h;burst={BURST}", name="test", lease=lease, on_error="deny", clock=clock)
        for _ in range(2)
    )
    pair.cut_off()
    granted = draw_all(limiter) + other.try_acquire("alice")
    pair.fail_over()
    for one in (limiter, other):
        one.update(f"1/h;burst={BURST}")  # forget the refusal that was remembered
    for _ in range(2):
        granted += draw_all(limiter) + draw_all(other)
        clock.advance(1)

    assert BURST < granted <= 2 * BURST
    limiter.close()
    other.close()


def test_a_reservation_that_the_replica_knows_is_settled_there(pair, client, clock):
    limiter = RedisRateLimiter(client, f"1/h;burst={BURST}", name="test", on_error="raise", clock=clock)
    reservation = limiter.reserve("alice", 50)
    pair.catch_up()
    pair.fail_over()

    assert reservation.commit(10) == 40
    assert limiter.peek("alice").remaining == BURST - 10
    limiter.close()


@pytest.mark.parametrize("lags", [False, True], ids=["in step", "lagging"])
def test_an_open_breaker_stays_open_where_the_replica_knows_of_it(pair, client, clock, lags):
    one, two = (
        RedisCircuitBreaker(
            client, name="test", consecutive_failures=1, refresh=0, on_error="raise", clock=clock
        )
        for _ in range(2)
    )
    stale = two.try_enter()
    pair.catch_up()
    if lags:
        pair.cut_off()
    one.try_enter().failure(OSError("down"))
    if not lags:
        pair.catch_up()
    pair.fail_over()

    assert two.snapshot().state is (CircuitState.CLOSED if lags else CircuitState.OPEN)
    stale.failure()  # of the closed breaker that the lagging replica still knows, else late
    assert two.snapshot().state is CircuitState.OPEN
    assert two.snapshot().trips == 1
    one.close()
    two.close()


def test_a_fleet_under_load_stays_within_two_bursts(pair):
    rate, threads, over = 50, 4, threading.Event()
    granted = []

    def work(limiter):
        while not over.is_set():
            if limiter.try_acquire("alice"):
                granted.append(time.monotonic())
            time.sleep(0.001)

    clients = [pair.client() for _ in range(threads)]
    fleet = [
        RedisRateLimiter(
            client,
            f"{rate}/s;burst={BURST}",
            name="test",
            lease=5 * (number % 2),
            on_error="local",
            local_share=1 / threads,
        )
        for number, client in enumerate(clients)
    ]
    began = time.monotonic()
    crowd = [threading.Thread(target=work, args=(limiter,)) for limiter in fleet]
    for thread in crowd:
        thread.start()
    try:
        eventually(lambda: len(granted) > BURST)
        pair.cut_off()
        pair.kill()
        eventually(lambda: all(limiter.stats().errors > 0 for limiter in fleet))
        pair.promote()
        already = len(granted)
        eventually(lambda: all(limiter._logic.server.breaker.retry_after is None for limiter in fleet))
        eventually(lambda: len(granted) > already)
    finally:
        over.set()
        for thread in crowd:
            thread.join()
    took = time.monotonic() - began

    # One burst of the primary, one of the replica, and what each process may spend alone in between.
    assert len(granted) <= 2 * BURST + BURST + 2 * rate * took
    for limiter, client in zip(fleet, clients, strict=True):
        limiter.close()
        client.close()
