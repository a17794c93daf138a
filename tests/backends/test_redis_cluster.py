"""A cluster of three nodes: limiter, lease and breaker on it, whatever happens to a node in the middle."""

import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter

import pytest
import redis.asyncio
import valkey.asyncio
from patience import PATIENCE, eventually
from redis.crc import key_slot

from sluicegate import CircuitState
from sluicegate.backends.redis import (
    AsyncRedisCircuitBreaker,
    AsyncRedisRateLimiter,
    RedisCircuitBreaker,
    RedisRateLimiter,
)

SLOTS = 16_384
TIMEOUT = 0.3
"""Seconds that a client gives a node that is gone; other nodes get all the time that a busy machine takes."""


class Node:
    """One node on a port of loopback; it keeps nothing but its place in the cluster."""

    def __init__(self, executable, folder, port):
        self.executable, self.folder, self.port = executable, folder, port
        self.client = redis.Redis(port=port, socket_timeout=5)
        self.process = None

    def start(self):
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "save": "",
            "cluster-enabled": "yes",
            "cluster-config-file": f"{self.port}.conf",
            "cluster-node-timeout": 1_000,
            "cluster-require-full-coverage": "no",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.process = subprocess.Popen(
            [self.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self.client.ping)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)

    def cluster(self, *words):
        return self.client.execute_command("CLUSTER", *words)

    @property
    def ident(self):
        return self.cluster("MYID").decode()


class Cluster:
    def __init__(self, nodes):
        self.nodes = nodes

    def begin(self):
        for node in self.nodes:
            node.start()
        for index, node in enumerate(self.nodes):
            node.cluster("ADDSLOTS", *range(SLOTS * index // 3, SLOTS * (index + 1) // 3))
            node.cluster("MEET", "127.0.0.1", self.nodes[0].port)
        eventually(self.is_whole)

    def is_whole(self):
        """Whether every node knows of every slot and every other node."""
        for node in self.nodes:
            told = node.cluster("INFO")
            if isinstance(told, bytes):
                told = dict(line.split(":") for line in told.decode().split())
            if (told["cluster_state"], told["cluster_slots_ok"]) != ("ok", str(SLOTS)):
                return False
        return True

    def is_settled(self):
        """Whether all nodes tell the same of every node: its slots, and how new its claim to them is."""
        tables = set()
        for node in self.nodes:
            told = (line.split() for line in node.cluster("NODES").decode().splitlines())
            tables.add(frozenset((ident, epoch, *slots) for ident, _, _, _, _, _, epoch, _, *slots in told))
        return len(tables) == 1

    def owner_of(self, key):
        """The node that has the key."""
        slot = key_slot(key.encode())
        for first, last, (_, port, *_rest), *_replicas in self.nodes[0].client.execute_command(
            "CLUSTER SLOTS"
        ):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError(slot)

    def client(self, kind, timeout=PATIENCE):
        return kind(host="127.0.0.1", port=self.nodes[0].port, socket_timeout=timeout)


def free_ports(count):
    """Ports whose companions, which the nodes talk over, exist too."""
    held, ports = [], []
    while len(ports) < count:
        held.append(socket.create_server(("127.0.0.1", 0)))
        port = held[-1].getsockname()[1]
        if port < 55_000:
            ports.append(port)
    for one in held:
        one.close()
    return ports


@pytest.fixture(scope="module")
def running(executable):
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster([Node(executable, folder, port) for port in free_ports(3)])
        try:
            cluster.begin()
            yield cluster
        finally:
            for node in cluster.nodes:
                node.client.close()
                node.kill()


@pytest.fixture
def cluster(running):
    """A cluster that is whole and empty; a test may do to its nodes what it likes."""
    for node in running.nodes:
        if node.process.poll() is not None:
            node.start()
        node.client.flushall()
    eventually(running.is_whole)
    yield running
    for node in running.nodes:
        node.resume()


NAME = "sluicegate:{test:sa}"
BREAKER = "sluicegate:{test:}breaker"


def load(work, threads=3):
    """Let threads work until told otherwise; what was raised comes out at the end."""
    over, failed = threading.Event(), []

    def run():
        try:
            while not over.is_set():
                work()
        except BaseException as error:
            failed.append(error)

    crowd = [threading.Thread(target=run) for _ in range(threads)]
    for thread in crowd:
        thread.start()

    def end():
        over.set()
        for thread in crowd:
            thread.join()
        if failed:
            raise failed[0]

    return end


class Counted:
    """A limiter under load, and what it granted."""

    def __init__(self, limiter):
        self.limiter = limiter
        self.granted = []
        self.began = time.monotonic()

    def __call__(self):
        if self.limiter.try_acquire("a"):
            self.granted.append(time.monotonic())
        time.sleep(0.002)

    def eventually_grants(self):
        """Wait for a permit granted from now on."""
        already = len(self.granted)
        eventually(lambda: len(self.granted) > already)


def at_most(counted, burst, rate):
    """Check what was granted against the limit, `burst` anew for each loss of data."""
    took = time.monotonic() - counted.began
    assert 0 < len(counted.granted) <= burst + rate * took


GONE = tuple(kind for library in (redis, valkey) for kind in (library.ConnectionError, library.TimeoutError))
KINDS = {"redis": redis.RedisCluster, "valkey": valkey.ValkeyCluster}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def client(cluster, kind):
    client = cluster.client(kind)
    yield client
    client.close()


@pytest.mark.parametrize("lease", [0, 20])
def test_a_limit_holds_for_clients_of_a_cluster(client, lease):
    limiter, other = (
        RedisRateLimiter(client, "1/h;burst=100", name="test", lease=lease, on_error="raise")
        for _ in range(2)
    )
    granted = sum(one.try_acquire("a") for _ in range(150) for one in (limiter, other))
    assert 75 <= granted <= 100
    booked = RedisRateLimiter(client, "1/h;burst=9", name="other").reserve("b", 9)
    assert booked.commit(4) == 5


def test_keys_lie_on_all_nodes(cluster, client):
    limiter = RedisRateLimiter(client, "1/h;burst=1", name="test", on_error="raise")
    assert all(limiter.try_acquire(key) for key in range(60))
    assert not any(limiter.try_acquire(key) for key in range(60))
    assert all(node.client.dbsize() > 0 for node in cluster.nodes)


def test_a_breaker_trips_and_probes_for_clients_of_a_cluster(client):
    one, two = (
        RedisCircuitBreaker(
            client, name="test", consecutive_failures=1, break_duration=0, refresh=0, on_error="raise"
        )
        for _ in range(2)
    )
    one.try_enter().failure()
    probe = two.try_enter()
    assert one.try_enter() is None
    probe.success()
    assert one.try_enter() is not None


@pytest.mark.parametrize("kind", [redis.asyncio.RedisCluster, valkey.asyncio.ValkeyCluster])
async def test_coroutines_share_limits_and_breakers_of_a_cluster(cluster, kind):
    client = cluster.client(kind)
    limiter = AsyncRedisRateLimiter(client, "1/h;burst=30", name="test", lease=5, on_error="raise")
    breaker = AsyncRedisCircuitBreaker(
        client, name="test", consecutive_failures=1, break_duration=0, on_error="raise"
    )
    assert sum([await limiter.try_acquire("a") for _ in range(40)]) == 30
    await (await breaker.try_enter()).failure()
    probe = await breaker.try_enter()
    assert await breaker.try_enter() is None
    await probe.success()
    assert await breaker.call(len, "four") == 4
    await client.aclose()


def move(cluster, key, under_way):
    """Move a key's slot to another node as an operator does, and call `under_way` in the middle.

    Not before the nodes agree: where one takes back a slot that it has just given away, and has not heard yet
    by what claim the other took it, the other's older word wins there, and each sends clients to the other.
    """
    eventually(cluster.is_settled)
    slot, source = key_slot(key.encode()), cluster.owner_of(key)
    target = next(node for node in cluster.nodes if node is not source)
    target.cluster("SETSLOT", slot, "IMPORTING", source.ident)
    source.cluster("SETSLOT", slot, "MIGRATING", target.ident)
    under_way()
    for name in source.cluster("GETKEYSINSLOT", slot, 100):
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, name, 0, 5_000)
    under_way()
    for node in (target, source):
        node.cluster("SETSLOT", slot, "NODE", target.ident)
    assert cluster.owner_of(key) is not source


@pytest.mark.parametrize("lease", [0, 10])
def test_a_limit_holds_while_its_key_moves_to_another_node(cluster, client, lease):
    limiter = RedisRateLimiter(client, "100/s;burst=50", name="test", lease=lease, on_error="raise")
    counted = Counted(limiter)
    end = load(counted)
    counted.eventually_grants()
    for _ in range(2):
        move(cluster, NAME, counted.eventually_grants)
        counted.eventually_grants()
    end()
    at_most(counted, 50, 100)


def test_a_breaker_keeps_its_state_while_its_key_moves(cluster, client):
    breaker = RedisCircuitBreaker(client, name="test", consecutive_failures=3, refresh=0, on_error="raise")

    def fail():
        breaker.try_enter().failure()

    fail()
    move(cluster, BREAKER, lambda: breaker.try_enter().ignore())
    fail()
    assert breaker.state is CircuitState.CLOSED
    fail()
    assert breaker.state is CircuitState.OPEN
    move(cluster, BREAKER, breaker.try_enter)
    assert breaker.snapshot().trips == 1


class Failures:
    """What a client asked a node for in vain, and how often one call of ours did."""

    def __init__(self, client, monkeypatch):
        self.counts = Counter()
        self.ask = client._execute_command
        monkeypatch.setattr(client, "_execute_command", self.counted)

    def counted(self, node, *words, **options):
        try:
            return self.ask(node, *words, **options)
        except GONE:
            self.counts[threading.get_ident()] += 1
            raise

    def of(self, call):
        before = self.counts[threading.get_ident()]
        call()
        return self.counts[threading.get_ident()] - before


@pytest.mark.parametrize("how", ["paused", "killed"])
@pytest.mark.parametrize("lease", [0, 10])
def test_a_node_that_is_gone_is_asked_once_and_comes_back(cluster, kind, lease, how, monkeypatch):
    client = cluster.client(kind, TIMEOUT)
    limiter = RedisRateLimiter(
        client, "200/s;burst=100", name="test", lease=lease, on_error="local", local_share=0.1
    )
    breaker = RedisCircuitBreaker(client, name="test", on_error="local")
    counted, called = Counted(limiter), []
    failures, seen = Failures(client, monkeypatch), {"limiter": set(), "breaker": set()}

    def work():
        for name, call in (("limiter", counted), ("breaker", lambda: breaker.call(called.append, None))):
            seen[name].add(failures.of(call))

    end = load(work)
    counted.eventually_grants()
    nodes = {cluster.owner_of(NAME), cluster.owner_of(BREAKER)}
    for node in nodes:
        node.pause() if how == "paused" else node.kill()
    time.sleep(1.5)
    calls = len(called)
    counted.eventually_grants()
    eventually(lambda: len(called) > calls)
    for node in nodes:
        node.resume() if how == "paused" else node.start()
    eventually(cluster.is_whole)
    errors = limiter.stats().errors + breaker.stats().errors
    eventually(lambda: limiter.stats().round_trips > 0 and limiter._logic.server.breaker.retry_after is None)
    counted.eventually_grants()
    end()
    client.close()

    assert errors > 0
    # A breaker may ask in vain before the call and after it.
    assert max(seen["limiter"]) == 1
    assert max(seen["breaker"]) in (1, 2)
    # The share of an outage, and the burst of a node that lost its data.
    at_most(counted, 100 + 10 + (100 if how == "killed" else 0), 200)


def test_a_flushed_node_admits_one_more_burst(cluster, client):
    limiter = RedisRateLimiter(client, "1/h;burst=30", name="test", on_error="raise")
    assert sum(limiter.try_acquire("a") for _ in range(40)) == 30
    cluster.owner_of(NAME).client.flushall()
    limiter.update("1/h;burst=30")  # forget the refusal that was remembered
    assert sum(limiter.try_acquire("a") for _ in range(40)) == 30
